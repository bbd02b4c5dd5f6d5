"""Looks at a running engine from outside: its CPU and memory each second, and how long an operator's orders take meanwhile.

One room for the benchmarks and for `tests/faults`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

from pilotage import api

LOOK_EVERY_S: Final = 1.0
SLOPE_FROM: Final = 0.3
"""Share of the time after which memory should stand: caches are full, the first snapshots are written."""


@dataclass(slots=True)
class Watch:
    """What was seen, by the monotonic clock.

    Attributes:
        at: When it was looked.
        cpu_s: Seconds of CPU the process had used by then.
        memory_mb: What it held then.
        orders: When each order was given, and how many seconds its receipt took.
        refused: Orders that were not taken.
    """

    at: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    orders: list[tuple[float, float]] = field(default_factory=list)
    refused: int = 0

    def look(self, watched: psutil.Process) -> None:
        """Take one look."""
        used = watched.cpu_times()
        self.at.append(time.monotonic())
        self.cpu_s.append(used.user + used.system)
        self.memory_mb.append(watched.memory_info().rss / 1e6)

    def slope_mb_per_min(self) -> float:
        """Return how fast memory grows, by least squares over the later part; 0 when there is too little of it."""
        first = int(len(self.at) * SLOPE_FROM)
        at, memory = self.at[first:], self.memory_mb[first:]
        if len(at) < 3:
            return 0.0
        mean_t, mean_m = sum(at) / len(at), sum(memory) / len(memory)
        over = sum((t - mean_t) ** 2 for t in at)
        pairs = zip(at, memory, strict=True)
        return 60.0 * sum((t - mean_t) * (m - mean_m) for t, m in pairs) / over

    def longest_order_s(self) -> float:
        """Return the longest an order took."""
        return max(took for _, took in self.orders)


@contextlib.contextmanager
def watching(
    watched: psutil.Process, socket: Path, points: Sequence[str], every_s: float
) -> Iterator[Watch]:
    """Watch a process each second, and have an operator set points in turn, over and over, through its control socket.

    Args:
        watched: The engine.
        socket: Its control socket.
        points: Levels in per cent; what is set differs from order to order.
        every_s: Rest between two orders.
    """
    watch, stop = Watch(), threading.Event()

    def look() -> None:
        while not stop.wait(LOOK_EVERY_S):
            watch.look(watched)

    def work() -> None:
        number = 0
        with api.Client(socket, 30.0) as client:
            while not stop.wait(every_s):
                asked, number = time.monotonic(), number + 1
                watch.refused += not client.ask(_order(points, number)).taken
                watch.orders.append((asked, time.monotonic() - asked))

    watch.look(watched)
    threads = [threading.Thread(target=act, daemon=True) for act in (look, work)]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _order(points: Sequence[str], number: int) -> api.SetOverride:
    return api.SetOverride(
        point=points[number % len(points)],
        value=50.0 + number % 10,
        for_s=60.0,
        person="ada",
        reason="bench",
    )
