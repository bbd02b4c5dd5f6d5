"""The file of the journal: which SQLite may write it, how it is opened, its tables, and how older versions become this one."""

from __future__ import annotations

import contextlib
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.model.diagnostics import Severity
from pilotage.ports import HealthLog, LogUnusableError
from pilotage.runtime.durable import partial_of, sync_file, sync_folder

try:
    sqlite: Any = importlib.import_module("pysqlite3.dbapi2")
except ImportError:  # pragma: no cover - the packages that we declare bring it
    sqlite = importlib.import_module("sqlite3")

if TYPE_CHECKING:
    from sqlite_utils import Database

SCHEMA_VERSION: Final = 2
APPLICATION_ID: Final = 0x70696C6F  # "pilo": `file journal.db` names it
# Before it, a WAL that is reset at a bad moment can corrupt the file (3.7.0 to 3.51.2).
# Source: https://sqlite.org/wal.html#walresetbug, which names the backports too.
SAFE_SQLITE: Final = (3, 51, 3)
_BACKPORTS: Final[dict[tuple[int, ...], int]] = {(3, 44): 6, (3, 50): 7}
_WITHDRAWN: Final = (3, 52, 0)
WAL_LIMIT: Final = 64 * 1024 * 1024  # a log that grew beyond it is cut back when it is begun anew
SMALL_WAL_LIMIT: Final = 4 * 1024 * 1024
"""The same for the audit and the history, which SQLite itself checkpoints at about this size."""
_INCREMENTAL: Final = 2
BUSY_MS: Final = 2_000
CACHE_KB: Final = 512
"""Pages that a log's connection keeps: it writes at the end, and what it reads again is little."""


def connect(file: str) -> Any:
    """Return a new connection for the one who writes; its transactions are begun and ended by hand."""
    return sqlite.connect(file, check_same_thread=False, isolation_level=None)


def open_for_writing(connection: Any, path: Path, sync: str) -> None:
    """Bring a file that was connected to this version, and its folder entry to the disk.

    Args:
        connection: From `connect`, or of a test that stands between us and the disk.
        path: The file.
        sync: `full` or `normal`.

    Raises:
        LogUnusableError: The file is of a newer version, or is no journal.
    """
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    check_version(connection, path)
    connection.execute(f"PRAGMA cache_size = -{CACHE_KB}")
    if not _tables(connection):
        connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
    connection.execute("PRAGMA journal_mode = WAL")
    # The writer does it when nobody waits, not inside a commit that somebody waits for.
    connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    connection.execute(f"PRAGMA synchronous = {'FULL' if sync == 'full' else 'NORMAL'}")
    # What was forgotten must not be found in free pages: readings can be personal data.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found < SCHEMA_VERSION:
        if found:
            keep_copy(connection, path, found)
        _migrate(connection, found)
        # The file and its log must be found after a power loss, before the first decision is answered.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        sync_folder(path.parent)
    if connection.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
        connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
        connection.execute("VACUUM")


def make_file(path: Path) -> None:
    """Make an empty file that only the engine's user can read, and its folder; one that is there is left alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def check_version(connection: Any, path: Path) -> int:
    """Return the schema's version; refuse what this engine does not understand.

    Raises:
        LogUnusableError: A newer version wrote the file, or it is no journal of ours.
    """
    try:
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = _tables(connection)
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
    return found


def is_safe(version: tuple[int, ...]) -> bool:
    """Return whether an SQLite of this version keeps a journal whole."""
    if version >= SAFE_SQLITE:
        return version != _WITHDRAWN
    return version[2] >= _BACKPORTS.get(version[:2], 1_000)


def check_sqlite(
    health: HealthLog, version: tuple[int, ...] | None = None, *, allow_old: bool = False
) -> None:
    """Refuse an SQLite that can corrupt a journal; where the site allows it, tell it in health.

    Args:
        health: Where an old one that is allowed is told.
        version: Of the SQLite; the one in use by default.
        allow_old: As `storage.allow_old_sqlite` says.

    Raises:
        LogUnusableError: It is too old.
    """
    found = version or tuple(sqlite.sqlite_version_info)
    if is_safe(found):
        return
    text = (
        f"SQLite {'.'.join(map(str, found))} is in use; before 3.51.3 a journal can be corrupted"
        " when its log is reset"
    )
    mend = "pip install pysqlite3, which brings its own SQLite, and restart"
    if not allow_old:
        raise LogUnusableError(
            f"{text}\n   mend: {mend}; where no wheel of it exists, storage: {{allow_old_sqlite: true}}"
            " in config.yaml takes the risk"
        )
    health.raised("journal.sqlite", text, mend, Severity.WARNING)


def keep_copy(connection: Any, path: Path, version: int) -> Path:
    """Copy a file of an older version beside itself before it is changed; returns where.

    A copy that is there already was made by a start that did not end, and is made anew.
    """
    copy = path.with_name(f"{path.name}.version-{version}")
    partial = partial_of(copy)
    partial.unlink(missing_ok=True)
    make_file(partial)
    target = sqlite.connect(str(partial))
    try:
        connection.backup(target)
    finally:
        target.close()
    sync_file(partial)
    partial.replace(copy)
    sync_folder(path.parent)
    return copy


# ── the tables ───────────────────────────────────────────────────────────────────────────────


def _tables(connection: Any) -> int:
    return int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _migrate(connection: Any, found: int) -> None:
    """Bring a journal from a version to this one, in one transaction."""
    from sqlite_utils import (
        Database,
    )  # 3 MB that an engine, its audit and its pages need once in the life of a journal

    database = Database(connection)
    with database.atomic():
        if found == 0:
            _make_common(database)
            _make_inputs(database, "inputs")
        else:
            _from_version_1(connection, database)
        _make_archive(database)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _make_common(database: Database) -> None:
    database.table("partitions").create(
        {"partition": str, "number": int, "epoch": int, "position": int},
        pk="partition",
        not_null=("number", "epoch", "position"),
        strict=True,
    )
    database.table("decisions").create(
        {"partition": str, "number": int, "time": float, "record": bytes},
        pk=("partition", "number"),
        not_null=("time", "record"),
        strict=True,
    ).create_index(["time"])
    database.table("switches").create(
        {
            **{"id": int, "partition": str, "time": float, "digest": str, "detail": str},
            "position": int,
        },
        pk="id",
        not_null=("partition", "time", "digest", "detail", "position"),
        strict=True,
    ).create_index(["time"])


def _make_inputs(database: Database, name: str) -> None:
    database.table(name).create(
        {
            **{"id": int, "partition": str, "position": int, "time": float},
            **{"after": int, "version": int, "envelope": bytes},
        },
        pk="id",
        not_null=("partition", "position", "time", "after", "version", "envelope"),
        strict=True,
    )


def _make_archive(database: Database) -> None:
    database.table("inputs").create_index(
        ["partition", "position"], "inputs_by_position", unique=True
    )
    database.table("archive").create(
        {"digest": str, "time": float, "files": str},
        pk="digest",
        not_null=("time", "files"),
        strict=True,
    )
    database.table("texts").create(
        {"hash": str, "text": bytes}, pk="hash", not_null=("text",), strict=True
    )


def _from_version_1(connection: Any, database: Database) -> None:
    """Give every envelope its position, and every switch the one that it came after."""
    for table in ("partitions", "switches"):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN position INTEGER NOT NULL DEFAULT 0")
    _make_inputs(database, "inputs_2")
    connection.execute(
        "INSERT INTO inputs_2 (id, partition, position, time, after, version, envelope)"
        " SELECT id, partition, row_number() OVER (PARTITION BY partition ORDER BY id),"
        " time, after, version, envelope FROM inputs ORDER BY id"
    )
    connection.execute("DROP TABLE inputs")
    connection.execute("ALTER TABLE inputs_2 RENAME TO inputs")
    connection.execute(
        "UPDATE partitions SET position = coalesce((SELECT max(position) FROM inputs"
        " WHERE inputs.partition = partitions.partition), 0)"
    )
    connection.execute(
        "UPDATE switches SET position = coalesce((SELECT max(position) FROM inputs"
        " WHERE inputs.partition = switches.partition AND inputs.time < switches.time), 0)"
    )
