"""What happens to the history afterwards: hours become blocks, days become roll-ups, what is too old or unwanted goes.

Every step is one transaction whose result depends on what is in the file alone, so that a step that was cut off is simply
done again. Used by the thread that writes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from zoneinfo import ZoneInfo

from pilotage.model.diagnostics import Severity
from pilotage.model.entities import GUARDED, Privacy
from pilotage.ports import HealthLog
from pilotage.runtime.history.codec import (
    MISSING,
    DamagedBlockError,
    Gathered,
    Sample,
    decode_block,
    decode_segment,
    encode_block,
    encode_segment,
)
from pilotage.runtime.history.file import HOUR, SHARD, PointRow, point_rows
from pilotage.runtime.history.rollups import (
    LEVELS,
    ROLLED,
    Gap,
    cut,
    day_start,
    decode_pack,
    encode_pack,
    next_day,
    roll_day,
)
from pilotage.runtime.history.settings import HistorySettings
from pilotage.runtime.journal import sqlite

LATE_S: Final = 600.0
"""So long after its end an hour is packed; what comes later is packed into it again."""
DAY_LATE_S: Final = 7200.0
RETAIN_EVERY_S: Final = 3600.0
MARGIN_S: Final = 7200.0
"""Deleted so much before the limit: a block holds an hour, and the next round comes in an hour."""
PROOFS_S: Final = 100 * 86_400.0
POINTS: Final = 100
PAGES: Final = 2_000
TRIES: Final = 50

REFERS: Final = frozenset({"text", "reference"})
"""The types whose values may name a person or an entity."""


class Upkeep:
    """Keeps one file in order.

    Attributes:
        settings: How long what is kept; may be exchanged between two steps.
    """

    def __init__(
        self,
        zone: ZoneInfo,
        settings: HistorySettings,
        health: HealthLog,
        breathe: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            zone: Where days begin.
            settings: How long what is kept.
            health: Where damage is told.
            breathe: Called between two pieces of work, so that others get their turn.
        """
        self.settings = settings
        self._zone = zone
        self._health = health
        self._breathe = breathe
        self._retained_at: float | None = None
        self._todo: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def step(self, connection: Any, now: float) -> bool:
        """Do one piece of what is due; returns False when there was nothing."""
        if self._retained_at is None or now - self._retained_at >= RETAIN_EVERY_S:
            self._retained_at = now
            self.retain(connection, now)
            return True
        return self.pack_hour(connection, now) or self.roll_days(connection, now)

    def finish(self, connection: Any, now: float) -> None:
        """Do everything that is due."""
        while self.pack_hour(connection, now) or self.roll_days(connection, now):
            pass
        self.retain(connection, now)

    # ── hours ────────────────────────────────────────────────────────────────────────────────

    def pack_hour(self, connection: Any, now: float) -> bool:
        """Turn the segments of one hour and shard into a block for each point; False when none is due."""
        due = (now - LATE_S) // HOUR
        found = connection.execute(
            "SELECT hour, shard FROM segments WHERE hour < ? ORDER BY hour, shard LIMIT 1", (due,)
        ).fetchone()
        if found is None:
            return False
        hour, shard = found
        with _transaction(connection):
            gathered = self._segments(connection, hour, shard)
            keeps = _keeps(connection, shard)
            for number, samples in gathered.by_point(self._breathe):
                # Points that were erased meanwhile have no row any more.
                if number in keeps:
                    self._pack(connection, keeps[number], hour, number, samples)
            connection.execute("DELETE FROM segments WHERE hour = ? AND shard = ?", (hour, shard))
            day = int(day_start(hour * HOUR, self._zone))
            for each in {day, int(day_start(hour * HOUR + HOUR - 1, self._zone))}:
                connection.execute("INSERT OR IGNORE INTO days VALUES (?, ?)", (each, shard))
                self._todo.pop((each, shard), None)
        return True

    def _segments(self, connection: Any, hour: int, shard: int) -> Gathered:
        gathered = Gathered()
        rows = connection.execute(
            "SELECT blob FROM segments WHERE hour = ? AND shard = ? ORDER BY seq", (hour, shard)
        )
        for (blob,) in rows:
            for number, samples in self._readable(decode_segment, blob, {}).items():
                gathered.add(number, samples)
            self._breathe()
        return gathered

    def _pack(
        self, connection: Any, keep: int, hour: int, number: int, samples: list[Sample]
    ) -> None:
        before = connection.execute(
            "SELECT blob FROM blocks WHERE keep = ? AND hour = ? AND point = ?",
            (keep, hour, number),
        ).fetchone()
        if before is not None:
            samples = _united(self._readable(decode_block, before[0], []), samples)
        samples.sort(key=_time)
        connection.execute(
            "INSERT OR REPLACE INTO blocks (keep, hour, point, count, blob) VALUES (?, ?, ?, ?, ?)",
            (keep, hour, number, len(samples), encode_block(samples)),
        )
        if number % 8 == 0:
            self._breathe()

    def _readable(self, decode: Callable[[bytes], Any], blob: bytes, instead: Any) -> Any:
        try:
            return decode(blob)
        except (DamagedBlockError, ValueError) as error:
            self._health.raised(
                "history.damaged",
                f"a part of the history cannot be read and is left out: {error}",
                "check the disk; the rest of the history is whole",
                Severity.WARNING,
            )
            return instead

    # ── days ─────────────────────────────────────────────────────────────────────────────────

    def roll_days(self, connection: Any, now: float) -> bool:
        """Roll up some points of a day that is over; False when none is due."""
        latest = day_start(now - DAY_LATE_S, self._zone)
        found = connection.execute(
            "SELECT day, shard FROM days WHERE day < ? ORDER BY day, shard LIMIT 1", (latest,)
        ).fetchone()
        if found is None:
            return False
        day, shard = found
        start, end = float(day), next_day(day, self._zone)
        points = self._todo.get((day, shard))
        if points is None:
            points = self._todo[day, shard] = _points_between(connection, shard, start, end)
        part, self._todo[day, shard] = points[:POINTS], points[POINTS:]
        gaps = gaps_between(connection, start, end)
        with _transaction(connection):
            for number, keep in part:
                self._roll(connection, keep, number, start, end, gaps)
                self._breathe()
            if not self._todo[day, shard]:
                connection.execute("DELETE FROM days WHERE day = ? AND shard = ?", (day, shard))
        if not self._todo[day, shard]:
            del self._todo[day, shard]
        return True

    def _roll(
        self, connection: Any, keep: int, number: int, start: float, end: float, gaps: list[Gap]
    ) -> None:
        rows = connection.execute(
            "SELECT blob FROM blocks WHERE keep = ? AND point = ? AND hour >= ? AND hour < ?",
            (keep, number, start // HOUR, -(-end // HOUR)),
        ).fetchall()
        samples = [s for (blob,) in rows for s in self._readable(decode_block, blob, [])]
        inside = [s for s in samples if start <= s[0] / 1000 < end]
        for level, buckets in roll_day(cut(inside, gaps), start, end).items():
            connection.execute(
                "INSERT OR REPLACE INTO rolls (keep, level, day, point, blob) VALUES (?, ?, ?, ?, ?)",
                (keep, level, int(start), number, encode_pack(buckets)),
            )

    # ── retention ────────────────────────────────────────────────────────────────────────────

    def retain(self, connection: Any, now: float) -> None:
        """Delete what is older than its limit, give the room back, and write down what was found then."""
        while self.pack_hour(connection, now):
            pass
        deleted = 0
        for keep, class_, keep_s in connection.execute(
            "SELECT number, class, keep_s FROM limits"
        ).fetchall():
            limits = self._limits(Privacy(class_), keep_s)
            count = self._delete(connection, keep, limits, now)
            deleted += count
            self._prove(connection, keep, class_, limits, now, count)
            self._breathe()
        most = max((*self.settings.keep_s.values(), *self.settings.rollups_s.values()))
        with _transaction(connection):
            connection.execute("DELETE FROM gaps WHERE until < ?", (now - most,))
            connection.execute(
                "DELETE FROM proofs WHERE time < ? AND what <> 'erased'", (now - PROOFS_S,)
            )
        if deleted:
            give_back(connection)

    def _limits(self, class_: Privacy, keep_s: float) -> dict[str, float]:
        """Return for how long the samples (under an empty name) and each level are kept."""
        raw = min(keep_s, self.settings.keep_s[class_])
        rolls = self.settings.rollups_s
        guarded = class_ in GUARDED
        return {"": raw} | {
            level: min(raw, rolls[level]) if guarded else rolls[level] for level in LEVELS
        }

    def _delete(self, connection: Any, keep: int, limits: dict[str, float], now: float) -> int:
        deleted = 0
        with _transaction(connection):
            for level, limit_s in limits.items():
                before = now - limit_s + MARGIN_S
                if level:
                    cursor = connection.execute(
                        "DELETE FROM rolls WHERE keep = ? AND level = ? AND day < ?",
                        (keep, level, before),
                    )
                else:
                    cursor = connection.execute(
                        "DELETE FROM blocks WHERE keep = ? AND hour < ?", (keep, -(-before // HOUR))
                    )
                deleted += cursor.rowcount
        return deleted

    def _prove(
        self,
        connection: Any,
        keep: int,
        class_: str,
        limits: dict[str, float],
        now: float,
        deleted: int,
    ) -> None:
        """Count what is older than its limit now: there must be nothing."""
        whole = True
        for level, limit_s in limits.items():
            older, oldest = rows_older(connection, keep, level, now - limit_s)
            whole = whole and not older
            with _transaction(connection):
                connection.execute(
                    "INSERT INTO proofs (time, what, class, limit_s, deleted, older, oldest)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        now,
                        level or "samples",
                        class_,
                        limit_s,
                        0 if level else deleted,
                        older,
                        oldest,
                    ),
                )
            if older:
                self._health.raised(
                    "history.retention",
                    f"{older} rows of {level or 'samples'} of {class_} points are older than"
                    f" {limit_s / 86_400:g} d",
                    "see the engine's log for trouble with the history's file",
                )
        if whole:
            self._health.cleared("history.retention")

    # ── erasing ──────────────────────────────────────────────────────────────────────────────

    def erase(self, connection: Any, id_: str, now: float) -> int:
        """Erase an entity's points, and wherever it is another point's value; returns the rows that changed.

        Afterwards neither the file nor its log hold a byte of it.
        """
        own = point_rows(connection, "WHERE p.id LIKE ? ESCAPE '\\'", (f"{_escaped(id_)}.%",))
        other = [p for p in point_rows(connection) if p.base in REFERS and p not in own]
        with _transaction(connection):
            changed = self._erase_segments(
                connection, {p.number for p in own}, {p.number for p in other}, id_
            )
            for point in own:
                changed += _delete_point(connection, point)
            for point in other:
                changed += self._erase_values(connection, point, id_)
                self._breathe()
            connection.execute(
                "INSERT INTO proofs (time, what, class, limit_s, deleted, older, oldest)"
                " VALUES (?, 'erased', '', 0, ?, 0, NULL)",
                (now, changed),
            )
        self._todo.clear()
        write_anew(connection)
        return changed

    def _erase_segments(self, connection: Any, own: set[int], other: set[int], id_: str) -> int:
        changed = 0
        for hour, shard, seq, blob in connection.execute("SELECT * FROM segments").fetchall():
            samples = self._readable(decode_segment, blob, {})
            kept = {n: s for n, s in samples.items() if n not in own}
            for number in other & kept.keys():
                kept[number] = _without(kept[number], id_)
            if kept != samples:
                changed += 1
                connection.execute(
                    "UPDATE segments SET blob = ? WHERE hour = ? AND shard = ? AND seq = ?",
                    (encode_segment(kept), hour, shard, seq),
                )
        return changed

    def _erase_values(self, connection: Any, point: PointRow, id_: str) -> int:
        """Make the samples that name somebody unknown, in blocks and in roll-ups."""
        changed = 0
        rows = connection.execute(
            "SELECT hour, blob FROM blocks WHERE keep = ? AND point = ?", (point.keep, point.number)
        ).fetchall()
        for hour, blob in rows:
            samples = self._readable(decode_block, blob, [])
            kept = _without(samples, id_)
            if kept != samples:
                changed += 1
                connection.execute(
                    "UPDATE blocks SET blob = ? WHERE keep = ? AND hour = ? AND point = ?",
                    (encode_block(kept), point.keep, hour, point.number),
                )
        return changed + self._erase_rolls(connection, point, id_)

    def _erase_rolls(self, connection: Any, point: PointRow, id_: str) -> int:
        changed = 0
        for level, day, blob in connection.execute(
            "SELECT level, day, blob FROM rolls WHERE keep = ? AND point = ?",
            (point.keep, point.number),
        ).fetchall():
            buckets = self._readable(decode_pack, blob, [])
            if not any(id_ in bucket.spent for bucket in buckets):
                continue
            changed += 1
            for bucket in buckets:
                bucket.known_s -= bucket.spent.pop(id_, 0.0)
            connection.execute(
                "UPDATE rolls SET blob = ? WHERE keep = ? AND level = ? AND day = ? AND point = ?",
                (encode_pack(buckets), point.keep, level, day, point.number),
            )
        return changed


# ── what others ask of a file too ────────────────────────────────────────────────────────────


def rows_older(connection: Any, keep: int, level: str, before: float) -> tuple[int, float | None]:
    """Return how many rows begin before a time, and where the oldest of all begins."""
    value: tuple[Any, ...] = (keep, level) if level else (keep,)
    what = "rolls WHERE keep = ? AND level = ?" if level else "blocks WHERE keep = ?"
    key, width = ("day", 1) if level else ("hour", HOUR)
    (count,) = connection.execute(
        f"SELECT count(*) FROM {what} AND {key} < ?", (*value, before / width)
    ).fetchone()
    (oldest,) = connection.execute(f"SELECT min({key}) * {width} FROM {what}", value).fetchone()
    return int(count), None if oldest is None else float(oldest)


def gaps_between(connection: Any, start: float, end: float) -> list[Gap]:
    """Return the gaps that touch a stretch of time."""
    return [
        (since, until)
        for since, until in connection.execute(
            "SELECT since, until FROM gaps WHERE since < ? AND until > ? ORDER BY since",
            (end, start),
        )
    ]


def give_back(connection: Any) -> None:
    """Give some free pages back to the disk, and empty the log, in which deleted pages would stand on."""
    connection.execute(f"PRAGMA incremental_vacuum({PAGES})").fetchall()
    _empty_log(connection, tries=1)


def write_anew(connection: Any) -> None:
    """Write the whole file anew, with what is in it and nothing else.

    `secure_delete` overwrites a row where it lies, but not the copies that a page keeps in its free space when it was
    split before: the search of `tests/faults/suite_privacy.py` found one in every second run.

    Raises:
        sqlite.Error: The disk has no room for a second copy.
    """
    connection.execute("VACUUM")
    _empty_log(connection, tries=TRIES)


def _empty_log(connection: Any, tries: int) -> None:
    for _ in range(tries):
        # A reader may hold the log for a moment.
        with contextlib.suppress(sqlite.Error):
            if not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                return
        time.sleep(0.1)


@contextlib.contextmanager
def _transaction(connection: Any) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def _keeps(connection: Any, shard: int) -> dict[int, int]:
    rows = connection.execute(
        "SELECT number, keep FROM points WHERE number >= ? AND number < ?",
        (shard * SHARD, shard * SHARD + SHARD),
    )
    return dict(rows.fetchall())


def _delete_point(connection: Any, point: PointRow) -> int:
    """Delete everything of a point and return how many rows that were."""
    count = 0
    for table in ("blocks", "rolls"):
        count += connection.execute(
            f"DELETE FROM {table} WHERE keep = ? AND point = ?", (point.keep, point.number)
        ).rowcount
    connection.execute("DELETE FROM points WHERE number = ?", (point.number,))
    return count


def _points_between(connection: Any, shard: int, start: float, end: float) -> list[tuple[int, int]]:
    """Return the points of a shard that have samples in a day and can be rolled up, with their limits."""
    found: set[tuple[int, int]] = set()
    types = {
        number
        for number, base in connection.execute("SELECT number, base FROM points")
        if base in ROLLED
    }
    for (keep,) in connection.execute("SELECT number FROM limits").fetchall():
        for hour in range(int(start // HOUR), int(-(-end // HOUR))):
            rows = connection.execute(
                "SELECT point FROM blocks WHERE keep = ? AND hour = ? AND point >= ? AND point < ?",
                (keep, hour, shard * SHARD, shard * SHARD + SHARD),
            )
            found.update((number, keep) for (number,) in rows if number in types)
    return sorted(found)


def _united(before: list[Sample], more: Iterable[Sample]) -> list[Sample]:
    """Return the samples of both, each once: a step that is done again changes nothing."""
    keys = {(at, code) for at, code, _ in before}
    return before + [sample for sample in more if (sample[0], sample[1]) not in keys]


def _without(samples: list[Sample], id_: str) -> list[Sample]:
    """Return samples with an unknown value wherever somebody was named."""
    return [
        (at, MISSING | (code & 8), None) if value == id_ else (at, code, value)
        for at, code, value in samples
    ]


def _time(sample: Sample) -> int:
    return sample[0]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
