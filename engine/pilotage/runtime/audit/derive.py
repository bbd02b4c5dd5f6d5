"""From a decision to the rows of the audit: what was sent and how it ended, and what people ordered.

Pure: reads a decision as the journal keeps it. What must be remembered from one decision to the next (why a rule holds, who
sent a command) is asked of `Memory`, which keeps it in the same transaction as the rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pilotage.runtime.audit.entries import Entry, as_json, told

OPERATOR: Final = "operator "
SHADOW: Final = "shadow:"

_OWNER: Final = re.compile(r"(?P<name>[^\[@#>/]*)(?:\[(?P<instance>[^\]]*)\])?")
_ORDER_KINDS: Final = ("override", "plan", "alarm", "notice", "incident", "glass", "rule")

Private = Mapping[str, str]
Event = Mapping[str, Any]


class Memory(Protocol):
    """What is known from earlier decisions."""

    def identity(self, rule: str, now: float) -> str:
        """Return the hash of what a rule or `plan:NAME` meant at a time, empty when it is not known."""
        ...

    def reason(self, owner: str) -> Mapping[str, Any] | None:
        """Return why a rule's instance or a plan is as it is: `decision`, `state`, `why`, `read`."""
        ...

    def remember(self, owner: str, reason: Mapping[str, Any]) -> None:
        """Keep why a rule's instance or a plan is as it is now."""
        ...

    def sender(self, command: str) -> str:
        """Return the rule or plan that sent a command that has not ended, and forget it."""
        ...

    def sent(self, command: str, rule: str) -> None:
        """Keep who sent a command."""
        ...


@dataclass(frozen=True, slots=True)
class _Decision:
    number: int
    now: float
    events: list[Event]
    memory: Memory
    origins: Mapping[str, str]
    by_point: Mapping[str, list[Event]]

    def entry(self, kind: str, action: str, subject: str, **fields: Any) -> Entry:
        return Entry(self.now, kind, action, subject, decision=self.number, **fields)


def derive(record: Mapping[str, Any], memory: Memory) -> Iterator[tuple[Entry, Private]]:
    """Yield the rows of a decision, in order, each with what it tells of people."""
    events = record["events"]
    origins, by_point = _origins(events), _by_point(events)
    decision = _Decision(record["number"], record["now"], events, memory, origins, by_point)
    for event in events:
        handler = _HANDLERS.get(event["event"])
        if handler is not None:
            yield from handler(decision, event)


def owner_of(because: str) -> tuple[str, str]:
    """Return the rule (or `plan:NAME`) and the instance of an owner of demands; nothing for people."""
    if because.startswith(OPERATOR):
        return "", ""
    found = _OWNER.match(because.removeprefix(SHADOW))
    return (found["name"], found["instance"] or "") if found else (because, "")


# ── commands ─────────────────────────────────────────────────────────────────────────────────


def _command(decision: _Decision, event: Event) -> Iterator[tuple[Entry, Private]]:
    yield _sent(decision, event, event["point"], as_json(event["value"]), {})


def _request(decision: _Decision, event: Event) -> Iterator[tuple[Entry, Private]]:
    more = {"entity": event["entity"], "data": event["data"]}
    yield _sent(decision, event, event["point"], as_json(event["action"]), more)


def _call(decision: _Decision, event: Event) -> Iterator[tuple[Entry, Private]]:
    yield _sent(decision, event, event["name"], as_json(event["arguments"]), {})


def _sent(
    decision: _Decision, event: Event, subject: str, value: str, more: Mapping[str, Any]
) -> tuple[Entry, Private]:
    because, why = _led_to(decision, event["because"], subject)
    rule, instance = owner_of(because)
    decision.memory.sent(event["id"], rule)
    detail = {
        "command": event["id"],
        "deadline": round(event["deadline"], 3),
        "attempt": event["attempt"],
        **({"instance": instance} if instance else {}),
        **why,
        **more,
    }
    entry = decision.entry(
        "command",
        "sent",
        subject,
        rule=rule,
        identity=decision.memory.identity(rule, decision.now) if rule else "",
        value=value,
        detail=as_json(detail),
    )
    return entry, told({"person": because.removeprefix(OPERATOR) if not rule else ""})


def _led_to(decision: _Decision, raw: str, point: str) -> tuple[str, dict[str, Any]]:
    """Return who wants what a point is told, and what led to it; a command that is repeated has what its first had."""
    because = _through_group(decision, raw)
    why = _why(decision, because, raw, point)
    if raw.startswith(OPERATOR):
        return because, why
    before = decision.memory.reason(f"point {point}")
    if not why and before is not None and before["by"] == raw:
        return before["because"], dict(before["why"])
    if why:
        decision.memory.remember(f"point {point}", {"by": raw, "because": because, "why": why})
    return because, why


def _why(decision: _Decision, because: str, raw: str, point: str) -> dict[str, Any]:
    """Return why its owner wants it, and who let go of the point at this decision."""
    found: dict[str, Any] = {}
    reason = decision.memory.reason(_key(because))
    if reason is not None:
        found["because"] = reason
    for event in decision.by_point.get(point, ()):
        if event["event"] == "TargetChanged":
            continue
        owner = event["owner"]
        if event["event"] == "Demanded":
            if owner == raw and not because.startswith(OPERATOR):
                found["reason"] = event["reason"]
        elif owner.startswith(OPERATOR):
            found["released"] = {"owner": "operator"}
        elif not owner.startswith(SHADOW):
            found["released"] = {"owner": owner, **(decision.memory.reason(_key(owner)) or {})}
    return found


def _through_group(decision: _Decision, because: str) -> str:
    """Return who wants something of the group that a demand came from (`GROUP.POINT>`), itself when it is no group's."""
    if not because.endswith(">"):
        return because
    owner = _target_owner(decision, because.removesuffix(">"))
    if not owner:
        known = decision.memory.reason(because)
        owner = known["owner"] if known is not None else ""
    return _through_group(decision, owner) if owner else because


def _target_owner(decision: _Decision, point: str) -> str:
    """Return whom the target of a point follows since this decision, empty when it did not change."""
    for event in decision.by_point.get(point, ()):
        if event["event"] == "TargetChanged":
            return str(event["owner"])
    return ""


def _by_point(events: list[Event]) -> dict[str, list[Event]]:
    """Return what was wanted of each point, in order: a plan speaks of every lamp of a city in one decision."""
    found: dict[str, list[Event]] = {}
    for event in events:
        if event["event"] in ("Demanded", "Relinquished", "TargetChanged"):
            found.setdefault(event["point"], []).append(event)
    return found


def _key(owner: str) -> str:
    """Return the name under which an owner's reason is kept: without the place in a story or plan."""
    rule, instance = owner_of(owner)
    return f"{rule}[{instance}]" if instance else rule


def _followed(decision: _Decision, event: Event) -> Iterator[tuple[Entry, Private]]:
    command = event["command"]
    if not command:  # the device itself changed: no end of a command
        return
    rule = decision.memory.sender(command)
    yield (
        decision.entry(
            "command",
            event["outcome"],
            event["point"],
            rule=rule,
            identity=decision.memory.identity(rule, decision.now) if rule else "",
            detail=as_json({"command": command, "detail": event.get("detail", "")}),
        ),
        {},
    )


# ── why ──────────────────────────────────────────────────────────────────────────────────────


def _rule_changed(decision: _Decision, event: Event) -> Iterator[tuple[Entry, Private]]:
    _remember(decision, event, event["after"])
    yield from ()


def _run_changed(decision: _Decision, event: Event) -> Iterator[tuple[Entry, Private]]:
    if event["state"] == "started":
        _remember(decision, event, "started")
    yield from ()


def _remember(decision: _Decision, event: Event, state: str) -> None:
    rule, instance = event["rule"], event["instance"]
    reason: dict[str, Any] = {"decision": decision.number, "state": state}
    if event.get("why"):
        reason["why"] = event["why"]
    if event.get("read"):
        reason["read"] = dict(event["read"])
    decision.memory.remember(f"{rule}[{instance}]" if instance else rule, reason)


# ── plans, overrides and other orders ────────────────────────────────────────────────────────


def _plan_changed(decision: _Decision, event: Event) -> Iterator[tuple[Entry, Private]]:
    plan, name = event["plan"], f"plan:{event['plan']}"
    by_person = event["by"] != plan
    reason = {"decision": decision.number, "state": f"level {event['after']}"}
    detail: dict[str, Any] = {"before": event["before"]}
    if not by_person:
        reason["why"] = detail["why"] = event["reason"]
    decision.memory.remember(name, reason)
    yield (
        decision.entry(
            "plan",
            "level",
            name,
            rule="" if by_person else name,
            identity=decision.memory.identity(name, decision.now),
            origin=_word(decision.origins.get(event["by"], "")) if by_person else "engine",
            value=as_json(event["after"]),
            detail=as_json(detail),
        ),
        told({"person": event["by"], "reason": event["reason"]}) if by_person else {},
    )


def _demanded(decision: _Decision, event: Event) -> Iterator[tuple[Entry, Private]]:
    owner = event["owner"]
    if owner.endswith(">") and (by := _target_owner(decision, owner.removesuffix(">"))):
        decision.memory.remember(owner, {"owner": by})
    if not owner.startswith(OPERATOR):
        _remember_demand(decision, owner, event["reason"])
        return
    person = owner.removeprefix(OPERATOR)
    origin = decision.origins.get(person, "")
    yield (
        decision.entry(
            "override",
            "set",
            event["point"],
            origin=_word(origin),
            value=as_json(event["value"]),
            detail=as_json({"level": event["level"], "until": event["until"]}),
        ),
        told({"person": person, "reason": event["reason"], **_source(origin)}),
    )


def _remember_demand(decision: _Decision, owner: str, reason: str) -> None:
    """Keep why something is demanded by who never said that it changed: a rule whose condition was never known."""
    if owner.endswith(">") or owner.startswith(SHADOW):
        return
    if decision.memory.reason(_key(owner)) is None:
        reasons = {"decision": decision.number, "state": "demanded", "why": reason}
        decision.memory.remember(_key(owner), reasons)


def _relinquished(decision: _Decision, event: Event) -> Iterator[tuple[Entry, Private]]:
    owner, why = event["owner"], event.get("why", "")
    if not owner.startswith(OPERATOR):
        return
    released_by = why.removeprefix("released by ") if why.startswith("released by ") else ""
    origin = decision.origins.get(released_by, "")
    fields = {"person": released_by, "about": owner.removeprefix(OPERATOR), **_source(origin)}
    if not released_by:
        fields = {"person": owner.removeprefix(OPERATOR)}
    yield (
        decision.entry(
            "override",
            "released" if released_by else "ended",
            event["point"],
            origin=_word(origin) if released_by else "engine",
            detail=as_json({} if released_by else {"why": why}),
        ),
        told(fields),
    )


def _taken(decision: _Decision, event: Event) -> Iterator[tuple[Entry, Private]]:
    kind, subject = _about(event)
    if kind == "override" and _is_shown(decision, subject):
        return  # its demand, or the end of it, is a row of its own
    detail = _without(event["person"], event["detail"])
    yield (
        decision.entry(
            kind,
            _action(event["order"]),
            subject,
            origin=_word(event.get("origin", "")),
            detail=as_json({"order": event["order"], "detail": detail}),
        ),
        _of_person(event),
    )


def _glass_changed(decision: _Decision, event: Event) -> Iterator[tuple[Entry, Private]]:
    """Tell whose glass became whole: by itself, or because somebody mended it, who has a row of that order."""
    if event["state"] == "whole":
        detail = as_json({"why": event["why"]})
        entry = decision.entry("glass", "ended", event["post"], detail=detail)
        yield entry, told({"person": event["person"]})


def _incident_changed(decision: _Decision, event: Event) -> Iterator[tuple[Entry, Private]]:
    """Tell what a rule did about an incident; what a person did is a row of that order, and joining one says nothing new."""
    action = _OF_INCIDENT.get(event["action"])
    if action is None or event["by"] in decision.origins:
        return
    yield (
        decision.entry(
            "incident",
            action,
            event["incident"],
            rule=event["by"],
            identity=decision.memory.identity(event["by"], decision.now),
            origin="engine",
        ),
        told({"reason": event.get("text", "")}),  # a rule's text may name somebody
    )


def _is_shown(decision: _Decision, point: str) -> bool:
    """Return whether a demand of an operator for a point changed at this decision."""
    return any(
        event["event"] != "TargetChanged" and event["owner"].startswith(OPERATOR)
        for event in decision.by_point.get(point, ())
    )


def _refused(decision: _Decision, event: Event) -> Iterator[tuple[Entry, Private]]:
    kind, subject = _about(event)
    why = _without(event["person"], event["why"])
    yield (
        decision.entry(
            kind,
            "refused",
            subject,
            origin=_word(event.get("origin", "")),
            detail=as_json({"order": event["order"], "why": why}),
        ),
        _of_person(event),
    )


def _about(event: Event) -> tuple[str, str]:
    """Return the kind of an order, and what it is about."""
    kind, _, subject = event.get("about", "").partition(" ")
    if kind not in _ORDER_KINDS:
        return "order", ""
    if kind == "rule":
        return "rules", subject
    return ("plan", f"plan:{subject}") if kind == "plan" else (kind, subject)


def _action(order: str) -> str:
    return "ordered" if order == "plan" else order.partition(" ")[0]


def _of_person(event: Event) -> dict[str, str]:
    fields = {"person": event["person"], "reason": event.get("reason", "")}
    return told({**fields, **_source(event.get("origin", ""))})


def _without(person: str, text: str) -> str:
    """Return a text in which a person is not named."""
    return text.replace(person, "…") if person else text


# ── where an order came from ─────────────────────────────────────────────────────────────────


def origin_text(way: str, account: str, address: str = "", post: str = "") -> str:
    """Return where an order came from as its record holds it: `cli alice`, `web pilotage 192.0.2.7 traffic`."""
    place = (address or "-", post) if post else (address,)
    return " ".join(word for word in (way, account, *place) if word)


def split_origin(origin: str) -> tuple[str, dict[str, str]]:
    """Return the way by which an order came, and what the rest tells of a person."""
    return _word(origin), _source(origin)


def _origins(events: list[Event]) -> dict[str, str]:
    """Return by which way each person's order came, as the receipts of a decision say it."""
    return {
        event["person"]: event.get("origin", "")
        for event in events
        if event["event"] == "OrderTaken"
    }


def _word(origin: str) -> str:
    return origin.partition(" ")[0] or "engine"


def _source(origin: str) -> dict[str, str]:
    words = origin.split(" ", 3)
    source = dict(zip(("account", "address", "post"), words[1:], strict=False))
    return told({name: word for name, word in source.items() if word != "-"})


_OF_INCIDENT: Final = {"opened": "open", "note": "note", "closed": "close"}
_HANDLERS: Final = {
    "Command": _command,
    "Request": _request,
    "CallOut": _call,
    "Followed": _followed,
    "RuleChanged": _rule_changed,
    "RunChanged": _run_changed,
    "PlanChanged": _plan_changed,
    "Demanded": _demanded,
    "Relinquished": _relinquished,
    "GlassChanged": _glass_changed,
    "IncidentChanged": _incident_changed,
    "OrderTaken": _taken,
    "OrderRefused": _refused,
}
