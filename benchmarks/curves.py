"""What an update costs as the city grows: against rules, points, instances, windows and moving pairs; and what memory costs.

`python -m benchmarks.curves [--quick] [--json FILE]`. Each size runs in a process of its own, on one axis while the others
stand. An update's cost is CPU time at 64 readings a tick; what was decided is counted, and a size that decides otherwise than the
others on its axis is no figure.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.w1 import BATCH, START
from pilotage.core.engine import Engine
from pilotage.core.image import dump, load
from pilotage.language.rules import load_or_refuse
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.messages import Reading, RuleChanged
from pilotage.model.quality import Quality
from pilotage.model.values import POSITION, Position, number

LEVEL: Final = PointSpec("level", number("%"), Access.BOTH, low=0.0, high=100.0, default=100.0)
METER: Final = Kind(
    "meter",
    "Meter",
    (
        PointSpec("power", number("kW")),
        PointSpec("voltage", number("V")),
        LEVEL,
    ),
)
POST: Final = Kind("post", "Post", (PointSpec("position", POSITION, Access.FIXED), LEVEL))
CART: Final = Kind(
    "cart", "Cart", (PointSpec("position", POSITION), PointSpec("load", number("%")))
)
KINDS: Final = {kind.name: kind for kind in (METER, POST, CART)}

ONE: Final = """
  one-{n}:
    title: One
    owner: bench
    for_each: {{meter: {{kind: meter, where: meter.id == "m-{n}"}}}}
    while: meter.power > 500 kW
    hold: [{{set: meter.level, to: 30 %, priority: saving}}]
"""
EACH: Final = """
  each:
    title: Each
    owner: bench
    for_each: {meter: {kind: meter}}
    while: meter.power > 500 kW
    hold: [{set: meter.level, to: 30 %, priority: saving}]
"""
WINDOW: Final = """
  window:
    title: Window
    owner: bench
    for_each: {{meter: {{kind: meter}}}}
    while: avg(meter.power, {span}) > 500 kW
    hold: [{{set: meter.level, to: 30 %, priority: saving}}]
"""
NEAR: Final = """
  near:
    title: Near
    owner: bench
    for_each: {post: {kind: post}, cart: {kind: cart, within: 100 m, of: post}}
    while: cart.load > 90 %
    hold: [{set: post.level, to: 30 %, priority: saving}]
"""
CODE: Final = "bench"
PER_FILE: Final = 2_000
UPDATES: Final = 60_000
ACTING: Final = 0.02
"""Share of the updates that change what a rule wants."""


@dataclass(frozen=True, slots=True)
class Size:
    """One city on one axis.

    Attributes:
        axis: What grows.
        size: How large it is.
        rules: The rule files, by name: one file holds a megabyte at most.
        inventory: Its entities.
        readings: Makes the updates of the built city.
    """

    axis: str
    size: int
    rules: dict[str, str]
    inventory: Callable[[], list[EntitySpec]]
    readings: Callable[[Engine], list[tuple[str, Any]]]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a size costs.

    Attributes:
        update_us: CPU of one update.
        transitions: Changes of rules among the updates.
        load_s: CPU to check the rules and make the engine.
        memory_mb: Of the process, less what it had before the city.
        image_mb: Of the snapshot.
        dump_s: CPU to write it.
        restore_s: CPU to read it.
    """

    axis: str
    size: int
    update_us: float
    transitions: int
    load_s: float
    memory_mb: float
    image_mb: float
    dump_s: float
    restore_s: float


def meters(count: int) -> list[EntitySpec]:
    """Return so many meters."""
    return [EntitySpec(f"m-{n}", "meter") for n in range(count)]


def powers(count: int) -> list[tuple[str, Any]]:
    """Return updates of the first meters: most stay on their side of the threshold."""
    dice, high = random.Random(1), [False] * count
    found: list[tuple[str, Any]] = []
    for at in range(UPDATES):
        n = dice.randrange(count)
        if at % round(1 / ACTING) == 0:
            high[n] = not high[n]
        found.append(
            (f"m-{n}.power", float(dice.randrange(600, 900) if high[n] else dice.randrange(400)))
        )
    return found


SPACING: Final = 0.002
"""Degrees between two posts: some 200 m."""
STEP: Final = 0.00015
"""Degrees that a cart moves between two readings: some 15 m."""


def positions(count: int) -> list[tuple[str, Any]]:
    """Return updates of carts that walk among the posts."""
    dice, side = random.Random(1), SPACING * count**0.5
    carts = [Position(47.3 + dice.random() * side, 5.0 + dice.random() * side) for _ in range(100)]
    found: list[tuple[str, Any]] = []
    for _ in range(UPDATES // 4):
        n = dice.randrange(len(carts))
        here = carts[n]
        carts[n] = Position(
            here.latitude + dice.uniform(-STEP, STEP), here.longitude + dice.uniform(-STEP, STEP)
        )
        found.append((f"c-{n}.position", carts[n]))
    return found


def square(count: int) -> list[EntitySpec]:
    """Return posts on a grid, and a hundred carts; with more posts the square is larger, not denser."""
    side = round(count**0.5)
    posts = [
        EntitySpec(
            f"p-{n}",
            "post",
            f"Post {n}",
            {"position": Position(47.3 + n // side * SPACING, 5.0 + n % side * SPACING)},
        )
        for n in range(count)
    ]
    return [*posts, *(EntitySpec(f"c-{n}", "cart") for n in range(100))]


def many(count: int) -> dict[str, str]:
    """Return so many rules, each for one meter, in files of some."""
    starts = range(0, count, PER_FILE)
    return {
        f"bench-{start}.yaml": "rules:"
        + "".join(ONE.format(n=n) for n in range(start, min(start + PER_FILE, count)))
        for start in starts
    }


def one(text: str) -> dict[str, str]:
    """Return a single rule file."""
    return {"bench.yaml": f"rules:{text}"}


def sizes(axis: str, size: int) -> Size:
    """Return one size of an axis."""
    same = 100  # of these meters the updates speak, whatever stands beside them
    if axis == "rules":
        return Size(axis, size, many(size), lambda: meters(size), lambda _: powers(same))
    if axis == "points":
        return Size(axis, size, many(same), lambda: meters(size // 3), lambda _: powers(same))
    if axis == "instances":
        return Size(axis, size, one(EACH), lambda: meters(size), lambda _: powers(same))
    if axis == "window, min":
        rules = one(WINDOW.format(span=f"{size} min"))
        return Size(axis, size, rules, lambda: meters(same), lambda _: powers(same))
    return Size(axis, size, one(NEAR), lambda: square(size), lambda _: positions(size))


AXES: Final = {
    "rules": (100, 1_000, 10_000, 30_000),
    "points": (10_000, 100_000, 1_000_000),
    "instances": (100, 1_000, 10_000, 30_000),
    "window, min": (1, 60, 1_440),
    "posts": (100, 1_000, 10_000),
}
QUICK: Final = {axis: found[:2] for axis, found in AXES.items()}


def measure(size: Size) -> Cost:
    """Build the city, run the updates, and write and read its image."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    gc.disable()
    program = load_or_refuse(size.rules, KINDS)
    engine = Engine(program, size.inventory(), START)
    engine.tick(START)
    load_s = time.process_time() - begin
    gc.enable()
    gc.collect()
    gc.freeze()
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    found = size.readings(engine)
    half = len(found) // 2
    now, _, _ = run(engine, found[:half], START)  # warm: the first reading of a point costs more
    _, spent, transitions = run(engine, found[half:], now)
    begin = time.process_time()
    image = dump(engine, CODE)
    dumped = time.process_time()
    load(image, {}, CODE)
    return Cost(
        size.axis,
        size.size,
        spent / (len(found) - half) * 1e6,
        transitions,
        load_s,
        memory,
        len(image) / 1e6,
        dumped - begin,
        time.process_time() - dumped,
    )


def run(engine: Engine, found: list[tuple[str, Any]], now: float) -> tuple[float, float, int]:
    """Return the time afterwards, the CPU seconds, and how often a rule changed."""
    batches = []
    for start in range(0, len(found), BATCH):
        now += 0.05
        batches.append(
            (
                now,
                [
                    Reading(engine.cells[point], value, Quality.GOOD, now)
                    for point, value in found[start : start + BATCH]
                ],
            )
        )
    transitions = 0
    begin = time.process_time()
    for at, readings in batches:
        decision = engine.tick(at, readings)
        if decision is not None:
            transitions += sum(type(event) is RuleChanged for event in decision.events)
    return now, time.process_time() - begin, transitions


HEAD: Final = f"{'axis':12} | {'size':>9} | update µs | changes | load s | city MB | image MB | write s | read s"


def row(cost: Cost) -> str:
    """Return one line of the table."""
    return (
        f"{cost.axis:12} | {cost.size:9,} | {cost.update_us:9.2f} | {cost.transitions:7,} | {cost.load_s:6.2f} "
        f"| {cost.memory_mb:7.0f} | {cost.image_mb:8.1f} | {cost.dump_s:7.2f} | {cost.restore_s:6.2f}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each size in a process of its own, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the two smallest sizes of each axis")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--one", nargs=2, metavar=("AXIS", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one is not None:
        print(json.dumps(asdict(measure(sizes(options.one[0], int(options.one[1]))))))
        return 0
    print(HEAD, flush=True)
    found: list[Cost] = []
    for axis, of in (QUICK if options.quick else AXES).items():
        for size in of:
            found.append(in_a_process(axis, size))
            print(row(found[-1]), flush=True)
        refuse_other_work([cost for cost in found if cost.axis == axis])
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(cost) for cost in found], indent=1) + "\n")
    return 0


def in_a_process(axis: str, size: int) -> Cost:
    """Return the cost of a size, or end with what went wrong."""
    command = [sys.executable, "-m", "benchmarks.curves", "--one", axis, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return Cost(**json.loads(done.stdout))


def refuse_other_work(costs: Sequence[Cost]) -> None:
    """End unless every size of an axis decided the same; windows of another length, and other posts, must not."""
    if costs[0].axis in ("rules", "points", "instances"):
        counts = {cost.transitions for cost in costs}
        if len(counts) != 1 or not counts.pop():
            sys.exit(f"{costs[0].axis}: the sizes did not do the same work: {costs}")


if __name__ == "__main__":
    sys.exit(main())
