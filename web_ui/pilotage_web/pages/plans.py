"""Plans: what each would change, who may set it, how far it has come; setting a level, ending it, taking it back.

An order that comes without having been held, or that was decided on another sight than the present one, is shown once more
before it is given: the second step of who cannot hold, and of a browser without scripts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pilotage import api
from pilotage_web import glass
from pilotage_web.lines import ACTION_WORDS
from pilotage_web.refusals import why_not
from pilotage_web.request import Visit, Who, action, page
from pilotage_web.rights import Right
from pilotage_web.saying import WAYS, kind_in_words, who_in_words, word
from pilotage_web.sight import changed, last_lines
from pilotage_web.texts import mark

DRIFT: Final = 0.05
"""When the points that would act have changed by more than this share since somebody looked, they are asked again."""
CRISIS: Final = 4
"""Plans at this level or above may be set from any post, with a second reason."""
REASONS: Final = (
    mark("order of the prefecture"),
    mark("weather forecast"),
    mark("report from the field"),
    mark("exercise"),
)
ENDS: Final = (
    ("plan", mark("as the plan says")),
    ("in:7200", mark("in 2 h")),
    ("at:06:00", mark("at 06:00")),
    ("in:86400", mark("in 24 h")),
)
STANDING_WORDS: Final[Mapping[str, str]] = {
    "": mark("all"),
    "confirmed": mark("confirmed by the equipment"),
    "waiting": mark("under way"),
    "failed": mark("not confirmed"),
    "dominated": mark("with somebody more urgent"),
}
POINTS: Final = 100
LONGEST_REASON: Final = 500
AUTO: Final = "auto"

_ROWS: Final[tuple[tuple[int, str], ...]] = (
    (1, mark("life safety, by hand")),
    (2, mark("life safety")),
    (3, mark("emergency")),
    (4, mark("crisis")),
    (5, mark("protection")),
    (6, mark("minimum times")),
    (7, mark("maintenance")),
    (8, mark("operator")),
    (9, mark("security")),
    (10, mark("plan")),
    (11, mark("event")),
    (12, mark("people")),
    (13, mark("service")),
    (14, mark("saving")),
    (15, mark("schedule")),
    (16, mark("base")),
)
LEVEL_WORDS: Final[Mapping[int, str]] = dict(_ROWS)


# ── what is shown ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether somebody may set a plan; `posts` are those that may, `by_glass` when only by breaking the glass, `broken` when it is."""

    is_given: bool
    by_glass: bool = False
    posts: tuple[str, ...] = ()
    broken: bool = False


def permission(plan: api.Plan, who: Who, *, broken: bool = False) -> Permission:
    """Return whether somebody may set a plan at their post; `broken`: they have broken the glass."""
    posts = tuple(plan.operators)
    if not who.may(Right.PLANS):
        return Permission(False, posts=posts)
    if not posts or who.post in posts:
        return Permission(True, posts=posts)
    is_crisis = plan.priority <= CRISIS
    return Permission(is_crisis, by_glass=is_crisis, posts=posts, broken=is_crisis and broken)


def usual_level(plan: api.Plan) -> int:
    """Return the level that is offered first: what is proposed, one more than stands, the highest at most."""
    return plan.proposed or min(plan.level + 1, len(plan.levels)) or 1


def card(
    detail: api.PlanDetail,
    preview: api.PlanPreview,
    who: Who,
    *,
    number: int = 0,
    broken: bool = False,
) -> dict[str, Any]:
    """Return what a plan's card shows."""
    plan = detail.plan
    progress = [t for t in detail.progress if t.held]
    return {
        "plan": plan,
        "number": number,
        "detail": detail,
        "preview": preview,
        "permission": permission(plan, who, broken=broken),
        "held": sum(t.held for t in progress),
        "confirmed": sum(t.confirmed for t in progress),
        "failed": sum(t.failed for t in progress),
        "dominated": sum(t.dominated for t in progress),
        "progress": progress,
        "acts": [e for e in preview.effects if e.acts],
        "freed": [e for e in preview.effects if e.freed],
        "same": sum(e.same for e in preview.effects),
        "acts_total": acts_of(preview),
        "checklist": [
            (level, item)
            for level in detail.levels
            for item in level.checklist
            if item.due is not None or item.done
        ],
        "can_undo": plan.undo_until is not None and plan.undo_until > detail.at,
    }


def acts_of(preview: api.PlanPreview) -> int:
    """Return how many points would change."""
    return sum(e.acts + e.freed for e in preview.effects)


def has_drifted(seen: int, now: int) -> bool:
    """Return whether what would act has changed too much since somebody looked."""
    return abs(now - seen) > DRIFT * max(seen, now)


def end_of(choice: str, now: float, zone: ZoneInfo) -> float | None:
    """Return when a level ends, in seconds since 1970; None leaves that to the plan.

    Raises:
        ValueError: There is no such choice.
    """
    how, _, rest = choice.partition(":")
    if how == "plan" and not rest:
        return None
    if how == "in" and rest.isdecimal() and len(rest) < 10 and 60 <= int(rest) <= 7 * 86_400:
        return now + int(rest)
    if how == "at" and len(rest) == len("06:00"):
        clock = time.fromisoformat(rest)
        local = datetime.fromtimestamp(now, zone)
        end = datetime.combine(local.date(), clock, zone)
        if end <= local:
            end = datetime.combine(local.date() + timedelta(days=1), clock, zone)
        return end.timestamp()
    raise ValueError(choice)


# ── pages ────────────────────────────────────────────────────────────────────────────────────


@page("/plans", "plans.html")
async def plans(visit: Visit) -> dict[str, Any]:
    """Show all plans, with what each would change."""
    found = await visit.ask(api.ListPlans())
    return {"cards": await _cards(visit, sorted(found, key=_order)), **_choices(visit)}


@page("/plans/{plan}", "plan.html")
async def plan(visit: Visit) -> dict[str, Any]:
    """Show a plan: its levels, its lists of steps, its parameters and its progress."""
    return {"card": await _card(visit, visit.path("plan"), _level_asked(visit)), **_choices(visit)}


@page("/plans/{plan}/state", "_plan_state.html")
async def state(visit: Visit) -> dict[str, Any]:
    """Show where a plan stands and what a level would change, again."""
    return {"card": await _card(visit, visit.path("plan"), _level_asked(visit))}


@page("/plans/{plan}/points", "plan_points.html")
async def points(visit: Visit) -> dict[str, Any]:
    """Show what a plan holds, point by point: wanted, sent, confirmed."""
    name, standing = visit.path("plan"), visit.query("standing")
    if standing not in STANDING_WORDS:
        raise HTTPException(404)
    question = api.ListPlanPoints(
        plan=name, standing=standing, after=visit.query("after")[:300], limit=POINTS
    )
    detail, found = await asyncio.gather(visit.ask(api.GetPlan(plan=name)), visit.ask(question))
    return points_view(detail.plan, found, standing, visit)


def points_view(
    plan: api.Plan, found: api.PlanPoints, standing: str, visit: Visit
) -> dict[str, Any]:
    """Return what the list of a plan's points shows."""
    words, kept = visit.words, {"standing": standing} if standing else {}
    path = f"{_path(plan.name)}/points"
    here = {**kept, **({"after": visit.query("after")} if visit.query("after") else {})}
    return {
        "plan": plan,
        "at": found.at,
        "rows": [
            {
                "point": p,
                "href": f"/equipment/{quote(p.kind, safe='')}/{quote(p.entity, safe='')}?{urlencode({'point': p.point})}",
                "kind": kind_in_words(words, p.kind, ""),
                "word": visit.say(STANDING_WORDS[p.standing]),
                "way": word(words, WAYS, p.state),
                "by": who_in_words(words, p.by),
            }
            for p in found.points
        ],
        "views": [
            (
                key,
                visit.say(text),
                found.counts[key] if key else sum(found.counts.values()),
                f"{path}?{urlencode({'standing': key})}" if key else path,
            )
            for key, text in STANDING_WORDS.items()
        ],
        "standing": standing,
        "again": f"{path}?{urlencode(here)}" if here else path,
        "first": f"{path}?{urlencode(kept)}" if visit.query("after") else "",
        "next": f"{path}?{urlencode({**kept, 'after': found.next})}" if found.next else "",
    }


def _order(plan: api.Plan) -> tuple[int, str]:
    return plan.priority, plan.name


def _choices(visit: Visit) -> dict[str, Any]:
    """Return what a form offers, in the language of who asks."""
    return {
        "reasons": [visit.say(text) for text in REASONS],
        "ends": [(value, visit.say(text)) for value, text in ENDS],
    }


def _level_asked(visit: Visit) -> int | None:
    text = visit.query("level")
    return int(text) if text.isdecimal() and len(text) < 4 else None


async def _cards(visit: Visit, found: Sequence[api.Plan]) -> list[dict[str, Any]]:
    return list(
        await asyncio.gather(
            *(_card(visit, plan.name, None, number) for number, plan in enumerate(found, 1))
        )
    )


async def _card(visit: Visit, name: str, level: int | None, number: int = 0) -> dict[str, Any]:
    detail = await visit.ask(api.GetPlan(plan=name))
    asked = usual_level(detail.plan) if level is None else level
    preview = await visit.ask(api.PreviewPlan(plan=name, level=asked))
    return {
        **card(detail, preview, visit.who, number=number, broken=glass.known(visit) is not None),
        "level_words": LEVEL_WORDS,
    }


# ── orders ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Order:
    """What a form asks of a plan, as it was written."""

    level: str
    reason: str
    until: str
    glass: str
    seen: str
    seen_level: str
    acts: int
    confirmed: str

    @property
    def number(self) -> int | None:
        """The level, or None for what its conditions say."""
        return None if self.level == AUTO else int(self.level)


def order_of(visit: Visit) -> Order:
    """Return what the form asks."""
    own, chosen = visit.field("reason_text"), visit.field("reason")
    acts = visit.field("acts")
    return Order(
        visit.field("level")[:6],
        (own or chosen)[:LONGEST_REASON],
        visit.field("until") or "plan",
        visit.field("glass")[:LONGEST_REASON],
        visit.field("seen"),
        visit.field("seen_level"),
        int(acts) if acts.isdecimal() and len(acts) < 10 else -1,
        visit.field("confirmed"),
    )


def mistakes(order: Order, plan: api.Plan, allowed: Permission) -> dict[str, str]:
    """Return what is wrong with an order, by field; the texts are in the catalogue."""
    found: dict[str, str] = {}
    levels = {AUTO, *(str(level) for level in range(len(plan.levels) + 1))}
    if order.level not in levels:
        found["level"] = mark("Choose a level.")
    if not order.reason:
        found["reason"] = mark("Say why: it stands in the journal.")
    if allowed.by_glass and not allowed.broken and not order.glass:
        found["glass"] = mark(
            "Your post is not in charge of this plan: say why you act nevertheless."
        )
    try:
        end_of(order.until, 0.0, ZoneInfo("UTC"))
    except ValueError:
        found["until"] = mark("Choose when it ends.")
    return found


@action("/plans/{plan}", Right.PLANS)
async def give(visit: Visit) -> Response:
    """Set a plan's level, once it was held or confirmed on the sight that still holds."""
    name, order = visit.path("plan"), order_of(visit)
    detail = await visit.ask(api.GetPlan(plan=name))
    allowed = permission(detail.plan, visit.who, broken=await glass.now(visit) is not None)
    if not allowed.is_given:
        raise HTTPException(403, f"right:{Right.PLANS.value}")
    wrong = mistakes(order, detail.plan, allowed)
    if wrong:
        return await _shown_again(visit, order, wrong, 422)
    level = 0 if order.number is None else order.number
    preview = await visit.ask(api.PreviewPlan(plan=name, level=level, fresh=True))
    is_seen = order.seen == preview.standing and order.seen_level == str(level)
    if not is_seen or has_drifted(order.acts, acts_of(preview)):
        status = 409 if order.confirmed else 200
        return await _confirm(visit, order, detail, preview, allowed, status)
    if not order.confirmed:
        return await _confirm(visit, order, detail, preview, allowed, 200)
    return await _ordered(visit, order, detail, preview, allowed)


async def _confirm(
    visit: Visit,
    order: Order,
    detail: api.PlanDetail,
    preview: api.PlanPreview,
    allowed: Permission,
    status: int,
) -> Response:
    shown = {**card(detail, preview, visit.who), "level_words": LEVEL_WORDS}
    return visit.render(
        "plan_confirm.html",
        status,
        card=shown,
        order=order,
        permission=allowed,
        changed=status == 409,
        lines=await last_lines(visit, f"plan:{detail.plan.name}") if status == 409 else (),
        actions=ACTION_WORDS,
    )


async def _ordered(
    visit: Visit,
    order: Order,
    detail: api.PlanDetail,
    preview: api.PlanPreview,
    allowed: Permission,
) -> Response:
    name = detail.plan.name
    until = end_of(order.until, detail.at, visit.frame.site.zone)
    reason = order.reason
    if allowed.by_glass:
        held = await glass.hold(visit, order.glass)
        if held is None:
            raise HTTPException(403, f"right:{Right.GLASS.value}")
        reason = glass.marked(reason, visit, order.glass or held.reason)
    try:
        receipt = await visit.ask(
            api.SetPlan(
                plan=name,
                level=order.number,
                person=visit.who.person,
                reason=reason,
                role="" if allowed.by_glass else visit.who.post,
                until=until if order.number is not None else None,
                seen=order.seen,
            )
        )
    except api.ApiError as error:
        if error.code != "stale":
            raise
        detail = await visit.ask(api.GetPlan(plan=name))
        preview = await visit.ask(api.PreviewPlan(plan=name, level=order.number or 0))
        return await _confirm(visit, order, detail, preview, allowed, 409)
    if not receipt.taken:
        return visit.back(_path(name), why_not(visit.words, receipt.text), "refused")
    after = await visit.ask(api.GetPlan(plan=name))
    if after.plan.second is not None:
        said = visit.say("Waits for a second person, 60 s at most.")
        return visit.back(_path(name), said, "warning")
    return visit.back(_path(name), visit.say("Done. It can be undone for 30 s."))


async def _shown_again(
    visit: Visit, order: Order, wrong: Mapping[str, str], status: int
) -> Response:
    """Show the plan with what is wrong beside its fields; what was written stays."""
    level = order.number if order.level.isdecimal() else None
    name = visit.path("plan")
    try:
        shown = await _card(visit, name, level)
    except api.ApiError:
        shown = await _card(visit, name, None)
    said = {key: visit.say(text) for key, text in wrong.items()}
    return visit.render("plan.html", status, card=shown, order=order, wrong=said, **_choices(visit))


@action("/plans/{plan}/undo", Right.PLANS)
async def undo(visit: Visit) -> Response:
    """Take the last order back."""
    name = visit.path("plan")
    detail = await visit.ask(api.GetPlan(plan=name))
    allowed = permission(detail.plan, visit.who, broken=await glass.now(visit) is not None)
    if not allowed.is_given or (allowed.by_glass and not allowed.broken):
        raise HTTPException(403, f"right:{Right.PLANS.value}")
    receipt = await _told(
        visit,
        api.SetPlan(
            plan=name,
            level=None,
            person=visit.who.person,
            reason=visit.say("taken back"),
            role="" if allowed.by_glass else visit.who.post,
            undo=True,
            seen=visit.field("seen"),
        ),
    )
    if not receipt.taken:
        return visit.back(_path(name), why_not(visit.words, receipt.text), "refused")
    return visit.back(_path(name), visit.say("Taken back: it stands as before."))


@action("/plans/{plan}/answer", Right.PLANS)
async def answer(visit: Visit) -> Response:
    """Answer what a plan asks: a proposed level, a second person, a review, a step of a list."""
    name = visit.path("plan")
    detail = await visit.ask(api.GetPlan(plan=name))
    allowed = permission(detail.plan, visit.who, broken=await glass.now(visit) is not None)
    if not allowed.is_given or (allowed.by_glass and not allowed.broken):
        raise HTTPException(403, f"right:{Right.PLANS.value}")
    receipt = await _told(
        visit,
        api.AnswerPlan(
            plan=name,
            question=visit.field("question"),
            yes=visit.field("yes") == "yes",
            person=visit.who.person,
            role="" if allowed.by_glass else visit.who.post,
            seen=visit.field("seen"),
        ),
    )
    kind = "done" if receipt.taken else "refused"
    return visit.back(
        _path(name),
        visit.say("Done.") if receipt.taken else why_not(visit.words, receipt.text),
        kind,
    )


async def _told(visit: Visit, order: api.SetPlan | api.AnswerPlan) -> api.Receipt:
    """Give an order.

    Raises:
        Problem: The plan stands elsewhere than it was seen.
    """
    try:
        return await visit.ask(order)
    except api.ApiError as error:
        if error.code != "stale":
            raise
        raise await changed(visit, f"plan:{order.plan}", _path(order.plan), order.plan) from error


def _path(plan: str) -> str:
    return f"/plans/{quote(plan, safe='')}"


ROUTES = (plans, plan, state, points, give, undo, answer)
