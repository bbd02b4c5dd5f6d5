"""Space that is held back on the disk, and given up when the disk is full, so that the journal can go on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MEGABYTE: Final = 1_000_000
_TIGHT: Final = MEGABYTE  # with less than this free, a refusal of the disk has its reason here


class Ballast:
    """A file of real blocks beside the journal; it is there, or it is spent.

    Used by one thread at a time.
    """

    def __init__(self, path: Path, size: int) -> None:
        """Name the file; nothing is written yet.

        Args:
            path: The file, on the disk of the journal.
            size: Of the file in bytes; 0 for none.
        """
        self.path = path
        self.size = size

    @property
    def is_there(self) -> bool:
        """Whether the space is held back now."""
        return self.size > 0 and self.path.exists()

    def free(self) -> int:
        """Return how many bytes the engine's user can still write on this disk."""
        found = os.statvfs(self.path.parent)
        return found.f_bavail * found.f_frsize

    def is_tight(self) -> bool:
        """Return whether the disk is as good as full; False when it cannot be asked."""
        try:
            return self.free() < _TIGHT
        except OSError:
            return False

    def make(self) -> bool:
        """Hold the space back, when there is twice as much of it or more; returns whether it is held back now.

        A file of another size, which an earlier setting made, is made anew.
        """
        if self.size == 0 or self._is_whole():
            self._remove_unwanted()
            return self.size > 0
        try:
            self.path.unlink(missing_ok=True)
            if self.free() < 2 * self.size:
                return False
            self._fill()
        except OSError:
            self.spend()
            return False
        return True

    def spend(self) -> bool:
        """Give the space up; returns whether there was any."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True

    def _is_whole(self) -> bool:
        try:
            found = self.path.stat()
        except OSError:
            return False
        return found.st_size == self.size and found.st_blocks * 512 >= self.size

    def _remove_unwanted(self) -> None:
        if self.size == 0:
            self.spend()

    def _fill(self) -> None:
        handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, self.size)
        finally:
            os.close(handle)
