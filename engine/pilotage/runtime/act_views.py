"""What people act on, as the answers of `pilotage.api`: plans with their progress, alarms with their causes, incidents.

Reads the core between two ticks and changes nothing.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from pilotage import api
from pilotage.core.alarms import Alarm
from pilotage.core.arbiter import Demand
from pilotage.core.engine import Engine
from pilotage.core.orders import hand_of
from pilotage.core.plans import SECOND_WITHIN_S, Plan
from pilotage.core.progress import STANDINGS, Progress, held
from pilotage.core.store import Cell, Entity, EntitySet
from pilotage.core.why import shown, wanter_of
from pilotage.language.program import AlarmProgram, LevelProgram
from pilotage.language.wording import wording
from pilotage.model.entities import Access
from pilotage.model.priorities import BY_HAND, Priority, parse_priority
from pilotage.model.sentences import heard
from pilotage.model.values import Base, Position, as_plain, format_value

INVARIANT: Final = "invariant:"
"""So begins the name of the alarm of an invariant."""
STANDS: Final = ("raised", "acknowledged")
"""The states in which an alarm's cause lasts and is shown."""


# ── plans ────────────────────────────────────────────────────────────────────────────────────


def plan_of(plan: Plan) -> api.Plan:
    """Return a plan and where it stands."""
    cells, decl = plan.entity.cells, plan.program.decl
    activation = decl.activation
    first = plan.first
    return api.Plan(
        name=plan.program.name,
        title=decl.title.in_language("en") if decl.title else plan.program.name,
        titles=dict(decl.title.texts) if decl.title else {},
        owner=decl.owner.text if decl.owner else "",
        operators=[w.text for w in activation.operators] if activation is not None else [],
        priority=_priority(decl.priority.text if decl.priority else 'plan'),
        group=decl.exclusive_group.text if decl.exclusive_group else "",
        two_people=activation is not None and activation.two_people,
        level=plan.level,
        level_name=cells["level_name"].value or "",
        levels=[level.name for level in plan.program.levels],
        by="a person" if plan.manual is not None else "its conditions" if plan.level else "",
        reason=cells["reason"].value or "",
        since=plan.since,
        until=plan.manual_until,
        asks=[f"confirm level {plan.proposed}"] if plan.proposed is not None else [],
        manual=plan.manual is not None,
        standing=plan.standing,
        undo_until=plan.undo_until,
        proposed=plan.proposed,
        proposed_by=plan.due("confirm"),
        second=None
        if first is None
        else api.SecondPerson(
            person=first.person,
            level=first.level or 0,
            reason=first.reason,
            by=plan.due("second") or SECOND_WITHIN_S,
        ),
        expires_s=plan.manual_expires_s,
    )  # fmt: skip


def _priority(word: str) -> int:
    return int(parse_priority(word) or Priority.PLAN)


def plan_detail(engine: Engine, plan: Plan, progress: Progress) -> api.PlanDetail:
    """Return a plan with its levels and how far it has come."""
    return api.PlanDetail(
        plan=plan_of(plan),
        levels=[_level(engine, plan, level) for level in plan.program.levels],
        parameters=list(_parameters(plan)),
        blocked_by=engine.plans.blocker(plan) or "",
        progress=[
            api.Tally(
                kind=t.kind, point=t.point, held=t.held, confirmed=t.confirmed, waiting=t.waiting, failed=t.failed,
                dominated=t.dominated,
            )
            for _, t in sorted(progress.tallies.items())
        ],
        open=[
            api.OpenPoint(point=o.point, name=o.name, wanted=o.wanted, state=o.state, since=o.since)
            for o in progress.open
        ],
        at=engine.now,
    )  # fmt: skip


def _level(engine: Engine, plan: Plan, level: LevelProgram) -> api.PlanLevel:
    stands = plan.level >= level.level
    return api.PlanLevel(
        level=level.level,
        name=level.name,
        enter=wording(level.enter) if level.enter is not None else "",
        enables=list(level.enable),
        checklist=[
            api.ChecklistItem(
                question=f"checklist:{level.level}:{index}",
                text=engine.interpreter.text(text, plan.env),
                by=by,
                within_s=within,
                due=plan.checklist.get((level.level, index)),
                standing=plan.step(level.level, index),
                done=stands and (level.level, index) not in plan.checklist,
            )
            for index, (text, by, within) in enumerate(level.checklist)
        ],
    )


class PlanListing:
    """What a plan holds, point by point, gathered in small steps."""

    def __init__(self, standing: str = "") -> None:
        """Prepare it for all of them, or for those of one standing."""
        self._standing = standing
        self._found: list[tuple[str, Cell, str]] = []
        self._counts = dict.fromkeys(STANDINGS, 0)

    def steps(self, engine: Engine, plan: Plan) -> Iterator[None]:
        """Gather, in small steps."""
        for cell, standing in held(engine, plan):
            self._counts[standing] += 1
            if self._standing in ("", standing):
                self._found.append((cell.id, cell, standing))
            yield

    def page(self, engine: Engine, after: str, limit: int) -> api.PlanPoints:
        """Return so many of them behind an id, in order of id."""
        self._found.sort(key=lambda found: found[0])
        begin = bisect.bisect_right(self._found, after, key=lambda found: found[0])
        page = self._found[begin : begin + limit]
        return api.PlanPoints(
            points=[_plan_point(engine, cell, standing) for _, cell, standing in page],
            counts=self._counts,
            next=page[-1][0] if begin + limit < len(self._found) else "",
            at=engine.now,
        )


def _plan_point(engine: Engine, cell: Cell, standing: str) -> api.PlanPoint:
    array, entity = cell.array, cell.entity
    pursuit = engine.reconciler.pursuit(cell)
    is_told = pursuit is not None and pursuit.sent_at > 0.0
    owner = array.owner if array is not None else ""
    return api.PlanPoint(
        point=cell.id,
        entity=entity.id if entity is not None else "",
        kind=entity.kind if entity is not None else "",
        name=entity.name if entity is not None else "",
        standing=standing,
        state=pursuit.state if pursuit is not None else "idle",
        wanted=shown(cell.spec, array.wanted) if array is not None else "",
        sent=shown(cell.spec, pursuit.told) if pursuit is not None and is_told else "",
        sent_at=pursuit.sent_at if pursuit is not None and is_told else None,
        reported=shown(cell.spec, cell.value) if cell.value is not None else "",
        reported_at=cell.time,
        confirmed_at=(pursuit.confirmed_at or None) if pursuit is not None else None,
        attempt=pursuit.attempt if pursuit is not None else 0,
        detail=pursuit.detail if pursuit is not None else "",
        by=msgspec.convert(
            wanter_of(engine, owner, is_past=False), api.Wanter, from_attributes=True
        ),
    )


def _parameters(plan: Plan) -> Iterator[api.PlanParameter]:
    for parameter in plan.program.parameters:
        value = plan.entity.cells[parameter.name].value
        is_set = isinstance(value, EntitySet)
        yield api.PlanParameter(
            name=parameter.name,
            type=str(parameter.type),
            value=[e.id for e in value] if is_set else as_plain(value),
            text=", ".join(e.name for e in value)
            if is_set
            else format_value(value, parameter.type),
            low=parameter.low,
            high=parameter.high,
        )


# ── alarms ───────────────────────────────────────────────────────────────────────────────────


def alarms_of(
    engine: Engine, *, all_of_them: bool, trade_of: Callable[[str], str]
) -> list[api.Alarm]:
    """Return the alarms that are not normal, or all, in order of id, each with its cause.

    Args:
        engine: The core.
        all_of_them: Those that are normal too.
        trade_of: The domain of a kind: the engine's own alarms belong to that of their equipment.
    """
    declared = {program.name: program for program in engine.program.alarms}
    alarms = engine.alarms.all if all_of_them else engine.alarms.open
    shown = [alarm for _, alarm in sorted(alarms.items())]
    about = {alarm: _about(engine, alarm) for alarm in shown}
    titles = {name: alarm_titles(engine, name) for name in {alarm.name for alarm in shown}}
    standing: dict[Entity, Alarm] = {}
    for alarm, entity in about.items():
        if entity is not None and alarm.state in STANDS:
            standing.setdefault(entity, alarm)
    causes = _causes(standing)
    return [
        _alarm(
            alarm,
            declared.get(alarm.name),
            titles[alarm.name],
            trade_of(entity.kind) if entity is not None else "",
            entity,
            causes.get(entity, "") if entity else "",
        )
        for alarm, entity in about.items()
    ]


def alarm_titles(engine: Engine, name: str) -> dict[str, str]:
    """Return what a city calls an alarm, by language: a declared one, or that of an invariant; nothing for the engine's own."""
    invariant = name.removeprefix(INVARIANT)
    found: Sequence[Any] = engine.program.alarms if invariant == name else engine.program.invariants
    decl = next((program.decl for program in found if program.name == invariant), None)
    return dict(decl.title.texts) if decl is not None and decl.title else {}


def owners(engine: Engine) -> dict[str, str]:
    """Return to whom each declared alarm belongs."""
    return {
        program.name: program.decl.owner.text if program.decl.owner else ""
        for program in engine.program.alarms
    }


def _alarm(
    alarm: Alarm,
    program: AlarmProgram | None,
    titles: dict[str, str],
    trade: str,
    entity: Entity | None,
    cause: str,
) -> api.Alarm:
    decl = program.decl if program is not None else None
    own = heard(alarm.name, alarm.text) if decl is None else None
    place = entity.place if entity is not None else None
    return api.Alarm(
        id=alarm.id,
        title=alarm.name,
        titles=titles,
        owner=decl.owner.text if decl is not None and decl.owner else trade,
        severity=alarm.severity,
        state=alarm.state,
        since=alarm.since if alarm.raised_at is None else alarm.raised_at,
        changed=alarm.since,
        until=alarm.until,
        person=alarm.acknowledged_by,
        taken_by=alarm.taken_by,
        taken_at=alarm.taken_at,
        suspended_by=alarm.suspended_by,
        reason=alarm.suspended_why,
        text=alarm.text,
        entity=entity.id if entity is not None else "",
        kind=entity.kind if entity is not None else "",
        name=entity.name if entity is not None else alarm.instance,
        zone=entity.zone if entity is not None else "",
        place=_degrees(place),
        cause=cause,
        latched=alarm.latched,
        code=own.code if own is not None else "",
        values=dict(own.values) if own is not None else {},
        restarted=own is not None and own.restarted,
        standing=alarm.standing,
    )


def _about(engine: Engine, alarm: Alarm) -> Entity | None:
    """Return the first entity that an alarm is about; the engine's own are about a point."""
    first = alarm.instance.partition(", ")[0]
    entity = engine.entities.get(first)
    if entity is None and (cell := engine.cells.get(first)) is not None:
        entity = cell.entity
    return entity


def _causes(standing: Mapping[Entity, Alarm]) -> dict[Entity, str]:
    """Return the alarm that stands at what an entity belongs to: what has it among its relations, or what it refers to."""
    causes: dict[Entity, str] = {}
    for entity, alarm in standing.items():
        for relation in entity.relations.values():
            for member in relation.value or ():
                if member is not entity and member in standing:
                    causes.setdefault(member, alarm.id)
    for entity in standing:
        for cell in entity.cells.values():
            if cell.spec.type.base is Base.ENTITY and cell.spec.access is not Access.COMMANDABLE:
                parent = cell.value
                if isinstance(parent, Entity) and parent is not entity and parent in standing:
                    causes.setdefault(entity, standing[parent].id)
    return causes


# ── overrides ────────────────────────────────────────────────────────────────────────────────


def overrides_of(engine: Engine, found: list[api.OverrideShown]) -> Iterator[None]:
    """Find what people hold by hand, in small steps."""
    for cell in list(engine.arbiter.by_hand):
        array = cell.array
        held = [] if array is None else [d for d in array.demands.values() if _is_by_hand(d)]
        if held:
            newest = max(held, key=lambda demand: demand.order)
            entity = cell.entity
            found.append(
                api.OverrideShown(
                    point=cell.id,
                    entity=entity.id if entity is not None else "",
                    name=entity.name if entity is not None else cell.id,
                    value=format_value(as_plain(newest.value), cell.spec.type),
                    person=newest.owner.removeprefix("operator "),
                    reason=newest.reason,
                    since=newest.since,
                    until=newest.until,
                    standing=hand_of(cell),
                )
            )
        yield


def _is_by_hand(demand: Demand) -> bool:
    return demand.level in BY_HAND and demand.owner.startswith("operator ")


# ── incidents ────────────────────────────────────────────────────────────────────────────────


def incidents_of(engine: Engine, *, all_of_them: bool) -> list[api.Incident]:
    """Return the open incidents, or all, the newest first."""
    found = [_incident(entity) for entity in engine.graph.entities_of("incident")]
    wanted = [incident for incident in found if all_of_them or not incident.closed]
    return sorted(wanted, key=lambda incident: -(incident.opened_at or 0.0))


def _incident(entity: Entity) -> api.Incident:
    location = entity.read("location")
    place = location.place if isinstance(location, Entity) else location
    return api.Incident(
        id=entity.id,
        title=entity.read("title") or entity.name,
        type=entity.read("type") or "",
        severity=entity.read("severity") or "",
        opened_at=entity.read("opened_at"),
        closed=entity.read("closed") is True,
        place=_degrees(place),
    )


def _degrees(place: Any) -> tuple[float, float] | None:
    return (place.latitude, place.longitude) if isinstance(place, Position) else None
