"""Why a point is as it is, and what has been told to the equipment: as data that a page can say in any language."""

from __future__ import annotations

from typing import Any

import msgspec

from pilotage.api.question import Question

__all__ = [
    "CommandList",
    "CommandShown",
    "ListCommands",
    "Otherwise",
    "PointWhy",
    "Wanter",
    "Wanting",
    "Way",
    "WhyPoint",
]


class Wanter(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants something.

    `sort` is rule, plan, person, invariant, group (a point that passes its will on to its members), minimum_time or default.
    `instance` names the entities of a rule, `level` is a plan's, `titles` holds what the city calls it by language.
    `through` is the group point that passes it on; `by` and `since` say who set a plan's level, and when it began.
    """

    sort: str
    name: str = ""
    instance: str = ""
    level: int = 0
    titles: dict[str, str] | None = None
    through: str = ""
    by: str = ""
    since: float | None = None


class Wanting(msgspec.Struct, frozen=True, kw_only=True):
    """One demand of a priority array.

    `result` is `wins`, `limited` (it would win, but an invariant or a minimum time stands above it), `next` (it decides when
    the winner leaves) or `dominated`. Times are seconds since 1970.
    """

    level: int
    level_word: str
    who: Wanter
    value: Any = None
    text: str = ""
    reason: str = ""
    since: float | None = None
    until: float | None = None
    result: str = ""


class Otherwise(msgspec.Struct, frozen=True, kw_only=True):
    """What would be wanted without whoever decides now."""

    who: Wanter
    level: int
    level_word: str
    value: Any = None
    text: str = ""
    until: float | None = None


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How far the equipment is with what is wanted of it.

    `state` is idle, waiting, sent, done (confirmed by the equipment), failed, local (changed at the device), unheard (its
    report was lost) or passed_on (the members of the group are told).
    """

    state: str
    command: str = ""
    sent_text: str = ""
    sent_at: float | None = None
    confirmed_at: float | None = None
    attempt: int = 0
    deadline: float | None = None
    detail: str = ""


class PointWhy(msgspec.Struct, frozen=True, kw_only=True):
    """Why a point is as it is, at `at`: seconds since 1970, the engine's time or the time that was asked for.

    `value` to `age_s` are what it reports; `wanted` and what follows say who decides. `otherwise` is what would be wanted
    without whoever decides, `winner` the demand that wins (of an invariant or a minimum time: that it keeps waiting).
    `complete` is False when the journal begins later than what decided then. `standing` says who holds it by hand, as one word:
    give it back as `seen` of an override.
    """

    point: str
    at: float
    is_past: bool = False
    complete: bool = True
    type: str = ""
    unit: str = ""
    access: str = ""
    value: Any = None
    value_text: str = ""
    quality: str = "missing"
    time: float | None = None
    age_s: float | None = None
    is_commandable: bool = False
    is_decided: bool = False
    wanted: Any = None
    text: str = ""
    level: int = 17
    level_word: str = "default"
    who: Wanter
    since: float | None = None
    winner: Wanting | None = None
    demands: list[Wanting] = []
    otherwise: Otherwise | None = None
    way: Way | None = None
    standing: str = ""


class CommandShown(msgspec.Struct, frozen=True, kw_only=True):
    """An order to a device and its end; `outcome` is empty while it is under way."""

    id: str
    time: float
    decision: int
    text: str = ""
    who: Wanter
    attempt: int = 1
    outcome: str = ""
    ended: float | None = None
    detail: str = ""


class CommandList(msgspec.Struct, frozen=True):
    """Orders to one point, the newest first; `next` goes into the following question's `before`, 0 at the end."""

    commands: list[CommandShown]
    next: int = 0


class WhyPoint(Question[PointWhy], tag="why_point", frozen=True, kw_only=True):
    """Why is a point as it is, now or at a time (seconds since 1970)?"""

    point: str
    at: float | None = None


class ListCommands(Question[CommandList], tag="commands", frozen=True, kw_only=True):
    """What was a point told from one time to another, and what became of it?"""

    point: str
    since: float | None = None
    until: float | None = None
    before: int = 0
    limit: int = 20


Questions = WhyPoint | ListCommands
