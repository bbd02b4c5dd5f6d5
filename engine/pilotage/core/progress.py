"""How far a plan that stands has come: what the equipment has confirmed, and what it waits for. Changes nothing.

Counts points that are told by themselves: a group whose members are told counts as its members.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pilotage.core.store import Cell
from pilotage.model.values import as_plain, format_value

if TYPE_CHECKING:
    from pilotage.core.engine import Engine
    from pilotage.core.plans import Plan

MOST_OPEN: Final = 50
"""So many points that wait are named."""
UNDER_WAY: Final = ("waiting", "sent")
STANDINGS: Final = ("confirmed", "waiting", "failed", "dominated")
"""How a point that a plan holds is: as wanted, under way, not as wanted, or with somebody more urgent."""


@dataclass(slots=True)
class Tally:
    """Of one point of a kind: how many the plan holds, and how they are."""

    kind: str
    point: str
    held: int = 0
    confirmed: int = 0
    waiting: int = 0
    failed: int = 0
    dominated: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    """A point that the equipment has not confirmed; `since` is when it was told last, None when it was not."""

    point: str
    name: str
    wanted: str
    state: str
    since: float | None


@dataclass(slots=True)
class Progress:
    """How far a plan has come."""

    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    open: list[Open] = field(default_factory=list)


def held(engine: Engine, plan: Plan) -> Iterator[tuple[Cell, str]]:
    """Go through the points that a plan holds and that are told by themselves, each with how it is (`STANDINGS`)."""
    waiting = [cell for level in plan.program.levels for _, cell in plan.placed(level.level)]
    seen: set[Cell] = set()
    for cell in waiting:  # grows while it is gone through
        if cell in seen:
            continue
        seen.add(cell)
        members = engine.groups.members(cell)
        if members and engine.groups.is_passed_on(cell):
            waiting.extend(members)
        else:
            yield cell, _standing(engine, plan, cell)


def follow(engine: Engine, plan: Plan, progress: Progress) -> Iterator[None]:
    """Count what a plan holds, in small steps."""
    for cell, standing in held(engine, plan):
        _count(engine, cell, standing, progress)
        yield


def _standing(engine: Engine, plan: Plan, cell: Cell) -> str:
    array = cell.array
    if array is None or array.winner is None or array.winner.by != plan.program.name:
        return "dominated"
    pursuit = engine.reconciler.pursuit(cell)
    state = pursuit.state if pursuit is not None else "idle"
    if pursuit is not None and (state == "done" or pursuit.has_arrived()):
        return "confirmed"
    return "waiting" if state in UNDER_WAY or state == "idle" else "failed"


def _count(engine: Engine, cell: Cell, standing: str, progress: Progress) -> None:
    kind = cell.entity.kind if cell.entity is not None else ""
    key = (kind, cell.spec.name)
    tally = progress.tallies.setdefault(key, Tally(*key))
    tally.held += 1
    setattr(tally, standing, getattr(tally, standing) + 1)
    if standing in ("waiting", "failed") and len(progress.open) < MOST_OPEN:
        pursuit, array = engine.reconciler.pursuit(cell), cell.array
        state = pursuit.state if pursuit is not None else "idle"
        name = cell.entity.name if cell.entity is not None else cell.id
        wanted = array.wanted if array is not None else None
        shown = format_value(as_plain(wanted), cell.spec.type)
        since = pursuit.sent_at if pursuit is not None and pursuit.sent_at else None
        progress.open.append(Open(cell.id, name, shown, state, since))
