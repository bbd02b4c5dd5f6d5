"""W1: the core in one process, beside the same rules written by hand as ifs on dicts (the floor).

500 street segments, 113 junctions, 180 buses, 113 watched buildings with 226 cameras, and fillers: rules that nobody's update
concerns, but for one in twenty. The engine does on the way what the floor leaves out: quality and age, three-valued
logic, priority arrays, decisions.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from pilotage.core.engine import Engine
from pilotage.language.rules import load_or_refuse
from pilotage.model.entities import Access, Combine, EntitySpec, Kind, PointSpec
from pilotage.model.messages import Command, CommandResult, Outcome, Reading, Request, RuleChanged
from pilotage.model.quality import Quality
from pilotage.model.values import BOOLEAN, enum, number, reference

SIZES = (100, 1_000, 10_000)
SEGMENTS, JUNCTIONS, BUSES, BUILDINGS = 500, 113, 180, 113
START = 1_768_514_400.0  # a January night in Dijon
BATCH = 64
"""Readings in one tick: about what one read of a busy socket gives."""

BASE_RULES = """
rules:
  dim:
    title: Dim
    owner: bench
    for_each: {segment: {kind: segment}}
    while: is_night and segment.flow < 60 veh/h
    hold:
      - {set: segment.level, to: 30 %, priority: saving}
  green:
    title: Green
    owner: bench
    for_each: {bus: {kind: bus}}
    while: bus.delay >= 120 s and bus.next_junction.held_by == "nobody"
    hold:
      - {request: bus.next_junction.priority, for: bus, priority: service}
  watch:
    title: Watch
    owner: bench
    for_each: {building: {kind: building}}
    while: building.alarm
    hold:
      - {each: {camera: building.cameras}, set: camera.recording, to: true, priority: security}
"""
FILLER = """
  filler-{n}:
    title: Filler
    owner: bench
    for_each: {{meter: {{kind: meter, where: meter.id == "m-{n}"}}}}
    while: meter.power > {limit} kW and meter.power < 5000 kW
    hold:
      - {{set: meter.limit, to: true, priority: protect}}
    if_unknown: release
"""
KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "segment",
            "Segment",
            (
                PointSpec("flow", number("veh/h"), max_age_s=300.0, low=0.0, high=10_000.0),
                PointSpec("level", number("%"), Access.COMMANDABLE, default=100.0),
            ),
        ),
        Kind(
            "junction",
            "Junction",
            (
                PointSpec("held_by", enum("nobody", "emergency")),
                PointSpec(
                    "priority",
                    reference(""),
                    Access.BOTH,
                    combine=Combine.FIRST,
                    statuses=("queued",),
                ),
            ),
        ),
        Kind(
            "bus",
            "Bus",
            (
                PointSpec("delay", number("s"), max_age_s=120.0),
                PointSpec("next_junction", reference("junction")),
            ),
        ),
        Kind(
            "camera",
            "Camera",
            (PointSpec("recording", BOOLEAN, Access.COMMANDABLE, default=False),),
        ),
        Kind("building", "Building", (PointSpec("alarm", BOOLEAN),), {"cameras": "camera"}),
        Kind(
            "meter",
            "Meter",
            (
                PointSpec("power", number("kW"), max_age_s=900.0),
                PointSpec("limit", BOOLEAN, Access.COMMANDABLE, default=False),
            ),
        ),
    )
}


def inventory(fillers: int) -> list[EntitySpec]:
    """Return the city of W1, everything known and calm."""
    specs = [EntitySpec(f"s-{i}", "segment", values={"flow": 200.0}) for i in range(SEGMENTS)]
    specs += [
        EntitySpec(f"j-{i}", "junction", values={"held_by": "nobody"}) for i in range(JUNCTIONS)
    ]
    specs += [
        EntitySpec(f"b-{i}", "bus", values={"delay": 0.0, "next_junction": f"j-{i % JUNCTIONS}"})
        for i in range(BUSES)
    ]
    specs += [EntitySpec(f"c-{i}", "camera") for i in range(2 * BUILDINGS)]
    specs += [
        EntitySpec(
            f"h-{i}",
            "building",
            values={"alarm": False},
            relations={"cameras": (f"c-{2 * i}", f"c-{2 * i + 1}")},
        )
        for i in range(BUILDINGS)
    ]
    return specs + [EntitySpec(f"m-{i}", "meter", values={"power": 10.0}) for i in range(fillers)]


def updates(count: int, fillers: int, seed: int = 1) -> list[tuple[str, Any]]:
    """Return updates in random order: 60 % flow, 30 % bus, 5 % alarm, 5 % filler; values walk, as a street's do."""
    chance = random.Random(seed)
    flows = [200.0] * SEGMENTS
    delays = [0.0] * BUSES
    alarms = [False] * BUILDINGS
    powers = [10.0] * fillers
    found: list[tuple[str, Any]] = []
    for _ in range(count):
        dice = chance.random()
        if dice < 0.60:
            i = chance.randrange(SEGMENTS)
            flows[i] = min(600.0, max(0.0, flows[i] + chance.gauss(0.0, 15.0)))
            found.append((f"s-{i}.flow", round(flows[i], 1)))
        elif dice < 0.90:
            i = chance.randrange(BUSES)
            if chance.random() < 0.05:
                found.append((f"b-{i}.next_junction", f"j-{chance.randrange(JUNCTIONS)}"))
            else:
                delays[i] = min(600.0, max(-120.0, delays[i] + chance.gauss(0.0, 5.0)))
                found.append((f"b-{i}.delay", round(delays[i], 1)))
        elif dice < 0.95:
            i = chance.randrange(BUILDINGS)
            alarms[i] = not alarms[i] if chance.random() < 0.05 else alarms[i]
            found.append((f"h-{i}.alarm", alarms[i]))
        else:
            i = chance.randrange(fillers)
            powers[i] += chance.gauss(0.0, 5.0)
            found.append((f"m-{i}.power", round(powers[i], 1)))
    return found


# ── the floor ────────────────────────────────────────────────────────────────────────────────


class Floor:
    """The same rules by hand: what an expert would write who needs nothing but speed."""

    def __init__(self, fillers: int) -> None:
        self.actions = 0
        self.flow = {f"s-{i}.flow": [200.0, False] for i in range(SEGMENTS)}
        self.held = {f"j-{i}": "nobody" for i in range(JUNCTIONS)}
        self.bus = {f"b-{i}": [0.0, f"j-{i % JUNCTIONS}", False] for i in range(BUSES)}
        self.alarm = {f"h-{i}.alarm": [False, 2] for i in range(BUILDINGS)}
        self.power = {f"m-{i}.power": [10.0, False, 100.0 + i % 50] for i in range(fillers)}
        self.table: dict[str, Callable[[Any], None]] = {}
        for key, row in self.flow.items():
            self.table[key] = self._flow(row)
        for name, bus in self.bus.items():
            self.table[f"{name}.delay"] = self._bus(bus, 0)
            self.table[f"{name}.next_junction"] = self._bus(bus, 1)
        for key, alarm in self.alarm.items():
            self.table[key] = self._alarm(alarm)
        for key, power in self.power.items():
            self.table[key] = self._power(power)

    def _flow(self, row: list[Any]) -> Callable[[Any], None]:
        def update(value: Any) -> None:
            row[0] = value
            dim = value < 60.0
            if dim is not row[1]:
                row[1] = dim
                self.actions += 1

        return update

    def _bus(self, row: list[Any], place: int) -> Callable[[Any], None]:
        held = self.held

        def update(value: Any) -> None:
            row[place] = value
            late = row[0] >= 120.0 and held[row[1]] == "nobody"
            if late is not row[2]:
                row[2] = late
                self.actions += 1

        return update

    def _alarm(self, row: list[Any]) -> Callable[[Any], None]:
        def update(value: Any) -> None:
            if value is not row[0]:
                row[0] = value
                self.actions += row[1]

        return update

    def _power(self, row: list[Any]) -> Callable[[Any], None]:
        def update(value: Any) -> None:
            row[0] = value
            high = row[2] < value < 5000.0
            if high is not row[1]:
                row[1] = high
                self.actions += 1

        return update

    def run(self, found: list[tuple[str, Any]]) -> float:
        """Return CPU seconds for all updates."""
        table = self.table
        begin = time.process_time()
        for key, value in found:
            table[key](value)
        return time.process_time() - begin


FIRST: Final = {"flow": 200.0, "delay": 0.0, "alarm": False, "power": 10.0}
"""What the points of the city that a rule acts on say at first."""


def calm_ones(found: list[tuple[str, Any]], fillers: int) -> list[tuple[str, Any]]:
    """Return the updates such that nobody acts: where the floor would, the point says what it said before.

    It is not left out, since a point that falls silent grows stale, and its rule acts on that.
    """
    floor = Floor(fillers)
    said: dict[str, Any] = {}
    kept: list[tuple[str, Any]] = []
    for key, value in found:
        acted = floor.actions
        floor.table[key](value)
        if floor.actions == acted:
            said[key] = value
        else:
            value = said.get(key, FIRST.get(key.partition(".")[2]))
            floor.table[key](value)
        kept.append((key, value))
    return kept


# ── ours ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Figures:
    """What one run gave; times in seconds."""

    fillers: int
    floor_per_s: float
    ours_per_s: float
    load_s: float
    memory_mb: float
    floor_actions: int
    transitions: int
    commands: int
    calm_ratio: float
    update_us: list[float] = field(default_factory=list)
    action_us: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Ours as a share of the floor."""
        return self.ours_per_s / self.floor_per_s


def rules(fillers: int) -> dict[str, str]:
    """Return the rule files."""
    texts = {"base.yaml": BASE_RULES}
    for start in range(0, fillers, 2000):
        part = "".join(
            FILLER.format(n=n, limit=100 + n % 50) for n in range(start, min(start + 2000, fillers))
        )
        texts[f"filler-{start}.yaml"] = "rules:" + part
    return texts


def build(fillers: int) -> tuple[Engine, float]:
    """Return the engine, and the CPU seconds it took to load the rules and start."""
    begin = time.process_time()
    gc.disable()
    program = load_or_refuse(rules(fillers), KINDS)
    engine = Engine(program, inventory(fillers), START)
    engine.tick(START)
    gc.enable()
    gc.collect()
    gc.freeze()
    return engine, time.process_time() - begin


def readings(engine: Engine, found: list[tuple[str, Any]], step_s: float) -> list[Reading]:
    """Return the updates as the adapters' bindings resolve them: straight to their cells."""
    cells, entities = engine.cells, engine.entities
    return [
        Reading(
            cells[key],
            entities[value] if key.endswith("next_junction") else value,
            Quality.GOOD,
            START + (i // BATCH) * step_s,
        )
        for i, (key, value) in enumerate(found)
    ]


def run_ours(engine: Engine, resolved: list[Reading], step_s: float) -> tuple[float, int, int]:
    """Return CPU seconds, transitions of rules, and orders sent."""
    transitions = commands = 0
    answers: list[Any] = []
    now = max(START, engine.now)
    begin = time.process_time()
    for start in range(0, len(resolved), BATCH):
        decision = engine.tick(
            now,
            [*resolved[start : start + BATCH], *answers]
            if answers
            else resolved[start : start + BATCH],
        )
        if decision is not None:
            answers = []
            for event in decision.events:
                kind = type(event)
                if kind is Command:
                    answers.append(CommandResult(event.id, Outcome.ACKNOWLEDGED))
                    commands += 1
                elif kind is RuleChanged:
                    transitions += 1
                elif kind is Request:
                    commands += 1
        now += step_s
    spent = time.process_time() - begin
    return spent, transitions, commands


def latencies(engine: Engine, resolved: list[Reading]) -> tuple[list[float], list[float]]:
    """Return microseconds per update that decides nothing, and per update that does, one per tick."""
    calm: list[float] = []
    acting: list[float] = []
    now = engine.now + 1.0
    for reading in resolved:
        inputs = (reading._replace(source_time=now),)
        begin = time.perf_counter()
        decision = engine.tick(now, inputs)
        spent = (time.perf_counter() - begin) * 1e6
        (calm if decision is None else acting).append(spent)
    return calm, acting


class WrongWorkError(Exception):
    """Floor and engine do not agree at the end: the figures would compare different work."""


def compare(floor: Floor, engine: Engine) -> None:
    """Refuse figures of work that was not done right: every condition must stand where the floor's stands.

    Raises:
        WrongWorkError: An instance is in another state than the floor's flag.
    """
    flags = {
        key.split(".")[0]: bool(row[1]) for key, row in (*floor.flow.items(), *floor.power.items())
    }
    flags |= {name: bool(row[2]) for name, row in floor.bus.items()}
    flags |= {key.split(".")[0]: bool(row[0]) for key, row in floor.alarm.items()}
    for name in engine.evaluator.running:
        for instance in engine.evaluator.instances(name):
            if instance.is_holding is not flags[instance.label]:
                raise WrongWorkError(
                    f"{name}[{instance.label}] is {instance.state}, the floor says {flags[instance.label]}"
                )


def measure(fillers: int, count: int = 100_000, repeats: int = 3) -> Figures:
    """Return the figures of one size: medians of several runs, floor and ours in turn.

    Both are warm: as many updates as are measured go before.
    """
    found = updates(2 * count, fillers)
    step_s = 100.0 / (count / BATCH)
    quiet = calm_ones(found, fillers)
    floor_s: list[float] = []
    ours_s: list[float] = []
    calm_ratios: list[float] = []
    loads: list[float] = []
    transitions = commands = actions = 0
    calm: list[float] = []
    acting: list[float] = []
    for _ in range(repeats):
        floor = Floor(fillers)
        floor.run(found[:count])
        floor.actions = 0
        floor_s.append(floor.run(found[count:]))
        actions = floor.actions
        engine, load_s = build(fillers)
        loads.append(load_s)
        resolved = readings(engine, found, step_s)
        run_ours(engine, resolved[:count], step_s)
        spent, transitions, commands = run_ours(engine, resolved[count:], step_s)
        ours_s.append(spent)
        compare(floor, engine)
        calm, acting = latencies(engine, resolved[:20_000])
        gc.unfreeze()
        del engine, resolved
        gc.collect()
        calm_ratios.append(calm_ratio(quiet, fillers, step_s))
    return Figures(
        fillers,
        count / statistics.median(floor_s),
        count / statistics.median(ours_s),
        statistics.median(loads),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        actions,
        transitions,
        commands,
        statistics.median(calm_ratios),
        calm,
        acting,
    )


def calm_ratio(quiet: list[tuple[str, Any]], fillers: int, step_s: float) -> float:
    """Return ours as a share of the floor for updates that no rule acts on, both warm.

    Raises:
        WrongWorkError: A rule acted.
    """
    half = len(quiet) // 2
    floor = Floor(fillers)
    floor.run(quiet[:half])
    floor_s = floor.run(quiet[half:])
    engine, _ = build(fillers)
    resolved = readings(engine, quiet, step_s)
    run_ours(engine, resolved[:half], step_s)
    ours_s, transitions, commands = run_ours(engine, resolved[half:], step_s)
    gc.unfreeze()
    del engine, resolved
    gc.collect()  # else the next engine stands beside this one, and their memory is measured together
    if transitions or commands or floor.actions:
        raise WrongWorkError(f"{transitions} rules acted on updates that are to be calm")
    return floor_s / ours_s


def percentile(values: list[float], share: float) -> float:
    """Return a percentile, or 0 of nothing."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


HEAD = (
    "fillers | floor k/s | ours k/s | ours is 1/… | calm 1/… | load s | memory MB | acting % "
    "| update µs p50 / p99 | action µs p50 / p99"
)


def line(f: Figures) -> str:
    """Return one row of the table."""
    p = percentile
    return (
        f"{f.fillers:7} | {f.floor_per_s / 1e3:9.0f} | {f.ours_per_s / 1e3:8.0f} | {1 / f.ratio:11.1f} "
        f"| {1 / f.calm_ratio:8.1f} | {f.load_s:6.2f} | {f.memory_mb:9.0f} | {f.transitions / 1000:8.1f} "
        f"| {p(f.update_us, 0.5):9.2f} / {p(f.update_us, 0.99):5.2f}   "
        f"| {p(f.action_us, 0.5):9.1f} / {p(f.action_us, 0.99):5.1f}"
    )


def summary(f: Figures) -> dict[str, float]:
    """Return the figures without their samples."""
    p = percentile
    return {
        "fillers": f.fillers,
        "floor_per_s": round(f.floor_per_s),
        "ours_per_s": round(f.ours_per_s),
        "ratio": round(f.ratio, 4),
        "calm_ratio": round(f.calm_ratio, 4),
        "load_s": round(f.load_s, 3),
        "memory_mb": round(f.memory_mb, 1),
        "update_p50_us": round(p(f.update_us, 0.5), 2),
        "update_p99_us": round(p(f.update_us, 0.99), 2),
        "action_p50_us": round(p(f.action_us, 0.5), 1),
        "action_p99_us": round(p(f.action_us, 0.99), 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each size in a process of its own, so that memory is its own, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.w1", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one repetition, smaller sizes")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one is not None:
        found = measure(options.one, repeats=1 if options.quick else 5)
        print(json.dumps(asdict(found)))
        return 0
    rows = []
    print(HEAD, flush=True)
    for size in SIZES[:2] if options.quick else SIZES:
        rows.append(in_a_process(size, quick=options.quick))
        print(line(rows[-1]), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps([summary(r) for r in rows], indent=1) + "\n")
    return 0


def in_a_process(size: int, *, quick: bool) -> Figures:
    """Return the figures of a size, or end with what went wrong."""
    command = [sys.executable, "-m", "benchmarks.w1", "--one", str(size)]
    done = subprocess.run(
        [*command, "--quick"] if quick else command, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return Figures(**json.loads(done.stdout))


if __name__ == "__main__":
    sys.exit(main())
