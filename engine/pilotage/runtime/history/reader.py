"""Reads a history, also while an engine writes it: values, the value at a time, roll-ups.

Each question opens the file for itself, so that any thread may ask.
"""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from pilotage.model.quality import Quality
from pilotage.ports import LogUnusableError
from pilotage.runtime.history.codec import (
    STILL,
    DamagedBlockError,
    Sample,
    decode_block,
    decode_segment,
    is_known,
    quality_of,
)
from pilotage.runtime.history.file import HOUR, SHARD, PointRow, check_version, point_rows
from pilotage.runtime.history.rollups import (
    LEVELS,
    Bucket,
    cut,
    day_start,
    decode_pack,
    edges_of,
    merge,
    next_day,
    roll,
)
from pilotage.runtime.history.upkeep import gaps_between
from pilotage.runtime.journal import sqlite

DAWN_S: Final = 300.0
"""So long after midnight the day's first sample may not be written yet; the day before is asked then."""
LAG_S: Final = 60.0
"""So long after the last write nobody knows what a value was: the engine may have stopped."""
KEPT: Final = 5
"""Samples that a stretch of a thinned chart keeps: first, least, largest, last, and one that is unknown."""


@dataclass(frozen=True, slots=True)
class HistoryValue:
    """A value of the past.

    Attributes:
        time: Seconds since 1970.
        value: As JSON has it; None while unknown.
        is_still: No reading gave it: it held on, grew stale, or nobody recorded any more.
    """

    time: float
    value: Any
    quality: Quality
    is_still: bool = False


class UnknownPointError(LookupError):
    """The history knows no such point."""


class HistoryReader:
    """Reads one history's file."""

    def __init__(self, path: Path, zone: ZoneInfo) -> None:
        """Name the file.

        Args:
            path: The file.
            zone: Where days begin.

        Raises:
            LogUnusableError: There is no history, or it is of another version.
        """
        if not path.exists():
            raise LogUnusableError(
                f"{path}: there is no history yet; `pilotage run` makes one"
                " unless history.enabled is false"
            )
        self.path = path
        self._zone = zone
        with self.connected() as connection:
            check_version(connection, path)

    def points(self, match: str = "*", kind: str = "") -> list[PointRow]:
        """Return the points that were ever recorded and fit a pattern, in order of id."""
        with self.connected() as connection:
            return [
                row
                for row in point_rows(connection)
                if fnmatch.fnmatchcase(row.id, match) and kind in ("", row.kind)
            ]

    def point(self, id_: str) -> PointRow:
        """Return a point.

        Raises:
            UnknownPointError: It was never recorded.
        """
        with self.connected() as connection:
            return _point(connection, id_)

    def alive(self) -> float:
        """Return when the history was last written, seconds since 1970."""
        with self.connected() as connection:
            return _alive(connection)

    def samples(self, id_: str, since: float, until: float) -> Iterator[HistoryValue]:
        """Yield everything recorded in [since, until), in order of time; where nobody recorded, an unknown value."""
        with self.connected() as connection:
            point = _point(connection, id_)
            for sample in _samples(connection, point, since, until):
                yield _value(sample)

    def values(self, id_: str, since: float, until: float, most: int = 2_000) -> list[HistoryValue]:
        """Return the values in [since, until) for a chart: at most `most`, and no extreme is lost.

        The first one is what held at `since`. When there are too many, each stretch of time keeps its first, least,
        largest and last value, and one that is unknown.
        """
        held = self.value_at(id_, since)
        found = self.samples(id_, since, until)
        if held is not None:
            first = HistoryValue(since, held.value, held.quality, is_still=True)
            found = _with_first(first, found)
        return list(thin(found, since, until, most))

    def value_at(self, id_: str, time: float) -> HistoryValue | None:
        """Return the value that held at a time, with the moment since when it is recorded; None when nothing is."""
        start = day_start(time, self._zone)
        with self.connected() as connection:
            point = _point(connection, id_)
            if time - start < DAWN_S:
                start = day_start(start - 1.0, self._zone)
            last: Sample | None = None
            for sample in _samples(connection, point, start, time + 0.001):
                last = sample
            return None if last is None else _value(last)

    def rollups(self, id_: str, since: float, until: float, level: str) -> list[Bucket]:
        """Return the roll-ups of a level (`1min`, `15min`, `1h`, `1d`) that begin in [since, until).

        Days that are not rolled up yet are worked out from the samples, up to the last moment written.

        Raises:
            KeyError: There is no such level.
        """
        width_s = LEVELS[level]
        found: list[Bucket] = []
        with self.connected() as connection:
            point = _point(connection, id_)
            until = min(until, _alive(connection))
            packs = dict(
                connection.execute(
                    "SELECT day, blob FROM rolls WHERE keep = ? AND level = ? AND day >= ? AND day < ? AND point = ?",
                    (point.keep, level, since - 90_000, until, point.number),
                ).fetchall()
            )
            for day in self._days(connection, point, since, until):
                if int(day) in packs:
                    found += decode_pack(packs[int(day)])
                else:
                    found += self._rolled(connection, point, day, width_s)
        return [bucket for bucket in found if since <= bucket.start < until]

    def _days(
        self, connection: Any, point: PointRow, since: float, until: float
    ) -> Iterator[float]:
        """Yield the midnights of a stretch, from the first day that may hold anything."""
        oldest = [
            connection.execute(
                f"SELECT min({key}) FROM {table} WHERE keep = ?", (point.keep,)
            ).fetchone()[0]
            for key, table in (("hour * 3600", "blocks"), ("day", "rolls"))
        ]
        (segment,) = connection.execute("SELECT min(hour) * 3600 FROM segments").fetchone()
        known = [time for time in (*oldest, segment) if time is not None]
        if not known:
            return
        day = day_start(max(since, min(known)), self._zone)
        while day < until:
            yield day
            day = next_day(day, self._zone)

    def _rolled(self, connection: Any, point: PointRow, day: float, width_s: float) -> list[Bucket]:
        """Return a day's buckets from its samples; those that lie in the future are left out."""
        whole = next_day(day, self._zone)
        end = min(whole, _alive(connection))
        samples = list(_samples(connection, point, day, end))
        if not samples or not any(is_known(code) for _, code, _ in samples):
            return []
        edges = [*(edge for edge in edges_of(day, whole, 60.0) if edge < end), end]
        minutes = roll(samples, edges)
        if width_s <= 60:
            return minutes
        coarse = [*(edge for edge in edges_of(day, whole, width_s) if edge < end), end]
        return merge(minutes, coarse)

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        """Open the file for one question, read only."""
        connection = sqlite.connect(
            f"{self.path.resolve().as_uri()}?mode=rw",
            uri=True,
            check_same_thread=False,
            isolation_level=None,
        )
        try:
            connection.execute("PRAGMA busy_timeout = 2000")
            connection.execute("PRAGMA query_only = ON")
            yield connection
        except sqlite.Error as error:
            raise LogUnusableError(f"{self.path} cannot be read: {error}") from error
        finally:
            connection.close()


def thin(
    values: Iterable[HistoryValue], since: float, until: float, most: int
) -> Iterator[HistoryValue]:
    """Yield at most `most` values of a stretch, in order of time; each part of it keeps its extremes.

    Whatever comes in is passed on as it is when there are no more than `most`.
    """
    head: list[HistoryValue] = []
    source = iter(values)
    for value in source:
        head.append(value)
        if len(head) > most:
            break
    else:
        yield from head
        return
    count = max(1, most // KEPT)
    width = max(until - since, 0.001) / count
    part: list[HistoryValue] = []
    index = 0
    for value in _chained(head, source):
        here = min(count - 1, max(0, int((value.time - since) / width)))
        if here != index and part:
            yield from part
            part = []
        index = here
        part = _kept([*part, value])
    yield from part


def _kept(part: list[HistoryValue]) -> list[HistoryValue]:
    """Return of a part, which has at most one value too many, those that a chart needs."""
    if len(part) <= 2:
        return part
    kept = {0, len(part) - 1}
    numbers = [i for i, v in enumerate(part) if isinstance(v.value, float)]
    if numbers:
        kept.add(min(numbers, key=lambda i: part[i].value))
        kept.add(max(numbers, key=lambda i: part[i].value))
    unknown = next((i for i, v in enumerate(part) if v.value is None), None)
    if unknown is not None:
        kept.add(unknown)
    return [part[i] for i in sorted(kept)]


def _chained(head: list[HistoryValue], rest: Iterator[HistoryValue]) -> Iterator[HistoryValue]:
    yield from head
    yield from rest


def _with_first(first: HistoryValue, rest: Iterable[HistoryValue]) -> Iterator[HistoryValue]:
    yield first
    for value in rest:
        if value.time > first.time:
            yield value


def _point(connection: Any, id_: str) -> PointRow:
    rows = point_rows(connection, "WHERE p.id = ?", (id_,))
    if not rows:
        raise UnknownPointError(f'nothing was ever recorded of "{id_}"')
    return rows[0]


def _alive(connection: Any) -> float:
    found = connection.execute("SELECT value FROM state WHERE key = 'alive'").fetchone()
    return float(found[0]) if found is not None else 0.0


def _samples(connection: Any, point: PointRow, since: float, until: float) -> Iterator[Sample]:
    """Yield the samples of [since, until) in order of time, gaps cut in; hour by hour, so that memory stays small."""
    gaps = [gap for gap in gaps_between(connection, since, until) if since <= gap[0] < until]
    alive = _alive(connection)
    if since <= alive < until - LAG_S:
        gaps.append((alive, until))
    for hour in _hours(connection, point, since, until):
        found = _hour_of(connection, point, hour)
        end = (hour + 1) * HOUR
        while gaps and gaps[0][0] < end:
            found = cut(found, [gaps.pop(0)])
        for sample in sorted(found, key=_time):
            if since <= sample[0] / 1000 < until:
                yield sample


def _hour_of(connection: Any, point: PointRow, hour: int) -> list[Sample]:
    """Return the samples of an hour, from one state of the file: it may be packed at any moment."""
    connection.execute("BEGIN")
    blocks = connection.execute(
        "SELECT blob FROM blocks WHERE keep = ? AND hour = ? AND point = ?",
        (point.keep, hour, point.number),
    ).fetchall()
    segments = connection.execute(
        "SELECT blob FROM segments WHERE hour = ? AND shard = ?", (hour, point.number // SHARD)
    ).fetchall()
    connection.execute("COMMIT")
    found = [sample for (blob,) in blocks for sample in _readable(decode_block, blob)]
    for (blob,) in segments:
        found += _readable(partial(_of_point, point.number), blob)
    return found


def _of_point(number: int, blob: bytes) -> list[Sample]:
    return decode_segment(blob, number).get(number, [])


def _readable(decode: Callable[[bytes], list[Sample]], blob: bytes) -> list[Sample]:
    """Return what a blob holds, nothing of one that is damaged: the rest of the history is still worth reading."""
    try:
        return decode(blob)
    except DamagedBlockError:
        return []


def _hours(connection: Any, point: PointRow, since: float, until: float) -> Iterator[int]:
    """Yield the hours in which there may be samples of a point."""
    first = int(since // HOUR)
    last = int(-(-until // HOUR))
    packed = {
        hour
        for (hour,) in connection.execute(
            "SELECT DISTINCT hour FROM segments WHERE hour >= ? AND hour < ?", (first, last)
        )
    }
    (oldest,) = connection.execute(
        "SELECT min(hour) FROM blocks WHERE keep = ?", (point.keep,)
    ).fetchone()
    begin = min([*packed, *([oldest] if oldest is not None else [])], default=last)
    yield from range(max(first, begin), last)


def _value(sample: Sample) -> HistoryValue:
    time, code, value = sample
    return HistoryValue(time / 1000, value, quality_of(code), bool(code & STILL))


def _time(sample: Sample) -> int:
    return sample[0]
