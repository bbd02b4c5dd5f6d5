"""The sixteen levels of a point's priority array, best first; BACnet's numbers, a city's names."""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """A level of the priority array: 1 is the most urgent."""

    LIFE_SAFETY_MANUAL = 1
    LIFE_SAFETY = 2
    EMERGENCY = 3
    CRISIS = 4
    PROTECT = 5
    MINIMUM_TIME = 6
    MAINTENANCE = 7
    OPERATOR = 8
    SECURITY = 9
    PLAN = 10
    EVENT = 11
    PEOPLE = 12
    SERVICE = 13
    SAVING = 14
    SCHEDULE = 15
    BASE = 16

    @property
    def word(self) -> str:
        """The name as rule files write it."""
        return self.name.lower()


BY_HAND = frozenset({Priority.MAINTENANCE, Priority.OPERATOR})
"""Levels at which people take points by hand: engineers for maintenance, operators for everything else."""

RESERVED = frozenset({Priority.MINIMUM_TIME, Priority.OPERATOR})
"""Levels that no rule may use: the engine's own, and the control room's."""

NEEDS_IF_UNKNOWN = 6
"""Rules at this level or above must say what happens when their condition is unknown."""


def parse_priority(text: str) -> Priority | None:
    """Return the level that a rule file names by word or by number, or None when there is no such level."""
    word = text.strip()
    if word.isdigit():
        return Priority(int(word)) if 1 <= int(word) <= 16 else None
    try:
        return Priority[word.upper()] if word == word.lower() else None
    except KeyError:
        return None
