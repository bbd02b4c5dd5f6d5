"""The engine: the rooms of the core, called in order.

A function of state, inputs and `now`: no clock, no I/O, no await. The same inputs in the same order give the same decisions,
in any process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from pilotage.core.alarms import Alarms
from pilotage.core.arbiter import Arbiter, Demand, PriorityArray
from pilotage.core.city_cells import CityCells
from pilotage.core.evaluator import Evaluator
from pilotage.core.explain import Explainer
from pilotage.core.geography import Geography
from pilotage.core.glass import Glass
from pilotage.core.graph import Env, Formula, Graph
from pilotage.core.groups import Groups
from pilotage.core.interpreter import Interpreter
from pilotage.core.invariants import Invariants
from pilotage.core.modes import Modes
from pilotage.core.orders import Orders
from pilotage.core.patterns import OlderNode, PatternNode
from pilotage.core.plans import Plans
from pilotage.core.reconciler import Reconciler
from pilotage.core.schedule import Schedule, SiteTime
from pilotage.core.sets import Nearby, SetNode
from pilotage.core.store import Cell, Entity, EntitySet, PointTable, to_value
from pilotage.core.stories import Stories
from pilotage.core.timers import Due, Timers
from pilotage.core.windows import WindowNode
from pilotage.language import typed
from pilotage.language.program import (
    DeriveProgram,
    PlanProgram,
    Program,
    RuleProgram,
    StepProgram,
    expressions,
)
from pilotage.language.resolver import status_point
from pilotage.language.typed import Typed
from pilotage.model import sentences
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.messages import (
    Decision,
    Demanded,
    Faulted,
    Reading,
    Relinquished,
    TargetChanged,
)
from pilotage.model.priorities import Priority
from pilotage.model.quality import Quality
from pilotage.model.values import as_plain, set_of

MOST_SETTLINGS: Final = 100
"""Rounds of demands and targets in one tick before the engine says that rules drive each other in a circle."""
NEVER: Final = float("inf")


class Engine:
    """A city's rules at work.

    Attributes:
        cells: Every point by id, relations among them.
        entities: Every entity by id, plans and incidents among them.
        inventory: What it was made with.
        quarantined: The rules in quarantine, with the reason.
    """

    def __init__(
        self,
        program: Program,
        inventory: Sequence[EntitySpec],
        now: float,
        site: SiteTime | None = None,
        *,
        past: Mapping[str, tuple[Any, ...]] | None = None,
        keeps_fresh: bool = False,
        number: int = 0,
    ) -> None:
        """Build the city and start its rules.

        Args:
            program: A rule set without errors.
            inventory: The entities, with first values.
            now: Seconds since 1970.
            site: Where and when the city is.
            past: Values that have lasted: point id to (value, since), or (value, since, when it was heard last).
            number: Of the last decision that was taken before: ids go on from there.
            keeps_fresh: Values never grow stale by age; for tests, in which devices repeat themselves unseen.
        """
        self.program = program
        self.inventory = tuple(inventory)
        self._events: list[Any] = []
        self._number = number
        self._count = 0
        self._faults: dict[str, float] = {}
        self._keeps_fresh = keeps_fresh
        self._off: set[str] = set()
        self.quarantined: dict[str, str] = {}
        self.modes = Modes(self)
        self.timers = Timers()
        self.graph = Graph(program.kinds, self.timers, self._guarded)
        self.graph.clock.now = now
        self.schedule = Schedule(self.graph, site or SiteTime())
        self.interpreter = Interpreter(self.graph, self._guarded)
        self.arbiter = Arbiter(self.timers, self.graph.clock, self.emit)
        self.reconciler = Reconciler(self.graph, self.emit, self._next_id)
        self.groups = Groups(self.graph, self.arbiter)
        self.nearby: Nearby = Geography(self.graph).nearby
        self.evaluator = Evaluator(self)
        self.shadow = Evaluator(_ShadowDesk(self))
        self.stories = Stories(self, self.schedule, self._next_id)
        self.alarms = Alarms(self)
        self.plans = Plans(self, self.enable, self._alarm)
        self.invariants = Invariants(self, self._invariant_alarm)
        self.glass = Glass(self, self._alarm)
        self.orders = Orders(self)
        self.explainer = Explainer(self)
        self._join_rooms()
        self._age_is_due = self._look_at_age  # one for all points: each `self.…` makes another
        self.cells = CityCells(self.graph.entities, self.graph.by_kind)
        self._build_city(inventory, past or {})
        self._start(program)
        self.make_ready()

    # ── the tick ─────────────────────────────────────────────────────────────────────────────

    def tick(self, now: float, inputs: Sequence[Any] = ()) -> Decision | None:
        """Take inputs at a time, and return what was decided, or None when nothing was.

        Args:
            now: Seconds since 1970; never earlier than at the last tick.
            inputs: Readings, results and orders in order of arrival.
        """
        graph = self.graph
        graph.clock.now = now = max(now, graph.clock.now)
        graph.rounds = 0
        if self.timers.first <= now:
            self._run_timers(now)
        self._take(inputs, now)
        graph.turn = None
        if self.arbiter.touched or not graph.is_calm or graph.has_circle:
            self._settle()
            graph.turn = None
        if not self._events:
            return None
        events, self._events = tuple(self._events), []
        self._number += 1
        self._count = 0
        return Decision(self._number, now, events)

    def _run_timers(self, now: float) -> None:
        while (action := self.timers.pop_due(now)) is not None:
            self.graph.turn = action
            action()
            self.graph.flush()

    def _take(self, inputs: Sequence[Any], now: float) -> None:
        """Store each reading and ask whoever reads the point, before the next one comes; orders in their turn.

        The hot path of the engine, so it is long and flat: most readings change nothing that a rule could see, and end
        after two comparisons.
        """
        graph, good, reading = self.graph, Quality.GOOD, Reading
        for item in inputs:
            if type(item) is not reading:
                self.orders.take(item)
                graph.flush()
                continue
            cell: Any
            cell, value, quality, time = item
            react = cell.react
            if react is None or quality is not good or value is None:
                self._take_slowly(item, now)
                continue
            cell.time = time
            cell.quality = good
            if value != cell.value:
                cell.value = value
                cell.since = now
                if react() and not graph.is_calm:
                    graph.flush()

    def _take_slowly(self, reading: Reading, now: float) -> None:
        """Store a reading that is lost, moves something, leads elsewhere or feeds a derived value; make the next one quick."""
        cell, value, quality, time = reading
        assert isinstance(cell, Cell)
        if cell.stale_due is None:
            self._watch_age(cell, time)
        if cell.put(value, quality, time, now):
            self.graph.touch(cell)
            self.graph.flush()
        elif cell.nodes:
            self._refresh(cell)
        if cell.is_plain and not cell.nodes:
            cell.react = self.graph.reaction(tuple(cell.watches))

    def make_ready(self) -> None:
        """Let the first reading of every point that is known already take the short way."""
        self.graph.flush()
        for cell in self.cells.known():
            if cell.is_plain and not cell.nodes and cell.stale_due is not None:
                cell.react = self.graph.reaction(tuple(cell.watches))

    def _refresh(self, cell: Cell) -> None:
        """A reading that says the same again still makes the point younger."""
        for node in cell.nodes:
            if isinstance(node, OlderNode):
                self.graph.mark(node)
        self.graph.flush()

    def _settle(self) -> None:
        """Run changes, demands and targets through until nothing moves."""
        for _ in range(MOST_SETTLINGS):
            self.graph.flush()
            if not self.arbiter.settle() and self.graph.is_calm:
                break
        else:
            self.graph.has_circle = True
        if not self.graph.has_circle:
            return
        self.graph.has_circle = False
        text = sentences.CIRCLE.say()
        self.alarms.raise_own("loop", "rules", "critical", text, passing=True)

    @property
    def turn(self) -> object:
        """Whose turn it is within a tick, as `Graph.turn` has it."""
        return self.graph.turn

    @property
    def number(self) -> int:
        """Number of the last decision."""
        return self._number

    def skip_to(self, number: int) -> None:
        """Go on after a decision that others have recorded."""
        self._number = max(self._number, number)

    def next_due(self) -> float | None:
        """Return when the engine wants the next tick at the latest, or None when it only waits for inputs."""
        return self.timers.next_due()

    # ── what the rooms ask of each other ─────────────────────────────────────────────────────

    @property
    def now(self) -> float:
        """The time of the tick."""
        return self.graph.clock.now

    @property
    def entities(self) -> Mapping[str, Entity]:
        """Every entity by id."""
        return self.graph.entities

    def emit(self, event: Any) -> None:
        """Add an event to the decision."""
        self._events.append(event)

    def run_steps(self, owner: str, by: str, steps: tuple[StepProgram, ...], env: Env) -> None:
        """Start a story of these steps."""
        self.stories.run_steps(owner, by, steps, env)

    @property
    def switched_off(self) -> frozenset[str]:
        """Names of the rules that are off until a plan enables them."""
        return frozenset(self._off)

    def _next_id(self) -> str:
        """Return an id from the decision's number and the place in it."""
        self._count += 1
        return f"{self._number + 1}-{self._count}"

    def _join_rooms(self) -> None:
        graph, arbiter = self.graph, self.arbiter
        graph.make_global = self.schedule.make
        graph.hoisters = {
            typed.Window: partial(WindowNode, graph),
            typed.AllOf: partial(SetNode, graph),
            typed.Aggregate: partial(SetNode, graph),
            typed.Pattern: partial(PatternNode, graph, self.schedule),
            typed.Older: partial(OlderNode, graph),
        }
        graph.on_too_many = partial(self._alarm, "too-many-instances", "rules", "critical")
        arbiter.on_target = self._on_target
        arbiter.on_conflict = self._on_conflict
        arbiter.limited = self.invariants.guards
        arbiter.limit = self.invariants.limit
        self.reconciler.passed_on = self.groups.is_passed_on
        self.reconciler.on_failure = self._on_failure
        self.reconciler.on_fight = self._on_fight
        self.stories.calls = self.reconciler.calls
        self.reconciler.calls.on_unknown = self._on_unknown_call
        self.stories.set_plan = self._plan_step
        self.stories.raise_alarm = partial(self.alarms.raise_own, passing=True)

    def _on_target(self, array: PriorityArray) -> None:
        cell = array.cell
        self.emit(TargetChanged(cell.id, as_plain(array.wanted), array.owner, array.level))
        if cell.wanted is not None:
            self.graph.put(cell.wanted, array.wanted)
        if cell.spec.group is not None:
            self.groups.pass_on(array)
        self.reconciler.pursue(array)

    def _on_conflict(self, cell: Cell, demands: list[Demand]) -> None:
        text = ""
        if demands:
            level = Priority(demands[0].level).word if demands[0].level else "invariant"
            who = " and ".join(d.by for d in demands)
            text = sentences.CONFLICT.say(who=who, point=cell.id, level=level)
        self._alarm("conflict", cell.id, "medium", text)

    def _on_failure(self, cell: Cell, text: str) -> None:
        self._alarm("not-following", cell.id, "medium", text)

    def _invariant_alarm(self, name: str, instance: str, text: str) -> None:
        self._alarm(name, instance, "high", text)

    def _on_fight(self, cell: Cell, text: str) -> None:
        self._alarm("fighting", cell.id, "medium", text)

    def _on_unknown_call(self, name: str, text: str) -> None:
        self.alarms.raise_own("unanswered", name, "medium", text, passing=True)

    def _alarm(self, name: str, instance: str, severity: str, text: str) -> None:
        """Raise one of the engine's own alarms, or end it with an empty text."""
        if text:
            self.alarms.raise_own(name, instance, severity, text)
        else:
            self.alarms.clear_own(name, instance)

    def _plan_step(self, plan: str, level: int, by: str, reason: str) -> None:
        found = self.plans.all.get(plan)
        why = (
            f'there is no plan "{plan}"' if found is None else found.set_by_hand(level, reason, by)
        )
        if why:
            self._alarm(
                "plan-step", by, "medium", f"{by} could not set {plan} to level {level}: {why}"
            )

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a plugin's function: one that fails gives unknown, and is named."""

        @functools.wraps(call)
        def guarded(*arguments: Any) -> Any:
            try:
                return call(*arguments)
            except Exception as error:
                name = f"{call.__module__}.{call.__qualname__}"
                if self.now - self._faults.get(name, -NEVER) >= 60.0:
                    self._faults[name] = self.now
                    self.emit(Faulted(name, f"{type(error).__name__}: {error}"))
                return None

        return guarded

    # ── ages ─────────────────────────────────────────────────────────────────────────────────

    def _watch_age(self, cell: Cell, time: float) -> None:
        """Look when the point would be stale; put back when it has been heard since, so that a reading costs nothing."""
        age = cell.spec.max_age_s
        if age is None or self._keeps_fresh:
            cell.stale_due = NEVER
            return
        cell.stale_due = time + age
        self.timers.at(time + age, Due(self._age_is_due, cell))

    def _look_at_age(self, cell: Cell) -> None:
        cell.stale_due = cell.react = None
        age = cell.spec.max_age_s
        if cell.time is None or cell.value is None or age is None:
            return
        if cell.time + age <= self.now:
            cell.put(None, Quality.STALE, cell.time, self.now)
            self.graph.touch(cell)
        else:
            self._watch_age(cell, cell.time)

    # ── the city ─────────────────────────────────────────────────────────────────────────────

    def _build_city(
        self, inventory: Sequence[EntitySpec], past: Mapping[str, tuple[Any, ...]]
    ) -> None:
        tables = {name: PointTable(_points_of(kind)) for name, kind in self.program.kinds.items()}
        for spec in inventory:
            self._add_entity(spec, tables[spec.kind])
        for plan in self.program.plans:
            self.plans.create(plan)
        for spec in inventory:
            self._fill(spec, past)
        self.add_derived(self.program.derived)
        for entity in list(self.entities.values()):
            for point in entity.points.groups:
                self.groups.add(entity.cells[point])

    def _add_entity(self, spec: EntitySpec, points: PointTable) -> None:
        kind = self.program.kinds[spec.kind]
        if spec.settings:
            points = PointTable(spec.point(point) for point in points.specs.values())
        entity = Entity(spec.id, spec.kind, spec.name, spec.zone, points)
        self.graph.add_entity(entity)
        if kind.relations:
            entity.relations = {
                name: Cell(f"{spec.id}.{name}", PointSpec(name, set_of(target)), entity)
                for name, target in kind.relations.items()
            }

    def _fill(self, spec: EntitySpec, past: Mapping[str, tuple[Any, ...]]) -> None:
        entity, now = self.entities[spec.id], self.now
        for relation, cell in entity.relations.items():
            members = [
                self.entities[i] for i in spec.relations.get(relation, ()) if i in self.entities
            ]
            cell.put(EntitySet(members), Quality.GOOD, now, now)
        values: Mapping[str, Any] = spec.values  # a position may still be a list
        for point, raw in values.items():
            if f"{spec.id}.{point}" not in past:
                self._first_value(entity.cells.find(point), raw, now)
        for point, its in entity.points.specs.items() if past else ():
            lasted = past.get(f"{spec.id}.{point}")
            if lasted is not None and its.access is not Access.FIXED:
                self._first_value(entity.cells[point], *lasted)

    def _first_value(
        self, cell: Cell | None, raw: Any, since: float, heard: float | None = None
    ) -> None:
        if cell is None:
            return
        value = raw if isinstance(raw, Entity) else to_value(cell.spec, raw, self.entities)
        if value is not None:
            time = since if heard is None else heard
            cell.put(value, Quality.GOOD, time, since)
            if cell.spec.access is not Access.FIXED:
                self._watch_age(cell, time)

    def add_derived(self, derived: Sequence[DeriveProgram]) -> None:
        """Make the cells of derived values, then their formulas, what they need first."""
        for program in derived:
            spec = PointSpec(program.name, program.type)
            for entity in self._derived_entities(program):
                if entity is None:
                    self.graph.globals.setdefault(program.name, Cell(f"={program.name}", spec))
                else:
                    entity.cells.setdefault(
                        program.name, Cell(f"{entity.id}.{program.name}", spec, entity)
                    )
        for program in _in_order_of_need(derived):
            value: Typed = program.value
            if program.where is not None:
                unknown = typed.Const(value.at, value.type, None)
                value = typed.Choice(value.at, value.type, value, program.where, unknown)
            for entity in self._derived_entities(program):
                cell = (
                    self.graph.globals[program.name]
                    if entity is None
                    else entity.cells[program.name]
                )
                if cell.source is not None:
                    cell.source.close()
                env = {} if entity is None else {program.variable: entity}
                Formula(self.graph, cell, value, env).begin()
                self.graph.touch(cell)
                if entity is None:
                    self.cells.add(cell)

    def _derived_entities(self, program: DeriveProgram) -> list[Entity | None]:
        return list(self.graph.entities_of(program.kind)) if program.kind else [None]

    # ── rules ────────────────────────────────────────────────────────────────────────────────

    def _start(self, program: Program) -> None:
        self._off = {
            name for plan in program.plans for level in plan.levels for name in level.enable
        }
        for invariant in program.invariants:
            self.invariants.start(invariant)
        for alarm in program.alarms:
            self.alarms.start(alarm)
        for rule in program.rules:
            self.start_rule(rule)
        for plan in program.plans:
            self.plans.start(plan.name)

    def start_rule(self, rule: RuleProgram) -> None:
        """Start a rule, unless it is off or in quarantine."""
        mode = self.modes.of(rule)
        if mode == "off" or rule.name in self._off or rule.name in self.quarantined:
            return
        if rule.when is not None:
            if mode == "live":
                self.stories.start(rule)
        else:
            (self.shadow if mode == "shadow" else self.evaluator).start(rule)

    def stop_rule(self, name: str) -> None:
        """Stop a rule; what it holds is relinquished."""
        for room in self._rooms:
            if room.is_running(name):
                room.stop(name)

    def quarantine(self, name: str, reason: str) -> str:
        """Put a rule into quarantine until it is released or means something else; return why not, or nothing."""
        if all(rule.name != name for rule in self.program.rules):
            return f'there is no rule "{name}"'
        if name in self.quarantined:
            return "it is in quarantine already"
        self.quarantined[name] = reason
        self.stop_rule(name)
        text = sentences.QUARANTINE.say(rule=name, why=reason)
        self._alarm("quarantine", name, "high", text)
        return ""

    def release(self, name: str) -> str:
        """Have a rule decide again; return why not, or nothing."""
        if name not in self.quarantined:
            return "it is not in quarantine"
        self._forget_quarantine(name)
        for rule in self.program.rules:
            if rule.name == name:
                self.start_rule(rule)
        return ""

    def _forget_quarantine(self, name: str) -> None:
        del self.quarantined[name]
        self._alarm("quarantine", name, "high", "")

    def enable(self, name: str, on: bool) -> None:
        """Turn a rule on or off, as a plan asks."""
        rule = next((r for r in self.program.rules if r.name == name), None)
        self.stop_rule(name)
        self._off.discard(name) if on else self._off.add(name)
        if rule is not None and on:
            self.start_rule(rule)

    def is_of(self, kinds: Mapping[str, Kind], inventory: Sequence[EntitySpec]) -> bool:
        """Return whether the engine was made with these kinds and this inventory; kinds of plans belong to the rules."""
        mine, theirs = (
            {name: kind for name, kind in found.items() if not name.startswith("plan:")}
            for found in (self.program.kinds, kinds)
        )
        return self.inventory == tuple(inventory) and mine == theirs

    def resume(self, now: float) -> None:
        """Go on after the engine was gone: its process died, and it was read back from what is on disk.

        What became due meanwhile happens at the next tick, each thing as its rule says (`max_late`).
        """
        self.graph.clock.now = max(now, self.now)
        self.reconciler.reconcile_after_restart()
        self.stories.resume()
        self.graph.flush()

    def adopt(self, program: Program, now: float) -> None:
        """Exchange the rule set in one step; what means the same as before keeps its state.

        The kinds and the inventory stay as they are: a new inventory needs a new engine.
        """
        self.graph.clock.now = max(now, self.now)
        before, self.program = self.program, program
        same_values = {d.name: (d.kind, d.type) for d in before.derived} == {
            d.name: (d.kind, d.type) for d in program.derived
        }
        same_rules = {r.name: r.identity for r in before.rules}.items() & {
            r.name: r.identity for r in program.rules
        }.items()
        for name in self.quarantined.keys() - {name for name, _ in same_rules}:
            self._forget_quarantine(name)
        self.modes.forget({r.name for r in program.rules})
        old_plans = {p.name: p.identity for p in before.plans}
        new_plans = [p for p in program.plans if old_plans.get(p.name) != p.identity]
        self._exchange_plans(before, program, new_plans)
        known = {(d.kind, d.name): d.identity for d in before.derived} if same_values else {}
        new_values = [
            d
            for d in program.derived
            if not d.identity or known.get((d.kind, d.name)) != d.identity
        ]
        self.add_derived(new_values)
        _exchange(
            before.invariants,
            program.invariants,
            False,
            self.invariants.stop,
            self.invariants.start,
        )
        _exchange(before.alarms, program.alarms, same_values, self.alarms.stop, self.alarms.start)
        _exchange(before.rules, program.rules, same_values, self.stop_rule, self.start_rule)
        off, running = self._off, {name for room in self._rooms for name in room.names}
        for rule in [r for r in program.rules if (r.name in off) is (r.name in running)]:
            # It means the same, but may be lent by another plan now.
            (self.stop_rule(rule.name) if rule.name in off else self.start_rule(rule))
        for plan in new_plans:
            self.plans.start(plan.name)
        if new_values or _but_for_rules(before) != _but_for_rules(program):
            self.graph.forget_compiled()
        else:
            stay = set(map(id, program.rules))
            self.graph.forget(e for r in before.rules if id(r) not in stay for e in expressions(r))
        self.graph.flush()

    def _exchange_plans(
        self, before: Program, program: Program, new_plans: Sequence[PlanProgram]
    ) -> None:
        """End the plans that changed, make the new ones, and say which rules they lend."""
        names = {p.name for p in program.plans}
        for plan in before.plans:
            if plan.name not in names or plan.name in {p.name for p in new_plans}:
                self.plans.stop(plan.name)
        for plan in new_plans:
            self.plans.create(plan)
        running = [(p.program, p.level) for p in self.plans.all.values()]
        lent = {name for p, _ in running for level in p.levels for name in level.enable}
        on = {
            n
            for p, now in running
            for level in p.levels
            if level.level <= now
            for n in level.enable
        }
        self._off = lent - on

    @property
    def _rooms(self) -> tuple[Evaluator, Evaluator, Stories]:
        return self.evaluator, self.shadow, self.stories


class _ShadowDesk:
    """The desk of rules in shadow: their demands are recorded, never placed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.graph = engine.graph
        self.interpreter = engine.interpreter
        self.nearby: Nearby = engine.nearby

    @property
    def arbiter(self) -> _ShadowDesk:
        return self

    @property
    def now(self) -> float:
        return self._engine.now

    def emit(self, event: Any) -> None:
        self._engine.emit(event)

    def run_steps(self, owner: str, by: str, steps: tuple[StepProgram, ...], env: Env) -> None:
        """A shadow tells no story."""

    def place(self, cell: Cell, demand: Demand) -> None:
        self.emit(
            Demanded(
                cell.id,
                f"shadow:{demand.owner}",
                demand.level,
                as_plain(demand.value),
                demand.reason,
            )
        )

    def relinquish(self, cell: Cell, owner: str, why: str = "") -> None:
        self.emit(Relinquished(cell.id, f"shadow:{owner}", why))

    def touch(self, cell: Cell) -> None:
        """A shadow has nothing to settle."""


def _points_of(kind: Kind) -> Iterator[PointSpec]:
    """Yield the points of a kind, those of the statuses of its held requests after them."""
    yield from kind.points
    yield from (status for point in kind.points if (status := status_point(point)) is not None)


def _but_for_rules(program: Program) -> set[int]:
    """Return the identities of all declarations that are neither rules nor derived values."""
    return set(map(id, (*program.plans, *program.alarms, *program.invariants)))


def _exchange(
    before: Sequence[Any],
    after: Sequence[Any],
    keep_same: bool,
    stop: Callable[[str], None],
    start: Callable[[Any], None],
) -> None:
    if keep_same:  # most are the very same objects: a reload remembers what it did not read again
        was, is_now = set(map(id, before)), set(map(id, after))
        before = [p for p in before if id(p) not in is_now]
        after = [p for p in after if id(p) not in was]
    old = {p.name: getattr(p, "identity", None) for p in before}
    new = {p.name: getattr(p, "identity", None) for p in after}
    kept = {
        name
        for name, identity in old.items()
        if keep_same and identity and new.get(name) == identity
    }
    for name in old:
        if name not in kept:
            stop(name)
    for program in after:
        if program.name not in kept:
            start(program)


def _in_order_of_need(derived: Sequence[DeriveProgram]) -> list[DeriveProgram]:
    """Return the derived values with those first that others read; the checker has refused circles."""
    by_key = {(d.kind, d.name): d for d in derived}
    ordered: dict[tuple[str, str], DeriveProgram] = {}

    def visit(program: DeriveProgram) -> None:
        key = (program.kind, program.name)
        if key in ordered:
            return
        for node in typed.walk(program.value):
            need = None
            if isinstance(node, typed.Read):
                need = by_key.get((node.base.type.kind, node.point))
            elif isinstance(node, typed.Global):
                need = by_key.get(("", node.key))
            if need is not None:
                visit(need)
        ordered[key] = program

    for program in derived:
        visit(program)
    return list(ordered.values())
