"""What people and adapters tell the engine, besides readings: each order is carried out or refused, with a receipt."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pilotage.core.arbiter import Demand
from pilotage.core.interpreter import format_duration
from pilotage.core.modes import MODES
from pilotage.core.store import Cell, Entity, to_value
from pilotage.model.messages import (
    CHANGED_SINCE,
    AlarmOrder,
    CallResult,
    CommandResult,
    ConnectionPaced,
    GatewaysChanged,
    GlassOrder,
    IncidentChanged,
    IncidentOrder,
    Notice,
    NoticeAcknowledged,
    OrderRefused,
    OrderTaken,
    Outcome,
    Override,
    PlanAnswer,
    PlanOrder,
    Reconnected,
    ReleaseOverride,
    RuleOrder,
)
from pilotage.model.priorities import BY_HAND, Priority
from pilotage.model.values import as_plain, format_value

if TYPE_CHECKING:
    from pilotage.core.engine import Engine

SEVERITIES: Final = ("low", "medium", "high", "critical")
ANNOUNCE_S: Final = 600.0
"""The end of an override is announced this long before."""


class Orders:
    """Carries orders out; nothing here is kept."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            CommandResult: self._result,
            Reconnected: self._reconnected,
            GatewaysChanged: self._gateways,
            ConnectionPaced: engine.reconciler.paced,
            CallResult: engine.stories.call_result,
            Override: self._override,
            ReleaseOverride: self._release,
            PlanOrder: self._plan,
            PlanAnswer: self._answer,
            AlarmOrder: self._alarm,
            RuleOrder: self._rule,
            GlassOrder: self._glass,
            NoticeAcknowledged: self._acknowledge,
            IncidentOrder: self._incident,
        }

    def take(self, order: Any) -> None:
        """Carry out one order.

        Raises:
            TypeError: It is no input.
        """
        handler = self._handlers.get(type(order))
        if handler is None:
            raise TypeError(f"{type(order).__name__} is no input")
        handler(order)

    def _result(self, result: CommandResult) -> None:
        self._engine.reconciler.result(result)
        if result.outcome in (Outcome.NOT_SENT, Outcome.REFUSED):
            self._engine.stories.not_sent(result.command)

    def _reconnected(self, order: Reconnected) -> None:
        self._engine.reconciler.reconnected(order.points)

    def _gateways(self, order: GatewaysChanged) -> None:
        self._engine.groups.gateways = frozenset(order.points)

    def _plan(self, order: PlanOrder) -> None:
        why_not = self._engine.plans.order(order)
        detail = _level_text(order)
        if not why_not and self._engine.plans.all[order.plan].first is order:
            detail += ", once a second person joins"
        name = "undo" if order.undo else "plan"
        self._receipt(name, order, f"plan {order.plan}", detail, why_not)

    def _answer(self, order: PlanAnswer) -> None:
        why_not = self._engine.plans.answer(order)
        answer = f"{order.plan}: {'yes' if order.yes else 'no'}"
        self._receipt(order.question, order, f"plan {order.plan}", answer, why_not)

    def _alarm(self, order: AlarmOrder) -> None:
        why_not = self._engine.alarms.order(order)
        self._receipt(order.action, order, f"alarm {order.alarm}", order.alarm, why_not)

    def _rule(self, order: RuleOrder) -> None:
        match order.action:
            case "quarantine":
                why_not = self._engine.quarantine(order.rule, order.reason)
            case "release":
                why_not = self._engine.release(order.rule)
            case _ if order.action in MODES:
                why_not = self._engine.modes.order(order)
            case _:
                why_not = f'there is no action "{order.action}"'
        self._receipt(order.action, order, f"rule {order.rule}", order.rule, why_not)

    def _glass(self, order: GlassOrder) -> None:
        why_not = self._engine.glass.order(order)
        # Who acted where is told; whose glass it was would name a person in what cannot be erased.
        self._receipt(order.action, order, f"glass {order.post}", order.post, why_not)

    def _receipt(self, name: str, order: Any, about: str, detail: str, why_not: str) -> None:
        """Say what became of an order.

        Args:
            name: What was ordered.
            order: The order itself.
            about: What it is about, its kind first: `plan storm`.
            detail: What was done, when it was.
            why_not: Why it was refused; empty when it was carried out.
        """
        reason = getattr(order, "reason", "") or getattr(order, "text", "")
        if why_not:
            said = OrderRefused(name, order.person, why_not, about, reason, order.origin)
            self._engine.emit(said)
        else:
            self._engine.emit(OrderTaken(name, order.person, detail, about, reason, order.origin))

    def _override(self, order: Override) -> None:
        why, detail = self._override_problem(order), order.point
        if not why:
            cell = self._engine.cells[order.point]
            value = to_value(cell.spec, order.value, self._engine.entities)
            owner = f"operator {order.person}"
            demand = Demand(
                owner,
                owner,
                order.level,
                value,
                order.reason,
                self._engine.now,
                order.until,
            )
            self._engine.arbiter.place(cell, demand)
            self._announce_end(order, owner)
            until = self._engine.schedule.local(order.until)
            shown = format_value(as_plain(value), cell.spec.type)
            detail = f"{order.point} at {shown} until {until:%Y-%m-%d %H:%M}"
        self._receipt("override", order, f"override {order.point}", detail, why)

    def _override_problem(self, order: Override) -> str:
        cell = self._engine.cells.get(order.point)
        if cell is None:
            return f'there is no point "{order.point}"'
        if order.seen and order.seen != hand_of(cell):
            return f"{order.point} {CHANGED_SINCE}"
        if not cell.spec.access.is_commandable:
            return f"{order.point} is {cell.spec.access.value} and cannot be set"
        if not order.reason.strip():
            return "a reason is needed"
        if order.level not in BY_HAND:
            return (
                f"a person takes a point at level 8, or at 7 for maintenance, not at {order.level}"
            )
        locked = next((d for d in _held(cell) if d.level == Priority.MAINTENANCE), None)
        if locked is not None and locked.by != f"operator {order.person}":
            return f"{locked.by.removeprefix('operator ')} holds it for maintenance, at level 7"
        most = cell.spec.override_max_s
        if not self._engine.now < order.until <= self._engine.now + most:
            return f"an end is needed, at most {format_duration(most)} from now"
        if to_value(cell.spec, order.value, self._engine.entities) is None:
            return f"{format_value(order.value)} is no value of {order.point} ({cell.spec.type})"
        return ""

    def _announce_end(self, order: Override, owner: str) -> None:
        at = order.until - ANNOUNCE_S
        if at > self._engine.now:
            self._engine.timers.at(at, partial(self._announce, order, owner))

    def _announce(self, order: Override, owner: str) -> None:
        engine = self._engine
        array = engine.cells[order.point].array
        demand = array.demands.get(owner) if array is not None else None
        if demand is not None and demand.until == order.until:
            text = f"The override of {order.point} by {order.person} ends in {format_duration(ANNOUNCE_S)}"
            engine.emit(Notice(engine._next_id(), ("operators",), text, order.point, owner))

    def _release(self, order: ReleaseOverride) -> None:
        cell = self._engine.cells.get(order.point)
        held = [] if cell is None else _held(cell)
        owners = [d.owner for d in held if d.level >= order.level]
        if cell is None or not owners:
            why = f"{order.point} is not overridden"
            if held:
                person = held[0].by.removeprefix("operator ")
                why = f"{person} holds {order.point} for maintenance: an engineer gives it back"
            self._receipt("release", order, f"override {order.point}", order.point, why)
            return
        if order.seen and order.seen != hand_of(cell):
            why = f"{order.point} {CHANGED_SINCE}"
            self._receipt("release", order, f"override {order.point}", order.point, why)
            return
        for owner in owners:
            self._engine.arbiter.relinquish(cell, owner, f"released by {order.person}")
        self._receipt("release", order, f"override {order.point}", order.point, "")

    def _acknowledge(self, order: NoticeAcknowledged) -> None:
        known = self._engine.stories.acknowledge(order.notice)
        why = "" if known else f'nobody waits for "{order.notice}"'
        self._receipt("acknowledge", order, f"notice {order.notice}", order.notice, why)

    def _incident(self, order: IncidentOrder) -> None:
        if order.action == "open":
            self._open_incident(order)
            return
        about = f"incident {order.incident}"
        incident = self._engine.entities.get(order.incident)
        why = self._incident_problem(order, incident)
        if incident is not None and not why:
            if order.action == "close":
                self._engine.graph.put(incident.cells["closed"], True)
            change = _INCIDENT_CHANGES[order.action]
            change_of = IncidentChanged(incident.id, change, text=order.text, by=order.person)
            self._engine.emit(change_of)
        self._receipt(order.action, order, about, order.incident, why)

    def _incident_problem(self, order: IncidentOrder, incident: Entity | None) -> str:
        if incident is None or incident.kind != "incident":
            return f'there is no incident "{order.incident}"'
        if order.action not in _INCIDENT_CHANGES:
            return f'there is no action "{order.action}"'
        if order.action == "close" and incident.cells["closed"].value is True:
            return "it is closed already"
        if order.action != "close" and not order.text.strip():
            return "a text is needed"
        return ""

    def _open_incident(self, order: IncidentOrder) -> None:
        severity = order.severity or "medium"
        why = "" if order.text.strip() else "a title is needed"
        if severity not in SEVERITIES:
            why = f'"{severity}" is none of {", ".join(SEVERITIES)}'
        name = ""
        if not why:
            opened = self._engine.stories.open_incident(
                order.type or "incident", severity, order.text, order.person
            )
            name = opened.id
        self._receipt("open", order, f"incident {name}", name, why)


_INCIDENT_CHANGES: Final = {
    "close": "closed",
    "note": "note",
    "attach": "attached",
    "detach": "detached",
}
"""What people may do to an incident, and how the record calls it."""


def hand_of(cell: Cell) -> str:
    """Return who holds a point by hand, as one word that differs when anybody has changed that; `free` when nobody does."""
    mine = _held(cell)
    if not mine:
        return "free"
    newest = max(mine, key=lambda demand: demand.order)
    until = "-" if newest.until is None else f"{newest.until:.2f}"
    return f"{newest.since:.2f}.{until}.{newest.owner}"


def _held(cell: Cell) -> list[Demand]:
    """Return what people hold of a point by hand."""
    demands = () if cell.array is None else cell.array.demands.values()
    return [d for d in demands if d.level in BY_HAND and d.owner.startswith("operator ")]


def _level_text(order: PlanOrder) -> str:
    """Return what a plan is told: `storm to level 2`, `storm to its conditions`."""
    if order.undo:
        return f"{order.plan} as it was before"
    return f"{order.plan} to {'its conditions' if order.level is None else f'level {order.level}'}"
