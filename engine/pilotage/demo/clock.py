"""The city's time in every process of the demo, and how one process tells another."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pilotage.demo.device import ZONE

START: Final = datetime(2026, 1, 15, 21, 30, tzinfo=ZONE).timestamp()
"""A Thursday evening in winter: streets grow quiet, buses still run, a cold front comes."""


@dataclass(frozen=True, slots=True)
class DemoClock:
    """The city's time in every process of the demo: `start` at the moment `zero` of the system's steady clock.

    An engine in another process gets `speed` and `start=clock.now()` at the moment when it starts its own clock.
    """

    speed: float
    start: float = START
    zero: float = 0.0

    @classmethod
    def begin(cls, speed: float, start: float = START) -> DemoClock:
        """Return a clock that begins now."""
        return cls(speed, start, time.monotonic())

    def now(self) -> float:
        """Return the city's time now, in seconds since 1970."""
        return self.start + (time.monotonic() - self.zero) * self.speed

    def delay(self, seconds: float) -> float:
        """Return the real seconds that so much of the city's time takes."""
        return seconds / self.speed

    @property
    def options(self) -> list[str]:
        """The options by which another process gets the same clock."""
        return [
            *("--speed", repr(self.speed)),
            *("--start", repr(self.start)),
            *("--zero", repr(self.zero)),
        ]


def add_clock(parser: argparse.ArgumentParser) -> None:
    """Add the options of the clock to a part's command line."""
    parser.add_argument("--speed", type=float, default=1.0, help="city seconds per real second")
    parser.add_argument("--start", type=float, default=START, help="city time at the beginning")
    parser.add_argument("--zero", type=float, help="steady time at which that was; now by default")


def clock_of(parser: argparse.ArgumentParser, given: argparse.Namespace) -> DemoClock:
    """Return the clock that the options describe; a speed that is none ends the process."""
    if not given.speed > 0:
        parser.error(f"--speed is above zero, not {given.speed}")
    zero = time.monotonic() if given.zero is None else given.zero
    return DemoClock(given.speed, given.start, zero)
