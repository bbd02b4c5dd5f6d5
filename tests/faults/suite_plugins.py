"""Plugins that do wrong in every way that we know: the rest of the city does not wait for them, and each is named and mended.

One engine has a connection that blinks, to measure how long it takes from a reading to the command that follows, and many
connections of a plugin that does wrong on request, each in a process of its own. Another engine has them inside.
"""

from __future__ import annotations

import random
import re
import shutil
import statistics
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.faults.city import City, temporary_folder, until
from tests.faults.figures import Figure, Size

from pilotage import api
from pilotage.runtime.loop_watch import EXIT_STUCK

GOALS = ("G7",)
ROGUE: Final = Path(__file__).parent / "rogue"
LIGHTS: Final = 4
EVERY_S: Final = 0.003
QUIET_S: Final = 1.0
"""How long the city is looked at before a fault."""
STAYS_S: Final = 1.0
"""How long it is looked at while a plugin does wrong that does not end it."""
DETECTED_S: Final = 2.0
RESTART_S: Final = 0.05
SHORT_P99_S: Final = 0.25  # of a machine that does ten other things at the same time
MORE: Final = 1.10

DEADLY: Final = (
    "spin", "sleep", "abort", "exit", "crash", "allocate", "descriptors", "close", "garbage", "leak",
)  # fmt: skip
STAYING: Final = ("flood", "lie", "raise", "callback")
FAULTS: Final = (*DEADLY, *STAYING)
SHORT_FAULTS: Final = tuple(f for f in FAULTS if f not in ("crash", "descriptors", "callback"))
INSIDE: Final = ("raise", "lie", "callback", "flood", "sleep")
INSIDE_SHORT: Final = ("raise", "sleep")
LONG_FAULTS: Final = 252

RULES: Final = """\
version: 1
rules:
  show-what-is-seen:
    title: Show what is seen
    owner: lighting
    for_each: {light: {kind: pulse_light}}
    while: light.seen
    hold:
      - {set: light.shown, to: true, priority: saving}
"""


class RogueCity(City):
    """A city that blinks, with connections that do wrong on request.

    Attributes:
        asked: How often each connection was asked for something.
        rogues: Their names.
        is_isolated: Whether each is a process of its own.
    """

    def __init__(self, folder: Path, rogues: list[str], *, isolate: bool) -> None:
        self.asked: dict[str, int] = defaultdict(int)
        self.rogues = rogues
        self.is_isolated = isolate
        orders = folder / "orders"
        orders.mkdir()
        for name in rogues:
            (orders / name).write_text("")
        how = "isolate: true, memory: 120 MB, " if isolate else f"hold: {STAYS_S}, "
        connections = "".join(
            f"  {name}: {{adapter: rogue, {how}seconds: {STAYS_S}, orders: {orders / name}}}\n"
            for name in rogues
        )
        config = (
            "site: {name: Rogueville, time_zone: Europe/Paris, position: [47.32, 5.04], country: FR}\n"
            f"storage: {{journal: {{sync: normal}}}}\n"
            f"inventory: [lights.yaml]\nconnections:\n"
            f"  pulse: {{adapter: pulse, every: {EVERY_S}, out: {folder / 'samples'}}}\n{connections}"
        )
        lights = "".join(f"light-{n}: {{kind: pulse_light}}\n" for n in range(LIGHTS))
        lamps = "".join(f"L-{n}: {{kind: lamp}}\n" for n in range(10))
        super().__init__(
            folder, "", 0, RULES, more={"config.yaml": config, "lights.yaml": lights + lamps}
        )
        shutil.copytree(ROGUE, folder / "site", dirs_exist_ok=True)

    def do(self, name: str, fault: str) -> None:
        """Have a connection do wrong."""
        self.asked[name] += 1
        (self.folder / "orders" / name).write_text(f"{self.asked[name]} {fault}")

    def acts(self, name: str) -> list[tuple[str, float]]:
        """Return what a connection wrote: what it began, or `up`, and when."""
        log = (self.folder / "orders" / name).with_suffix(".log")
        lines = log.read_text().splitlines() if log.exists() else []
        return [(line.split()[0], float(line.split()[1])) for line in lines]

    def is_up(self) -> bool:
        """Whether every connection is."""
        return all(link.state == "up" for link in self.ask(api.GetStatus()).connections)

    def deaths(self) -> dict[str, list[tuple[float, str]]]:
        """Return when the engine said of which connection's process that it has ended, and why."""
        found: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for time_, name, why in _DEATH.findall(self.log.read_text("utf-8", "replace")):
            found[name].append((datetime.fromisoformat(time_).timestamp(), why))
        return found

    def samples(self) -> list[tuple[float, float]]:
        """Return when a command followed a reading, and how long after."""
        file = self.folder / "samples"
        data = file.read_bytes() if file.exists() else b""
        return list(struct.iter_unpack("dd", data[: len(data) // 16 * 16]))


_DEATH: Final = re.compile(
    r"^(\S+ [\d:.]+) ERROR +isolation: connection (\S+): the process of its plugin (.*)$", re.M
)


@dataclass
class Looked:
    """What was seen of one kind of fault.

    Attributes:
        ratios: The 99th percentile while it lasted, over the one before it.
        before: Every latency before such a fault, s.
        during: Every latency while it lasted, s.
        gap: The longest time without any command, s.
    """

    ratios: list[float] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    during: list[float] = field(default_factory=list)
    gap: float = 0.0


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Break plugins apart from the engine, then inside it."""
    return [*_isolated(size, say), *_inside(size, say)]


# ── in processes of their own ────────────────────────────────────────────────────────────────


def _isolated(size: Size, say: Callable[[str], None]) -> list[Figure]:
    short = size is Size.SHORT
    # Five deaths within a minute are a connection's last: the faults go round among enough of them.
    rogues = [f"r{n}" for n in range(len(SHORT_FAULTS) if short else 28)]
    faults = list(SHORT_FAULTS) if short else [FAULTS[n % len(FAULTS)] for n in range(LONG_FAULTS)]
    random.Random(7).shuffle(faults)
    with _city(rogues, isolate=True) as city:
        windows = [
            (fault, _one(city, rogues[n % len(rogues)], fault, short))
            for n, fault in enumerate(faults)
        ]
        time.sleep(0.3)
        assert city.process is not None
        alive = city.process.poll() is None
        samples, deaths = city.samples(), city.deaths()
        restarts = _restarts(city, deaths)
        detections = _detections(city, deaths)
    looked = _look(windows, samples)
    _tell(looked, say)
    return [
        Figure("G7", f"{len(faults)} faults of {len(set(faults))} kinds, isolated: the engine", "never down",
               "in service" if alive else "down", alive),
        _latency("others' p99 while an isolated plugin does wrong", looked, short),
        _found(detections, faults),
        _restarted(restarts, short),
    ]  # fmt: skip


def _one(city: RogueCity, name: str, fault: str, short: bool) -> tuple[float, float, float]:
    """Have one plugin do wrong, and return when the quiet time began, when the fault did, and when it was over."""
    quiet_s = QUIET_S / 4 if short else QUIET_S
    began = time.monotonic()
    time.sleep(quiet_s)
    done = len(city.acts(name))
    city.do(name, fault)
    at = time.monotonic()
    until(lambda: len(city.acts(name)) > done, f"{name} does not begin")
    if fault in DEADLY and city.is_isolated:
        until(lambda: city.acts(name)[-1][0] == "up", f"{name} does not come back from {fault}")
    # What is over in a moment is looked at for as long as the quiet before it.
    time.sleep(max(0.0, at + (quiet_s if fault in DEADLY else STAYS_S / 2) - time.monotonic()))
    if fault == "sleep" and not city.is_isolated:
        time.sleep(STAYS_S)
    return began, at, time.monotonic()


def _detections(
    city: RogueCity, deaths: dict[str, list[tuple[float, str]]]
) -> dict[str, list[float]]:
    """Return how long it took the engine to name each death, by fault."""
    found: dict[str, list[float]] = defaultdict(list)
    for name in city.rogues:
        begun = [(act, at) for act, at in city.acts(name) if act in DEADLY]
        for (act, at), (said, _) in zip(begun, deaths.get(name, ()), strict=False):
            found[act].append(said - at)
    return found


def _restarts(city: RogueCity, deaths: dict[str, list[tuple[float, str]]]) -> list[float]:
    """Return how long after each first death the adapter ran again; later ones wait on purpose."""
    found: list[float] = []
    for name in city.rogues:
        ups = [at for act, at in city.acts(name) if act == "up"]
        before = 0.0
        for said, _ in deaths.get(name, ()):
            again = next((up for up in ups if up > said - 0.05), None)
            if again is not None and said - before > 60.0:
                found.append(max(0.0, again - said))
            before = said
    return found


def _found(detections: dict[str, list[float]], faults: list[str]) -> Figure:
    every = [seconds for found in detections.values() for seconds in found]
    wanted = sum(fault in DEADLY for fault in faults)
    worst = {fault: max(found) for fault, found in detections.items()}
    last = max(worst, key=lambda fault: worst[fault], default="none")
    # A leak is found when it is too large, not when it begins.
    holds = len(every) == wanted and all(
        seconds <= DETECTED_S for fault, seconds in worst.items() if fault != "leak"
    )
    reached = f"{len(every)} of {wanted}, longest {worst.get(last, 0.0):.2f} s ({last})"
    return Figure(
        "G7", "deaths and hangs that were named", f"all, <= {DETECTED_S:g} s", reached, holds
    )


def _restarted(restarts: list[float], short: bool) -> Figure:
    median = statistics.median(restarts) if restarts else float("inf")
    worst = max(restarts, default=float("inf"))
    limit = 10 * RESTART_S if short else RESTART_S
    return Figure(
        "G7", "from a process's end to its adapter running again", f"<= {RESTART_S * 1000:g} ms",
        f"median {median * 1000:.0f} ms, longest {worst * 1000:.0f} ms of {len(restarts)}", median <= limit,
    )  # fmt: skip


# ── inside the engine ────────────────────────────────────────────────────────────────────────


def _inside(size: Size, say: Callable[[str], None]) -> list[Figure]:
    short = size is Size.SHORT
    rounds = 1 if short else 6
    with _city(["r0"], isolate=False) as city:
        windows = [
            (fault, _one(city, "r0", fault, short))
            for _ in range(rounds)
            for fault in (INSIDE_SHORT if short else INSIDE)
        ]
        time.sleep(0.3)
        counters = city.ask(api.GetHealth()).counters
        up = city.is_up()
        looked = _look(windows, city.samples())
        named = counters.get("loop.slow.r0", 0)
        began = time.time()
        city.do("r0", "spin")
        ended, took = _end_of(city, began)
        city.start()
        again = any(f.code == "engine.was_stuck" for f in city.ask(api.GetHealth()).findings)
    _tell(looked, say)
    raised = {f: seen for f, seen in looked.items() if f in ("raise", "callback", "lie")}
    slept = looked["sleep"].gap
    return [
        Figure("G7", "the same plugin inside the engine raises and lies", "the others stay up",
               f"{_median(raised):.2f} times the p99 before", up),
        Figure("G7", f"it holds the loop for {STAYS_S:g} s", "named with its connection",
               f"named {named} times; the others waited {slept:.2f} s", named >= rounds),
        Figure("G7", "it never lets go of the loop", f"the engine ends itself with {EXIT_STUCK} and starts again",
               f"status {ended} after {took:.1f} s", ended == EXIT_STUCK and again),
    ]  # fmt: skip


def _end_of(city: RogueCity, began: float) -> tuple[int, float]:
    assert city.process is not None
    status = city.process.wait(30)
    begun = [at for act, at in city.acts("r0") if act == "spin"]
    return status, time.time() - max([began, *begun])


# ── what was seen ────────────────────────────────────────────────────────────────────────────


@contextmanager
def _city(rogues: list[str], *, isolate: bool) -> Iterator[RogueCity]:
    with temporary_folder() as folder:
        city = RogueCity(folder, rogues, isolate=isolate)
        try:
            city.start()
            until(lambda: city.is_up() and len(city.samples()) > 50, "the city does not come up")
            yield city
        finally:
            city.kill()


def _look(
    windows: list[tuple[str, tuple[float, float, float]]], samples: list[tuple[float, float]]
) -> dict[str, Looked]:
    """Return the latencies before and during each fault, by its kind."""
    looked: dict[str, Looked] = defaultdict(Looked)
    for fault, (began, at, over) in windows:
        before = [took for when, took in samples if began <= when < at]
        during = [took for when, took in samples if at <= when < over]
        times = [when for when, _ in samples if began <= when < over]
        seen = looked[fault]
        seen.before += before
        seen.during += during
        seen.gap = max([seen.gap, *(b - a for a, b in pairwise(times))])
        if len(before) >= 20 and len(during) >= 20:
            seen.ratios.append(_p99(during) / _p99(before))
    return looked


def _latency(what: str, looked: dict[str, Looked], short: bool) -> Figure:
    before = [s for seen in looked.values() for s in seen.before]
    during = [s for seen in looked.values() for s in seen.during]
    ratio = _median(looked)
    reached = (
        f"{ratio:.2f} times (median of {sum(len(s.ratios) for s in looked.values())});"
        f" p50 {statistics.median(before) * 1000:.1f} -> {statistics.median(during) * 1000:.1f} ms,"
        f" p99 {_p99(before) * 1000:.1f} -> {_p99(during) * 1000:.1f} ms"
    )
    holds = _p99(during) < SHORT_P99_S if short else ratio < MORE
    return Figure("G7", what, f"< {MORE:g} times", reached, holds)


def _median(looked: dict[str, Looked]) -> float:
    ratios = [ratio for seen in looked.values() for ratio in seen.ratios]
    return statistics.median(ratios) if ratios else float("inf")


def _p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))] if values else float("inf")


def _tell(looked: dict[str, Looked], say: Callable[[str], None]) -> None:
    for fault, seen in sorted(looked.items()):
        ratio = statistics.median(seen.ratios) if seen.ratios else float("nan")
        say(
            f"{fault:12} p99 {_p99(seen.before) * 1000:7.1f} -> {_p99(seen.during) * 1000:7.1f} ms,"
            f" {ratio:.2f} times, {len(seen.during)} commands"
        )
