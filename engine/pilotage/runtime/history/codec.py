"""Samples of a point to a few bytes and back: columns, differences, byte planes, zlib. Pure.

A sample is (time in milliseconds since 1970, quality code, plain value); a value that is unknown takes no room.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

import msgspec

from pilotage.model.quality import Quality
from pilotage.model.values import Position, as_plain

Sample = tuple[int, int, Any]
"""Time (ms since 1970), quality code, value as JSON has it (a position as [latitude, longitude])."""

VERSION: Final = 1
STILL: Final = 8
"""Added to the quality code of a sample that no reading gave: "the value is still this"."""
QUALITIES: Final = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.STALE, Quality.MISSING)
CODES: Final = {quality: code for code, quality in enumerate(QUALITIES)}
MISSING: Final = CODES[Quality.MISSING]

_OTHER: Final = 128
"""Set in a code while it is gathered: the value is no number."""
_PIECE: Final = 5_000
_MOST_DECIMALS: Final = 4
_PLACE: Final = 10_000_000.0  # 1e-7 degrees is a centimetre
_INTEGERS: Final = (("b", 1 << 7), ("h", 1 << 15), ("i", 1 << 31), ("q", 1 << 63))

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode


class DamagedBlockError(ValueError):
    """A block is no block, or of a version that this engine does not know."""


def is_known(code: int) -> bool:
    """Return True when a sample with this code has a value."""
    return code & 7 <= 1


def quality_of(code: int) -> Quality:
    """Return the quality that a code stands for."""
    return QUALITIES[code & 7]


def plain(value: Any) -> Any:
    """Return a live value as a sample holds it."""
    kind = type(value)
    if kind is float or kind is bool or kind is str or value is None:
        return value
    if kind is Position:
        return [round(value.latitude, 7), round(value.longitude, 7)]
    return as_plain(value)


class Gathered:
    """Samples of many points, small: an hour of a shard can have a million, and they take 25 bytes each instead of 150.

    All lie in a few long columns. A list or an array for each point would grow step by step among what stays for ever, and leave
    holes there.
    """

    __slots__ = ("_codes", "_numbers", "_others", "_times", "_values")

    def __init__(self) -> None:
        """Begin with none."""
        self._numbers = array("i")
        self._times = array("q")
        self._codes = bytearray()
        self._values = array("d")
        self._others: list[Any] = []

    def add(self, number: int, samples: Iterable[Sample]) -> None:
        """Add samples of a point; what is unknown has no value to keep."""
        for ms, code, value in samples:
            self._numbers.append(number)
            self._times.append(ms)
            if not is_known(code):
                value = 0.0
            elif type(value) is not float:
                self._others.append(value)
                code, value = code | _OTHER, float(len(self._others) - 1)
            self._codes.append(code)
            self._values.append(value)

    def by_point(self, rest: Callable[[], None]) -> Iterator[tuple[int, list[Sample]]]:
        """Yield each point with its samples in the order in which they were added; points in order of number.

        Args:
            rest: Called between two pieces of work.
        """
        starts: dict[int, int] = {}
        total = 0
        for number, count in sorted(Counter(self._numbers).items()):
            starts[number] = total
            total += count
        places, ends = array("i", bytes(4 * total)), dict(starts)
        for index, number in enumerate(self._numbers):
            places[ends[number]] = index
            ends[number] += 1
            if index % _PIECE == 0:
                rest()
        for number, start in starts.items():
            yield number, [self._sample(index) for index in places[start : ends[number]]]

    def _sample(self, index: int) -> Sample:
        code, value = self._codes[index], self._values[index]
        if code & _OTHER:
            return self._times[index], code ^ _OTHER, self._others[int(value)]
        return self._times[index], code, value if is_known(code) else None


# ── a block: the samples of one point ────────────────────────────────────────────────────────


def encode_block(samples: Sequence[Sample]) -> bytes:
    """Return samples, in order of time, as a block; at least one."""
    times = [sample[0] for sample in samples]
    codes = bytes(sample[1] for sample in samples)
    values = [sample[2] for sample in samples if is_known(sample[1])]
    quality = codes[0] if codes == codes[:1] * len(codes) else codes
    return zlib.compress(_encode((VERSION, pack_steps(times), quality, _pack_values(values))), 6)


def decode_block(data: bytes) -> list[Sample]:
    """Return the samples of a block, in order of time.

    Raises:
        DamagedBlockError: The bytes are none of ours.
    """
    try:
        version, packed, quality, column = _decode(zlib.decompress(data))
        if version != VERSION:
            raise DamagedBlockError(f"a block of version {version}; this engine reads {VERSION}")
        times = unpack_steps(packed)
        codes = [quality] * len(times) if isinstance(quality, int) else list(quality)
        values = _unpack_values(column)
    except (zlib.error, msgspec.MsgspecError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, DamagedBlockError):
            raise
        raise DamagedBlockError(f"a block cannot be read: {error}") from error
    if len(values) == len(times):
        return list(zip(times, codes, values, strict=True))
    known = iter(values)
    return [(t, c, next(known) if is_known(c) else None) for t, c in zip(times, codes, strict=True)]


def _pack_values(values: list[Any]) -> Any:
    if not values:
        return None
    first = type(values[0])
    if first is float and all(type(value) is float for value in values):
        return pack_numbers(values)
    if first is list and all(_is_place(value) for value in values):
        sides = ([round(value[side] * _PLACE) for value in values] for side in (0, 1))
        return ["p", *(pack_steps(side) for side in sides)]
    words: dict[bytes, int] = {}
    indices = [words.setdefault(_encode(value), len(words)) for value in values]
    return ["w", [_decode(word) for word in words], _pack_integers(indices)]


def _unpack_values(column: Any) -> list[Any]:
    if column is None:
        return []
    match column[0]:
        case "p":
            sides = ([number / _PLACE for number in unpack_steps(side)] for side in column[1:])
            return [list(place) for place in zip(*sides, strict=True)]
        case "w":
            words = column[1]
            return [words[index] for index in _unpack_integers(column[2])]
        case _:
            return unpack_numbers(column)


def _is_place(value: Any) -> bool:
    return type(value) is list and len(value) == 2 and all(type(side) is float for side in value)


# ── columns ──────────────────────────────────────────────────────────────────────────────────


def pack_numbers(values: Sequence[float]) -> Any:
    """Return floats exactly: as differences of whole numbers where they are short decimals, else as they are."""
    largest = max(map(abs, values))
    for decimals in range(_MOST_DECIMALS + 1):
        scale = 10.0**decimals
        if largest * scale >= 1 << 62:
            break
        whole = [round(value * scale) for value in values]
        if all(n / scale == value for n, value in zip(whole, values, strict=True)):
            return ["i", decimals, pack_steps(whole)]
    return ["d", _planes(array("d", values))]


def unpack_numbers(column: Any) -> list[float]:
    """Return the floats of a column."""
    if column[0] == "i":
        scale = 10.0 ** column[1]
        return [number / scale for number in unpack_steps(column[2])]
    return _from_planes("d", column[1]).tolist()


def pack_steps(numbers: Sequence[int]) -> Any:
    """Return whole numbers as the first one and the differences; at least one."""
    steps = [after - before for before, after in pairwise(numbers)]
    return [numbers[0], _pack_integers(steps)]


def unpack_steps(packed: Any) -> list[int]:
    """Return the whole numbers of `pack_steps`."""
    return list(accumulate(_unpack_integers(packed[1]), initial=packed[0]))


def _pack_integers(numbers: Sequence[int]) -> Any:
    """Return whole numbers in the narrowest type; a constant column is its value and its length."""
    if not numbers:
        return []
    low, high = min(numbers), max(numbers)
    if low == high:
        return [low, len(numbers)]
    most = max(high, -low - 1)
    code = next(code for code, limit in _INTEGERS if most < limit)
    return [code, _planes(array(code, numbers))]


def _unpack_integers(packed: Any) -> Iterable[int]:
    if not packed:
        return ()
    head, rest = packed
    return [head] * rest if isinstance(head, int) else _from_planes(head, rest)


def _planes(column: array[Any]) -> bytes:
    """Return the bytes of a column by their place in the number: the high ones are alike, and zlib likes that."""
    if sys.byteorder == "big":  # pragma: no cover - the file is little-endian everywhere
        column.byteswap()
    raw, size = column.tobytes(), column.itemsize
    return raw if size == 1 else b"".join(raw[place::size] for place in range(size))


def _from_planes(code: str, data: bytes) -> array[Any]:
    column = array(code)
    size = column.itemsize
    count, left = divmod(len(data), size)
    if left:
        raise DamagedBlockError("a column is cut short")
    raw = bytearray(len(data))
    for place in range(size):
        raw[place::size] = data[place * count : (place + 1) * count]
    column.frombytes(bytes(raw))
    if sys.byteorder == "big":  # pragma: no cover
        column.byteswap()
    return column


# ── a segment: the newest samples of many points ─────────────────────────────────────────────


def encode_segment(samples: dict[int, list[Sample]]) -> bytes:
    """Return the samples of some points, quickly: a segment lives until its hour is over."""
    columns = [(number, *zip(*rows, strict=True)) for number, rows in samples.items()]
    return zlib.compress(_encode(columns), 1)


def decode_segment(data: bytes, only: int | None = None) -> dict[int, list[Sample]]:
    """Return the samples of a segment by point number; of one point with `only`.

    Raises:
        DamagedBlockError: The bytes are none of ours.
    """
    try:
        columns = _decode(zlib.decompress(data))
        return {
            number: list(zip(times, codes, values, strict=True))
            for number, times, codes, values in columns
            if only is None or number == only
        }
    except (zlib.error, msgspec.MsgspecError, TypeError, ValueError) as error:
        raise DamagedBlockError(f"a segment cannot be read: {error}") from error
