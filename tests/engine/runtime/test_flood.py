"""Flood control: what is usual passes untouched, what is too much is conflated to the newest, counted and told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pilotage.model.messages import Reading
from pilotage.model.quality import Quality
from pilotage.runtime import flood
from pilotage.runtime.flood import FloodGate
from pilotage.runtime.health import Health
from pilotage.runtime.inbox import ConnectionDoor, Inbox

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


class Gate:
    """A gate with a clock that is turned by hand, and what has passed it."""

    def __init__(self, health: Health, engine: Any, most: float, most_of_point: float) -> None:
        self.now = 100.0
        self.passed: list[Reading] = []
        self.cells = engine.cells
        self.gate = FloodGate(
            "gateway", self.passed.append, health, most, most_of_point, lambda: self.now
        )

    def tell(self, point: str, value: float) -> None:
        self.gate.take(Reading(self.cells[point], value, Quality.GOOD, self.now))

    def values(self, point: str) -> list[Any]:
        return [r.value for r in self.passed if r.point.id == point]


class TestPoint:
    async def test_one_that_floods(self, health: Health, engine: Any) -> None:
        """Of a point that tells too much the newest reading arrives; the other points are not touched."""
        gate = Gate(health, engine, 1e6, 10)
        for number in range(1_000):
            gate.tell("street-1.flow", number)
            if number % 100 == 0:
                gate.tell("street-2.flow", number)
        gate.gate.hand_on()
        told = gate.values("street-1.flow")
        assert len(told) <= 2 * 10 + 1
        assert told[-1] == 999
        assert told == sorted(told)
        assert gate.values("street-2.flow") == list(range(0, 1_000, 100))
        assert health.counters["conflated.gateway"] == 1_000 - len(told)

    async def test_usual(self, health: Health, engine: Any) -> None:
        """What keeps within the bound passes at once, for ever."""
        gate = Gate(health, engine, 1e6, 10)
        for number in range(1_000):
            gate.now += 0.11
            gate.tell("street-1.flow", number)
        assert gate.values("street-1.flow") == list(range(1_000))
        assert health.findings == ()


class TestConnection:
    async def test_that_floods(self, health: Health, engine: Any) -> None:
        """A connection over its bound keeps the newest of each point; none of its points is lost."""
        gate = Gate(health, engine, 20, 15)
        for number in range(300):
            for street in (1, 2, 3):
                gate.tell(f"street-{street}.flow", number)
        gate.gate.hand_on()
        for street in (1, 2, 3):
            assert gate.values(f"street-{street}.flow")[-1] == 299
        assert len(gate.passed) < 60

    async def test_order_is_kept(self, health: Health, engine: Any) -> None:
        """A reading that waited is never handed on after a newer one of its point."""
        gate = Gate(health, engine, 1e6, 2)
        for number in range(50):
            gate.tell("street-1.flow", number)
        gate.now += 2.0
        gate.tell("street-1.flow", 50)
        gate.gate.hand_on()
        told = gate.values("street-1.flow")
        assert told == sorted(told)
        assert told[-1] == 50


class TestTold:
    async def test_finding(
        self, health: Health, engine: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A flood is a finding that names the point, and clears when it is over; the last reading arrives by itself."""
        monkeypatch.setattr(flood, "PAUSE_S", 0.01)
        gate = Gate(health, engine, 1e6, 10)
        for number in range(100):
            gate.tell("street-1.flow", number)
        finding = health.finding("flood.gateway")
        assert finding is not None
        assert "street-1.flow tells more than 10 readings a second" in finding.text
        await eventually(lambda: gate.values("street-1.flow")[-1] == 99)
        gate.now += flood.QUIET_S
        await eventually(lambda: health.finding("flood.gateway") is None)

    async def test_loss_comes_last(self, health: Health, engine: Any, clock: Any) -> None:
        """When a connection is lost its points are unknown, whatever waited at the gate."""
        inbox = Inbox(health, 1_000)
        gate = FloodGate("gateway", inbox.put, health, 1e6, 2, lambda: 0.0)
        door = ConnectionDoor("gateway", inbox, clock, health, engine.entities, gate)
        for number in range(50):
            door.report(engine.cells["street-1.flow"], number)
        door.lost_all("gone")
        inputs: list[Any] = inbox.take(1_000).inputs
        assert [i.value for i in inputs[-2:]] == [49.0, None]
        await asyncio.sleep(0)
