"""Units with dimensions: `km/h` is a speed, `veh/h` a flow, and the two never meet by accident.

A unit is a scale (and, for temperatures, an offset) over a product of base dimensions. Values travel in the
unit that their point declares; a conversion happens only where two different units of one dimension meet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final


@dataclass(frozen=True, slots=True)
class Dimension:
    """A product of base dimensions with whole exponents, in order of name."""

    exponents: tuple[tuple[str, int], ...] = ()

    def __mul__(self, other: Dimension) -> Dimension:
        """Return the dimension of a product."""
        total = dict(self.exponents)
        for base, power in other.exponents:
            total[base] = total.get(base, 0) + power
        return Dimension(tuple(sorted((b, p) for b, p in total.items() if p)))

    def __pow__(self, power: int) -> Dimension:
        """Return the dimension raised to a whole power."""
        return Dimension(tuple((b, p * power) for b, p in self.exponents if power))

    def __truediv__(self, other: Dimension) -> Dimension:
        """Return the dimension of a quotient."""
        return self * other**-1

    @property
    def is_plain(self) -> bool:
        """True for counts, ratios and percentages."""
        return not self.exponents

    @property
    def title(self) -> str:
        """What a person calls this dimension: `speed`, `flow`, `length per mass`."""
        known = _DIMENSION_TITLES.get(self)
        if known is not None:
            return known
        return "·".join(b if p == 1 else f"{b}^{p}" for b, p in self.exponents)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure: `value * scale + offset` is the value in the coherent base unit."""

    symbol: str
    dimension: Dimension
    scale: float = 1.0
    offset: float = 0.0

    def __str__(self) -> str:
        """Return the symbol as it is written."""
        return self.symbol


class UnknownUnitError(ValueError):
    """The text names no unit that pilotage knows."""


PLAIN: Final = Dimension()
_BASES = {
    name: Dimension(((name, 1),))
    for name in (
        "length",
        "mass",
        "time",
        "current",
        "temperature",
        "light",
        "vehicle",
        "person",
        "money",
        "candela",
    )
}
_L, _M, _T = _BASES["length"], _BASES["mass"], _BASES["time"]
_POWER = _M * _L**2 / _T**3
_VOLT = _POWER / _BASES["current"]

_SIMPLE: Final[dict[str, tuple[Dimension, float]]] = {
    "1": (PLAIN, 1.0),
    "%": (PLAIN, 0.01),
    "‰": (PLAIN, 0.001),
    "ppm": (PLAIN, 1e-6),
    "°": (PLAIN, 0.017453292519943295),
    "deg": (PLAIN, 0.017453292519943295),
    "rad": (PLAIN, 1.0),
    "dB": (PLAIN, 1.0),
    "dBA": (PLAIN, 1.0),
    "m": (_L, 1.0),
    "km": (_L, 1000.0),
    "cm": (_L, 0.01),
    "mm": (_L, 0.001),
    "ha": (_L**2, 10_000.0),
    "L": (_L**3, 0.001),
    "l": (_L**3, 0.001),
    "s": (_T, 1.0),
    "ms": (_T, 0.001),
    "min": (_T, 60.0),
    "h": (_T, 3600.0),
    "d": (_T, 86_400.0),
    "Hz": (_T**-1, 1.0),
    "g": (_M, 0.001),
    "kg": (_M, 1.0),
    "t": (_M, 1000.0),
    "mg": (_M, 1e-6),
    "µg": (_M, 1e-9),
    "N": (_M * _L / _T**2, 1.0),
    "Pa": (_M / _L / _T**2, 1.0),
    "hPa": (_M / _L / _T**2, 100.0),
    "kPa": (_M / _L / _T**2, 1000.0),
    "bar": (_M / _L / _T**2, 1e5),
    "W": (_POWER, 1.0),
    "kW": (_POWER, 1000.0),
    "MW": (_POWER, 1e6),
    "J": (_POWER * _T, 1.0),
    "kJ": (_POWER * _T, 1000.0),
    "Wh": (_POWER * _T, 3600.0),
    "kWh": (_POWER * _T, 3.6e6),
    "MWh": (_POWER * _T, 3.6e9),
    "A": (_BASES["current"], 1.0),
    "mA": (_BASES["current"], 0.001),
    "V": (_VOLT, 1.0),
    "mV": (_VOLT, 0.001),
    "kV": (_VOLT, 1000.0),
    "lm": (_BASES["light"], 1.0),
    "lx": (_BASES["light"] / _L**2, 1.0),
    "cd": (_BASES["candela"], 1.0),
    "veh": (_BASES["vehicle"], 1.0),
    "pers": (_BASES["person"], 1.0),
    "€": (_BASES["money"], 1.0),
    "EUR": (_BASES["money"], 1.0),
}

_AFFINE: Final = {
    "°C": Unit("°C", _BASES["temperature"], 1.0, 273.15),
    "K": Unit("K", _BASES["temperature"], 1.0, 0.0),
}

_DIMENSION_TITLES: Final = {
    PLAIN: "plain number",
    _L: "length",
    _L**2: "area",
    _L**3: "volume",
    _M: "mass",
    _T: "duration",
    _T**-1: "frequency",
    _L / _T: "speed",
    _L / _T**2: "acceleration",
    _BASES["vehicle"]: "number of vehicles",
    _BASES["vehicle"] / _T: "flow",
    _BASES["vehicle"] / _L: "density of vehicles",
    _BASES["person"]: "number of people",
    _BASES["person"] / _T: "flow of people",
    _BASES["temperature"]: "temperature",
    _BASES["light"]: "luminous flux",
    _BASES["light"] / _L**2: "illuminance",
    _BASES["candela"]: "luminous intensity",
    _BASES["candela"] / _L**2: "luminance",
    _POWER: "power",
    _POWER * _T: "energy",
    _VOLT: "voltage",
    _BASES["current"]: "current",
    _M / _L**2: "mass per area",
    _M / _L**3: "concentration",
    _M / _L / _T**2: "pressure",
    _L**3 / _T: "volume flow",
    _BASES["money"]: "amount of money",
}

_FACTOR = re.compile(r"(?P<name>[^\W\d_²³]+|[%‰°€]C?|1)(?:\^?(?P<power>-?\d)|(?P<small>[²³]))?$")
SYMBOLS: Final = frozenset(_SIMPLE) | frozenset(_AFFINE)
"""Every simple unit that may stand in a rule; compound units join them with `/` and `·`."""

ONE: Final = Unit("", PLAIN)
SECOND: Final = Unit("s", _T)
METRE: Final = Unit("m", _L)
METRE_PER_SECOND: Final = Unit("m/s", _L / _T)
PERCENT: Final = Unit("%", PLAIN, 0.01)


@lru_cache(maxsize=1024)
def parse_unit(text: str) -> Unit:
    """Return the unit that a text like `km/h`, `µg/m³` or `°C` names.

    Raises:
        UnknownUnitError: A part of it is no known unit.
    """
    if text in ("", "1"):
        return ONE
    if text in _AFFINE:
        return _AFFINE[text]
    dimension, scale, sign = PLAIN, 1.0, 1
    for part in re.split(r"([/·*])", text):
        if part in ("·", "*"):
            sign = 1
        elif part == "/":
            sign = -1
        else:
            factor_dimension, factor_scale = _factor(part, text)
            dimension = dimension * factor_dimension**sign
            scale *= factor_scale**sign
    return Unit(text, dimension, scale)


def _factor(part: str, whole: str) -> tuple[Dimension, float]:
    match = _FACTOR.match(part)
    name = match["name"] if match else ""
    if match is None or (name not in _SIMPLE and name not in _AFFINE):
        raise UnknownUnitError(f'"{part or whole}" is no unit')
    power = int(match["power"] or {"²": "2", "³": "3", None: "1"}[match["small"]])
    if name in _AFFINE:  # a difference of temperature: K/h, W/K
        return _AFFINE[name].dimension ** power, 1.0
    dimension, scale = _SIMPLE[name]
    return dimension**power, scale**power


def conversion(source: Unit, target: Unit) -> tuple[float, float]:
    """Return (factor, addend) that turn a value in `source` into one in `target`.

    Raises:
        ValueError: The two measure different things.
    """
    if source.dimension != target.dimension:
        raise ValueError(
            f"a {source.dimension.title} ({source}) is no {target.dimension.title} ({target})"
        )
    if source.scale == target.scale and source.offset == target.offset:
        return 1.0, 0.0
    return source.scale / target.scale, (source.offset - target.offset) / target.scale


def convert(value: float, source: Unit, target: Unit) -> float:
    """Return a value of one unit in another, rounded to twelve digits so that 2 min is 120 s exactly.

    Raises:
        ValueError: The two measure different things.
    """
    factor, addend = conversion(source, target)
    if factor == 1.0 and addend == 0.0:
        return value
    result = value * factor + addend
    return float(f"{result:.12g}")
