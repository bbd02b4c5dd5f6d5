"""Lines and outlines on the ground, on a grid: which of them are near a place, and how near.

Flat metres around one place: exact enough within a city, wrong across a country.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pilotage.language.functions import offset_m
from pilotage.model.values import Position

MOST_SQUARES: Final = 200
"""The widest shape covers at most so many squares of the grid, east to west and south to north."""
LEAST_SQUARE_M: Final = 20.0

Spot = tuple[float, float]
"""Metres to the east and to the north of the origin."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A thing on the ground: a place, some lines, or an area with its holes.

    Attributes:
        parts: Lines, or the rings of an area; a single vertex is a place.
    """

    parts: tuple[tuple[Position, ...], ...]
    is_area: bool = False


def shape_of(geometry: Any) -> Shape | None:
    """Return the shape of a GeoJSON geometry, None when it is none or is broken.

    Source: RFC 7946, 3.1.
    """
    if not isinstance(geometry, Mapping):
        return None
    coordinates: Any = geometry.get("coordinates") or ()
    try:
        match geometry.get("type"):
            case "Point":
                return Shape(((_position(coordinates),),))
            case "MultiPoint":
                return Shape(tuple((_position(each),) for each in coordinates))
            case "LineString":
                return Shape((_line(coordinates),))
            case "MultiLineString":
                return Shape(tuple(_line(line) for line in coordinates))
            case "Polygon":
                return Shape(tuple(_line(ring) for ring in coordinates), is_area=True)
            case "MultiPolygon":
                rings = (ring for polygon in coordinates for ring in polygon)
                return Shape(tuple(_line(ring) for ring in rings), is_area=True)
    except (TypeError, IndexError, ValueError):
        return None
    return None


class Ground:
    """Shapes with a name each, found by place."""

    def __init__(self, shapes: Sequence[tuple[str, Shape]], reach_m: float) -> None:
        """Lay out the shapes.

        Args:
            shapes: Name and shape; a name may come twice.
            reach_m: How far from a shape a place may lie to be near it, 0 for inside only.
        """
        self._reach_m = reach_m
        self._origin = next((part[0] for _, shape in shapes for part in shape.parts), None)
        self._shapes = [
            (name, tuple(tuple(map(self._spot, part)) for part in shape.parts), shape.is_area)
            for name, shape in shapes
        ]
        widest = max((_width(parts) for _, parts, _ in self._shapes), default=0.0)
        self._square_m = max(LEAST_SQUARE_M, 2 * reach_m, widest / MOST_SQUARES)
        self._squares: dict[tuple[int, int], dict[int, None]] = {}
        for number, (_, parts, is_area) in enumerate(self._shapes):
            for square in self._covered(parts, is_area):
                self._squares.setdefault(square, {})[number] = None

    def near(self, place: Position) -> list[tuple[float, str]]:
        """Return distance in metres and name of each shape within reach, nearest first; inside is 0."""
        if self._origin is None:
            return []
        spot = self._spot(place)
        found: dict[str, float] = {}
        for number in self._squares.get(self._square(spot), ()):
            name, parts, is_area = self._shapes[number]
            metres = 0.0 if is_area and _is_inside(spot, parts) else _distance(spot, parts)
            if metres <= self._reach_m and metres < found.get(name, math.inf):
                found[name] = metres
        return sorted((metres, name) for name, metres in found.items())

    def _spot(self, place: Position) -> Spot:
        assert self._origin is not None
        return offset_m(self._origin, place)

    def _square(self, spot: Spot) -> tuple[int, int]:
        return math.floor(spot[0] / self._square_m), math.floor(spot[1] / self._square_m)

    def _covered(self, parts: Sequence[Sequence[Spot]], is_area: bool) -> Iterator[tuple[int, int]]:
        """Yield the squares that a shape and its reach touch: of lines around each piece, of areas around the whole."""
        if is_area:
            yield from self._around([spot for part in parts for spot in part])
            return
        for part in parts:
            for here, there in _pieces(part):
                yield from self._around([here, there])

    def _around(self, spots: Sequence[Spot]) -> Iterator[tuple[int, int]]:
        reach = self._reach_m
        west, south = self._square(
            (min(x for x, _ in spots) - reach, min(y for _, y in spots) - reach)
        )
        east, north = self._square(
            (max(x for x, _ in spots) + reach, max(y for _, y in spots) + reach)
        )
        for column in range(west, east + 1):
            for row in range(south, north + 1):
                yield column, row


def _position(pair: Any) -> Position:
    longitude, latitude = float(pair[0]), float(pair[1])
    return Position(latitude, longitude)


def _line(coordinates: Any) -> tuple[Position, ...]:
    line = tuple(_position(pair) for pair in coordinates)
    if not line:
        raise ValueError("a line without a vertex")
    return line


def _pieces(part: Sequence[Spot]) -> Iterator[tuple[Spot, Spot]]:
    if len(part) == 1:
        yield part[0], part[0]
    yield from itertools.pairwise(part)


def _width(parts: Sequence[Sequence[Spot]]) -> float:
    spots = [spot for part in parts for spot in part]
    across = max(x for x, _ in spots) - min(x for x, _ in spots)
    return max(across, max(y for _, y in spots) - min(y for _, y in spots))


def _distance(spot: Spot, parts: Sequence[Sequence[Spot]]) -> float:
    return min(_to_piece(spot, *piece) for part in parts for piece in _pieces(part))


def _to_piece(spot: Spot, here: Spot, there: Spot) -> float:
    """Return the distance of a spot from a straight piece."""
    dx, dy = there[0] - here[0], there[1] - here[1]
    length = dx * dx + dy * dy
    along = ((spot[0] - here[0]) * dx + (spot[1] - here[1]) * dy) / length if length else 0.0
    share = min(1.0, max(0.0, along))
    return math.hypot(spot[0] - here[0] - share * dx, spot[1] - here[1] - share * dy)


def _is_inside(spot: Spot, rings: Sequence[Sequence[Spot]]) -> bool:
    """Return whether a ray from a spot to the east crosses the rings an odd number of times; holes are rings too."""
    x, y = spot
    inside = False
    for ring in rings:
        for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                inside = not inside
    return inside
