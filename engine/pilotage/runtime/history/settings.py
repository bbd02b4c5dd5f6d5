"""What `config.yaml` says under `history:`; every mistake at its place.

Knows nothing of kinds until `check_history` is given them.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pilotage.language import findings as say
from pilotage.language.loader import MapNode, Node
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.entities import GUARDED, EntitySpec, Kind, PointSpec, Privacy
from pilotage.model.units import UnknownUnitError, convert, parse_unit
from pilotage.model.values import Base
from pilotage.runtime import findings as site
from pilotage.runtime.forms import (
    Report,
    as_list,
    as_map,
    as_scalar,
    as_text,
    check_keys,
    parse_duration,
    split_quantity,
)

DAY_S: Final = 86_400.0
LEAST_KEEP_S: Final = 6 * 3600.0
"""The newest hours lie together in the file, whatever their class: a limit below this could not be kept."""
"""Classes that are recorded for a declared purpose only."""
CEILINGS: Final = {Privacy.PERSONAL: 366 * DAY_S, Privacy.SENSITIVE: 31 * DAY_S}
"""No setting keeps these longer (CNIL: vehicles of employees one year at most, images of public space one month)."""
RECORDS: Final = ("readings", "changes", "never")
BASES: Final = (
    *("consent", "contract", "legal obligation"),
    *("vital interests", "public task", "legitimate interests"),
)
"""The legal bases of the GDPR, article 6, paragraph 1, (a) to (f)."""
EXAMPLE: Final = "- {kind: detector, point: flow, deadband: 5 veh/h}"

_KEYS: Final = (
    *("match", "kind", "point", "zone"),
    *("record", "deadband", "at_most_every", "purpose", "basis", "keep"),
)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One entry of `history.points`: which points, and how they are recorded.

    Attributes:
        match: A pattern of ENTITY.POINT; it and the other three must all fit.
        record: readings (each one), changes or never.
        deadband: As written, in a unit that the point's can be converted from; empty for none.
        at_most_every_s: Between two samples of a point.
        keep_s: Shorter than what the class allows; None as the class says.
        places: Of the keys, for findings.
    """

    at: Span
    match: str = ""
    kind: str = ""
    point: str = ""
    zone: str = ""
    record: str = "changes"
    deadband: str = ""
    at_most_every_s: float = 0.0
    purpose: str = ""
    basis: str = ""
    keep_s: float | None = None
    places: Mapping[str, Span] = field(default_factory=dict)

    def fits(self, point: str, name: str, kind: str, zone: str) -> bool:
        """Return whether the entry speaks of a point, by its id, its name, its kind and its zone."""
        return (
            self.kind in ("", kind)
            and self.point in ("", name)
            and self.zone in ("", zone)
            and (not self.match or fnmatch.fnmatchcase(point, self.match))
        )


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """What is recorded, and for how long.

    Attributes:
        keep_s: Samples by class.
        rollups_s: Roll-ups by level; those of personal and sensitive points never longer than their samples.
        entries: In order; the first that fits a point decides.
    """

    enabled: bool
    keep_s: Mapping[Privacy, float]
    rollups_s: Mapping[str, float]
    entries: tuple[HistoryEntry, ...] = ()


def read_history(root: MapNode, values: Mapping[str, Any], report: Report) -> HistorySettings:
    """Return what stands under `history:`; `values` are its plain settings by dotted key."""
    section = root.get("history")
    keeps = section.get("keep") if isinstance(section, MapNode) else None
    keep_s = {each: values[f"history.keep.{each.value}"] for each in Privacy}
    for each, seconds in keep_s.items():
        node = keeps.get(each.value) if isinstance(keeps, MapNode) else None
        if node is not None and seconds is not None:
            _check_keep(node, seconds, CEILINGS.get(each), each.value, report)
    listed = section.get("points") if isinstance(section, MapNode) else None
    entries = as_list(listed, "points", report, EXAMPLE)
    return HistorySettings(
        values["history.enabled"],
        keep_s,
        {
            "1min": values["history.rollups.minutes"],
            "15min": values["history.rollups.quarters"],
            "1h": values["history.rollups.hours"],
            "1d": values["history.rollups.days"],
        },
        tuple(
            entry
            for node in (entries.items if entries is not None else ())
            if (entry := _entry(node, report)) is not None
        ),
    )


def _entry(node: Node, report: Report) -> HistoryEntry | None:
    table = as_map(node, "an entry of history.points", report, EXAMPLE)
    if table is None:
        return None
    check_keys(table, "an entry of history.points", _KEYS, report)
    nodes = {key.text: value for key, value in table.entries if key.text in _KEYS}
    texts = {
        key: as_text(value, key, report) or ""
        for key, value in nodes.items()
        if key not in ("at_most_every", "keep")
    }
    for key, allowed in (("record", RECORDS), ("basis", BASES)):
        if texts.get(key) and texts[key] not in allowed:
            report.add(say.bad_choice(nodes[key].at, key, texts[key], allowed))
    if not any(texts.get(key) for key in ("match", "kind", "zone")):
        report.add(site.history_of_nothing(table.at))
    keep = _duration(nodes.get("keep"), "keep", report)
    if keep is not None:
        _check_keep(nodes["keep"], keep, None, "", report)
    return HistoryEntry(
        at=table.at,
        **{key: text for key, text in texts.items() if text},
        at_most_every_s=_duration(nodes.get("at_most_every"), "at_most_every", report) or 0.0,
        keep_s=keep,
        places={key: value.at for key, value in nodes.items()},
    )


def _duration(node: Node | None, key: str, report: Report) -> float | None:
    scalar = None if node is None else as_scalar(node, key, "a duration", report)
    if scalar is None:
        return None
    try:
        return parse_duration(scalar.text)
    except ValueError:
        report.add(say.bad_duration(scalar.at, scalar.text))
        return None


def _check_keep(
    node: Node, seconds: float, most_s: float | None, class_: str, report: Report
) -> None:
    if seconds < LEAST_KEEP_S:
        report.add(site.history_too_short(node.at, LEAST_KEEP_S / 3600))
    elif most_s is not None and seconds > most_s:
        report.add(site.history_too_long(node.at, class_, most_s / DAY_S))


# ── against the kinds and the inventory ──────────────────────────────────────────────────────


def check_history(
    settings: HistorySettings, kinds: Mapping[str, Kind], entities: Iterable[EntitySpec]
) -> list[Finding]:
    """Return what does not fit the city: names that nobody has, and personal points without a purpose."""
    zones = {entity.zone for entity in entities}
    return [
        finding for entry in settings.entries for finding in _check(entry, settings, kinds, zones)
    ]


def _check(
    entry: HistoryEntry, settings: HistorySettings, kinds: Mapping[str, Kind], zones: set[str]
) -> Iterable[Finding]:
    if entry.kind and entry.kind not in kinds:
        yield site.history_unknown(entry.places["kind"], "kind", entry.kind, kinds)
        return
    if entry.zone and entry.zone not in zones:
        yield site.history_unknown(entry.places["zone"], "zone", entry.zone, zones - {""})
    asked = [kinds[entry.kind]] if entry.kind else list(kinds.values())
    names = {spec.name for kind in asked for spec in kind.points}
    if entry.point and entry.point not in names:
        yield site.history_unknown(entry.places["point"], "point", entry.point, names)
        return
    specs = [
        spec for kind in asked for spec in kind.points if entry.point and spec.name == entry.point
    ]
    yield from _check_deadband(entry, specs)
    yield from _check_purpose(entry, settings, specs)


def _check_deadband(entry: HistoryEntry, specs: list[PointSpec]) -> Iterable[Finding]:
    if not entry.deadband:
        return
    quantity = split_quantity(entry.deadband)
    if quantity is None or quantity[0] <= 0:
        yield site.history_deadband(entry.places["deadband"], entry.deadband, "", "")
        return
    for spec in specs:
        if deadband_of(entry, spec) is None:
            at = entry.places["deadband"]
            yield site.history_deadband(at, entry.deadband, spec.name, str(spec.type))
            return


def _check_purpose(
    entry: HistoryEntry, settings: HistorySettings, specs: list[PointSpec]
) -> Iterable[Finding]:
    if entry.record == "never":
        return
    guarded = [spec for spec in specs if spec.privacy in GUARDED]
    for spec in guarded[:1]:
        missing = [key for key in ("purpose", "basis") if not getattr(entry, key)]
        if missing:
            yield site.history_needs_purpose(
                entry.places["point"], spec.name, spec.privacy.value, missing, BASES
            )
    for spec in specs if entry.keep_s is not None else ():
        most_s = settings.keep_s[spec.privacy]
        if entry.keep_s is not None and entry.keep_s > most_s:
            yield site.history_too_long(entry.places["keep"], spec.privacy.value, most_s / DAY_S)
            return


def deadband_of(entry: HistoryEntry, spec: PointSpec) -> float | None:
    """Return an entry's deadband in the point's unit, None when it does not fit the point."""
    quantity = split_quantity(entry.deadband)
    if quantity is None or spec.type.base is not Base.NUMBER:
        return None
    number, unit = quantity
    if not unit:
        return number
    try:
        width = convert(number, parse_unit(unit), spec.type.unit)
        return width - convert(0.0, parse_unit(unit), spec.type.unit)
    except (UnknownUnitError, ValueError):
        return None
