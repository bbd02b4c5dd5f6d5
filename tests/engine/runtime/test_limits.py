"""The bounds of the engine: a rule that costs too much goes into quarantine, memory and files are told."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pilotage.core.engine import Engine
from pilotage.core.evaluator import HoldInstance
from pilotage.core.graph import Watch
from pilotage.language.compiler import REACTION
from pilotage.language.rules import load_or_refuse
from pilotage.model.entities import Access, EntitySpec, Function, Kind, Parameter, PointSpec
from pilotage.model.messages import Reading, RuleOrder
from pilotage.model.quality import Quality
from pilotage.model.values import BOOLEAN, number
from pilotage.runtime.config import EngineSettings
from pilotage.runtime.health import Health
from pilotage.runtime.isolation.limits import parent, resident
from pilotage.runtime.limits import MOST_FILES, Limits, allow_files, allowed_files
from pilotage.runtime.rule_budget import RuleBudget, rule_of

STREET = Kind(
    "street",
    "Street",
    (PointSpec("flow", number("veh/h")), PointSpec("lit", BOOLEAN, Access.BOTH, default=False)),
)
CHEAP = """\
version: 1
rules:
  cheap:
    title: Cheap
    owner: tests
    for_each: {street: {kind: street}}
    while: street.flow > 70 veh/h
    hold: [{set: street.lit, to: true, priority: service}]
"""
HOLD = """\
  costly:
    title: Costly
    owner: tests
    for_each: {street: {kind: street}}
    while: slow(street.flow) > 60 veh/h
    hold: [{set: street.lit, to: true, priority: saving}]
"""
STORY = """\
  costly:
    title: Costly
    owner: tests
    for_each: {street: {kind: street}}
    when: slow(street.flow) > 80 veh/h
    do: [{note: much}]
"""


def burn(flow: float) -> float:
    """Take two milliseconds of processor time."""
    end = time.process_time() + 0.002
    while time.process_time() < end:
        pass
    return flow


def city(rules: str) -> Any:
    """Return an engine whose function `slow` costs much."""
    slow = Function("slow", (Parameter("x", number("veh/h")),), number("veh/h"), burn)
    program = load_or_refuse({"r.yaml": rules}, {"street": STREET}, {"slow": slow})
    return Engine(program, [EntitySpec("s1", "street")], 0.0)


def drive(engine: Any, ticks: int) -> None:
    """Have every condition asked so many times."""
    cell = engine.cells["s1.flow"]
    for tick in range(1, ticks):
        engine.tick(float(tick), [Reading(cell, float(tick % 100), Quality.GOOD, float(tick))])


@pytest.fixture
def budget() -> Iterator[Callable[..., RuleBudget]]:
    made: list[RuleBudget] = []

    def make(*arguments: Any, **more: Any) -> RuleBudget:
        made.append(RuleBudget(*arguments, **more))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


class TestSamples:
    @pytest.mark.parametrize("rule", [HOLD, STORY], ids=["hold", "story"])
    def test_the_costly_one(self, budget: Callable[..., RuleBudget], rule: str) -> None:
        """Processor time is counted for the rule that takes it, hold or story, and not for its neighbour."""
        engine = city(CHEAP + rule)
        found = budget(lambda rule, share: None, 0.0, turn=lambda: engine.turn)
        drive(engine, 200)
        found.look()
        assert found.spent_s["costly"] > 0.1
        assert found.spent_s["costly"] > 10 * found.spent_s.get("cheap", 0.0)

    def test_what_a_change_costs(self) -> None:
        """What follows from a change, at once or when its time has come, is the rule's; between two ticks it is nobody's."""
        turns: list[str] = []
        engine = city(CHEAP.replace("    hold:", "    for: 5 s\n    hold:"))
        emit = engine.arbiter._emit

        def note(event: Any) -> None:
            turns.append(rule_of(None, engine.turn))
            emit(event)

        engine.arbiter._emit = note
        drive(engine, 190)
        assert turns == ["cheap"] * 3  # placed, given up, placed
        assert rule_of(None, engine.turn) == ""

    def test_elsewhere(self, budget: Callable[..., RuleBudget]) -> None:
        """What is no rule's is counted for none."""
        found = budget(lambda rule, share: None, 0.0)
        for _ in range(100):
            burn(1.0)
        found.look()
        assert found.spent_s == {}

    def test_stops(self, budget: Callable[..., RuleBudget]) -> None:
        """After the end no signal comes, and one that is on its way does no harm."""
        found = budget(lambda rule, share: None, 0.0)
        found.stop()
        assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
        signal.raise_signal(signal.SIGPROF)


class TestBudget:
    def test_p99(self) -> None:
        """What a rule stays within in 99 of 100 seconds; one second in a hundred may be dear."""
        found = RuleBudget(lambda rule, share: None, 0.0)
        for second in range(200):
            found._fresh.update({"steady": 3, "rare": 50 if second == 7 else 0})
            found._fresh.update({"often": 20 if second % 20 == 0 else 1})
            found.look()
        costs = {rule: found.p99_s(rule) for rule in ("steady", "rare", "often", "unknown")}
        assert costs == pytest.approx({"steady": 0.03, "rare": 0.0, "often": 0.2, "unknown": 0.0})

    def test_over(self) -> None:
        """A rule over its part of the window is told, as often as it is found, until it is forgotten."""
        told: list[tuple[str, float]] = []
        now = [0.0]
        found = RuleBudget(
            lambda rule, share: told.append((rule, share)),
            0.5,
            window_s=10.0,
            steady=lambda: now[0],
        )
        for _ in range(10):
            now[0] += 1.0
            found._fresh.update({"costly": 80, "cheap": 10})
            found.look()
        assert {rule for rule, _ in told} == {"costly"}
        assert now[0] == 10.0
        assert told[0][1] == pytest.approx(0.56)
        found.forget("costly")
        told.clear()
        found.look()
        assert told == []

    def test_a_burst(self) -> None:
        """A rule that works hard for a moment only is left alone."""
        told: list[str] = []
        now = [0.0]
        found = RuleBudget(lambda rule, share: told.append(rule), 0.5, steady=lambda: now[0])
        for second in range(60):
            now[0] += 1.0
            found._fresh["dusk"] = 100 if second < 10 else 1
            found.look()
        assert told == []


@pytest.fixture
def orders() -> list[RuleOrder]:
    return []


@pytest.fixture
def limits(health: Health, orders: list[RuleOrder]) -> Limits:
    def order(given: RuleOrder) -> asyncio.Future[Any]:
        orders.append(given)
        return asyncio.get_running_loop().create_future()

    return Limits(EngineSettings(False, 0.0, 0.5, 1_000_000_000), health, order, lambda: None)


class TestLimits:
    async def test_quarantine_is_an_order(self, limits: Limits, orders: list[RuleOrder]) -> None:
        """A rule over its budget is put into quarantine by an order that the journal keeps."""
        limits._over_budget("costly", 0.83)
        reason = "it took 83.0% of a core for 30 s, and 50.0% are allowed"
        assert orders == [RuleOrder("costly", "quarantine", "engine", reason, "engine")]

    def test_memory(self, limits: Limits, health: Health) -> None:
        """Memory above its bound is a finding until it is well below again."""
        limits._look_at_memory(1_100_000_000)
        assert health.finding("engine.memory") is not None
        limits._look_at_memory(990_000_000)
        assert health.finding("engine.memory") is not None
        limits._look_at_memory(900_000_000)
        assert health.finding("engine.memory") is None

    def test_files(self, limits: Limits, health: Health) -> None:
        """So are open files from four fifths on."""
        limits._look_at_files(85, 100)
        assert health.finding("engine.files") is not None
        limits._look_at_files(60, 100)
        assert health.finding("engine.files") is None

    def test_allow_files(self) -> None:
        """The engine may open as many files as the system allows."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
            allow_files()
            assert allowed_files() == min(before[1], MOST_FILES)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("half_made", [Watch, HoldInstance])
def test_a_sample_while_something_is_made_harms_nothing(
    budget: Callable[..., RuleBudget], half_made: type[Any]
) -> None:
    """The signal comes between any two steps, also before an object has its attributes; the tick must not feel it."""
    whole: Any = half_made
    thing = whole.__new__(whole)
    counted = budget(lambda rule, share: None, 0.5, turn=lambda: thing)
    names: dict[str, Any] = {"raised": signal.raise_signal}
    text = f"def init(self):\n raised({signal.SIGPROF:d})\n return 'whole'"
    counted.start()
    exec(compile(text, REACTION, "exec"), names)
    assert names["init"](thing) == "whole"


class TestProcesses:
    def test_a_look_leaves_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """To look at a process interns no text: Python's table of those would grow with each number that comes and goes."""
        interned: list[str] = []

        def intern(text: str) -> str:
            interned.append(text)
            return text

        monkeypatch.setattr(sys, "intern", intern)
        assert resident(os.getpid()) > 1_000_000
        assert parent(os.getpid()) == os.getppid()
        assert interned == []

    def test_gone(self) -> None:
        """A process that is gone has no memory and no parent."""
        assert (resident(2**22 + 1), parent(2**22 + 1)) == (0, 0)
