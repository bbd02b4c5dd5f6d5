"""Circles: rules whose conditions read what the others want."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pilotage.language import check_findings as say
from pilotage.language import typed
from pilotage.language.inspection import Inspection
from pilotage.language.program import DeriveProgram, RuleProgram
from pilotage.language.typed import Read, Typed

_Point = tuple[str, str]
"""Kind and name of a point; of a value of the city, an empty kind."""


class Reads(NamedTuple):
    """What a condition reads: points whose wanted value it asks for, and points and values, which may be derived."""

    wanted: tuple[_Point, ...] = ()
    values: tuple[_Point, ...] = ()


def reads_of(node: Typed | None) -> Reads:
    """Return what a condition reads by itself."""
    wanted: dict[_Point, None] = {}
    values: dict[_Point, None] = {}
    for part in typed.walk(node) if node is not None else ():
        if isinstance(part, typed.Wanted):
            wanted[part.read.base.type.kind, part.read.point] = None
        elif isinstance(part, Read):
            values[part.base.type.kind, part.point] = None
        elif isinstance(part, typed.Global):
            values["", part.key] = None
    return Reads(tuple(wanted), tuple(values))


def report_circles(
    inspection: Inspection,
    rules: Sequence[RuleProgram],
    reads: Sequence[Reads],
    derived: Sequence[DeriveProgram],
) -> None:
    """Warn of rules whose conditions read what the others want: they may never come to rest.

    Args:
        inspection: Where that is reported.
        rules: All rules.
        reads: What the condition of each reads (`reads_of`), in the same order.
        derived: All derived values.
    """
    values = {(d.kind, d.name): reads_of(d.value) for d in derived}
    if not any(each.wanted for each in (*reads, *values.values())):
        return
    writers: dict[_Point, list[str]] = {}
    for rule in rules:
        for hold in rule.holds:
            writers.setdefault((hold.target.base.type.kind, hold.target.point), []).append(
                rule.name
            )
    leads: dict[str, dict[str, None]] = {rule.name: {} for rule in rules}
    for rule, read in zip(rules, reads, strict=True):
        if rule.enter is None or not rule.decl.enabled:
            continue
        for point in _wanted_points(read, values):
            for name in writers.get(point, ()):
                leads[name][rule.name] = None
    told: set[frozenset[str]] = set()
    for rule in rules:
        circle = _circle(rule.name, leads)
        if len(circle) > 2 and frozenset(circle) not in told:
            told.add(frozenset(circle))
            inspection.report(say.cyclic_rules(rule.decl.name.at, circle))


def _wanted_points(read: Reads, values: Mapping[_Point, Reads]) -> list[_Point]:
    """Return the points whose wanted value a condition reads, through derived values too."""
    found: list[_Point] = []
    seen: set[_Point] = set()
    waiting = [read]
    while waiting:
        read = waiting.pop()
        found.extend(read.wanted)
        for key in read.values:
            if key in values and key not in seen:
                seen.add(key)
                waiting.append(values[key])
    return found


def _circle(start: str, leads: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the shortest way from a rule back to itself, or nothing."""
    before: dict[str, str] = {}
    waiting = [start]
    for name in waiting:
        for following in leads[name]:
            if following == start:
                way = [name]
                while way[-1] != start:
                    way.append(before[way[-1]])
                return [*reversed(way), start]
            if following not in before:
                before[following] = name
                waiting.append(following)
    return []
