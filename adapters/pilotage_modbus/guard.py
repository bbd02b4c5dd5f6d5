"""What one device does without us, and where that is written in it."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.adapter.options import Section
from pilotage.model.entities import OnLoss

REGISTER = 65_535


@dataclass(frozen=True, slots=True)
class Guard:
    """One device's registers.

    Attributes:
        point: Whose `on_loss` it is.
        heartbeat: Holding register in which a number changes while we are there.
        value, after: Holding registers for the value and the whole seconds; None where the device has them by hand.
    """

    point: str
    unit: int
    heartbeat: int
    value: int | None
    after: int | None
    words: tuple[int, ...]
    on_loss: OnLoss
    timeout_s: float

    @property
    def settings(self) -> list[tuple[int, list[int]]]:
        """What is written once and read back: registers with their words."""
        seconds = max(1, min(REGISTER, round(self.on_loss.after_s)))
        found = [(self.value, list(self.words)), (self.after, [seconds])]
        return [(register, words) for register, words in found if register is not None]


def read_register(section: Section, key: str) -> int | None:
    """Return a register's number, or None when none is written."""
    return section.whole(key, 0, 0, REGISTER) if key in section else None
