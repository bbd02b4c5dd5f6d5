"""The engine's own functions: arithmetic, geometry on the ground, motion.

All are pure; what moves carries its motion with it. An argument that is unknown never arrives here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pilotage.model.entities import Function
from pilotage.model.values import Base, Position, ValueType, as_plain

EARTH_M: Final = 6_371_008.8
"""Mean radius of the earth, metres."""
_DEGREE_M: Final = math.radians(1.0) * EARTH_M
MOST_DIGITS: Final = 15.0
"""A number has no more; asked for more, it is rounded to these."""
LEAST_SPEED_M_S: Final = 0.5
"""Slower than this nobody arrives: the time of arrival is unknown."""


class Place(Protocol):
    """Anything that is somewhere: an entity of the running city."""

    @property
    def place(self) -> Position | None:
        """Where it is now, or None when that is unknown."""
        ...

    @property
    def motion(self) -> tuple[float, float, float] | None:
        """Metres per second to the east and to the north (a direction while it stands), and its speed."""
        ...


def offset_m(origin: Position, target: Position) -> tuple[float, float]:
    """Return how far east and north one place lies of another, in metres; exact enough within a region."""
    east = (
        (target.longitude - origin.longitude) * _DEGREE_M * math.cos(math.radians(origin.latitude))
    )
    return east, (target.latitude - origin.latitude) * _DEGREE_M


def moved(origin: Position, east_m: float, north_m: float) -> Position:
    """Return the place that lies so many metres east and north of another."""
    return Position(
        origin.latitude + north_m / _DEGREE_M,
        origin.longitude + east_m / (_DEGREE_M * math.cos(math.radians(origin.latitude))),
    )


def metres_between(a: Position, b: Position) -> float:
    """Return the distance of two places in metres."""
    return math.hypot(*offset_m(a, b))


def place_of(thing: Any) -> Position | None:
    """Return where an entity or a position is."""
    return thing if isinstance(thing, Position) else thing.place


def distance(a: Any, b: Any) -> float | None:
    """Return the distance of two places or entities, metres."""
    here, there = place_of(a), place_of(b)
    return None if here is None or there is None else metres_between(here, there)


def approaching(mover: Any, target: Any) -> bool | None:
    """Return whether the last movement went towards the target; unknown before the first movement."""
    here, there, motion = place_of(mover), place_of(target), mover.motion
    if here is None or there is None or motion is None:
        return None
    east, north = offset_m(here, there)
    return bool(east * motion[0] + north * motion[1] > 0.0)


def eta(mover: Any, target: Any) -> float | None:
    """Return when the mover arrives at its present speed, whole seconds; unknown while it stands or leaves."""
    gap, motion = distance(mover, target), mover.motion
    if (
        gap is None
        or motion is None
        or motion[2] < LEAST_SPEED_M_S
        or approaching(mover, target) is False
    ):
        return None
    return float(round(gap / motion[2]))


def inside(thing: Any, place: Any, within: float | None = None) -> bool | None:
    """Return whether a thing is within so many metres of a place, or inside the place's own area.

    A place without `within` needs a point `area` (`lat lon, lat lon, …`) or `radius` (metres).
    """
    here = place_of(thing)
    if here is None:
        return None
    if within is None and not isinstance(place, Position):
        outline = place.read("area")
        if outline:
            return _in_polygon(here, parse_outline(outline))
        within = place.read("radius")
    centre = place_of(place)
    return None if centre is None or within is None else metres_between(here, centre) <= within


def parse_outline(text: str) -> list[Position]:
    """Return the corners of an outline `lat lon, lat lon, …`."""
    return [Position(*map(float, corner.split()[:2])) for corner in text.split(",")]


def _in_polygon(point: Position, corners: list[Position]) -> bool:
    inside_ = False
    for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (a.latitude > point.latitude) != (b.latitude > point.latitude):
            share = (point.latitude - a.latitude) / (b.latitude - a.latitude)
            if point.longitude < a.longitude + share * (b.longitude - a.longitude):
                inside_ = not inside_
    return inside_


def names(things: Iterable[Any]) -> str:
    """Return the names of a set, for people."""
    return ", ".join(thing.name for thing in things)


def clamp(value: float, low: float, high: float) -> float:
    """Return the value, or the nearer bound."""
    return min(max(value, low), high)


def round_to(value: float, digits: float = 0.0) -> float:
    """Return the value rounded half up at so many digits: 2.5 is 3, as people round."""
    scale = 10.0 ** int(clamp(digits, -MOST_DIGITS, MOST_DIGITS))
    scaled = value * scale
    return math.floor(scaled + 0.5) / scale if math.isfinite(scaled) else value


def honest(function: Function) -> Callable[..., Any]:
    """Return a plugin's function that raises when it answers with another type than it declares.

    Raises:
        TypeError: By the function returned; a comparison further on must not be where it is noticed.
    """
    call, type_ = function.call, function.returns

    @functools.wraps(call)
    def checked(*arguments: Any) -> Any:
        answer = call(*arguments)
        if answer is None or _is_of(answer, type_):
            return answer
        raise TypeError(f"{function.name} answered {as_plain(answer)!r:.80}, which is no {type_}")

    return checked


def _is_of(answer: Any, type_: ValueType) -> bool:
    match type_.base:
        case Base.NUMBER | Base.TIME:
            is_number = isinstance(answer, (int, float)) and not isinstance(answer, bool)
            return is_number and math.isfinite(answer)
        case Base.BOOLEAN:
            return isinstance(answer, bool)
        case Base.TEXT:
            return isinstance(answer, str)
        case Base.ENUM:
            return answer in type_.members
        case Base.POSITION:
            return isinstance(answer, Position)
        case Base.ENTITY:
            return type_.kind in ("", getattr(answer, "kind", None))
        case Base.SET:
            return isinstance(answer, tuple)
        case _:
            return True


@dataclass(frozen=True, slots=True)
class BuiltinSpec:
    """A builtin: how many arguments, what each may be, what comes back.

    `arguments` uses `n` number, `m` metres, `e` entity, `p` entity or position, `s` set.
    `returns`: `same` as the first argument, `metres`, `seconds`, `boolean` or `text`.
    """

    name: str
    arguments: tuple[str, ...]
    returns: str
    call: Callable[..., Any]
    optional: int = 0
    reads_position: bool = False
    doc: str = ""


BUILTINS: Final[dict[str, BuiltinSpec]] = {
    spec.name: spec
    for spec in (
        BuiltinSpec("abs", ("n",), "same", abs, doc="the size of a number without its sign"),
        BuiltinSpec(
            "round", ("n", "n"), "same", round_to, optional=1, doc="rounded, to so many digits"
        ),
        BuiltinSpec("clamp", ("n", "n", "n"), "same", clamp, doc="a number between two bounds"),
        BuiltinSpec(
            "distance",
            ("p", "p"),
            "metres",
            distance,
            reads_position=True,
            doc="distance on the ground",
        ),
        BuiltinSpec(
            "inside",
            ("p", "p", "m"),
            "boolean",
            inside,
            optional=1,
            reads_position=True,
            doc="within a distance of a place, or inside its area",
        ),
        BuiltinSpec(
            "approaching",
            ("e", "p"),
            "boolean",
            approaching,
            reads_position=True,
            doc="the last movement went towards it",
        ),
        BuiltinSpec(
            "eta", ("e", "p"), "seconds", eta, reads_position=True, doc="time until it arrives"
        ),
        BuiltinSpec("names", ("s",), "text", names, doc="the names of a set, joined by commas"),
    )
}
STATISTICS: Final = ("avg", "min", "max", "sum", "count", "p95", "rate", "changes", "any", "all")
"""Functions over windows and over sets."""
SPECIAL: Final = ("known", "age", "wanted", "plan", "nearest")
