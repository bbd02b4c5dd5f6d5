"""Relays and motors are told no more often than they may, however fast rules loop, whatever fails, and whoever asks.

Most seeds run the core alone, in a virtual hour of readings, operators, lost answers and restarts at random. Some hand commands at full
speed to the real dispatcher, as a mistake of the core would.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tests.engine.core.conftest import EPOCH, loaded, written
from tests.faults.figures import Figure, Size

from pilotage.core.engine import Engine
from pilotage.core.image import dump, load
from pilotage.language.program import Program
from pilotage.model.entities import EntitySpec, Rate
from pilotage.model.messages import (
    CallOut,
    Command,
    CommandResult,
    Decision,
    Followed,
    Outcome,
    Override,
    Reading,
    Reconnected,
    ReleaseOverride,
    Request,
)
from pilotage.model.quality import Quality
from pilotage.model.values import Value
from pilotage.runtime.clock import ScaledClock
from pilotage.runtime.dispatcher import Dispatcher
from pilotage.runtime.health import Health

GOALS: Final = ("G21",)
SEEDS: Final = {Size.SHORT: 30, Size.LONG: 1_000}
DISPATCHED: Final = {Size.SHORT: 6, Size.LONG: 60}
POINTS: Final = {"B.arm": Rate(1, 10.0), "B.relay": Rate(3, 60.0)}
RESTING: Final[Mapping[str, Value]] = {"B.arm": "up", "B.relay": False}
JITTER_S: Final = 1e-6
SPEED: Final = 100.0


def program() -> Program:
    """Rules that follow a contact at once, and one that reads what it sets: it drives itself in a circle."""
    for_each = {"b": {"kind": "barrier"}}
    rules = {
        "follow-car": {
            "for_each": for_each,
            "while": "b.car == true",
            "hold": [{"set": "b.arm", "to": "down", "priority": "service"}],
        },
        "follow-van": {
            "for_each": for_each,
            "while": "b.van == true",
            "hold": [{"set": "b.relay", "to": "true", "priority": "service"}],
        },
        "chase-myself": {
            "for_each": for_each,
            "while": "b.relay == false and b.car == true",
            "hold": [{"set": "b.relay", "to": "true", "priority": "saving"}],
        },
    }
    return loaded(written(rules))


class Street:
    """One engine and one barrier, with everything that may go wrong between them.

    Attributes:
        told: When each point was told.
        open: Commands without an end; `faults` says what was broken.
    """

    def __init__(self, rules: Program, seed: int) -> None:
        self._chance = random.Random(seed)
        self._now = EPOCH
        self._device: dict[str, Any] = dict(RESTING)
        self._follows: list[tuple[float, str, Any]] = []
        self.told: dict[str, list[float]] = {point: [] for point in POINTS}
        self.wanted: dict[str, Any] = {}
        self.open: set[str] = set()
        self.faults: list[str] = []
        self.commands = self.restarts = 0
        self.engine = Engine(
            rules, [EntitySpec("B", "barrier", values={"arm": "up", "relay": False})], EPOCH
        )
        self._tick([])

    def live(self, ticks: int) -> None:
        """Let so many things happen, then let it all come to rest."""
        for _ in range(ticks):
            self._wait(self._chance.choice((0.01, 0.1, 0.1, 1.0, 5.0)))
            self._happen()
        self._tick(
            [self._reading("B.car", False), self._reading("B.van", self._chance.random() < 0.5)]
        )
        for _ in range(200):
            self._wait(2.0)
        self._judge()

    def _happen(self) -> None:
        chance, now = self._chance, self._now
        match chance.randrange(12):
            case 0:
                until = now + chance.choice((0.5, 30.0, 600.0))
                value = chance.choice(("up", "down"))
                self._tick([Override("B.arm", value, "ann", "test", until)])
            case 1:
                self._tick([ReleaseOverride("B.arm", "ann")])
            case 2:
                self._tick([Reconnected(tuple(POINTS))])
            case 3:
                self._restart()
            case 4:
                point = chance.choice(tuple(POINTS))
                self._tick([self._reading(point, None)])
            case _:
                contact = chance.choice(("B.car", "B.van"))
                self._tick([self._reading(contact, chance.random() < 0.5)])

    def _restart(self) -> None:
        """Die between two ticks: written down, and taken up by another engine."""
        self.restarts += 1
        self.engine = load(dump(self.engine, "x"), {}, "x")
        self.engine.resume(self._now)
        self._tick([])

    def _reading(self, point: str, value: Any) -> Reading:
        quality = Quality.GOOD if value is not None else Quality.MISSING
        return Reading(self.engine.cells[point], value, quality, self._now)

    def _wait(self, seconds: float) -> None:
        """Let time pass, deadline by deadline, and the device follow."""
        end = self._now + seconds
        while True:
            due = min(self.engine.next_due() or end, *(f[0] for f in self._follows), end)
            self._now = max(self._now, due)
            ready = [f for f in self._follows if f[0] <= self._now]
            self._follows = [f for f in self._follows if f[0] > self._now]
            for _, point, value in ready:
                self._device[point] = value
            self._tick([self._reading(point, self._device[point]) for _, point, _ in ready])
            if self._now >= end:
                break

    def _tick(self, inputs: Sequence[Any]) -> None:
        decision = self.engine.tick(self._now, inputs)
        if decision is None:
            return
        results = []
        for event in decision.events:
            if isinstance(event, Command):
                results += self._carry_out(event)
            elif isinstance(event, Followed) and event.command:
                if event.command not in self.open:
                    self.faults.append(f"{event.command} ended twice")
                self.open.discard(event.command)
        if results:
            self._tick(results)

    def _carry_out(self, command: Command) -> list[CommandResult]:
        self.commands += 1
        self.told[command.point].append(self._now)
        self.open.add(command.id)
        outcome = self._chance.choice((Outcome.ACKNOWLEDGED,) * 6 + (*Outcome, None))
        if outcome not in (Outcome.NOT_SENT, Outcome.REFUSED) and self._chance.random() < 0.8:
            follows = self._now + self._chance.choice((0.0, 0.2, 3.0))
            self._follows.append((follows, command.point, command.value))
        return [] if outcome is None else [CommandResult(command.id, outcome)]

    def _judge(self) -> None:
        for point, rate in POINTS.items():
            if fastest(self.told[point], rate) < rate.per_s - JITTER_S:
                self.faults.append(f"{point} was told more often than {rate}")
            cell = self.engine.cells[point]
            wanted = cell.array.wanted if cell.array is not None else cell.spec.default
            pursuit = self.engine.reconciler.pursuit(cell)
            state = pursuit.state if pursuit is not None else "done"
            if self._device[point] != wanted and state not in ("failed", "local", "sent"):
                self.faults.append(
                    f"{point} was lost: {self._device[point]}, not {wanted} ({state})"
                )
        if self.open - {p.command for p in self.engine.reconciler.pursuits}:
            self.faults.append(f"{self.open} have no end")


def fastest(times: Sequence[float], rate: Rate) -> float:
    """Return the shortest time in which a device was told once more than it may be; infinite when it never was."""
    pairs = zip(times, times[rate.count :], strict=False)
    return min((last - first for first, last in pairs), default=float("inf"))


class Relay:
    """An adapter whose device clicks at each command."""

    def __init__(self, clock: ScaledClock) -> None:
        self._clock = clock
        self.clicks: list[float] = []
        self.last: Any = None

    async def run(self) -> None:
        """Nothing is reported."""

    async def send(self, order: Command | Request | CallOut) -> Outcome:
        """Click."""
        self.clicks.append(self._clock.monotonic())
        self.last = getattr(order, "value", None)
        return Outcome.ACKNOWLEDGED

    def targets(self) -> tuple[Sequence[str], Sequence[str]]:
        """One relay."""
        return ["B.relay"], []


async def dispatched(seed: int) -> tuple[bool, int, int]:
    """Return whether the relay kept its rate and got the newest value, the orders handed in, and its clicks."""
    chance, clock = random.Random(seed), ScaledClock(SPEED)
    results: list[CommandResult] = []
    rate = Rate(chance.randint(1, 4), chance.uniform(2.0, 20.0))
    dispatcher = Dispatcher(results.append, clock, Health(clock.now), lambda point: rate)
    relay = Relay(clock)
    dispatcher.connect("relay", relay)
    count, value = chance.randint(100, 400), False
    for n in range(count):
        value = not value
        order = Command(str(n), "B.relay", n, clock.now() + 600.0, "bug")
        dispatcher.send(Decision(n, clock.now(), (order,)))
        if chance.random() < 0.3:
            await asyncio.sleep(chance.uniform(0.0, 0.002))
    done = await dispatcher.drained(30.0)
    await dispatcher.close()
    is_slow = fastest(relay.clicks, rate) >= rate.per_s - JITTER_S
    answered = len(results) == len({r.command for r in results}) == count
    return done and is_slow and answered and relay.last == count - 1, count, len(relay.clicks)


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Run all seeds; failing ones are said."""
    rules, broken, commands, restarts = program(), 0, 0, 0
    for seed in range(SEEDS[size]):
        street = Street(rules, seed)
        street.live(150)
        commands += street.commands
        restarts += street.restarts
        if street.faults:
            broken += 1
            say(f"seed {seed}: {'; '.join(street.faults[:3])}")
    wild = [(seed, asyncio.run(dispatched(seed))) for seed in range(DISPATCHED[size])]
    for seed, (holds, _, _) in wild:
        if not holds:
            say(f"dispatcher, seed {seed}: the relay was told too often, or not the newest at last")
    orders, clicks = (sum(figures[n] for _, figures in wild) for n in (1, 2))
    bad = sum(not figures[0] for _, figures in wild)
    return [
        Figure(
            "G21", f"rule loops in the core, {SEEDS[size]:,} seeds, {restarts:,} restarts",
            "the device sees at most its rate, each command one end, the newest at last",
            f"{commands:,} commands, {broken} seeds broken", broken == 0 and commands > 0,
        ),
        Figure(
            "G21", f"{orders:,} commands at full speed past the core, {len(wild)} seeds",
            "the dispatcher lets the rate through, the newest at last",
            f"{clicks:,} reached the device, {bad} seeds broken", bad == 0 and clicks > 0,
        ),
    ]  # fmt: skip
