"""Who commands a partition on this machine: a lock on a file that its owner's death releases."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pilotage.ports import OwnedElsewhereError

THE_CITY: Final = "city"
# One sector of a disk: it is written whole or not at all, and the epoch with it.
_RECORD_BYTES: Final = 512
_MOST_TEXT: Final = 120


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a partition, or owned it last.

    Attributes:
        epoch: Of this ownership; each has a higher one than all before it.
        pid: The process.
        host: The machine.
        since: From when on, ISO 8601 in UTC.
        command: How the process was called.
        folder: Where it was called.
    """

    epoch: int = 0
    pid: int = 0
    host: str = ""
    since: str = ""
    command: str = ""
    folder: str = ""

    def __str__(self) -> str:
        """Return the owner as a message names it."""
        if not self.pid:
            return "an unknown process"
        host = f" on {self.host}" if self.host else ""
        since = f" since {self.since}" if self.since else ""
        call = f", called as `{self.command}` in {self.folder}" if self.command else ""
        return f"process {self.pid}{host}{since}{call}"


class FileOwnership:
    """Ownership by a locked file per partition; the file says who holds it, and keeps the epoch."""

    def __init__(self, folder: Path) -> None:
        """Keep the files in a folder, which is made when it is missing."""
        self._folder = folder
        self._held: dict[str, int] = {}

    def acquire(self, partition: str) -> int:
        """Lock a partition and return its new epoch.

        Raises:
            OwnedElsewhereError: Another process holds it; the text says which.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{partition}.owner"
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = _read(handle)
            os.close(handle)
            raise OwnedElsewhereError(
                f"{path}: an engine runs already: {owner}\n"
                f"   mend: stop it first{f' (`kill {owner.pid}`)' if owner.pid else ''}, or give this one a folder of"
                " its own under storage:"
            ) from error
        epoch = _read(handle).epoch + 1
        _write(handle, _ourselves(epoch))
        self._held[partition] = handle
        return epoch

    def release(self, partition: str) -> None:
        """Unlock a partition."""
        handle = self._held.pop(partition, None)
        if handle is not None:
            os.close(handle)


def is_held(folder: Path, partition: str) -> bool:
    """Return whether an engine runs on a storage folder now."""
    try:
        handle = os.open(folder / f"{partition}.owner", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def read_owner(path: Path) -> Owner:
    """Return who owns a partition, or owned it last, from its file."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read(handle)
    finally:
        os.close(handle)


def _ourselves(epoch: int) -> Owner:
    return Owner(
        epoch,
        os.getpid(),
        socket.gethostname()[:_MOST_TEXT],
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        " ".join(sys.orig_argv)[:_MOST_TEXT],
        str(Path.cwd())[:_MOST_TEXT],
    )


def _write(handle: int, owner: Owner) -> None:
    """Write who owns it over what stood there: one sector, so that the epoch is never lost in between."""
    data = json.dumps(asdict(owner)).encode("ascii")
    if len(data) >= _RECORD_BYTES:  # escaped texts can be longer than they look
        data = json.dumps({"epoch": owner.epoch, "pid": owner.pid}).encode("ascii")
    os.pwrite(handle, data.ljust(_RECORD_BYTES - 1) + b"\n", 0)
    os.ftruncate(handle, _RECORD_BYTES)
    os.fsync(handle)


def _read(handle: int) -> Owner:
    """Return the owner in a file; nobody in epoch 0 for a new or damaged one."""
    text = os.pread(handle, _RECORD_BYTES, 0).decode("ascii", "replace")
    try:
        found = json.loads(text)
        if isinstance(found, dict) and isinstance(found.get("epoch"), int):
            return Owner(**found)
    except (ValueError, TypeError):
        pass
    words = text.split()  # before: epoch and process
    numbers = [int(word) for word in words[:2] if word.isascii() and word.isdigit()]
    return Owner(numbers[0], numbers[1]) if len(numbers) == 2 else Owner()
