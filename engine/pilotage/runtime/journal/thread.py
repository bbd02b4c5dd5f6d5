"""The one thread that writes: takes everything that waits in one transaction, and tries again until the disk takes it.

When the disk is full, the ballast is given up; when it goes on refusing, what waits stays in memory, and the thread looks
again every few seconds. Nothing is answered before it is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

from pilotage.ports import Fenced, HealthLog, LogClosedError
from pilotage.runtime.ballast import Ballast
from pilotage.runtime.histogram import LATENCIES_S, Histogram
from pilotage.runtime.journal import trouble
from pilotage.runtime.journal.schema import BUSY_MS, WAL_LIMIT, open_for_writing, sqlite

RETRY_S: Final = (0.2, 5.0)
LOOK_S: Final = 5.0

# The rows that all writers share: who finds another number or epoch in one has been replaced. They are read and written
# in the same transaction as the decisions.
_STANDINGS: Final = "SELECT partition, number, epoch FROM partitions"
_ADVANCE: Final = "UPDATE partitions SET number = ? WHERE partition = ?"
_MOVE_ON: Final = "UPDATE partitions SET position = ? WHERE partition = ?"
# The log is copied into the file when nobody waits, and at the latest when it has grown fourfold.
_CHECKPOINT_BYTES: Final = 4_000_000
_BYTES_PER_COMMIT: Final = 16_384
_TOGETHER: Final = (256, 64, 16, 4, 1)
"""So many rows are inserted by one statement; each number is a statement that SQLite keeps."""


@dataclass(slots=True)
class Job:
    """Something that the writer has to write: rows of one statement, or something of its own.

    Attributes:
        sql: An INSERT; all rows of a batch go through it together.
        row: What is inserted.
        write: Does something else, within a transaction; called again when the transaction failed.
        expect: For a decision, the number that it follows.
        partition: Whose; empty for what belongs to all.
        size: About how many bytes it keeps in memory until then.
        result: Where it is awaited, the future for `number`.
        number: Of the decision.
        position: Of the envelope, when it is one.
        is_urgent: Whether somebody waits for it: it is written at once, with all that waits.
        then: Called in the writing thread when it is on disk.
    """

    sql: str = ""
    row: tuple[Any, ...] = ()
    write: Callable[[Any], None] | None = None
    expect: int = -1
    partition: str = ""
    size: int = 0
    result: asyncio.Future[int] | None = None
    number: int = 0
    position: int = 0
    is_urgent: bool = False
    then: Callable[[], None] | None = None


class WritingThread:
    """Writes jobs in the order in which they are handed over.

    Attributes:
        on_gap: Called in this thread when inputs were left out and the disk takes everything again.
        commits: How long each transaction took, in seconds.
        refusing_since: Since when the disk refuses (of `time.monotonic`), None while it takes everything.
    """

    def __init__(
        self,
        path: Path,
        health: HealthLog,
        ballast: Ballast,
        connect: Callable[[str], Any],
        *,
        sync: str,
        lazy_s: float,
        most_waiting_bytes: int,
    ) -> None:
        """Prepare the thread; `open` begins. The arguments are those of `SqliteJournal`."""
        self.connection: Any = None
        self.on_gap: Callable[[], object] = lambda: None
        self.refusing_since: float | None = None
        self.waiting_bytes = 0
        self.commits = Histogram(LATENCIES_S)
        self.epochs: dict[str, int] = {}
        self._path = path
        self._health = health
        self._ballast = ballast
        self._connect = connect
        self._sync = sync
        self._lazy_s = lazy_s
        self._most_waiting_bytes = most_waiting_bytes
        self._fenced: dict[str, Fenced] = {}
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._urgent = False
        self._oldest_at = 0.0
        self._closing = False
        self._has_gap = False
        self._numbers: dict[str, int] = {}
        self._log_bytes = 0
        self._looked_at = 0.0
        self._file: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    def open(self, partitions: Iterable[str]) -> dict[str, int]:
        """Open the file and take the next epoch of each partition; returns where their inputs stand."""
        self.connection = self._connect(str(self._path))
        try:
            open_for_writing(self.connection, self._path, self._sync)
        except BaseException:
            self.connection.close()
            raise
        self._file = self._identity()
        return {partition: self._own(partition) for partition in partitions}

    def start(self) -> None:
        """Begin to write."""
        if not self._ballast.make() and self._ballast.size:
            self._no_ballast()
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
    def is_alive(self) -> bool:
        """Whether it writes; False before `start`, after `close`, and when something has ended it."""
        return self._thread is not None and self._thread.is_alive()

    def hand_over(self, job: Job) -> None:
        """Take a job; an urgent one is written at once, others within `lazy_s`."""
        with self._changed:
            if self._closing:
                if job.result is not None:
                    job.result.set_exception(LogClosedError(f"{self._path} is closed"))
                return
            if self._leaves_out(job):
                self._health.count("journal.inputs_left_out")
                self._has_gap = True
                return
            if not self._waiting:
                self._oldest_at = time.monotonic()
            self._waiting.append(job)
            self.waiting_bytes += job.size
            if job.is_urgent and not self._urgent:
                self._urgent = True
                self._changed.notify()  # for the others the thread looks by itself: a wake-up for each tick costs the loop more

    def _leaves_out(self, job: Job) -> bool:
        """Return whether a job is an envelope that has no room any more: while the disk refuses, decisions go first."""
        return (
            job.position > 0
            and self.refusing_since is not None
            and self.waiting_bytes > self._most_waiting_bytes / 2
        )

    # ── batches ──────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            while (jobs := self._next_batch()) is not None:
                if jobs:
                    self._write_until_done(jobs)
                    self._log_bytes += _BYTES_PER_COMMIT + sum(job.size for job in jobs)
                    self._checkpoint()
                self._look()
        finally:
            with contextlib.suppress(sqlite.Error):
                self.connection.close()

    def _next_batch(self) -> list[Job] | None:
        """Wait for work, `lazy_s` at most; None when the journal is closed and nothing is left."""
        with self._changed:
            if not self._waiting and not self._closing:
                self._changed.wait(self._lazy_s)
            while self._waiting and not self._urgent and not self._closing:
                wait = self._oldest_at + self._lazy_s - time.monotonic()
                if wait <= 0:
                    break
                self._changed.wait(wait)
            jobs = list(self._waiting)
            self._waiting.clear()
            self._urgent = False
            return jobs or (None if self._closing else [])

    def _write_until_done(self, jobs: list[Job]) -> None:
        """Write a batch; while the disk refuses, wait and try the same batch again."""
        pause, longest = RETRY_S
        while True:
            try:
                outcomes = self._write(jobs)
            except Exception as error:  # whatever it is, nothing may end this thread in silence
                if self._take_ballast(error):
                    continue
                self._trouble(error)
                if self._wait_or_closing(pause):
                    self._give_up(jobs, error)
                    return
                pause = min(pause * 2, longest)
                self._reconnect(error)
                continue
            self.refusing_since = None
            self._health.cleared("journal.disk")
            self._settle(jobs, outcomes)
            if self._has_gap:
                self._has_gap = False
                with contextlib.suppress(
                    RuntimeError
                ):  # the loop was closed; nobody waits any more
                    self.on_gap()
            return

    def _write(self, jobs: list[Job]) -> list[Exception | None]:
        """Write a batch in one transaction; returns for each job None or why it was fenced."""
        cursor = self.connection.cursor()
        outcomes: list[Exception | None] = []
        fenced = dict(self._fenced)
        began = time.perf_counter()
        try:
            cursor.execute("BEGIN IMMEDIATE")
            self._look_who_writes(cursor)
            rows: dict[str, list[tuple[Any, ...]]] = {}
            for job in jobs:
                outcome = self._refusal(job)
                outcomes.append(outcome)
                if outcome is None and job.sql:
                    rows.setdefault(job.sql, []).append(job.row)
                elif outcome is None and job.write is not None:
                    _insert(cursor, rows)
                    job.write(cursor)
            _insert(cursor, rows)
            self._move_on(cursor, jobs, outcomes)
            cursor.execute("COMMIT")
            self.commits.add(time.perf_counter() - began)
        except Exception:
            self._fenced = fenced
            with contextlib.suppress(sqlite.Error):
                if self.connection.in_transaction:
                    cursor.execute("ROLLBACK")
            raise
        return outcomes

    def _settle(self, jobs: list[Job], outcomes: list[Exception | None]) -> None:
        """Give the results to the loops that wait for them, in order, with one wake-up."""
        with self._changed:
            self.waiting_bytes -= sum(job.size for job in jobs)
        done = [
            (job.result, job.number, error)
            for job, error in zip(jobs, outcomes, strict=True)
            if job.result is not None
        ]
        if done:
            loop = done[0][0].get_loop()
            with contextlib.suppress(RuntimeError):  # the loop was closed; nobody waits any more
                loop.call_soon_threadsafe(_resolve, done)
        for job, error in zip(jobs, outcomes, strict=True):
            if job.then is not None and error is None:
                job.then()

    def _give_up(self, jobs: list[Job], error: Exception) -> None:
        closed = LogClosedError(f"{self._path}: closed unwritten: {error}")
        self._settle(jobs, [closed] * len(jobs))

    # ── who writes ───────────────────────────────────────────────────────────────────────────

    def _own(self, partition: str) -> int:
        """Take the next epoch of a partition; returns where its inputs stand."""
        cursor = self.connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        cursor.execute(
            "INSERT INTO partitions (partition, number, epoch, position) VALUES (?, 0, 1, 0)"
            " ON CONFLICT (partition) DO UPDATE SET epoch = epoch + 1 RETURNING epoch, position",
            (partition,),
        )
        self.epochs[partition], position = cursor.fetchone()
        cursor.execute("COMMIT")
        return int(position)

    def _look_who_writes(self, cursor: Any) -> None:
        """Fence the partitions that another writer has taken over, and see where the others stand."""
        for partition, number, epoch in cursor.execute(_STANDINGS).fetchall():
            self._numbers[partition] = number
            ours = self.epochs.get(partition, epoch)
            if epoch != ours and partition not in self._fenced:
                self._fenced[partition] = Fenced(
                    f"{self._path}: this engine writes in epoch {ours}, but the journal stands at decision"
                    f" {number} in epoch {epoch}"
                )

    def _refusal(self, job: Job) -> Fenced | None:
        """Return why a job may not be written; a decision that may be is the last one from here on."""
        fenced = self._fenced.get(job.partition)
        if fenced is not None or job.expect < 0:
            return fenced
        stands = self._numbers.get(job.partition)
        if stands != job.expect:
            self._fenced[job.partition] = fenced = Fenced(
                f"{self._path}: decision {job.number} was to follow {job.expect} in epoch"
                f" {self.epochs[job.partition]}, but the journal stands at {stands}"
            )
            return fenced
        self._numbers[job.partition] = job.number
        return None

    def _move_on(self, cursor: Any, jobs: list[Job], outcomes: list[Exception | None]) -> None:
        """Write where each partition stands now: it must be known when its rows are forgotten too."""
        decided = {
            job.partition
            for job, refused in zip(jobs, outcomes, strict=True)
            if job.expect >= 0 and not refused
        }
        for partition in decided:
            cursor.execute(_ADVANCE, (self._numbers[partition], partition))
        reached = {
            job.partition: job.position
            for job, refused in zip(jobs, outcomes, strict=True)
            if job.position and not refused
        }
        for partition, position in reached.items():
            cursor.execute(_MOVE_ON, (position, partition))

    # ── trouble ──────────────────────────────────────────────────────────────────────────────

    def _trouble(self, error: Exception) -> None:
        if self.refusing_since is None:
            self.refusing_since = time.monotonic()
        self._health.count("journal.refused")
        trouble.cannot_be_written(self._health, self._path, error)

    def _wait_or_closing(self, seconds: float) -> bool:
        with self._changed:
            if not self._closing:
                self._changed.wait_for(lambda: self._closing, seconds)
            return self._closing

    def _reconnect(self, error: Exception) -> None:
        """Open the file anew: after some errors of a disk the old handle is of no use any more."""
        if _is_busy(error) or "full" in str(error):
            return
        with contextlib.suppress(sqlite.Error, OSError):
            if self._identity() != self._file:  # never begin another journal in its place
                return
            connection = self._connect(str(self._path))
            try:
                open_for_writing(connection, self._path, self._sync)
            except BaseException:
                connection.close()
                raise
            old, self.connection = self.connection, connection
            old.close()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _checkpoint(self) -> None:
        """Copy the log into the file, after the answers and not before: it takes some syncs of its own."""
        if self._log_bytes < _CHECKPOINT_BYTES * (4 if self._waiting else 1):
            return
        self._log_bytes = 0
        with contextlib.suppress(sqlite.Error):  # the log grows on, and `_look` tells it
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    # ── the ballast, and a look around ───────────────────────────────────────────────────────

    def _take_ballast(self, error: Exception) -> bool:
        """Give up the ballast when the disk is full; returns whether there was any."""
        is_full = "full" in str(error) or self._ballast.is_tight()
        if not is_full or not self._ballast.spend():
            return False
        self._health.count("journal.ballast_spent")
        self._no_ballast()
        return True

    def _no_ballast(self) -> None:
        try:
            free: int | None = self._ballast.free()
        except OSError:
            free = None
        trouble.no_ballast(self._health, self._path, self._ballast.size, free)

    def _look(self) -> None:
        """Every few seconds: hold space back again, and see that nobody keeps the log from being emptied."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        if self._ballast.size:
            if self._ballast.is_there or self._ballast.make():
                self._health.cleared("journal.ballast")
            else:
                self._no_ballast()
                self._cut_log()
        self._look_at_log()
        self._look_at_file()

    def empty_log(self) -> None:
        """Bring everything into the file and leave nothing in the log; in the writing thread, between two transactions."""
        self._cut_log()

    def _cut_log(self) -> None:
        """Give the disk back what the log holds: it keeps its largest size otherwise."""
        with contextlib.suppress(sqlite.Error):
            self.connection.execute("PRAGMA busy_timeout = 0").fetchall()
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with contextlib.suppress(sqlite.Error):
            self.connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}").fetchall()

    def _look_at_log(self) -> None:
        try:
            size = self._path.with_name(f"{self._path.name}-wal").stat().st_size
        except OSError:
            return
        if size <= WAL_LIMIT:
            self._health.cleared("journal.wal")
            return
        with contextlib.suppress(sqlite.Error):
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        trouble.log_too_large(self._health, self._path, size)

    def _look_at_file(self) -> None:
        if self._identity() == self._file:
            self._health.cleared("journal.gone")
            return
        trouble.file_is_gone(self._health, self._path)


def _insert(cursor: Any, rows: dict[str, list[tuple[Any, ...]]]) -> None:
    """Insert what was gathered, and gather anew.

    Many rows go into one statement: Python's SQLite gives the interpreter away for each, and under load waits half a millisecond for it.
    """
    for sql, of in rows.items():
        at = 0
        while at < len(of):
            count = next(size for size in _TOGETHER if size <= len(of) - at)
            cursor.execute(_several(sql, count), [*chain.from_iterable(of[at : at + count])])
            at += count
    rows.clear()


@cache
def _several(sql: str, count: int) -> str:
    """Return the statement that inserts so many rows instead of one."""
    head, _, row = sql.rpartition(" VALUES ")
    return f"{head} VALUES {', '.join([row] * count)}"


def _is_busy(error: Exception) -> bool:
    return "locked" in str(error) or "busy" in str(error)


def _resolve(done: list[tuple[asyncio.Future[int], int, Exception | None]]) -> None:
    for result, number, error in done:
        if result.done():
            continue
        if error is None:
            result.set_result(number)
        else:
            result.set_exception(error)
