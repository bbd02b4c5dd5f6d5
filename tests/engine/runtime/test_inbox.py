"""The front door: admitted or refused with a name, collected, and conflated in a flood."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from pilotage.core.store import Cell
from pilotage.model.entities import Privacy
from pilotage.model.messages import CallResult, Override, Reading
from pilotage.model.quality import Quality
from pilotage.runtime.health import Health
from pilotage.runtime.inbox import ORDER_LIMIT, ConnectionDoor, Inbox, InboxFullError


@pytest.fixture
def inbox(health: Health) -> Inbox:
    return Inbox(health, limit=10)


@pytest.fixture
def door(inbox: Inbox, clock: Any, health: Health, engine: Any) -> ConnectionDoor:
    return ConnectionDoor("gateway", inbox, clock, health, engine.entities)


@pytest.fixture
def flow(engine: Any) -> Any:
    return engine.cells["street-1.flow"]


class TestDoor:
    def test_admits(self, door: ConnectionDoor, inbox: Inbox, flow: Any, clock: Any) -> None:
        """A good value comes in as a reading of now."""
        assert door.report(flow, 41)
        assert inbox.take(10).inputs == [Reading(flow, 41.0, Quality.GOOD, clock.now())]

    def test_refuses_the_future(
        self, door: ConnectionDoor, inbox: Inbox, flow: Any, clock: Any, health: Health,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        """What the core does not admit is counted, and one line names connection, point and reason."""
        for _ in range(100):
            assert not door.report(flow, 41, source_time=clock.now() + 3_600)
        assert len(inbox) == 0
        assert health.counters["refused.gateway"] == 100
        (line,) = (r.message for r in caplog.records if r.levelno == logging.WARNING)
        assert "gateway" in line
        assert "street-1.flow" in line
        assert "future" in line

    def test_bad_value(
        self, door: ConnectionDoor, inbox: Inbox, flow: Any, health: Health,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        """A value out of range comes in as bad, so that the point is unknown; it is counted and named once."""
        assert door.report(flow, -5)
        assert door.report(flow, -6)
        (reading, _) = inbox.take(10).inputs
        assert (reading.value, reading.quality) == (None, Quality.BAD)  # type: ignore[union-attr]
        assert health.counters["bad.gateway"] == 2
        (line,) = (r.message for r in caplog.records if r.levelno == logging.WARNING)
        assert "street-1.flow says -5, which is no " in line

    def test_bad_personal_value(
        self, door: ConnectionDoor, flow: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A value of a point that may tell of a person is not logged."""
        private = replace(flow.spec, privacy=Privacy.PERSONAL)
        door.report(Cell(flow.id, private, flow.entity), "Ms Martin")
        assert "its value is unknown" in caplog.text
        assert "Martin" not in caplog.text

    def test_bad_by_itself(
        self, door: ConnectionDoor, inbox: Inbox, flow: Any, health: Health
    ) -> None:
        """What a device itself calls bad is no mistake of its connection."""
        assert door.report(flow, 41, quality=Quality.BAD)
        assert health.counters["bad.gateway"] == 0

    def test_lost(self, door: ConnectionDoor, inbox: Inbox, engine: Any, clock: Any) -> None:
        """Lost points become unknown under the time of what was heard last."""
        flow, other = engine.cells["street-1.flow"], engine.cells["street-2.flow"]
        door.report(flow, 41, source_time=clock.now() - 60)
        clock.time += 10
        door.lost([flow, other], "cable")
        assert inbox.take(10).inputs[1:] == [
            Reading(flow, None, Quality.MISSING, clock.now() - 70),
            Reading(other, None, Quality.MISSING, clock.now()),
        ]

    def test_retained_state_after_a_loss(
        self, door: ConnectionDoor, inbox: Inbox, engine: Any, flow: Any, clock: Any
    ) -> None:
        """A device that is back and repeats what it said before the loss is believed."""
        said_at = clock.now() - 60
        door.report(flow, 41, source_time=said_at)
        door.lost_all("cable")
        engine.tick(clock.now(), inbox.take(10).inputs)
        assert flow.value is None
        assert door.report(flow, 41, source_time=said_at)
        engine.tick(clock.now(), inbox.take(10).inputs)
        assert flow.value == 41.0

    def test_call_result(self, door: ConnectionDoor, inbox: Inbox) -> None:
        """A service's answer comes in by the same door."""
        door.call_result("7.1", "accepted", "on its way")
        assert inbox.take(10).inputs == [CallResult("7.1", "accepted", "on its way")]


class TestInbox:
    def test_wakes_once(self, inbox: Inbox) -> None:
        """A hundred readings wake the loop once; after they were taken the next one wakes it again."""
        woken: list[None] = []
        inbox.call_when_filled(lambda: woken.append(None))
        for _ in range(5):
            inbox.put(CallResult("1", "done"))
        assert len(woken) == 1
        inbox.take(10)
        inbox.put(CallResult("2", "done"))
        assert len(woken) == 2

    def test_keeps_order(self, inbox: Inbox) -> None:
        """Inputs come out in the order in which they came in."""
        items = [CallResult(str(n), "done") for n in range(8)]
        for item in items:
            inbox.put(item)
        assert inbox.take(100).inputs == items

    def test_slices(self, inbox: Inbox) -> None:
        """A burst is taken in slices, and the loop is woken for the rest."""
        for n in range(8):
            inbox.put(CallResult(str(n), "done"))
        woken: list[None] = []
        inbox.call_when_filled(lambda: woken.append(None))
        assert [i.call for i in inbox.take(5).inputs] == ["0", "1", "2", "3", "4"]  # type: ignore[union-attr]
        assert len(woken) == 1
        assert [i.call for i in inbox.take(5).inputs] == ["5", "6", "7"]  # type: ignore[union-attr]
        assert len(woken) == 1

    async def test_orders_first(self, inbox: Inbox) -> None:
        """A person's order does not wait behind a burst of readings."""
        for n in range(8):
            inbox.put(CallResult(str(n), "done"))
        order = Override("street-1.level", 30.0, "m.garcia", "works", 9e9)
        inbox.order(order)
        assert inbox.take(2).inputs[0] == order

    async def test_too_many_orders(self, inbox: Inbox) -> None:
        """A flood of orders is refused, not queued without end."""
        order = Override("street-1.level", 30.0, "m.garcia", "works", 9e9)
        waiting = [inbox.order(order) for _ in range(ORDER_LIMIT)]
        with pytest.raises(InboxFullError):
            inbox.order(order)
        assert len(waiting) == ORDER_LIMIT


class TestConflation:
    def test_newest_of_each_point(
        self, inbox: Inbox, door: ConnectionDoor, engine: Any, health: Health
    ) -> None:
        """Above the limit only the newest reading of each point stays, and what was dropped is counted."""
        one, two = engine.cells["street-1.flow"], engine.cells["street-2.flow"]
        for n in range(6):
            door.report(one, n)
            door.report(two, 100 + n)
        readings = [(r.point.id, r.value) for r in inbox.take(100).inputs if isinstance(r, Reading)]
        assert readings[-2:] == [("street-1.flow", 5.0), ("street-2.flow", 105.0)]
        assert len(readings) + health.counters["inbox.conflated"] == 12
        assert health.counters["inbox.conflated"] > 0

    def test_nothing_else_is_dropped(self, inbox: Inbox, door: ConnectionDoor, flow: Any) -> None:
        """Results of commands and calls are never conflated."""
        for n in range(30):
            door.call_result(str(n), "done")
            door.report(flow, n)
        calls = [i.call for i in inbox.take(100).inputs if isinstance(i, CallResult)]
        assert calls == [str(n) for n in range(30)]

    def test_memory_is_bounded(self, inbox: Inbox, door: ConnectionDoor, flow: Any) -> None:
        """A hundred thousand readings of one point never wait all at once."""
        longest = 0
        for n in range(100_000):
            door.report(flow, n % 1_000)
            longest = max(longest, len(inbox))
        assert longest <= 12


class TestAwait:
    async def test_loop_is_free(self, inbox: Inbox, door: ConnectionDoor, flow: Any) -> None:
        """Reporting never awaits: it is a plain call from a callback of the loop."""
        asyncio.get_running_loop().call_soon(door.report, flow, 41)
        await asyncio.sleep(0)
        assert len(inbox) == 1
