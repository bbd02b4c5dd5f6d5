"""Tokens of programs, for admins: made with scopes and an end, shown once, taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from pilotage_web.people.account_pages import proven
from pilotage_web.people.tokens import SCOPES
from pilotage_web.people.user_pages import tried
from pilotage_web.request import GuardedRoute, Visit, action, page
from pilotage_web.rights import Right
from pilotage_web.texts import mark

if TYPE_CHECKING:
    from pilotage_web.people.reception import Reception

HOME: Final = "/tokens"
FRESH: Final = "token"
DAY_S: Final = 86_400.0
LENGTHS: Final = (7, 30, 90, 365)

SCOPE_NAMES: Final = {
    Right.SEE: mark("see everything"),
    Right.ALARMS: mark("acknowledge, take and shelve alarms"),
    Right.JOURNAL: mark("write into the journal"),
    Right.REPORTS: mark("report calls and incidents"),
    Right.OVERRIDE: mark("override equipment"),
    Right.PLANS: mark("switch plans"),
    Right.CHECK: mark("check rules"),
    Right.RULES: mark("put rules into service"),
}


def routes(desk: Reception) -> Sequence[GuardedRoute]:
    """Return the pages of the tokens."""
    tokens = desk.register.tokens

    @page(HOME, "tokens.html", Right.PEOPLE)
    async def all_tokens(visit: Visit) -> dict[str, Any]:
        return {
            "tokens": tokens.all(),
            "fresh": desk.take(visit, FRESH),
            "scopes": SCOPE_NAMES,
            "lengths": LENGTHS,
            "posts": desk.register.posts,
            "now": desk.now(),
        }

    @action(HOME, Right.PEOPLE)
    async def add(visit: Visit) -> Response:
        proven(desk, visit)
        by, now, made = desk.by(visit), desk.now(), list[str]()
        scopes = {scope for scope in SCOPES if visit.field(f"scope-{scope.value}")}
        days = visit.field("days", "0")
        for_s = float(days) * DAY_S if days.isascii() and days.isdigit() and len(days) < 6 else 0.0
        post = visit.field("post") if visit.field("post") in desk.register.posts else ""
        refusal = await tried(
            desk,
            visit,
            lambda: made.append(tokens.add(visit.field("title"), post, scopes, for_s, by, now)),
        )
        if refusal:
            return visit.back(HOME, refusal, "refused")
        desk.show_once(visit, FRESH, made)
        return visit.back(HOME)

    @action(f"{HOME}/{{id}}/remove", Right.PEOPLE)
    async def remove(visit: Visit) -> Response:
        proven(desk, visit)
        by, now, id_ = desk.by(visit), desk.now(), visit.path("id")
        refusal = await tried(desk, visit, lambda: tokens.remove(id_, by, now))
        said = refusal or visit.say("The token is taken away.")
        return visit.back(HOME, said, "refused" if refusal else "done")

    return (all_tokens, add, remove)
