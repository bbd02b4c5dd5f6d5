"""The audit's one writer: follows the journal, takes what does not come from decisions, anchors and forgets.

What comes from decisions is derived from the journal, and the place in it moves in the same transaction as the rows: after a
crash nothing is missing and nothing is twice. Everything happens in a thread of its own; while the disk refuses it tries
again and says so, and no tick waits for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from pilotage.model.diagnostics import Severity
from pilotage.model.messages import Decision
from pilotage.ports import Clock, HealthLog, LogClosedError, LogUnusableError
from pilotage.runtime.audit.anchors import (
    FOLDER,
    Anchor,
    bring_up_to_date,
    cut_torn_line,
    read_anchors,
    write_anchor,
)
from pilotage.runtime.audit.entries import Entry, as_json, from_json, spans
from pilotage.runtime.audit.follower import Follower, digest_of
from pilotage.runtime.audit.store import Book
from pilotage.runtime.journal import JournalReader, sqlite

LAZY_S: Final = 0.25
"""How long a decision may wait to be taken up; it is in the journal already."""
RETRY_S: Final = (0.2, 5.0)
REST_S: Final = 0.0005
OTHER_S: Final = 10.0
"""How long another process that writes to the file may take to end: the one of an engine that was killed."""
ANCHOR_EVERY_S: Final = 3_600.0
FIRST_ANCHOR_S: Final = 60.0
"""After a start: what a life before had left without an anchor must not wait for long."""
ANCHOR_EVERY_ROWS: Final = 50_000
MOST_WAITING: Final = 10_000
"""Rows that may wait for a disk that refuses; more are refused themselves."""

_DISK: Final = "audit.disk"
_ANCHOR: Final = "audit.anchor"
_COPY: Final = "audit.anchor_folder"


class Ticket(NamedTuple):
    """What is asked again under the same number in the same life of the engine, since its answer was lost, is done once."""

    life: str
    number: int


@dataclass(slots=True)
class _Job:
    write: Callable[[Book], Any]
    result: Future[Any]
    ticket: Ticket | None = None


class AuditLog:
    """The audit of all partitions of this process; every method may be called from any thread.

    Attributes:
        reached: The last decision of each partition that was taken up.
        on_reached: Told of it, in the writing thread.
    """

    def __init__(
        self,
        path: Path,
        journal: Path,
        clock: Clock,
        health: HealthLog,
        *,
        anchor_folder: Path | None = None,
        lazy_s: float = LAZY_S,
        rest_s: float = REST_S,
    ) -> None:
        """Name an audit; `open` makes or opens the file.

        Args:
            path: The file; the folder `anchors` stands beside it.
            journal: The journal that it follows.
            clock: The engine's time.
            health: Where trouble is told.
            anchor_folder: A second folder for anchors, on another machine if possible.
            lazy_s: How long decisions may wait to be taken up together.
            rest_s: How long it lets the loop of this process have the interpreter between some decisions.
        """
        self.path = path
        self.reached: Mapping[str, int] = {}
        self.on_reached: Callable[[Mapping[str, int]], object] = lambda numbers: None
        self._journal = journal
        self._clock = clock
        self._health = health
        self._folder = path.parent / FOLDER
        self._copy = anchor_folder
        self._lazy_s = lazy_s
        self._rest_s = rest_s
        self._lock = -1
        self._partitions: tuple[str, ...] = ()
        self._book: Book | None = None
        self._follower: Follower | None = None
        self._changed = threading.Condition()
        self._jobs: list[_Job] = []
        self._asked: list[_Job] = []
        self._behind = False
        self._closing = False
        self._thread: threading.Thread | None = None
        self._anchor_at = 0.0

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    def prepare(self) -> None:
        """Do nothing: a thread needs no preparation."""

    def open(self, *partitions: str) -> None:
        """Open the file, look whether its chains stand where they say, and start the writing thread.

        Raises:
            LogUnusableError: The file is of a newer version, is no audit, cannot be opened, or another process writes to it.
        """
        self._partitions = partitions
        self._book = Book(self.path)
        try:
            self._lock = _sole_writer(self.path)
        except BaseException:
            self._book.close()
            raise
        self._follower = Follower(self._book, JournalReader(self._journal))
        try:
            cut_torn_line(self._folder)
            with self._book.writing():
                for partition in partitions:
                    self._begin(partition)
        except (sqlite.Error, OSError) as error:
            self._book.close()
            self._unlock()
            raise LogUnusableError(
                f"{self.path}: the audit cannot be written: {error}\n"
                "   mend: give the engine's user the right to write there, and see that the disk has room"
            ) from error
        self._anchor_at = time.monotonic() + FIRST_ANCHOR_S
        self._thread = threading.Thread(target=self._run, name="pilotage-audit", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether its thread writes."""
        return self._thread is not None and self._thread.is_alive()

    def catch_up(self) -> None:
        """Take up every decision that the journal holds; blocks until it is on disk."""
        self.caught_up().result()

    def caught_up(self) -> Future[None]:
        """Take up every decision that the journal holds; the result comes when it is on disk."""
        done: Future[None] = Future()

        def go_on(page: Future[bool]) -> None:
            if (error := page.exception()) is not None:
                done.set_exception(error)
            elif page.result():
                self._submit(self._follow).add_done_callback(go_on)
            else:
                done.set_result(None)

        self._submit(self._follow).add_done_callback(go_on)
        return done

    def how_it_ended(self) -> Future[str]:
        """Return how the life before ended: `stopped`, `cut off`, or nothing when there was none."""
        return self._submit(lambda book: last_stop(book, self._partitions[0]))

    def close(self, last: tuple[Entry, Mapping[str, str]] | None = None) -> None:
        """Take up what was decided, write a last row and an anchor, if the disk takes them, and close the file."""
        if self._thread is None:
            return
        if last is not None:
            self.note(*last)
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._thread = None

    # ── what comes in ────────────────────────────────────────────────────────────────────────

    def committed(self, decision: Decision) -> None:
        """Hear that a decision is in the journal; it is taken up soon."""
        if self._behind:
            return
        with self._changed:
            self._behind = True
            self._changed.notify()

    def note(self, entry: Entry, private: Mapping[str, str] | None = None) -> None:
        """Write a row as soon as the disk takes it; returns at once."""
        self.record(entry, private)

    def record(
        self,
        entry: Entry,
        private: Mapping[str, str] | None = None,
        ticket: Ticket | None = None,
    ) -> Future[int]:
        """Write a row; the result, its number, comes when it is on disk."""
        told = dict(private or {})
        return self._submit(lambda book: book.append(self._partitions[0], entry, told), ticket)

    def rules(
        self,
        digest: str,
        identities: Mapping[str, str],
        entry: Entry,
        private: Mapping[str, str] | None = None,
        ticket: Ticket | None = None,
    ) -> Future[int]:
        """Write that a rule set comes into force and what each rule in it means; before the first decision under it."""
        known, told = dict(identities), dict(private or {})

        def write(book: Book) -> int:
            assert self._follower is not None
            changes: dict[str, list[str]] = {}
            for partition in self._partitions:
                changes = self._follower.learn(partition, digest, known)
            detail = {
                **(from_json(entry.detail) or {}),
                **({"rules changed": changes} if changes else {}),
                "meanings": digest_of(known),
            }
            full = entry._replace(subject=digest, detail=as_json(detail))
            return book.append(self._partitions[0], full, told)

        return self._submit(write, ticket)

    def erase(
        self, person: str, private: Mapping[str, str], origin: str, ticket: Ticket | None = None
    ) -> Future[int]:
        """Erase what is told of a person in every chain; the result is the number of rows that named it."""
        people = dict(private)
        return self._submit(
            lambda book: _erase(book, person, people, origin, self._clock.now()), ticket
        )

    def forget(self, before: float, ticket: Ticket | None = None) -> Future[int]:
        """Seal and delete the rows before a time, up to the last anchor in it; the result is how many went."""
        return self._submit(
            lambda book: sum(self._forget(book, p, before) for p in self._partitions), ticket
        )

    def anchor(self) -> Future[int]:
        """Write an anchor now; the result comes when it is there."""
        job = _Job(lambda book: 0, Future())
        with self._changed:
            self._asked.append(job)
            self._changed.notify()
        return job.result

    def _submit(self, write: Callable[[Book], Any], ticket: Ticket | None = None) -> Future[Any]:
        job = _Job(write, Future(), ticket)
        with self._changed:
            if self._closing:
                job.result.set_exception(LogClosedError(f"{self.path} is closed"))
                return job.result
            if len(self._jobs) >= MOST_WAITING:
                self._health.count("audit.dropped")
                job.result.set_exception(
                    LogClosedError(f"{self.path}: too much waits for the disk")
                )
                return job.result
            self._jobs.append(job)
            self._changed.notify()
        return job.result

    # ── the writing thread ───────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        assert self._book is not None
        try:
            while True:
                jobs, last = self._next()
                self._write_until_done(jobs)
                # In a transaction of its own: an anchor must not name rows that are not on disk.
                if last or self._is_anchor_due():
                    asked, self._asked = self._asked, []
                    self._write_until_done([_Job(self._anchor, Future()), *asked])
                if last:
                    return
        finally:
            self._book.close()
            self._unlock()

    def _unlock(self) -> None:
        """Let another process write; after the file is closed, whose own locks would go with this handle."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _next(self) -> tuple[list[_Job], bool]:
        """Wait for work; returns it, and whether it is the last."""
        with self._changed:
            if not self._jobs and not self._behind and not self._closing and not self._asked:
                self._changed.wait(max(0.01, self._anchor_at - time.monotonic()))
            if self._behind and not self._jobs and not self._closing:
                self._changed.wait_for(lambda: self._jobs or self._closing, self._lazy_s)
            jobs, self._jobs = self._jobs, []
            last = self._closing
            if last:
                jobs.insert(0, _Job(self._follow_to_the_end, Future()))
            elif self._behind:
                jobs.insert(0, _Job(self._follow, Future()))
            self._behind = False
            return jobs, last

    def _write_until_done(self, jobs: list[_Job]) -> None:
        """Do some jobs in one transaction; while the disk refuses, wait and try the same again."""
        pause, longest = RETRY_S
        while jobs:
            try:
                outcomes = self._write(jobs)
            except (sqlite.Error, OSError, LogUnusableError) as error:
                self._trouble(error)
                if self._wait_or_closing(pause):
                    refused = LogClosedError(f"{self.path}: closed unwritten: {error}")
                    outcomes = [(None, refused)] * len(jobs)
                else:
                    pause = min(pause * 2, longest)
                    continue
            else:
                self._health.cleared(_DISK)
                self._note_reached()
            for job, (value, failure) in zip(jobs, outcomes, strict=True):
                if failure is None:
                    job.result.set_result(value)
                else:
                    job.result.set_exception(failure)
            return

    def _write(self, jobs: list[_Job]) -> list[tuple[Any, Exception | None]]:
        assert self._book is not None
        outcomes: list[tuple[Any, Exception | None]] = []
        with self._book.writing():
            for job in jobs:
                try:
                    with self._book.attempt():
                        outcomes.append((self._do(self._book, job), None))
                except (sqlite.Error, OSError, LogUnusableError):
                    raise
                except Exception as error:  # a row that cannot be written must not hold the others
                    self._health.count("audit.failed")
                    self._health.remark("audit.failed", f"a row of the audit failed: {error!r}")
                    outcomes.append((None, error))
        return outcomes

    def _do(self, book: Book, job: _Job) -> Any:
        """Do a job; one whose answer was lost is not done twice, and its answer is 0."""
        if job.ticket is None:
            return job.write(book)
        last = book.recall(self._partitions[0], "ticket", "") or ["", 0]
        if last[0] == job.ticket.life and job.ticket.number <= last[1]:
            return 0
        book.remember(self._partitions[0], "ticket", "", list(job.ticket))
        return job.write(book)

    def _follow(self, book: Book) -> bool:
        """Take up a page of decisions of each partition; True when there may be more, for the next transaction."""
        assert self._follower is not None
        more = [self._follower.follow(partition, self._rest) for partition in self._partitions]
        if any(more):
            with self._changed:
                self._behind = True
        return any(more)

    def _note_reached(self) -> None:
        assert self._book is not None
        self.reached = {p: self._book.head(p).decision for p in self._partitions}
        self.on_reached(self.reached)

    def _rest(self) -> None:
        """Let the loop have the interpreter; it would wait each time anew for a thread that goes on and on."""
        if self._rest_s:
            time.sleep(self._rest_s)

    def _follow_to_the_end(self, book: Book) -> int:
        assert self._follower is not None
        for partition in self._partitions:
            while self._follower.follow(partition):
                pass
        return 0

    def _trouble(self, error: Exception) -> None:
        self._health.count("audit.refused")
        self._health.raised(
            _DISK,
            f"{self.path} cannot be written: {error}; decisions wait in the journal, logins and rule changes are held back",
            "free space on the disk, or give the file back its rights; the audit catches up by itself",
        )

    def _wait_or_closing(self, seconds: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)
            return self._closing

    # ── chains ───────────────────────────────────────────────────────────────────────────────

    def _begin(self, partition: str) -> None:
        """Look whether a chain stands where it says; a new one begins with a row."""
        assert self._book is not None and self._follower is not None
        now = self._clock.now()
        trouble = self._book.broken(partition)
        head = self._book.head(partition)
        if head.number == 0:
            after = self._follower.last_number(partition)
            self._book.move(head._replace(decision=after))
            detail = as_json({"after": after})
            self._book.append(partition, Entry(now, "audit", "begun", partition, detail=detail))
        if trouble:
            detail = as_json({"why": trouble})
            self._book.append(partition, Entry(now, "audit", "broken", partition, detail=detail))
            self._health.raised(
                "audit.chain",
                f"{self.path}: the chain of {partition} is broken at its end: {trouble}; rows are added after it",
                "run `pilotage audit verify`, keep a copy of the file, and find out who changed it",
            )

    def scrub(self) -> Future[None]:
        """Take what was deleted out of the log beside the file; after `erase` or `forget`."""
        done: Future[None] = Future()

        def later(_: Future[Any]) -> None:
            with contextlib.suppress(sqlite.Error):
                assert self._book is not None
                self._book.scrub()
            done.set_result(None)

        # A checkpoint needs to stand outside a transaction: results are given after the commit, in the writing thread.
        self._submit(lambda book: 0).add_done_callback(later)
        return done

    def _forget(self, book: Book, partition: str, before: float) -> int:
        row = book.last_anchored_before(partition, before)
        head = book.head(partition)
        if row is None or row.number < head.first:
            return 0
        gone = row.number - head.first + 1
        detail = {"first": head.first, "last": row.number, "hash": row.hash.hex(), "before": before}
        book.drop_until(partition, row.number)
        book.move(head._replace(first=row.number + 1, before=row.hash))
        entry = Entry(self._clock.now(), "audit", "sealed", partition, detail=as_json(detail))
        book.append(partition, entry)
        return gone

    # ── anchors ──────────────────────────────────────────────────────────────────────────────

    def _is_anchor_due(self) -> bool:
        assert self._book is not None
        if self._asked or time.monotonic() >= self._anchor_at:
            return True
        heads = [self._book.head(partition) for partition in self._partitions]
        return any(head.number - head.anchored > ANCHOR_EVERY_ROWS for head in heads)

    def _anchor(self, book: Book) -> int:
        """Anchor each chain that has grown; the file first, so that the chain never names an anchor that is not there."""
        self._anchor_at = time.monotonic() + ANCHOR_EVERY_S
        written = 0
        for partition in self._partitions:
            head = book.head(partition)
            if head.number <= head.anchored + 1:  # nothing but the row of the last anchor
                continue
            now = self._clock.now()
            pending = self._pending(book, partition, head.anchored)
            anchor = pending or Anchor(now, partition, head.anchored + 1, head.number, head.hash)
            try:
                if pending is None:
                    write_anchor(self._folder, anchor)
            except OSError as error:
                self._anchor_at = time.monotonic() + FIRST_ANCHOR_S
                self._health.raised(
                    _ANCHOR,
                    f"{self._folder}: an anchor of the audit cannot be written: {error}",
                    "give the engine's user the right to write there, and see that the disk has room",
                )
                return written
            self._health.cleared(_ANCHOR)
            detail = {"last": anchor.last, "file": anchor.file, "digest": anchor.digest}
            book.move(book.head(partition)._replace(anchored=anchor.last))
            entry = Entry(now, "audit", "anchored", partition, detail=as_json(detail))
            book.append(partition, entry)
            written += 1
        self._copy_anchors()
        return written

    def _pending(self, book: Book, partition: str, anchored: int) -> Anchor | None:
        """Return an anchor whose line is in its file while the chain does not name it: the disk refused in between."""
        last = None
        for line in read_anchors(self._folder):
            if line.anchor is not None and line.anchor.partition == partition:
                last = line.anchor
        if last is None or last.last <= anchored:
            return None
        return last if book.hash_at(partition, last.last) == last.hash else None

    def _copy_anchors(self) -> None:
        if self._copy is None:
            return
        try:
            strange = bring_up_to_date(self._folder, self._copy)
        except OSError as error:
            self._health.raised(
                _COPY,
                f"{self._copy}: anchors cannot be copied there: {error}; they are copied when it is back",
                "mount the folder, or give the engine's user the right to write there",
                Severity.WARNING,
            )
            return
        if strange:
            self._health.raised(
                _COPY,
                f"{self._copy} holds other anchors than {self._folder}: {', '.join(strange)}",
                "run `pilotage audit verify`: one of the two was changed",
            )
        else:
            self._health.cleared(_COPY)


def _sole_writer(path: Path) -> int:
    """Return a handle that keeps every other writer away, from this process or another, until it is closed.

    Raises:
        LogUnusableError: Another writer does not go.
    """
    handle = os.open(path, os.O_RDWR)
    end = time.monotonic() + OTHER_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except OSError as error:
            if time.monotonic() > end:
                os.close(handle)
                raise LogUnusableError(
                    f"{path}: another process writes to this audit, and did not end within {OTHER_S:g} s: {error}\n"
                    "   mend: `fuser -v` names it; end it, then start the engine again"
                ) from error
        time.sleep(0.02)


def erase_alone(path: Path, person: str, people: Mapping[str, str]) -> int:
    """Erase what is told of a person while no engine runs; the caller owns the storage.

    Raises:
        LogUnusableError: The file is of a newer version, is no audit, or cannot be opened.
    """
    book = Book(path)
    try:
        with book.writing():
            named = _erase(book, person, people, "cli", time.time())
        book.scrub()
        return named
    finally:
        book.close()


def _erase(book: Book, person: str, people: Mapping[str, str], origin: str, now: float) -> int:
    named = 0
    for partition in book.partitions():
        erased = book.erase(partition, person)
        if not erased:
            continue
        numbers = {number for rows in erased.values() for number in rows}
        named += len(numbers)
        fields = {name: spans(rows) for name, rows in sorted(erased.items())}
        detail = as_json({"rows": len(numbers), "fields": fields})
        entry = Entry(now, "audit", "erased", partition, origin=origin, detail=detail)
        book.append(partition, entry, {k: v for k, v in people.items() if v != person})
    return named


def last_stop(book: Book, partition: str) -> str:
    """Return how the last life ended as its rows tell: `stopped`, `cut off`, or nothing for the first."""
    started, stopped = book.last(partition, "started"), book.last(partition, "stopped")
    if started is None:
        return ""
    return "stopped" if stopped is not None and stopped.number > started.number else "cut off"
