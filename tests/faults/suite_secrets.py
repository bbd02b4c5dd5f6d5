"""A hundred secrets in a city that has trouble: none of them is found in anything that the engine writes, says or leaves (G18)."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.faults.broker import Broker
from tests.faults.city import City, free_port, install, temporary_folder
from tests.faults.figures import Figure, Size
from tests.faults.suite_start import KINDS

from pilotage import api

GOALS = ("G18",)
CANARIES: Final = {Size.SHORT: 100, Size.LONG: 100}
BEFORE: Final = ("config check", "config show --json", "check", "service install --dry-run")
AFTER: Final = (
    "status",
    "audit show",
    "plugins",
    "explain b-0.flow",
    "privacy report --json",
    "backup backup.tar",
)
COMMANDS: Final = {Size.SHORT: BEFORE[1:2], Size.LONG: (*BEFORE, *AFTER)}
_PROGRAM: Final = "import sys; from pilotage.cli import main; sys.exit(main())"

BINDING: Final = '    points: [{{kind: boulevard, read: [{{topic: "c{n}/{{id}}/flow", point: flow, path: $.flow}}]}}]\n'
MQTT: Final = (
    "  m{n}:\n    adapter: mqtt\n    host: 127.0.0.1\n    port: {port}\n    username: u{n}\n    password: {secret}\n"
    + BINDING
)
HTTP: Final = """\
  h{n}:
    adapter: http
    listen: {{port: {port}, secret: {secret}}}
    servers:
      s: {{url: "https://127.0.0.1:9", private: true, headers: {{Authorization: {second}, X-Api-Key: {third}}}}}
    points:
      - {{kind: boulevard, poll: {{server: s, at: "/{{id}}", point: flow, path: $.flow, every: 1 s}}}}
"""


class Canaries:
    """Texts that stand nowhere else, and the ways by which they come in."""

    def __init__(self, folder: Path) -> None:
        self.all: list[str] = []
        self.environment: dict[str, str] = {}
        self._folder = folder
        for name in ("secrets", "credentials"):
            (folder / name).mkdir(mode=0o700)
        self.environment["CREDENTIALS_DIRECTORY"] = str(folder / "credentials")

    def new(self) -> str:
        """Return how a new secret is written in `config.yaml`; each fourth stands there as it is."""
        number = len(self.all)
        text = f"canary-{secrets.token_hex(16)}"
        self.all.append(text)
        name = f"canary-{number}"
        match number % 4:
            case 0:
                self._write("secrets", name, text)
            case 1:
                self._write("credentials", name, text)
            case 2:
                self.environment[f"PILOTAGE_SECRET_CANARY_{number}"] = text
            case _ if number % 8 == 3:
                self._write("secrets", name, text)
                return f"{{secret: {name}}}"
        return f"!secret {name}" if number % 4 != 3 else self._kept(name, text)

    def _kept(self, name: str, text: str) -> str:
        self._write("secrets", name, text + "\n")
        return f'!secret "{name}"'

    def _write(self, folder: str, name: str, text: str) -> None:
        file = self._folder / folder / name
        file.write_text(text)
        file.chmod(0o600)

    def in_what(self, data: bytes) -> list[str]:
        """Return the secrets that stand in some bytes, as they are, reversed into hex or in base64."""
        found = []
        for text in self.all:
            raw = text.encode()
            forms = (raw, raw.hex().encode(), raw[:24], raw[7:])
            if any(form in data for form in forms):
                found.append(text)
        return found


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Run a city with trouble, look at all it says and leaves, then look whether the search would have found anything."""
    with temporary_folder() as folder:
        broker = Broker(folder)
        canaries = Canaries(folder)
        metrics = free_port()
        city = _city(folder, broker.port, metrics, canaries, CANARIES[size])
        os.environ |= canaries.environment
        try:
            seen = _watch(city, metrics, canaries, COMMANDS[size])
        finally:
            for name in canaries.environment:
                os.environ.pop(name, None)
            city.kill()
            broker.stop()
        given = {folder / name for name in ("secrets", "credentials")}
        searched, found = 0, {}
        for where, data in (*seen.items(), *_files(folder, given)):
            searched += len(data)
            if hits := canaries.in_what(data):
                found[where] = len(hits)
        control = len(
            canaries.in_what(b"".join(f.read_bytes() for g in given for f in g.iterdir()))
        )
    count = len(canaries.all)
    say(
        f"{count} secrets looked for in {searched / 1e6:.1f} MB of {len(seen)} answers and all files"
    )
    shown = ", ".join(f"{where}: {n}" for where, n in found.items()) or "none"
    return [
        Figure("G18", f"{count} secrets in a city with trouble; logs, database, snapshots, answers, dumps, backup searched",
               "0 found", f"{len(found)} places: {shown}" if found else "0 found", not found and count >= 100),
        Figure("G18", "the control: the same search in the files that hold them", "finds those", f"{control} found", control > count // 2),
    ]  # fmt: skip


def _city(folder: Path, port: int, metrics: int, canaries: Canaries, count: int) -> City:
    connections, n = "", 0
    while len(canaries.all) < count:
        connections += MQTT.format(n=n, port=port, secret=canaries.new())
        connections += HTTP.format(
            n=n,
            port=free_port(),
            secret=canaries.new(),
            second=canaries.new(),
            third=canaries.new(),
        )
        n += 1
    config = (
        "site: {name: Largeville, time_zone: Europe/Paris, position: [47.32, 5.04], country: FR}\n"
        "inventory: [{b-0: {kind: boulevard}, b-1: {kind: boulevard}}]\n"
        f'metrics: {{listen: "127.0.0.1:{metrics}"}}\nlog: {{level: debug}}\nengine: {{stuck_after: 3 s}}\n'
        f"connections:\n{connections}"
    )
    city = City(folder, "", 1, "version: 1\n", more={"config.yaml": config})
    install(folder / "site", "boulevards", KINDS)
    return city


def _watch(
    city: City, metrics: int, canaries: Canaries, commands: tuple[str, ...]
) -> dict[str, bytes]:
    """Give the city trouble, and return everything that it says, by where."""
    seen = {words: _command(city, *words.split()) for words in commands if words in BEFORE}
    city.start()
    time.sleep(1.0)  # its connections fail: they have no permission, no server, no certificate
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5) as answer,
    ):
        seen["metrics"] = answer.read()
    seen["status and health"] = b"".join(
        repr(answer).encode() for answer in (city.ask(api.GetStatus()), city.ask(api.GetHealth()))
    )
    seen["nonsense"] = _nonsense(city)
    for words in commands:
        if words not in BEFORE:
            seen[words] = _command(city, *words.split())
    _spoil(city)
    with api.Client(city.socket, 60.0) as client:
        seen["reload"] = repr(client.ask(api.Reload())).encode()
    assert city.process is not None
    # The last words of an engine that is stuck: all stacks.
    city.process.send_signal(signal.SIGABRT)
    city.process.wait(20)
    return seen


def _command(city: City, *words: str) -> bytes:
    environment = {
        **os.environ,
        "NO_COLOR": "1",
        "PYTHONPATH": os.pathsep.join([str(city.folder / "site"), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words, "-c", str(city.folder / "config.yaml")],
        env=environment,
        capture_output=True,
        check=False,
        cwd=city.folder,
    )
    return done.stdout + done.stderr


def _nonsense(city: City) -> bytes:
    """Return what the control socket answers to nonsense."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5.0)
        line.connect(str(city.socket))
        with contextlib.suppress(OSError):
            line.sendall(b'{"type": "status", "config": true}\n')
            return line.recv(65_536)
    return b""


def _spoil(city: City) -> None:
    """Break the settings: the findings quote their lines."""
    file = city.folder / "config.yaml"
    text = file.read_text()
    file.write_text(re.sub(r"port: (\d+)\n    username", r"port: x\1\n    username", text, count=3))


def _files(folder: Path, given: set[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield every file of the city but those in which the secrets were given."""
    for file in folder.rglob("*"):
        if file.is_file() and not given & set(file.parents):
            yield str(file.relative_to(folder)), file.read_bytes()
