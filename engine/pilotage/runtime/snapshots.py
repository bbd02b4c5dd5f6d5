"""Kept states of partitions: one file each, whole or not at all.

A snapshot is written under a temporary name, synced, renamed, and its folder synced. Its first line is a checksum over
all the rest, so that what comes back is what was given, or nothing. Reads no clock and starts nothing: a forked child
may write.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, Final

import msgspec

from pilotage.model.diagnostics import Severity
from pilotage.ports import HealthLog, Snapshot
from pilotage.runtime.durable import PARTIAL, sync_folder, write_whole

FORMAT_VERSION: Final = 1
KEPT: Final = 3
MAGIC: Final = "pilotage-snapshot"
SUFFIX: Final = ".snapshot"


class SnapshotUnreadableError(Exception):
    """A snapshot is damaged, cut off, or of a version that is not known; the text says which."""


@dataclass(frozen=True, slots=True)
class _Name:
    """What the name of a file says: enough to find the newest without opening any."""

    path: Path
    position: int
    number: int


class FileSnapshots:
    """Snapshots as files of a folder; of each partition the last ones are kept."""

    def __init__(self, folder: Path, health: HealthLog, *, keep: int = KEPT) -> None:
        """Name the folder; it is made at the first write.

        Args:
            folder: Where the files are.
            health: Where a damaged snapshot is told, as `snapshot.damaged`.
            keep: How many of each partition.
        """
        self.folder = folder
        self._health = health
        self._keep = keep

    def write(self, partition: str, snapshot: Snapshot) -> None:
        """Write a snapshot, then forget those that are older than the last few; blocks until it is on disk.

        Raises:
            OSError: The disk refuses; the snapshots from before are as they were.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self.folder.glob(f".{escape(partition)}@*{PARTIAL}"):
            left.unlink(missing_ok=True)
        write_whole(self.folder / _file_name(partition, snapshot), encode(partition, snapshot))
        for old in list(self._names(partition))[self._keep :]:
            old.path.unlink(missing_ok=True)

    def newest(
        self, partition: str, number: int | None = None, position: int | None = None
    ) -> Snapshot | None:
        """Return the newest whole snapshot that the logs have caught up with, or None.

        Args:
            partition: Whose.
            number: The last decision on disk; a snapshot that contains a later one is removed.
            position: The last envelope on disk, in the same way.
        """
        self._drop_ahead(partition, number, position)
        damaged: list[str] = []
        found: Snapshot | None = None
        for name in self._names(partition):
            try:
                found = read(name.path, partition)
                break
            except (SnapshotUnreadableError, OSError) as error:
                damaged.append(str(error))
        self._tell(partition, damaged, found)
        return found

    def oldest_position(self, partition: str) -> int | None:
        """Return the position of the oldest snapshot that is kept: a start may need all inputs after it."""
        return min((name.position for name in self._names(partition)), default=None)

    def newest_position(self, partition: str) -> int | None:
        """Return the position of the newest snapshot."""
        return max((name.position for name in self._names(partition)), default=None)

    def keep_newest(self, partition: str) -> int:
        """Delete every snapshot but the newest, and return how many that were."""
        old = list(self._names(partition))[1:]
        for name in old:
            name.path.unlink(missing_ok=True)
        if old:
            sync_folder(self.folder)
        return len(old)

    def files(self) -> list[Path]:
        """Return every snapshot of every partition, in order of name."""
        return sorted(self.folder.glob(f"*{SUFFIX}"))

    def _tell(self, partition: str, damaged: list[str], found: Snapshot | None) -> None:
        code = f"snapshot.damaged.{partition}"
        if not damaged:
            self._health.cleared(code)
            return
        self._health.raised(
            code,
            f"{'; '.join(damaged)}; {'the one before is used' if found else 'none before it is whole'}",
            "look after the disk; the file can be deleted, and goes by itself when newer ones are written",
            Severity.WARNING,
        )

    def _drop_ahead(self, partition: str, number: int | None, position: int | None) -> None:
        ahead = [
            name.path
            for name in self._names(partition)
            if (number is not None and name.number > number)
            or (position is not None and name.position > position)
        ]
        for path in ahead:
            path.unlink(missing_ok=True)
        if ahead:
            sync_folder(self.folder)

    def _names(self, partition: str) -> Iterator[_Name]:
        """Return the snapshots of a partition, newest first."""
        names = []
        for path in self.folder.glob(f"{escape(partition)}@*{SUFFIX}"):
            with contextlib.suppress(ValueError):
                position, number = path.name.removesuffix(SUFFIX).rpartition("@")[2].split("-")
                names.append(_Name(path, int(position), int(number)))
        return iter(sorted(names, key=lambda name: (name.position, name.number), reverse=True))


def encode(partition: str, snapshot: Snapshot) -> bytes:
    """Return a snapshot as its file holds it: a checksum line, a header line, the state."""
    header = {
        "version": FORMAT_VERSION,
        "partition": partition,
        "position": snapshot.position,
        "number": snapshot.number,
        "now": snapshot.now,
        "digest": snapshot.digest,
        "length": len(snapshot.state),
    }
    body = msgspec.json.encode(header) + b"\n" + snapshot.state
    return f"{MAGIC} {hashlib.sha256(body).hexdigest()}\n".encode() + body


def read(path: Path, partition: str | None = None) -> Snapshot:
    """Return the snapshot of a file.

    Args:
        path: The file.
        partition: Whose it has to be; None for any.

    Raises:
        SnapshotUnreadableError: It is damaged, cut off, of another partition, or of a newer version.
        OSError: The file cannot be read.
    """
    head, _, body = path.read_bytes().partition(b"\n")
    magic, _, checksum = head.decode("ascii", "replace").partition(" ")
    if magic != MAGIC:
        raise SnapshotUnreadableError(f"{path}: this is no snapshot")
    if hashlib.sha256(body).hexdigest() != checksum:
        raise SnapshotUnreadableError(f"{path}: the snapshot is damaged: its checksum is wrong")
    line, _, state = body.partition(b"\n")
    header = _header(path, line)
    if len(state) != header["length"] or partition not in (None, header["partition"]):
        raise SnapshotUnreadableError(f"{path}: the snapshot is not what its header says")
    return Snapshot(
        header["number"], header["position"], header["now"], header["digest"], bytes(state)
    )


def _header(path: Path, line: bytes) -> Mapping[str, Any]:
    """Return the header of a snapshot whose checksum is right."""
    header: Mapping[str, Any] = msgspec.json.decode(line)
    if header["version"] != FORMAT_VERSION:
        raise SnapshotUnreadableError(
            f"{path}: the snapshot has version {header['version']}, this engine knows {FORMAT_VERSION}"
        )
    return header


def _file_name(partition: str, snapshot: Snapshot) -> str:
    return f"{partition}@{snapshot.position:015d}-{snapshot.number:015d}{SUFFIX}"
