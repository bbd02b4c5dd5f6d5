"""What a point may hold: plain Python values and the types that describe them.

A number is a float in the unit of its point, a member of an enumeration is its name, a reference is the
entity itself inside the core and its id everywhere else, a time of day is a number of minutes. `None` means unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

from pilotage.model.units import ONE, SECOND, Unit, parse_unit


class Position(NamedTuple):
    """A place on earth, WGS 84, in degrees."""

    latitude: float
    longitude: float


Value = float | bool | str | Position
"""A known value outside the core; references are ids there."""


class Base(Enum):
    """The families of values."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"
    ENUM = "enum"
    POSITION = "position"
    ENTITY = "reference"
    SET = "set"
    TIME = "time"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class ValueType:
    """The static type of a point, a parameter or an expression."""

    base: Base
    unit: Unit = ONE
    members: tuple[str, ...] = ()
    kind: str = ""

    def __str__(self) -> str:
        """Return the type as a city engineer reads it: `number in km/h`, `route`, `set of route`."""
        match self.base:
            case Base.NUMBER:
                return (
                    f"{self.unit.dimension.title} ({self.unit})"
                    if self.unit.symbol
                    else "plain number"
                )
            case Base.ENUM:
                return "one of " + ", ".join(self.members)
            case Base.ENTITY:
                return self.kind or "reference"
            case Base.SET:
                return f"set of {self.kind}"
            case Base.BOOLEAN:
                return "true or false"
            case Base.TIME:
                return "time of day"
            case _:
                return str(self.base.value)


BOOLEAN: Final = ValueType(Base.BOOLEAN)
TEXT: Final = ValueType(Base.TEXT)
NUMBER: Final = ValueType(Base.NUMBER)
DURATION: Final = ValueType(Base.NUMBER, SECOND)
POSITION: Final = ValueType(Base.POSITION)
TIME: Final = ValueType(Base.TIME)
ANY: Final = ValueType(Base.ANY)


def number(unit: str = "") -> ValueType:
    """Return the type of a number in a unit: `number("veh/h")`."""
    return ValueType(Base.NUMBER, parse_unit(unit))


def enum(*members: str) -> ValueType:
    """Return the type of an enumeration: `enum("up", "down")`."""
    return ValueType(Base.ENUM, members=members)


def reference(kind: str) -> ValueType:
    """Return the type of a reference to an entity of a kind; an empty kind means any."""
    return ValueType(Base.ENTITY, kind=kind)


def set_of(kind: str) -> ValueType:
    """Return the type of a set of entities of a kind."""
    return ValueType(Base.SET, kind=kind)


def as_plain(value: Any) -> Any:
    """Return a value as JSON can carry it: references as ids, positions as [latitude, longitude], sets as lists."""
    if value is None or isinstance(value, (float, bool, str, int)):
        return value
    if isinstance(value, Position):
        return [round(value.latitude, 7), round(value.longitude, 7)]
    if isinstance(value, (tuple, list)):
        return [as_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): as_plain(item) for key, item in value.items()}
    return getattr(value, "id", str(value))


def format_value(value: Any, type_: ValueType | None = None) -> str:
    """Return a value as people read it, with its unit: `30 %`, `41 veh/h`, `yes`, `seg-12`, `unknown`."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "true" if value else "false"
    if type_ is not None and type_.base is Base.TIME and isinstance(value, (int, float)):
        return f"{int(value) // 60:02d}:{int(value) % 60:02d}"
    if isinstance(value, (int, float)):
        text = f"{value:.6g}"
        return f"{text} {type_.unit}" if type_ is not None and type_.unit.symbol else text
    if isinstance(value, Position):
        return f"{value.latitude:.5f}, {value.longitude:.5f}"
    if isinstance(value, (tuple, list)):
        return ", ".join(format_value(item) for item in value) or "nothing"
    return str(getattr(value, "id", value))
