"""Some hours of a whole city with every rule there is, from one seed; prints a digest of all decisions.

Run as a script it shows that another process, with other hashes, decides the same.
"""

from __future__ import annotations

import hashlib
import importlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pilotage.core.engine import Engine
from pilotage.core.store import to_value
from pilotage.language.program import Program
from pilotage.language.rules import load_or_refuse
from pilotage.model.entities import Access, EntitySpec, Function, Kind, PointSpec
from pilotage.model.messages import (
    CallOut,
    CallResult,
    Command,
    CommandResult,
    Decision,
    Notice,
    NoticeAcknowledged,
    Outcome,
    Override,
    PlanOrder,
    Reading,
    Request,
)
from pilotage.model.quality import Quality
from pilotage.model.values import Base
from pilotage.runtime.envelope import encode_decision
from pilotage.runtime.plugins import Catalogue, load_plugins

HOME = Path(__file__).parents[3]
START = 1_768_510_800.0
"""2026-01-15 22:00 in Paris: night, and a midnight to come."""
OF_EACH = 12


def city_plugins() -> Catalogue:
    """Return what the plugins bring."""
    names = sorted(p.parent.name for p in HOME.glob("plugins/*/plugin.py"))
    modules = [importlib.import_module(f"{name}.plugin") for name in names]
    return load_plugins(extra=modules, entry_points=False)


def city_functions() -> dict[str, Function]:
    """Return the plugins' functions by name."""
    return dict(city_plugins().functions)


def city_program() -> Program:
    """Return the city's rules and every rule pack as one program."""
    plugins = city_plugins()
    files = sorted([*HOME.glob("plugins/*/rules/*.yaml"), *HOME.glob("rules/*.yaml")])
    texts = {str(f.relative_to(HOME)): f.read_text(encoding="utf-8") for f in files}
    return load_or_refuse(texts, plugins.kinds, plugins.functions, plugins.calls)


def some_value(spec: PointSpec, dice: random.Random, ids: dict[str, list[str]]) -> Any:
    """Return a value that a device could report."""
    match spec.type.base:
        case Base.NUMBER | Base.TIME:
            low = spec.low if spec.low is not None else -10.0
            high = spec.high if spec.high is not None else low + 300.0
            return round(dice.uniform(low, min(high, low + 300.0)), 1)
        case Base.BOOLEAN:
            return dice.random() < 0.5
        case Base.ENUM:
            return dice.choice(spec.type.members)
        case Base.POSITION:
            return (47.32 + dice.uniform(-0.004, 0.004), 5.04 + dice.uniform(-0.004, 0.004))
        case Base.ENTITY:
            pool = ids.get(spec.type.kind, [])
            return dice.choice(pool) if pool else None
        case _:
            return f"text {dice.randrange(5)}"


def inventory(kinds: dict[str, Kind], dice: random.Random) -> list[EntitySpec]:
    """Return a dozen things of each kind."""
    ids = {k: [f"{k}-{i}" for i in range(OF_EACH)] for k in kinds}
    found = []
    for kind in kinds.values():
        for id_ in ids[kind.name]:
            values = {
                p.name: value
                for p in kind.points
                if (p.access is Access.FIXED or dice.random() < 0.5)
                and not p.is_request
                and (value := some_value(p, dice, ids)) is not None
            }
            relations = {
                r: tuple(dice.sample(ids[k], 3)) for r, k in kind.relations.items() if k in ids
            }
            found.append(EntitySpec(id_, kind.name, id_, values, relations))
    return found


class Day:
    """A city under random inputs; `split` tells the inputs of a tick in two ticks of the same time."""

    def __init__(self, program: Program, seed: int, *, split: bool = False) -> None:
        self.dice = random.Random(seed)
        kinds = {n: k for n, k in program.kinds.items() if not n.startswith("plan:")}
        specs = inventory(dict(sorted(kinds.items())), self.dice)
        self.ids: dict[str, list[str]] = {}
        for spec in specs:
            self.ids.setdefault(spec.kind, []).append(spec.id)
        self.engine = Engine(program, specs, START)
        self.split = split
        self.answers: list[Any] = []
        self.plans = [p.name for p in program.plans]
        cells = self.engine.cells.values()
        self.reported = [
            c for c in cells if c.spec.access in (Access.REPORTED, Access.BOTH)
            and c.entity is not None and c.spec.name in {p.name for p in kinds_of(program, c.entity.kind)}
            and not c.spec.is_request
        ]  # fmt: skip
        self.settable = [c for c in self.reported if c.spec.access is Access.BOTH]

    def go_on_with(self, engine: Engine) -> None:
        """Let another engine decide from now on."""
        self.engine = engine
        self.reported = [engine.cells[cell.id] for cell in self.reported]
        self.settable = [engine.cells[cell.id] for cell in self.settable]

    def decisions(self, ticks: int) -> Iterator[Decision]:
        """Run, and return what is decided."""
        now = START
        yield from self._tick(now, [])
        for _ in range(ticks):
            now += self.dice.choice([0.5, 7.0, 20.0, 20.0, 90.0])
            while (due := self.engine.next_due()) is not None and due < now:
                yield from self._tick(due, [])
            yield from self._tick(now, self._inputs(now))

    def _tick(self, now: float, inputs: list[Any]) -> Iterator[Decision]:
        half = len(inputs) // 2 if self.split else 0
        for part in (inputs[:half], inputs[half:]) if half else (inputs,):
            decision = self.engine.tick(now, part)
            if decision is not None:
                self.answers.extend(decision.outgoing)
                yield decision

    def _inputs(self, now: float) -> list[Any]:
        dice, inputs = self.dice, []
        told: set[str] = set()
        for order in self.answers:
            inputs += self._answer(order, now, told)
        self.answers = []
        for cell in dice.sample(self.reported, 25):
            if cell.id not in told:
                raw = None if dice.random() < 0.1 else some_value(cell.spec, dice, self.ids)
                inputs.append(self._reading(cell, raw, now))
        if dice.random() < 0.1:
            cell = dice.choice(self.settable)
            value = some_value(cell.spec, dice, self.ids)
            inputs.append(Override(cell.id, value, f"op-{dice.randrange(3)}", "works", now + 900))
        if dice.random() < 0.03:
            inputs.append(
                PlanOrder(dice.choice(self.plans), dice.choice([0, 1, 2, None]), "op", "works")
            )
        return inputs

    def _reading(self, cell: Any, raw: Any, now: float) -> Reading:
        value = None if raw is None else to_value(cell.spec, raw, self.engine.entities)
        return Reading(cell, value, Quality.GOOD if value is not None else Quality.MISSING, now)

    def _answer(self, order: Any, now: float, told: set[str]) -> list[Any]:
        if self.dice.random() < 0.2:
            return []
        if isinstance(order, Command) and order.point not in told:
            told.add(order.point)
            cell = self.engine.cells[order.point]
            result = CommandResult(order.id, Outcome.ACKNOWLEDGED)
            reads_back = cell.spec.access is Access.BOTH
            return [result, self._reading(cell, order.value, now)] if reads_back else [result]
        if isinstance(order, Request):
            cell = self.engine.cells[f"{order.point}.status"]
            return [self._reading(cell, self.dice.choice(cell.spec.type.members), now)]
        if isinstance(order, CallOut):
            return [CallResult(order.id, self.dice.choice(["accepted", "refused", "done"]))]
        if isinstance(order, Notice) and order.acknowledge_by is not None:
            return [NoticeAcknowledged(order.id, "op")]
        return []


def kinds_of(program: Program, kind: str) -> tuple[PointSpec, ...]:
    """Return the points that a kind declares itself."""
    found = program.kinds.get(kind)
    return found.points if found is not None else ()


def digest(program: Program, seed: int, ticks: int) -> tuple[str, int]:
    """Return the digest of all decisions, and how many events they hold."""
    sha, events = hashlib.sha256(), 0
    for decision in Day(program, seed).decisions(ticks):
        sha.update(encode_decision(decision))
        events += len(decision.events)
    return sha.hexdigest(), events


if __name__ == "__main__":
    sys.stdout.write(" ".join(map(str, digest(city_program(), int(sys.argv[1]), int(sys.argv[2])))))
