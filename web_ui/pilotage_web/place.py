"""One web process per site: whoever comes later takes the place of one that was left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path
from typing import Final, Self

FILE: Final = "web.pid"
ADDRESS: Final = "web.url"
POLITE_S: Final = 3.0
FORCE_S: Final = 3.0


class Place:
    """The place of a web process, held as long as it runs: a locked file with its number; a context manager."""

    def __init__(self, folder: Path) -> None:
        """Name the folder of the pages."""
        self._path = folder / FILE
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take the place; a process that holds it is asked to go, then ended.

        Raises:
            TimeoutError: It does not go.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for number, seconds in ((signal.SIGTERM, POLITE_S), (signal.SIGKILL, FORCE_S)):
            if self._try():
                break
            self._end_other(number)
            until = time.monotonic() + seconds
            while not self._try() and time.monotonic() < until:
                time.sleep(0.02)
        if not self._try():
            raise TimeoutError(f"another web process holds {self._path} and does not go")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it."""
        os.close(self._descriptor)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _end_other(self, number: signal.Signals) -> None:
        # Who holds the lock is alive, so that the number in the file is its own.
        written = os.pread(self._descriptor, 32, 0).strip()
        if written.isdigit():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(written), number)


def tell_address(folder: Path, url: str) -> None:
    """Write down where the pages listen, for the command line; it counts as long as the place is held."""
    (folder / ADDRESS).write_text(f"{url}\n", encoding="utf-8")


def address_of(folder: Path) -> str:
    """Return where the pages of a folder listen; nothing when none run, or their folder is somebody else's."""
    try:
        with (folder / FILE).open("rb") as place:
            fcntl.flock(place.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(OSError):
            return (folder / ADDRESS).read_text(encoding="utf-8").strip()
    except OSError:
        pass
    return ""
