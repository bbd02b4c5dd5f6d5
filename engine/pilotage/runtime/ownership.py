"""Who commands a partition on this machine: a lock on a file that its owner's death releases; and where partitions are."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pilotage.ports import OwnedElsewhereError

THE_CITY: Final = "city"


class FileOwnership:
    """Ownership by a locked file per partition; the file holds the epoch and the owner's process id."""

    def __init__(self, folder: Path) -> None:
        """Keep the files in a folder, which is made when it is missing."""
        self._folder = folder
        self._held: dict[str, int] = {}

    def acquire(self, partition: str) -> int:
        """Lock a partition and return its new epoch.

        Raises:
            OwnedElsewhereError: Another process holds it.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{partition}.owner"
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            _, owner = _read(handle)
            os.close(handle)
            raise OwnedElsewhereError(
                f"{path}: an engine runs already (process {owner or 'unknown'})\n"
                "   mend: stop it first, or give this one a folder of its own under storage:"
            ) from error
        epoch = _read(handle)[0] + 1
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{epoch} {os.getpid()}\n".encode(), 0)
        os.fsync(handle)
        self._held[partition] = handle
        return epoch

    def release(self, partition: str) -> None:
        """Unlock a partition."""
        handle = self._held.pop(partition, None)
        if handle is not None:
            os.close(handle)


class OnePartition:
    """Placement on a single machine: the whole city is one partition."""

    @property
    def partitions(self) -> Sequence[str]:
        """The one."""
        return (THE_CITY,)

    def partition_of(self, zone: str) -> str:
        """Return the one, whatever the zone."""
        return THE_CITY


def _read(handle: int) -> tuple[int, str]:
    """Return the epoch and the process id in a file; 0 and nothing for a new or damaged one."""
    words = os.pread(handle, 100, 0).decode("ascii", "replace").split()
    epoch = 0
    with contextlib.suppress(IndexError, ValueError):
        epoch = int(words[0])
    return epoch, words[1] if len(words) > 1 else ""
