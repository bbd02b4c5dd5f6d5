"""A point's priority array, or a rule's instance, as it was at a time: replayed from recorded decisions.

A start of the engine ends everything of before: only what was decided since the last one counts.
Pure: reads the records of the journal in order, and knows no file, no engine and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pilotage.model.values import format_value

Record = Mapping[str, Any]
"""A decision as `pilotage.runtime.envelope.encode_decision` writes it, decoded: number, now, events."""

_SHADOW: Final = "shadow:"


@dataclass(slots=True)
class PastDemand:
    """One demand as it stood; `since` is its first placing, `value` its last."""

    owner: str
    level: int
    value: Any
    reason: str
    since: float
    until: float | None
    number: int


@dataclass(slots=True)
class PastPoint:
    """Who decided a point at a time, and who waited below.

    Attributes:
        at: The time that was asked for.
        is_decided: False when nobody had wanted anything of the point yet.
        owner, level: Who decided; level 17 is the relinquish default, 0 an invariant.
        since: When the wanted value was last changed.
        decision: Number of the last decision that touched the point; 0 when there was none.
        outcome: What had become of the last command (see `Followed`); empty while it was under way.
        command, told, attempt: The last command: its id, its value, and how often it had been sent.
        sent_at, ended_at: When it was sent, and when it came to its end.
        detail: What was known of that end.
    """

    point: str
    at: float
    is_decided: bool = False
    wanted: Any = None
    owner: str = "default"
    level: int = 17
    since: float | None = None
    decision: int = 0
    outcome: str = ""
    command: str = ""
    told: Any = None
    attempt: int = 0
    sent_at: float | None = None
    ended_at: float | None = None
    detail: str = ""
    demands: dict[str, PastDemand] = field(default_factory=dict)

    def in_order(self) -> list[PastDemand]:
        """Return the demands, the most urgent first."""
        return sorted(self.demands.values(), key=lambda d: (d.level, d.since, d.number))

    def winner(self) -> PastDemand | None:
        """Return the demand that decided, None for the default, an invariant or a minimum time."""
        return self.demands.get(self.owner)


@dataclass(slots=True)
class PastInstance:
    """An instance of a rule as it was: its state, since when, and why it had changed."""

    rule: str
    instance: str
    state: str
    since: float
    why: str
    decision: int


def point_at(
    records: Iterable[Record], point: str, at: float, starts: Iterable[float] = ()
) -> PastPoint:
    """Return a point as the decisions up to a time left it.

    Args:
        records: Decisions in order of number, from before the first demand that matters.
        point: `ENTITY.POINT`.
        at: Seconds since 1970; what was decided later is not looked at.
        starts: When the engine was started.
    """
    past = PastPoint(point, at)
    for record in _of_one_life(records, at, starts):
        for event in record["events"]:
            if event.get("point") == point:
                _replay(past, event, record)
    return past


def instances_at(
    records: Iterable[Record], rule: str, at: float, starts: Iterable[float] = ()
) -> list[PastInstance]:
    """Return the instances of a rule that had ever changed their state by then, in order of name."""
    found: dict[str, PastInstance] = {}
    for record in _of_one_life(records, at, starts):
        for event in record["events"]:
            if event["event"] in ("RuleChanged", "RunChanged") and event["rule"] == rule:
                instance = event["instance"]
                state = event["after"] if event["event"] == "RuleChanged" else event["state"]
                why = event.get("why") or _values_read(event) or event.get("step", "")
                found[instance] = PastInstance(
                    rule, instance, state, record["now"], why, record["number"]
                )
    return [found[name] for name in sorted(found)]


def _of_one_life(records: Iterable[Record], at: float, starts: Iterable[float]) -> Iterator[Record]:
    """Yield what was decided from the last start before a time up to that time."""
    begin = max((start for start in starts if start <= at), default=float("-inf"))
    for record in records:
        if record["now"] > at:
            return
        if record["now"] >= begin:
            yield record


def _replay(past: PastPoint, event: Mapping[str, Any], record: Record) -> None:
    now, number = record["now"], record["number"]
    match event["event"]:
        case "Demanded" if not event["owner"].startswith(_SHADOW):
            before = past.demands.get(event["owner"])
            past.demands[event["owner"]] = PastDemand(
                event["owner"],
                event["level"],
                event["value"],
                event["reason"],
                now if before is None else before.since,
                event["until"],
                number if before is None else before.number,
            )
        case "Relinquished" if not event["owner"].startswith(_SHADOW):
            past.demands.pop(event["owner"], None)
        case "TargetChanged":
            if not past.is_decided or event["value"] != past.wanted:
                past.since = now
            past.is_decided = True
            past.wanted, past.owner, past.level = event["value"], event["owner"], event["level"]
            past.outcome = ""
        case "Followed":
            past.outcome, past.detail, past.ended_at = event["outcome"], event["detail"], now
        case "Command" | "Request":  # what it replaces ended just before
            past.outcome, past.detail, past.ended_at = "", "", None
            past.command, past.attempt, past.sent_at = event["id"], event["attempt"], now
            past.told = event.get("value", event.get("entity"))
            return
        case _:
            return
    past.decision = number


def _values_read(event: Mapping[str, Any]) -> str:
    """Return the values that a condition read when it changed its mind: `seg-1.traffic.flow 40, is_night True`."""
    read = event.get("read", ())
    return ", ".join(f"{point.lstrip('=')} {format_value(value)}" for point, value in read)
