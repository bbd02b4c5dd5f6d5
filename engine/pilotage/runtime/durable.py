"""Files that are there whole or not at all, also after a power loss."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

PARTIAL: Final = ".partial"


def write_whole(path: Path, data: bytes) -> None:
    """Write a private file under a temporary name, sync it, rename it, and sync the folder.

    When this returns, the file would survive a power loss. Whoever looks meanwhile sees the old file or none.

    Raises:
        OSError: The disk refuses; what was there before is as it was.
    """
    partial = partial_of(path)
    partial.unlink(missing_ok=True)
    try:
        write_synced(partial, data)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def partial_of(path: Path) -> Path:
    """Return the name under which a file is written before it is whole."""
    return path.with_name(f".{path.name}{PARTIAL}")


def write_synced(path: Path, data: bytes) -> None:
    """Write a new private file and have its bytes on the disk.

    Raises:
        OSError: The disk refuses; a part may be there.
    """
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Have the bytes of a file that somebody else wrote on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
