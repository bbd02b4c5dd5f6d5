"""What the system tests share: a small city on disk, and its engine as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotage import api

PLUGIN = '''
from pilotage.hookspecs import hookimpl
from pilotage.model.entities import Access, Kind, PointSpec
from pilotage.model.values import number

STREET = Kind(
    "test_street", "Street",
    (
        PointSpec("flow", number("veh/h"), Access.REPORTED, low=0.0, high=10_000.0),
        PointSpec("level", number("%"), Access.BOTH, low=0.0, high=100.0, default=100.0),
    ),
)


@hookimpl
def pilotage_kinds():
    return [STREET]


class Adapter:
    """Reads lines "POINT VALUE" of a file that grows, and writes what it sends into another."""

    def __init__(self, settings, site, door):
        self.folder, self.site, self.door = settings.options["folder"], site, door

    async def run(self):
        import asyncio
        from pathlib import Path
        self.door.connected("file")
        at = 0
        while True:
            lines = Path(self.folder, "readings").read_text().splitlines(keepends=True)
            for line in [l for l in lines[at:] if l.endswith("\\n")]:
                point, value = line.split()
                self.door.report(self.site.point(point), float(value))
                at += 1
            await asyncio.sleep(0.005)

    async def send(self, order):
        from pathlib import Path
        from pilotage.model.messages import Outcome
        with Path(self.folder, "sent").open("a") as sent:
            sent.write(f"{order.id} {order.point} {order.value:g}\\n")
        self.door.report(self.site.point(order.point), order.value)
        return Outcome.ACKNOWLEDGED

    def targets(self):
        return [spec.id + ".level" for spec in self.site.entities("test_street")], []


class Factory:
    name = "file"

    def check(self, settings, site):
        return []

    def open(self, settings, site, door):
        return Adapter(settings, site, door)


@hookimpl
def pilotage_adapters():
    return [Factory()]
'''

CONFIG = """\
site: {name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04], country: FR}
inventory:
  - streets.yaml
connections:
  field: {adapter: file, folder: FOLDER}
"""

STREETS = """\
s-1: {kind: test_street}
s-2: {kind: test_street}
"""

RULES = """\
version: 1
rules:
  dim-quiet-streets:
    title: Dim quiet streets
    owner: lighting
    for_each: {street: {kind: test_street}}
    while: street.flow < 60 veh/h
    hold:
      - {set: street.level, to: 30 %, priority: saving}
"""


class City:
    """A city in a folder and the process of its engine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "var" / "control.sock"
        self.process: subprocess.Popen[str] | None = None
        (folder / "rules").mkdir()
        (folder / "rules" / "lighting.yaml").write_text(RULES)
        (folder / "streets.yaml").write_text(STREETS)
        (folder / "config.yaml").write_text(CONFIG.replace("FOLDER", str(folder)))
        for name in ("readings", "sent"):
            (folder / name).touch()
        package = folder / "site" / "pilotage_file"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "plugin.py").write_text(PLUGIN)
        info = folder / "site" / "pilotage_file-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pilotage-file\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[pilotage]\nfile = pilotage_file.plugin\n")

    @property
    def environment(self) -> dict[str, str]:
        path = [str(self.folder / "site"), *sys.path]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "NO_COLOR": "1"}

    def start(self, *options: str) -> None:
        """Start the engine and wait until it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, "run", "-c", str(self.folder / "config.yaml"), *options],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.until(self._answers, "the engine does not answer")

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            assert self.process.stdout is not None
            raise AssertionError(f"the engine ended: {self.process.stdout.read()}")
        try:
            return bool(self.ask(api.GetStatus()).pid == self.process.pid)
        except api.NoEngineError:
            return False

    def ask(self, question: Any) -> Any:
        with api.Client(self.socket, 5.0) as client:
            return client.ask(question)

    def ask_point(self, point: str) -> Any:
        return self.ask(api.GetPoint(point=point))

    def report(self, point: str, value: float) -> None:
        with (self.folder / "readings").open("a") as readings:
            readings.write(f"{point} {value}\n")

    def sent(self) -> list[str]:
        """Return what the adapter has sent, without the ids."""
        return [line.partition(" ")[2] for line in self._sent_lines()]

    def sent_ids(self) -> list[str]:
        """Return the ids of the commands that were sent."""
        return [line.partition(" ")[0] for line in self._sent_lines()]

    def _sent_lines(self) -> list[str]:
        return (self.folder / "sent").read_text().splitlines()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a sub-command."""
        return subprocess.run(
            [sys.executable, "-c", _MAIN, *words, "-c", str(self.folder / "config.yaml")],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def stop(self) -> str:
        """End the engine in order and return what it has logged."""
        assert self.process is not None
        self.process.terminate()
        output = self.process.communicate(timeout=20)[0]
        assert self.process.returncode == 0, output
        return output

    def kill(self) -> None:
        """End the engine as a power failure would."""
        if self.process is not None:
            self.process.kill()
            with self.process:  # closes its pipe
                self.process.wait()

    def until(self, true: Callable[[], object], what: str = "", timeout_s: float = 30.0) -> None:
        """Wait until something is true."""
        end = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < end, what or "it did not come true in time"
            time.sleep(0.01)


_MAIN = "import sys; from pilotage.cli import main; sys.exit(main())"


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    city = City(tmp_path)
    yield city
    city.kill()
