"""What judging an audit gives: flaws, each with its place and its meaning, and what was found of each chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

MOST_FLAWS: Final = 20

Say = Callable[[int], None]
"""Told now and then how many rows were read."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is not as it was written.

    Attributes:
        partition: Whose chain; empty for the file itself.
        number: The row, 0 when it is none in particular.
        what: What is wrong.
        meaning: What that means.
    """

    partition: str
    number: int
    what: str
    meaning: str


@dataclass(slots=True)
class ChainVerified:
    """What was found of one chain; `journal` counts the decisions that were compared with the journal."""

    partition: str
    first: int = 0
    last: int = 0
    rows: int = 0
    erased: int = 0
    anchors: int = 0
    anchored: int = 0
    journal: int = 0


@dataclass(slots=True)
class Verified:
    """The judgement: sound when there is no flaw; `notes` say what could not be looked at."""

    chains: list[ChainVerified] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: int = 0

    @property
    def is_sound(self) -> bool:
        """True when nothing was found."""
        return not self.flaws

    def add(self, partition: str, number: int, what: str, meaning: str) -> None:
        """Note a flaw; of very many only the first of a chain."""
        if sum(flaw.partition == partition for flaw in self.flaws) >= MOST_FLAWS:
            self.left_out += 1
        else:
            self.flaws.append(Flaw(partition, number, what, meaning))
