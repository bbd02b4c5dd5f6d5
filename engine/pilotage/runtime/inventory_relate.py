"""Relations by geometry: who stands on a line, in an outline, or near a place; `relate:` in an inventory."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pilotage.language.loader import MapNode, ScalarNode
from pilotage.model.diagnostics import Span
from pilotage.model.entities import Kind
from pilotage.runtime import findings as site
from pilotage.runtime.forms import Report, as_text, check_keys
from pilotage.runtime.inventory_drafts import NO_KIND, Draft, Say, position_of
from pilotage.runtime.shapes import Ground, Shape, shape_of
from pilotage.runtime.tables import Fill, Table, column_known, open_geojson, parse_template

KEYS: Final = ("relate", "shapes", "id", "within", "nearest")
_LENGTH: Final = re.compile(r"(\d+(?:\.\d+)?) ?(m|km)")
_METRES: Final = {"m": 1.0, "km": 1000.0}


@dataclass(frozen=True, slots=True)
class Relate:
    """One relation that is filled from where things are.

    Attributes:
        shapes: Lines and outlines of the owners by id; None takes the owners' own positions.
        file: Of the shapes, for findings.
        reach_m: How far a member may be.
        only_nearest: A member belongs to the nearest owner alone.
    """

    at: Span
    kind: Kind
    relation: str
    shapes: Sequence[tuple[str, Shape]] | None
    file: str
    reach_m: float
    only_nearest: bool


def read_relate(
    node: MapNode, folder: Path, kinds: Mapping[str, Kind], report: Report, say: Say
) -> Relate | None:
    """Return what an entry `relate:` says, None when it has a mistake, which is reported."""
    before = len(report.findings)
    check_keys(node, "relate", KEYS, report)
    written = node.get("relate")
    assert isinstance(written, ScalarNode)
    kind = _kind(written, kinds, say)
    reach, only_nearest = _reach(node, written, report, say)
    shapes, file = _shapes(node, folder, report, say)
    if kind is None or reach is None or len(report.findings) > before:
        return None
    relation = written.text.partition(".")[2]
    return Relate(written.at, kind, relation, shapes, file, reach, only_nearest)


def relate(order: Relate, drafts: Mapping[str, Draft], say: Say) -> None:
    """Fill a relation, and report owners without a member, members without a place and shapes of nobody."""
    owners = {id_: d for id_, d in drafts.items() if d.kind is order.kind}
    target = order.kind.relations[order.relation]
    members = [d for d in drafts.values() if d.kind is not NO_KIND and target in ("", d.kind.name)]
    ground = Ground(_owned(order, owners, say), order.reach_m)
    filled: set[str] = set()
    placeless: list[str] = []
    for member in members:
        place = position_of(member.kind, member.values)
        if place is None:
            placeless.append(member.id)
            continue
        near = [owner for _, owner in ground.near(place) if owner != member.id]
        for owner in near[:1] if order.only_nearest else near:
            owners[owner].relations.setdefault(order.relation, []).append(member.id)
            filled.add(owner)
    name = f"{order.kind.name}.{order.relation}"
    alone = [id_ for id_, d in owners.items() if order.relation not in d.relations]
    if placeless:
        say(site.without_place(order.at, name, placeless))
    if alone:
        say(site.without_members(order.at, order.kind.name, order.relation, alone, len(owners)))


def _owned(order: Relate, owners: Mapping[str, Draft], say: Say) -> list[tuple[str, Shape]]:
    """Return the shapes whose owners are in the inventory."""
    if order.shapes is None:
        places = ((id_, position_of(d.kind, d.values)) for id_, d in owners.items())
        return [(id_, Shape(((place,),))) for id_, place in places if place is not None]
    strangers = [id_ for id_, _ in order.shapes if id_ not in owners]
    if strangers:
        say(site.shape_of_nobody(order.at, order.file, order.kind.name, strangers))
    return [(id_, shape) for id_, shape in order.shapes if id_ in owners]


def _kind(written: ScalarNode, kinds: Mapping[str, Kind], say: Say) -> Kind | None:
    name, _, relation = written.text.partition(".")
    kind = kinds.get(name)
    if kind is None:
        say(site.unknown_kind(written.at, name, kinds))
    elif relation not in kind.relations:
        say(site.no_relation(written.at, relation, name, kind.relations))
        return None
    return kind


def _reach(
    node: MapNode, written: ScalarNode, report: Report, say: Say
) -> tuple[float | None, bool]:
    given = [key for key in ("within", "nearest") if node.get(key) is not None]
    if len(given) != 1:
        say(site.bad_relate(written.at, 'it needs either "within" or "nearest"'))
        return None, False
    length = node.get(given[0])
    assert length is not None
    text = as_text(length, given[0], report)
    found = _LENGTH.fullmatch(text.strip()) if text is not None else None
    if found is None:
        if text is not None:
            say(site.bad_relate(length.at, f'"{text}" is no length'))
        return None, False
    return float(found[1]) * _METRES[found[2]], given[0] == "nearest"


def _shapes(
    node: MapNode, folder: Path, report: Report, say: Say
) -> tuple[list[tuple[str, Shape]] | None, str]:
    named = node.get("shapes")
    if not isinstance(named, ScalarNode):
        if node.get("id") is not None:
            say(site.bad_relate(node.at, '"id" is of the shapes, and there are none'))
        return None, ""
    table = open_geojson(folder / named.text, report.sources, say, named.at)
    fill = None if table is None else _id_of(node, table, report, say)
    if table is None or fill is None:
        return [], named.text
    found: list[tuple[str, Shape]] = []
    for (line, row), geometry in zip(table.rows(), table.geometries, strict=True):
        shape = shape_of(geometry)
        if shape is None:
            say(
                site.geojson_broken(table.place(line), table.file.name, "a feature has no geometry")
            )
        else:
            found.append((str(fill(row)), shape))
    return found, named.text


def _id_of(node: MapNode, table: Table, report: Report, say: Say) -> Fill | None:
    id_ = node.get("id")
    text = "{@id}" if id_ is None else as_text(id_, "id", report)
    at = node.at if id_ is None else id_.at
    if text is None:
        return None
    try:
        template = parse_template(text)
    except ValueError as error:
        say(site.bad_template(at, text, str(error)))
        return None
    if not column_known(template, table, at, say):
        return None
    return template.bind({column: place for place, column in enumerate(table.columns)})
