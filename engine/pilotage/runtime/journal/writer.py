"""The one thread that writes the journal.

It takes everything that waits in one transaction (one append in flight, what arrives meanwhile goes into the next) with
`synchronous=FULL`, so that an answered append survives a power loss. While the disk refuses, nothing is answered and so
nothing is sent; the thread tries again until it succeeds, and the trouble is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pilotage.ports import (
    ConfigSwitch,
    DecisionRecord,
    Envelope,
    Fenced,
    HealthLog,
    LogClosedError,
    LogUnusableError,
)
from pilotage.runtime.journal.reader import ENVELOPE_VERSION, JournalReader
from pilotage.runtime.journal.schema import (
    check_sqlite,
    connect,
    make_file,
    open_for_writing,
    sqlite,
)

LAZY_S: Final = 0.1
MOST_WAITING_BYTES: Final = 32 * 1024 * 1024
MOST_ROWS: Final = 5_000
RETRY_S: Final = (0.2, 5.0)

_INSERT_DECISION: Final = (
    "INSERT INTO decisions (partition, number, time, record) VALUES (?, ?, ?, ?)"
)
_INSERT_INPUT: Final = (
    "INSERT INTO inputs (partition, position, time, after, version, envelope)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_INSERT_SWITCH: Final = (
    "INSERT INTO switches (partition, time, digest, detail, position) VALUES (?, ?, ?, ?, ?)"
)
_EPOCHS: Final = "SELECT partition, number, epoch FROM partitions"
# The one row that all writers share: who finds another number or epoch in it has been replaced.
_ADVANCE: Final = (
    "UPDATE partitions SET number = ? WHERE partition = ? AND number = ? AND epoch = ?"
)


@dataclass(slots=True)
class _Job:
    """Something that the writer has to write.

    Attributes:
        write: Does it, within a transaction; called again when the transaction failed.
        partition: Whose; empty for what belongs to all.
        size: About how many bytes it keeps in memory until then.
        result: Where it is awaited, the future for `number`.
        number: Of the decision.
        position: Of the envelope, when it is one.
    """

    write: Callable[[Any], None]
    partition: str = ""
    size: int = 0
    result: asyncio.Future[int] | None = None
    number: int = 0
    position: int = 0


class SqliteJournal:
    """The journal of all partitions that this process runs; `append` belongs to the event loop."""

    def __init__(
        self,
        path: Path,
        health: HealthLog,
        *,
        sync: str = "full",
        lazy_s: float = LAZY_S,
        most_waiting_bytes: int = MOST_WAITING_BYTES,
        allow_old_sqlite: bool = False,
        connect: Callable[[str], Any] = connect,
    ) -> None:
        """Name a journal; `open` makes or opens the file.

        Args:
            path: The file; its folder is made when it is missing.
            health: Where trouble with the disk is told.
            sync: `full`: an answered append survives a power loss; `normal`: the last moments may be lost then.
            lazy_s: How long inputs without a decision may wait to be written together.
            most_waiting_bytes: `is_full` above so many bytes that the disk did not take yet.
            allow_old_sqlite: Use an SQLite that can corrupt a journal, and tell it in health, rather than refuse it.
            connect: Opens the writing connection to a file, in autocommit mode; SQLite's own by default. Through
                another one the fault tests see every byte that is written.
        """
        self.path = path
        self._health = health
        self._sync = sync
        self._lazy_s = lazy_s
        self._most_waiting_bytes = most_waiting_bytes
        self._allow_old_sqlite = allow_old_sqlite
        self._connect = connect
        self._connection: Any = None
        self._positions: dict[str, int] = {}
        self._epochs: dict[str, int] = {}
        self._fenced: dict[str, Fenced] = {}
        self._changed = threading.Condition()
        self._lazy: deque[_Job] = deque()
        self._urgent = False
        self._waiting_bytes = 0
        self._oldest_at = 0.0
        self._closing = False
        self._thread: threading.Thread | None = None

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    def open(self, *partitions: str) -> None:
        """Open the file, become the writer of these partitions, and start the writing thread.

        Raises:
            LogUnusableError: The file is of a newer version, is no journal, or cannot be opened; or the SQLite in use
                could corrupt it.
        """
        check_sqlite(self._health, allow_old=self._allow_old_sqlite)
        try:
            make_file(self.path)
            self._connection = self._connect(str(self.path))
            open_for_writing(self._connection, self.path, self._sync)
            for partition in partitions:
                self._own(partition)
        except (sqlite.Error, OSError) as error:
            raise LogUnusableError(
                f"{self.path}: the journal cannot be opened: {error}\n"
                "   mend: give the engine's user the right to write there, and see that the disk has room"
            ) from error
        self._thread = threading.Thread(target=self._run, name="pilotage-journal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, if the disk takes it, and close the file; blocks for some milliseconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def is_full(self) -> bool:
        """True when so much waits for the disk that the engine should not decide more."""
        return self._waiting_bytes > self._most_waiting_bytes

    def epoch(self, partition: str) -> int:
        """Return the epoch of this process's ownership: higher than all before it."""
        return self._epochs[partition]

    # ── writing, from the event loop ─────────────────────────────────────────────────────────

    def put(self, partition: str, envelope: Envelope) -> int:
        """Keep the inputs of a tick with the next decision, or within `lazy_s`; returns their position."""
        position = self._positions[partition] = self._positions[partition] + 1
        data, now, after = envelope.inputs, envelope.now, envelope.after
        row = (partition, position, now, after, ENVELOPE_VERSION, data)
        self._hand_over(
            _Job(
                lambda cursor: cursor.execute(_INSERT_INPUT, row),
                partition,
                100 + len(data),
                position=position,
            )
        )
        return position

    def position(self, partition: str) -> int:
        """Return the position of the envelope that was put last, written or on its way."""
        return self._positions[partition]

    def switch(self, partition: str, switch: ConfigSwitch) -> None:
        """Keep that the rules were exchanged after the envelope that was put last."""
        row = (partition, switch.now, switch.digest, switch.detail, self._positions[partition])
        self._hand_over(_Job(lambda cursor: cursor.execute(_INSERT_SWITCH, row), partition, 100))

    def append(self, partition: str, expect: int, record: DecisionRecord) -> asyncio.Future[int]:
        """Append a decision; the result comes when it is on disk."""
        result: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def write(cursor: Any) -> None:
            self._advance(cursor, partition, expect, record.number)
            row = (partition, record.number, record.now, record.record)
            cursor.execute(_INSERT_DECISION, row)

        size = 100 + len(record.record)
        self._hand_over(_Job(write, partition, size, result, record.number))
        return result

    def flushed(self, partition: str) -> asyncio.Future[int]:
        """Have everything that was put so far written; the result is the last position, once it is on disk."""
        result: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._hand_over(
            _Job(lambda _: None, partition, 0, result, number=self._positions[partition])
        )
        return result

    def forget(self, inputs_before: float, decisions_before: float) -> None:
        """Delete what is older than these times, some thousand rows at a time."""

        def write(cursor: Any) -> None:
            left = False
            for table, key, before in (
                ("inputs", "id", inputs_before),
                ("decisions", "rowid", decisions_before),
                ("switches", "id", decisions_before),
            ):
                cursor.execute(
                    f"DELETE FROM {table} WHERE {key} IN"
                    f" (SELECT {key} FROM {table} WHERE time < ? ORDER BY time LIMIT {MOST_ROWS})",
                    (before,),
                )
                left = left or cursor.rowcount == MOST_ROWS
            if left:
                self.forget(inputs_before, decisions_before)

        self._hand_over(_Job(write))

    def _hand_over(self, job: _Job) -> None:
        with self._changed:
            if self._closing:
                if job.result is not None:
                    job.result.set_exception(LogClosedError(f"{self.path} is closed"))
                return
            if not self._lazy:
                self._oldest_at = time.monotonic()
            self._lazy.append(job)
            self._waiting_bytes += job.size
            if job.result is not None and not self._urgent:
                self._urgent = True
                self._changed.notify()
            elif len(self._lazy) == 1:
                self._changed.notify()

    # ── the writing thread ───────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            while (jobs := self._next_batch()) is not None:
                self._write_until_done(jobs)
        finally:
            with contextlib.suppress(sqlite.Error):
                self._connection.close()

    def _next_batch(self) -> list[_Job] | None:
        """Wait for work; None when the journal is closed and nothing is left."""
        with self._changed:
            while not self._lazy and not self._closing:
                self._changed.wait()
            while not self._urgent and not self._closing:
                wait = self._oldest_at + self._lazy_s - time.monotonic()
                if wait <= 0 or not self._lazy:
                    break
                self._changed.wait(wait)
            jobs = list(self._lazy)
            self._lazy.clear()
            self._urgent = False
            return jobs or (None if self._closing else [])

    def _write_until_done(self, jobs: list[_Job]) -> None:
        """Write a batch; while the disk refuses, wait and try the same batch again."""
        pause, longest = RETRY_S
        while True:
            try:
                outcomes = self._write(jobs)
            except sqlite.Error as error:
                self._trouble(error)
                if self._wait_or_closing(pause):
                    self._settle(
                        jobs,
                        [LogClosedError(f"{self.path}: closed unwritten: {error}")] * len(jobs),
                    )
                    return
                pause = min(pause * 2, longest)
                continue
            self._health.cleared("journal.disk")
            self._settle(jobs, outcomes)
            return

    def _write(self, jobs: list[_Job]) -> list[Exception | None]:
        """Write a batch in one transaction; returns for each job None or why it was fenced."""
        cursor = self._connection.cursor()
        outcomes: list[Exception | None] = []
        fenced = dict(self._fenced)
        try:
            cursor.execute("BEGIN IMMEDIATE")
            self._look_who_writes(cursor)
            for job in jobs:
                try:
                    if job.partition in self._fenced:
                        raise self._fenced[job.partition]
                    job.write(cursor)
                    outcomes.append(None)
                except Fenced as error:
                    outcomes.append(error)
            self._advance_positions(cursor, jobs)
            cursor.execute("COMMIT")
        except sqlite.Error:
            self._fenced = fenced
            with contextlib.suppress(sqlite.Error):
                if self._connection.in_transaction:
                    cursor.execute("ROLLBACK")
            raise
        return outcomes

    def _look_who_writes(self, cursor: Any) -> None:
        """Fence the partitions that another writer has taken over."""
        for partition, number, epoch in cursor.execute(_EPOCHS).fetchall():
            ours = self._epochs.get(partition, epoch)
            if epoch != ours and partition not in self._fenced:
                self._fenced[partition] = Fenced(
                    f"{self.path}: this engine writes in epoch {ours}, but the journal stands at decision"
                    f" {number} in epoch {epoch}"
                )

    def _advance(self, cursor: Any, partition: str, expect: int, number: int) -> None:
        epoch = self._epochs[partition]
        cursor.execute(_ADVANCE, (number, partition, expect, epoch))
        if not cursor.execute("SELECT changes()").fetchone()[0]:
            cursor.execute("SELECT number FROM partitions WHERE partition = ?", (partition,))
            self._fenced[partition] = Fenced(
                f"{self.path}: decision {number} was to follow {expect} in epoch {epoch},"
                f" but the journal stands at {cursor.fetchone()[0]}"
            )
            raise self._fenced[partition]

    def _advance_positions(self, cursor: Any, jobs: list[_Job]) -> None:
        """Write where the inputs of each partition stand now: it must be known when they are forgotten too."""
        reached = {
            job.partition: job.position
            for job in jobs
            if job.position and job.partition not in self._fenced
        }
        for partition, position in reached.items():
            cursor.execute(
                "UPDATE partitions SET position = ? WHERE partition = ?", (position, partition)
            )

    def _settle(self, jobs: list[_Job], outcomes: list[Exception | None]) -> None:
        """Give the results to the loops that wait for them, in order, with one wake-up."""
        with self._changed:
            self._waiting_bytes -= sum(job.size for job in jobs)
        done = [
            (job.result, job.number, error)
            for job, error in zip(jobs, outcomes, strict=True)
            if job.result is not None
        ]
        if done:
            loop = done[0][0].get_loop()
            with contextlib.suppress(RuntimeError):  # the loop was closed; nobody waits any more
                loop.call_soon_threadsafe(_resolve, done)

    def _trouble(self, error: Exception) -> None:
        self._health.count("journal.refused")
        self._health.raised(
            "journal.disk",
            f"{self.path} cannot be written: {error}; commands and orders are held back",
            "free space on the disk, or give the file back its rights; the engine goes on by itself",
        )

    def _wait_or_closing(self, seconds: float) -> bool:
        with self._changed:
            if not self._closing:
                self._changed.wait_for(lambda: self._closing, seconds)
            return self._closing

    def _own(self, partition: str) -> None:
        """Take the next epoch of a partition."""
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        cursor.execute(
            "INSERT INTO partitions (partition, number, epoch, position) VALUES (?, 0, 1, 0)"
            " ON CONFLICT (partition) DO UPDATE SET epoch = epoch + 1 RETURNING epoch, position",
            (partition,),
        )
        self._epochs[partition], self._positions[partition] = cursor.fetchone()
        cursor.execute("COMMIT")

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def last_number(self, partition: str) -> int:
        """Return the number of the last decision on disk."""
        return JournalReader(self.path).last_number(partition)

    def decisions(
        self,
        partition: str,
        since: float | None = None,
        until: float | None = None,
        after: int = 0,
    ) -> Iterator[DecisionRecord]:
        """Return decisions in order of number, through a connection of their own."""
        return JournalReader(self.path).decisions(partition, since, until, after)

    def inputs(self, partition: str, after_position: int = 0) -> Iterator[Envelope]:
        """Return the envelopes after a position, oldest first, through a connection of their own."""
        return JournalReader(self.path).inputs(partition, after_position)


def _resolve(done: list[tuple[asyncio.Future[int], int, Exception | None]]) -> None:
    for result, number, error in done:
        if result.done():
            continue
        if error is None:
            result.set_result(number)
        else:
            result.set_exception(error)
