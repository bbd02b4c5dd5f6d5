"""What the tests of the core share: a small town of their own, and a clock that they turn by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest

from pilotage.core.engine import Engine
from pilotage.core.schedule import SiteTime
from pilotage.core.store import to_value
from pilotage.language.program import Program
from pilotage.language.rules import load_or_refuse
from pilotage.model.entities import (
    Access,
    CallSpec,
    Combine,
    EntitySpec,
    Function,
    Group,
    Kind,
    Parameter,
    PointSpec,
    Privacy,
    Rate,
)
from pilotage.model.messages import Decision, Reading
from pilotage.model.quality import Quality
from pilotage.model.values import BOOLEAN, NUMBER, POSITION, TEXT, enum, number, reference

EPOCH = 1_768_518_000.0
"""2026-01-16 00:00:00 in Paris, a Friday in winter."""

LAMP = Kind(
    "lamp",
    "Lamp",
    (
        PointSpec(
            "level",
            number("%"),
            Access.BOTH,
            low=0.0,
            high=100.0,
            default=100.0,
            combine=Combine.MAX,
            tolerance=1.0,
        ),
        PointSpec("mode", enum("auto", "eco", "off"), Access.BOTH, default="auto"),
        PointSpec("dim", number("%"), Access.BOTH, default=0.0, combine=Combine.MIN),
        PointSpec("plan", number(), Access.BOTH, combine=Combine.FIRST),
        PointSpec(
            "relay",
            BOOLEAN,
            Access.BOTH,
            default=False,
            combine=Combine.FIRST,
            min_on_s=60.0,
            min_off_s=30.0,
        ),
        PointSpec("siren", BOOLEAN, Access.COMMANDABLE, default=False),
        PointSpec("power", number("W")),
        PointSpec("broken", BOOLEAN),
        PointSpec("position", POSITION, Access.FIXED),
    ),
)
STREET = Kind(
    "street",
    "Street",
    (
        PointSpec("level", number("%"), Access.BOTH, default=100.0, group=Group("lamps", "level")),
        PointSpec("flow", number("veh/h"), max_age_s=300.0),
        PointSpec("speed", number("km/h")),
        PointSpec("temperature", number("°C")),
        PointSpec("a", BOOLEAN),
        PointSpec("b", BOOLEAN),
        PointSpec("c", BOOLEAN),
        PointSpec("x", number()),
        PointSpec("y", number()),
        PointSpec("z", number()),
        PointSpec("state", enum("red", "green", "blue")),
        PointSpec("dimmable", BOOLEAN, Access.FIXED),
        PointSpec("rank", number(), Access.FIXED),
        PointSpec("next", reference("street")),
        PointSpec("main_lamp", reference("lamp")),
        PointSpec("note", TEXT),
        PointSpec("caller", TEXT, privacy=Privacy.PERSONAL),
    ),
    relations={"lamps": "lamp"},
)
JUNCTION = Kind(
    "junction",
    "Junction",
    (
        PointSpec(
            "priority",
            reference(""),
            Access.BOTH,
            combine=Combine.FIRST,
            statuses=("queued", "activated", "completed", "rejected"),
            deadband={"eta": 2.0},
        ),
        PointSpec("gate", enum("up", "down"), Access.BOTH, default="up"),
        PointSpec("position", POSITION, Access.FIXED),
    ),
)
BUS = Kind(
    "bus",
    "Bus",
    (
        PointSpec("position", POSITION, max_age_s=30.0),
        PointSpec("delay", number("s")),
        PointSpec("leader", reference("bus")),
        PointSpec("line", TEXT),
    ),
)
BARRIER = Kind(
    "barrier",
    "Barrier",
    (
        PointSpec(
            "arm", enum("up", "down", "moving"), Access.BOTH, default="up", combine=Combine.FIRST,
            travel_s=4.0, max_rate=Rate(1, 10.0),
        ),
        PointSpec("once", BOOLEAN, Access.COMMANDABLE, default=False, pulse=True),
        PointSpec("step", enum("rest", "turn", "kick"), Access.BOTH, default="rest", pulse=True),
        PointSpec("rung", BOOLEAN, Access.COMMANDABLE, default=False, pulse=True, max_rate=Rate(1, 60.0)),
        PointSpec("relay", BOOLEAN, Access.BOTH, default=False, max_rate=Rate(3, 60.0)),
        PointSpec("car", BOOLEAN),
        PointSpec("van", BOOLEAN),
    ),
)  # fmt: skip
KINDS = {k.name: k for k in (LAMP, STREET, JUNCTION, BUS, BARRIER)}
CALLS = {
    "crew.send": CallSpec(
        "crew.send",
        (Parameter("to", TEXT, required=False),),
        ("accepted", "refused", "done"),
        pulse=False,
    ),
    "gate.open_once": CallSpec("gate.open_once", (Parameter("speed", NUMBER, required=False),)),
}


def written(
    rules: Mapping[str, Any] | None = None,
    *,
    derive: Mapping[str, Any] | None = None,
    plans: Mapping[str, Any] | None = None,
    alarms: Mapping[str, Any] | None = None,
    invariants: Mapping[str, Any] | None = None,
) -> str:
    """Return a rule file; every declaration gets a title and an owner. JSON is YAML."""
    file: dict[str, Any] = {"version": 1}
    groups = {"rules": rules, "plans": plans, "alarms": alarms, "invariants": invariants}
    if derive:
        file["derive"] = derive
    for key, group in groups.items():
        if group:
            file[key] = {n: {"title": n, "owner": "tests", **d} for n, d in group.items()}
    return json.dumps(file, indent=1, ensure_ascii=False)


def loaded(text: str, functions: Sequence[Function] = ()) -> Program:
    """Return a checked rule set of this town."""
    return load_or_refuse({"town.yaml": text}, KINDS, {f.name: f for f in functions}, CALLS)


class Town:
    """A running town: tell it readings and orders at seconds since midnight, ask what was decided.

    Attributes:
        all_events: Everything that was decided so far.
        decisions: The same, tick by tick.
    """

    def __init__(
        self,
        things: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        functions: Sequence[Function] = (),
        past: Mapping[str, tuple[Any, float]] | None = None,
        site: SiteTime | None = None,
        start: float = EPOCH,
        text: str = "",
        **declarations: Any,
    ) -> None:
        self.start = start
        self.functions = functions
        self.all_events: list[Any] = []
        self.decisions: list[Decision] = []
        self._seen = 0
        program = loaded(text or written(**declarations), functions)
        inventory = [_entity(i, dict(v)) for i, v in (things or {"s1": {"kind": "street"}}).items()]
        lasted = {p: (v, start - ago) for p, (v, ago) in (past or {}).items()}
        self.inventory = inventory
        self.engine = Engine(program, inventory, start, site, past=lasted)
        self._tick(start, [])

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.engine.now - self.start

    def _tick(self, now: float, inputs: Iterable[Any]) -> Decision | None:
        decision = self.engine.tick(now, list(inputs))
        if decision is not None:
            self.decisions.append(decision)
            self.all_events.extend(decision.events)
        return decision

    def at(
        self, seconds: float, readings: Mapping[str, Any] | None = None, *orders: Any
    ) -> Decision | None:
        """Let time pass, deadline by deadline, then tell readings and orders in one tick."""
        moment = self.start + seconds
        while (due := self.engine.next_due()) is not None and due < moment:
            self._tick(due, [])
        told = [self.reading(p, v, moment) for p, v in (readings or {}).items()]
        return self._tick(moment, [*told, *orders])

    def reading(self, point: str, value: Any, moment: float) -> Reading:
        """Return what the door would let in."""
        cell = self.engine.cells[point]
        if value is None:
            return Reading(cell, None, Quality.MISSING, moment)
        value = float(value) if type(value) is int else value
        return Reading(cell, to_value(cell.spec, value, self.engine.entities), Quality.GOOD, moment)

    def new(self, *types: type) -> list[Any]:
        """Return the events since the last time somebody asked."""
        fresh, self._seen = self.all_events[self._seen :], len(self.all_events)
        return [e for e in fresh if not types or isinstance(e, types)]

    def events(self, *types: type) -> list[Any]:
        """Return all events of these types."""
        return [e for e in self.all_events if isinstance(e, types)]

    def sent(self) -> list[Any]:
        """Return what left since the last time somebody asked."""
        from pilotage.model.messages import CallOut, Command, Notice, Request

        return self.new(Command, Request, CallOut, Notice)

    def wanted(self, point: str) -> Any:
        """Return what is wanted of a point now; entities by id."""
        cell = self.engine.cells[point]
        array = cell.array
        value = array.wanted if array is not None and array.is_decided else cell.spec.default
        return getattr(value, "id", value)

    def by(self, point: str) -> str:
        """Return who decides a point."""
        explained = self.engine.explainer.point(point)
        assert explained is not None
        return explained.by

    def value(self, point: str) -> Any:
        """Return the value of a point or of a value of the city."""
        cell = self.engine.cells.get(point) or self.engine.graph.globals[point]
        return cell.value

    def state(self, rule: str, instance: str = "") -> str:
        """Return the state of an instance."""
        for room in (self.engine.evaluator, self.engine.shadow):
            for each in room.instances(rule):
                if instance in ("", each.label):
                    return each.state
        return "absent"

    def alarm(self, id_: str) -> str:
        """Return the state of an alarm."""
        found = self.engine.alarms.all.get(id_)
        return found.state if found is not None else "normal"

    def adopt(self, **declarations: Any) -> None:
        """Exchange the rule set."""
        self.engine.adopt(loaded(written(**declarations), self.functions), self.engine.now)


def _entity(id_: str, values: dict[str, Any]) -> EntitySpec:
    kind = KINDS[values.pop("kind")]
    name = values.pop("name", "")
    relations = {r: tuple(values.pop(r)) for r in list(values) if r in kind.relations}
    return EntitySpec(id_, kind.name, name, values, relations)


@pytest.fixture(scope="session")
def town() -> Callable[..., Town]:
    """What makes a town: `town({"s1": {"kind": "street"}}, rules={...})`."""
    return Town


@pytest.fixture(scope="session")
def street_program() -> Callable[..., Program]:
    """What checks rules of the town: `street_program(rules={...})`."""
    return lambda functions=(), **declarations: loaded(written(**declarations), functions)
