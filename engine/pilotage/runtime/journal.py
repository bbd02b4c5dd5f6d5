"""The journal of one machine: inputs, decisions and rule switches in one SQLite file, durable before anything is sent.

One thread writes. It takes everything that waits in one transaction (one append in flight, what arrives meanwhile goes
into the next) with `synchronous=FULL`, so that an answered append survives a power loss. While the disk refuses, nothing
is answered and so nothing is sent; the thread tries again until it succeeds, and the trouble is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database

from pilotage.model.diagnostics import Severity
from pilotage.ports import (
    ConfigSwitch,
    DecisionRecord,
    Envelope,
    Fenced,
    HealthLog,
    LogClosedError,
    LogUnusableError,
)

try:
    sqlite: Any = importlib.import_module("pysqlite3.dbapi2")
except ImportError:  # pragma: no cover - the packages that we declare bring it
    sqlite = importlib.import_module("sqlite3")

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x70696C6F  # "pilo": `file journal.db` names it
SAFE_SQLITE: Final = (
    3,
    51,
    3,
)  # before it, a WAL that is reset at a bad moment can corrupt the file
LAZY_S: Final = 0.1
MOST_WAITING_BYTES: Final = 32 * 1024 * 1024
MOST_ROWS: Final = 5_000
RETRY_S: Final = (0.2, 5.0)
PAGE: Final = 500
ENVELOPE_VERSION: Final = 1

_INSERT_DECISION: Final = (
    "INSERT INTO decisions (partition, number, time, record) VALUES (?, ?, ?, ?)"
)
_INSERT_INPUT: Final = (
    "INSERT INTO inputs (partition, time, after, version, envelope) VALUES (?, ?, ?, ?, ?)"
)
_INSERT_SWITCH: Final = "INSERT INTO switches (partition, time, digest, detail) VALUES (?, ?, ?, ?)"
# The one row that all writers share: who finds another number or epoch in it has been replaced.
_ADVANCE: Final = (
    "UPDATE partitions SET number = ? WHERE partition = ? AND number = ? AND epoch = ?"
)


@dataclass(slots=True)
class _Job:
    """Something that the writer has to write."""

    write: Callable[[Any], None]
    size: int
    result: asyncio.Future[int] | None = None
    number: int = 0


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
        connect: Callable[[str], Any] | None = None,
    ) -> None:
        """Name a journal; `open` makes or opens the file.

        Args:
            path: The file; its folder is made when it is missing.
            health: Where trouble with the disk is told.
            sync: `full`: an answered append survives a power loss; `normal`: the last moments may be lost then.
            lazy_s: How long inputs without a decision may wait to be written together.
            most_waiting_bytes: `is_full` above so many bytes that the disk did not take yet.
            connect: Opens the writing connection to a file, in autocommit mode; SQLite's own by default. Through
                another one the fault tests see every byte that is written.
        """
        self.path = path
        self._health = health
        self._sync = sync
        self._lazy_s = lazy_s
        self._most_waiting_bytes = most_waiting_bytes
        self._connect = connect or _connect
        self._connection: Any = None
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
            LogUnusableError: The file is of a newer version, is no journal, or cannot be opened.
        """
        try:
            self._connection = _open(self.path, self._sync, self._connect)
            for partition in partitions:
                self._own(partition)
        except (sqlite.Error, OSError) as error:
            raise LogUnusableError(
                f"{self.path}: the journal cannot be opened: {error}\n"
                "   mend: give the engine's user the right to write there, and see that the disk has room"
            ) from error
        check_sqlite(self._health)
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

    def put(self, partition: str, envelope: Envelope) -> None:
        """Keep the inputs of a tick with the next decision, or within `lazy_s`."""
        row = (partition, envelope.now, envelope.after, ENVELOPE_VERSION, envelope.inputs)
        self._hand_over(
            _Job(lambda cursor: cursor.execute(_INSERT_INPUT, row), 100 + len(envelope.inputs))
        )

    def switch(self, partition: str, switch: ConfigSwitch) -> None:
        """Keep that the rules were exchanged."""
        row = (partition, switch.now, switch.digest, switch.detail)
        self._hand_over(_Job(lambda cursor: cursor.execute(_INSERT_SWITCH, row), 100))

    def append(self, partition: str, expect: int, record: DecisionRecord) -> asyncio.Future[int]:
        """Append a decision; the result comes when it is on disk."""
        result: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def write(cursor: Any) -> None:
            self._advance(cursor, partition, expect, record.number)
            row = (partition, record.number, record.now, record.record)
            cursor.execute(_INSERT_DECISION, row)

        self._hand_over(_Job(write, 100 + len(record.record), result, record.number))
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

        self._hand_over(_Job(write, 0))

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
            for job in jobs:
                try:
                    job.write(cursor)
                    outcomes.append(None)
                except Fenced as error:
                    outcomes.append(error)
            cursor.execute("COMMIT")
        except sqlite.Error:
            self._fenced = fenced
            with contextlib.suppress(sqlite.Error):
                if self._connection.in_transaction:
                    cursor.execute("ROLLBACK")
            raise
        return outcomes

    def _advance(self, cursor: Any, partition: str, expect: int, number: int) -> None:
        if partition in self._fenced:
            raise self._fenced[partition]
        cursor.execute(_ADVANCE, (number, partition, expect, self._epochs[partition]))
        if cursor.rowcount != 1:
            cursor.execute("SELECT number, epoch FROM partitions WHERE partition = ?", (partition,))
            found = cursor.fetchone()
            self._fenced[partition] = Fenced(
                f"{self.path}: decision {number} was to follow {expect} in epoch {self._epochs[partition]},"
                f" but the journal stands at {found[0]} in epoch {found[1]}"
            )
            raise self._fenced[partition]

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
            "INSERT INTO partitions (partition, number, epoch) VALUES (?, 0, 1)"
            " ON CONFLICT (partition) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
            (partition,),
        )
        (self._epochs[partition],) = cursor.fetchone()
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

    def inputs(self, partition: str, after: int = 0) -> Iterator[Envelope]:
        """Return envelopes, oldest first, through a connection of their own."""
        return JournalReader(self.path).inputs(partition, after)


class JournalReader:
    """Reads a journal, also while an engine writes it, and never holds a transaction longer than a page."""

    def __init__(self, path: Path) -> None:
        """Name the file; each question opens it for itself, so that any thread may ask.

        Raises:
            LogUnusableError: There is no journal, or it is of a newer version.
        """
        if not path.exists():
            raise LogUnusableError(f"{path}: there is no journal yet; `pilotage run` makes one")
        self._path = path
        with self._connected() as connection:
            _check_version(connection, path)

    def last_number(self, partition: str) -> int:
        """Return the number of the last decision, 0 when there is none."""
        with self._connected() as connection:
            found = connection.execute(
                "SELECT number FROM partitions WHERE partition = ?", (partition,)
            ).fetchone()
        return int(found[0]) if found else 0

    def decisions(
        self,
        partition: str,
        since: float | None = None,
        until: float | None = None,
        after: int = 0,
    ) -> Iterator[DecisionRecord]:
        """Return decisions in order of number."""
        with self._connected() as connection:
            if since is not None:
                after = max(after, _number_before(connection, partition, since))
            while True:
                rows = connection.execute(
                    "SELECT number, time, record FROM decisions WHERE partition = ? AND number > ?"
                    " ORDER BY number LIMIT ?",
                    (partition, after, PAGE),
                ).fetchall()
                for number, time_, record in rows:
                    if until is not None and time_ >= until:
                        return
                    yield DecisionRecord(number, time_, record)
                if len(rows) < PAGE:
                    return
                after = rows[-1][0]

    def inputs(self, partition: str, after: int = 0) -> Iterator[Envelope]:
        """Return the envelopes of the ticks after a decision, oldest first."""
        last = 0
        with self._connected() as connection:
            while True:
                rows = connection.execute(
                    "SELECT id, time, after, version, envelope FROM inputs"
                    " WHERE partition = ? AND id > ? AND after >= ? ORDER BY id LIMIT ?",
                    (partition, last, after, PAGE),
                ).fetchall()
                for _, time_, after_, version, envelope in rows:
                    _known_envelope(version, self._path)
                    yield Envelope(time_, envelope, after_)
                if len(rows) < PAGE:
                    return
                last = rows[-1][0]

    def switches(self, partition: str) -> Iterator[ConfigSwitch]:
        """Return when which rules came into force, oldest first."""
        with self._connected() as connection:
            rows = Database(connection).query(
                "SELECT time, digest, detail FROM switches WHERE partition = ? ORDER BY id",
                (partition,),
            )
            for row in list(rows):
                yield ConfigSwitch(row["time"], row["digest"], row["detail"])

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        connection = sqlite.connect(
            f"{self._path.resolve().as_uri()}?mode=rw", uri=True, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA query_only = ON")
            yield connection
        finally:
            connection.close()


def check_sqlite(health: HealthLog, version: tuple[int, ...] | None = None) -> None:
    """Warn when the SQLite in use has the bug that can corrupt a journal."""
    found = version or tuple(sqlite.sqlite_version_info)
    if found >= SAFE_SQLITE:
        return
    health.raised(
        "journal.sqlite",
        f"SQLite {'.'.join(map(str, found))} is in use; before 3.51.3 a journal can be corrupted"
        " when its log is reset",
        "pip install pysqlite3, which brings its own SQLite, and restart",
        Severity.WARNING,
    )


def _connect(file: str) -> Any:
    """Return a connection that the writing thread may use, without transactions of its own."""
    return sqlite.connect(file, check_same_thread=False, isolation_level=None)


def _open(path: Path, sync: str, connect: Callable[[str], Any]) -> Any:
    """Return the writing connection of a journal, made new when the file is missing."""
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if is_new:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = connect(str(path))
    connection.execute("PRAGMA busy_timeout = 2000")
    _check_version(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if sync == 'full' else 'NORMAL'}")
    _migrate(connection)
    if is_new:
        # The file and its log must be found after a power loss, before the first decision is answered.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _sync_folder(path.parent)
    return connection


def _migrate(connection: Any) -> None:
    """Bring a journal to this version's schema."""
    if connection.execute("PRAGMA user_version").fetchone()[0] >= SCHEMA_VERSION:
        return
    database = Database(connection)
    with database.atomic():
        database.table("partitions").create(
            {"partition": str, "number": int, "epoch": int},
            pk="partition",
            not_null=("number", "epoch"),
            strict=True,
        )
        database.table("decisions").create(
            {"partition": str, "number": int, "time": float, "record": bytes},
            pk=("partition", "number"),
            not_null=("time", "record"),
            strict=True,
        ).create_index(["time"])
        database.table("inputs").create(
            {
                "id": int,
                "partition": str,
                "time": float,
                "after": int,
                "version": int,
                "envelope": bytes,
            },
            pk="id",
            not_null=("partition", "time", "after", "version", "envelope"),
            strict=True,
        ).create_index(["time"])
        database.table("switches").create(
            {"id": int, "partition": str, "time": float, "digest": str, "detail": str},
            pk="id",
            not_null=("partition", "time", "digest", "detail"),
            strict=True,
        ).create_index(["time"])
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _check_version(connection: Any, path: Path) -> None:
    """Refuse what this engine does not understand.

    Raises:
        LogUnusableError: A newer version wrote the file, or it is no journal of ours.
    """
    try:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite.DatabaseError as error:
        raise LogUnusableError(
            f"{path}: this is no journal: {error}\n"
            "   mend: move the file away, or name another one under storage: in config.yaml"
        ) from error
    if found > SCHEMA_VERSION:
        raise LogUnusableError(
            f"{path}: the journal has version {found}, this engine knows versions up to"
            f" {SCHEMA_VERSION}\n   mend: run the version of pilotage that wrote it, or a newer one"
        )
    if tables and owner != APPLICATION_ID:
        raise LogUnusableError(
            f"{path}: this is the database of another program\n"
            "   mend: name another file under storage: in config.yaml"
        )


def _number_before(connection: Any, partition: str, time_: float) -> int:
    """Return the number of the last decision before a time."""
    found = connection.execute(
        "SELECT max(number) FROM decisions WHERE partition = ? AND time < ?", (partition, time_)
    ).fetchone()[0]
    return int(found or 0)


def _known_envelope(version: int, path: Path) -> None:
    if version != ENVELOPE_VERSION:
        raise LogUnusableError(f"{path}: inputs of version {version} are not known to this engine")


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _resolve(done: list[tuple[asyncio.Future[int], int, Exception | None]]) -> None:
    for result, number, error in done:
        if result.done():
            continue
        if error is None:
            result.set_result(number)
        else:
            result.set_exception(error)
