"""Plans, their levels, and what they ask of people."""

from __future__ import annotations

from typing import Any

import msgspec

from pilotage.api.question import Question, Receipt
from pilotage.api.why import Wanter

__all__ = [
    "AnswerPlan",
    "ChecklistItem",
    "GetPlan",
    "ListPlanPoints",
    "ListPlans",
    "OpenPoint",
    "Plan",
    "PlanDetail",
    "PlanLevel",
    "PlanParameter",
    "PlanPoint",
    "PlanPoints",
    "SecondPerson",
    "SetPlan",
    "Tally",
]


class SecondPerson(msgspec.Struct, frozen=True, kw_only=True):
    """An order of one person that waits for a second one; it is forgotten at `by`."""

    person: str
    level: int
    reason: str
    by: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and its level now; `asks` are open questions to people.

    `titles` holds the title per language, `operators` the roles that may set it (everybody when there are none), `priority` the
    level of its demands, `standing` where it stands (give it back as `seen` of an order), `undo_until` until when the last
    order may be taken back. `proposed` is a level that waits for a yes until `proposed_by`.
    """

    name: str
    title: str = ""
    level: int = 0
    level_name: str = ""
    levels: list[str] = []
    by: str = ""
    reason: str = ""
    since: float | None = None
    until: float | None = None
    asks: list[str] = []
    titles: dict[str, str] = {}
    owner: str = ""
    operators: list[str] = []
    priority: int = 10
    group: str = ""
    two_people: bool = False
    manual: bool = False
    standing: str = ""
    undo_until: float | None = None
    proposed: int | None = None
    proposed_by: float | None = None
    second: SecondPerson | None = None
    expires_s: float = 0.0


class ChecklistItem(msgspec.Struct, frozen=True, kw_only=True):
    """A step for people; `due` is None while it is not open: not begun, or `done`. `standing` is the `seen` of its answer."""

    question: str
    text: str
    by: str
    within_s: float
    due: float | None = None
    done: bool = False
    standing: str = ""


class PlanLevel(msgspec.Struct, frozen=True, kw_only=True):
    """A level of a plan: the condition that asks for it, and what people do at it."""

    level: int
    name: str
    enter: str = ""
    checklist: list[ChecklistItem] = []
    enables: list[str] = []


class PlanParameter(msgspec.Struct, frozen=True, kw_only=True):
    """What people may change of a plan; `value` is plain JSON, `text` is for reading."""

    name: str
    type: str
    value: Any = None
    text: str = ""
    low: float | None = None
    high: float | None = None


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Of one point of a kind: how many a plan holds, and how many of these the equipment has confirmed."""

    kind: str
    point: str
    held: int
    confirmed: int = 0
    waiting: int = 0
    failed: int = 0
    dominated: int = 0


class OpenPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A point that waits to be confirmed; `since` is when it was told last, seconds since 1970."""

    point: str
    name: str
    wanted: str
    state: str
    since: float | None = None


class PlanDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A plan with its levels, its parameters and how far it has come; at most 50 open points are named."""

    plan: Plan
    levels: list[PlanLevel]
    parameters: list[PlanParameter] = []
    blocked_by: str = ""
    progress: list[Tally] = []
    open: list[OpenPoint] = []
    at: float = 0.0


class PlanPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A point that a plan holds: what is wanted of it now, what it was told, and what the equipment says.

    `standing` is confirmed, waiting, failed, or dominated: then `by` is who decides. `state` is that of `Way`. Times are
    seconds since 1970.
    """

    point: str
    entity: str = ""
    kind: str = ""
    name: str = ""
    standing: str = "waiting"
    state: str = "idle"
    wanted: str = ""
    sent: str = ""
    sent_at: float | None = None
    reported: str = ""
    reported_at: float | None = None
    confirmed_at: float | None = None
    attempt: int = 0
    detail: str = ""
    by: Wanter


class PlanPoints(msgspec.Struct, frozen=True, kw_only=True):
    """A page of what a plan holds, in order of id; `counts` by standing count all of it, `next` is empty at the end."""

    points: list[PlanPoint]
    counts: dict[str, int]
    next: str = ""
    at: float = 0.0


class ListPlanPoints(Question[PlanPoints], tag="plan_points", frozen=True, kw_only=True):
    """What a plan holds, point by point; `standing` chooses confirmed, waiting, failed or dominated ones."""

    plan: str
    standing: str = ""
    after: str = ""
    limit: int = 100


class GetPlan(Question[PlanDetail], tag="plan", frozen=True, kw_only=True):
    """A plan, and what the equipment has confirmed of it."""

    plan: str


class ListPlans(Question[list[Plan]], tag="plans", frozen=True):
    """All plans."""


class SetPlan(Question[Receipt], tag="set_plan", frozen=True, kw_only=True):
    """Set a plan's level by hand; 0 ends it, None gives it back to its conditions.

    `until` is when the level ends (seconds since 1970). With `seen` the order is refused (`stale`) when the plan stands elsewhere by
    now. `undo` takes the last order back, within 30 s of it.
    """

    plan: str
    level: int | None
    person: str
    reason: str
    role: str = ""
    parameters: dict[str, Any] | None = None
    until: float | None = None
    seen: str = ""
    undo: bool = False


class AnswerPlan(Question[Receipt], tag="answer", frozen=True, kw_only=True):
    """Answer what a plan asks: `confirm`, `second`, `review` or `checklist:LEVEL:INDEX`.

    `seen` as in `SetPlan`; of a step of a list, where the step stood.
    """

    plan: str
    question: str
    yes: bool
    person: str
    role: str = ""
    seen: str = ""


Questions = ListPlans | GetPlan | ListPlanPoints | SetPlan | AnswerPlan
