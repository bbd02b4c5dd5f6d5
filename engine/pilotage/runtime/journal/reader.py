"""Reads a journal, also while an engine writes it, and never holds a transaction longer than a page."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pilotage.ports import ConfigSwitch, DecisionRecord, Envelope, LogUnusableError
from pilotage.runtime.journal import archive
from pilotage.runtime.journal.schema import SCHEMA_VERSION, check_version, sqlite

ENVELOPE_VERSION: Final = 1
PAGE: Final = 500
# A reader that does not come to an end keeps the log of the journal from being emptied.
LONGEST_S: Final = 30.0
_LOOK_EVERY: Final = 10_000  # steps of SQLite's machine


class JournalReader:
    """Answers questions about a journal; each opens the file for itself, so that any thread may ask."""

    def __init__(self, path: Path) -> None:
        """Name the file.

        Raises:
            LogUnusableError: There is no journal, or it is of another version.
        """
        if not path.exists():
            raise LogUnusableError(f"{path}: there is no journal yet; `pilotage run` makes one")
        self._path = path
        with self._connected() as connection:
            found = check_version(connection, path)
        if found < SCHEMA_VERSION:
            raise LogUnusableError(
                f"{path}: the journal has version {found}, this pilotage reads version {SCHEMA_VERSION}\n"
                "   mend: start the engine once; it brings the journal to its version and keeps a copy"
            )

    def last_number(self, partition: str) -> int:
        """Return the number of the last decision, 0 when there is none."""
        return self._of_partition(partition, "number")

    def last_position(self, partition: str) -> int:
        """Return the position of the last envelope, 0 when there is none."""
        return self._of_partition(partition, "position")

    def partitions(self) -> list[str]:
        """Return the partitions that wrote to this journal, in order of name."""
        with self._connected() as connection:
            rows = connection.execute("SELECT partition FROM partitions ORDER BY 1").fetchall()
        return [name for (name,) in rows]

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
                rows = _answer(
                    connection,
                    "SELECT number, time, record FROM decisions WHERE partition = ? AND number > ?"
                    " ORDER BY number LIMIT ?",
                    (partition, after, PAGE),
                )
                for number, time_, record in rows:
                    if until is not None and time_ >= until:
                        return
                    yield DecisionRecord(number, time_, record)
                if len(rows) < PAGE:
                    return
                after = rows[-1][0]

    def mentioning(
        self, partition: str, text: str, since: float | None = None, until: float | None = None
    ) -> Iterator[DecisionRecord]:
        """Return the decisions from a time up to another whose record holds a text, in order of number.

        The text is looked for in the record as it is written, so `"point":"seg-1.lights.level"` finds one point alone.

        Raises:
            LogUnusableError: It took too long.
        """
        after = self._before(partition, since)
        while rows := self._mentioning(partition, text, until, f"number > {after}", PAGE):
            yield from rows
            after = rows[-1].number

    def last_mentioning(
        self,
        partition: str,
        text: str,
        since: float | None = None,
        until: float | None = None,
        before: int = 0,
    ) -> Iterator[DecisionRecord]:
        """Return the same, the newest first; with `before` only those of a smaller number.

        Raises:
            LogUnusableError: It took too long.
        """
        first = f"number > {self._before(partition, since)}"
        limit = f"{first} AND number < {before}" if before else first
        while rows := self._mentioning(partition, text, until, limit, 50, " DESC"):
            yield from rows
            limit = f"{first} AND number < {rows[-1].number}"

    def _mentioning(
        self,
        partition: str,
        text: str,
        until: float | None,
        where: str,
        most: int,
        order: str = "",
    ) -> list[DecisionRecord]:
        with self._connected() as connection:
            rows = _answer(
                connection,
                f"SELECT number, time, record FROM decisions WHERE partition = ? AND {where}"
                f" AND time <= ? AND instr(record, ?) ORDER BY number{order} LIMIT ?",
                (partition, float("inf") if until is None else until, text.encode(), most),
            )
        return [DecisionRecord(*row) for row in rows]

    def _before(self, partition: str, since: float | None) -> int:
        """Return the number after which a time begins, so that what is older need not be read."""
        if since is None:
            return 0
        with self._connected() as connection:
            return _number_before(connection, partition, since)

    def oldest(self, partition: str) -> tuple[int, float] | None:
        """Return number and time of the oldest decision that is kept, None when there is none."""
        with self._connected() as connection:
            rows = _answer(
                connection,
                "SELECT number, time FROM decisions WHERE partition = ? ORDER BY number LIMIT 1",
                (partition,),
            )
        return (int(rows[0][0]), float(rows[0][1])) if rows else None

    def inputs(self, partition: str, after_position: int = 0) -> Iterator[Envelope]:
        """Return the envelopes after a position, oldest first."""
        with self._connected() as connection:
            while True:
                rows = _answer(
                    connection,
                    "SELECT position, time, after, version, envelope FROM inputs"
                    " WHERE partition = ? AND position > ? ORDER BY position LIMIT ?",
                    (partition, after_position, PAGE),
                )
                for position, time_, after, version, envelope in rows:
                    _known_envelope(version, self._path)
                    yield Envelope(time_, envelope, after, position)
                if len(rows) < PAGE:
                    return
                after_position = rows[-1][0]

    def switches(self, partition: str) -> Iterator[ConfigSwitch]:
        """Return when which rules came into force, oldest first."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT time, digest, detail, position FROM switches WHERE partition = ? ORDER BY id",
                (partition,),
            ).fetchall()
        for row in rows:
            yield ConfigSwitch(*row)

    def archived(self, digest: str) -> dict[str, bytes] | None:
        """Return the texts of the configuration that a switch names; None when they are not there (any more)."""
        with self._connected() as connection:
            return archive.read(connection, digest)

    def _of_partition(self, partition: str, column: str) -> int:
        with self._connected() as connection:
            found = connection.execute(
                f"SELECT {column} FROM partitions WHERE partition = ?", (partition,)
            ).fetchone()
        return int(found[0]) if found else 0

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


def _number_before(connection: Any, partition: str, time_: float) -> int:
    """Return the number of the last decision before a time."""
    sql = "SELECT max(number) FROM decisions WHERE partition = ? AND time < ?"
    ((found,),) = _answer(connection, sql, (partition, time_))
    return int(found or 0)


def _answer(connection: Any, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
    """Return all rows of a question.

    Raises:
        LogUnusableError: It took too long.
    """
    end = time.monotonic() + LONGEST_S
    connection.set_progress_handler(lambda: time.monotonic() > end, _LOOK_EVERY)
    try:
        return list(connection.execute(sql, parameters).fetchall())
    except sqlite.OperationalError as error:
        if "interrupt" not in str(error):
            raise
        raise LogUnusableError(
            f"a question to the journal took longer than {LONGEST_S:g} s and was given up\n"
            "   mend: ask for less at a time, or when the machine is quieter"
        ) from error


def _known_envelope(version: int, path: Path) -> None:
    if version != ENVELOPE_VERSION:
        raise LogUnusableError(f"{path}: inputs of version {version} are not known to this engine")
