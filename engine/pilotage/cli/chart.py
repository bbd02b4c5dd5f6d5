"""A small chart of numbers over time, in characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"


def chart(columns: Sequence[float | None], height: int = 6) -> list[str]:
    """Return the lines of a chart, the highest first: a column for each number, an empty one where it is unknown.

    The lowest number has a column of its own, so that known and unknown are told apart.
    """
    known = [number for number in columns if number is not None]
    if not known:
        return []
    low, high = min(known), max(known)
    steps = height * 8
    heights = [None if n is None else _height(n, low, high, steps) for n in columns]
    lines: list[str] = []
    for row in range(height - 1, -1, -1):
        cells = (" " if h is None else _EIGHTHS[max(0, min(8, h - row * 8))] for h in heights)
        lines.append("".join(cells).rstrip())
    return lines


def _height(number: float, low: float, high: float, steps: int) -> int:
    return 1 + round((number - low) / (high - low) * (steps - 1)) if high > low else steps // 2


def resampled(
    values: Sequence[tuple[float, float | None]], since: float, until: float, count: int
) -> list[float | None]:
    """Return what held in the middle of each of `count` stretches; values are pairs of time and number, in order."""
    found: list[float | None] = []
    at = 0
    for index in range(count):
        middle = since + (until - since) * (index + 0.5) / count
        while at < len(values) and values[at][0] <= middle:
            at += 1
        found.append(values[at - 1][1] if at else None)
    return found
