"""Doubts about an inventory that is right in itself: things outside of the city, twice at one place, or related to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from pilotage.model.diagnostics import NOWHERE, Finding, Span
from pilotage.model.entities import EntitySpec, Kind
from pilotage.model.values import Position
from pilotage.runtime import findings as site
from pilotage.runtime.inventory import Inventory
from pilotage.runtime.inventory_drafts import position_of

SHOWN: Final = 10
"""Findings of one sort; the rest is counted in a last one."""

Area = tuple[Position, Position]
"""South-west and north-east corner."""


def survey(inventory: Inventory, kinds: Mapping[str, Kind], area: Area | None) -> list[Finding]:
    """Return what looks wrong in an inventory, all of it warnings, in order of place.

    Args:
        inventory: What was read.
        kinds: From the plugins, by name.
        area: Where the city lies; None looks at no border.
    """
    places = [
        (entity, place)
        for entity in inventory.entities
        if (place := position_of(kinds[entity.kind], entity.values)) is not None
    ]
    found = [
        *_some(_outside(places, area, inventory)),
        *_some(_twice(places, inventory)),
        *_unrelated(inventory.entities, kinds, inventory),
    ]
    return sorted(found, key=lambda finding: finding.at)


def _some(findings: Iterable[Finding]) -> Iterator[Finding]:
    last, count = None, 0
    for finding in findings:
        count += 1
        if count <= SHOWN:
            yield finding
        last = finding
    if last is not None and count > SHOWN:
        yield site.more_doubts(last.at, last.code, count - SHOWN)


def _outside(
    places: Sequence[tuple[EntitySpec, Position]], area: Area | None, inventory: Inventory
) -> Iterator[Finding]:
    if area is None:
        return
    (south, west), (north, east) = ((p.latitude, p.longitude) for p in area)
    for entity, place in places:
        if not (south <= place.latitude <= north and west <= place.longitude <= east):
            # The commonest reason by far, and the cheapest to see.
            swapped = south <= place.longitude <= north and west <= place.latitude <= east
            yield site.outside(_at(inventory, entity), entity.id, place, swapped=swapped)


def _twice(
    places: Sequence[tuple[EntitySpec, Position]], inventory: Inventory
) -> Iterator[Finding]:
    first: dict[tuple[str, Position], str] = {}
    for entity, place in places:
        other = first.setdefault((entity.kind, place), entity.id)
        if other != entity.id:
            yield site.same_place(_at(inventory, entity), entity.id, other)


def _unrelated(
    entities: Sequence[EntitySpec], kinds: Mapping[str, Kind], inventory: Inventory
) -> Iterator[Finding]:
    by_kind: dict[str, list[EntitySpec]] = {}
    for entity in entities:
        by_kind.setdefault(entity.kind, []).append(entity)
    for name, members in by_kind.items():
        for relation in kinds[name].relations:
            alone = [entity.id for entity in members if relation not in entity.relations]
            # A relation that nothing of the kind has is not used in this city.
            if 0 < len(alone) < len(members):
                first = next(entity for entity in members if entity.id == alone[0])
                at = _at(inventory, first)
                yield site.without_members(at, name, relation, alone, len(members))


def _at(inventory: Inventory, entity: EntitySpec) -> Span:
    return inventory.place(entity.id) or NOWHERE
