"""Samples to roll-ups: for each minute, quarter, hour and day of the city how long what was known. Pure.

A value holds until the next sample, so that a mean is weighted by time; a quality that is not usable ends it.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from pilotage.runtime.history.codec import (
    MISSING,
    STILL,
    DamagedBlockError,
    Sample,
    is_known,
    pack_numbers,
    pack_steps,
    unpack_numbers,
    unpack_steps,
)

VERSION: Final = 1
LEVELS: Final = {"1min": 60, "15min": 900, "1h": 3600, "1d": 86_400}
"""The levels by name, with the seconds of a bucket; a day is the city's, so it may have 23 or 25 hours."""
MOST_WORDS: Final = 32
"""A day's roll-up names so many values of a text; the others share one name."""
OTHERS: Final = "(others)"
ROLLED: Final = frozenset({"number", "time", "boolean", "enum", "text", "reference"})
"""The types that have roll-ups; a mean of positions or of sets would say nothing."""

Gap = tuple[float, float]
"""Seconds since 1970 between which nobody recorded."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode


@dataclass(slots=True)
class Bucket:
    """What a point was over a stretch of time.

    Attributes:
        start, width_s: Seconds since 1970, and how long.
        known_s: Seconds for which the value was known.
        count: Readings that were recorded.
        mean: Weighted by time; None when nothing was known, or the point is no number.
        low, high: The least and the largest value that held at any moment.
        spent: For other types: seconds by value.
    """

    start: float
    width_s: float
    known_s: float = 0.0
    count: int = 0
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    spent: dict[str, float] = field(default_factory=dict)

    @property
    def known(self) -> float:
        """The share of the time for which the value was known, 0 to 1."""
        return self.known_s / self.width_s if self.width_s > 0 else 0.0

    def hold(self, value: Any, seconds: float) -> None:
        """Let a value hold for some seconds."""
        if isinstance(value, float):
            total = (self.mean or 0.0) * self.known_s + value * seconds
            self._widen(value, value)
            self.known_s += seconds
            self.mean = total / self.known_s if self.known_s > 0 else value
            return
        self.known_s += seconds
        word = word_of(value)
        self.spent[word] = self.spent.get(word, 0.0) + seconds

    def join(self, other: Bucket) -> None:
        """Take what a finer bucket holds."""
        if other.mean is not None and other.low is not None and other.high is not None:
            known = self.known_s + other.known_s
            total = (self.mean or 0.0) * self.known_s + other.mean * other.known_s
            self.mean = total / known if known > 0 else other.mean
            self._widen(other.low, other.high)
        self.known_s += other.known_s
        self.count += other.count
        for word, seconds in other.spent.items():
            self.spent[word] = self.spent.get(word, 0.0) + seconds

    def _widen(self, low: float, high: float) -> None:
        self.low = low if self.low is None or low < self.low else self.low
        self.high = high if self.high is None or high > self.high else self.high


def word_of(value: Any) -> str:
    """Return a value that is no number as roll-ups name it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


# ── from samples ─────────────────────────────────────────────────────────────────────────────


def cut(samples: Iterable[Sample], gaps: Iterable[Gap]) -> list[Sample]:
    """Return samples in order of time, with an unknown one wherever nobody recorded any more."""
    ends = [(round(since * 1000), MISSING | STILL, None) for since, _ in gaps]
    return sorted([*samples, *ends], key=lambda sample: sample[0])


def roll(samples: Sequence[Sample], edges: Sequence[float]) -> list[Bucket]:
    """Return a bucket for each stretch between two edges.

    Args:
        samples: In order of time, gaps cut in; those before the first edge say what held there.
        edges: Seconds since 1970, ascending; one more than buckets.
    """
    buckets = [Bucket(a, b - a) for a, b in itertools.pairwise(edges)]
    if not buckets:
        return []
    at, last = 0, len(buckets) - 1
    for (time_ms, code, value), end in zip(samples, _ends(samples, edges[-1]), strict=True):
        time = time_ms / 1000
        if time >= edges[-1]:
            break
        begin = max(time, edges[0])
        while at < last and edges[at + 1] <= begin:
            at += 1
        if not code & STILL and time >= edges[0]:
            buckets[at].count += 1
        if not is_known(code) or end < begin:
            continue
        here = at
        while True:
            until = min(end, edges[here + 1])
            if until > begin or end == begin:
                buckets[here].hold(value, until - begin)
            if end <= edges[here + 1] or here == last:
                break
            here += 1
            begin = edges[here]
    return buckets


def _ends(samples: Sequence[Sample], last: float) -> Iterator[float]:
    """Yield until when each sample holds."""
    for after in samples[1:]:
        yield after[0] / 1000
    if samples:
        yield max(last, samples[-1][0] / 1000)


def merge(buckets: Sequence[Bucket], edges: Sequence[float]) -> list[Bucket]:
    """Return coarser buckets; each of the finer ones lies in one of them."""
    made = [Bucket(a, b - a) for a, b in itertools.pairwise(edges)]
    at = 0
    for bucket in buckets:
        while at < len(made) - 1 and edges[at + 1] <= bucket.start:
            at += 1
        if made and edges[at] <= bucket.start < edges[at + 1]:
            made[at].join(bucket)
    return made


# ── days of the city ─────────────────────────────────────────────────────────────────────────


def day_start(time: float, zone: ZoneInfo) -> float:
    """Return the midnight that begins the city's day of a time, seconds since 1970."""
    local = datetime.fromtimestamp(time, zone)
    return local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def next_day(start: float, zone: ZoneInfo) -> float:
    """Return the midnight that ends the city's day which begins at `start`; 23, 24 or 25 hours later."""
    local = datetime.fromtimestamp(start, zone)
    after = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return after.timestamp()


def edges_of(start: float, end: float, width_s: float) -> list[float]:
    """Return the edges of buckets from a day's start to its end."""
    if width_s >= 86_400:
        return [start, end]
    count = round((end - start) / width_s)
    return [start + width_s * index for index in range(count)] + [end]


def roll_day(samples: Sequence[Sample], start: float, end: float) -> dict[str, list[Bucket]]:
    """Return a day's buckets by level; minutes only of a point with more than a sample a minute.

    Of a slower one its samples tell as much, and take less room.
    """
    is_quick = len(samples) > (end - start) / LEVELS["1min"]
    found: dict[str, list[Bucket]] = {}
    finer: list[Bucket] | None = None
    for level, width_s in LEVELS.items():
        if level == "1min" and not is_quick:
            continue
        edges = edges_of(start, end, width_s)
        finer = roll(samples, edges) if finer is None else merge(finer, edges)
        found[level] = finer
    return found


# ── packs: a day's buckets of one level and one point ────────────────────────────────────────


def encode_pack(buckets: Sequence[Bucket]) -> bytes:
    """Return buckets as bytes; at least one."""
    head = (
        VERSION,
        pack_steps([round(b.start * 1000) for b in buckets]),
        pack_steps([round(b.width_s * 1000) for b in buckets]),
        pack_steps([round(b.known_s * 1000) for b in buckets]),
        pack_steps([b.count for b in buckets]),
    )
    numbers = [b for b in buckets if b.mean is not None]
    have = bytes(b.mean is not None for b in buckets)
    columns: Any = None
    if numbers:
        sides = ([getattr(b, side) for b in numbers] for side in ("mean", "low", "high"))
        columns = (have, *(pack_numbers(side) for side in sides))
    return zlib.compress(_encode((*head, columns, _pack_words(buckets))), 6)


def decode_pack(data: bytes) -> list[Bucket]:
    """Return the buckets of a pack.

    Raises:
        DamagedBlockError: The bytes are none of ours.
    """
    try:
        version, starts, widths, known, counts, columns, words = _decode(zlib.decompress(data))
    except (zlib.error, msgspec.MsgspecError, ValueError, TypeError) as error:
        raise DamagedBlockError(f"a roll-up cannot be read: {error}") from error
    if version != VERSION:
        raise DamagedBlockError(f"a roll-up of version {version}; this engine reads {VERSION}")
    heads = zip(*map(unpack_steps, (starts, widths, known, counts)), strict=True)
    buckets = [Bucket(s / 1000, w / 1000, k / 1000, c) for s, w, k, c in heads]
    if columns is not None:
        have, *sides = columns
        numbers = (bucket for bucket, there in zip(buckets, have, strict=True) if there)
        for bucket, *values in zip(numbers, *map(unpack_numbers, sides), strict=True):
            bucket.mean, bucket.low, bucket.high = values
    for word, column in words.items():
        for bucket, spent in zip(buckets, unpack_steps(column), strict=True):
            if spent:
                bucket.spent[word] = spent / 1000
    return buckets


def _pack_words(buckets: Sequence[Bucket]) -> dict[str, Any]:
    """Return the seconds of each value as a column; the rarest of very many share one."""
    total: dict[str, float] = {}
    for bucket in buckets:
        for word, seconds in bucket.spent.items():
            total[word] = total.get(word, 0.0) + seconds
    named = sorted(total, key=lambda word: -total[word])[:MOST_WORDS]
    columns = {
        word: [round(bucket.spent.get(word, 0.0) * 1000) for bucket in buckets] for word in named
    }
    if len(total) > len(named):
        columns[OTHERS] = [
            round(sum(s for w, s in bucket.spent.items() if w not in columns) * 1000)
            for bucket in buckets
        ]
    return {word: pack_steps(column) for word, column in columns.items()}
