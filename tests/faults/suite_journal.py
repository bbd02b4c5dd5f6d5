"""How many decisions a second are durable, one by one and together, and that a group costs one sync."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.faults.figures import Figure, Size

from pilotage.ports import DecisionRecord, Envelope
from pilotage.runtime.health import Health
from pilotage.runtime.journal import JournalReader, SqliteJournal, connect

GOALS = ("G10",)
CITY: Final = "city"
RECORD: Final = b'{"number":%d,"text":"' + b"x" * 300 + b'"}'
ENVELOPE: Final = b"[1" + b',["seg-1.flow",41.0,"good",1800000000.25]' * 5 + b"]"
COUNTS: Final = {Size.SHORT: (200, 2_000), Size.LONG: (20_000, 400_000)}
TOGETHER: Final = 200  # decisions under way at once: a busy tick of several partitions


@dataclass
class Run:
    """What was measured."""

    count: int
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    commits: int = 0
    lost: str = ""

    @property
    def per_s(self) -> float:
        return self.count / self.seconds

    def p(self, share: float) -> float:
        """Return a percentile of the waits, in milliseconds."""
        return sorted(self.waits)[min(len(self.waits) - 1, int(share * len(self.waits)))] * 1e3


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Append decisions one by one, then many at once; compare what is on disk with what was answered."""
    alone, together = COUNTS[size]
    bare = _bare_commits(min(alone, 1_000))
    say(f"the disk itself: {bare:,.0f} bare commits of SQLite a second")
    figures = []
    for what, count, at_once, wanted in (
        ("one by one", alone, 1, 2_000),
        (f"{TOGETHER} at once", together, TOGETHER, 20_000),
    ):
        run = asyncio.run(_run(count, at_once))
        say(
            f"{what}: {run.per_s:,.0f}/s, p50 {run.p(0.5):.2f} ms, p99 {run.p(0.99):.2f} ms,"
            f" {run.commits} commits {run.lost}"
        )
        groups = at_once == 1 or run.commits < count / 4
        fast = run.per_s >= wanted and run.p(0.99) < 10.0
        figures.append(
            Figure(
                "G10",
                f"{count:,} durable decisions, {what}, each with its inputs",
                "0 lost, one sync for a group"
                + (f", {wanted:,}/s, p99 < 10 ms" if size is Size.LONG else ""),
                f"{run.lost or '0 lost'}, {run.commits:,} syncs, {run.per_s:,.0f}/s,"
                f" p99 {run.p(0.99):.2f} ms (bare SQLite one by one: {bare:,.0f}/s)",
                not run.lost and groups and (fast or size is Size.SHORT),
            )
        )
    return figures


def _bare_commits(count: int) -> float:
    """Return how many commits a second this disk takes from SQLite alone, now."""
    with tempfile.TemporaryDirectory() as place, closing(connect(f"{place}/bare.db")) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE records (number INTEGER PRIMARY KEY, record BLOB)")
        began = time.perf_counter()
        for number in range(count):
            bare.execute("INSERT INTO records VALUES (?, ?)", (number, RECORD % number))
        return count / (time.perf_counter() - began)


async def _run(count: int, at_once: int) -> Run:
    run = Run(count)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "journal.db")
        journal = SqliteJournal(path, Health(), connect=lambda file: _Counting(file, run))
        journal.open(CITY)
        run.commits = 0
        began = time.perf_counter()
        for first in range(0, count, at_once):
            numbers = range(first, min(first + at_once, count))
            await asyncio.gather(*(_append(journal, number, run) for number in numbers))
        run.seconds = time.perf_counter() - began
        journal.close()
        run.lost = _lost(path, count)
    return run


async def _append(journal: SqliteJournal, number: int, run: Run) -> None:
    began = time.perf_counter()
    journal.put(CITY, Envelope(1.8e9 + number, ENVELOPE, number))
    record = DecisionRecord(number + 1, 1.8e9 + number, RECORD % (number + 1))
    assert await journal.append(CITY, number, record) == number + 1
    run.waits.append(time.perf_counter() - began)


def _lost(path: Path, count: int) -> str:
    """Return what is not on disk of what was answered."""
    reader = JournalReader(path)
    for number, record in enumerate(reader.decisions(CITY), 1):
        if (record.number, record.record) != (number, RECORD % number):
            return f"decision {number} is {record.number}"
    for position, envelope in enumerate(reader.inputs(CITY), 1):
        if (envelope.position, envelope.inputs) != (position, ENVELOPE):
            return f"input {position} is {envelope.position}"
    if reader.last_number(CITY) != count or reader.last_position(CITY) != count:
        return f"{count - reader.last_number(CITY)} lost"
    return ""


class _Counting:
    """A connection that counts its commits."""

    def __init__(self, file: str, run: Run) -> None:
        self._connection = connect(file)
        self._run = run

    def cursor(self) -> _CountingCursor:
        return _CountingCursor(self._connection.cursor(), self._run)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class _CountingCursor:
    def __init__(self, cursor: Any, run: Run) -> None:
        self._run = run
        self._cursor = cursor

    def execute(self, sql: str, *parameters: Any) -> Any:
        self._run.commits += sql == "COMMIT"
        return self._cursor.execute(sql, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)
