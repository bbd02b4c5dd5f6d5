"""What a level of a plan would change, before anybody sets it."""

from __future__ import annotations

import msgspec

from pilotage.api.question import Question

__all__ = [
    "Clash",
    "Effect",
    "PlanPreview",
    "PreviewPlan",
]


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one point of a kind; all are numbers of points.

    `held`: the plan would want something of them; of these `acts` would be wanted otherwise than now, `same` are held as they
    are, `dominated` stay with somebody more urgent. `freed`: the plan holds them now and would hold them no more.
    """

    kind: str
    point: str
    held: int = 0
    acts: int = 0
    same: int = 0
    dominated: int = 0
    freed: int = 0


class Clash(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who wants something else (a rule, a plan, `operator NAME`), at how many points, and some of them."""

    by: str
    level: int
    points: int
    examples: list[str] = []


class PlanPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a level of a plan would change.

    `dominates` lose to the plan, `dominated_by` win over it, `overrides` are points that operators hold against it (at most
    100 are named). `doubtful` combinations are unknown. `enables` are rules that would be turned on; what they would do is
    left out, and so are invariants and minimum times. `asks` are services and `notify ROLE`. `standing` is where the plan
    stood: give it back as `seen` of an order. `at` is seconds since 1970.
    """

    plan: str
    level: int
    before: int
    standing: str
    at: float
    effects: list[Effect] = []
    dominates: list[Clash] = []
    dominated_by: list[Clash] = []
    overrides: list[str] = []
    doubtful: int = 0
    enables: list[str] = []
    asks: list[str] = []
    blocked_by: str = ""


class PreviewPlan(Question[PlanPreview], tag="preview_plan", frozen=True, kw_only=True):
    """What would change if a plan were set to a level now? Nothing is changed by asking.

    Who asks the same within 2 s gets the same answer, unless it shall be worked out anew (`fresh`).
    """

    plan: str
    level: int
    fresh: bool = False


Questions = PreviewPlan
