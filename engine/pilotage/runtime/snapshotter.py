"""Keeps the engine's state on disk from time to time, without holding the engine.

A forked child has the memory of one moment between two ticks to itself, at the cost of the page tables: it writes at its
leisure while the engine goes on. It touches nothing that it shares with its parent: no socket, no lock, no file but its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import warnings
from collections.abc import Callable
from typing import Any, Final

from pilotage.model.diagnostics import Severity
from pilotage.ports import HealthLog, Snapshot, SnapshotStore

FIRST_S: Final = 1.0
LONGEST_S: Final = 120.0
"""A child that writes for so long hangs, and is ended."""
NICE: Final = 10
MOST_TEXT: Final = 2_000
_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG of linux/prctl.h

log = logging.getLogger("pilotage.snapshots")

with contextlib.suppress(
    OSError
):  # before a fork: a child that loads libraries may wait for a lock
    _LIBC: Any = ctypes.CDLL(None, use_errno=True)


class Snapshotter:
    """Writes snapshots of one partition; lives in the event loop."""

    def __init__(
        self,
        partition: str,
        store: SnapshotStore,
        take: Callable[[], Snapshot],
        position: Callable[[], int],
        health: HealthLog,
        every_s: float,
    ) -> None:
        """Prepare; nothing is written before `start`.

        Args:
            partition: Whose state.
            store: Where it is kept.
            take: Returns the state of this moment; called in the child, or at the end in the process itself.
            position: What moves on when there is something new to keep.
            health: Where trouble is told.
            every_s: Pause between two snapshots, in seconds.
        """
        self._partition = partition
        self._store = store
        self._take = take
        self._position = position
        self._health = health
        self._every_s = every_s
        self._kept_at = -1
        self._timer: asyncio.TimerHandle | None = None
        self._child: _Child | None = None

    def start(self) -> None:
        """Begin: the first snapshot comes soon, the others at their pace."""
        self._plan(FIRST_S)

    def soon(self) -> None:
        """Take the next one now: what cannot be replayed has changed."""
        self._kept_at = -1
        self._plan(0.0)

    def stop(self) -> None:
        """Take no more, and end a child that still writes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._child is not None:
            self._child.end()
            self._child = None

    def take_now(self) -> None:
        """Write a snapshot in this process, and wait for it: nothing else is going on any more."""
        if self._position() == self._kept_at:
            return
        try:
            self._store.write(self._partition, self._take())
        except Exception as error:
            self._failed(f"{type(error).__name__}: {error}")
        else:
            self._kept_at = self._position()

    def _plan(self, wait_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._due)

    def _due(self) -> None:
        self._plan(self._every_s)
        position = self._position()
        if self._child is not None or position == self._kept_at:
            return
        try:
            self._child = _Child(self._write, lambda why: self._done(position, why))
        except OSError as error:
            self._failed(f"no child process could be made: {error}")

    def _write(self) -> None:
        self._store.write(self._partition, self._take())

    def _done(self, position: int, why: str) -> None:
        self._child = None
        if why:
            self._failed(why)
            return
        self._kept_at = position
        self._health.count("snapshots")
        self._health.cleared("snapshot.failed")

    def _failed(self, why: str) -> None:
        self._health.raised(
            "snapshot.failed",
            f"the state of the engine could not be kept: {why}; a restart replays what came since the last one",
            "see that the disk has room and that the engine may write there",
            Severity.WARNING,
        )


class _Child:
    """A forked process that does one thing and ends; `done` is told why it failed, or nothing."""

    def __init__(self, work: Callable[[], None], done: Callable[[str], None]) -> None:
        self._done = done
        self._loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # From 3.12 on Python warns of threads that hold locks; the child takes none that a thread could hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            _be_child(writing, work)
        os.close(writing)
        os.set_blocking(reading, False)
        self._pipe = reading
        self._said = b""
        self._loop.add_reader(reading, self._read)
        self._limit = self._loop.call_later(LONGEST_S, self._kill)

    def _read(self) -> None:
        """Take what the child says; it has ended when it closes its end."""
        with contextlib.suppress(BlockingIOError):
            some = os.read(self._pipe, MOST_TEXT)
            self._said += some
            if not some:
                code = self._reap()
                why = self._said.decode("utf-8", "replace")
                self._done(why or ("" if code == 0 else f"the child process ended with {code}"))

    def _reap(self) -> int:
        self._limit.cancel()
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
        _, status = os.waitpid(self._pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill it and wait."""
        self._kill()
        self._reap()


def _be_child(writing: int, work: Callable[[], None]) -> None:
    """Do the work with nothing shared, say what went wrong, and end without any farewell."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        os.dup2(writing, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        gc.disable()
        os.nice(NICE)
        work()
        code = 0
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(3, f"{type(error).__name__}: {error}".encode()[:MOST_TEXT])
    finally:
        os._exit(code)
