"""The pump: one tick for all that waits, nothing sent before it is on disk, and no exception ends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pilotage.model.messages import CallResult, CommandResult, Decision, Override, Reading
from pilotage.model.quality import Quality
from pilotage.runtime import loop as loop_room
from pilotage.runtime.clock import ScaledClock, SystemClock
from pilotage.runtime.health import Health
from pilotage.runtime.inbox import Inbox
from pilotage.runtime.journal import JournalReader, SqliteJournal, sqlite
from pilotage.runtime.loop import DiskRefusesError, EngineFaultError, Pump

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
def inbox(health: Health) -> Inbox:
    return Inbox(health)


@pytest.fixture
def sent() -> list[Decision]:
    return []


@pytest.fixture
async def pump(
    engine: Any, inbox: Inbox, journal: SqliteJournal, health: Health, sent: list[Decision]
) -> Any:
    pump = Pump("city", engine, inbox, journal, SystemClock(), health, sent.append)
    pump.start()
    yield pump
    pump.stop()


def low_flow(engine: Any, street: int = 1, value: float = 41.0) -> Reading:
    cell = engine.cells[f"street-{street}.flow"]
    return Reading(cell, value, Quality.GOOD, time.time())


class TestTick:
    async def test_one_tick_for_all(
        self, pump: Pump, inbox: Inbox, engine: Any, sent: list[Decision], eventually: Eventually
    ) -> None:
        """All that arrived in one turn of the loop is evaluated in one tick and leaves in one decision."""
        await eventually(lambda: engine.batches)
        engine.batches.clear()
        readings = [low_flow(engine, street) for street in (1, 2, 3)]
        for reading in readings:
            inbox.put(reading)
        await eventually(lambda: sent)
        assert engine.batches[0] == readings
        assert len(sent[0].outgoing) == 3

    async def test_only_what_somebody_waits_for_hurries(
        self, pump: Pump, inbox: Inbox, engine: Any, journal: SqliteJournal,
        eventually: Eventually, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """A command has its record written at once; a decision that only notes something is written with the next."""
        hurried: list[bool] = []
        usual = journal.append

        def append(*args: Any, soon: bool) -> asyncio.Future[int]:
            hurried.append(soon)
            return usual(*args, soon=soon)

        monkeypatch.setattr(journal, "append", append)
        engine.due = 0.0
        pump.tick_soon()
        await eventually(lambda: hurried)
        inbox.put(low_flow(engine))
        await eventually(lambda: len(hurried) == 2)
        assert hurried == [False, True]

    async def test_arrival_is_told(
        self, pump: Pump, inbox: Inbox, engine: Any, eventually: Eventually
    ) -> None:
        """With what was sent comes the time at which the first reading behind it arrived."""
        told: list[float] = []
        pump.on_sent = lambda decision, arrived: told.append(arrived)
        await eventually(lambda: engine.batches)
        before = time.monotonic()
        inbox.put(low_flow(engine))
        after = time.monotonic()
        inbox.put(low_flow(engine, 2))
        await eventually(lambda: told)
        assert before <= told[0] <= after

    async def test_write_ahead(
        self, pump: Pump, inbox: Inbox, engine: Any, journal: SqliteJournal, eventually: Eventually
    ) -> None:
        """At the moment in which a decision is sent, it is already on disk."""
        on_disk: list[int] = []
        pump.subscribe(lambda _: on_disk.append(journal.last_number("city")))
        for _ in range(3):
            inbox.put(low_flow(engine))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await eventually(lambda: len(on_disk) == pump.number > 0)
        assert all(there >= number for number, there in enumerate(on_disk, 1))

    async def test_nothing_is_sent_while_the_disk_refuses(
        self, pump: Pump, inbox: Inbox, engine: Any, journal: SqliteJournal, sent: list[Decision],
        health: Health, eventually: Eventually,
    ) -> None:  # fmt: skip
        """A decision that cannot be written is not sent; the engine goes on, and sends when the disk is back."""
        journal._connection.execute("PRAGMA busy_timeout = 10")
        other = sqlite.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        inbox.put(low_flow(engine))
        await eventually(lambda: health.finding("journal.disk"))
        ticks = pump.ticks
        inbox.put(CallResult("1", "done"))
        await eventually(lambda: pump.ticks > ticks)
        assert sent == []
        other.execute("ROLLBACK")
        other.close()
        await eventually(lambda: sent)

    async def test_what_runs_goes_on(
        self, pump: Pump, inbox: Inbox, engine: Any, journal: SqliteJournal, sent: list[Decision],
        health: Health, eventually: Eventually, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """When the disk refuses for long, rules go on with their records in memory, in order, each sent once."""
        monkeypatch.setattr(loop_room, "PATIENCE_S", 0.05)
        journal._connection.execute("PRAGMA busy_timeout = 10")
        other = sqlite.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        heard: list[int] = []
        pump.subscribe(lambda decision: heard.append(decision.number))
        inbox.put(low_flow(engine))
        await eventually(lambda: len(sent) == 1)
        inbox.put(low_flow(engine, 2))
        await eventually(lambda: len(sent) == 2)
        assert heard == []  # who follows the record follows what is on disk
        other.execute("ROLLBACK")
        other.close()
        await eventually(lambda: heard == [1, 2])
        assert [decision.number for decision in sent] == [1, 2]
        assert [record.number for record in journal.decisions("city")] == [1, 2]
        inbox.put(low_flow(engine, 3))
        await eventually(lambda: len(sent) == 3)
        assert journal.last_number("city") == 3

    async def test_pulses_wait_for_their_record(
        self, pump: Pump, inbox: Inbox, engine: Any, journal: SqliteJournal, sent: list[Decision],
        eventually: Eventually, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """What must not be done twice is not told without its record; the engine hears that it was not sent."""
        monkeypatch.setattr(loop_room, "PATIENCE_S", 0.05)
        usual = engine._command
        monkeypatch.setattr(engine, "_command", lambda *args: usual(*args)._replace(pulse=True))
        journal._connection.execute("PRAGMA busy_timeout = 10")
        other = sqlite.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        inbox.put(low_flow(engine))
        await eventually(lambda: sent)
        assert sent[0].outgoing == ()
        await eventually(
            lambda: any(isinstance(i, CommandResult) for b in engine.batches for i in b)
        )
        other.execute("ROLLBACK")
        other.close()
        await eventually(lambda: journal.last_number("city") == 1)
        assert len(sent) == 1

    async def test_orders_are_refused_aloud(
        self, pump: Pump, inbox: Inbox, engine: Any, journal: SqliteJournal, sent: list[Decision],
        eventually: Eventually, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """An order that cannot be recorded never reaches the engine, and one that was under way is answered truly."""
        monkeypatch.setattr(loop_room, "PATIENCE_S", 0.05)
        journal._connection.execute("PRAGMA busy_timeout = 10")
        other = sqlite.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DiskRefusesError, match="carried out, but"):
            await inbox.order(Override("street-1.level", 30.0, "m.garcia", "works", 9e9))
        batches = len(engine.batches)
        with pytest.raises(DiskRefusesError, match="not taken now"):
            await inbox.order(Override("street-2.level", 30.0, "m.garcia", "works", 9e9))
        assert not any(engine.batches[batches:])
        other.execute("ROLLBACK")
        other.close()
        await eventually(lambda: journal.last_number("city") == 1)
        await eventually(lambda: journal.refusing_since is None)
        receipt = await inbox.order(Override("street-2.level", 30.0, "m.garcia", "works", 9e9))
        assert receipt.taken
        assert len(sent) == 2

    async def test_full_journal_holds_the_pump(
        self, engine: Any, inbox: Inbox, tmp_path: Any, health: Health, eventually: Eventually
    ) -> None:
        """When too much waits for the disk, no more is decided until it was written."""
        journal = SqliteJournal(tmp_path / "j.db", health, lazy_s=0.01, most_waiting_bytes=300)
        journal.open("city")
        pump = Pump("city", engine, inbox, journal, ScaledClock(50.0), health, lambda _: None)
        pump.start()
        await eventually(lambda: engine.batches)
        other = sqlite.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for _ in range(5):
            inbox.put(low_flow(engine))
            await asyncio.sleep(0.001)
        await eventually(lambda: health.counters["pump.held"])
        assert len(inbox) > 0
        other.execute("ROLLBACK")
        other.close()
        await eventually(lambda: len(inbox) == 0)
        pump.stop()
        await pump.drained()
        journal.close()

    async def test_inputs_are_kept(
        self, pump: Pump, inbox: Inbox, engine: Any, journal: SqliteJournal, sent: list[Decision],
        eventually: Eventually,
    ) -> None:  # fmt: skip
        """The journal holds the inputs of each tick under the number of the decision before it."""
        inbox.put(low_flow(engine))
        await eventually(lambda: len(sent) == 1)
        inbox.put(low_flow(engine, 2))
        await eventually(lambda: len(sent) == 2)
        envelopes = list(JournalReader(journal.path).inputs("city"))
        filled = [(e.after, b"street-" in e.inputs) for e in envelopes if e.inputs != b"[1]"]
        assert filled == [(0, True), (1, True)]


class TestTimers:
    async def test_due(
        self, pump: Pump, engine: Any, sent: list[Decision], eventually: Eventually
    ) -> None:
        """A timer ticks the engine when it is due, not before, and soon after."""
        engine.due = due = time.time() + 0.05
        pump.tick_soon()
        await eventually(lambda: sent)
        assert 0.0 <= sent[0].now - due < 0.1

    async def test_scaled(
        self, engine: Any, inbox: Inbox, journal: SqliteJournal, health: Health,
        sent: list[Decision], eventually: Eventually,
    ) -> None:  # fmt: skip
        """At speed 600 a timer of one minute fires after a tenth of a second."""
        clock = ScaledClock(600.0, 1_000_000.0)
        engine.due = 1_000_060.0
        pump = Pump("city", engine, inbox, journal, clock, health, sent.append)
        pump.start()
        began = time.monotonic()
        await eventually(lambda: sent)
        assert 0.09 < time.monotonic() - began < 1.0
        pump.stop()

    async def test_stopped(self, pump: Pump, engine: Any, inbox: Inbox) -> None:
        """A stopped pump takes what waits and never ticks again."""
        inbox.put(low_flow(engine))
        pump.stop()
        assert any(engine.batches)
        ticks = pump.ticks
        inbox.put(low_flow(engine))
        await asyncio.sleep(0.01)
        assert pump.ticks == ticks


class TestOrders:
    async def test_receipt(self, pump: Pump, inbox: Inbox, journal: SqliteJournal) -> None:
        """An order is answered with the engine's words once its decision is on disk."""
        receipt = await inbox.order(Override("street-1.level", 30.0, "m.garcia", "works", 9e9))
        assert receipt.taken
        assert receipt.text == "set to 30.0"
        assert journal.last_number("city") == receipt.decision

    async def test_each_its_own(self, pump: Pump, inbox: Inbox) -> None:
        """Orders of one tick get each their own answer."""
        people = ["m.garcia", "nobody", "l.petit"]
        waiting = [
            inbox.order(Override(f"street-{n}.level", 10.0 * n, person, "works", 9e9))
            for n, person in enumerate(people, 1)
        ]
        receipts = [await one for one in waiting]
        assert [(r.taken, r.text) for r in receipts] == [
            (True, "set to 10.0"),
            (False, "nobody may not"),
            (True, "set to 30.0"),
        ]


class TestFaults:
    async def test_survives_the_engine(
        self, pump: Pump, inbox: Inbox, engine: Any, sent: list[Decision], health: Health,
        caplog: pytest.LogCaptureFixture, eventually: Eventually,
    ) -> None:  # fmt: skip
        """When a tick raises, inputs and error are logged, the engine is marked, and the next tick works."""
        engine.fails_on = 13.0
        inbox.put(low_flow(engine, value=13.0))
        await eventually(lambda: health.counters["engine.faults"])
        finding = health.finding("engine.degraded")
        assert finding is not None
        assert "ZeroDivisionError: a mistake of the engine" in finding.text
        assert "street-1.flow" in caplog.text
        assert "13.0" not in caplog.text
        inbox.put(low_flow(engine, 2))
        await eventually(lambda: sent)

    async def test_order_that_fails(self, pump: Pump, inbox: Inbox, engine: Any) -> None:
        """Whoever gave the order that the engine stumbled over is told, and is not left waiting."""
        order = Override("street-1.level", 13.0, "m.garcia", "works", 9e9)
        engine.fails_on = order
        with pytest.raises(EngineFaultError, match="ZeroDivisionError"):
            await inbox.order(order)

    async def test_listener_that_fails(
        self, pump: Pump, inbox: Inbox, engine: Any, sent: list[Decision], eventually: Eventually,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        """A listener that raises keeps neither the others nor the sending from their decision."""
        heard: list[int] = []

        def broken(_: Decision) -> None:
            raise RuntimeError("a listener's mistake")

        pump.subscribe(broken)
        pump.subscribe(lambda decision: heard.append(decision.number))
        inbox.put(low_flow(engine))
        await eventually(lambda: heard == [1])
        assert len(sent) == 1
        assert "a listener's mistake" in caplog.text

    async def test_fenced(
        self, pump: Pump, inbox: Inbox, engine: Any, journal: SqliteJournal, sent: list[Decision],
        health: Health, eventually: Eventually,
    ) -> None:  # fmt: skip
        """When another engine has taken over, this one sends nothing, says so, and stops deciding."""
        usurper = SqliteJournal(journal.path, Health())
        usurper.open("city")
        inbox.put(low_flow(engine))
        await eventually(lambda: health.finding("journal.fenced"))
        assert sent == []
        ticks = pump.ticks
        inbox.put(low_flow(engine))
        await asyncio.sleep(0.01)
        assert pump.ticks == ticks
        usurper.close()


class TestBurst:
    async def test_loop_is_shared(
        self, pump: Pump, inbox: Inbox, engine: Any, eventually: Eventually
    ) -> None:
        """A burst is cut into ticks, and an order that comes in the middle does not wait for its end."""
        await eventually(lambda: engine.batches)
        engine.batches.clear()
        for n in range(20_000):
            inbox.put(low_flow(engine, 1 + n % 3, 500.0))
        await asyncio.sleep(0)
        await inbox.order(Override("street-1.level", 30.0, "m.garcia", "works", 9e9))
        assert max(map(len, engine.batches)) <= 2_001
        await eventually(lambda: len(inbox) == 0)
        assert sum(map(len, engine.batches)) == 20_001
