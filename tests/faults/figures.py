"""What a fault suite reaches, against what is promised: the lines of the table that `make faults` prints."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Size(Enum):
    """How much of a suite runs."""

    SHORT = "short"  # seconds, with `make test`
    LONG = "long"  # the figures of the goals, with `make faults`


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured promise.

    Attributes:
        goal: Its number, `G1`.
        what: What was done to the engine.
        wanted: What had to hold.
        reached: What was measured.
        holds: True when it did.
    """

    goal: str
    what: str
    wanted: str
    reached: str
    holds: bool
