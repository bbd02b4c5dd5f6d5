"""How the C library keeps the memory of this process: near together, so that an engine that runs for months stays as small.

Source: mallopt(3) and malloc_trim(3) of the Linux man-pages. Other C libraries than glibc have neither, and nothing is done.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
OWN_PLACE: Final = 1 << 20
"""A block from this size on is mapped by itself, and goes back to the system when it is freed; in bytes."""
KEPT: Final = 4 << 20
"""So much free memory at the top is kept: a buffer that comes and goes costs no call of the system; in bytes."""
_C: Final = ctypes.CDLL(None)
_SET: Final[Callable[[int, int], int]] = getattr(_C, "mallopt", lambda *_: 0)
_TRIM: Final[Callable[[int], int]] = getattr(_C, "malloc_trim", lambda _: 0)


def keep_together() -> None:
    """Have one arena for all threads and a bound for large blocks that does not move; before the threads begin.

    An arena for each thread, and a bound that rises with what was freed, leave holes between what stays: some MB more each
    hour. The threads of the engine wait for each other anyway, for the interpreter.
    """
    _SET(_M_ARENA_MAX, 1)
    _SET(_M_MMAP_THRESHOLD, OWN_PLACE)
    _SET(_M_TRIM_THRESHOLD, KEPT)


def give_back() -> None:
    """Give the system back what has been freed; takes some milliseconds, without the interpreter's lock."""
    _TRIM(0)
