"""Days of a simulated city: one seed drives readings, orders, a bad bus, crashes and clock jumps, and promises are judged after each step.

The real core runs under the runtime's clock; the dispatcher, the bus and the devices are models. What must hold is worked out
beside the engine, from the manual alone.
"""

from __future__ import annotations

import functools
import hashlib
import heapq
import itertools
import multiprocessing
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.faults.figures import Figure, Size
from tests.faults.machine import Machine
from tests.faults.seeds import SIMULATION
from tests.faults.streets import engine as make_engine

from pilotage.model.messages import (
    Command,
    CommandResult,
    Decision,
    Demanded,
    Followed,
    Noted,
    Outcome,
    Override,
    PlanOrder,
    Reading,
    Reconnected,
    Relinquished,
    RuleChanged,
)
from pilotage.model.quality import Quality
from pilotage.runtime.envelope import encode_decision

GOALS = ("G3",)
STREETS: Final = 8
START: Final = 1_800_000_000.0
DAY_S: Final = 86_400.0
BATCH_EVERY_S: Final = 60.0
BATCH: Final = 20
QUIET_S, WAIT_S, QUARTER_S = 600.0, 420.0, 900.0
DEADLINE_S, END_WITHIN_S = 5.0, 5.0
SAVING, EVENT, PLAN, OPERATOR, DEFAULT = 14, 11, 10, 8, 17
SIZES: Final = {Size.SHORT: (10, 0.25), Size.LONG: (2_000, 1.0)}  # seeds, days of each
WANTED: Final = {Size.SHORT: 100_000, Size.LONG: 50_000_000}

RULES: Final = """\
version: 1
rules:
  quiet:
    title: A street that is quiet for a while is dimmed
    owner: lighting
    for_each: {street: {kind: lit_street}}
    while: street.flow < 60 veh/h
    for: 10 min
    hold:
      - {set: street.level, to: 30 %, priority: saving}
  passing:
    title: Somebody passes
    owner: lighting
    for_each: {street: {kind: lit_street}}
    while: street.pulse == 1
    hold:
      - {set: street.level, to: 80 %, priority: event}
      - {set: street.bell, to: ring, priority: event}
  waits:
    title: A story that waits
    owner: lighting
    for_each: {street: {kind: lit_street}}
    when: street.pulse becomes 1
    max_late: 1000 d
    do:
      - wait: 7 min
      - note: waited
  quarter:
    title: Each quarter of an hour
    owner: lighting
    when: every 15 min
    do:
      - note: quarter
plans:
  works:
    title: Works
    owner: lighting
    activation: {manual_expires: 1000 d}
    levels:
      - level: 1
        name: prepared
        enter: false
        hold:
          - {each: {street: {kind: lit_street}}, set: street.level, to: 50 %}
      - {level: 2, name: under_way, enter: false}
"""


@dataclass
class Found:
    """What a simulation came to."""

    seed: int = 0
    events: int = 0
    wrong: list[str] = field(default_factory=list)
    digest: str = ""
    counts: Counter[str] = field(default_factory=Counter)


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Run the seeds; those that broke something once come first."""
    count, days = SIZES[size]
    seeds = [*SIMULATION, *range(count)]
    run = functools.partial(simulate, days=days)
    if size is Size.SHORT:
        results = [run(seed) for seed in seeds]
    else:
        with multiprocessing.get_context("spawn").Pool() as pool:
            results = []
            for found in pool.imap_unordered(run, seeds, chunksize=4):
                results.append(found)
                if len(results) % 200 == 0:
                    say(f"{len(results)} seeds, {sum(r.events for r in results):,} events")
    bad = [found for found in results if found.wrong]
    for found in bad[:5]:
        say(f"seed {found.seed}: {found.wrong[0]}")
    again = [*bad[:5], *results[:: max(1, count // 20) * 5]]
    differing = [found.seed for found in again if run(found.seed).digest != found.digest]
    counts = sum((found.counts for found in results), Counter[str]())
    events = sum(found.events for found in results)
    how = ", ".join(f"{number:,} {what}" for what, number in sorted(counts.items()))
    return [
        Figure(
            "G3",
            f"{len(seeds):,} simulated runs of {days * 24:g} h: {how}",
            f"every promise after each step, {WANTED[size]:,} events",
            f"{len(bad)} seeds broke one, {events:,} events",
            not bad and events >= WANTED[size],
        ),
        Figure(
            "G3",
            f"{len(again)} of them once more",
            "the same decisions, byte for byte",
            f"{len(differing)} differ",
            not differing,
        ),
    ]


def simulate(seed: int, days: float) -> Found:
    """Live through the days of a seed."""
    city = _City(seed, days * DAY_S)
    found = city.found
    try:
        city.run()
    except Exception as error:
        found.wrong.append(f"at {city.true:.3f} s: {type(error).__name__}: {error}")
    found.digest = city.digest.hexdigest()
    return found


# ── what must hold ───────────────────────────────────────────────────────────────────────────


@dataclass
class Street:
    """What is known of one street, from its readings and from the orders of people."""

    flow: float | None = None
    pulse: float | None = None
    last_pulse: float | None = None
    quiet_due: float | None = None
    is_quiet: bool = False
    waits_due: float | None = None
    override: tuple[float, float] | None = None  # value, until
    rings: int = 0


class Model:
    """The city as the manual says that it must be."""

    def __init__(self, now: float) -> None:
        self.streets = [Street() for _ in range(STREETS)]
        self.plan = 0
        self.quarter_due = (now // QUARTER_S + 1) * QUARTER_S

    def pass_(self, now: float) -> Counter[str]:
        """Let what is due happen; returns which stories went on."""
        told: Counter[str] = Counter()
        if self.quarter_due <= now:
            self.quarter_due = (now // QUARTER_S + 1) * QUARTER_S
            told["quarter"] += 1
        for number, street in enumerate(self.streets):
            if street.quiet_due is not None and street.quiet_due <= now:
                street.is_quiet, street.quiet_due = True, None
            if street.waits_due is not None and street.waits_due <= now:
                street.waits_due = None
                told[f"waited s-{number}"] += 1
            if street.override is not None and street.override[1] <= now:
                street.override = None
        return told

    def take(self, item: Any, now: float) -> None:
        """Take an input."""
        if isinstance(item, Reading):
            name, _, point = item.point.id.partition(".")
            self._read(self.streets[int(name[2:])], point, item.value, now)
        elif isinstance(item, Override) and now < item.until <= now + DAY_S:
            number = int(item.point.partition(".")[0][2:])
            self.streets[number].override = (float(str(item.value)), item.until)
        elif isinstance(item, PlanOrder):
            self.plan = item.level or 0

    def _read(self, street: Street, point: str, value: float | None, now: float) -> None:
        if point == "flow":
            street.flow = value
            if value is None or value >= 60:
                street.is_quiet, street.quiet_due = False, None
            elif not street.is_quiet and street.quiet_due is None:
                street.quiet_due = now + QUIET_S
        elif point == "pulse":
            before, street.pulse = street.pulse, value
            if value == 1 and before != 1:
                street.rings += 1
            if value is None:
                return
            if value == 1 and street.last_pulse != 1 and street.waits_due is None:
                street.waits_due = now + WAIT_S
            street.last_pulse = value

    def wanted(self, street: Street) -> tuple[int, float]:
        """Return the level that decides, and what it wants: the sixteen levels of BACnet."""
        wants = []
        if street.override is not None:
            wants.append((OPERATOR, street.override[0]))
        if self.plan:
            wants.append((PLAN, 50.0))
        if street.pulse == 1:
            wants.append((EVENT, 80.0))
        if street.is_quiet:
            wants.append((SAVING, 30.0))
        return min(wants, default=(DEFAULT, 100.0))


@dataclass
class Open:
    """A command that has not come to its end."""

    point: str
    deadline: float
    gaps: int


# ── the simulation ───────────────────────────────────────────────────────────────────────────


class _City:
    """An engine, its model, a dispatcher, a bus and devices, driven by one seed."""

    def __init__(self, seed: int, length_s: float) -> None:
        self.rng = random.Random(f"simulation {seed}")
        self.machine = Machine(
            make_engine(RULES, STREETS, START, "lit_street"), START, snapshot_every=100
        )
        self.model = Model(START)
        self.found = Found(seed)
        self.digest = hashlib.sha256()
        self.true = 0.0
        self._length_s = length_s
        self._count = itertools.count()
        self._ahead: list[tuple[float, int, str, Any]] = []
        self._levels = [100.0] * STREETS
        self._executed: Counter[str] = Counter()
        self._rung = [0] * STREETS
        self._open: dict[str, Open] = {}
        self._ended: set[str] = set()
        self._record: dict[str, dict[str, tuple[int, Any]]] = {}
        self._number = 0
        self._last = START
        self._gaps = 0
        self._life = 0
        self._is_link_up = True
        self._plan_ahead()

    def _plan_ahead(self) -> None:
        end = self._length_s
        for number in range(int(end / BATCH_EVERY_S)):
            self._at(number * BATCH_EVERY_S + self.rng.random() * 20.0, "batch")
        for kind, every_s in (
            ("override", 900.0),
            ("plan", 3_000.0),
            ("crash", 5_000.0),
            ("jump", 12_000.0),
            ("outage", 8_000.0),
        ):
            at = self.rng.expovariate(1 / every_s)
            while at < end:
                self._at(at, kind)
                at += self.rng.expovariate(1 / every_s)

    def _at(self, when: float, kind: str, what: Any = None) -> None:
        heapq.heappush(self._ahead, (when, next(self._count), kind, what))

    def run(self) -> None:
        """Go from event to event and from deadline to deadline until the time is over or something is wrong."""
        while self._ahead and self.true < self._length_s and not self.found.wrong:
            due = self.machine.engine.next_due()
            when = self._ahead[0][0]
            wait = max(0.0, when - self.true)
            if due is not None:
                wait = min(wait, max(0.0, due - self.machine.now()))
            self.machine.pass_(wait)
            self.true += wait
            self._step(self._happening())

    def _happening(self) -> list[Any]:
        """Return the inputs of this moment; a crash is a moment of its own, for readings are of one engine."""
        inputs: list[Any] = []
        while self._ahead and self._ahead[0][0] <= self.true:
            if self._ahead[0][2] == "crash" and inputs:
                break
            _, _, kind, what = heapq.heappop(self._ahead)
            self.found.events += 1
            inputs += self._happens(kind, what)
            if kind == "crash":
                break
        return inputs

    def _step(self, inputs: list[Any]) -> None:
        now = self.machine.now()
        decision = self.machine.tick(inputs)
        told = self.model.pass_(now)
        for item in inputs:
            self.model.take(item, now)
        self.found.events += len(inputs)
        if decision is not None:
            self._decided(decision, now, told)
        elif told:
            self._blame(f"{dict(told)} was due, and nothing was decided")
        self._judge(now)
        self._last = now

    def _blame(self, what: str) -> None:
        self.found.wrong.append(f"at {self.true:.3f} s: {what}")

    # ── what happens ─────────────────────────────────────────────────────────────────────────

    def _happens(self, kind: str, what: Any) -> list[Any]:
        self.found.counts[kind] += kind in ("crash", "jump", "outage", "override", "plan")
        happens: Callable[[Any], list[Any]] = getattr(self, f"_{kind}")
        return happens(what)

    def _batch(self, _: Any) -> list[Any]:
        rng = self.rng
        if not self._is_link_up:
            return []
        readings = []
        for _ in range(BATCH):
            street = rng.randrange(STREETS)
            if rng.random() < 0.3:
                readings.append(self._reading(street, "flow", rng.choice([20.0, 41.0, 200.0])))
            elif rng.random() < 0.3:
                readings.append(self._reading(street, "pulse", float(rng.random() < 0.3)))
            else:
                readings.append(self._reading(street, "level", self._levels[street]))
        return readings

    def _reading(self, street: int, point: str, value: float | None) -> Reading:
        cell = self.machine.engine.cells[f"s-{street}.{point}"]
        quality = Quality.MISSING if value is None else Quality.GOOD
        return Reading(cell, value, quality, self.machine.now())

    def _override(self, _: Any) -> list[Any]:
        rng, now = self.rng, self.machine.now()
        point, until = f"s-{rng.randrange(STREETS)}.level", now + rng.uniform(5.0, 5_000.0)
        return [Override(point, float(rng.randrange(10, 90)), "desk", "simulation", until)]

    def _plan(self, _: Any) -> list[Any]:
        level = self.rng.choice([0, 1, 2])
        return [PlanOrder("works", level, "desk", "simulation")]

    def _crash(self, _: Any) -> list[Any]:
        """The engine dies; what the dispatcher had is gone, what is on the bus is not."""
        self._life += 1
        self._gaps += 1
        off_s = self.rng.choice([0.5, 5.0, 60.0, 1_800.0])
        self.machine.restart(off_s)
        self.true += off_s
        return self._lost() + self._found_again()

    def _jump(self, _: Any) -> list[Any]:
        self._gaps += 1
        self.machine.now()
        self.machine.wall += self.rng.choice([-DAY_S, -3_600.0, -5.0, 5.0, 3_600.0, DAY_S])
        return []

    def _outage(self, _: Any) -> list[Any]:
        self._is_link_up = False
        self._at(self.true + self.rng.choice([0.1, 3.0, 30.0, 600.0]), "return")
        return self._lost()

    def _return(self, _: Any) -> list[Any]:
        if self._is_link_up:
            return []
        self._is_link_up = True
        return self._found_again()

    def _lost(self) -> list[Any]:
        """Every point that is reported becomes unknown."""
        return [
            self._reading(street, point, None)
            for street in range(STREETS)
            for point in ("flow", "pulse", "level")
        ]

    def _found_again(self) -> list[Any]:
        """A link that is up tells all levels, and has what is wanted told again."""
        if not self._is_link_up:
            return []
        levels = [self._reading(n, "level", self._levels[n]) for n in range(STREETS)]
        points = [f"s-{n}.{point}" for n in range(STREETS) for point in ("level", "bell")]
        return [Reconnected(tuple(points)), *levels]

    # ── dispatcher, bus, devices ─────────────────────────────────────────────────────────────

    def _send(self, command: Command) -> None:
        """Hand a command to the bus, as the dispatcher does: now or not at all."""
        rng = self.rng
        if not self._is_link_up:
            self._at(self.true + 0.01, "result", (self._life, command.id, Outcome.NOT_SENT))
            return
        fate = rng.random()
        delay = rng.expovariate(1 / 0.2) if rng.random() < 0.9 else rng.uniform(3.0, 9.0)
        if fate < 0.90:
            self._at(self.true + delay, "deliver", command)
        if fate < 0.02 and not command.pulse:
            self._at(self.true + delay * 2, "deliver", command)
        if fate < 0.85:
            self._answer(command, delay, Outcome.ACKNOWLEDGED)
        elif fate < 0.97:
            self._answer(command, DEADLINE_S, Outcome.UNKNOWN)
        # else nobody ever answers

    def _answer(self, command: Command, after_s: float, outcome: Outcome) -> None:
        self._at(self.true + after_s, "result", (self._life, command.id, outcome))

    def _result(self, what: tuple[int, str, Outcome]) -> list[Any]:
        life, command, outcome = what
        return [CommandResult(command, outcome)] if life == self._life else []

    def _deliver(self, command: Command) -> list[Any]:
        """A device obeys in time, and reports; its report may be lost."""
        if self.machine.now() > command.deadline:
            self.found.counts["came late"] += 1
            return []
        self._executed[command.id] += 1
        street, _, point = command.point.partition(".")
        number = int(street[2:])
        if point == "bell":
            self._rung[number] += 1
            return []
        self._levels[number] = command.value
        if self.rng.random() < 0.9:
            self._at(self.true + self.rng.random(), "echo", number)
        return []

    def _echo(self, street: int) -> list[Any]:
        return [self._reading(street, "level", self._levels[street])] if self._is_link_up else []

    # ── judging ──────────────────────────────────────────────────────────────────────────────

    def _decided(self, decision: Decision, now: float, told: Counter[str]) -> None:
        """Judge a decision, keep its record, and send what leaves."""
        self.digest.update(encode_decision(decision))
        if decision.number != self._number + 1:
            self._blame(f"decision {decision.number} follows {self._number}")
        self._number = decision.number
        self.found.events += len(decision.events)
        noted: Counter[str] = Counter()
        for event in decision.events:
            if isinstance(event, Noted):
                _, _, instance = event.owner.partition("[")
                noted[f"{event.text} {instance.rstrip(']')}".strip()] += 1
            elif isinstance(event, Demanded):
                point = self._record.setdefault(event.point, {})
                point[event.owner] = (int(event.level), event.value)
            elif isinstance(event, Relinquished):
                self._record.get(event.point, {}).pop(event.owner, None)
            elif isinstance(event, Command):
                self._commanded(event, now)
            elif isinstance(event, Followed) and event.command:
                self._followed(event)
            elif isinstance(event, RuleChanged):
                self.found.counts["rule changes"] += 1
        if noted != told:
            self._blame(f"stories told {dict(noted)}, {dict(told)} was due")

    def _commanded(self, command: Command, now: float) -> None:
        self.found.counts["commands"] += 1
        if command.id in self._open or command.id in self._ended:
            self._blame(f"the id {command.id} was given twice")
        if command.deadline <= now:
            self._blame(f"{command} leaves after its deadline")
        if command.pulse and command.attempt != 1:
            self._blame(f"{command} is told again")
        self._open[command.id] = Open(command.point, command.deadline, self._gaps)
        self._send(command)

    def _followed(self, event: Followed) -> None:
        self.found.counts[f"ended {event.outcome}"] += 1
        if self._open.pop(event.command, None) is None:
            self._blame(f"{event} ends what was not open")
        self._ended.add(event.command)

    def _judge(self, now: float) -> None:
        """What must hold after every step."""
        if now < self._last:
            self._blame(f"time went back from {self._last} to {now}")
        engine, plan = self.machine.engine, 0
        for number, street in enumerate(self.model.streets):
            array: Any = engine.cells[f"s-{number}.level"].array
            level, wanted = self.model.wanted(street)
            if array is not None and (array.level, array.wanted) != (level, wanted):
                self._blame(
                    f"s-{number}.level wants {array.wanted} at {array.level}, not {wanted} at {level}"
                )
            demands = {} if array is None else array.demands
            plan += any(owner.startswith("plan:") for owner in demands)
            stands = {owner: (int(d.level), d.value) for owner, d in demands.items()}
            if stands != self._record.get(f"s-{number}.level", {}):
                self._blame(f"the record of s-{number}.level differs from {stands}")
            if self._rung[number] > street.rings:
                self._blame(f"the bell of s-{number} rang more often than somebody passed")
        if plan != (STREETS if self.model.plan else 0):
            self._blame(f"the plan at level {self.model.plan} holds {plan} streets")
        for id_, command in self._open.items():
            if now > command.deadline + END_WITHIN_S + 0.001 and command.gaps == self._gaps:
                self._blame(f"{id_} for {command.point} has no end 5 s after its deadline")
