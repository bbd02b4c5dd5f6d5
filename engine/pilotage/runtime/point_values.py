"""What people write for a point, in YAML or in a column of a file, to what the point holds; or why it does not fit.

Numbers may carry a unit (`3 min`, `30 %`) and come out in the unit of the point; references stay ids.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Final

from pilotage.model.entities import PointSpec
from pilotage.model.units import Unit, UnknownUnitError, convert, parse_unit
from pilotage.model.values import Base, Position, Value
from pilotage.runtime.forms import split_quantity

TRUE_WORDS: Final = frozenset({"true", "yes", "on", "1", "oui", "vrai"})
FALSE_WORDS: Final = frozenset({"false", "no", "off", "0", "non", "faux"})

Convert = Callable[[Any], Value]
"""Turns what was written (text, number, bool, or a list of two for a position) into a value."""


class MisfitError(Exception):
    """A point cannot hold what was written."""

    def __init__(self, why: str, mend: str) -> None:
        super().__init__(why)
        self.why = why
        self.mend = mend


def converter(point: PointSpec) -> Convert:
    """Return the function that converts for a point; it raises `MisfitError`."""
    match point.type.base:
        case Base.NUMBER:
            return _number(point)
        case Base.BOOLEAN:
            return _boolean
        case Base.ENUM:
            return _member(point.type.members)
        case Base.POSITION:
            return to_position
        case Base.TIME:
            return _time_of_day
        case Base.ENTITY if point.is_request:
            return _refused
        case Base.SET:
            return _refused
        case _:
            return _text


def to_position(written: Any) -> Position:
    """Return the position of `[47.322, 5.041]`, of two texts, or of `47.322, 5.041`.

    Raises:
        MisfitError: It is none, or lies where no city does.
    """
    parts = written.replace(";", ",").split(",") if isinstance(written, str) else written
    if not isinstance(parts, Sequence) or len(parts) != 2:
        raise MisfitError(
            f'"{written}" is no position', "write [latitude, longitude]: [47.322, 5.041]"
        )
    try:
        if any(isinstance(part, bool) for part in parts):
            raise TypeError
        latitude, longitude = float(parts[0]), float(parts[1])
    except (TypeError, ValueError):
        mend = "write the two numbers in degrees: 47.322 and 5.041"
        if any("," in str(part) for part in parts):
            mend = """add decimal: "," to the file's entry, or write the numbers with a point"""
        shown = " and ".join(str(part) for part in parts)
        raise MisfitError(f'"{shown}" is no position', mend) from None
    why = misplaced(latitude, longitude)
    if why:
        mend = (
            "are latitude and longitude swapped?" if abs(latitude) > 90.0 else "mend it in the file"
        )
        raise MisfitError(why, mend)
    return Position(latitude, longitude)


def misplaced(latitude: float, longitude: float) -> str:
    """Return why two numbers are no place of a city's equipment, or an empty text."""
    if not -90.0 <= latitude <= 90.0:
        return f"the latitude {latitude:g} is not between -90 and 90"
    if not -180.0 <= longitude <= 180.0:
        return f"the longitude {longitude:g} is not between -180 and 180"
    if latitude == 0.0 and longitude == 0.0:
        return "latitude 0, longitude 0 lies in the Gulf of Guinea and is what an empty field gives"
    return ""


def _number(point: PointSpec) -> Convert:
    unit = point.type.unit
    low = -math.inf if point.low is None else point.low
    high = math.inf if point.high is None else point.high

    def to_number(written: Any) -> Value:
        if isinstance(written, bool):
            raise MisfitError(f"{str(written).lower()} is no number", f"write {_example(unit)}")
        try:
            value = float(written)
        except (TypeError, ValueError):
            value = _quantity(written, unit)
        if not math.isfinite(value):
            raise MisfitError(f'"{written}" is no number', f"write {_example(unit)}")
        if not low <= value <= high:
            raise MisfitError(
                f"{f'{value:g} {unit}'.rstrip()} is out of range", f"write {_range(point)}"
            )
        return value

    return to_number


def _quantity(written: Any, unit: Unit) -> float:
    parts = split_quantity(written) if isinstance(written, str) else None
    if parts is None:
        raise MisfitError(f'"{written}" is no number', f"write {_example(unit)}")
    number, symbol = parts
    try:
        return convert(number, parse_unit(symbol), unit)
    except UnknownUnitError:
        raise MisfitError(f'"{symbol}" is no unit', f"write {_example(unit)}") from None
    except ValueError as error:
        raise MisfitError(str(error), f"write {_example(unit)}") from None


def _example(unit: Unit) -> str:
    return f"a number with its unit: 20 {unit}" if unit.symbol else "a number: 20"


def _range(point: PointSpec) -> str:
    unit = f" {point.type.unit}" if point.type.unit.symbol else ""
    if point.low is None:
        return f"{point.high:g}{unit} or less"
    if point.high is None:
        return f"{point.low:g}{unit} or more"
    return f"a value from {point.low:g} to {point.high:g}{unit}"


def _boolean(written: Any) -> Value:
    if isinstance(written, bool):
        return written
    word = str(written).strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise MisfitError(f'"{written}" is neither true nor false', "write true or false")


def _member(members: tuple[str, ...]) -> Convert:
    def to_member(written: Any) -> Value:
        text = str(written).lower() if isinstance(written, bool) else str(written)
        if text in members:
            return text
        near = [m for m in members if m.lower() == text.lower()]
        near = near or get_close_matches(text, members, n=1)
        hint = f'did you mean "{near[0]}"? ' if near else ""
        raise MisfitError(
            f'"{text}" is none of its values', f"{hint}write one of: {', '.join(members)}"
        )

    return to_member


def _time_of_day(written: Any) -> Value:
    hours, colon, minutes = str(written).partition(":")
    if colon and hours.isdecimal() and minutes.isdecimal() and len(minutes) == 2:
        total = int(hours) * 60 + int(minutes)
        if int(minutes) < 60 and total < 24 * 60:
            return float(total)
    raise MisfitError(f'"{written}" is no time of day', "write hours and minutes: 22:30")


def _text(written: Any) -> Value:
    return str(written).lower() if isinstance(written, bool) else str(written)


def _refused(written: Any) -> Value:
    raise MisfitError(
        f'"{written}" cannot be a first value', "this point holds a request, which only rules make"
    )
