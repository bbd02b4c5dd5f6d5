"""What a process with a plugin may do: bounded memory and files, no dumps, no new rights, no life after the engine."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

MARGIN: Final = 1 << 30
"""Address space beside what may be resident: code of libraries, stacks of threads, arenas of the allocator."""
FILES: Final = 1_024
NICE: Final = 10
OOM_FIRST: Final = 800

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38


def confine(memory: int) -> None:
    """Bind this process and all that it starts.

    Args:
        memory: Resident bytes; the engine ends a process that has more, and an allocation far above fails at once.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, FILES)
    _limit(resource.RLIMIT_AS, memory + MARGIN)
    die_with_parent()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    _yield_to_the_engine()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_FIRST))


def _yield_to_the_engine() -> None:
    """Be less urgent than the engine, and all that this process starts with it.

    Where the kernel schedules sessions as groups (`sched_autogroup_enabled`), a value of `nice` counts within its session only, and a
    keeper has one of its own: the group gets the same value (sched(7), "The autogroup feature").
    """
    with contextlib.suppress(OSError):
        os.nice(NICE)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(NICE))


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; where it cannot, the closed socket does the same later."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _told(pid: int, what: str) -> str:
    # Not by a Path: it interns its parts, and each number that comes and goes uses up a place in Python's table of
    # interned texts; this is asked several times a second, and the table doubled after ten minutes (1 MB).
    with open(f"/proc/{pid}/{what}", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        return file.read()


def resident(pid: int) -> int:
    """Return the resident bytes of a process, 0 when it is gone or cannot be seen."""
    try:
        return int(_told(pid, "statm").split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def parent(pid: int) -> int:
    """Return the parent of a process, 0 when it is gone or cannot be seen."""
    try:
        return int(_told(pid, "stat").rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


_PAGE: Final = resource.getpagesize()


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    most = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(what, (most, most))


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
