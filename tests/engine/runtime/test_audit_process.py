"""The audit in a process of its own: what its thread does, and nothing lost or twice when that process is killed, frozen or orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from pilotage.model.messages import Command, Decision
from pilotage.ports import DecisionRecord, LogClosedError, LogUnusableError
from pilotage.runtime.audit import log as log_room
from pilotage.runtime.audit import process as process_room
from pilotage.runtime.audit.entries import Entry
from pilotage.runtime.audit.log import AuditLog, Ticket
from pilotage.runtime.audit.process import AuditProcess
from pilotage.runtime.audit.reader import AuditReader, Shown, Wanted
from pilotage.runtime.audit.verify import verify
from pilotage.runtime.envelope import encode_decision
from pilotage.runtime.health import Health
from pilotage.runtime.journal import SqliteJournal

START = 1_800_000_000.0


class Desk:
    """A journal, and a process that follows it, in a folder."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.folder, self.clock, self.health = folder, clock, Health()
        self.journal = SqliteJournal(folder / "journal.db", self.health, lazy_s=0.001)
        self.journal.open("city")
        self.log = AuditProcess(
            folder / "audit.db", self.journal.path, clock, self.health, lazy_s=0.001, silent_s=1.0
        )
        self.log.open("city")
        self.number = 0

    async def decide(self) -> None:
        """Have a decision in the journal that the audit was told of."""
        self.number += 1
        self.clock.time += 1.0
        command = Command(f"{self.number}-1", "s-1.level", 30.0, START, "dim[s-1]")
        decision = Decision(self.number, self.clock.time, (command,))
        record = DecisionRecord(self.number, decision.now, encode_decision(decision))
        await self.journal.append("city", self.number - 1, record)
        self.log.committed(decision)

    def login(self, who: str) -> Any:
        """Ask for a row; returns what comes when it is on disk."""
        return self.log.record(Entry(self.clock.time, "access", "login"), {"person": who})

    def rows(self, **wanted: Any) -> list[Shown]:
        """Return what is in the file."""
        return list(AuditReader(self.log.path).rows(Wanted(**wanted)))

    def has_restarted(self, times: int) -> bool:
        """Whether the process ended so often."""
        return self.health.counters["audit.restarts"] >= times

    def is_sound(self) -> bool:
        """Whether the chain holds, and has all that the journal has."""
        return verify(self.log.path, journal=self.journal.path, whole_journal=True).flaws == []

    def close(self) -> None:
        """End both."""
        self.log.close()
        self.journal.close()


@pytest.fixture
def desk(tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(process_room, "PAUSE_S", (0.02, 0.1))
    clock.time = START
    desk = Desk(tmp_path / "var", clock)
    yield desk
    desk.close()


def until(true: Callable[[], object]) -> None:
    """Wait for something that comes soon."""
    end = time.monotonic() + 20.0
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


class TestWork:
    async def test_decisions(self, desk: Desk) -> None:
        """Each decision is taken up soon, each once, and what was reached is told."""
        for _ in range(40):
            await desk.decide()
        until(lambda: desk.log.reached.get("city") == 40)
        assert [row.decision for row in desk.rows(kind="command")] == list(range(1, 41))
        assert desk.is_sound()

    async def test_answers(self, desk: Desk) -> None:
        """What is asked is done and answered: rows, erasure, forgetting, and how the life before ended."""
        first = desk.login("ann").result(10)
        assert desk.login("ben").result(10) == first + 1
        assert desk.log.erase("ann", {"person": "root"}, "cli").result(10) == 1
        assert desk.log.scrub().result(10) is None
        assert desk.log.forget(START - 1.0).result(10) == 0
        assert desk.log.how_it_ended().result(10) == ""
        assert "ann" not in {row.people.get("person") for row in desk.rows()}

    async def test_time(self, desk: Desk) -> None:
        """Its own rows carry the engine's time, not the machine's."""
        desk.log.erase("nobody", {}, "cli").result(10)
        assert all(abs(row.time - START) < 60.0 for row in desk.rows(kind="audit"))

    async def test_last_row(self, desk: Desk) -> None:
        """Closing takes up what was decided, writes the last row and an anchor, and leaves no process behind."""
        await desk.decide()
        pid = desk.log.pid
        desk.log.close((Entry(START, "engine", "stopped"), {"person": "ann"}))
        assert [f"{row.kind} {row.action}" for row in desk.rows()][1:] == [
            *("command sent", "engine stopped", "audit anchored")
        ]
        assert not psutil.pid_exists(pid)
        with pytest.raises(LogClosedError):
            desk.login("late").result(10)

    def test_refusal(self, tmp_path: Path, clock: Any) -> None:
        """A file that is no audit is refused with its mend, as in a thread."""
        (tmp_path / "audit.db").write_bytes(b"no database at all, by any means" * 40)
        log = AuditProcess(tmp_path / "audit.db", tmp_path / "journal.db", clock, Health())
        with pytest.raises(LogUnusableError, match=r"(?s)this is no audit.*mend: keep the file"):
            log.open("city")
        assert not log.is_alive


class TestEnds:
    async def test_killed(self, desk: Desk) -> None:
        """Killed again and again, it is started again, says so, and everything is there once."""
        logins = []
        for round_ in range(4):
            for n in range(10):
                await desk.decide()
                logins.append(desk.login(f"{round_}-{n}"))
            until(lambda: desk.health.finding("audit.process") is None)
            os.kill(desk.log.pid, signal.SIGKILL)
            until(partial(desk.has_restarted, round_ + 1))
        for login in logins:
            login.result(20)
        until(lambda: desk.log.reached.get("city") == desk.number)
        assert [row.decision for row in desk.rows(kind="command")] == list(range(1, 41))
        people = [row.people["person"] for row in desk.rows(kind="access")]
        assert people == [f"{round_}-{n}" for round_ in range(4) for n in range(10)]
        assert desk.is_sound()
        until(lambda: desk.health.finding("audit.process") is None)

    async def test_frozen(self, desk: Desk) -> None:
        """One that says nothing any more is ended and started again; the engine never waits for it."""
        first = desk.log.pid
        os.kill(first, signal.SIGSTOP)
        began = time.monotonic()
        rows = [desk.login(str(n)) for n in range(2_000)]
        assert time.monotonic() - began < 2.0
        assert rows[-1].result(20)
        assert desk.log.pid != first
        assert desk.health.counters["audit.silent"]

    async def test_signals_for_all(self, desk: Desk) -> None:
        """What a terminal or a service manager sends to every process does not end it before the engine's last row."""
        pid = desk.log.pid
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
        assert desk.login("ann").result(10)
        assert desk.log.pid == pid

    def test_engine_gone(self, tmp_path: Path) -> None:
        """It ends with an engine that is killed, and the next one gets the file."""
        writer = subprocess.Popen(
            [sys.executable, "-c", _ENGINE, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        with writer:
            assert writer.stdout is not None
            child = int(writer.stdout.readline())
            writer.kill()
        log = AuditLog(tmp_path / "audit.db", tmp_path / "journal.db", _Clock(), Health())
        log.open("city")
        log.close()
        with suppress(psutil.NoSuchProcess):
            psutil.Process(child).wait(10)
        assert verify(tmp_path / "audit.db").flaws == []


class _Clock:
    def now(self) -> float:
        return START

    def monotonic(self) -> float:
        return time.monotonic()

    def delay(self, seconds: float) -> float:
        return seconds


_ENGINE = """
import sys, time
from pathlib import Path
from pilotage.runtime.audit.process import AuditProcess
from pilotage.runtime.clock import SystemClock
from pilotage.runtime.health import Health
from pilotage.runtime.journal import SqliteJournal

folder, health = Path(sys.argv[1]), Health()
journal = SqliteJournal(folder / "journal.db", health)
journal.open("city")
log = AuditProcess(folder / "audit.db", journal.path, SystemClock(), health)
log.open("city")
print(log.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def _journal(tmp_path: Path) -> Iterator[None]:
    journal = SqliteJournal(tmp_path / "journal.db", Health())
    journal.open("city")
    yield
    journal.close()


@pytest.mark.usefixtures("_journal")
class TestOneWriter:
    def test_second(self, tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A second writer of the same file waits, then is refused; when the first has gone it may."""
        monkeypatch.setattr(log_room, "OTHER_S", 0.05)
        one, two = (
            AuditLog(tmp_path / "audit.db", tmp_path / "journal.db", clock, Health())
            for _ in range(2)
        )
        one.open("city")
        with pytest.raises(LogUnusableError, match="another process writes to this audit"):
            two.open("city")
        one.close()
        two.open("city")
        two.close()

    async def test_ticket(self, tmp_path: Path, clock: Any) -> None:
        """What is asked again in one life of the engine is done once; another life counts anew."""
        log = AuditLog(tmp_path / "audit.db", tmp_path / "journal.db", clock, Health())
        log.open("city")
        entry = Entry(START, "access", "login")
        asked = [Ticket("a", 1), Ticket("a", 2), Ticket("a", 1), Ticket("a", 2), Ticket("b", 1)]
        numbers = [log.record(entry, {}, ticket).result(10) for ticket in asked]
        log.close()
        assert [n > 0 for n in numbers] == [True, True, False, False, True]
        rows = AuditReader(tmp_path / "audit.db").rows(Wanted(kind="access"))
        assert len(list(rows)) == 3
