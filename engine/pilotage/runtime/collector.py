"""Keeps the full collections of Python's garbage collector short.

A full collection looks at every object that has lasted, and holds the event loop meanwhile: with 300,000 points that were heard
for the first time, half a second. What has just been found alive need not be looked at again: after a collection that took
long, everything is taken out of the collector's sight. Of that, only what dies later *in a circle* is kept until the next start:
the circles of a working day (requests, connections, their errors) die young, and are found.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

LONG_S: Final = 0.005
OFTEN: Final = (700, 5, 1)
"""Thresholds under which a full collection has few objects to look at, some thousands: 5 ms instead of 60."""
FEW: Final = 50_000
"""So many objects, made meanwhile, are looked at in some milliseconds."""


@contextmanager
def no_collections() -> Iterator[None]:
    """Hold the collector back while much is made that stays, and take that out of its sight; not what an error leaves behind.

    It would look at millions of objects again and again, and hold the loop for a second, to find nothing: reading 10,000
    rules leaves 800 objects in circles. When little was made, as by a reload of one file, what lies about in circles is freed
    before: out of sight it would stay for ever.
    """
    gc.disable()
    try:
        yield
        if gc.get_count()[0] < FEW:
            gc.collect()
        gc.freeze()
    finally:
        gc.enable()


class uninterrupted:  # noqa: N801 - used as a statement
    """Holds the collector back inside: what a tick makes stays until its decision is written.

    A collection amid the 34,000 commands of dusk would look at all of them in vain, again and again: 1.0 s of 1.7.
    """

    __slots__ = ("_was_on",)

    def __enter__(self) -> None:
        """Hold it back."""
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        """Let it go on, unless somebody else holds it back."""
        if self._was_on:
            gc.enable()


class ShortCollections:
    """Belongs to the process; between `start` and `stop` a full collection finds little to look at."""

    def __init__(self) -> None:
        self._before = gc.get_threshold()
        self._began = 0.0
        self._is_on = False

    def start(self) -> None:
        """Begin, once everything that stays was made and frozen."""
        if self._is_on:
            return
        self._is_on = True
        self._before = gc.get_threshold()
        gc.collect()  # finds nothing; the collector learns how little there is, and looks as often as OFTEN says
        gc.set_threshold(*OFTEN)
        gc.callbacks.append(self._collected)

    def stop(self) -> None:
        """Give the collector back as it was."""
        if self._is_on:
            self._is_on = False
            gc.callbacks.remove(self._collected)
            gc.set_threshold(*self._before)

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        if info["generation"] != 2:
            return
        if phase == "start":
            self._began = time.perf_counter()
        elif time.perf_counter() - self._began > LONG_S:
            gc.freeze()
