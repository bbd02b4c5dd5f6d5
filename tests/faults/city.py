"""A small city on disk for the fault suites, with its engine as a process of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

from pilotage import api

Answer = TypeVar("Answer")
START_S: Final = 90.0  # on a machine that does much else

KINDS: Final = """
from pilotage.hookspecs import hookimpl
from pilotage.model.entities import Access, Kind, PointSpec
from pilotage.model.values import enum, number

PULSE = {"pulse": True} if "pulse" in PointSpec.__dataclass_fields__ else {}

STREET = Kind(
    "fault_street", "Street",
    (
        PointSpec("flow", number("veh/h"), Access.REPORTED, low=0.0, high=10_000.0, max_age_s=30.0),
        PointSpec("level", number("%"), Access.BOTH, low=0.0, high=100.0, default=100.0, max_age_s=30.0),
        PointSpec("bell", enum("rest", "ring"), Access.COMMANDABLE, default="rest", **PULSE),
    ),
)


@hookimpl
def pilotage_kinds():
    return [STREET]
"""

RULES: Final = """\
version: 1
rules:
  dim-quiet-streets:
    title: Dim quiet streets
    owner: lighting
    for_each: {street: {kind: fault_street}}
    while: street.flow < 60 veh/h
    hold:
      - {set: street.level, to: 30 %, priority: saving}
"""

CONFIG: Final = """\
site: {{name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04], country: FR}}
inventory: [streets.yaml]
connections:
{connections}
"""

_MAIN: Final = "import sys; from pilotage.cli import main; sys.exit(main())"


class EngineEnded(AssertionError):
    """The engine process is gone; the text is its log."""


class City:
    """A city in a folder, and the process of its engine."""

    def __init__(
        self,
        folder: Path,
        connections: str,
        streets: int,
        rules: str = RULES,
        *,
        more: Mapping[str, str] | None = None,
    ) -> None:
        """Write the city.

        Args:
            folder: An empty folder.
            connections: The text under `connections:`.
            streets: So many `fault_street` entities, `s-0` and up.
            rules: The text of the one rule file.
            more: Further files by name.
        """
        self.folder = folder
        self.socket = folder / "var" / "control.sock"
        self.journal = folder / "var" / "journal.db"
        self.log = folder / "engine.log"
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "rules").mkdir()
        files = {
            "rules/rules.yaml": rules,
            "streets.yaml": "".join(f"s-{n}: {{kind: fault_street}}\n" for n in range(streets)),
            "config.yaml": CONFIG.format(connections=connections),
            **(more or {}),
        }
        for name, text in files.items():
            (folder / name).write_text(text)
        install(folder / "site", "faultkinds", KINDS)

    def start(self) -> None:
        """Start the engine and wait until it answers."""
        self.spawn()
        try:
            until(self._answers, "the engine does not answer")
        except AssertionError as error:
            raise EngineEnded(f"{error}: {self.log.read_text()[-4000:]}") from error

    def spawn(self) -> None:
        """Start the engine."""
        environment = {**os.environ, "NO_COLOR": "1"}
        # An engine that pip installed is compiled; ours is after its first start.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPATH"] = os.pathsep.join([str(self.folder / "site"), *sys.path])
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, "run", "-c", str(self.folder / "config.yaml")],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise EngineEnded(self.log.read_text())
        try:
            return self.ask(api.GetStatus()).pid == self.process.pid
        except api.ApiError:
            return False

    def ask(self, question: api.Question[Answer]) -> Answer:
        """Ask the engine through its control socket."""
        with api.Client(self.socket, 5.0) as client:
            return client.ask(question)

    def stop(self) -> None:
        """End the engine in order."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(20) == 0, self.log.read_text()

    def kill(self) -> None:
        """End the engine as a power failure would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@asynccontextmanager
async def under_load(load: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine meanwhile; what it stumbles over is raised at the end."""
    running = asyncio.create_task(load)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait({running})
    if not running.cancelled():
        running.result()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder with a short name, as a socket's path must be."""
    with TemporaryDirectory(prefix="pf") as name:
        yield Path(name)


def until(true: Callable[[], object], what: str, timeout_s: float = START_S) -> None:
    """Wait until something is true."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """True when somebody listens on a port."""
    with closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def install(site: Path, name: str, text: str) -> None:
    """Install a plugin as pip does."""
    package = site / f"pilotage_{name}"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(text)
    info = site / f"pilotage_{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pilotage-{name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[pilotage]\n{name} = pilotage_{name}.plugin\n")
