"""A disk that loses power: records what SQLite writes, and makes of it every state that a power cut could leave.

What was synced is there. Of everything since, any part may be: each write whole, in pieces of 512 bytes, or not at all, in
any order; the same for names in the folder, until the folder was synced.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import apsw

sqlite: Any
try:
    sqlite = importlib.import_module("pysqlite3.dbapi2")
except ImportError:  # the same choice as the journal's
    sqlite = importlib.import_module("sqlite3")

SECTOR: Final = 512
_CREATES: Final = (
    apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
)


class Operation(NamedTuple):
    """One thing that happened to the disk, or an answer that was given (`mark`)."""

    kind: str  # write, truncate, sync, create, delete, rename, folder (synced), mark
    name: str = ""
    at: int = 0
    data: bytes = b""
    mark: Any = None


@dataclass
class Recording:
    """What happened to the files of one folder, in order."""

    operations: list[Operation] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def mark(self, mark: Any) -> None:
        """Note an answer: from here on, what it promises must survive."""
        self.operations.append(Operation("mark", mark=mark))

    def note(self, kind: str, name: str, at: int = 0, data: bytes = b"") -> None:
        self.operations.append(Operation(kind, name, at, data))


# ── recording ────────────────────────────────────────────────────────────────────────────────


class RecordingVfs(apsw.VFS):
    """SQLite's own file system, with each change noted."""

    def __init__(self, name: str, recording: Recording) -> None:
        super().__init__(name, "")
        self._recording = recording

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        """Open a file; a new one is a new name in the folder."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None:
            return super().xOpen(name, flags)
        return _RecordingFile(name, flags, Path(path).name, self._recording)

    def xDelete(self, filename: str, sync_folder: bool) -> None:  # noqa: N802
        """Delete a file."""
        super().xDelete(filename, sync_folder)
        name = Path(filename).name
        self._recording.note("delete", name)
        self._recording.known.discard(name)
        if sync_folder:
            self._recording.note("folder", "")


class _RecordingFile(apsw.VFSFile):
    def __init__(self, path: Any, flags: list[int], name: str, recording: Recording) -> None:
        super().__init__("", path, flags)
        self._name = name
        self._recording = recording
        # SQLite syncs the folder with the first sync of a log that it made.
        self._folder_too = name not in recording.known and bool(flags[0] & _CREATES)
        if name not in recording.known:
            recording.known.add(name)
            recording.note("create", name)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._recording.note("write", self._name, offset, bytes(data))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self._recording.note("truncate", self._name, size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._recording.note("sync", self._name)
        if self._folder_too:
            self._folder_too = False
            self._recording.note("folder", "")


class Connection:
    """An APSW connection as the journal knows one: DB-API, in autocommit mode."""

    def __init__(self, file: str, vfs: str, replace: Callable[[str], str]) -> None:
        with _errors():
            self._connection = apsw.Connection(file, vfs=vfs)
        self._replace = replace

    @property
    def in_transaction(self) -> bool:
        return bool(self._connection.in_transaction)

    def cursor(self) -> Cursor:
        return Cursor(self._connection, self._replace)

    def execute(self, sql: str, parameters: Any = ()) -> Cursor:
        return self.cursor().execute(sql, parameters)

    def commit(self) -> None:
        if self.in_transaction:
            self.execute("COMMIT")

    def rollback(self) -> None:
        if self.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        with _errors():
            self._connection.close()


class Cursor:
    """Runs a statement to its end at once, and keeps the rows."""

    def __init__(self, connection: Any, replace: Callable[[str], str]) -> None:
        self._connection = connection
        self._replace = replace
        self._rows: list[Any] = []
        self.rowcount = -1
        self.lastrowid = 0
        self.description: Any = None

    def execute(self, sql: str, parameters: Any = ()) -> Cursor:
        with _errors():
            before = self._connection.total_changes()
            cursor = self._connection.cursor().execute(self._replace(sql), parameters)
            with contextlib.suppress(apsw.ExecutionCompleteError):
                self.description = cursor.get_description()
            self._rows = cursor.fetchall()
            self.rowcount = self._connection.total_changes() - before
            self.lastrowid = self._connection.last_insert_rowid()
        return self

    def executemany(self, sql: str, rows: Any) -> Cursor:
        changed = 0
        for row in rows:
            changed += self.execute(sql, row).rowcount
        self.rowcount = changed
        return self

    def fetchone(self) -> Any:
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (apsw.CantOpenError, apsw.FullError, apsw.IOError, apsw.BusyError) as error:
        raise sqlite.OperationalError(str(error)) from error
    except apsw.Error as error:
        raise sqlite.DatabaseError(str(error)) from error


@contextlib.contextmanager
def recorded(
    folder: Path, recording: Recording, replace: Callable[[str], str] = lambda sql: sql
) -> Iterator[Callable[[str], Connection]]:
    """Record what happens in a folder; yields what opens a database there.

    Args:
        folder: The folder that will lose its power.
        recording: Gets the operations.
        replace: May exchange a statement for another: the controls weaken what the journal asks for.
    """
    name = f"recording-{id(recording)}"
    vfs = RecordingVfs(name, recording)
    sync = os.fsync

    def fsync(handle: int) -> None:
        sync(handle)
        if stat.S_ISDIR(os.fstat(handle).st_mode) and os.path.samestat(
            os.fstat(handle), folder.stat()
        ):
            recording.note("folder", "")

    with mock.patch.object(os, "fsync", fsync):
        yield lambda file: Connection(file, name, replace)
    vfs.unregister()


@contextlib.contextmanager
def recorded_files(folder: Path, recording: Recording) -> Iterator[None]:
    """Record what this process does to plain files in a folder through `os`."""
    real = {
        name: getattr(os, name) for name in ("open", "write", "fsync", "close", "replace", "unlink")
    }
    handles: dict[int, list[Any]] = {}  # name and how much has been written

    def is_here(path: Any) -> bool:
        return Path(path).parent == folder

    def open_(path: Any, flags: int, *more: Any, **named: Any) -> int:
        is_new = bool(flags & os.O_CREAT) and not Path(path).exists()
        handle: int = real["open"](path, flags, *more, **named)
        if is_here(path):
            handles[handle] = [Path(path).name, 0]
            if is_new:
                recording.note("create", Path(path).name)
        return handle

    def write(handle: int, data: Any) -> int:
        written: int = real["write"](handle, data)
        if handle in handles:
            name, at = handles[handle]
            recording.note("write", name, at, bytes(data[:written]))
            handles[handle][1] += written
        return written

    def fsync(handle: int) -> None:
        real["fsync"](handle)
        if handle in handles:
            recording.note("sync", handles[handle][0])
        elif os.path.samestat(os.fstat(handle), folder.stat()):
            recording.note("folder", "")

    def close(handle: int) -> None:
        handles.pop(handle, None)
        real["close"](handle)

    def replace(source: Any, target: Any) -> None:
        real["replace"](source, target)
        if is_here(target):
            operation = Operation("rename", Path(source).name, mark=Path(target).name)
            recording.operations.append(operation)

    def unlink(path: Any, *more: Any, **named: Any) -> None:
        real["unlink"](path, *more, **named)
        if is_here(path):
            recording.note("delete", Path(path).name)

    ours: dict[str, Any] = {
        "open": open_,
        "write": write,
        "fsync": fsync,
        "close": close,
        "replace": replace,
        "unlink": unlink,
    }
    with contextlib.ExitStack() as stack:
        for name, function in ours.items():
            stack.enter_context(mock.patch.object(os, name, function))
        yield


# ── power cuts ───────────────────────────────────────────────────────────────────────────────


@dataclass
class Disk:
    """What is durable at a moment, and what is not yet. Files are numbered; a name leads to one, as in a file system."""

    files: dict[int, bytearray] = field(default_factory=dict)
    waiting: dict[int, list[Operation]] = field(default_factory=dict)
    live: dict[str, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    names_waiting: list[dict[str, int | None]] = field(default_factory=list)
    made: int = 0

    def take(self, operation: Operation) -> None:
        """Let an operation happen."""
        kind, name = operation.kind, operation.name
        if kind in ("write", "truncate"):
            self.waiting.setdefault(self.live[name], []).append(operation)
        elif kind == "sync":
            content = self.files[self.live[name]]
            for each in self.waiting.pop(self.live[name], ()):
                _apply(content, each)
        elif kind == "create":
            self.made += 1
            self.files[self.made] = bytearray()
            self._change({name: self.made})
        elif kind == "delete":
            self._change({name: None})
        elif kind == "rename":
            self._change({name: None, operation.mark: self.live[name]})
        elif kind == "folder":
            for change in self.names_waiting:
                _rename(self.names, change)
            self.names_waiting.clear()

    def cut(self, folder: Path, rng: random.Random) -> None:
        """Write what a power cut at this moment could leave into an empty folder."""
        names = dict(self.names)
        share = rng.random()
        for change in self.names_waiting:
            if rng.random() < share:
                _rename(names, change)
        survives = _how_much(rng)
        for name, number in names.items():
            content = bytearray(self.files[number])
            for each in self.waiting.get(number, ()):
                survives(content, each)
            (folder / name).write_bytes(content)

    def _change(self, change: dict[str, int | None]) -> None:
        _rename(self.live, change)
        self.names_waiting.append(change)


def _rename(names: dict[str, int], change: dict[str, int | None]) -> None:
    for name, number in change.items():
        if number is None:
            names.pop(name, None)
        else:
            names[name] = number


Survives = Callable[[bytearray, Operation], None]


def _how_much(rng: random.Random) -> Survives:
    """Draw how much of what was not synced survives."""
    kind = rng.randrange(5)
    if kind == 0:
        return lambda content, operation: None
    if kind == 1:
        return _apply
    share = rng.random()
    if kind == 2:
        return lambda content, operation: (
            _apply(content, operation) if rng.random() < share else None
        )
    return lambda content, operation: _tear(content, operation, share, rng)


def _tear(content: bytearray, operation: Operation, share: float, rng: random.Random) -> None:
    """Apply some sectors of a write."""
    if operation.kind != "write":
        if rng.random() < share:
            _apply(content, operation)
        return
    at, data = operation.at, operation.data
    start = 0
    while start < len(data):
        end = min(len(data), start + SECTOR - (at + start) % SECTOR)
        if rng.random() < share:
            _put(content, at + start, data[start:end])
        start = end


def _apply(content: bytearray, operation: Operation) -> None:
    if operation.kind == "write":
        _put(content, operation.at, operation.data)
    else:
        del content[operation.at :]
        content.extend(bytes(operation.at - len(content)))


def _put(content: bytearray, at: int, data: bytes) -> None:
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


def cuts(
    operations: Sequence[Operation], count: int, rng: random.Random
) -> Iterator[tuple[Disk, list[Any]]]:
    """Yield the disk at `count` random moments, in order, with the marks that had been given by then."""
    moments = sorted(rng.randrange(len(operations) + 1) for _ in range(count))
    disk, marks, at = Disk(), [], 0
    for moment in moments:
        for operation in operations[at:moment]:
            disk.take(operation)
            if operation.kind == "mark":
                marks.append(operation.mark)
        at = moment
        yield disk, marks
