"""A plugin in a process of its own, with everything that it may do wrong there; real processes, really killed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from tests.processes import still_run

from pilotage.model.messages import CallOut, Command, Outcome
from pilotage.model.values import Position
from pilotage.runtime.isolation.keeper_link import KeeperLink
from pilotage.runtime.isolation.limits import NICE
from pilotage.runtime.supervisor import State

OTHERS: set[int] = set()
"""Processes that this one has for other tests."""


@pytest.fixture(autouse=True)
def _others() -> None:
    OTHERS.clear()
    OTHERS.update(process.pid for process in psutil.Process().children(recursive=True))


def family() -> list[psutil.Process]:
    """Return the processes that the test has given rise to."""
    return [p for p in psutil.Process().children(recursive=True) if p.pid not in OTHERS]


def order(value: Any = 30.0, point: str = "L-0.level", for_s: float = 5.0) -> Command:
    return Command("7-1", point, value, time.time() + for_s, "dusk")


class TestSame:
    """An isolated adapter does what it would do inside the engine."""

    async def test_orders_and_readings_cross(self, bench: Any) -> None:
        """A command reaches the adapter, its outcome comes back, and so does what the device reports."""
        adapter = bench.open()
        await bench.until(lambda: bench.state() is State.UP)
        assert adapter.targets() == ([f"L-{n}.level" for n in range(10)], [])
        assert await adapter.send(order(30.0)) is Outcome.ACKNOWLEDGED
        await bench.until(lambda: len(bench.inbox))
        assert bench.readings() == [("L-0.level", 30.0)]

    async def test_a_position_stays_one(self, bench: Any) -> None:
        """A value that is no number crosses too."""
        adapter = bench.open(lamps=["L-0.place"])
        await bench.until(lambda: bench.state() is State.UP)
        await adapter.send(order(Position(47.3, 5.0), "L-0.place"))
        await bench.until(lambda: len(bench.inbox))
        assert bench.readings() == [("L-0.place", Position(47.3, 5.0))]

    async def test_calls_cross(self, bench: Any) -> None:
        """A call reaches the adapter."""
        adapter = bench.open()
        await bench.until(lambda: bench.state() is State.UP)
        call = CallOut("7-2", "fleet.dispatch", {"vehicle": "bus-7"}, time.time() + 5, "story")
        assert await adapter.send(call) is Outcome.ACKNOWLEDGED

    async def test_targets_are_told(self, bench: Any) -> None:
        """Who routes orders is told when the adapter knows what it commands."""
        adapter = bench.open()
        told: list[Any] = []
        adapter.on_targets = lambda: told.append(adapter.targets())
        await bench.until(lambda: bench.state() is State.UP)
        assert [len(points) for points, _ in told] == [10]

    async def test_nothing_after_its_deadline(self, bench: Any) -> None:
        """An order whose deadline has passed is not sent."""
        adapter = bench.open()
        await bench.until(lambda: bench.state() is State.UP)
        assert await adapter.send(order(for_s=-0.1)) is Outcome.NOT_SENT
        assert bench.readings() == []

    async def test_nothing_before_it_is_up(self, bench: Any) -> None:
        """Without a process nothing is sent and nothing is kept."""
        adapter = bench.open()
        assert await adapter.send(order()) is Outcome.NOT_SENT

    async def test_a_mistake_keeps_the_process(self, bench: Any) -> None:
        """An adapter that raises is tried again with pauses, in the same process; the mistake is in words."""
        bench.open(fault="start")
        await bench.until(lambda: bench.status().failures >= 2)
        status = bench.status()
        assert status.detail == "RuntimeError: ValueError: it cannot be started"
        assert status.process is not None
        assert (status.process.restarts, status.process.pid > 0) == (0, True)

    async def test_a_mistake_while_sending(self, bench: Any) -> None:
        """An adapter that raises in `send` raises here too: the dispatcher counts it, nobody knows what the device did."""
        adapter = bench.open(fault="send")
        await bench.until(lambda: bench.state() is State.UP)
        with pytest.raises(RuntimeError, match="ValueError: it cannot be sent"):
            await adapter.send(order())

    @pytest.mark.parametrize("steps", range(6))
    async def test_cancelled_while_it_starts_or_ends(self, steps: int) -> None:
        """A keeper whose start or end is cancelled leaves no process and no entry in the table of processes."""
        for work in (KeeperLink.start, _start_and_end):
            task = asyncio.create_task(work())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                keeper = await task
                if keeper is not None:
                    await keeper.end()
        deadline = time.monotonic() + 20
        while family():
            assert time.monotonic() < deadline, family()
            await asyncio.sleep(0.01)

    @pytest.mark.parametrize("steps", range(4))
    async def test_stop_that_is_cancelled(self, bench: Any, steps: int) -> None:
        """Nobody need wait for the stop of a process: it ends, and the one that keeps it, and no socket is left open."""
        adapter = bench.open()
        await bench.until(lambda: bench.state() is State.UP)
        kin = family()
        task = asyncio.create_task(adapter.close())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        if steps:  # else it had not begun
            await bench.until(lambda: not any(p.is_running() for p in kin))
        await bench.supervisor.stop("vendor")
        gc.collect()

    async def test_stop_leaves_nothing(self, bench: Any) -> None:
        """Stopping ends the process, and the one that keeps it."""
        bench.open()
        await bench.until(lambda: bench.state() is State.UP)
        kin = family()
        assert len(kin) == 2
        await bench.supervisor.stop("vendor")
        await bench.until(lambda: not any(p.is_running() for p in kin))


WAYS = {
    "exit": "exited with status 3",
    "abort": "was ended by SIGABRT",
    "crash": "was ended by SIGSEGV",
    "allocate": "ran out of memory or files: MemoryError",
    "descriptors": "ran out of memory or files: OSError: [Errno 24]",
    "leak": "MB of memory, more than its 150 MB; it was ended",
    "garbage": "; it was ended",
    "close": "connection vendor (rogue) is down: its process ",  # it may see that first itself, and exit
    "sleep": "hung: it was not heard for",
    "spin": "hung: it was not heard for",
}


async def _start_and_end() -> None:
    await (await KeeperLink.start()).end()


class TestDeaths:
    @pytest.mark.parametrize("fault", WAYS)
    async def test_named_and_started_again(
        self, bench: Any, tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """However a process ends, the reason is told in words, its points are unknown, and it is started again at once."""
        adapter = bench.open(fault=fault, times=1, marker=str(tmp_path / "opened"), after=0.3)
        await bench.until(lambda: bench.state() is State.UP)
        await adapter.send(order(30.0))
        await bench.until(lambda: ("L-0.level", 30.0) in bench.readings())
        first = bench.status().process.pid
        await bench.until(lambda: bench.status().failures)
        assert WAYS[fault] in bench.health.finding("connection.vendor").text
        died = [r for r in caplog.records if getattr(r, "event", "") == "plugin.died"]
        assert [(r.levelname, r.about) for r in died] == [("ERROR", "vendor")]  # type: ignore[attr-defined]
        assert ("L-0.level", None) in bench.readings()
        await bench.until(lambda: bench.state() is State.UP)
        process = bench.status().process
        assert process.restarts == 1
        assert process.pid != first
        assert not psutil.pid_exists(first)
        assert await adapter.send(order(40.0)) is Outcome.ACKNOWLEDGED
        await bench.until(lambda: len(bench.told) >= 2)

    async def test_under_way_is_unknown(self, bench: Any) -> None:
        """Of an order that is under way at the death nobody knows whether it was carried out."""
        adapter = bench.open(fault="never answers", after=60)
        await bench.until(lambda: bench.state() is State.UP)
        sending = asyncio.ensure_future(adapter.send(order()))
        await asyncio.sleep(0.1)
        os.kill(bench.status().process.pid, signal.SIGKILL)
        assert await asyncio.wait_for(sending, 5) is Outcome.UNKNOWN

    async def test_too_many(self, bench: Any) -> None:
        """After more than five deaths within a minute it is left alone, with an error that names the devices' safe state."""
        adapter = bench.open(fault="exit", after=0.05)
        await bench.until(lambda: adapter.process.pid)
        await bench.until(lambda: bench.state() is State.UP)
        await adapter.send(order(30.0))
        await bench.until(lambda: bench.state() is State.DISABLED, 30)
        status = bench.status()
        assert (status.failures, status.process.pid, status.process.restarts) == (6, 0, 5)
        finding = bench.health.finding("connection.vendor")
        assert (
            "its process ended 6 times within a minute; the last time it exited with status 3"
            in finding.text
        )
        assert "its devices should be in their safe state (level 100 %)" in finding.text

    async def test_a_keeper_that_dies(self, bench: Any) -> None:
        """When the process that keeps the plugin is killed, the child goes with it and both are started again."""
        bench.open()
        await bench.until(lambda: bench.state() is State.UP)
        keeper, child = family()
        keeper.kill()
        await bench.until(lambda: bench.status().failures)
        await bench.until(lambda: bench.state() is State.UP)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE  # of another parent

    async def test_a_plugin_that_cannot_be_loaded(self, bench: Any) -> None:
        """A plugin that is not there, or broken, is told as such."""
        bench.open()._entry = "nobody"
        await bench.until(lambda: bench.status().failures)
        assert "no plugin of that name is installed" in bench.status().detail

    async def test_a_killed_engine_leaves_nobody(self, rogue: Path) -> None:
        """When the engine is killed, its isolated plugins end too."""
        engine = start_engine(rogue)
        assert engine.stdout is not None
        await asyncio.to_thread(engine.stdout.readline)
        family = psutil.Process(engine.pid).children(recursive=True)
        assert len(family) == 2
        engine.kill()
        engine.communicate()
        assert await asyncio.to_thread(still_run, family, 5.0) == []


def start_engine(rogue: Path) -> subprocess.Popen[bytes]:
    """Start another process with an isolated connection; it prints a line when that is up."""
    return subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(rogue), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
    )


ENGINE = """
import asyncio, sys
sys.path[:0] = sys.argv[1:3]
from conftest import Bench
from pilotage.runtime.supervisor import State

async def main():
    bench = Bench()
    bench.open(fault="thread", after=0)
    await bench.until(lambda: bench.state() is State.UP)
    print("up", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


class TestAlone:
    async def test_a_flood_is_bounded(self, bench: Any) -> None:
        """A plugin that talks without end gets as much as its points may say; the newest is kept, the others are counted."""
        adapter = bench.open(fault="flood", after=0.1)
        await bench.until(lambda: bench.state() is State.UP)
        await bench.until(lambda: bench.health.counters["dropped.vendor"] > 5_000, 90)
        assert bench.take()
        await asyncio.sleep(1.0)
        assert len(bench.take()) < 6_000
        assert bench.state() is State.UP
        assert adapter.process.memory < 150_000_000

    async def test_lies_are_refused(self, bench: Any) -> None:
        """What is no value is refused by its point, and the process goes on."""
        bench.open(fault="lie", after=0.05)
        await bench.until(lambda: bench.health.counters["refused.vendor"] > 20)
        assert bench.state() is State.UP
        assert all(value is None or isinstance(value, float) for _, value in bench.readings())

    async def test_others_go_on(self, bench: Any) -> None:
        """While one plugin dies again and again, another's connection stays up and answers."""
        good = bench.open("good")
        bench.open("bad", fault="abort", after=0.02)
        await bench.until(lambda: bench.state("good") is State.UP)
        while bench.status("bad").failures < 4:
            assert await asyncio.wait_for(good.send(order()), 5) is Outcome.ACKNOWLEDGED
            await asyncio.sleep(0.01)
        assert bench.status("good").failures == 0

    async def test_bound(self, bench: Any) -> None:
        """The process has no rights to gain, no dumps, few files, bounded memory and a group of its own."""
        bench.open()
        await bench.until(lambda: bench.state() is State.UP)
        pid = bench.status().process.pid
        limits = Path(f"/proc/{pid}/limits").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
        rows = {line[:25].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
        assert rows["Max core file size"] == "0"
        assert rows["Max open files"] == "1024"
        assert rows["Max address space"] == str(150_000_000 + (1 << 30))
        assert "NoNewPrivs:\t1" in status
        assert os.getpgid(pid) == pid

    async def test_less_urgent(self, bench: Any) -> None:
        """The engine comes before the processes of plugins, also where the kernel schedules sessions as groups."""
        bench.open()
        await bench.until(lambda: bench.state() is State.UP)
        kin = family()
        assert {process.nice() for process in kin} == {os.nice(0) + NICE}
        groups = [Path(f"/proc/{process.pid}/autogroup") for process in kin]
        said = {group.read_text().split(" ", 1)[1].strip() for group in groups if group.exists()}
        assert said <= {f"nice {NICE}"}

    async def test_no_foreign_secrets(self, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process inherits no secret from the environment, and no descriptor of the engine."""
        monkeypatch.setenv("PILOTAGE_SECRET_OTHER", "canary-7261")
        ours = os.open(__file__, os.O_RDONLY)
        os.set_inheritable(ours, True)
        bench.open()
        await bench.until(lambda: bench.state() is State.UP)
        os.close(ours)
        for process in family():
            folder = Path(f"/proc/{process.pid}")
            assert b"canary-7261" not in (folder / "environ").read_bytes()
            links = [str(link.readlink()) for link in (folder / "fd").iterdir()]
            assert str(__file__) not in links
