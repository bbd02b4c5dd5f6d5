"""What the journal forgets: what is older than its time, and the oldest when the file grows too large.

Works in small steps inside the writer's transactions, so that a command never waits for long behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

STEP_ROWS: Final = 1_000
STEP_BYTES: Final = 4_000_000
STEP_PAGES: Final = 500
# Free pages are used again by what comes next; they go back to the disk when they are many.
_MOST_FREE: Final = 0.25
_FEW_PAGES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Keep:
    """How much of the journal is kept.

    Attributes:
        inputs_since: Envelopes from this time on, seconds since 1970.
        decisions_since: Decisions from this time on.
        most_bytes: Not more than so much in all; None for no limit.
        needed_after: Per partition, the position of the oldest snapshot: what came after it is never forgotten.
    """

    inputs_since: float
    decisions_since: float
    most_bytes: int | None = None
    needed_after: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a step did.

    Attributes:
        left: There is more to forget.
        for_size: Something went before its time, because the file is too large.
        oldest: Time of the oldest decision that is kept, None without any.
    """

    left: bool
    for_size: bool = False
    oldest: float | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    key: int
    time: float
    size: int


def forget_step(cursor: Any, keep: Keep) -> Forgotten:
    """Forget a little, inside a transaction; to be called again until nothing is left."""
    gone = 0
    for partition in _partitions(cursor):
        inputs = _oldest_inputs(cursor, partition, keep)
        gone += _delete_inputs(cursor, partition, _before(inputs, keep.inputs_since))
        decisions = _oldest_decisions(cursor, partition)
        gone += _delete_decisions(cursor, partition, _before(decisions, keep.decisions_since))
    if gone:
        return Forgotten(left=True)
    if keep.most_bytes is not None and used_bytes(cursor) > keep.most_bytes:
        return Forgotten(_forget_oldest(cursor, keep), True, _oldest_kept(cursor))
    _forget_switches(cursor, keep.decisions_since)
    _forget_texts(cursor)
    return Forgotten(give_back(cursor))


def used_bytes(cursor: Any) -> int:
    """Return how much of the file is in use, free pages left out."""
    return (_pragma(cursor, "page_count") - _pragma(cursor, "freelist_count")) * _pragma(
        cursor, "page_size"
    )


def give_back(cursor: Any) -> bool:
    """Give some free pages back to the disk when they are many; returns whether there are more."""
    free, pages = _pragma(cursor, "freelist_count"), _pragma(cursor, "page_count")
    if free < _FEW_PAGES or free < pages * _MOST_FREE:
        return False
    cursor.execute(f"PRAGMA incremental_vacuum({STEP_PAGES})").fetchall()
    return True


def _pragma(cursor: Any, name: str) -> int:
    return int(cursor.execute(f"PRAGMA {name}").fetchone()[0])


def _partitions(cursor: Any) -> list[str]:
    return [name for (name,) in cursor.execute("SELECT partition FROM partitions").fetchall()]


def _oldest_inputs(cursor: Any, partition: str, keep: Keep) -> list[_Row]:
    """Return the oldest envelopes that may be forgotten, a step's worth."""
    cursor.execute(
        "SELECT position, time, length(envelope) FROM inputs"
        " WHERE partition = ? AND position <= ? ORDER BY position LIMIT ?",
        (partition, keep.needed_after.get(partition, 2**62), STEP_ROWS),
    )
    return list(_within_step(_Row(*row) for row in cursor.fetchall()))


def _oldest_decisions(cursor: Any, partition: str) -> list[_Row]:
    cursor.execute(
        "SELECT number, time, length(record) FROM decisions WHERE partition = ?"
        " ORDER BY number LIMIT ?",
        (partition, STEP_ROWS),
    )
    return list(_within_step(_Row(*row) for row in cursor.fetchall()))


def _within_step(rows: Iterator[_Row]) -> Iterator[_Row]:
    """Return the first rows that together are small enough for one transaction; one at least."""
    total = 0
    for row in rows:
        if total and total + row.size > STEP_BYTES:
            return
        total += row.size
        yield row


def _before(rows: Sequence[_Row], time: float) -> list[_Row]:
    """Return the rows from the first on that are older than a time: what is left has no hole."""
    for index, row in enumerate(rows):
        if row.time >= time:
            return list(rows[:index])
    return list(rows)


def _delete_inputs(cursor: Any, partition: str, rows: Sequence[_Row]) -> int:
    if rows:
        cursor.execute(
            "DELETE FROM inputs WHERE partition = ? AND position <= ?", (partition, rows[-1].key)
        )
    return len(rows)


def _delete_decisions(cursor: Any, partition: str, rows: Sequence[_Row]) -> int:
    if rows:
        cursor.execute(
            "DELETE FROM decisions WHERE partition = ? AND number <= ?", (partition, rows[-1].key)
        )
    return len(rows)


def _forget_oldest(cursor: Any, keep: Keep) -> bool:
    """Forget the oldest of all partitions, whichever it is; returns whether there was anything."""
    oldest: list[tuple[float, str, str, list[_Row]]] = []
    for partition in _partitions(cursor):
        for table, rows in (
            ("inputs", _oldest_inputs(cursor, partition, keep)),
            ("decisions", _oldest_decisions(cursor, partition)),
        ):
            if rows:
                oldest.append((rows[0].time, partition, table, rows))
    if not oldest:
        return False
    _, partition, table, rows = min(oldest, key=lambda found: found[:3])
    delete = _delete_inputs if table == "inputs" else _delete_decisions
    delete(cursor, partition, rows)
    return True


def _oldest_kept(cursor: Any) -> float | None:
    found = cursor.execute("SELECT min(time) FROM decisions").fetchone()[0]
    return None if found is None else float(found)


def _forget_switches(cursor: Any, before: float) -> None:
    """Forget switches that were over before a time; the one that was in force then stays."""
    cursor.execute(
        "DELETE FROM switches WHERE EXISTS (SELECT 1 FROM switches AS later"
        " WHERE later.partition = switches.partition AND later.id > switches.id AND later.time < ?)",
        (before,),
    )
    cursor.execute(
        "DELETE FROM archive WHERE time < ? AND digest NOT IN (SELECT digest FROM switches)",
        (before,),
    )


def _forget_texts(cursor: Any) -> None:
    """Forget the texts that no archived configuration holds any more."""
    cursor.execute(
        "DELETE FROM texts WHERE hash NOT IN (SELECT value FROM archive, json_each(archive.files))"
    )


def forget_inputs_until(connection: Any, partition: str, position: int) -> int:
    """Delete the envelopes up to a position, while nobody else writes; returns how many are left.

    What was deleted is overwritten, and the log is emptied.
    """
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "DELETE FROM inputs WHERE partition = ? AND position <= ?", (partition, position)
    )
    (left,) = connection.execute(
        "SELECT count(*) FROM inputs WHERE partition = ?", (partition,)
    ).fetchone()
    connection.execute("COMMIT")
    connection.execute("PRAGMA incremental_vacuum").fetchall()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return int(left)
