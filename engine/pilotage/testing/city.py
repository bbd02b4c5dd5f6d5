"""A small city with a whole engine around one adapter: beneath which the contract tests kill its equipment."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.adapter import AdapterFactory
from pilotage.hookspecs import hookimpl
from pilotage.model.entities import Kind
from pilotage.model.messages import Command, Decision, Followed, Outcome, Override
from pilotage.model.quality import Quality
from pilotage.model.values import as_plain
from pilotage.runtime.config import load_settings
from pilotage.runtime.plugins import Catalogue, load_plugins
from pilotage.runtime.supervisor import Supervisor
from pilotage.runtime.workshop import CityPlan, CityWorkshop
from pilotage.service import Service

if TYPE_CHECKING:
    from pilotage.runtime.config import Settings
    from pilotage.testing.contract import Bench

STEP_S: Final = 0.02
VERIFIED_S: Final = 60.0
"""How long an engine may take to see that a device follows: it repeats an order that went unanswered."""


async def under_an_engine(bench: Bench, folder: Path) -> None:
    """Kill the equipment again and again beneath a whole engine, and change what is wanted while it is dead.

    Raises:
        AssertionError: A point kept a wrong quality, or an order was lost, doubled or not verified.
    """
    async with _engine(bench, folder) as service:
        city = _Watched(service, bench)
        await city.wants(bench.values[0], "at first")
        for number in range(bench.kills):
            told = f"kill {number + 1}"
            await asyncio.to_thread(bench.peer.kill)
            await city.until(lambda: city.cell.value is None, f"{told}: the point stays known")
            assert not city.cell.quality.is_usable, told
            city.order(bench.values[(number + 1) % len(bench.values)])
            await asyncio.to_thread(bench.peer.start)
            await city.follows(told)
        await city.until(lambda: not city.open_orders, f"orders without an end: {city.open_orders}")
        assert city.doubled == [], "orders with two ends"
        assert service.health.counters.get("faults.bench", 0) == 0, "the adapter raised"
        assert _answered(service) >= len(city.orders), "an order without any outcome"


def _answered(service: Service) -> int:
    counters = service.health.counters
    return sum(counters.get(f"sent.bench.{outcome.value}", 0) for outcome in Outcome)


class _Watched:
    """What the test sees of the engine: one point, and the orders of its journal."""

    def __init__(self, service: Service, bench: Bench) -> None:
        self.orders: list[str] = []
        self.ends: dict[str, int] = {}
        self._service = service
        self._bench = bench
        self._wanted: Any = None
        service.subscribe(self._decided)

    @property
    def cell(self) -> Any:
        """The live point."""
        return self._service.engine.cells[self._bench.point]

    @property
    def open_orders(self) -> list[str]:
        """Orders that have no end yet."""
        return [order for order in self.orders if order not in self.ends]

    @property
    def doubled(self) -> list[str]:
        """Orders with more than one end."""
        return [order for order, count in self.ends.items() if count > 1]

    def order(self, value: Any) -> None:
        """Have a person want a value."""
        self._wanted = value
        until = self._service.clock.now() + 3600.0
        self._service.inbox.put(Override(self._bench.point, value, "tester", "contract", until))

    async def wants(self, value: Any, told: str) -> None:
        """Have a person want a value, and wait until the equipment holds it and the engine knows."""
        self.order(value)
        await self.follows(told)

    async def follows(self, told: str) -> None:
        """Wait until the equipment holds what is wanted, and the engine has read it back with good quality."""
        await self.until(
            self._is_verified, f"{told}: the engine does not read {self._wanted!r} back"
        )
        held = await self._bench.peer.held(self._bench.point)
        assert _close(held, self._wanted), (
            f"{told}: the equipment holds {held!r}, not {self._wanted!r}"
        )

    async def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait until something is true of the engine."""
        end = time.monotonic() + VERIFIED_S
        while not true():
            state = f"value {self.cell.value!r}, {self.cell.quality.value}"
            assert time.monotonic() < end, f"{what} ({state}; {self._service.supervisor.statuses})"
            await asyncio.sleep(STEP_S)

    def _is_verified(self) -> bool:
        return self.cell.quality is Quality.GOOD and _close(self.cell.value, self._wanted)

    def _decided(self, decision: Decision) -> None:
        for event in decision.events:
            if isinstance(event, Command) and event.point == self._bench.point:
                self.orders.append(event.id)
            elif isinstance(event, Followed) and event.command:
                self.ends[event.command] = self.ends.get(event.command, 0) + 1


class _BenchPlugin:
    """The bench as a plugin would bring it."""

    __name__ = "pilotage_bench.plugin"

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    @hookimpl
    def pilotage_kinds(self) -> list[Kind]:
        """Return the kinds of the bench."""
        return list(self._bench.kinds)

    @hookimpl
    def pilotage_adapters(self) -> list[AdapterFactory]:
        """Return the adapter under test."""
        return [self._bench.factory]


class _BenchWorkshop(CityWorkshop):
    """Reads the city of the bench, with its plugin alone."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench

    def read(self, settings: Settings, catalogue: Catalogue | None) -> CityPlan:
        """Read everything, without the plugins that happen to be installed."""
        own = load_plugins([_BenchPlugin(self._bench)], entry_points=False)
        assert not own.broken, own.broken[0].why
        return super().read(settings, catalogue or own)


@asynccontextmanager
async def _engine(bench: Bench, folder: Path) -> AsyncIterator[Service]:
    (folder / "config.yaml").write_text(_config(bench), encoding="utf-8")
    (folder / "rules").mkdir()
    settings = replace(load_settings(folder / "config.yaml", {}), connections=(bench.settings,))
    settings = replace(settings, places={"bench": _place(settings)})
    service = Service(settings, _BenchWorkshop(bench))
    # Several kills within seconds are no city: without this the pauses would grow to half a minute.
    service.supervisor = Supervisor(
        service.clock, service.health, first_pause_s=0.05, longest_pause_s=0.2
    )
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


def _place(settings: Settings) -> Any:
    from pilotage.model.diagnostics import Span

    return Span(str(settings.file), 1, 1)


def _config(bench: Bench) -> str:
    """Return the city of a bench as a configuration; JSON is YAML."""
    things = {
        entity.id: {
            "kind": entity.kind,
            **({"name": entity.name} if entity.name else {}),
            **({"zone": entity.zone} if entity.zone else {}),
            **{name: as_plain(value) for name, value in entity.values.items()},
            **{name: list(ids) for name, ids in entity.relations.items()},
        }
        for entity in bench.entities
    }
    # A socket's path must be short, and a test's folder is not.
    config = {"site": {"name": "bench"}, "inventory": [things]}
    return json.dumps(config, indent=1, ensure_ascii=False)


def _close(found: Any, value: Any) -> bool:
    if isinstance(found, (int, float)) and isinstance(value, (int, float)):
        return abs(found - value) < 1e-6 + 1e-6 * abs(value)
    return bool(found == value)
