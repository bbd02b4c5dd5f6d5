"""What a level of a plan would change, were it set now: worked out beside the live state, changes nothing.

A generator, so that whoever runs the engine can let it work in small pieces: a plan may hold every lamp of a city. What
happens meanwhile may or may not be counted; the answer is a look ahead, no promise. Invariants and minimum times are
left out, and so is what rules do that a level turns on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pilotage.core.arbiter import Demand, PriorityArray
from pilotage.core.graph import Env, Graph
from pilotage.core.interpreter import Interpreter
from pilotage.core.store import Cell, Entity
from pilotage.language import typed
from pilotage.language.functions import metres_between, place_of
from pilotage.language.program import HoldProgram, LevelProgram, SetProgram, StepProgram
from pilotage.model.priorities import Priority

if TYPE_CHECKING:
    from pilotage.core.engine import Engine
    from pilotage.core.plans import Plan

EXAMPLES: Final = 5
"""So many points are named of each clash."""
MOST_OVERRIDES: Final = 100
LAST: Final = 1 << 62
"""The place of a demand that is not made yet: behind all that are."""


@dataclass(slots=True)
class Effect:
    """What becomes of one point of a kind: how many the plan would hold, and how many of these would change.

    Attributes:
        held: Points that the plan would want something of.
        acts: Of these, those that would be wanted otherwise than now.
        same: Those that it would hold as they are.
        dominated: Those that somebody more urgent keeps.
        freed: Points that the plan holds now and would hold no more.
    """

    kind: str
    point: str
    held: int = 0
    acts: int = 0
    same: int = 0
    dominated: int = 0
    freed: int = 0


@dataclass(slots=True)
class Clash:
    """Somebody with another will: a rule, a plan, an operator; at how many points, and some of them."""

    by: str
    level: int
    points: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Foreseen:
    """What a level of a plan would change.

    Attributes:
        dominates: Whose will would not stand any more.
        dominated_by: Whose will would stand all the same.
        overrides: Points that an operator holds against the plan, at most 100 of them.
        doubtful: Combinations of which nobody knows whether they belong to it, or what would be wanted of them.
        enables: Rules that would be turned on.
        asks: Services that would be called, and `notify ROLE`.
        blocked_by: The plan of the same group that is in the way, or nothing.
    """

    plan: str
    level: int
    before: int
    effects: dict[tuple[str, str], Effect] = field(default_factory=dict)
    dominates: dict[tuple[str, int], Clash] = field(default_factory=dict)
    dominated_by: dict[tuple[str, int], Clash] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    doubtful: int = 0
    enables: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    blocked_by: str = ""


class Preview:
    """One look ahead; `found` is whole when `steps` has come to its end."""

    def __init__(self, engine: Engine, name: str, level: int) -> None:
        """Prepare it.

        Raises:
            LookupError: There is no such plan, or it has no such level.
        """
        plan = engine.plans.all.get(name)
        if plan is None:
            raise LookupError(f'there is no plan "{name}"')
        if level != 0 and level not in {p.level for p in plan.program.levels}:
            raise LookupError(f"{name} has no level {level}")
        self._engine = engine
        self._plan = plan
        self._onlooker = _Onlooker(engine.graph)
        self._changes: dict[Cell, dict[str, Demand | None]] = {}
        self.found = Foreseen(name, level, plan.level)

    def steps(self) -> Iterator[None]:
        """Work it out; between two steps lies next to nothing."""
        plan, found = self._plan, self.found
        found.blocked_by = (self._engine.plans.blocker(plan) or "") if found.level else ""
        climbed = [p for p in plan.program.levels if plan.level < p.level <= found.level]
        left = [p for p in plan.program.levels if found.level < p.level <= plan.level]
        found.enables = tuple(dict.fromkeys(name for p in climbed for name in p.enable))
        found.asks = _asks(
            [*(s for p in climbed for s in p.on_enter), *(s for p in left for s in p.on_leave)]
        )
        env = {"plan": _as_if(plan, found.level)}
        for program in climbed:
            yield from self._climb(program, env)
        for program in left:
            for owner, cell in plan.placed(program.level):
                self._changes.setdefault(cell, {})[owner] = None
                yield
        yield from self._judge_all()

    # ── what would be demanded ───────────────────────────────────────────────────────────────

    def _climb(self, program: LevelProgram, env: dict[str, Entity]) -> Iterator[None]:
        for index, hold in enumerate(program.holds):
            owner = f"plan:{self._plan.program.name}/{program.level}.{index}"
            for each in self._combinations(hold.each, env):
                if each is not None:
                    self._demand(hold, each, owner, program.level)
                yield

    def _combinations(
        self, sets: tuple[SetProgram, ...], env: dict[str, Entity]
    ) -> Iterator[dict[str, Entity] | None]:
        """Yield each combination of entities, and None where one more entity was looked at in vain."""
        if not sets:
            yield env
            return
        first, *rest = sets
        for entity in self._candidates(first, env):
            inner = {**env, first.variable: entity}
            belongs = first.where is None or self._onlooker.evaluate(first.where, inner)
            if belongs is True and self._onlooker.is_near(first, env, entity):
                yield from self._combinations(tuple(rest), inner)
                continue
            if belongs is None:
                self.found.doubtful += 1
            yield None

    def _candidates(self, program: SetProgram, env: dict[str, Entity]) -> list[Entity]:
        if program.source is not None:
            return list(self._onlooker.evaluate(program.source, env) or ())
        return list(self._engine.graph.entities_of(program.kind))

    def _demand(self, hold: HoldProgram, env: dict[str, Entity], owner: str, rank: int) -> None:
        entity = self._onlooker.evaluate(hold.target.base, env)
        value = self._onlooker.value_or_text(hold.value, env)
        cell = entity.cells.find(hold.target.point) if isinstance(entity, Entity) else None
        if cell is None or value is None:
            self.found.doubtful += 1
            return
        demand = Demand(
            owner, self._plan.program.name, hold.level, value, "", self._engine.now, rank=rank
        )
        demand.order = LAST
        self._changes.setdefault(cell, {})[owner] = demand

    # ── who would win ────────────────────────────────────────────────────────────────────────

    def _judge_all(self) -> Iterator[None]:
        """Judge each point once, groups before their members; then count."""
        waiting = sorted(self._changes, key=lambda cell: cell.spec.group is None)
        verdicts: dict[Cell, tuple[Demand | None, Demand | None]] = {}
        for cell in waiting:  # grows while it is gone through
            verdicts[cell] = before, after = self._winners(cell)
            members = self._engine.groups.members(cell)
            for member in members:
                owner = f"{cell.id}>"
                known = self._changes.get(member)
                if known is None or member in verdicts:
                    waiting.append(member)
                self._changes.setdefault(member, {})[owner] = _passed_on(owner, after)
                yield
            yield
        for cell, (before, after) in verdicts.items():
            self._count(cell, before, after)
            yield

    def _winners(self, cell: Cell) -> tuple[Demand | None, Demand | None]:
        """Return who decides a point now, and who would."""
        array = cell.array
        trial = PriorityArray(cell)
        if array is not None:
            trial.demands = dict(array.demands)
        for owner, demand in self._changes[cell].items():
            if demand is None:
                trial.demands.pop(owner, None)
            else:
                trial.demands[owner] = demand
        return (array.winner if array is not None else None), trial.best()[0]

    def _count(self, cell: Cell, before: Demand | None, after: Demand | None) -> None:
        name = self._plan.program.name
        kind = cell.entity.kind if cell.entity is not None else ""
        key = (kind, cell.spec.name)
        effect = self.found.effects.setdefault(key, Effect(*key))
        if not any(d is not None and d.by == name for d in self._changes[cell].values()):
            was = before is not None and before.by == name
            effect.freed += was and (after is None or after.by != name)
            return
        effect.held += 1
        if after is None or after.by != name:
            effect.dominated += 1
            if after is not None:
                self._clash(self.found.dominated_by, after, cell)
            return
        now = _wanted_now(cell)
        effect.acts += after.value != now
        effect.same += after.value == now
        if before is not None and before.by != name and before.value != after.value:
            self._clash(self.found.dominates, before, cell)

    def _clash(self, clashes: dict[tuple[str, int], Clash], other: Demand, cell: Cell) -> None:
        clash = clashes.setdefault((other.by, other.level), Clash(other.by, other.level))
        clash.points += 1
        if len(clash.examples) < EXAMPLES:
            clash.examples.append(cell.id)
        is_override = other.level == Priority.OPERATOR and clashes is self.found.dominated_by
        if is_override and len(self.found.overrides) < MOST_OVERRIDES:
            self.found.overrides.append(cell.id)


class _Onlooker(Interpreter):
    """Evaluates without leaving a trace: what would have to be made or called anew to be known is unknown."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph, _silenced)

    def evaluate(self, node: typed.Typed, env: Env) -> Any:
        if isinstance(node, (typed.Window, typed.Pattern, typed.Older, typed.Global)):
            cell = self._graph.known_hoist(node, env)
            return None if cell is None else cell.value
        return super().evaluate(node, env)

    def _wanted(self, node: typed.Wanted, env: Env) -> Any:
        base = self.evaluate(node.read.base, env)
        return _wanted_now(base.cells[node.read.point]) if isinstance(base, Entity) else None

    def is_near(self, program: SetProgram, env: Env, entity: Entity) -> bool:
        """Return whether an entity is within the distance that a set asks for, when it asks for one."""
        if program.within_m is None:
            return True
        centre = self.evaluate(program.of, env) if program.of is not None else None
        middle = place_of(centre) if centre is not None else None
        place = entity.place
        if middle is None or place is None:
            return False
        return metres_between(middle, place) <= program.within_m


def _silenced(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a plugin's function that gives unknown when it fails, and tells nobody."""

    def silenced(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception:
            return None

    return silenced


def _as_if(plan: Plan, level: int) -> Entity:
    """Return the plan's entity as it would be at a level; the live one stays as it is."""
    entity = plan.entity
    other = Entity(entity.id, entity.kind, entity.name, entity.zone, entity.points)
    other.cells.update(entity.cells)
    other.relations = entity.relations
    name = next((p.name for p in plan.program.levels if p.level == level), "off")
    for point, value in (("level", float(level)), ("level_name", name), ("active", level > 0)):
        cell = other.cells[point] = Cell(f"{entity.id}.{point}", entity.cells[point].spec, other)
        cell.value = value
    return other


def _passed_on(owner: str, winner: Demand | None) -> Demand | None:
    """Return what a group would tell its members."""
    if winner is None:
        return None
    demand = Demand(owner, winner.by, winner.level, winner.value, winner.reason, winner.since)
    demand.order = LAST
    return demand


def _wanted_now(cell: Cell) -> Any:
    """Return what is wanted of a point, or what it shows when nobody ever wanted anything of it."""
    array = cell.array
    if array is not None and array.is_decided:
        return array.wanted
    return cell.spec.default if cell.value is None else cell.value


def _asks(steps: list[StepProgram]) -> tuple[str, ...]:
    """Return which services steps call and whom they notify, in order, each once."""
    found: dict[str, None] = {}
    while steps:
        step = steps.pop(0)
        if step.how == "call":
            found[step.parts["spec"].name] = None
        elif step.how == "notify":
            found.update(dict.fromkeys(f"notify {to}" for to in step.parts["to"]))
        steps[:0] = [s for branch in step.branches.values() for s in branch]
    return tuple(found)
