"""A large city under a steady load and under a burst, wire to wire: how late commands are, and what the memory does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]
from tests.faults.broker import Broker
from tests.faults.city import City, temporary_folder
from tests.faults.figures import Figure, Size
from tests.faults.suite_start import large_city

from pilotage import api

GOALS = ("G8", "G9")


@dataclass(frozen=True, slots=True)
class Load:
    """How much of it."""

    streets: int
    rules: int
    rate: int
    seconds: int
    burst: int


LOADS: Final = {
    Size.SHORT: Load(400, 200, 300, 4, 3_000),
    Size.LONG: Load(50_000, 10_000, 5_000, 600, 100_000),
}
EVERY_S: Final = 1.0
SLOPE_FROM: Final = 0.3
"""Share of the time after which the memory should stand: caches are full, the first snapshots are written."""


@dataclass(slots=True)
class Watch:
    """What was seen of the engine meanwhile: (seconds, MB), and how long orders took, in seconds."""

    memory: list[tuple[float, float]] = field(default_factory=list)
    orders: list[float] = field(default_factory=list)
    refused: int = 0

    def slope_per_min(self) -> float:
        """Return how fast the memory grows, MB a minute, by least squares over the later part."""
        some = self.memory[int(len(self.memory) * SLOPE_FROM) :]
        if len(some) < 3:
            return 0.0
        mean_t = sum(t for t, _ in some) / len(some)
        mean_m = sum(m for _, m in some) / len(some)
        over = sum((t - mean_t) ** 2 for t, _ in some)
        return 60.0 * sum((t - mean_t) * (m - mean_m) for t, m in some) / over


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Run the load, then the burst, on one engine."""
    load = LOADS[size]
    with temporary_folder() as folder:
        broker = Broker(folder, more="max_queued_messages 0\nmax_queued_bytes 0\n")
        try:
            city = large_city(folder, broker.port, load.streets, load.rules)
            city.start()
            time.sleep(2.0)  # its connection
            with watched(city, f"b-{load.rules}.level") as steady:
                seen = crowd(broker.port, load, load.seconds, 0)
            say(f"steady: {seen}, memory {steady.memory[-1][1]:.0f} MB")
            with watched(city, f"b-{load.rules}.level") as storm:
                burst = crowd(broker.port, load, 1, load.burst)
            say(f"burst: {burst}, memory at most {max(m for _, m in storm.memory):.0f} MB")
            city.kill()
        finally:
            broker.stop()
    return [*_steady(size, load, seen, steady), *_burst(size, load, burst, steady, storm)]


def crowd(port: int, load: Load, seconds: int, burst: int) -> dict[str, Any]:
    """Run the sensors and lamps as a process; return what they saw."""
    numbers = (port, load.streets, load.rules, load.rate, seconds, burst)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.crowd", *map(str, numbers)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def watched(city: City, point: str) -> Iterator[Watch]:
    """Watch the memory of the engine, and have an operator set a point over and over meanwhile."""
    assert city.process is not None
    watch, stop = Watch(), threading.Event()
    process = psutil.Process(city.process.pid)
    began = time.monotonic()

    def look() -> None:
        while not stop.wait(EVERY_S):
            watch.memory.append((time.monotonic() - began, process.memory_info().rss / 1e6))

    def work() -> None:
        with api.Client(city.socket, 30.0) as client:
            while not stop.wait(0.1):
                asked = time.monotonic()
                order = api.SetOverride(
                    point=point, value=50.0, for_s=60.0, person="ada", reason="test"
                )
                watch.refused += not client.ask(order).taken
                watch.orders.append(time.monotonic() - asked)

    threads = [threading.Thread(target=look), threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _steady(size: Size, load: Load, seen: dict[str, Any], watch: Watch) -> list[Figure]:
    long = size is Size.LONG  # a short run says nothing of latencies and slopes
    what = f"{load.rate:,} readings a second for {load.seconds} s, {load.rules:,} rules, {load.streets:,} entities: "
    p99, slope = seen["p99"] * 1e3, watch.slope_per_min()
    return [
        Figure("G8", f"{what}event to command", "p99 < 50 ms", f"p50 {seen['p50'] * 1e3:.1f} ms, p99 {p99:.1f} ms",
               not long or p99 < 50.0),
        Figure("G8", f"{what}lamps that are not as their rule wants", "0", str(seen["wrong"]), seen["wrong"] == 0),
        Figure("G8", f"{what}memory", "slope 0 (below 1 MB a minute)",
               f"{slope:+.2f} MB a minute at {watch.memory[-1][1]:.0f} MB", not long or slope < 1.0),
    ]  # fmt: skip


def _burst(
    size: Size, load: Load, seen: dict[str, Any], before: Watch, watch: Watch
) -> list[Figure]:
    long = size is Size.LONG
    what = f"{load.burst:,} readings in {seen['burst_s']:.1f} s: "
    longest = max(watch.orders) * 1e3
    more = max(m for _, m in watch.memory) - before.memory[-1][1]
    return [
        Figure("G9", f"{what}lamps that are not as their rule wants", "0", str(seen["wrong"]), seen["wrong"] == 0),
        Figure("G9", f"{what}an operator's order", "< 200 ms, none refused",
               f"at most {longest:.0f} ms, {watch.refused} refused", watch.refused == 0 and (not long or longest < 200)),
        Figure("G9", f"{what}more memory", "< 100 MB", f"{more:+.0f} MB", not long or more < 100),
        Figure("G9", f"{what}all as wanted again", "< 30 s", f"{seen['settled_s']:.1f} s", not long or seen["settled_s"] < 30),
    ]  # fmt: skip
