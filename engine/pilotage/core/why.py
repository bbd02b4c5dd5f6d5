"""Why a point is as it is: who wants what at which level, who decides, who would otherwise, and how far the equipment is.

Everything here is plain data, so that a page can say it in any language; read from the live state or from a past one, and
changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pilotage.core.arbiter import (
    DEFAULT,
    DEFAULT_LEVEL,
    INVARIANT_LEVEL,
    MINIMUM_TIME,
    Demand,
    PriorityArray,
)
from pilotage.core.explain import level_word
from pilotage.core.replayed import PastPoint
from pilotage.core.store import Cell, Entity, to_value
from pilotage.language.program import Program
from pilotage.model.entities import PointSpec
from pilotage.model.priorities import Priority
from pilotage.model.values import as_plain, format_value

if TYPE_CHECKING:
    from pilotage.core.engine import Engine

PLAN: Final = "plan:"
PERSON: Final = "operator "
_TAIL: Final = re.compile("[#@!]")


@dataclass(frozen=True, slots=True)
class Wanter:
    """Who wants something of a point.

    Attributes:
        sort: `rule`, `plan`, `person`, `invariant`, `group`, `minimum_time` or `default`.
        name: Of the rule, plan, person, invariant or group point; empty for the last two.
        instance: Of the rule: its entities.
        level: Of the plan.
        titles: What the city calls it, by language; empty where it says nothing.
        through: The group point that passes it on to its members.
        by, since: Of a plan that is active: who set its level last, and when it began.
    """

    sort: str
    name: str = ""
    instance: str = ""
    level: int = 0
    titles: Mapping[str, str] | None = None
    through: str = ""
    by: str = ""
    since: float | None = None


@dataclass(frozen=True, slots=True)
class DemandWhy:
    """One demand in a priority array.

    Attributes:
        result: `wins`; `limited` (it would, but an invariant or a minimum time stands above it); `next` (it decides when the
            winner leaves); `dominated`.
    """

    level: int
    level_word: str
    who: Wanter
    value: Any
    text: str
    reason: str
    since: float
    until: float | None
    result: str


@dataclass(frozen=True, slots=True)
class Otherwise:
    """What would be wanted without whoever decides now."""

    who: Wanter
    level: int
    level_word: str
    value: Any
    text: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """How far the equipment is with what is wanted.

    Attributes:
        state: `idle`, `waiting` (held back by a rate), `sent`, `done` (confirmed), `failed`, `local` (changed at the device),
            `unheard` (its report was lost), `passed_on` (its members are told); `given_back` when nobody commands it.
        command: Id of the last command; empty when none was needed.
        sent_at, confirmed_at: Seconds since 1970; None when it was not.
        attempt: How often it was told.
        deadline: When the last command may leave at the latest.
        detail: What is known of a bad end.
    """

    state: str
    command: str = ""
    sent_text: str = ""
    sent_at: float | None = None
    confirmed_at: float | None = None
    attempt: int = 0
    deadline: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PointWhy:
    """Everything that decides one point.

    Attributes:
        is_decided: False when nobody has ever wanted anything of the point: the equipment is left alone.
        since: When the wanted value was last changed.
        winner: The demand that wins, or would without what stands above it; None for the default.
        otherwise: What would be wanted without whoever decides; None when nobody does.
    """

    point: str
    is_commandable: bool
    is_decided: bool
    wanted: Any
    text: str
    level: int
    level_word: str
    who: Wanter
    since: float | None
    winner: DemandWhy | None
    demands: tuple[DemandWhy, ...]
    otherwise: Otherwise | None
    way: Way | None


# ── now ──────────────────────────────────────────────────────────────────────────────────────


def why_point(engine: Engine, id_: str) -> PointWhy | None:
    """Return who decides a point now, or None when there is no such point."""
    cell = engine.cells.get(id_)
    if cell is None:
        return None
    array = cell.array or PriorityArray(cell)
    return _explained(engine, array, _way(engine, cell))


def _way(engine: Engine, cell: Cell) -> Way | None:
    pursuit = engine.reconciler.pursuit(cell)
    if pursuit is None:
        return None
    if cell.spec.group is not None and engine.groups.is_passed_on(cell):
        return Way("passed_on")
    is_told = pursuit.sent_at > 0.0
    return Way(
        pursuit.state,
        pursuit.command,
        shown(cell.spec, pursuit.told) if is_told else "",
        pursuit.sent_at if is_told else None,
        pursuit.confirmed_at or None,
        pursuit.attempt,
        pursuit.deadline or None,
        pursuit.detail,
    )


# ── a time gone by ───────────────────────────────────────────────────────────────────────────


def why_past(engine: Engine, past: PastPoint) -> PointWhy | None:
    """Return who decided a point at a time, from its replayed demands; None when there is no such point.

    Kinds, titles and combiners are those of today. Invariants of then are not judged again: what one of them decided is
    in the record, what it would have decided is not.
    """
    cell = engine.cells.get(past.point)
    if cell is None:
        return None
    array = _past_array(engine, cell.spec, past)
    return _explained(engine, array, _past_way(cell.spec, past, engine), is_past=True)


def _past_array(engine: Engine, spec: PointSpec, past: PastPoint) -> PriorityArray:
    array = PriorityArray(Cell(past.point, spec))
    for order, demand in enumerate(sorted(past.demands.values(), key=lambda d: d.number)):
        array.demands[demand.owner] = found = Demand(
            demand.owner,
            _name(demand.owner),
            demand.level,
            _alive(engine, spec, demand.value),
            demand.reason,
            demand.since,
            demand.until,
            rank=_plan_level(demand.owner),
        )
        found.order = order
    array.winner, _ = array.best()
    array.candidate = array.winner.value if array.winner is not None else spec.default
    array.is_decided, array.wanted = past.is_decided, _alive(engine, spec, past.wanted)
    array.owner, array.level, array.changed_at = past.owner, past.level, past.since
    return array


def _alive(engine: Engine, spec: PointSpec, value: Any) -> Any:
    """Return a recorded value as the live state holds it; one that no longer fits as it was written."""
    found = to_value(spec, value, engine.entities)
    return value if found is None else found


def _past_way(spec: PointSpec, past: PastPoint, engine: Engine) -> Way | None:
    if not past.is_decided:
        return None
    state = {"": "sent" if past.command else "idle", "done": "done", "local": "local"}
    return Way(
        state.get(past.outcome, "failed"),
        past.command,
        shown(spec, _alive(engine, spec, past.told)) if past.command else "",
        past.sent_at,
        past.ended_at if past.outcome == "done" else None,
        past.attempt,
        None,
        past.detail,
    )


# ── both ─────────────────────────────────────────────────────────────────────────────────────


def _explained(
    engine: Engine, array: PriorityArray, way: Way | None, *, is_past: bool = False
) -> PointWhy:
    cell = array.cell
    spec = cell.spec
    teller = _Teller(engine, is_past)
    is_limited = array.is_decided and array.level in (INVARIANT_LEVEL, Priority.MINIMUM_TIME)
    is_limited = is_limited and array.owner not in array.demands
    otherwise, following = _otherwise(engine, array, is_limited, teller, is_past)
    demands: list[DemandWhy] = []
    winner: DemandWhy | None = None
    for demand in sorted(array.in_order(), key=lambda d: (d.level, d is not array.winner)):
        result = "next" if demand is following else "dominated"
        if demand is array.winner:
            result = "limited" if is_limited else "wins"
        told = DemandWhy(
            demand.level,
            level_word(demand.level),
            teller.who(demand.owner, demand.by),
            as_plain(demand.value),
            shown(spec, demand.value),
            demand.reason,
            demand.since,
            demand.until,
            result,
        )
        demands.append(told)
        winner = told if demand is array.winner else winner
    decides = Wanter("default")
    if is_limited:
        decides = teller.above(array.owner)
    elif winner is not None and array.is_decided:
        decides = winner.who
    wanted = array.wanted if array.is_decided else spec.default
    return PointWhy(
        cell.id,
        spec.access.is_commandable,
        array.is_decided,
        as_plain(wanted),
        shown(spec, wanted) if spec.access.is_commandable else "",
        array.level,
        level_word(array.level),
        decides,
        array.changed_at,
        winner,
        tuple(demands),
        otherwise if array.is_decided else None,
        way,
    )


def _otherwise(
    engine: Engine, array: PriorityArray, is_limited: bool, teller: _Teller, is_past: bool
) -> tuple[Otherwise | None, Demand | None]:
    """Return what would be wanted without whoever decides, and the demand behind it."""
    winner, spec = array.winner, array.cell.spec
    if is_limited:
        return _as_otherwise(spec, winner, array.candidate, teller), None
    if winner is None:
        return None, None
    rest = without(array, winner)
    following, _ = rest.best()
    value = following.value if following is not None else spec.default
    if not is_past and array.cell in engine.arbiter.limited:
        value, invariant = engine.invariants.would_limit(array.cell, value)
        if invariant:
            return (
                Otherwise(
                    teller.above(invariant),
                    INVARIANT_LEVEL,
                    level_word(INVARIANT_LEVEL),
                    as_plain(value),
                    shown(spec, value),
                ),
                None,
            )
    return _as_otherwise(spec, following, value, teller), following


def _as_otherwise(spec: PointSpec, demand: Demand | None, value: Any, teller: _Teller) -> Otherwise:
    level = DEFAULT_LEVEL if demand is None else demand.level
    return Otherwise(
        Wanter(DEFAULT) if demand is None else teller.who(demand.owner, demand.by),
        level,
        level_word(level),
        as_plain(value),
        shown(spec, value),
        None if demand is None else demand.until,
    )


def without(array: PriorityArray, demand: Demand) -> PriorityArray:
    """Return the priority array as it would be without whoever has placed a demand.

    A plan leaves with all its levels, a person with all that they ask; of a rule it is this instance that leaves, since
    the others stay for reasons of their own.
    """
    rest = PriorityArray(array.cell)
    gone = _party(demand)
    rest.demands = {owner: d for owner, d in array.demands.items() if _party(d) != gone}
    return rest


def _party(demand: Demand) -> str:
    """Return what leaves as one."""
    return _party_of(demand.owner)


def _party_of(owner: str) -> str:
    return owner.partition("/")[0] if owner.startswith(PLAN) else owner.partition("#")[0]


def rule_and_instance(owner: str) -> tuple[str, str]:
    """Return the rule and the entities of an owner such as `dim[seg-1]#2` or `intrusion-response[door-1]@31`."""
    if "[" not in owner:
        return _TAIL.split(owner)[0], ""
    name, _, rest = owner.partition("[")
    return name, rest.rpartition("]")[0]


def _name(owner: str) -> str:
    """Return what demands of the same rule, plan or person have in common."""
    return _party_of(owner) if owner.startswith(PLAN) else rule_and_instance(owner)[0]


def shown(spec: PointSpec, value: Any) -> str:
    """Return a value of a point as people read it; of a request that stands for nobody, `nothing`."""
    if spec.is_request and value is None:
        return "nothing"
    return format_value(as_plain(value) if isinstance(value, Entity) else value, spec.type)


def _plan_level(owner: str) -> int:
    level = owner.partition("/")[2].partition(".")[0]
    return int(level) if owner.startswith(PLAN) and level.isdecimal() else 0


class _Teller:
    """Says who stands behind the owner of a demand."""

    def __init__(self, engine: Engine, is_past: bool) -> None:
        self._engine = engine
        self._is_past = is_past

    def above(self, owner: str) -> Wanter:
        """Return who stands above all demands."""
        if owner == MINIMUM_TIME:
            return Wanter("minimum_time")
        return Wanter("invariant", owner, titles=titles_of(self._engine.program, owner))

    def who(self, owner: str, by: str) -> Wanter:
        """Return who has placed a demand."""
        if owner.startswith(PERSON):  # first: a name may end as it likes
            return Wanter("person", owner.removeprefix(PERSON))
        if owner.endswith(">"):
            return self._through(owner[:-1])
        if owner.startswith(PLAN):
            return self._plan(owner)
        name, instance = rule_and_instance(owner)
        return Wanter("rule", name, instance, titles=titles_of(self._engine.program, name))

    def _plan(self, owner: str) -> Wanter:
        name = owner.removeprefix(PLAN).partition("/")[0]
        titles = titles_of(self._engine.program, PLAN + name)
        plan = self._engine.plans.all.get(name)
        if plan is None or self._is_past:
            return Wanter("plan", name, level=_plan_level(owner), titles=titles)
        return Wanter(
            "plan", name, level=_plan_level(owner), titles=titles, by=plan.by, since=plan.since
        )

    def _through(self, group: str) -> Wanter:
        """Return who decides the group point that passes its demand on."""
        cell = self._engine.cells.get(group)
        winner = cell.array.winner if cell is not None and cell.array is not None else None
        if winner is None or self._is_past:  # who decided there is in the group's own records
            return Wanter("group", group, through=group)
        found = self.who(winner.owner, winner.by)
        return Wanter(
            found.sort, found.name, found.instance, found.level, found.titles, group, found.by,
            found.since,
        )  # fmt: skip


def wanter_of(engine: Engine, owner: str, *, is_past: bool = True) -> Wanter:
    """Return who is meant by the owner in a record: of a demand, a target or a command; or by that of a live point."""
    teller = _Teller(engine, is_past)
    if owner == DEFAULT:
        return Wanter("default")
    is_above = owner == MINIMUM_TIME or any(i.name == owner for i in engine.program.invariants)
    return teller.above(owner) if is_above else teller.who(owner, "")


def titles_of(program: Program, name: str) -> Mapping[str, str]:
    """Return what a city calls a rule, an invariant or `plan:NAME`, by language."""
    found: Sequence[Any]
    if name.startswith(PLAN):
        name, found = name.removeprefix(PLAN), program.plans
    else:
        found = (*program.rules, *program.invariants)
    decl = next((p.decl for p in found if p.name == name), None)
    return dict(decl.title.texts) if decl is not None and decl.title is not None else {}
