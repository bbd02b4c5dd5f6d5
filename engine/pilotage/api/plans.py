"""Plans, their levels, and what they ask of people."""

from __future__ import annotations

from typing import Any

import msgspec

from pilotage.api.question import Question, Receipt

__all__ = [
    "AnswerPlan",
    "ListPlans",
    "Plan",
    "SetPlan",
]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and its level now; `asks` are open questions to people."""

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


class ListPlans(Question[list[Plan]], tag="plans", frozen=True):
    """All plans."""


class SetPlan(Question[Receipt], tag="set_plan", frozen=True, kw_only=True):
    """Set a plan's level by hand; 0 ends it, None gives it back to its conditions."""

    plan: str
    level: int | None
    person: str
    reason: str
    role: str = ""
    parameters: dict[str, Any] | None = None


class AnswerPlan(Question[Receipt], tag="answer", frozen=True, kw_only=True):
    """Answer what a plan asks: `confirm`, `review` or `checklist:LEVEL:INDEX`."""

    plan: str
    question: str
    yes: bool
    person: str
    role: str = ""


Questions = ListPlans | SetPlan | AnswerPlan
