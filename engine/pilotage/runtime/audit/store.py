"""The file of the audit: its tables, and what one transaction may do in it.

One connection writes (`Book`, in the thread of `log`); readers open their own. Only rows are added: what people may have
erased stands in a table of its own, and old rows go as a whole, up to an anchor, when a row says so.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from pilotage.ports import LogUnusableError
from pilotage.runtime.audit.entries import (
    EMPTY,
    SALT_BYTES,
    Entry,
    Row,
    as_json,
    canonical,
    chained,
    from_json,
    salted,
    told,
)
from pilotage.runtime.journal import sqlite
from pilotage.runtime.journal.schema import SMALL_WAL_LIMIT

AUDIT_FILE: Final = "audit.db"
SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x70696C61  # "pila"

_SCHEMA: Final = """
CREATE TABLE entries (
    partition TEXT NOT NULL, number INTEGER NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, rule TEXT NOT NULL, identity TEXT NOT NULL, decision INTEGER NOT NULL, origin TEXT NOT NULL,
    value TEXT NOT NULL, detail TEXT NOT NULL, private TEXT NOT NULL, hash BLOB NOT NULL,
    PRIMARY KEY (partition, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_time ON entries (time);
CREATE INDEX entries_subject ON entries (subject);
CREATE INDEX entries_rule ON entries (rule) WHERE rule != '';
CREATE TABLE persons (
    partition TEXT NOT NULL, number INTEGER NOT NULL, field TEXT NOT NULL, salt BLOB NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (partition, number, field)
) STRICT, WITHOUT ROWID;
CREATE INDEX persons_value ON persons (value);
CREATE TABLE heads (
    partition TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL, hash BLOB NOT NULL, first INTEGER NOT NULL,
    before BLOB NOT NULL, decision INTEGER NOT NULL, anchored INTEGER NOT NULL, seal BLOB NOT NULL
) STRICT;
CREATE TABLE memory (
    partition TEXT NOT NULL, topic TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, seal BLOB NOT NULL,
    PRIMARY KEY (partition, topic, name)
) STRICT, WITHOUT ROWID;
"""
ENTRY_COLUMNS: Final = (
    "time, kind, action, subject, rule, identity, decision, origin, value, detail"
)
COLUMNS: Final = f"partition, number, {ENTRY_COLUMNS}, private, hash"
_INSERT: Final = f"INSERT INTO entries ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"


_Key = tuple[str, str, str]
"""Partition, topic and name of what is remembered."""


class Head(NamedTuple):
    """Where a chain stands.

    Attributes:
        number, hash: Of its last row.
        first, before: Number of the first row that is kept, and the hash of the one before it.
        decision: The last decision of the journal that was taken up.
        anchored: The last row that an anchor covers.
    """

    partition: str
    number: int = 0
    hash: bytes = EMPTY
    first: int = 1
    before: bytes = EMPTY
    decision: int = 0
    anchored: int = 0

    @property
    def seal(self) -> bytes:
        """A checksum over the others, so that an edited head is seen."""
        return sha256(
            canonical(
                self.partition,
                self.number,
                (self.first, self.before.hex(), self.decision, self.anchored),
                self.hash.hex(),
            )
        ).digest()


def seal_of(partition: str, topic: str, name: str, value: str) -> bytes:
    """Return the checksum of a thing that is remembered."""
    return sha256(canonical(partition, 0, (topic, name, value), "")).digest()


def row_of(found: tuple[Any, ...]) -> Row:
    """Return a row of `COLUMNS`."""
    return Row(found[0], found[1], Entry(*found[2:12]), found[12], found[13])


class Book:
    """The writing end; every method belongs to one transaction at a time, begun by `writing`."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            LogUnusableError: It is of a newer version, is no audit, or cannot be opened.
        """
        self.path = path
        self._heads: dict[str, Head] = {}
        self._kept: dict[_Key, Any] = {}
        try:
            self._connection = _open(path)
        except (sqlite.Error, OSError) as error:
            raise LogUnusableError(
                f"{path}: the audit cannot be opened: {error}\n"
                "   mend: give the engine's user the right to write there, and see that the disk has room"
            ) from error

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite.Error):
            self._connection.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Do everything inside in one transaction, durable at its end; nothing of it on an error."""
        connection = self._connection
        heads = dict(self._heads)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            self._save()
            connection.execute("COMMIT")
        except BaseException:
            self._heads = heads
            self._kept.clear()
            with contextlib.suppress(sqlite.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Do everything inside, or nothing of it on an error; the transaction goes on either way."""
        heads, kept = dict(self._heads), dict(self._kept)
        self._connection.execute("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            self._heads, self._kept = heads, kept
            with contextlib.suppress(sqlite.Error):
                self._connection.execute("ROLLBACK TO attempt")
            raise
        finally:
            with contextlib.suppress(sqlite.Error):
                self._connection.execute("RELEASE attempt")

    # ── the chain ────────────────────────────────────────────────────────────────────────────

    def head(self, partition: str) -> Head:
        """Return where a chain stands; a new one stands at nothing."""
        found = self._heads.get(partition)
        if found is None:
            found = self._heads[partition] = read_head(self._connection, partition)
        return found

    def partitions(self) -> list[str]:
        """Return the chains of this file."""
        rows = self._connection.execute("SELECT partition FROM heads ORDER BY partition").fetchall()
        return [name for (name,) in rows]

    def append(self, partition: str, entry: Entry, private: Mapping[str, str] = {}) -> int:
        """Add a row and return its number; what names people goes to its own table."""
        head = self.head(partition)
        number = head.number + 1
        entry = entry._replace(time=float(entry.time))  # as the file gives it back
        digests = self._keep_persons(partition, number, told(private))
        hash_ = chained(head.hash, canonical(partition, number, entry, digests))
        self._connection.execute(_INSERT, (partition, number, *entry, digests, hash_))
        self.move(head._replace(number=number, hash=hash_))
        return number

    def _keep_persons(self, partition: str, number: int, private: Mapping[str, str]) -> str:
        digests: dict[str, str] = {}
        for field, value in private.items():
            salt = secrets.token_bytes(SALT_BYTES)
            digests[field] = salted(salt, field, value)
            self._connection.execute(
                "INSERT INTO persons (partition, number, field, salt, value) VALUES (?,?,?,?,?)",
                (partition, number, field, salt, value),
            )
        return as_json(digests) if digests else ""

    def move(self, head: Head) -> None:
        """Note where a chain stands; it is written at the end of the transaction."""
        self._heads[head.partition] = head

    def _save(self) -> None:
        """Write where the chains stand, and what is remembered: once in a transaction, however often it changed."""
        gone = [key for key, value in self._kept.items() if value is None]
        self._connection.executemany(
            "DELETE FROM memory WHERE partition = ? AND topic = ? AND name = ?", gone
        )
        texts = ((key, as_json(v)) for key, v in self._kept.items() if v is not None)
        self._connection.executemany(
            "INSERT OR REPLACE INTO memory VALUES (?,?,?,?,?)",
            [(*key, text, seal_of(*key, text)) for key, text in texts],
        )
        self._kept.clear()
        for head in self._heads.values():
            self._connection.execute(
                "INSERT OR REPLACE INTO heads VALUES (?,?,?,?,?,?,?,?)",
                (
                    *(head.partition, head.number, head.hash, head.first),
                    *(head.before, head.decision, head.anchored, head.seal),
                ),
            )

    def broken(self, partition: str) -> str:
        """Return why the end of a chain is not where its head says, empty when it is.

        A broken chain goes on after its last row, or after the number that its head says when rows are missing: what is
        wrong stays visible.
        """
        found = self._connection.execute(
            "SELECT seal FROM heads WHERE partition = ?", (partition,)
        ).fetchone()
        head = read_head(self._connection, partition)
        if found is not None and found[0] != head.seal:
            return "its head was edited"
        last = self._connection.execute(
            "SELECT number, hash FROM entries WHERE partition = ? ORDER BY number DESC LIMIT 1",
            (partition,),
        ).fetchone() or (0, EMPTY)
        if last == (head.number, head.hash):
            return ""
        if last[0] >= head.number:
            self.move(head._replace(number=last[0], hash=last[1]))
        return f"its head says row {head.number}, its last row is {last[0]}"

    def hash_at(self, partition: str, number: int) -> bytes | None:
        """Return the hash of a row, None when there is none."""
        found = self._connection.execute(
            "SELECT hash FROM entries WHERE partition = ? AND number = ?", (partition, number)
        ).fetchone()
        return None if found is None else found[0]

    def last(self, partition: str, action: str) -> Row | None:
        """Return the last row of the engine or the audit itself with an action."""
        found = self._connection.execute(
            f"SELECT {COLUMNS} FROM entries WHERE partition = ? AND action = ?"
            " AND kind IN ('engine', 'audit') ORDER BY number DESC LIMIT 1",
            (partition, action),
        ).fetchone()
        return None if found is None else row_of(found)

    # ── what is remembered ───────────────────────────────────────────────────────────────────

    def recall(self, partition: str, topic: str, name: str) -> Any:
        """Return what is remembered under a name, None when nothing is."""
        key = (partition, topic, name)
        if key in self._kept:
            return self._kept[key]
        found = self._connection.execute(
            "SELECT value FROM memory WHERE partition = ? AND topic = ? AND name = ?", key
        ).fetchone()
        return None if found is None else from_json(found[0])

    def remember(self, partition: str, topic: str, name: str, value: Any) -> None:
        """Keep something under a name; None forgets it."""
        self._kept[partition, topic, name] = value

    # ── what may go ──────────────────────────────────────────────────────────────────────────

    def erase(self, partition: str, person: str) -> dict[str, list[int]]:
        """Delete what is told of a person; returns by field the numbers of the rows.

        Where the person acted, account, reason and address go too; where it is only named, the name alone.
        """
        find = "SELECT number, field FROM persons WHERE partition = ? AND "
        acted = "number IN (SELECT number FROM persons WHERE partition = ? AND value = ? AND field = 'person')"
        found = set(
            self._connection.execute(f"{find} value = ?", (partition, person)).fetchall()
        ) | set(
            self._connection.execute(
                f"{find} field != 'about' AND {acted}", (partition, partition, person)
            ).fetchall()
        )
        erased: dict[str, list[int]] = {}
        for number, field in sorted(found):
            self._connection.execute(
                "DELETE FROM persons WHERE partition = ? AND number = ? AND field = ?",
                (partition, number, field),
            )
            erased.setdefault(field, []).append(number)
        # Who overrides a group is remembered for its members' commands.
        self._connection.execute(
            "DELETE FROM memory WHERE partition = ? AND instr(value, ?) > 0", (partition, person)
        )
        for key, value in self._kept.items():
            if key[0] == partition and value is not None and person in as_json(value):
                self._kept[key] = None
        return erased

    def last_anchored_before(self, partition: str, time: float) -> Row | None:
        """Return the last row before a time that an anchor covers as its last; None when there is none."""
        for (detail,) in self._connection.execute(
            "SELECT detail FROM entries WHERE partition = ? AND kind = 'audit' AND action = 'anchored'"
            " AND time < ? ORDER BY number DESC",
            (partition, time),
        ):
            found = self._connection.execute(
                f"SELECT {COLUMNS} FROM entries WHERE partition = ? AND number = ?",
                (partition, from_json(detail)["last"]),
            ).fetchone()
            return None if found is None else row_of(found)
        return None

    def drop_until(self, partition: str, last: int) -> None:
        """Delete the rows up to a number, with what they tell of people."""
        for table in ("persons", "entries"):
            self._connection.execute(
                f"DELETE FROM {table} WHERE partition = ? AND number <= ?", (partition, last)
            )

    def scrub(self) -> None:
        """Take deleted rows out of the log beside the file too; the file itself is overwritten as they go."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def read_head(connection: Any, partition: str) -> Head:
    """Return a head as it stands in the file, without judging it."""
    found = connection.execute(
        "SELECT partition, number, hash, first, before, decision, anchored FROM heads"
        " WHERE partition = ?",
        (partition,),
    ).fetchone()
    return Head(partition) if found is None else Head(*found)


def reading(path: Path) -> Any:
    """Return a connection that only reads.

    Raises:
        LogUnusableError: There is no audit, or it is of a newer version.
    """
    if not path.exists():
        raise LogUnusableError(f"{path}: there is no audit yet; `pilotage run` makes one")
    connection = sqlite.connect(
        f"{path.resolve().as_uri()}?mode=rw", uri=True, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA query_only = ON")
        check_version(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def check_version(connection: Any, path: Path) -> None:
    """Refuse what this engine does not understand.

    Raises:
        LogUnusableError: A newer version wrote the file, or it is no audit.
    """
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite.DatabaseError as error:
        raise LogUnusableError(
            f"{path}: this is no audit: {error}\n"
            "   mend: keep the file for those who look into it, move it away, and restart: a new chain begins"
        ) from error
    if version > SCHEMA_VERSION:
        raise LogUnusableError(
            f"{path}: the audit has version {version}, this engine knows versions up to {SCHEMA_VERSION}\n"
            "   mend: run the version of pilotage that wrote it, or a newer one"
        )
    if tables and owner != APPLICATION_ID:
        raise LogUnusableError(
            f"{path}: this is the database of another program\n"
            "   mend: name another folder under storage: in config.yaml"
        )


def _open(path: Path) -> Any:
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if is_new:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite.connect(str(path), check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA busy_timeout = 2000")
    check_version(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA journal_size_limit = {SMALL_WAL_LIMIT}")
    if connection.execute("PRAGMA user_version").fetchone()[0] < SCHEMA_VERSION:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION};"
            f" PRAGMA application_id = {APPLICATION_ID}; COMMIT;"
        )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sync_folder(path.parent)
    return connection


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
