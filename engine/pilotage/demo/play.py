"""Plays the demo: puts the city's files somewhere, starts its devices and the engine, shows the city, stops it all."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import select
import shlex
import shutil
import signal
import socket as sockets
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from pilotage import api
from pilotage.demo.broker import BrokerProcess
from pilotage.demo.child import Peer, free_port
from pilotage.demo.clock import DemoClock
from pilotage.demo.device import CITY
from pilotage.demo.engine import EngineProcess
from pilotage.demo.equipment import EquipmentProcess
from pilotage.demo.pages import Pages
from pilotage.demo.parts import CabinetsProcess, ControllersProcess
from pilotage.demo.scene import Watcher
from pilotage.demo.view import show
from pilotage.runtime.config import load_settings
from pilotage.runtime.inventory import read_inventory
from pilotage.runtime.plugins import load_plugins

SOCKET: Final = Path("var", "control.sock")
LONGEST_SOCKET: Final = 100
"""A socket's path has at most 107 bytes on Linux, 103 elsewhere."""
ANSWERS_WITHIN_S: Final = 60.0
LOG: Final = "engine.log"
TO_TRY: Final = (
    "pilotage status",
    "pilotage explain seg-monge.lights.level",
    "pilotage override seg-monge.lights.level '80 %' --for 30min --reason 'market tomorrow'",
    "pilotage plan snow 2 --reason 'black ice reported'",
    "$EDITOR rules/lighting.yaml; pilotage reload",
)
_PORTS: Final = {
    part: re.compile(
        rf"(?m)^(    (?:port: |url: opc\.tcp://127\.0\.0\.1:))\d+(?=\s+#.* of its {part} here)"
    )
    for part in ("broker", "cabinets", "controllers")
}
"""Where a part's port stands in the demo's config.yaml: on the line whose remark names the part."""


class PlayError(Exception):
    """The demo cannot go on; the text says why."""

    def __init__(self, text: str, mend: str = "") -> None:
        self.mend = mend
        super().__init__(text)


def play(
    *,
    speed: float,
    seed: int = 1,
    plain: bool = False,
    minutes: float | None = None,
    port: int = 0,
    keep: Path | None = None,
    uvloop: bool | None = None,
) -> None:
    """Play until SIGINT, SIGTERM or SIGHUP, or for some minutes.

    Args:
        speed: City seconds per real second.
        seed: Another number is another night.
        plain: Lines also in a terminal.
        minutes: Real minutes after which it ends by itself.
        port: The broker's; 0 is a free one.
        keep: Folder for the city's files, which stay there; by default they lie in a temporary one.
        uvloop: Whether the engine uses uvloop; None is as its configuration says.

    Raises:
        PlayError: A part does not start, or ended by itself.
    """
    if importlib.util.find_spec("amqtt") is None:
        raise PlayError("the demo needs an MQTT broker, amqtt", 'pip install "pilotage[demo]"')
    with End(minutes) as end, _folder(keep) as folder, contextlib.ExitStack() as stack:
        clock, eyes = DemoClock.begin(speed), free_port(sockets.SOCK_DGRAM)
        pages = Pages.choose()
        told = ["--seed", str(seed), *clock.options]
        peers: dict[str, Peer] = {
            "broker": BrokerProcess(port),
            "cabinets": CabinetsProcess(options=told),
            "controllers": ControllersProcess(options=[*told, "--eyes", str(eyes)]),
        }
        for peer in peers.values():
            stack.callback(peer.stop)
            peer.start()
        write_city(folder, {part: peer.port for part, peer in peers.items()})
        print(welcome(folder, speed, pages.link, is_kept=keep is not None), flush=True)
        _wait_for(peers.values())
        config, socket = folder / "config.yaml", folder / SOCKET
        engine = EngineProcess(
            *(config, folder / LOG, clock), uvloop=uvloop, environment=pages.environment
        )
        equipment = EquipmentProcess(peers["broker"].port, clock, seed, eyes)
        # After the engine, whose last orders are still answered then.
        stack.callback(equipment.stop)
        stack.enter_context(engine)
        parts: list[tuple[str, Part]] = [(peer.name, peer) for peer in peers.values()]
        end.watch([*parts, ("engine", engine)])
        # The equipment comes last: the demo's broker does not take clients well while another one subscribes.
        if _is_listening(socket, end):
            equipment.__enter__()
            end.watch([*parts, ("engine", engine), ("simulated equipment", equipment)])
            with Watcher(socket, speed, names_in(config)) as watcher:
                hint = f"cd {folder} && pilotage status"
                show(watcher.read, end.wait, plain=plain, hint=hint, pages=pages.link)
    print("The demo has ended." + ("" if keep is None else f" Its files are in {folder}."))


class Part(Protocol):
    """A process of the demo."""

    @property
    def is_running(self) -> bool:
        """True until the process has ended."""
        ...

    def last_words(self) -> str:
        """Return what an ended process said at last."""
        ...


class End:
    """Knows when the demo is over: a signal, the time that was asked for, or a part that ended by itself.

    A context manager: within it, signals end the demo instead of interrupting whatever is done at that moment.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self._until = None if minutes is None else time.monotonic() + 60.0 * minutes
        self._parts: Sequence[tuple[str, Part]] = ()
        self._heard, self._said = os.pipe()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> End:
        """Take the signals."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._heard)
        os.close(self._said)

    def _on_signal(self, *_: object) -> None:
        # A pipe and no threading.Event: that could be held by the very line that the signal interrupts.
        os.write(self._said, b".")

    def watch(self, parts: Sequence[tuple[str, Part]]) -> None:
        """End when one of these is not there any more."""
        self._parts = parts

    def wait(self, seconds: float) -> bool:
        """Wait; True when the demo is over.

        Raises:
            PlayError: A part ended by itself.
        """
        if select.select([self._heard], [], [], seconds)[0]:
            return True
        for name, part in self._parts:
            if not part.is_running:
                raise PlayError(
                    f"the {name} has ended by itself; its last words:\n{part.last_words()}"
                )
        return self._until is not None and time.monotonic() >= self._until


# ── the city's files ─────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Return the folder for the city's files: the given one, or one that is removed afterwards."""
    if keep is not None:
        folder = keep.expanduser().absolute()
        if len(os.fsencode(folder / SOCKET)) > LONGEST_SOCKET:
            raise PlayError(
                f"{folder} is too long a path for the engine's socket", "choose a shorter one"
            )
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="pilotage-demo-", dir=_short_place()) as made:
        yield Path(made)


def _short_place() -> str | None:
    """Return where a temporary folder goes; elsewhere than usual when the usual place has a long path."""
    place = os.fsencode(tempfile.gettempdir())
    return None if len(place) < LONGEST_SOCKET - 50 else "/tmp"


def write_city(folder: Path, ports: Mapping[str, int]) -> None:
    """Put the city's files into a folder, with the ports of its parts; files of an earlier demo stay as they were changed.

    Raises:
        PlayError: The folder holds something else.
    """
    config = folder / "config.yaml"
    if config.exists():
        shutil.rmtree(folder / "var", ignore_errors=True) if _is_ours(config) else None
    elif any(folder.iterdir()):
        raise PlayError(f"{folder} holds something else than a demo", "choose an empty folder")
    else:
        shutil.copytree(CITY, folder, dirs_exist_ok=True)
    text = config.read_text(encoding="utf-8")
    for part, pattern in _PORTS.items():
        text, found = pattern.subn(rf"\g<1>{ports[part]}", text)
        if found != 1:
            raise PlayError(f"{config} is not this demo's", "choose an empty folder")
    config.write_text(text, encoding="utf-8")


def _is_ours(config: Path) -> bool:
    text = config.read_text(encoding="utf-8")
    return all(len(pattern.findall(text)) == 1 for pattern in _PORTS.values())


def welcome(folder: Path, speed: float, link: str, *, is_kept: bool) -> str:
    """Return what is said first: where the files are, and what to try."""
    command = Path(sys.argv[0]).absolute()
    found = shutil.which("pilotage")
    is_found = found is not None and Path(found).samefile(command)
    path = [] if is_found else [f"    export PATH={shlex.quote(str(command.parent))}:$PATH"]
    kept = "they stay there" if is_kept else "removed at the end; --keep DIR keeps them"
    return "\n".join(
        (
            f"A small Dijon, {speed:g} times as fast as real life, from a winter evening at half past nine.",
            "Cabinets speak Modbus, signal controllers OPC UA, all else MQTT: each on a port of this machine alone.",
            f"Its configuration, rules and log are in {folder} ({kept}).",
            "",
            "Open it in a browser; this link signs in, once:",
            f"    {link}",
            "",
            "Try in a second terminal:",
            *path,
            f"    cd {shlex.quote(str(folder))}",
            *(f"    {line}" for line in TO_TRY),
            "",
            "Ctrl-C ends it.",
            "",
        )
    )


def names_in(config: Path) -> dict[str, str]:
    """Return what the inventory calls its entities, by id."""
    settings = load_settings(config)
    entities = read_inventory(settings.inventory, settings.folder, load_plugins().kinds).entities
    return {entity.id: entity.name for entity in entities if entity.name}


# ── start ────────────────────────────────────────────────────────────────────────────────────


def _wait_for(peers: Iterable[Peer]) -> None:
    try:
        for peer in peers:
            peer.until_ready()
    except RuntimeError as error:
        raise PlayError(str(error), "choose another --port, or none") from error


def _is_listening(socket: Path, end: End) -> bool:
    """Wait until the engine hears all its devices; False when the demo is over before."""
    limit = time.monotonic() + ANSWERS_WITHIN_S
    while True:
        with contextlib.suppress(api.ApiError), api.Client(socket) as client:
            if all(c.state == "up" for c in client.ask(api.GetStatus()).connections):
                return True
        if end.wait(0.05):
            return False
        if time.monotonic() > limit:
            raise PlayError(f"the engine does not answer at {socket}", "see the log beside it")
