"""How often values fell below each of some bounds: two additions a value, no lock, no name looked up.

Each histogram has one writer; a reader sees whole numbers, if not all of the same instant.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

LATENCIES_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Bounds for what people or the disk may wait for."""
SHORT_S: Final = (0.0001, 0.0002, 0.0005, *LATENCIES_S[:-2])
"""Bounds for what the event loop does."""


class Histogram:
    """Counts of values by bounds, and their sum."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin empty, with bounds in ascending order."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self._counts)

    @property
    def buckets(self) -> list[tuple[float, int]]:
        """Each bound with how many values were at most that; the last bound is infinite."""
        below, found = 0, []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            below += count
            found.append((bound, below))
        return found
