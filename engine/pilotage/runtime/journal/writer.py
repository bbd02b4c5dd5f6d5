"""The journal as the engine sees it: hands over what happened and what was decided; a thread writes it.

Everything that waits goes into one transaction with `synchronous=FULL`, so that an answered append survives a power
loss. While the disk refuses, nothing is answered; the thread tries again until it succeeds, and the trouble is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pilotage.ports import (
    ConfigSwitch,
    DecisionRecord,
    Envelope,
    HealthLog,
    LogUnusableError,
)
from pilotage.runtime.ballast import Ballast
from pilotage.runtime.histogram import Histogram
from pilotage.runtime.journal import archive, trouble
from pilotage.runtime.journal.reader import ENVELOPE_VERSION, JournalReader
from pilotage.runtime.journal.retention import Forgotten, Keep, forget_step
from pilotage.runtime.journal.schema import check_sqlite, connect, make_file, sqlite
from pilotage.runtime.journal.thread import Job, WritingThread

LAZY_S: Final = 0.1
MOST_WAITING_BYTES: Final = 32 * 1024 * 1024
BALLAST_FILE: Final = "ballast"

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
        most_bytes: int | None = None,
        ballast_bytes: int = 0,
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
            most_bytes: `forget` makes the file no larger than this; None for no limit.
            ballast_bytes: Space that is held back on the disk and given to the journal when it is full.
            allow_old_sqlite: Use an SQLite that can corrupt a journal, and tell it in health, rather than refuse it.
            connect: Opens the writing connection to a file, in autocommit mode; SQLite's own by default. Through
                another one the fault tests see every byte that is written.
        """
        self.path = path
        self._health = health
        self._most_waiting_bytes = most_waiting_bytes
        self._most_bytes = most_bytes
        self._allow_old_sqlite = allow_old_sqlite
        self._positions: dict[str, int] = {}
        self._needed_after: dict[str, int] = {}
        self._is_forgetting = False
        self._ballast = Ballast(path.with_name(BALLAST_FILE), ballast_bytes)
        self._thread = WritingThread(
            path,
            health,
            self._ballast,
            connect,
            sync=sync,
            lazy_s=lazy_s,
            most_waiting_bytes=most_waiting_bytes,
        )

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
            self._positions = self._open(partitions)
        except (sqlite.Error, OSError) as error:
            raise LogUnusableError(
                f"{self.path}: the journal cannot be opened: {error}\n"
                "   mend: give the engine's user the right to write there, and see that the disk has room"
            ) from error
        self._thread.start()

    def _open(self, partitions: tuple[str, ...]) -> dict[str, int]:
        """Open the file; on a full disk, on what was held back for it."""
        try:
            return self._thread.open(partitions)
        except sqlite.Error:
            if not self._ballast.is_tight() or not self._ballast.spend():
                raise
            return self._thread.open(partitions)

    def close(self) -> None:
        """Write what waits, if the disk takes it, and close the file; blocks for some milliseconds."""
        self._thread.close()

    @property
    def is_full(self) -> bool:
        """True when so much waits for the disk that the engine should not decide more."""
        return self._thread.waiting_bytes > self._most_waiting_bytes

    @property
    def is_alive(self) -> bool:
        """Whether its thread writes."""
        return self._thread.is_alive

    @property
    def waiting_bytes(self) -> int:
        """How much waits for the disk."""
        return self._thread.waiting_bytes

    @property
    def commits(self) -> Histogram:
        """How long each transaction took, in seconds."""
        return self._thread.commits

    @property
    def refusing_since(self) -> float | None:
        """Since when the disk refuses (of `time.monotonic`), None while it takes everything."""
        return self._thread.refusing_since

    def call_on_gap(self, told: Callable[[], object]) -> None:
        """Have `told` called in the writing thread when inputs were left out and the disk takes everything again.

        What came before the gap cannot be replayed across it: a snapshot is due.
        """
        self._thread.on_gap = told

    @property
    def _connection(self) -> Any:
        return self._thread.connection

    def epoch(self, partition: str) -> int:
        """Return the epoch of this process's ownership: higher than all before it."""
        return self._thread.epochs[partition]

    # ── writing, from the event loop ─────────────────────────────────────────────────────────

    def put(self, partition: str, envelope: Envelope) -> int:
        """Keep the inputs of a tick with the next decision, or within `lazy_s`; returns their position."""
        position = self._positions[partition] = self._positions[partition] + 1
        data, now, after = envelope.inputs, envelope.now, envelope.after
        row = (partition, position, now, after, ENVELOPE_VERSION, data)
        self._thread.hand_over(
            Job(
                _INSERT_INPUT,
                row,
                partition=partition,
                size=100 + len(data),
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
        self._thread.hand_over(Job(_INSERT_SWITCH, row, partition=partition, size=100))

    def append(
        self, partition: str, expect: int, record: DecisionRecord, *, soon: bool = True
    ) -> asyncio.Future[int]:
        """Append a decision; the result comes when it is on disk, at once or (not `soon`) within `lazy_s`."""
        result: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        self._thread.hand_over(
            Job(
                _INSERT_DECISION,
                (partition, record.number, record.now, record.record),
                expect=expect,
                partition=partition,
                size=100 + len(record.record),
                result=result,
                number=record.number,
                is_urgent=soon,
            )
        )
        return result

    def flushed(self, partition: str) -> asyncio.Future[int]:
        """Have everything that was put so far written; the result is the last position, once it is on disk."""
        result: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        number = self._positions[partition]
        job = Job(partition=partition, result=result, number=number, is_urgent=True)
        self._thread.hand_over(job)
        return result

    # ── what may be called from any thread ───────────────────────────────────────────────────

    def archive(self, digest: str, files: Mapping[str, bytes], now: float) -> None:
        """Keep the texts of rules and inventory under the digest by which a switch names them.

        Compresses first, some 30 ms for a megabyte: call it from a thread where that would hold the event loop. Texts
        that are there already are not written again.

        Args:
            digest: As in `ConfigSwitch.digest`.
            files: The texts by their names.
            now: Seconds since 1970.
        """
        packed = archive.pack(digest, files, now)
        self._thread.hand_over(
            Job(write=lambda cursor: archive.write(cursor, packed), size=packed.size)
        )

    def needed_after(self, partition: str, position: int) -> None:
        """Never forget an envelope after this position: the oldest snapshot that is kept needs them."""
        self._needed_after[partition] = position

    def forget(
        self, inputs_before: float, decisions_before: float, gone: Callable[[], None] | None = None
    ) -> bool:
        """Delete what is older than these times, and the oldest when the file is too large, a little at a time.

        Args:
            inputs_before: Readings and orders, seconds since 1970.
            decisions_before: Decisions, in the same way.
            gone: Called in the writing thread when nothing of it is left, in the log neither.

        Returns:
            False when the sweep before still goes on; what is due now is due at the next one too.
        """
        if self._is_forgetting:
            return False
        self._is_forgetting = True
        needed = dict(self._needed_after)
        keep = Keep(inputs_before, decisions_before, self._most_bytes, needed)
        self._forget_on(keep, False, gone)
        return True

    def _forget_on(self, keep: Keep, pressed: bool, gone: Callable[[], None] | None) -> None:
        """Do a step, and after it the next; `pressed` when the size made one of them necessary."""
        done: list[Forgotten] = []

        def write(cursor: Any) -> None:
            done.append(forget_step(cursor, keep))

        def then() -> None:
            step = done[-1]
            if step.for_size:
                trouble.size_reached(self._health, self.path, keep.most_bytes or 0, step.oldest)
            elif not step.left and not pressed:
                self._health.cleared("journal.size")
            self._is_forgetting = step.left
            if step.left:
                self._forget_on(keep, pressed or step.for_size, gone)
            elif gone is not None:
                # What was deleted is overwritten in the file, and stands in the log until that is emptied.
                self._thread.empty_log()
                gone()

        self._thread.hand_over(Job(write=write, then=then))

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def last_number(self, partition: str) -> int:
        """Return the number of the last decision on disk."""
        return JournalReader(self.path).last_number(partition)

    def last_position(self, partition: str) -> int:
        """Return the position of the last envelope on disk."""
        return JournalReader(self.path).last_position(partition)

    def archived(self, digest: str) -> dict[str, bytes] | None:
        """Return the texts of rules that were in force, None when they are not kept."""
        return JournalReader(self.path).archived(digest)

    def switches(self, partition: str) -> Iterator[ConfigSwitch]:
        """Return when which rules came into force, oldest first."""
        return JournalReader(self.path).switches(partition)

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
