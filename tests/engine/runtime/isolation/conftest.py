"""What the tests of isolation share: a street of lamps, and a plugin that does wrong on request, installed as any other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pilotage.adapter import ConnectionSettings
from pilotage.core.store import Cell, Entity
from pilotage.model.entities import Access, EntitySpec, Kind, OnLoss, PointSpec
from pilotage.model.messages import Input, PointHandle, Reading
from pilotage.model.values import POSITION, number
from pilotage.runtime.clock import SystemClock
from pilotage.runtime.health import Health
from pilotage.runtime.inbox import ConnectionDoor, Inbox
from pilotage.runtime.isolation.host import IsolatedAdapter
from pilotage.runtime.supervisor import ConnectionStatus, State, Supervisor

ROGUE = Path(__file__).parents[3] / "faults" / "rogue"
LAMP = Kind(
    "lamp",
    "Lamp",
    (
        PointSpec("level", number("%"), Access.BOTH, low=0, high=100, on_loss=OnLoss(100.0)),
        PointSpec("place", POSITION, Access.BOTH),
    ),
)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run these tests on the standard loop only: each of them starts processes."""
    return {"asyncio": asyncio.new_event_loop}


class Street:
    """A site with lamps, live as the engine's."""

    name = "testville"

    def __init__(self, lamps: int = 10) -> None:
        self.specs = [EntitySpec(f"L-{n}", "lamp", f"Lamp {n}") for n in range(lamps)]
        self.points = {
            f"{spec.id}.{point.name}": Cell(
                f"{spec.id}.{point.name}", point, Entity(spec.id, "lamp")
            )
            for spec in self.specs
            for point in LAMP.points
        }

    def entities(self, kind: str = "") -> Sequence[EntitySpec]:
        return self.specs if kind in ("", "lamp") else []

    def kind(self, name: str) -> Kind | None:
        return LAMP if name == "lamp" else None

    def point(self, id: str) -> PointHandle | None:  # noqa: A002
        return self.points.get(id)

    def now(self) -> float:
        return time.time()


class Bench:
    """A supervisor with connections of the rogue plugin, and what came in from them."""

    def __init__(self) -> None:
        self.health = Health()
        self.clock = SystemClock()
        self.inbox = Inbox(self.health)
        self.supervisor = Supervisor(self.clock, self.health, first_pause_s=0.02)
        self.street = Street()
        self.adapters: dict[str, IsolatedAdapter] = {}
        self.told: list[str] = []

    def open(
        self, name: str = "vendor", memory: int = 150_000_000, **options: Any
    ) -> IsolatedAdapter:
        """Start an isolated connection."""
        door = ConnectionDoor(name, self.inbox, self.clock, self.health, {})
        settings = ConnectionSettings(name, "rogue", options, isolate=True, memory=memory)
        adapter = self.adapters[name] = IsolatedAdapter(settings, "rogue", self.street, door)
        self.supervisor.start(name, "rogue", adapter, door, lambda: self.told.append(name))
        return adapter

    def status(self, name: str = "vendor") -> ConnectionStatus:
        return next(s for s in self.supervisor.statuses if s.name == name)

    def state(self, name: str = "vendor") -> State:
        return self.status(name).state

    def take(self) -> list[Input]:
        return self.inbox.take(10**9).others

    def readings(self) -> list[tuple[str, Any]]:
        return [(i.point.id, i.value) for i in self.take() if isinstance(i, Reading)]

    async def until(self, true: Callable[[], object], timeout_s: float = 15.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not true():
                await asyncio.sleep(0.005)


@pytest.fixture
def rogue(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the plugin that does wrong, for this test and the processes that it starts."""
    monkeypatch.syspath_prepend(str(ROGUE))
    return ROGUE


@pytest.fixture
async def bench(rogue: Path) -> Any:
    bench = Bench()
    yield bench
    await bench.supervisor.stop_all()
