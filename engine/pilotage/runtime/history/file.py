"""The file of the history: its tables, how it is opened, and what is in it.

One connection writes (the recorder's thread, or a command while no engine runs). Deleted content is overwritten
(`secure_delete`) and given back to the disk (`auto_vacuum`), so that what was erased is nowhere in the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pilotage.ports import LogUnusableError
from pilotage.runtime.journal import sqlite
from pilotage.runtime.journal.schema import CACHE_KB, SMALL_WAL_LIMIT

HISTORY_FILE: Final = "history.db"
SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x70696C68  # "pilh"
SHARD: Final = 4096
"""Points in a row of the newest samples; points of one shard lie together in the file."""
HOUR: Final = 3600

_TABLES: Final = """
CREATE TABLE state (key TEXT PRIMARY KEY, value REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE limits (
    number INTEGER PRIMARY KEY, class TEXT NOT NULL, keep_s REAL NOT NULL, UNIQUE (class, keep_s)
) STRICT;
CREATE TABLE points (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, base TEXT NOT NULL, unit TEXT NOT NULL,
    keep INTEGER NOT NULL REFERENCES limits, policy TEXT NOT NULL, purpose TEXT NOT NULL, basis TEXT NOT NULL
) STRICT;
CREATE TABLE segments (
    hour INTEGER NOT NULL, shard INTEGER NOT NULL, seq INTEGER NOT NULL, blob BLOB NOT NULL,
    PRIMARY KEY (hour, shard, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE blocks (
    keep INTEGER NOT NULL, hour INTEGER NOT NULL, point INTEGER NOT NULL, count INTEGER NOT NULL, blob BLOB NOT NULL,
    PRIMARY KEY (keep, hour, point)
) STRICT, WITHOUT ROWID;
CREATE TABLE rolls (
    keep INTEGER NOT NULL, level TEXT NOT NULL, day INTEGER NOT NULL, point INTEGER NOT NULL, blob BLOB NOT NULL,
    PRIMARY KEY (keep, level, day, point)
) STRICT, WITHOUT ROWID;
CREATE TABLE days (day INTEGER NOT NULL, shard INTEGER NOT NULL, PRIMARY KEY (day, shard)) STRICT, WITHOUT ROWID;
CREATE TABLE gaps (since REAL NOT NULL, until REAL NOT NULL, why TEXT NOT NULL) STRICT;
CREATE INDEX gaps_since ON gaps (since);
CREATE TABLE proofs (
    time REAL NOT NULL, what TEXT NOT NULL, class TEXT NOT NULL, limit_s REAL NOT NULL, deleted INTEGER NOT NULL,
    older INTEGER NOT NULL, oldest REAL
) STRICT;
CREATE INDEX proofs_time ON proofs (time);
"""
# An hour of all points of one limit lies side by side: it is written once and deleted once. In order of (point, hour)
# a page of the file would be touched for every point in every hour.


@dataclass(frozen=True, slots=True)
class PointRow:
    """A point that the history knows, and by which right it keeps it.

    Attributes:
        keep: Number of its limit: points of one class that are kept equally long.
    """

    number: int
    id: str
    kind: str
    base: str
    unit: str
    keep: int
    policy: str
    purpose: str
    basis: str
    privacy: str
    keep_s: float


def open_history(path: Path) -> Any:
    """Return the writing connection of a history, made new when the file is missing.

    Raises:
        LogUnusableError: The file is of a newer version, is no history, or cannot be opened.
    """
    try:
        is_new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if is_new:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite.connect(str(path), check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA busy_timeout = 2000")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA journal_size_limit = {SMALL_WAL_LIMIT}")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            _make(connection, path)
        check_version(connection, path)
        connection.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # the last seconds may be lost
    except (sqlite.Error, OSError) as error:
        raise LogUnusableError(
            f"{path}: the history cannot be opened: {error}\n"
            "   mend: give the engine's user the right to write there, and see that the disk has room"
        ) from error
    return connection


def _make(connection: Any, path: Path) -> None:
    """Make the tables of an empty file."""
    if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise LogUnusableError(
            f"{path} is no history\n   mend: give the engine a folder of its own under storage.path"
        )
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("VACUUM")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


def check_version(connection: Any, path: Path) -> None:
    """Refuse what this engine does not understand.

    Raises:
        LogUnusableError: The file is no history, or of another version.
    """
    (id_,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if id_ != APPLICATION_ID:
        raise LogUnusableError(
            f"{path} is no history\n   mend: move the file away; the engine makes a new one"
        )
    if version != SCHEMA_VERSION:
        raise LogUnusableError(
            f"{path} is a history of version {version}, and this engine reads version {SCHEMA_VERSION}\n"
            "   mend: use the engine that wrote it, or move the file away"
        )


def point_rows(connection: Any, where: str = "", values: Iterable[Any] = ()) -> list[PointRow]:
    """Return points in order of id."""
    rows = connection.execute(
        "SELECT p.number, p.id, p.kind, p.base, p.unit, p.keep, p.policy, p.purpose, p.basis, l.class, l.keep_s"
        f" FROM points p JOIN limits l ON l.number = p.keep {where} ORDER BY p.id",
        tuple(values),
    )
    return [PointRow(*row) for row in rows]


def register_point(connection: Any, row: PointRow) -> int:
    """Write down a point as it is recorded now and return its number; what there is of it gets its new limit."""
    (keep,) = connection.execute(
        "INSERT INTO limits (class, keep_s) VALUES (?, ?)"
        " ON CONFLICT (class, keep_s) DO UPDATE SET keep_s = excluded.keep_s RETURNING number",
        (row.privacy, row.keep_s),
    ).fetchone()
    found = connection.execute("SELECT number, keep FROM points WHERE id = ?", (row.id,)).fetchone()
    if found is not None and found[1] != keep:
        for table in ("blocks", "rolls"):
            connection.execute(
                f"UPDATE {table} SET keep = ? WHERE keep = ? AND point = ?",
                (keep, found[1], found[0]),
            )
    (number,) = connection.execute(
        "INSERT INTO points (id, kind, base, unit, keep, policy, purpose, basis) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, base = excluded.base, unit = excluded.unit,"
        " keep = excluded.keep, policy = excluded.policy, purpose = excluded.purpose, basis = excluded.basis"
        " RETURNING number",
        (row.id, row.kind, row.base, row.unit, keep, row.policy, row.purpose, row.basis),
    ).fetchone()
    return int(number)


def bytes_on_disk(path: Path) -> int:
    """Return the size of the file and its log."""
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
