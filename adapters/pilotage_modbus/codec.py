"""Registers to values and values to registers; pure, without network, clock or points.

Source: MODBUS Application Protocol Specification V1.1b3, 4.2 to 4.4: a register has 16 bits, the high byte travels
first, and addresses count from 0. How two or four registers make one number is the device's own affair.

Whatever a device may send ends in a value or in `Garbage`, never in another exception.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

Raw = float | int | bool
"""What stands in registers, before it is scaled."""

Convert = Callable[[Any], Any]
"""Turns what stands in registers into a value of the point, or back; raises `Garbage`."""

MAX_ADDRESS: Final = 65_535

_FORMATS: Final[Mapping[str, tuple[str, int]]] = {
    "int16": (">h", 1),
    "uint16": (">H", 1),
    "int32": (">i", 2),
    "uint32": (">I", 2),
    "int64": (">q", 4),
    "uint64": (">Q", 4),
    "float32": (">f", 2),
    "float64": (">d", 4),
}
NUMBER_TYPES: Final = tuple(_FORMATS)
BIT: Final = "bit"
"""The type of a coil or a discrete input."""


class Garbage(ValueError):
    """Registers, or a value for them, that cannot be; the text says what and why."""


class Table(Enum):
    """The four tables of a device (4.3)."""

    HOLDING = "holding"
    INPUT = "input"
    COIL = "coil"
    DISCRETE = "discrete"

    @property
    def has_bits(self) -> bool:
        """True when each address holds one bit, not a register."""
        return self in (Table.COIL, Table.DISCRETE)

    @property
    def is_writable(self) -> bool:
        """True when a device lets others write there."""
        return self in (Table.HOLDING, Table.COIL)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a number lies in registers.

    Attributes:
        type: `bit`, or one of `NUMBER_TYPES`.
        little_words: The register with the lowest address holds the low end.
        little_bytes: The low byte of each register travels first.
        mask: The bits that belong to the value, counted after everything is in order; 0 is all.
    """

    type: str = "uint16"
    little_words: bool = False
    little_bytes: bool = False
    mask: int = 0

    @property
    def width(self) -> int:
        """Registers (or bits) that a value takes."""
        return 1 if self.type == BIT else _FORMATS[self.type][1]

    @property
    def is_float(self) -> bool:
        """True for numbers with a fraction."""
        return self.type.startswith("float")

    @property
    def shift(self) -> int:
        """How far the masked bits stand from bit 0."""
        return (self.mask & -self.mask).bit_length() - 1 if self.mask else 0

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest whole number that fits."""
        if self.mask:
            return 0, self.mask >> self.shift
        if self.type == BIT:
            return 0, 1
        bits = 16 * self.width
        return (
            (0, 2**bits - 1)
            if self.type.startswith("u")
            else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        )

    def decode(self, words: Sequence[int | bool]) -> Raw:
        """Return the number in registers, as many as `width`.

        Raises:
            Garbage: It is not a number (NaN) or endless.
        """
        if self.type == BIT:
            return bool(words[0])
        format_, width = _FORMATS[self.type]
        raw: int | float
        if width == 1 and not self.little_bytes and self.type == "uint16":
            raw = words[0]
        else:
            ordered = reversed(words) if self.little_words else words
            order: Any = "little" if self.little_bytes else "big"
            data = b"".join(int(word).to_bytes(2, order) for word in ordered)
            (raw,) = struct.unpack(format_, data)
        if self.is_float and not math.isfinite(raw):
            raise Garbage(f"{raw} is no number")
        return (int(raw) & self.mask) >> self.shift if self.mask else raw

    def encode(self, value: Any) -> list[int]:
        """Return the registers of a number; whole types round it. With a mask, only its bits are set.

        Raises:
            Garbage: It is no finite number, or does not fit.
        """
        if not isinstance(value, (int, float)):
            raise Garbage(f"{value!r} is no number")
        if not math.isfinite(value):
            raise Garbage(f"{value} is no number")
        if self.is_float:
            return self._words(float(value))
        whole = round(value)
        low, high = self.range
        if not low <= whole <= high:
            raise Garbage(f"{whole} does not fit in {self}: {low} to {high}")
        return [whole] if self.type == BIT else self._words(whole << self.shift)

    def __str__(self) -> str:
        """Return the type as people read it."""
        return f"the bits {self.mask:#x} of a {self.type}" if self.mask else f"a {self.type}"

    def _words(self, value: float) -> list[int]:
        try:
            data = struct.pack(_FORMATS[self.type][0], value)
        except (OverflowError, struct.error):
            raise Garbage(f"{value:g} does not fit in {self}") from None
        order: Any = "little" if self.little_bytes else "big"
        words = [int.from_bytes(data[at : at + 2], order) for at in range(0, len(data), 2)]
        return words[::-1] if self.little_words else words


# ── values ───────────────────────────────────────────────────────────────────────────────────


def scale_in(factor: float, addend: float) -> Convert:
    """Return what turns a device's number into the point's: `raw * factor + addend`, to twelve digits."""

    def convert(raw: Any) -> Any:
        value = raw * factor + addend
        if not math.isfinite(value):
            raise Garbage(f"{raw} is a number beyond all range")
        return float(f"{value:.12g}")

    return convert


def scale_out(factor: float, addend: float) -> Convert:
    """Return the inverse of `scale_in`."""

    def convert(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Garbage(f"{value!r} is no number")
        return float(f"{(value - addend) / factor:.12g}")

    return convert


def truth_in(raw: Any) -> bool:
    """Return true or false for 1 or 0."""
    if raw not in (0, 1):
        raise Garbage(f"{raw} is neither 0 nor 1")
    return bool(raw)


def truth_out(value: Any) -> int:
    """Return 1 or 0 for true or false."""
    if not isinstance(value, bool):
        raise Garbage(f"{value!r} is neither true nor false")
    return int(value)


def translate_in(words: Mapping[int, Any]) -> Convert:
    """Return what looks up a device's number."""

    def convert(raw: Any) -> Any:
        try:
            return words[raw]
        except KeyError:
            raise Garbage(f"{raw:g} is none of {', '.join(map(str, words))}") from None

    return convert


def translate_out(words: Mapping[int, Any]) -> Convert:
    """Return what finds the device's number of a value; of two numbers for one value, the first is written."""
    numbers: dict[Any, int] = {}
    for number, value in words.items():
        numbers.setdefault(value, number)

    def convert(value: Any) -> Any:
        try:
            return numbers[value]
        except (KeyError, TypeError):
            raise Garbage(f'"{value}" is none of {", ".join(map(str, numbers))}') from None

    return convert
