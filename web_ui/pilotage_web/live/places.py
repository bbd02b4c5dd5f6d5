"""Where equipment stands, as the map reads it: asked of the engine once, packed once."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pilotage import api

NOWHERE: Final = 255
"""Stands for the kind of what has no fixed place; so a map shows at most 255 kinds."""
SCALE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Places:
    """All equipment in the order in which the news number it.

    Attributes:
        epoch: The run of the engine in which the numbers count.
        kinds: The kinds on the map, in order of name.
        packed: For browsers, in little-endian columns: how many (uint32), latitudes and longitudes (int32, millionths of a
            degree, each as the difference to the one before), and numbers of kinds (uint8).
        bounds: South, west, north and east of all that stands somewhere; None when nothing does.
    """

    epoch: str
    all: Sequence[api.Place]
    kinds: tuple[str, ...]
    packed: bytes
    numbers: dict[str, int] = field(default_factory=dict)
    bounds: tuple[float, float, float, float] | None = None

    def number_of(self, id_: str) -> int | None:
        """Return the number of a piece of equipment, or None."""
        return self.numbers.get(id_)


def pack_places(epoch: str, places: Sequence[api.Place]) -> Places:
    """Return places as the map reads them."""
    kinds = tuple(sorted({p.kind for p in places if p.latitude is not None})[:NOWHERE])
    number = {kind: index for index, kind in enumerate(kinds)}
    latitudes, longitudes, of_kind = array("i"), array("i"), array("B")
    north = east = 0
    for place in places:
        if place.latitude is None or place.longitude is None:
            here = north, east
            of_kind.append(NOWHERE)
        else:
            here = round(place.latitude * SCALE), round(place.longitude * SCALE)
            of_kind.append(number.get(place.kind, NOWHERE))
        latitudes.append(here[0] - north)
        longitudes.append(here[1] - east)
        north, east = here
    columns = b"".join(struct.pack(f"<{len(c)}i", *c) for c in (latitudes, longitudes))
    packed = struct.pack("<I", len(places)) + columns + of_kind.tobytes()
    numbers = {p.id: p.place for p in places}
    return Places(epoch, places, kinds, packed, numbers, bounds(places))


async def fetch_places(client: api.AsyncClient) -> Places:
    """Return all equipment of the engine that answers.

    Raises:
        ApiError: The engine does not answer, or another one answered in between.
    """
    page = await client.ask(api.ListPlaces())
    epoch, places = page.epoch, list(page.places)
    while page.next >= 0:
        page = await client.ask(api.ListPlaces(after=page.next))
        if page.epoch != epoch:
            raise api.ApiError("changed", "another engine answers now")
        places += page.places
    return pack_places(epoch, places)


def bounds(places: Iterable[api.Place]) -> tuple[float, float, float, float] | None:
    """Return south, west, north and east of all that stands somewhere, or None."""
    found = [
        (p.latitude, p.longitude)
        for p in places
        if p.latitude is not None and p.longitude is not None
    ]
    if not found:
        return None
    latitudes, longitudes = zip(*found, strict=True)
    return min(latitudes), min(longitudes), max(latitudes), max(longitudes)
