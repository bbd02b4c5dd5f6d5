"""What is said when something cannot be had: a page for people, `application/problem+json` (RFC 9457) for programs.

Every text says what happened and what to do; a mistake of ours says nothing about our inside.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.api import ApiError
from pilotage_web import sight
from pilotage_web.city import EngineAway
from pilotage_web.lines import ACTION_WORDS
from pilotage_web.problem import Problem
from pilotage_web.refusals import mend_of, why_not
from pilotage_web.request import NOBODY, Visit, own_path
from pilotage_web.rights import Right, roles_with
from pilotage_web.shield import TooLarge
from pilotage_web.texts import mark
from pilotage_web.trades import refusal

if TYPE_CHECKING:
    from pilotage_web.app import Frame

RETRY_S: Final = 3

log = logging.getLogger("pilotage.web")

ROLE_NAMES: Final = {
    "viewer": mark("viewer"),
    "operator": mark("operator"),
    "engineer": mark("engineer"),
    "admin": mark("administrator"),
}
_NO_ROLE: Final = mark("no role")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that went wrong: its status, a code that stays, what it is, what happened, and what to do."""

    status: int
    code: str
    title: str
    text: str
    mend: str = ""
    retry_s: int = 0


_KNOWN: Final[Mapping[tuple[int, str], Trouble]] = {
    (400, "key"): Trouble(
        *(400, "no-key", mark("This form is not whole")),
        mark("It came without the key that keeps an order from being carried out twice."),
        mark("Go back, load the page anew, and send it again."),
    ),
    (401, ""): Trouble(
        *(401, "not-signed-in", mark("You are not signed in")),
        mark("Your session has ended, or there was none. Nothing was done."),
        mark("Sign in and do it again."),
    ),
    (403, "csrf"): Trouble(
        *(403, "stale-form", mark("This form is from another session")),
        mark("You have signed in anew since it was opened. Nothing was done."),
        mark("Load the page anew, and send it again."),
    ),
    (403, "locked"): Trouble(
        *(403, "locked", mark("Your session only shows now")),
        mark("Nobody clicked for a quarter of an hour. Nothing was done."),
        mark("Type your password again (your name above, then My account), then do it again."),
    ),
    (403, "origin"): Trouble(
        *(403, "foreign-origin", mark("This request did not come from our own pages")),
        mark("Another site, or a program, had your browser send it. Nothing was done."),
        mark("Open the page here and do it there."),
    ),
    (404, ""): Trouble(
        *(404, "not-found", mark("There is nothing here")),
        mark("No page has this address, or what it was about is gone."),
        mark("Check the address, or start from the first page."),
    ),
    (405, ""): Trouble(
        *(405, "bad-method", mark("This cannot be done here")),
        mark("The address exists, for another kind of request."),
    ),
    (409, "unknown"): Trouble(
        *(409, "unknown-outcome", mark("Nobody knows whether this was done")),
        mark("It was sent before, and broken off before its end was known. It was not sent again."),
        mark("Look at the equipment, the plan or the journal, then decide."),
    ),
    (409, "view"): Trouble(
        *(409, "frozen-view", mark("Your view stood still")),
        mark("What you saw when you gave this order was no longer live. Nothing was done."),
        mark("Look again, and decide on what you see then."),
    ),
    (413, ""): Trouble(*(413, "too-large", mark("This is too large")), mark("Nothing was done.")),
    (422, "key"): Trouble(
        *(422, "key-used", mark("This key was used for something else")),
        mark("An idempotency key belongs to one request. Nothing was done."),
        mark("Take a new key for a new request."),
    ),
    (429, ""): Trouble(
        *(429, "too-many", mark("Too many tries")),
        mark("This was tried too often in a short time."),
        mark("Wait a moment, then try again."),
        retry_s=30,
    ),
}
_UNFIT: Final = (
    Trouble(
        *(422, "bad-request", mark("This request is not understood")),
        mark("Something in it is not as the interface's document says; the answer names it."),
    ),
    Trouble(*(400, "bad-json", mark("This is not JSON")), mark("The body cannot be read.")),
    Trouble(
        *(415, "bad-type", mark("This is not JSON")),
        mark("The body says that it is something else."),
    ),
)
_CHANGED: Final = (
    Trouble(
        *(409, "stale", mark("It has changed since you looked")),
        mark("It stands elsewhere than it did when you decided. Nothing was done."),
        mark("Look at it as it is now, and decide again."),
    ),
    Trouble(
        *(412, "changed", mark("It has changed since you looked")),
        mark("It stands elsewhere than the `If-Match` of this request says."),
        mark("Read it again, and decide on what it says now."),
    ),
)
_AWAY: Final = Trouble(
    *(503, "no-engine", mark("The engine does not answer")),
    mark("The pages are there, the engine behind them is not: what you saw last may have changed."),
    mark(
        "This page tries again by itself. If it lasts, call who looks after the service: `pilotage status` says why."
    ),
    RETRY_S,
)
_AWAY_SENT: Final = Trouble(
    *(503, "no-engine", mark("The engine did not answer in time")),
    mark("Your order may have been carried out, or not."),
    mark("Look at the equipment or the plan before you give it again."),
)
_AWAY_NOTHING: Final = Trouble(
    *(503, "no-engine", mark("The engine does not answer")),
    mark("Your order did not reach it. Nothing was done."),
    mark("Try again in a moment. If it lasts, call who looks after the service."),
)
_OURS: Final = Trouble(
    *(500, "failed", mark("Something went wrong here")),
    mark("This is a mistake of the pages, not yours."),
    mark("Tell who looks after the service the number below."),
)

TROUBLES: Final = tuple(
    sorted(
        {t.code: t for t in (*_KNOWN.values(), *_UNFIT, *_CHANGED, _AWAY, _OURS)}.values(),
        key=lambda t: t.code,
    )
)
"""Every trouble that the pages know by themselves, by code."""

_STATUS: Final = {
    "unknown": 404,
    "unknown-point": 404,
    "unknown-rule": 404,
    "unknown-equipment": 404,
    "no-journal": 404,
    "too-large": 413,
    "not-available": 404,
    "no-history": 404,
    "never-recorded": 404,
    "not-allowed": 403,
    "stale": 409,
    "busy": 503,
    "not-recorded": 503,
    "too-long": 504,
    "failed": 502,
}
"""The status for each code with which the engine refuses; what it does not take as things are is 409."""


class Net:
    """Catches what nobody else did, within the layer that sets the headers: Starlette's own net hangs outside of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; what fails before its answer began is answered as our mistake."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_begun = False

        async def watched(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if is_begun:
                raise
            response = await on_error(Request(scope, receive), error)
            await response(scope, receive, send)


async def on_error(request: Request, error: Exception) -> Response:
    """Answer a request that failed."""
    frame: Frame = request.app.state.frame
    visit = await _visit(request, frame)
    number = ""
    if isinstance(error, HTTPException) and error.status_code in (301, 302, 303, 307, 308):
        return Response(status_code=error.status_code, headers=error.headers)
    trouble = trouble_of(error, visit)
    if trouble.status == 500:
        number = uuid4().hex[:8]
        log.error(
            "%s %s failed (%s)",
            request.method,
            request.url.path,
            number,
            exc_info=error,
            extra={"event": "web.failed"},
        )
    headers = dict(getattr(error, "headers", None) or {})
    if trouble.retry_s:
        headers["Retry-After"] = str(trouble.retry_s)
    if trouble.status == 405:
        headers["Allow"] = ", ".join(_methods(request))
    if request.url.path.startswith("/api/"):
        more = error.more if isinstance(error, Problem) else {}
        return problem(visit, trouble, number, headers, **more)
    tries_again = trouble.retry_s and request.method == "GET" and trouble.status == 503
    if tries_again:
        headers["Refresh"] = str(trouble.retry_s)
    more = error.more if isinstance(error, Problem) else {}
    look = own_path(more.get("look") or _page_before(request)) if trouble.status == 409 else ""
    response = visit.render(
        "error.html",
        trouble.status,
        trouble=trouble,
        number=number,
        look=look,
        lines=sight.shown(more),
        actions=ACTION_WORDS,
    )
    response.headers.update(headers)
    return response


def _page_before(request: Request) -> str:
    """Return the page of ours from which a form came."""
    before = urlsplit(request.headers.get("referer", ""))
    return before.path + (f"?{before.query}" if before.query else "") or "/"


def _methods(request: Request) -> list[str]:
    """Return what can be done at an address: Starlette names the methods of the first route only."""
    matching = [
        route
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    ]
    # Of `/rules/check` and `/rules/{rule}` the first is meant.
    fewest = min((route.path.count("{") for route in matching), default=0)
    found = [route.methods or set() for route in matching if route.path.count("{") == fewest]
    return sorted(set().union(*found))


async def _visit(request: Request, frame: Frame) -> Visit:
    """Return the visit that failed, or one of whoever asks when it had not begun."""
    visit = getattr(request.state, "visit", None)
    if isinstance(visit, Visit):
        return visit
    try:
        return Visit(request, frame, await frame.people.who(request))
    except Exception:
        log.exception("who asks is not known", extra={"event": "web.failed"})
        return Visit(request, frame, NOBODY)


def trouble_of(error: Exception, visit: Visit) -> Trouble:
    """Return what an error is for people, in their language."""
    if isinstance(error, EngineAway):
        is_order = visit.request.method != "GET"
        away = (_AWAY_SENT if error.is_sent else _AWAY_NOTHING) if is_order else _AWAY
        return _said(away, visit)
    if isinstance(error, ApiError):
        return Trouble(
            *(_STATUS.get(error.code, 409), error.code, visit.say("The engine says no")),
            *(why_not(visit.words, error.text), mend_of(visit.words, error.mend)),
        )
    if isinstance(error, Problem):
        return Trouble(error.status, error.code, visit.say(error.title), error.text, error.mend)
    if isinstance(error, TooLarge):
        return _said(_KNOWN[413, ""], visit)
    if isinstance(error, HTTPException):
        return _http(error, visit)
    return _said(_OURS, visit)


def _http(error: HTTPException, visit: Visit) -> Trouble:
    kind, _, right = error.detail.partition(":")
    if error.status_code == 403 and kind == "right":
        return _may_not(Right(right), visit)
    if error.status_code == 403 and kind == "trade":
        return _not_this_trade(right, visit)
    known = _KNOWN.get((error.status_code, kind)) or _KNOWN.get((error.status_code, ""))
    if known is not None:
        return _said(known, visit)
    return Trouble(
        error.status_code, "refused", visit.say("This cannot be done"), visit.say(error.detail)
    )


def _not_this_trade(domain: str, visit: Visit) -> Trouble:
    """Return a refusal that says which posts take such equipment by hand."""
    return Trouble(
        *(403, "not-allowed", visit.say("You may not do this")),
        refusal(visit, *domain.split(":", 1)),
        visit.say("Change your post above, or call one of them."),
    )


def _may_not(right: Right, visit: Visit) -> Trouble:
    """Return a refusal that says who can."""
    roles = ", ".join(visit.say(ROLE_NAMES[role]) for role in roles_with(right))
    own = visit.say(ROLE_NAMES.get(visit.who.role, _NO_ROLE))
    return Trouble(
        *(403, "not-allowed", visit.say("You may not do this")),
        visit.say(
            "At your post (%(post)s) you are %(role)s. Nothing was done.",
            post=visit.frame.people.post_name(visit.who.post, visit.who.language) or "–",
            role=own,
        ),
        visit.say("Who can: %(roles)s. Change your post above, or call one of them.", roles=roles),
    )


def _said(trouble: Trouble, visit: Visit) -> Trouble:
    say = visit.say
    mend = say(trouble.mend) if trouble.mend else ""
    return Trouble(
        *(
            trouble.status,
            trouble.code,
            say(trouble.title),
            say(trouble.text),
            mend,
            trouble.retry_s,
        )
    )


def problem(
    visit: Visit,
    trouble: Trouble,
    number: str = "",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """Return a trouble as `application/problem+json`."""
    body: dict[str, Any] = {
        "type": f"{visit.frame.site.url}/api/v1/problems#{trouble.code}",
        "title": trouble.title,
        "status": trouble.status,
        "detail": trouble.text,
        "code": trouble.code,
    }
    if trouble.mend:
        body["mend"] = trouble.mend
    if number:
        body["instance"] = f"urn:pilotage:failure:{number}"
    return Response(
        msgspec.json.encode({**body, **more}),
        trouble.status,
        dict(headers or {}),
        "application/problem+json",
    )
