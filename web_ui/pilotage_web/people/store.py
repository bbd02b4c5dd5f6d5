"""The file of people: accounts, sessions and tokens in an SQLite database that its owner alone can read.

Each table has one room that writes it. Reads are served by a connection of their own, so that a page never waits for
the disk of somebody's sign-in. Nothing that lets anybody in is kept as it is: passwords are argon2id, all else SHA-256.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

try:  # as the engine's journal does: the one that is brought along, else that of the machine
    sqlite: Any = importlib.import_module("pysqlite3.dbapi2")
except ImportError:  # pragma: no cover - the packages that we declare bring it
    sqlite = importlib.import_module("sqlite3")

PEOPLE_FILE: Final = "people.db"
SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x70696C75  # "pilu": `file people.db` names it
BUSY_MS: Final = 5_000
# Before 3.51.3 a log that two programs reset at one moment can corrupt the file; without a log it cannot happen.
# Source: https://sqlite.org/wal.html#walresetbug.
_JOURNAL_MODE: Final = "WAL" if tuple(sqlite.sqlite_version_info) >= (3, 51, 3) else "DELETE"

_TABLES: Final = """
CREATE TABLE people (
    name TEXT PRIMARY KEY, full_name TEXT NOT NULL, language TEXT NOT NULL, theme TEXT NOT NULL,
    password TEXT NOT NULL, password_at REAL, second TEXT NOT NULL, second_at REAL, second_last INTEGER NOT NULL,
    provider TEXT NOT NULL, added REAL NOT NULL, disabled REAL
) STRICT, WITHOUT ROWID;
CREATE TABLE roles (
    person TEXT NOT NULL REFERENCES people ON DELETE CASCADE, post TEXT NOT NULL, role TEXT NOT NULL,
    PRIMARY KEY (person, post)
) STRICT, WITHOUT ROWID;
CREATE TABLE recovery (
    person TEXT NOT NULL REFERENCES people ON DELETE CASCADE, code BLOB NOT NULL, PRIMARY KEY (person, code)
) STRICT, WITHOUT ROWID;
CREATE TABLE links (
    key BLOB PRIMARY KEY, person TEXT NOT NULL REFERENCES people ON DELETE CASCADE, ends REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE browsers (
    key BLOB PRIMARY KEY, person TEXT NOT NULL REFERENCES people ON DELETE CASCADE, seen REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (
    key BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, person TEXT NOT NULL REFERENCES people ON DELETE CASCADE,
    kind TEXT NOT NULL, post TEXT NOT NULL, begun REAL NOT NULL, active REAL NOT NULL, proven REAL NOT NULL,
    ends REAL NOT NULL, address TEXT NOT NULL, browser TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_of ON sessions (person);
CREATE TABLE tokens (
    key BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, post TEXT NOT NULL, scopes TEXT NOT NULL,
    made_by TEXT NOT NULL, made REAL NOT NULL, ends REAL NOT NULL, seen REAL
) STRICT, WITHOUT ROWID;
CREATE TABLE records (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, action TEXT NOT NULL, person TEXT NOT NULL,
    about TEXT NOT NULL, reason TEXT NOT NULL, via TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
"""

Row = tuple[Any, ...]


class PeopleFileError(Exception):
    """The file of people cannot be used; the text says which, why and the mend."""


class Store:
    """The file: `read` at any time, `writing` for a transaction that is on disk when it ends."""

    def __init__(self, path: Path) -> None:
        """Open the file, and make it when it is not there (mode 0600).

        Raises:
            PeopleFileError: It is another program's, of a newer version, damaged, or others can read it.
        """
        self.path = path
        _make_private(path)
        self._turn = threading.Lock()
        self._reading = threading.Lock()
        try:
            self._writer = _connect(path)
            _prepare(self._writer, path)
            self._reader = _connect(path)
        except sqlite.Error as error:
            raise PeopleFileError(
                f"{path}: the file of people cannot be opened: {error}\n"
                "   mend: bring it back from a backup (`pilotage restore`)"
            ) from error

    def read(self, sql: str, *values: Any) -> list[Row]:
        """Return the rows of a query, as of the last transaction that ended."""
        with self._reading:
            return list(self._reader.execute(sql, values))

    def one(self, sql: str, *values: Any) -> Row | None:
        """Return the first row of a query, None when there is none."""
        rows = self.read(sql, *values)
        return rows[0] if rows else None

    @property
    def version(self) -> int:
        """A number that differs once anybody has written to the file: we, or another program."""
        # Source: https://sqlite.org/pragma.html#pragma_data_version; our own writer is another connection than the reader.
        return int(self.read("PRAGMA data_version")[0][0])

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """Give a transaction: all of it is on disk at its end, or nothing when it raises."""
        with self._turn:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(self._writer)
                self._writer.execute("COMMIT")
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file."""
        with self._turn, self._reading:
            self._reader.close()
            self._writer.close()


class Transaction:
    """What may be done within `Store.writing`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, sql: str, *values: Any) -> int:
        """Change rows and return how many were."""
        return int(self._connection.execute(sql, values).rowcount)

    def all(self, sql: str, rows: Sequence[Row]) -> None:
        """Change once for each row of values."""
        self._connection.executemany(sql, rows)

    def one(self, sql: str, *values: Any) -> Row | None:
        """Return the first row of a query, as of this transaction."""
        found: Row | None = self._connection.execute(sql, values).fetchone()
        return found


def key_of(secret: str) -> bytes:
    """Return what is kept of a secret that was drawn with 128 bits and more: its SHA-256, which needs no salt."""
    return sha256(secret.encode()).digest()


def _connect(path: Path) -> Any:
    connection = sqlite.connect(str(path), check_same_thread=False, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute(f"PRAGMA journal_mode = {_JOURNAL_MODE}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")
    return connection


def _prepare(connection: Any, path: Path) -> None:
    """Make the tables in a new file; refuse one that is not ours."""
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not tables:
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
    if tables and owner != APPLICATION_ID:
        raise PeopleFileError(
            f"{path}: this is the database of another program\n"
            "   mend: move it away, or name another folder under storage: in config.yaml"
        )
    if tables and version != SCHEMA_VERSION:
        raise PeopleFileError(
            f"{path}: the file is of version {version}, this program knows {SCHEMA_VERSION}\n"
            "   mend: use the version of pilotage that wrote it, or a newer one"
        )


def _make_private(path: Path) -> None:
    """Make the file and its folder, for their owner alone; refuse a file that others can read."""
    made = [*(folder for folder in (path.parent, path) if not folder.exists())]
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    if os.geteuid() == 0:
        # An administrator of the machine adds the first admin; what is made for it is the service's all the same.
        for each in made:
            owner = each.parent.stat()
            os.chown(each, owner.st_uid, owner.st_gid)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise PeopleFileError(
            f"{path}: others can read it (mode {mode:04o})\n   mend: chmod 600 {path}"
        )
