"""Timers across restarts, clock jumps and changes of summer time: each fires once, none early, none late but for the gap itself.

The real core and the runtime's clock run under a machine's time that is moved by hand. What is due is worked out beside them, from
the manual alone.
"""

from __future__ import annotations

import functools
import heapq
import multiprocessing
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from tests.faults.figures import Figure, Size
from tests.faults.machine import Machine
from tests.faults.streets import engine as make_engine

from pilotage.model.messages import (
    Command,
    CommandResult,
    Decision,
    Noted,
    Outcome,
    Override,
    Reading,
    Relinquished,
    RuleChanged,
    RunChanged,
)
from pilotage.model.quality import Quality

GOALS = ("G4",)
PARIS: Final = ZoneInfo("Europe/Paris")
STREETS: Final = 36
QUIET_S, WAIT_S, QUARTER_S = 600.0, 420.0, 900.0
DAY_S: Final = 86_400.0
MAX_LATE_S: Final = 3_600.0  # of a moment, unless its rule says otherwise
EARLY: Final = 2 * 60 + 30  # minutes: the half hour that comes twice in autumn, and never in spring

RULES: Final = """\
version: 1
rules:
  quiet:
    title: A street that is quiet for a while is dimmed
    owner: lighting
    for_each: {street: {kind: street}}
    while: street.flow < 60 veh/h
    for: 10 min
    hold:
      - {set: street.level, to: 30 %, priority: saving}
  waits:
    title: A story that waits
    owner: lighting
    for_each: {street: {kind: street}}
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
  early:
    title: Each night at half past two
    owner: lighting
    when: at 02:30
    do:
      - note: early
"""

Key = tuple[str, str]  # kind of timer, street


@dataclass(frozen=True)
class Window:
    """Some days around a change of the clock."""

    seed: int
    change: float
    days: float
    actions: int
    restarts: int
    jumps: int


@dataclass
class Found:
    """What became of the timers."""

    fired: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    worst_late_s: float = 0.0  # without a gap
    worst_error_s: float = 0.0  # of a duration
    caught_up: int = 0
    restarts: int = 0
    jumps: int = 0

    def __add__(self, other: Found) -> Found:
        return Found(
            self.fired + other.fired,
            self.lost + other.lost,
            self.strange + other.strange,
            max(self.worst_late_s, other.worst_late_s),
            max(self.worst_error_s, other.worst_error_s),
            self.caught_up + other.caught_up,
            self.restarts + other.restarts,
            self.jumps + other.jumps,
        )


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Live through the windows and count."""
    if size is Size.SHORT:
        windows = [Window(n, c, 1.0, 600, 8, 3) for n, c in enumerate(list(changes())[:4])]
        parts = [live(window) for window in windows]
        wanted, restarts, jumps = 1_000, 30, 10
    else:
        windows = [Window(n, c, 3.5, 8_400, 24, 5) for n, c in enumerate(changes())]
        with multiprocessing.get_context("spawn").Pool() as pool:
            parts = pool.map(live, windows, chunksize=1)
        wanted, restarts, jumps = 100_000, 1_000, 200
    found = functools.reduce(Found.__add__, parts)
    for text in (*found.lost[:5], *found.strange[:5]):
        say(text)
    count = found.fired.total()
    how = ", ".join(f"{number} {kind}" for kind, number in sorted(found.fired.items()))
    return [
        Figure(
            "G4",
            f"{count} timers ({how}) over {len(windows)} clock changes, {found.restarts} restarts, {found.jumps} jumps",
            "0 lost, 0 double or early",
            f"{len(found.lost)} lost, {len(found.strange)} double or early",
            count >= wanted
            and found.restarts >= restarts
            and found.jumps >= jumps
            and not (found.lost or found.strange),
        ),
        Figure(
            "G4",
            f"lateness; {found.caught_up} fell due in a gap and fired at its end",
            "at most 1 s without a gap",
            f"{found.worst_late_s:.3f} s at most",
            found.worst_late_s <= 1.0,
        ),
        Figure(
            "G4",
            "error of a duration across jumps back and restarts",
            "at most 1 s",
            f"{found.worst_error_s:.3f} s at most",
            found.worst_error_s <= 1.0,
        ),
    ]


def changes() -> Iterator[float]:
    """Yield when the clock changed or will change in Paris, 2020 to 2040."""
    at = datetime(2020, 1, 1, tzinfo=UTC)
    before = at.astimezone(PARIS).utcoffset()
    while at.year <= 2040:
        at += timedelta(hours=1)
        offset = at.astimezone(PARIS).utcoffset()
        if offset != before:
            yield at.timestamp()
        before = offset


# ── what must happen ─────────────────────────────────────────────────────────────────────────


@dataclass
class Timer:
    """One expected firing: when, and since when (in true time) it has run."""

    due: float
    since: float = 0.0
    duration: float = 0.0
    is_plain: bool = True  # no jump forward since it began, no restart while ahead


class Expected:
    """What is due, from the manual alone."""

    def __init__(self, now: float) -> None:
        self.timers: dict[Key, Timer] = {}
        self._flows: dict[str, float] = {}
        self._pulses: dict[str, float] = {}
        self._quiet: set[str] = set()
        self.timers["quarter", ""] = Timer((now // QUARTER_S + 1) * QUARTER_S)
        self.timers["early", ""] = Timer(next_early(now))

    def due(self, now: float) -> dict[Key, Timer]:
        """Take out what is due; what comes again is planned anew."""
        found = {key: timer for key, timer in self.timers.items() if timer.due <= now}
        for key in found:
            del self.timers[key]
        if ("quarter", "") in found:
            self.timers["quarter", ""] = Timer((now // QUARTER_S + 1) * QUARTER_S)
        if ("early", "") in found:
            self.timers["early", ""] = Timer(next_early(now))
        return found

    def reading(self, street: str, point: str, value: float, now: float, true: float) -> None:
        """Take a reading, after what was due."""
        if point == "flow":
            is_quiet = value < 60
            if is_quiet and street not in self._quiet:
                self.timers["quiet", street] = Timer(now + QUIET_S, true, QUIET_S)
                self._quiet.add(street)
            elif not is_quiet:
                self._quiet.discard(street)
                self.timers.pop(("quiet", street), None)
            return
        before = self._pulses.get(street)
        self._pulses[street] = value
        if value == 1 and before != 1 and ("waits", street) not in self.timers:
            self.timers["waits", street] = Timer(now + WAIT_S, true, WAIT_S)

    def override(self, street: str, until: float) -> None:
        """Take an override; it has the place of the one before."""
        self.timers["override", street] = Timer(until)

    def spoil(self) -> None:
        """What runs now is no measure of durations any more."""
        for timer in self.timers.values():
            timer.is_plain = False


def next_early(after: float) -> float:
    """Return the next half past two in Paris; the first of two, and the change itself where there is none."""
    day = datetime.fromtimestamp(after, PARIS).date()
    while (moment := _early_of(day)) <= after:
        day += timedelta(days=1)
    return moment


def _early_of(day: date) -> float:
    local = datetime(day.year, day.month, day.day, EARLY // 60, EARLY % 60)  # noqa: DTZ001
    moment = local.replace(tzinfo=PARIS).timestamp()
    if datetime.fromtimestamp(moment, PARIS).replace(tzinfo=None) == local:
        return moment
    # Left out: the clock goes from 02:00 to 03:00 at 01:00 UTC, by directive 2000/84/EC.
    return datetime(day.year, day.month, day.day, 1, tzinfo=UTC).timestamp()


def fired(decision: Decision | None) -> Counter[Key]:
    """Return which timers a decision shows."""
    found: Counter[Key] = Counter()
    for event in decision.events if decision is not None else ():
        match event:
            case RuleChanged(rule="quiet", after="holding"):
                found["quiet", event.instance] += 1
            case Noted(text="waited"):
                found["waits", event.owner.partition("[")[2].rstrip("]")] += 1
            case Noted():
                found[event.text, ""] += 1
            case RunChanged(rule="early", state="missed"):
                found["missed", ""] += 1
            case Relinquished(owner="operator desk"):
                found["override", event.point.partition(".")[0]] += 1
    return found


# ── a window ─────────────────────────────────────────────────────────────────────────────────


def live(window: Window) -> Found:
    """Live through a window: readings, orders, restarts and jumps at random times."""
    rng = random.Random(f"clock {window.seed}")
    start = window.change - window.days * DAY_S / 2
    machine = Machine(make_engine(RULES, STREETS, start), start)
    expected, found = Expected(start), Found()
    ahead = _actions(window, rng)
    true = 0.0
    results: list[Any] = []
    last = machine.now()
    while ahead:
        due = machine.engine.next_due()
        wait = max(0.0, due - machine.now()) if due is not None else float("inf")
        gap = False
        inputs: list[Any] = results
        when, _, kind = ahead[0]
        if wait < when - true:
            machine.pass_(wait)
            true += wait
        else:
            heapq.heappop(ahead)
            rest = max(0.0, when - true)  # what fell into the time off comes right after it
            machine.pass_(rest)
            true += rest
            gap, lost_s = _act(kind, machine, expected, found, rng)
            true += lost_s
            if kind == "input":
                inputs = [*results, *_inputs(machine, rng)]
        now = machine.now()
        decision = machine.tick(inputs)
        _compare(expected.due(now), fired(decision), now, true, gap, found, f"window {window.seed}")
        _take(expected, inputs, now, true)
        results = [
            CommandResult(event.id, Outcome.ACKNOWLEDGED)
            for event in (decision.events if decision else ())
            if isinstance(event, Command)
        ]
        if now < last:
            found.strange.append(f"window {window.seed}: time went back from {last} to {now}")
        last = now
    return found


def _actions(window: Window, rng: random.Random) -> list[tuple[float, int, str]]:
    """Return what happens when, in true time."""
    kinds = ["input"] * window.actions + ["restart"] * window.restarts + ["jump"] * window.jumps
    end = window.days * DAY_S
    actions = [(rng.uniform(0.0, end), number, kind) for number, kind in enumerate(kinds)]
    heapq.heapify(actions)
    return actions


def _act(
    kind: str, machine: Machine, expected: Expected, found: Found, rng: random.Random
) -> tuple[bool, float]:
    """Do one thing; returns whether there is a gap in the engine's time, and how long the machine was off."""
    if kind == "restart":
        found.restarts += 1
        before = machine.now()
        off_s = rng.choice([0.2, 5.0, 60.0, 1_800.0, 20_000.0])
        machine.restart(off_s)
        if abs(machine.now() - before - off_s) > 0.01:  # it was ahead: the time off was not counted
            expected.spoil()
        return True, off_s
    if kind == "jump":
        found.jumps += 1
        seconds = rng.choice(
            [-DAY_S, -3_600.0, -10.0, 10.0, 3_600.0, DAY_S, 30 * DAY_S, 365 * DAY_S]
        )
        machine.now()
        machine.wall += seconds
        if seconds > 0:
            expected.spoil()
        return True, 0.0
    return False, 0.0


def _inputs(machine: Machine, rng: random.Random) -> list[Any]:
    """Return a reading or an order for some street."""
    street = f"s-{rng.randrange(STREETS)}"
    now = machine.now()
    kind = rng.randrange(3)
    if kind == 2:
        level, until = float(rng.randrange(100)), now + rng.uniform(30.0, 7_200.0)
        return [Override(f"{street}.level", level, "desk", "fault suite", until)]
    point, value = (
        ("flow", rng.choice([20.0, 41.0, 200.0]))
        if kind == 0
        else ("pulse", rng.choice([0.0, 1.0]))
    )
    return [Reading(machine.engine.cells[f"{street}.{point}"], value, Quality.GOOD, now)]


def _take(expected: Expected, inputs: list[Any], now: float, true: float) -> None:
    for item in inputs:
        if isinstance(item, Override):
            expected.override(item.point.partition(".")[0], item.until)
        elif isinstance(item, Reading):
            street, _, point = item.point.id.partition(".")
            expected.reading(street, point, item.value, now, true)


def _compare(
    due: dict[Key, Timer],
    seen: Counter[Key],
    now: float,
    true: float,
    gap: bool,
    found: Found,
    where: str,
) -> None:
    """Compare what fired with what was due."""
    for planned, timer in due.items():
        is_missed = planned[0] == "early" and now - timer.due > MAX_LATE_S
        key = ("missed", "") if is_missed else planned
        if not seen.get(key):
            found.lost.append(f"{where}: {key} was due at {timer.due}, at {now} it has not fired")
            continue
        seen[key] -= 1
        found.fired[key[0]] += 1
        if gap:
            found.caught_up += 1
            continue
        found.worst_late_s = max(found.worst_late_s, now - timer.due)
        if timer.duration and timer.is_plain:
            error = abs(true - timer.since - timer.duration)
            found.worst_error_s = max(found.worst_error_s, error)
    for key, more in seen.items():
        if more:
            found.strange.append(f"{where}: {key} fired at {now} and was not due, or twice")
