"""What an update costs in steps of the interpreter, compared with a stored figure: no clock, so no noisy machine matters.

A step is one bytecode instruction of Python code. What C code does inside of one is not seen; the benchmarks see it. The figures
belong to a minor version of Python. When a change makes the hot path dearer on purpose, or cheaper, write the new figure here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import pytest

from benchmarks import w1
from pilotage.core.engine import Engine
from pilotage.model.messages import Command, CommandResult, Outcome, Reading
from pilotage.model.quality import Quality

MARGIN: Final = 0.05

STEPS: Final[dict[tuple[int, int], dict[str, float]]] = {
    (3, 11): {"same": 39.5, "other": 91.5, "acts": 2654},
    (3, 12): {"same": 38.6, "other": 89.5, "acts": 2463},
    (3, 13): {"same": 32.6, "other": 83.3, "acts": 2446},
}
"""Steps of one reading among 64 of a tick: that says the same again, that says something else and changes no rule, and (alone in
its tick, with its command's acknowledgement and report) that changes one."""


def steps(work: Callable[[], object]) -> int:
    """Return how many instructions of Python some work takes."""
    return _monitored(work) if sys.version_info >= (3, 12) else _traced(work)


def _traced(work: Callable[[], object]) -> int:
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return count


def _monitored(work: Callable[[], object]) -> int:
    """Tracing of opcodes begins too late from Python 3.12 on; this is what it has in its place."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
    count = 0

    def note(_code: object, _offset: int) -> None:
        nonlocal count
        count += 1

    tool = monitoring.PROFILER_ID
    monitoring.use_tool_id(tool, "steps")
    monitoring.register_callback(tool, monitoring.events.INSTRUCTION, note)
    monitoring.set_events(tool, monitoring.events.INSTRUCTION)
    try:
        work()
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)
    return count


class City:
    """The city of W1, warm."""

    def __init__(self) -> None:
        self.engine: Engine = w1.build(100)[0]
        self.cells = dict(self.engine.cells)
        self.now = w1.START
        for flow in (100.0, 50.0, 100.0):
            for n in range(w1.BATCH):
                self.act(n, flow)

    def readings(self, *flows: float) -> list[Reading]:
        """Return one reading of each of the first segments, with these flows in turn."""
        cells = self.cells
        return [
            Reading(cells[f"s-{n}.flow"], flows[n % len(flows)], Quality.GOOD, self.now)
            for n in range(w1.BATCH)
        ]

    def tick(self, readings: list[Any]) -> list[Any]:
        """Tick a moment later; returns what the devices answer."""
        self.now += 0.1
        decision = self.engine.tick(self.now, readings)
        if decision is None:
            return []
        commands = [event for event in decision.events if isinstance(event, Command)]
        cells = self.cells
        return [
            answer
            for command in commands
            for answer in (
                CommandResult(command.id, Outcome.ACKNOWLEDGED),
                Reading(cells[command.point], command.value, Quality.GOOD, self.now),
            )
        ]

    def act(self, n: int, flow: float) -> int:
        """Have a segment's flow say so, and its lamp obey; returns how many commands that took."""
        reading = Reading(self.cells[f"s-{n}.flow"], flow, Quality.GOOD, self.now)
        answers = self.tick([reading])
        self.tick(answers)
        return len(answers) // 2


@pytest.fixture(scope="module")
def city() -> City:
    """A city whose points were all heard before."""
    return City()


def measured(city: City) -> dict[str, float]:
    """Return the steps of each kind of update."""
    found = {}
    for name, flows in (("same", (100.0,)), ("other", (101.0, 102.0, 103.0))):
        city.tick(city.readings(100.0))
        readings = city.readings(*flows)
        found[name] = steps(lambda given=readings: city.tick(given)) / w1.BATCH  # type: ignore[misc]
    commands = city.act(0, 100.0)
    acting = steps(lambda: [city.act(n, 50.0) for n in range(1, 33)]) / 32
    assert commands == 0
    found["acts"] = acting
    return found


@pytest.mark.source
def test_an_update_takes_no_more_steps_than_it_did(city: City) -> None:
    """More than a twentieth above the stored figure is a slower engine, more than that below a figure to lower."""
    wanted = STEPS.get(sys.version_info[:2])
    found = measured(city)
    assert wanted is not None, f"no figures for this Python; it takes {found}"
    told = {name: (round(found[name], 1), wanted[name]) for name in wanted}
    assert all(abs(is_ - was) <= MARGIN * was for is_, was in told.values()), told


def test_an_acting_update_commands(city: City) -> None:
    """Else the steps above would be those of doing nothing."""
    assert city.act(40, 50.0) == 1
    assert city.act(40, 100.0) == 1
