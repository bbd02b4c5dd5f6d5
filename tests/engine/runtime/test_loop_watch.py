"""The watch names what holds the loop, and for which connection; a process whose loop is stuck ends itself."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage.core import graph
from pilotage.core.graph import Watch
from pilotage.runtime.loop_watch import (
    CONNECTION,
    EXIT_STUCK,
    STUCK_FILE,
    TASK_PREFIX,
    Hold,
    LoopWatch,
    last_stuck,
)

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


def hold_the_loop(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def core_code(hold: Callable[[float], None]) -> Callable[[object], None]:
    """Return a method as the core has it: it works for `self` for a while."""
    names: dict[str, Any] = {"hold": hold}
    text = "def work(self):\n    hold(0.2)\n"
    exec(compile(text, graph.__file__, "exec"), names)
    found: Callable[[object], None] = names["work"]
    return found


class TestNames:
    def test_the_place(self) -> None:
        """The code that holds the loop is named with file and function, once for each hold."""
        seen: list[Hold] = []
        watch = LoopWatch(seen.append, limit_s=0.03, every_s=0.01)
        watch.start()
        hold_the_loop(0.2)
        watch.beat()
        watch.stop()
        (hold,) = seen
        assert "runtime/test_loop_watch.py" in hold.place
        assert "hold_the_loop" in hold.place
        assert hold.seconds >= 0.03

    def test_nobody_of_a_quiet_loop(self) -> None:
        """A loop that beats is not accused."""
        seen: list[Hold] = []
        watch = LoopWatch(seen.append, limit_s=0.5, every_s=0.01)
        watch.start()
        for _ in range(10):
            watch.beat()
            time.sleep(0.005)
        watch.stop()
        assert seen == []

    def test_a_thing_that_is_being_made(self) -> None:
        """What has no attributes yet ends no watch: the hold is told without its rule, and so is the next."""
        seen: list[Hold] = []
        watch = LoopWatch(seen.append, limit_s=0.03, every_s=0.01)
        watch.start()
        for _ in range(2):
            core_code(hold_the_loop)(Watch.__new__(Watch))
            watch.beat()
            time.sleep(0.02)
        watch.stop()
        assert sum("hold_the_loop" in hold.place for hold in seen) == 2

    async def test_the_connection_of_a_task(self, eventually: Eventually) -> None:
        """Of several connections of one adapter, the one whose task holds the loop is named."""
        assert await held_by(eventually, in_task) == "street-2"

    async def test_the_connection_of_a_callback(self, eventually: Eventually) -> None:
        """A callback counts for the connection that registered it; with uvloop it can only be placed."""
        found = await held_by(eventually, in_callback)
        is_uvloop = type(asyncio.get_running_loop()).__module__.startswith("uvloop")
        assert found == ("" if is_uvloop else "street-2")


async def in_task() -> None:
    await asyncio.sleep(0.01)
    hold_the_loop(0.15)


async def in_callback() -> None:
    asyncio.get_running_loop().call_later(0.01, hold_the_loop, 0.15)
    await asyncio.sleep(0.3)


async def held_by(eventually: Eventually, act: Callable[[], Awaitable[None]]) -> str:
    """Return who is named when the second of three connections does something slow."""
    seen: list[Hold] = []
    watch = LoopWatch(seen.append, limit_s=0.06, every_s=0.02)

    async def beat() -> None:
        while True:
            watch.beat()
            await asyncio.sleep(watch.every_s)

    async def connection(name: str) -> None:
        CONNECTION.set(name)
        await (act() if name == "street-2" else asyncio.sleep(5))

    loop = asyncio.get_running_loop()
    names = [f"street-{n}" for n in (1, 2, 3)]
    tasks = [loop.create_task(connection(name), name=TASK_PREFIX + name) for name in names]
    tasks.append(asyncio.ensure_future(beat()))
    watch.start()
    await eventually(lambda: any("hold_the_loop" in hold.place for hold in seen))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    watch.stop()
    return next(hold.connection for hold in seen if "hold_the_loop" in hold.place)


STUCK = """
import asyncio, sys, time
from pathlib import Path
from pilotage.runtime.loop_watch import LoopWatch, end_process

async def main():
    watch = LoopWatch(lambda hold: None, lambda hold: end_process(hold, Path(sys.argv[1])), stuck_s=0.5)
    watch.start()
    async def beat():
        while True:
            watch.beat()
            await asyncio.sleep(0.02)
    task = asyncio.ensure_future(beat())
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    if sys.argv[2] == "patient":
        with watch.patient():
            time.sleep(1.2)
    elif sys.argv[2] == "stuck":
        time.sleep(30)
    else:
        await asyncio.sleep(2.5)
    watch.stop()

asyncio.run(main())
"""


def process(folder: Path, how: str) -> subprocess.Popen[bytes]:
    """Start a process with a watched loop, and wait until it is watched."""
    child = subprocess.Popen(
        [sys.executable, "-c", STUCK, str(folder), how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


class TestStuck:
    def test_ends_with_stacks(self, tmp_path: Path) -> None:
        """A stuck loop ends the process with 70 and says where every thread stood, on stderr and in a file."""
        child = process(tmp_path, "stuck")
        _, errors = child.communicate(timeout=20)
        assert child.returncode == EXIT_STUCK
        assert b"the event loop was stuck for" in errors
        assert b"in main" in errors
        said = last_stuck(tmp_path)
        assert said is not None
        assert ("ended itself with 70" in said.line, said.culprit) == (True, "")
        assert last_stuck(tmp_path) is None

    @pytest.mark.parametrize(
        ("past", "now", "culprit"),
        [
            (("10:00", "dim"), ("10:59", "dim"), "dim"),
            (("10:00", "dim"), ("11:01", "dim"), ""),
            (("10:00", "dim"), ("10:01", "wake"), ""),
            (("10:00", ""), ("10:01", ""), ""),
            (("10:00", ""), ("10:01", "dim"), ""),
        ],
    )
    def test_culprit(self, past: Any, now: Any, culprit: str, tmp_path: Path) -> None:
        """A rule is named when the loop stood still in it twice within an hour."""
        said = None
        for at, rule in (past, now):
            whose = f" (rule {rule})" if rule else ""
            line = f"2026-11-23T{at}:00+00:00 the event loop was stuck for 2.0 s in a.py:1 in f{whose}; process 1\nmore\n"
            (tmp_path / STUCK_FILE).write_text(line)
            said = last_stuck(tmp_path)
        assert said is not None
        assert said.culprit == culprit

    def test_a_stopped_process_goes_on(self, tmp_path: Path) -> None:
        """A process that was stopped and goes on, or a machine that slept, is not stuck."""
        child = process(tmp_path, "stopped")
        child.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        child.send_signal(signal.SIGCONT)
        child.communicate(timeout=20)
        assert child.returncode == 0

    def test_patience(self, tmp_path: Path) -> None:
        """What is known to take its time is not stuck."""
        child = process(tmp_path, "patient")
        child.communicate(timeout=20)
        assert (child.returncode, list(tmp_path.iterdir())) == (0, [])
