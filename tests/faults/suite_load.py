"""A large city under a steady load and under a burst, wire to wire: how late commands are, and what the memory does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]
from benchmarks.watch import Watch, watching
from tests.faults.broker import Broker
from tests.faults.city import City, temporary_folder, until
from tests.faults.figures import Figure, Size
from tests.faults.suite_start import large_city

from pilotage import api

GOALS = ("G8", "G9")


@dataclass(frozen=True, slots=True)
class Load:
    """How much of it.

    Attributes:
        settle_ms: How long nothing is sent before the lamps are looked at.
    """

    streets: int
    rules: int
    rate: int
    seconds: int
    burst: int
    settle_ms: int


LOADS: Final = {
    Size.SHORT: Load(400, 200, 300, 2, 3_000, 300),
    Size.LONG: Load(50_000, 10_000, 5_000, 600, 100_000, 1_500),
}
ORDER_EVERY_S: Final = 0.1


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Run the load, then the burst, on one engine."""
    load = LOADS[size]
    with temporary_folder() as folder:
        broker = Broker(folder, more="max_queued_messages 0\nmax_queued_bytes 0\n")
        try:
            city = large_city(folder, broker.port, load.streets, load.rules)
            city.start()
            until(lambda: city.ask(api.GetStatus()).connections[0].state == "up", "no connection")
            with watched(city, load) as steady:
                seen = crowd(broker.port, load, load.seconds, 0)
            say(f"steady: {seen}, memory {steady.memory_mb[-1]:.0f} MB")
            with watched(city, load) as storm:
                burst = crowd(broker.port, load, 1, load.burst)
            say(f"burst: {burst}, memory at most {max(storm.memory_mb):.0f} MB")
            city.kill()
        finally:
            broker.stop()
    return [*_steady(size, load, seen, steady), *_burst(size, load, burst, steady, storm)]


def crowd(port: int, load: Load, seconds: int, burst: int) -> dict[str, Any]:
    """Run the sensors and lamps as a process; return what they saw."""
    numbers = (port, load.streets, load.rules, load.rate, seconds, burst, load.settle_ms)
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


def watched(city: City, load: Load) -> AbstractContextManager[Watch]:
    """Watch the engine, and have an operator set the last lamp meanwhile."""
    assert city.process is not None
    process = psutil.Process(city.process.pid)
    return watching(process, city.socket, [f"b-{load.rules}.level"], ORDER_EVERY_S)


def _steady(size: Size, load: Load, seen: dict[str, Any], watch: Watch) -> list[Figure]:
    long = size is Size.LONG  # a short run says nothing of latencies and slopes
    what = f"{load.rate:,} readings a second for {load.seconds} s, {load.rules:,} rules, {load.streets:,} entities: "
    p99, slope = seen["p99"] * 1e3, watch.slope_mb_per_min()
    return [
        Figure("G8", f"{what}event to command", "p99 < 50 ms", f"p50 {seen['p50'] * 1e3:.1f} ms, p99 {p99:.1f} ms",
               not long or p99 < 50.0),
        Figure("G8", f"{what}lamps that are not as their rule wants", "0", str(seen["wrong"]), seen["wrong"] == 0),
        Figure("G8", f"{what}memory", "slope 0 (below 1 MB a minute)",
               f"{slope:+.2f} MB a minute at {watch.memory_mb[-1]:.0f} MB", not long or slope < 1.0),
    ]  # fmt: skip


def _burst(
    size: Size, load: Load, seen: dict[str, Any], before: Watch, watch: Watch
) -> list[Figure]:
    long = size is Size.LONG
    what = f"{load.burst:,} readings in {seen['burst_s']:.1f} s: "
    longest = watch.longest_order_s() * 1e3
    more = max(watch.memory_mb) - before.memory_mb[-1]
    return [
        Figure("G9", f"{what}lamps that are not as their rule wants", "0", str(seen["wrong"]), seen["wrong"] == 0),
        Figure("G9", f"{what}an operator's order", "< 200 ms, none refused",
               f"at most {longest:.0f} ms, {watch.refused} refused", watch.refused == 0 and (not long or longest < 200)),
        Figure("G9", f"{what}more memory", "< 100 MB", f"{more:+.0f} MB", not long or more < 100),
        Figure("G9", f"{what}all as wanted again", "< 30 s", f"{seen['settled_s']:.1f} s", not long or seen["settled_s"] < 30),
    ]  # fmt: skip
