"""What a city keeps when its engine cannot be read back as it was: the inventory has changed, or the engine's own code.

Values, overrides, plans, the alarms' acknowledgements, rests and open incidents, as plain data under names that people know.
Conditions find the past in the values: a `for` goes on from when its value changed. Windows begin anew, and runs of stories end.
"""

from __future__ import annotations

from typing import Any, Final

from pilotage.core.alarms import Alarm
from pilotage.core.arbiter import Demand
from pilotage.core.city_cells import INCIDENT_POINTS
from pilotage.core.engine import Engine
from pilotage.core.glass import Broken
from pilotage.core.modes import Hand
from pilotage.core.plans import Plan
from pilotage.core.store import Cell, Entity, EntitySet, to_value
from pilotage.model.entities import Access
from pilotage.model.messages import RunChanged
from pilotage.model.priorities import BY_HAND, Priority
from pilotage.model.values import as_plain

VERSION: Final = 1
Past = dict[str, tuple[Any, float, float]]


def essentials(engine: Engine) -> dict[str, Any]:
    """Return what lasts of a city, as plain data."""
    return {
        "version": VERSION,
        "now": engine.now,
        "values": {cell.id: _value(cell) for cell in engine.cells.known() if _is_reported(cell)},
        "overrides": [o for cell in engine.cells.known() if cell.array for o in _overrides(cell)],
        "plans": {name: _plan(plan) for name, plan in engine.plans.all.items()},
        "alarms": {id_: _alarm(a) for id_, a in engine.alarms.all.items() if a.state != "normal"},
        "rests": {
            "holds": {
                rule: [[list(key), until] for key, until in rests.items()]
                for rule, rests in engine.evaluator.rests.items()
            },
            "stories": [[list(key), until] for key, until in engine.stories.rests.items()],
        },
        "incidents": [_incident(i) for i in engine.graph.entities_of("incident")],
        "commands": engine.reconciler.remember(),
        "quarantined": {
            rule.name: [rule.identity, engine.quarantined[rule.name]]
            for rule in engine.program.rules
            if rule.name in engine.quarantined
        },
        "modes": {
            n: [h.mode, h.person, h.reason, h.since] for n, h in engine.modes.by_hand.items()
        },
        "glass": [
            [b.person, b.post, b.reason, b.since, b.until] for b in engine.glass.broken.values()
        ],
        "runs": [[r.id, r.by, r.instance] for r in engine.stories.all_runs()],
    }


def past_of(kept: dict[str, Any]) -> Past:
    """Return the values for a new engine: point to value, since when, and when it was heard last."""
    return {point: (value, since, time) for point, (value, since, time) in kept["values"].items()}


def carry_over(engine: Engine, kept: dict[str, Any]) -> None:
    """Have a new engine, which was made with `past_of`, take up what lasts.

    What has no place any more (a point, a plan or an alarm that is gone) is left out.
    """
    engine.reconciler.recall(kept.get("commands", {}))
    for row in kept["incidents"]:
        _reopen(engine, row)
    _rest_on(engine, kept["rests"])
    _quarantine_again(engine, kept.get("quarantined", {}))
    _put_again(engine, kept.get("modes", {}))
    for row in kept.get("glass", ()):
        engine.glass.take_up(Broken(*row))
    for row in kept["overrides"]:
        _override_again(engine, row)
    for name, row in kept["plans"].items():
        if name in engine.plans.all:
            _stand_again(engine, engine.plans.all[name], row)
    for row in kept["alarms"].values():
        engine.alarms.take_up(row)
    for id_, rule, instance in kept["runs"]:
        engine.emit(RunChanged(id_, rule, instance, "abandoned"))
    engine.graph.flush()


# ── values ───────────────────────────────────────────────────────────────────────────────────


def _is_reported(cell: Cell) -> bool:
    return (
        cell.value is not None  # of most points in a city that begins nothing is known
        and cell.entity is not None
        and cell.source is None
        and cell.spec.access is not Access.FIXED
        and cell.since is not None
        and cell.entity.kind != "incident"
        and not cell.entity.id.startswith("plan:")
        and cell.entity.cells.has(cell.spec.name)
    )


def _value(cell: Cell) -> list[Any]:
    since = cell.since or 0.0
    return [_plain(cell.value), since, since if cell.time is None else cell.time]


def _plain(value: Any) -> Any:
    if isinstance(value, EntitySet):
        return [entity.id for entity in value]
    return value.id if isinstance(value, Entity) else as_plain(value)


# ── overrides ────────────────────────────────────────────────────────────────────────────────


def _overrides(cell: Cell) -> list[list[Any]]:
    demands = cell.array.demands.values() if cell.array is not None else ()
    return [
        [cell.id, _plain(d.value), d.owner, d.reason, d.since, d.until, d.level]
        for d in demands
        if d.level in BY_HAND and d.owner.startswith("operator ")
    ]


def _override_again(engine: Engine, row: list[Any]) -> None:
    point, plain, owner, reason, since, until, level = (*row, int(Priority.OPERATOR))[:7]
    cell = engine.cells.get(point)
    value = to_value(cell.spec, plain, engine.entities) if cell is not None else None
    if cell is None or value is None or not cell.spec.access.is_commandable:
        return
    demand = Demand(owner, owner, level, value, reason, since, until)
    engine.arbiter.place(cell, demand)


# ── plans ────────────────────────────────────────────────────────────────────────────────────


def _plan(plan: Plan) -> dict[str, Any]:
    reason = plan.entity.cells["reason"].value if plan.entity.cells.has("reason") else ""
    own = {p.name for p in plan.program.parameters}
    cells = plan.entity.cells
    changed = {n: _plain(cells[n].value) for n in own if n in plan.changed_parameters}
    return {
        "level": plan.level,
        "automatic": plan.automatic,
        "manual": plan.manual,
        "manual_until": plan.manual_until,
        "since": plan.since,
        "reason": reason,
        "by": plan.by,
        "parameters": changed,
    }


def _stand_again(engine: Engine, plan: Plan, row: dict[str, Any]) -> None:
    highest = max((level.level for level in plan.program.levels), default=0)
    for name, plain in row["parameters"].items():
        plan.take_parameter(name, plain)
    plan.take_up(
        min(row["automatic"], highest),
        None if row["manual"] is None else min(row["manual"], highest),
        row["manual_until"],
        row["since"],
        row["reason"] or "",
        row.get("by", ""),
    )


# ── alarms, rests, incidents ─────────────────────────────────────────────────────────────────


def _alarm(alarm: Alarm) -> dict[str, Any]:
    return {
        "name": alarm.name,
        "instance": alarm.instance,
        "severity": alarm.severity,
        "text": alarm.text,
        "passing": alarm.passing,
        "latched": alarm.latched,
        "raised_at": alarm.raised_at,
        **alarm.remember(),
    }


def _rest_on(engine: Engine, rows: dict[str, Any]) -> None:
    for rule, rests in rows["holds"].items():
        mine = engine.evaluator.rests.setdefault(rule, {})
        mine.update({tuple(key): until for key, until in rests})
    engine.stories.rests.update({tuple(key): until for key, until in rows["stories"]})


def _quarantine_again(engine: Engine, rows: dict[str, list[str]]) -> None:
    """Keep rules in quarantine that mean what they meant."""
    identities = {rule.name: rule.identity for rule in engine.program.rules}
    for name, (identity, reason) in rows.items():
        if identities.get(name) == identity:
            engine.quarantine(name, reason)


def _put_again(engine: Engine, rows: dict[str, list[Any]]) -> None:
    """Put rules to what people had put them to."""
    for rule in engine.program.rules:
        if rule.name in rows:
            engine.modes.by_hand[rule.name] = Hand(*rows[rule.name])
            engine.stop_rule(rule.name)
            engine.start_rule(rule)


def _incident(incident: Entity) -> dict[str, Any]:
    values = {n: _plain(c.value) for n, c in incident.cells.items() if c.value is not None}
    return {"id": incident.id, "name": incident.name, "values": values}


def _reopen(engine: Engine, row: dict[str, Any]) -> None:
    incident = Entity(row["id"], "incident", row["name"], points=INCIDENT_POINTS)
    engine.graph.add_entity(incident)
    for point, plain in row["values"].items():
        cell = incident.cells.find(point)
        value = to_value(cell.spec, plain, engine.entities) if cell is not None else None
        if cell is not None and value is not None:
            engine.graph.put(cell, value)
