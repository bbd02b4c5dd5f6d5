"""One frame to a room full of operators: what the live pages take, beside a bare server that sends the same to as many.

`python -m benchmarks.push [--quick] [--json FILE]`; needs Mosquitto. A town of lamps reports a thousand changes a second and five
alarms; each operator holds a stream of the pages, and reads the lists again when an alarm comes. *Late* is from the making of a
frame to its arrival. A run in which a stream ended, began anew or was starved of frames prints no figure and fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]
from tests.web_ui.browser.town import Town

from benchmarks.adapters import free_port
from benchmarks.w2 import process
from pilotage_web.people.reception import VISITOR
from pilotage_web.people.register import open_register
from pilotage_web.people.sessions import Origin

CHANGES_PER_S: Final = 1_000
ALARMS_PER_S: Final = 5
FEWEST_FRAMES: Final = 2.0
"""A second and operator; the pages send ten to a room of more than fifty, and fewer when the readers have no core left."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one system did for one room; milliseconds.

    Attributes:
        system: `bare server` or `pilotage`.
        operators: How many listen.
        frames_per_s: To each of them.
        cpu_percent: Of one core, of the process that sends.
        lists: Lists that were read again meanwhile.
        trouble: Why it was not done right: streams that ended or began anew, too few frames; empty when it was.
    """

    system: str
    operators: int
    frames_per_s: float
    cpu_percent: float
    memory_mb: float
    frame_p50_ms: float
    frame_p99_ms: float
    lists: int
    list_p99_ms: float | None
    trouble: str

    @property
    def is_right(self) -> bool:
        """Whether no stream ended or began anew, and nobody was starved."""
        return not self.trouble


@contextlib.contextmanager
def bare(folder: Path) -> Iterator[tuple[str, int, str, psutil.Process]]:
    """Run a server that does nothing but send; its address, no cookie, and its process."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.push_floor", str(port)]
    with process(command, folder / "floor.log", stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        yield "127.0.0.1", port, "none=1", psutil.Process(running.pid)


@contextlib.contextmanager
def pages(folder: Path, lamps: int) -> Iterator[tuple[str, int, str, psutil.Process]]:
    """Run the town with its pages and its traffic; their address, the cookie of somebody who is in, and their process."""
    town = Town(folder, lamps)
    try:
        town.start()
        place = urlsplit(town.url)
        words = [str(town.broker.port), str(lamps), str(CHANGES_PER_S), str(ALARMS_PER_S)]
        command = [sys.executable, "-m", "tests.web_ui.figures.traffic", *words]
        with process(command, folder / "traffic.log", stdout=subprocess.PIPE) as field:
            assert field.stdout is not None
            field.stdout.readline()
            assert place.hostname is not None
            assert place.port is not None
            yield place.hostname, place.port, cookie_of(town), psutil.Process(town.web_pid)
    finally:
        town.stop()


def cookie_of(town: Town) -> str:
    """Return the cookie of a session of the one whom the town lets in."""
    register = open_register(town.folder / "var" / "web")
    try:
        with register.store.writing() as change:
            origin = Origin("127.0.0.1")
            secret = register.sessions.begin(change, VISITOR, "traffic", origin, time.time())
    finally:
        register.close()
    return f"pilotage-session={secret}"


def measure(name: str, folder: Path, lamps: int, operators: int, seconds: float) -> Run:
    """Have so many operators listen for some seconds."""
    with bare(folder) if name == "bare server" else pages(folder, lamps) as served:
        host, port, cookie, watched = served
        words = [host, str(port), cookie, str(operators), str(seconds)]
        command = [sys.executable, "-m", "tests.web_ui.figures.operators", *words]
        with process(command, folder / "room.log", stdout=subprocess.PIPE) as room:
            assert room.stdout is not None
            room.stdout.readline()
            before, began = watched.cpu_times(), time.monotonic()
            seen: dict[str, Any] = json.loads(room.stdout.readline() or "{}")
            took, after = time.monotonic() - began, watched.cpu_times()
            if not seen:
                sys.exit(f"the room ended: {(folder / 'room.log').read_text()[-2000:]}")
        frames_per_s = seen["frames"] / operators / seconds
        return Run(
            system=name,
            operators=operators,
            frames_per_s=frames_per_s,
            cpu_percent=100.0 * (sum(after[:2]) - sum(before[:2])) / took,
            memory_mb=watched.memory_info().rss / 1e6,
            frame_p50_ms=seen["frame_p50"] or float("nan"),
            frame_p99_ms=seen["frame_p99"] or float("nan"),
            lists=seen["lists"],
            list_p99_ms=seen["list_p99"],
            trouble=trouble(seen, frames_per_s),
        )


def trouble(seen: dict[str, Any], frames_per_s: float) -> str:
    """Return what went wrong in a room, in words."""
    if seen["failed"] or seen["resets"]:
        return f"{seen['failed']} streams ended {seen['why']}, {seen['resets']} began anew"
    if frames_per_s < FEWEST_FRAMES:
        return f"{frames_per_s:.1f} frames a second to each are too few"
    return ""


HEAD: Final = f"{'system':12} | operators | frames/s each | CPU % | p50 ms | p99 ms | lists | lists p99 ms | MB"


def row(run: Run) -> str:
    """Return one line of the table."""
    if not run.is_right:
        return f"{run.system:12} | {run.operators:9} | not done right, so no figures: {run.trouble}"
    lists = f"{run.list_p99_ms:12.0f}" if run.list_p99_ms is not None else f"{'':12}"
    return (
        f"{run.system:12} | {run.operators:9} | {run.frames_per_s:13.1f} | {run.cpu_percent:5.1f} | {run.frame_p50_ms:6.1f}"
        f" | {run.frame_p99_ms:6.1f} | {run.lists:5} | {lists} | {run.memory_mb:.0f}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures where asked; 1 when a run was not right."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller room, for some seconds")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(argv)
    lamps, operators, seconds = (2_000, 200, 3.0) if options.quick else (34_000, 500, 30.0)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)])
    found = []
    print(HEAD, flush=True)
    for name in ("bare server", "pilotage"):
        with tempfile.TemporaryDirectory(prefix="push-") as made:
            found.append(measure(name, Path(made), lamps, operators, seconds))
        print(row(found[-1]), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(run) for run in found], indent=1) + "\n")
    return 0 if all(run.is_right for run in found) else 1


if __name__ == "__main__":
    sys.exit(main())
