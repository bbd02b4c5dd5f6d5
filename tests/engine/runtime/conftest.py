"""What the tests of the runtime share: the event loops, a small engine with the core's interface, and recorders."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pilotage.core.city_cells import CityCells
from pilotage.core.store import Entity, PointTable
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.messages import (
    Command,
    Decision,
    Input,
    Noted,
    OrderRefused,
    OrderTaken,
    Outcome,
    Override,
    PlanOrder,
    Reading,
    Reconnected,
)
from pilotage.model.quality import Quality
from pilotage.model.values import enum, number, reference
from pilotage.runtime.config import Settings, load_settings
from pilotage.runtime.health import Health
from pilotage.runtime.journal import SqliteJournal
from pilotage.runtime.plugins import Catalogue
from pilotage.runtime.workshop import CityPlan
from pilotage.service import Service

EPOCH = 1_800_000_000.0


ON_BOTH_LOOPS = (
    "ports/test_",
    "test_control.py::TestCallers",
    "test_control.py::TestClient",
    "test_control.py::TestDecisions",
    "test_dispatcher.py",
    "test_flood.py",
    "test_inbox.py",
    "test_journal.py",
    "test_loop.py",
    "test_loop_watch.py",
    "test_notify.py",
    "test_promises.py",
    "test_service_life.py",
    "test_supervisor.py",
)
"""What faces the event loop: timers, tasks, threads, signals and sockets. What only runs on it is tried on the usual one."""


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the asynchronous tests on the loop that the engine has by default, and what faces the loop on uvloop too."""
    usual = {"asyncio": asyncio.new_event_loop}
    place = item.nodeid.partition("tests/engine/runtime/")[2]
    return {**usual, "uvloop": uvloop.new_event_loop} if place.startswith(ON_BOTH_LOOPS) else usual


FLOW = PointSpec("flow", number("veh/h"), Access.REPORTED, low=0.0, high=10_000.0)
LEVEL = PointSpec("level", number("%"), Access.BOTH, low=0.0, high=100.0, default=100.0)
MODE = PointSpec("mode", enum("auto", "off"), Access.COMMANDABLE)
NEXT = PointSpec("next", reference("street"), Access.REPORTED)
STREET = PointTable((FLOW, LEVEL, MODE, NEXT))


class EchoEngine:
    """Has the core's interface and one rule: a street with a flow below 60 veh/h gets light at 30 %."""

    def __init__(self, streets: int = 3, number: int = 0) -> None:
        self.entities: dict[str, Entity] = {}
        self.number = number
        self.batches: list[list[Input]] = []
        self.times: list[float] = []
        self.due: float | None = None
        self.told_again: list[tuple[str, ...]] = []
        self.fails_on: object = None
        for index in range(1, streets + 1):
            name = f"street-{index}"
            self.entities[name] = Entity(name, "street", points=STREET)
        self.cells = CityCells(self.entities, {"street": list(self.entities.values())})

    @property
    def now(self) -> float:
        return self.times[-1] if self.times else 0.0

    @property
    def turn(self) -> object:
        return None

    def skip_to(self, number: int) -> None:
        self.number = max(self.number, number)

    def next_due(self) -> float | None:
        return self.due

    def tick(self, now: float, inputs: Sequence[Input]) -> Decision | None:
        self.batches.append(list(inputs))
        self.times.append(now)
        events: list[Any] = []
        if self.due is not None and self.due <= now:
            events.append(Noted("timer", f"due at {self.due:.3f}"))
            self.due = None
        for item in inputs:
            events.extend(self._events(item, now))
        if not events:
            return None
        self.number += 1
        return Decision(self.number, now, tuple(events))

    def _events(self, item: Input, now: float) -> list[Any]:
        if self.fails_on is not None and self.fails_on in (item, getattr(item, "value", None)):
            raise ZeroDivisionError("a mistake of the engine")
        if isinstance(item, Reading):
            cell = self.cells[item.point.id]
            cell.put(item.value, item.quality, item.source_time, now)
            if item.point.spec.name == "flow" and item.value is not None and item.value < 60:
                return [self._command(f"{item.point.id.partition('.')[0]}.level", 30.0, now)]
        if isinstance(item, Override):
            if item.person == "nobody":
                return [OrderRefused(f"override {item.point}", item.person, "nobody may not")]
            taken = OrderTaken(f"override {item.point}", item.person, f"set to {item.value}")
            return [taken, self._command(item.point, item.value, now)]
        if isinstance(item, Reconnected):
            self.told_again.append(item.points)
        if isinstance(item, PlanOrder):
            return [OrderTaken(f"plan {item.plan}", item.person, f"level {item.level}")]
        return []

    def _command(self, point: str, value: Any, now: float) -> Command:
        return Command(f"{self.number + 1}.{point}", point, value, now + 5.0, "echo")

    # what the control socket reads

    def point_view(self, point: str) -> dict[str, Any]:
        return {
            "wanted": 30.0,
            "winner": "echo",
            "demands": [{"owner": "echo", "level": 14, "value": 30.0}],
        }

    def rule_views(self) -> list[dict[str, Any]]:
        return [
            {
                "name": "echo",
                "title": "Echo",
                "instances": len(self.entities),
                "states": {"idle": 3},
            }
        ]

    def rule_view(self, rule: str) -> dict[str, Any]:
        if rule != "echo":
            raise LookupError(f'there is no rule "{rule}"')
        return {"rule": self.rule_views()[0], "instances": [{"id": "street-1", "state": "idle"}]}

    def explain_point(self, point: str) -> dict[str, Any]:
        return {"sentence": f"{point} is at 30 % by echo", "winner": "echo"}


class SteppedClock:
    """A clock that tests move by hand."""

    def __init__(self, now: float = EPOCH) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time - EPOCH

    def delay(self, seconds: float) -> float:
        return max(0.0, seconds)


async def until(true: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Wait until something is true, and fail when that takes too long."""
    async with asyncio.timeout(timeout_s):
        while not true():  # any condition, also one that no event tells
            await asyncio.sleep(0.002)


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], Awaitable[None]]:
    return until


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def echo() -> type[EchoEngine]:
    return EchoEngine


@pytest.fixture
def engine() -> EchoEngine:
    return EchoEngine()


@pytest.fixture
def journal(tmp_path: Path, health: Health) -> Any:
    journal = SqliteJournal(tmp_path / "var" / "journal.db", health, lazy_s=0.01)
    journal.open("city")
    yield journal
    journal.close()


# ── a whole service around the small engine ──────────────────────────────────────────────────


class EchoAdapter:
    """A connection that is up at once and remembers what it sends."""

    def __init__(self, settings: Any, site: Any, door: Any) -> None:
        self.settings, self.site, self.door = settings, site, door
        self.sent: list[Any] = []
        self.cancelled = 0

    async def run(self) -> None:
        self.door.connected("echo")
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled += 1

    async def send(self, order: Any) -> Outcome:
        self.sent.append(order)
        return Outcome.ACKNOWLEDGED

    def targets(self) -> tuple[list[str], list[str]]:
        return [spec.id + ".level" for spec in self.site.entities("street")], []


class EchoFactory:
    """Opens echo connections; `broken: true` in the settings is a plugin's mistake."""

    name = "echo"

    def __init__(self) -> None:
        self.opened: dict[str, EchoAdapter] = {}

    def check(self, settings: Any, site: Any) -> list[Any]:
        return []

    def open(self, settings: Any, site: Any, door: Any) -> EchoAdapter:
        if settings.options.get("broken"):
            raise KeyError("topic")
        self.opened[settings.name] = EchoAdapter(settings, site, door)
        return self.opened[settings.name]


class EchoWorkshop:
    """Makes echo engines; `mistake` is what a read finds."""

    def __init__(self) -> None:
        self.factory = EchoFactory()
        self.mistake: Exception | None = None
        self.reads = 0
        self.adopted: list[str] = []
        self.resumed: list[float] = []

    def read(self, settings: Settings, catalogue: Catalogue | None) -> CityPlan:
        self.reads += 1
        if self.mistake is not None:
            raise self.mistake
        kind = Kind("street", "Street", (FLOW, LEVEL, MODE, NEXT))
        catalogue = Catalogue({"street": kind}, {}, {}, {}, {"echo": self.factory}, (), {})
        entities = tuple(EntitySpec(f"street-{n}", "street") for n in (1, 2, 3))
        return CityPlan(settings, catalogue, entities, None, f"digest-{self.reads}", 1)

    def make(self, plan: CityPlan, number: int, now: float) -> EchoEngine:
        return EchoEngine(number=number)

    def views(self, engine: Any) -> Any:
        return engine

    def group_points(self, engine: Any) -> tuple[str, ...]:
        return ()

    def resume(self, engine: Any, now: float) -> None:
        self.resumed.append(now)

    def with_rules(self, plan: CityPlan, digest: str, texts: Any) -> CityPlan:
        return plan

    def recall(self, settings: Settings, state: bytes) -> CityPlan | None:
        return None

    def dump(self, engine: Any, plan: CityPlan) -> bytes:
        values = {id_: c.value for id_, c in engine.cells.items() if isinstance(c.value, float)}
        return json.dumps([engine.number, engine.now, values]).encode()

    def load(self, state: bytes, plan: CityPlan) -> EchoEngine:
        number, now, values = json.loads(state)
        engine = EchoEngine(number=number)
        for id_, value in values.items():
            engine.cells[id_].put(value, Quality.GOOD, now, now)
        return engine

    def fits(self, engine: Any, plan: CityPlan) -> bool:
        return True

    def essentials(self, engine: Any) -> dict[str, Any]:
        raise AssertionError("an echo always fits")

    def kept(self, state: bytes) -> dict[str, Any]:
        raise AssertionError("an echo can always be read")

    def carry(self, kept: dict[str, Any], plan: CityPlan, number: int) -> EchoEngine:
        raise AssertionError("an echo is never carried over")

    def adopt(self, engine: Any, plan: CityPlan, now: float) -> None:
        self.adopted.append(plan.digest)


CONFIG = """\
site: {name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04]}
connections:
  lamps: {adapter: echo}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def workshop() -> EchoWorkshop:
    return EchoWorkshop()


@pytest.fixture
async def service(config: Path, workshop: EchoWorkshop) -> Any:
    service = Service(load_settings(config, {}), workshop)
    await service.start()
    yield service
    await service.stop()
