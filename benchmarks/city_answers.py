"""Puts together what the equipment of the city was asked and what it was told: which change had its command, and how late."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

OVERTAKEN_S: Final = 5.0
"""Who is asked something else within so long needs no command for what was asked before: a panel polled every 2 s, or a bus that
leaves at once, was never seen to want it."""
SHOWN: Final = 5
"""Of the missing commands of one way, so many are told in full."""


@dataclass(slots=True)
class Answers:
    """What became of all that was asked.

    Attributes:
        late: Seconds from each change to its command, with the moment of the change, by way.
        missing: Changes without a command, by way.
        wrong: Points that were told something else last than was asked last.
        shown: The first of both, in words.
    """

    late: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    missing: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    wrong: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)


def answers(notes: Sequence[dict[str, Any]]) -> Answers:
    """Put together what the equipment noted in its processes."""
    asked: dict[str, list[tuple[float, str, Any]]] = defaultdict(list)
    told: dict[str, list[tuple[float, Any]]] = defaultdict(list)
    for note in notes:
        for way, point, value, at in note["asked"]:
            asked[point].append((at, way, value))
        for point, value, at in note["told"]:
            told[point].append((at, value))
    found = Answers()
    for point, changes in asked.items():
        changes.sort()
        commands = sorted(told[point], key=lambda command: command[0])
        _judge(found, point, changes, commands)
    return found


def _judge(
    found: Answers,
    point: str,
    changes: Sequence[tuple[float, str, Any]],
    commands: Sequence[tuple[float, Any]],
) -> None:
    """Find the command of each change of one point."""
    if not commands and _is_there_and_back(changes):
        return
    if not _ends_right(changes, commands):
        found.wrong.append(point)
        if len(found.wrong) <= SHOWN:
            found.shown.append(f"{point} ends wrong: {_words(changes, commands)}")
    for number, (at, way, value) in enumerate(changes):
        until = changes[number + 1][0] if number + 1 < len(changes) else float("inf")
        first = bisect.bisect_left(commands, at, key=lambda command: command[0])
        when = next((t for t, v in commands[first:] if v == value), float("inf"))
        if when < until:
            found.late[way].append((at, when - at))
        elif until - at > OVERTAKEN_S:
            found.missing[way] += 1
            if found.missing[way] <= SHOWN:
                found.shown.append(f"{point} missed {value!r}: {_words(changes, commands)}")


def _ends_right(
    changes: Sequence[tuple[float, str, Any]], commands: Sequence[tuple[float, Any]]
) -> bool:
    """Whether the last command is what the last change wants."""
    return bool(commands) and bool(commands[-1][1] == changes[-1][2])


def _is_there_and_back(changes: Sequence[tuple[float, str, Any]]) -> bool:
    """Whether something was asked and taken back so soon that nobody need have seen it."""
    return len(changes) == 2 and changes[1][0] - changes[0][0] <= OVERTAKEN_S


def _words(changes: Sequence[tuple[float, str, Any]], commands: Sequence[tuple[float, Any]]) -> str:
    """Say what was asked and told last, in seconds from the first change."""
    began = changes[0][0]
    asked = ", ".join(f"{value!r} at {at - began:.2f} s" for at, _, value in changes[-4:])
    told = ", ".join(f"{value!r} at {at - began:.2f} s" for at, value in commands[-4:])
    return f"asked {asked}; told {told or 'nothing'}"
