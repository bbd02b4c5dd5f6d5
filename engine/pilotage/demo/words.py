"""Decisions in plain sentences: what an engine decided, for which reason, and whether the equipment followed.

Knows nothing of rules and kinds beyond what the engine says of them; what it does not know by name it shows by its id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pilotage.demo.view import names

Event = Mapping[str, Any]
Said = tuple[str, str]
"""The kind of a line, and its text."""

_OWNER: Final = re.compile(r"^(?P<rule>[^\[\]]+)\[(?P<instance>.*)\]$")
_ALARM_STATES: Final = {
    "raised": "",
    "acknowledged": " acknowledged",
    "normal": " over",
    "cleared": " over",
    "latched": " stays until a person resets it",
}
BAD_ENDS: Final = frozenset({"failed", "refused", "expired", "unknown"})
_UNITS: Final = {"eta": " s"}


@dataclass(slots=True)
class City:
    """What things are: names and kinds of entities, units of points, titles of rules and plans, and why a rule holds."""

    names: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    why: Callable[[str, str], str] = lambda rule, instance: ""

    def name(self, id_: str) -> str:
        """Return an entity as people call it."""
        return self.names.get(id_) or id_

    def of_point(self, point: str) -> str:
        """Return whose point it is."""
        return self.name(point.partition(".")[0])

    def several(self, instance: str) -> str:
        """Return the entities of a rule's instance."""
        return ", ".join(self.name(id_) for id_ in instance.split(", ") if id_)

    def kind(self, point: str, count: int) -> str:
        """Return what some points belong to: `3 lamps`."""
        kind = self.kinds.get(point.partition(".")[0], "point").replace("_", " ")
        return f"{count} {kind}{'' if count == 1 else 's'}"

    def value(self, point: str, value: Any) -> str:
        """Return a value with its unit."""
        if value is None:
            return "nothing"
        shown = f"{value:g}" if isinstance(value, (int, float)) else self.name(str(value))
        unit = self.units.get(point, "")
        return f"{shown} {unit}" if unit and isinstance(value, (int, float)) else shown


@dataclass(slots=True)
class _Errand:
    """Some points that were told a value together, and which of them have followed."""

    whose: str
    value: str
    waiting: set[str]
    done: int = 0
    failed: int = 0


class Narrator:
    """Tells decisions, one after the other."""

    def __init__(self, city: City) -> None:
        """Begin with nothing told."""
        self.city = city
        self._errands: dict[str, _Errand] = {}
        self._lost: set[str] = set()

    def tell(self, decision: Mapping[str, Any]) -> list[Said]:
        """Return what a decision says, as sentences; the small steps on the way to it are left out."""
        events: Sequence[Event] = decision.get("events", ())
        orders = self._orders(events)
        said = self._rules(events, orders)
        single = [text for event in events if (text := self._one(event))[1]]
        said += [line for line in single if line[0] in ("alarm", "plan")]
        said += [
            (kind, f"{text}{_by(owner)}") for owner, lines in orders.items() for kind, text in lines
        ]
        return said + [line for line in single if line[0] not in ("alarm", "plan")]

    # ── rules and what they have ordered ─────────────────────────────────────────────────────

    def _rules(self, events: Sequence[Event], orders: dict[str, list[Said]]) -> list[Said]:
        """Return a line for each rule that begins to hold and orders something now; its first order is in the line."""
        said: list[Said] = []
        for event in events:
            if event.get("event") != "RuleChanged" or event.get("after") != "holding":
                continue
            rule, instance = str(event["rule"]), str(event["instance"])
            mine = orders.get(f"{rule}[{instance}]")
            if mine:
                order = self._without_name(mine.pop(0)[1], instance)
                said.append(("rule", f"{self._reason(rule, instance)}. {order} ({rule})"))
        return said

    def _without_name(self, order: str, instance: str) -> str:
        """Return an order without the name that the line begins with anyway."""
        for id_ in instance.split(", "):
            for start in (f"{self.city.name(id_)}: ", f"{self.city.name(id_)} is "):
                order = order.removeprefix(start)
        return order[:1].upper() + order[1:]

    def _reason(self, rule: str, instance: str) -> str:
        who, why = self.city.several(instance), self.city.why(rule, instance)
        title = self.city.titles.get(rule, rule)
        return f"{f'{who}: ' if who else ''}{title}{f', because {why}' if why else ''}"

    def _orders(self, events: Sequence[Event]) -> dict[str, list[Said]]:
        """Return what is told to equipment, by owner; what goes to all lamps of a street is one line."""
        deciders = {
            str(event["point"]): str(event["owner"])
            for event in events
            if event.get("event") == "TargetChanged"
        }
        groups: dict[tuple[str, str, int], list[str]] = {}
        orders: dict[str, list[Said]] = {}
        for event in events:
            if event.get("event") == "Command":
                point, because = str(event["point"]), str(event["because"])
                value = self.city.value(point, event.get("value"))
                groups.setdefault((because, value, int(event.get("attempt", 1))), []).append(point)
            elif event.get("event") == "Request" and (text := self._request(event)):
                owner = str(event.get("because", "")) if event.get("action") == "request" else ""
                orders.setdefault(owner, []).append(("command", text))
        for (because, value, attempt), points in groups.items():
            group = because.removesuffix(">") if because.endswith(">") else ""
            owner = deciders.get(group, "") if group else because
            if line := self._told(group, value, points, attempt):
                orders.setdefault("" if attempt > 1 else owner, []).append(("command", line))
        return orders

    def _told(self, group: str, value: str, points: Sequence[str], attempt: int) -> str:
        """Remember an errand and return its sentence; nothing of equipment that is known not to follow."""
        if all(point in self._lost for point in points):
            return ""
        which = names(self.city.of_point(p) for p in points)
        are, what = "is" if len(points) == 1 else "are", f"{_told(points[0])}{value}"
        if attempt > 1:
            return f"{which} did not follow, and {are} told {what} again"
        for whose, members in self._by_receiver(group, points).items():
            self._errands[whose] = _Errand(whose, value, set(members))
        if group and len(points) > 1:
            many = self.city.kind(points[0], len(points))
            return f"{self.city.of_point(group)}: {many} {are} told {what}"
        return f"{which} {are} told {what}"

    def _by_receiver(self, group: str, points: Sequence[str]) -> dict[str, list[str]]:
        if group:
            return {group: list(points)}
        return {point: [point] for point in points}

    # ── single events ────────────────────────────────────────────────────────────────────────

    def _one(self, event: Event) -> Said:
        city = self.city
        match event.get("event"):
            case "Followed":
                return self._followed(event)
            case "CallOut":
                return "command", f"{event.get('name')}: {_pairs(event.get('arguments'), city)}"
            case "Notice":
                return "person", f"To {', '.join(event.get('to', ()))}: {event.get('text')}"
            case "PlanChanged":
                plan = city.titles.get(str(event["plan"]), str(event["plan"]))
                levels = f"level {event.get('before')} → {event.get('after')}"
                return "plan", f"{plan}, {levels}, because {event.get('reason')}"
            case "PlanAsks":
                return "plan", f"To {', '.join(event.get('to', ()))}: {event.get('text')}"
            case "AlarmChanged":
                return "alarm", self._alarm(event)
            case "IncidentChanged":
                return "alarm", f"Incident {event.get('action')}: {event.get('text')}"
            case "Noted":
                return "person", f"Noted: {event.get('text')}"
            case "Faulted":
                return "alarm", f"{event.get('owner')} has failed: {event.get('detail')}"
            case "OrderTaken":
                return "person", f"{event.get('person')}: {event.get('detail')}"
            case "OrderRefused":
                return "person", f"{event.get('person')}: refused, {event.get('why')}"
            case _:
                return "", ""

    def _request(self, event: Event) -> str:
        junction = self.city.of_point(str(event["point"]))
        whom = self.city.name(str(event["entity"]))
        again = " again: it has not answered" if event.get("attempt", 1) > 1 else ""
        with_ = _pairs(event.get("data"), self.city)
        match event.get("action"):
            case "request":
                return f"{junction} is asked for {whom}{again or (f' ({with_})' if with_ else '')}"
            case "cancel":
                return f"{junction}: the request for {whom} is given back"
            case _:
                return ""

    def _followed(self, event: Event) -> Said:
        point, outcome = str(event["point"]), event.get("outcome")
        if outcome == "superseded":  # the command that replaces it has an end of its own
            return "", ""
        if outcome == "done":
            self._lost.discard(point)
        elif outcome in BAD_ENDS:
            self._lost.add(point)
        elif outcome == "local":
            return (
                "alarm",
                f"{self.city.of_point(point)} was changed by hand: {event.get('detail')}",
            )
        for key, errand in list(self._errands.items()):
            if point in errand.waiting:
                errand.waiting.discard(point)
                errand.done += outcome == "done"
                errand.failed += outcome in BAD_ENDS
                if not errand.waiting:
                    del self._errands[key]
                    return "followed", self._ended(errand, point)
        return "", ""

    def _ended(self, errand: _Errand, last: str) -> str:
        all_ = errand.done + errand.failed
        if not errand.done:
            return ""
        if errand.whose == last:
            return f"{self.city.of_point(last)} reports {_told(last)}{errand.value}"
        whose = self.city.of_point(errand.whose)
        but = f"; {errand.failed} of {all_} did not follow" if errand.failed else ""
        which = self.city.kind(last, errand.done)
        return f"{whose}: {which} {'reports' if errand.done == 1 else 'report'} {errand.value}{but}"

    def _alarm(self, event: Event) -> str:
        match = _OWNER.match(str(event["alarm"]))
        instance = match["instance"] if match else ""
        whose = "" if "." in instance else self.city.several(instance)
        text = f"{event.get('text') or event.get('alarm')}{f', {whose}' if whose else ''}"
        by = f" by {event['person']}" if event.get("person") else ""
        state = _ALARM_STATES.get(str(event.get("after")), str(event.get("after")))
        return f"Alarm{state}{by} ({event.get('severity')}): {text}"


def _by(owner: str) -> str:
    """Return who ordered it, without the step of its story."""
    name = owner.partition("[")[0].partition("/")[0].replace("plan:", "plan ")
    return "" if name in ("", "default") else f" ({name})"


MOST_FACTS: Final = 2


def because(details: Any) -> str:
    """Return the values that decided, of the details of an explained rule: `delay is 184 s, is_night`."""
    clauses = details.get("clauses", ()) if isinstance(details, Mapping) else ()
    pairs = [pair for clause in clauses for pair in clause.get("values", ())]
    return " and ".join(_facts((str(text), str(value)) for text, value in pairs))


def _facts(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return the first few values, each as a fact; of a function only when it is true."""
    facts: dict[str, None] = {}
    for text, value in pairs:
        name = text if "(" in text else text.rpartition(".")[2].replace("_", " ")
        if value == "true":
            facts[name] = None
        elif "(" not in text:
            facts[f"not {name}" if value == "false" else f"{name} is {_short(value)}"] = None
    return list(facts)[:MOST_FACTS]


def _short(value: str) -> str:
    """Return a number with no more digits than people read."""
    return re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.1f}", value, count=1)


def _pairs(data: Any, city: City) -> str:
    pairs = data.items() if isinstance(data, Mapping) else ()
    return ", ".join(
        f"{key} {_plain(value, city)}{_UNITS.get(key, '')}"
        for key, value in pairs
        if value is not None
    )


def _plain(value: Any, city: City) -> str:
    if isinstance(value, (list, tuple)):
        return names(city.name(str(item)) for item in value)
    return f"{value:g}" if isinstance(value, float) else city.name(str(value))


def _told(point: str) -> str:
    """Return what of a thing is told: nothing for its level, which the unit says."""
    name = point.partition(".")[2]
    return "" if name == "level" else f"{name} "
