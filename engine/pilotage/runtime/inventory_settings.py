"""What an inventory says of points otherwise than their kind: `on_loss` and `max_rate`, and who must say it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pilotage.language.loader import MapNode, Node, ScalarNode
from pilotage.model.entities import Kind, OnLoss, PointSettings, PointSpec, Rate
from pilotage.runtime import findings as site
from pilotage.runtime.forms import Report, as_map, as_scalar, check_keys, parse_duration
from pilotage.runtime.point_values import MisfitError, converter

KEYS: Final = ("on_loss", "max_rate")
AFTER_S: Final = 30.0
_RATE: Final = re.compile(r"(\d{1,6}) per (.+)")

Settings = dict[str, PointSettings]


def read_settings(node: MapNode | None, kind: Kind, report: Report) -> Settings:
    """Return what an entry says under `on_loss` and `max_rate`, by point; reports what is wrong."""
    found: Settings = {}
    for key in KEYS:
        written = node.get(key) if node is not None and kind.point(key) is None else None
        example = (
            "{position: {value: down, after: 30 s}}"
            if key == "on_loss"
            else "{position: 1 per 10 s}"
        )
        table = as_map(written, key, report, example) if written is not None else None
        for name, value in table.entries if table is not None else ():
            point = kind.point(name.text)
            if point is None or not point.access.is_commandable:
                known = [p.name for p in kind.points if p.access.is_commandable]
                report.add(site.unknown_point(name.at, name.text, kind.name, known))
                continue
            _read(found, point, key, value, report)
    return found


def _read(found: Settings, point: PointSpec, key: str, value: Node, report: Report) -> None:
    before = found.get(point.name, PointSettings())
    if key == "on_loss":
        found[point.name] = replace(before, on_loss=_on_loss(point, value, report))
    else:
        found[point.name] = replace(before, max_rate=_rate(value, report))


def _on_loss(point: PointSpec, node: Node, report: Report) -> OnLoss | None:
    """Return a value and a time from `down` or `{value: down, after: 30 s}`."""
    after_s = AFTER_S if point.on_loss is None else point.on_loss.after_s
    if isinstance(node, MapNode):
        check_keys(node, "on_loss", ("value", "after"), report, {"value": "value: VALUE"})
        after = node.get("after")
        if after is not None:
            after_s = _duration(after, report) or after_s
        written = node.get("value")
        if written is None:
            return None
        node = written
    scalar = as_scalar(node, "on_loss", "a value", report)
    if scalar is None:
        return None
    try:
        return OnLoss(converter(point)(scalar.value), after_s)
    except MisfitError as misfit:
        report.add(site.bad_value(scalar.at, f"on_loss of {point.name}", misfit.why, misfit.mend))
        return None


def _duration(node: Node, report: Report) -> float | None:
    scalar = as_scalar(node, "after", "a duration", report)
    if scalar is None:
        return None
    try:
        seconds = parse_duration(scalar.text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        report.add(
            site.bad_value(scalar.at, "after", f'"{scalar.text}" is no duration', "write 30 s")
        )
        return None
    return seconds


def _rate(node: Node, report: Report) -> Rate | None:
    """Return a rate from `1 per 10 s`."""
    scalar = as_scalar(node, "max_rate", "1 per 10 s", report)
    if scalar is None:
        return None
    rate = parse_rate(scalar)
    if rate is None:
        report.add(site.bad_point_rate(scalar.at, scalar.text))
    return rate


def parse_rate(scalar: ScalarNode) -> Rate | None:
    """Return what `3 per 1 min` says, or None when it is no rate."""
    match = _RATE.fullmatch(scalar.text.strip())
    if match is None:
        return None
    try:
        per_s = parse_duration(match[2])
    except ValueError:
        return None
    count = int(match[1])
    return Rate(count, per_s) if count > 0 and per_s > 0 else None


def unsaid(kind: Kind, settings: Mapping[str, PointSettings]) -> list[str]:
    """Return the points of which the site must say what they do when we are gone, and has not."""
    return [
        point.name
        for point in kind.points
        if point.on_loss_by_site and settings.get(point.name, PointSettings()).on_loss is None
    ]
