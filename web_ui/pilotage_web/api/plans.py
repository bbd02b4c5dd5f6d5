"""Plans: where they stand, what a level would change, and orders for them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException

from pilotage import api
from pilotage_web.glass import hold
from pilotage_web.pages.plans import permission
from pilotage_web.request import Visit
from pilotage_web.rights import Right
from pilotage_web.sight import matched
from pilotage_web.typed import Page, get, post

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]
Level = Annotated[int, Meta(ge=0, le=1000)]


class LevelAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which level is meant; 0 is the end of the plan."""

    level: Level


class PointsAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which points of a plan: those of one standing, or all; `after` is the `next` of the page before."""

    standing: Annotated[str, Meta(pattern="^(|confirmed|waiting|failed|dominated)$")] = ""
    after: Annotated[str, Meta(max_length=300)] = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class PointList(msgspec.Struct, frozen=True):
    """A page of what a plan holds; `counts` by standing count all of it."""

    items: list[api.PlanPoint]
    counts: dict[str, int]
    next: str = ""


class Activation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order for a plan.

    `level` null gives it back to its conditions. `until` is seconds since 1970; without it the plan says how long. `seen` is the
    `standing` of a preview or a plan: when it stands elsewhere by now the order is refused with 409. `glass` is the second
    reason of who acts for another post in a crisis.
    """

    level: Level | None
    reason: Reason
    until: Annotated[float, Meta(ge=0, le=1e11)] | None = None
    seen: Annotated[str, Meta(max_length=200)] = ""
    glass: Annotated[str, Meta(max_length=500)] = ""
    parameters: dict[str, Any] | None = None


class Undo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why an order is taken back."""

    reason: Reason


class Answered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer to what a plan asks: `confirm`, `second`, `review` or `checklist:LEVEL:INDEX`.

    `seen` is the `standing` of the plan, of a step of a list its own: when it stands elsewhere by now, 409.
    """

    question: Annotated[str, Meta(max_length=100)]
    yes: bool
    seen: Annotated[str, Meta(max_length=200)] = ""


@get("/plans")
async def list_plans(visit: Visit) -> Page[api.Plan]:
    """All plans and where they stand."""
    return Page(await visit.ask(api.ListPlans()))


@get("/plans/{plan}", standing=lambda detail: detail.plan.standing)
async def get_plan(visit: Visit, plan: Name) -> api.PlanDetail:
    """A plan with its levels, and what the equipment has confirmed of it."""
    return await visit.ask(api.GetPlan(plan=plan))


@get("/plans/{plan}/points")
async def list_plan_points(visit: Visit, plan: Name, query: PointsAsked) -> PointList:
    """What a plan holds, point by point, in order of id: wanted, sent, and confirmed by the equipment."""
    found = await visit.ask(
        api.ListPlanPoints(plan=plan, standing=query.standing, after=query.after, limit=query.limit)
    )
    return PointList(found.points, found.counts, found.next)


@get("/plans/{plan}/preview")
async def preview_plan(visit: Visit, plan: Name, query: LevelAsked) -> api.PlanPreview:
    """What a level would change, whom it would dominate and who would stand above it."""
    return await visit.ask(api.PreviewPlan(plan=plan, level=query.level))


@post("/plans/{plan}/activations", Right.PLANS, conditional=True)
async def activate_plan(visit: Visit, plan: Name, body: Activation) -> api.Receipt:
    """Set a plan's level.

    The answer comes when the order is on disk; `taken` false says why it was refused. It never waits for the equipment.
    """
    role, standing = await _role(visit, plan, body.glass)
    reason = f"{body.reason} [!{visit.who.post}: {body.glass or '–'}]" if not role else body.reason
    return await visit.ask(
        api.SetPlan(
            plan=plan,
            level=body.level,
            person=visit.who.person,
            reason=reason,
            role=role,
            parameters=body.parameters,
            until=body.until,
            seen=body.seen or matched(visit, standing),
        )
    )


@post("/plans/{plan}/undo", Right.PLANS, conditional=True)
async def undo_plan(visit: Visit, plan: Name, body: Undo) -> api.Receipt:
    """Take the last order back, within 30 s of it."""
    role, standing = await _role(visit, plan)
    return await visit.ask(
        api.SetPlan(
            plan=plan,
            level=None,
            person=visit.who.person,
            reason=body.reason,
            role=role,
            undo=True,
            seen=matched(visit, standing),
        )
    )


@post("/plans/{plan}/answers", Right.PLANS, conditional=True)
async def answer_plan(visit: Visit, plan: Name, body: Answered) -> api.Receipt:
    """Answer what a plan asks."""
    role, standing = await _role(visit, plan)
    return await visit.ask(
        api.AnswerPlan(
            plan=plan,
            question=body.question,
            yes=body.yes,
            person=visit.who.person,
            role=role,
            seen=body.seen or _plan_seen(visit, body.question, standing),
        )
    )


def _plan_seen(visit: Visit, question: str, standing: str) -> str:
    """Return on what an answer was decided; a step of a list, which does not stand with its plan, brings that itself."""
    seen = matched(visit, standing)
    return "" if question.startswith("checklist:") else seen


async def _role(visit: Visit, plan: str, reason: str = "") -> tuple[str, str]:
    """Return the role in which somebody acts on a plan (nothing for who acts for another post and says why), and where it stands."""
    detail = await visit.ask(api.GetPlan(plan=plan))
    allowed = permission(detail.plan, visit.who)
    if not allowed.is_given or (allowed.by_glass and await hold(visit, reason) is None):
        raise HTTPException(403, f"right:{Right.PLANS.value}")
    return "" if allowed.by_glass else visit.who.post, detail.plan.standing


ROUTES = (
    list_plans,
    get_plan,
    list_plan_points,
    preview_plan,
    activate_plan,
    undo_plan,
    answer_plan,
)
