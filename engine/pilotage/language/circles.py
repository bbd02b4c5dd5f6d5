"""Circles: rules whose conditions read what the others want."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pilotage.language import check_findings as say
from pilotage.language import typed
from pilotage.language.inspection import Inspection
from pilotage.language.program import DeriveProgram, RuleProgram
from pilotage.language.typed import Read, Typed

_Point = tuple[str, str]
"""Kind and name of a point; of a value of the city, an empty kind."""


def report_circles(
    inspection: Inspection, rules: Sequence[RuleProgram], derived: Sequence[DeriveProgram]
) -> None:
    """Warn of rules whose conditions read what the others want: they may never come to rest."""
    values = {(d.kind, d.name): d.value for d in derived}
    writers: dict[_Point, list[str]] = {}
    for rule in rules:
        for hold in rule.holds:
            writers.setdefault((hold.target.base.type.kind, hold.target.point), []).append(
                rule.name
            )
    leads: dict[str, dict[str, None]] = {rule.name: {} for rule in rules}
    for rule in rules:
        if rule.enter is None or not rule.decl.enabled:
            continue
        for point in _wanted_points(rule.enter, values):
            for name in writers.get(point, ()):
                leads[name][rule.name] = None
    told: set[frozenset[str]] = set()
    for rule in rules:
        circle = _circle(rule.name, leads)
        if len(circle) > 2 and frozenset(circle) not in told:
            told.add(frozenset(circle))
            inspection.report(say.cyclic_rules(rule.decl.name.at, circle))


def _wanted_points(node: Typed, values: Mapping[_Point, Typed]) -> list[_Point]:
    """Return the points whose wanted value an expression reads, through derived values too."""
    found: list[_Point] = []
    seen: set[_Point] = set()
    waiting = [node]
    while waiting:
        for part in typed.walk(waiting.pop()):
            key = ("", "")
            if isinstance(part, typed.Wanted):
                found.append((part.read.base.type.kind, part.read.point))
            elif isinstance(part, Read):
                key = (part.base.type.kind, part.point)
            elif isinstance(part, typed.Global):
                key = ("", part.key)
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
