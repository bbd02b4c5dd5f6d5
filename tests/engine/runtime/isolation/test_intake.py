"""What comes from an isolated plugin is handed in a little at a time, and not faster than its points may speak."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pilotage.runtime.health import Health
from pilotage.runtime.inbox import ConnectionDoor, Inbox
from pilotage.runtime.isolation import wire
from pilotage.runtime.isolation.intake import BYTES, ENOUGH, RATE, RATE_PER_POINT, Intake


class Transport:
    """Remembers whether it is read."""

    def __init__(self) -> None:
        self.is_read = True

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def is_closing(self) -> bool:
        return False


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def transport() -> Any:
    return Transport()


@pytest.fixture
def inbox(health: Health) -> Inbox:
    return Inbox(health)


@pytest.fixture
def intake(
    inbox: Inbox, health: Health, clock: Any, engine: Any, transport: Any, hand: Hand
) -> Any:
    class Site:
        def point(self, id_: str) -> Any:
            return engine.cells.get(id_)

    door = ConnectionDoor("lamps", inbox, clock, health, engine.entities)
    intake = Intake(door, Site(), hand)  # type: ignore[arg-type]
    intake.start(transport)
    yield intake
    intake.close()


def flows(number: int) -> wire.Readings:
    return wire.Readings([("street-1.flow", float(n % 100), 0, None) for n in range(number)], 0)


async def turns(number: int = 200) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class TestRate:
    async def test_ordinary_talk_passes(self, intake: Intake, inbox: Inbox) -> None:
        """What a connection usually says is handed in at once."""
        intake.take(flows(50))
        await turns()
        assert len(inbox) == 50

    async def test_more_waits(
        self, intake: Intake, inbox: Inbox, transport: Any, hand: Hand
    ) -> None:
        """What is more than its points may say waits, and the socket is not read meanwhile."""
        intake.take(flows(int(RATE) + 3 * ENOUGH))
        await turns()
        assert len(inbox) == RATE
        assert not transport.is_read
        assert intake.is_paused
        hand.time += 1.0
        await asyncio.sleep(0.1)
        assert RATE * 2 <= len(inbox) <= RATE * 2 + RATE_PER_POINT + 2

    async def test_many_points_may_say_more(self, intake: Intake, inbox: Inbox) -> None:
        """Each point may speak twice when a connection comes up: a broker that tells what it retained."""
        intake.expect(5_000)
        intake.take(flows(10_000))
        await turns(2_000)
        assert len(inbox) == 10_000

    async def test_long_messages_cost_more(self, intake: Intake, inbox: Inbox) -> None:
        """What came in many bytes leaves less for others."""
        intake.charge(int(RATE) * BYTES)
        intake.take(flows(50))
        await turns()
        assert len(inbox) < 50

    async def test_drops_are_counted(self, intake: Intake, health: Health) -> None:
        """What the plugin's side left out stands in the counters."""
        intake.take(wire.Readings([], 7))
        assert health.counters["dropped.lamps"] == 7


class TestRefusals:
    async def test_no_such_point(self, intake: Intake, inbox: Inbox, health: Health) -> None:
        """A reading of a point that is not there, or with a quality that is none, is refused and counted."""
        intake.take(
            wire.Readings([("nobody.flow", 1.0, 0, None), ("street-1.flow", 1.0, 99, None)], 0)
        )
        await turns()
        assert (len(inbox), health.counters["refused.lamps"]) == (0, 2)


class TestOrder:
    async def test_nothing_overtakes(self, intake: Intake, inbox: Inbox) -> None:
        """A loss comes after the readings before it, and what has to be done after them too."""
        seen: list[int] = []
        intake.take(flows(100))
        intake.take(wire.Lost(["street-1.flow"], "silent"))
        intake.take(lambda: seen.append(len(inbox)))
        await turns()
        assert seen == [101]
        assert inbox.take(1_000).others[-1].value is None  # type: ignore[union-attr]
