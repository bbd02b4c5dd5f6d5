"""A backup of the storage folder, also while the engine runs: each database as of one moment, and a manifest with checksums.

The journal is copied last: what is derived from it (audit, snapshots) may be behind it then, never ahead.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pilotage.runtime.durable import PARTIAL, partial_of, sync_file, sync_folder, write_whole
from pilotage.runtime.journal import sqlite

FORMAT: Final = 1
LAST_BACKUP: Final = ".last-backup"
"""In the storage folder: its time is that of the last backup."""
MANIFEST: Final = "manifest.json"
JOURNAL_FILE: Final = "journal.db"
TAR: Final = ".tar"
STEP_PAGES: Final = 2_000
_CHUNK: Final = 1 << 20
# What belongs to this machine or to a moment: locks, logs of databases, held-back space, copies from before.
_LEFT_OUT: Final = ("-wal", "-shm", "-journal", ".owner", ".sock", ".log", PARTIAL)
_LEFT_OUT_NAMES: Final = ("ballast",)

Progress = Callable[[str, int, int], None]
"""Told what is done, how much of it, and how much there is in all (0 when nobody knows)."""


class BackupError(Exception):
    """A backup cannot be made, or is none; the text says the mend."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a backup."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        made: When, ISO 8601 in UTC.
        host: On which machine.
        version: Of pilotage.
        files: Each file, by its path in the storage folder.
    """

    made: str
    host: str
    version: str
    files: tuple[Entry, ...]

    def encode(self) -> bytes:
        """Return the manifest as its file holds it."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode() + b"\n"


def make_backup(storage: Path, target: Path, version: str, progress: Progress) -> Manifest:
    """Copy a storage folder; when this returns the backup is whole and on disk.

    Args:
        storage: The folder, of an engine that runs or not.
        target: Where the backup is made: a folder that is not there yet, or a file that ends with `.tar`.
        version: Of pilotage, for the manifest.
        progress: Told of the work.

    Raises:
        BackupError: There is nothing to copy, or the target is there already.
        OSError: The disk refuses; nothing is left at the target.
    """
    _check_places(storage, target)
    folder = partial_of(target)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        entries = [_copy(storage, name, folder, progress) for name in _names(storage)]
        manifest = Manifest(_now(), socket.gethostname(), version, tuple(entries))
        write_whole(folder / MANIFEST, manifest.encode())
        if target.suffix == TAR:
            _pack(folder, target, manifest, progress)
        else:
            _sync_tree(folder)
            folder.rename(target)
            sync_folder(target.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # a mark for the health page: a backup is one without it too
        (storage / LAST_BACKUP).touch()
    return manifest


def read_manifest(data: bytes, where: Path) -> Manifest:
    """Return a manifest from its bytes.

    Raises:
        BackupError: It is damaged, or of a newer version.
    """
    try:
        read: dict[str, Any] = json.loads(data)
        if read.pop("format") != FORMAT:
            raise BackupError(
                f"{where}: the backup is of another format than {FORMAT}\n"
                "   mend: use the version of pilotage that made it, or a newer one"
            )
        files = tuple(Entry(**entry) for entry in read.pop("files"))
        manifest = Manifest(files=files, **read)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackupError(f"{where}: the manifest is damaged: {error}") from error
    for entry in manifest.files:
        _check_name(entry.name, where)
    return manifest


def digest_of(path: Path, tell: Callable[[int], None] = lambda done: None) -> str:
    """Return the SHA-256 of a file; `tell` is told of the bytes so far."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            tell(done)
    return digest.hexdigest()


def is_left_out(name: str) -> bool:
    """Return whether a file of the storage folder is no part of a backup."""
    path = Path(name)
    return (
        path.name.startswith(".")
        or path.name in _LEFT_OUT_NAMES
        or path.name.endswith(_LEFT_OUT)
        or ".db.version-" in path.name
    )


# ── what is copied, and how ──────────────────────────────────────────────────────────────────


def _check_places(storage: Path, target: Path) -> None:
    if not storage.is_dir() or not any(_names(storage)):
        raise BackupError(
            f"{storage}: there is nothing to back up\n"
            "   mend: name the site's configuration with -c, or run the engine first"
        )
    if target.exists():
        raise BackupError(
            f"{target}: it is there already\n   mend: name a folder or a .tar file that is not there yet"
        )
    if not target.parent.is_dir():
        raise BackupError(f"{target.parent}: there is no such folder\n   mend: make it first")
    if target.resolve().is_relative_to(storage.resolve()):
        raise BackupError(
            f"{target}: this is inside the storage folder {storage}\n   mend: name a place outside, best on"
            " another disk"
        )


def _names(storage: Path) -> Iterator[str]:
    """Return the files to copy by their paths in the folder, the journal last."""
    names = [
        str(path.relative_to(storage))
        for path in sorted(storage.rglob("*"))
        if path.is_file() and not path.is_symlink()
    ]
    yield from (name for name in names if not is_left_out(name) and name != JOURNAL_FILE)
    yield from (name for name in names if name == JOURNAL_FILE)


def _copy(storage: Path, name: str, folder: Path, progress: Progress) -> Entry:
    """Copy a file of the storage; what comes of it is private and synced."""
    source, copy = storage / name, folder / name
    copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if source.suffix == ".db":
        copy_database(source, copy, lambda done, total: progress(name, done, total))
    else:
        shutil.copyfile(source, copy)
    copy.chmod(0o600)
    sync_file(copy)
    return Entry(name, copy.stat().st_size, digest_of(copy))


def copy_database(source: Path, copy: Path, tell: Callable[[int, int], None]) -> None:
    """Copy a database as of one moment, in one file, while others write it.

    Args:
        source: The database.
        copy: A file that is not there yet.
        tell: Told of the pages that are done, and of all.
    """
    with closing(_read_only(source)) as reading, closing(sqlite.connect(str(copy))) as writing:
        # A transaction of our own: the copy is of this moment, and is never begun anew when the engine writes.
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reading.backup(
            writing,
            pages=STEP_PAGES,
            progress=lambda status, left, total: tell(total - left, total),
        )
        reading.execute("COMMIT")
        writing.execute("PRAGMA journal_mode = DELETE").fetchall()


def _read_only(path: Path) -> Any:
    connection = sqlite.connect(
        f"{path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


def _pack(folder: Path, target: Path, manifest: Manifest, progress: Progress) -> None:
    """Write the folder as one file, the manifest first."""
    partial = target.with_name(f".{target.name}.tar{PARTIAL}")
    partial.unlink(missing_ok=True)
    names = [MANIFEST, *(entry.name for entry in manifest.files)]
    try:
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                for done, name in enumerate(names):
                    progress(target.name, done, len(names))
                    tar.add(folder / name, name, filter=_plain)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(target.parent)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out of a tar who owned a file."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _sync_tree(folder: Path) -> None:
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(path)


def _check_name(name: str, where: Path) -> None:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or name in ("", ".", MANIFEST):
        raise BackupError(f'{where}: "{name}" is no name for a file of a backup; it is not touched')


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def unpack(target: Path, folder: Path, progress: Progress) -> Manifest:
    """Bring a backup, a folder or a `.tar`, into an empty folder, without judging its files.

    Only what the manifest names is read, and never a link.

    Raises:
        BackupError: It is no backup, its manifest is damaged, or a file is missing.
    """
    if target.is_dir():
        manifest = read_manifest(_manifest_bytes(target), target)
        for done, entry in enumerate(manifest.files):
            progress(f"copying {entry.name}", done, len(manifest.files))
            _bring(target / entry.name, folder / entry.name, target)
        return manifest
    try:
        with tarfile.open(target, mode="r:") as tar:
            return _extract(tar, target, folder, progress)
    except (tarfile.TarError, EOFError) as error:
        raise BackupError(f"{target}: this is no backup, or a damaged one: {error}") from error


def _manifest_bytes(target: Path) -> bytes:
    try:
        return (target / MANIFEST).read_bytes()
    except OSError as error:
        raise BackupError(
            f"{target}: this is no backup: it has no {MANIFEST}\n"
            "   mend: name the folder or the .tar file that `pilotage backup` made"
        ) from error


def _bring(source: Path, copy: Path, where: Path) -> None:
    if source.is_symlink() or not source.is_file():
        raise BackupError(f"{where}: {source.name} is missing")
    copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(source, copy)
    copy.chmod(0o600)


def _extract(tar: tarfile.TarFile, target: Path, folder: Path, progress: Progress) -> Manifest:
    members: Mapping[str, tarfile.TarInfo] = {m.name: m for m in tar.getmembers() if m.isfile()}
    if MANIFEST not in members:
        raise BackupError(
            f"{target}: this is no backup: it has no {MANIFEST}\n"
            "   mend: name the folder or the .tar file that `pilotage backup` made"
        )
    manifest = read_manifest(_member(tar, members[MANIFEST]).read(), target)
    for done, entry in enumerate(manifest.files):
        progress(f"unpacking {entry.name}", done, len(manifest.files))
        if entry.name not in members:
            raise BackupError(f"{target}: {entry.name} is missing")
        copy = folder / entry.name
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with copy.open("xb") as file:
            copy.chmod(0o600)
            shutil.copyfileobj(_member(tar, members[entry.name]), file)
    return manifest


def _member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Any:
    found = tar.extractfile(info)
    assert found is not None, "a regular file"
    return found
