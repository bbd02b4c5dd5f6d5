"""Reads a journal, also while an engine writes it, and never holds a transaction longer than a page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pilotage.ports import ConfigSwitch, DecisionRecord, Envelope, LogUnusableError
from pilotage.runtime.journal import archive
from pilotage.runtime.journal.schema import SCHEMA_VERSION, check_version, sqlite

ENVELOPE_VERSION: Final = 1
PAGE: Final = 500


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

    def inputs(self, partition: str, after_position: int = 0) -> Iterator[Envelope]:
        """Return the envelopes after a position, oldest first."""
        with self._connected() as connection:
            while True:
                rows = connection.execute(
                    "SELECT position, time, after, version, envelope FROM inputs"
                    " WHERE partition = ? AND position > ? ORDER BY position LIMIT ?",
                    (partition, after_position, PAGE),
                ).fetchall()
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
    found = connection.execute(
        "SELECT max(number) FROM decisions WHERE partition = ? AND time < ?", (partition, time_)
    ).fetchone()[0]
    return int(found or 0)


def _known_envelope(version: int, path: Path) -> None:
    if version != ENVELOPE_VERSION:
        raise LogUnusableError(f"{path}: inputs of version {version} are not known to this engine")
