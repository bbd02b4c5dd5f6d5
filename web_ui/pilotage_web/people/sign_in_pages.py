"""Coming in and going: the sign-in, one-time links, the password again, signing out. Nothing here needs a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pilotage_web.people.admission import Attempt, Refused
from pilotage_web.people.sessions import csrf_of
from pilotage_web.request import GuardedRoute, Visit, action, is_csrf_right, own_path, page
from pilotage_web.rights import Right
from pilotage_web.texts import mark

if TYPE_CHECKING:
    from pilotage_web.people.reception import Reception

WHY_NOT: Final = {
    "wrong": mark(
        "Name, password or code is not right. Who has a second factor types its code too; each code is good once."
    ),
    "slow": mark("This was tried too often. Try again in %(wait)s."),
    "busy": mark("Many people sign in at this moment. Try again."),
    "over": mark("This link was used, or its time is over. Ask an administrator for another one."),
    "stranger": mark(
        "The provider knows you, this site does not. Ask an administrator for an account that may come in this way."
    ),
    "provider": mark(
        "The provider did not say who you are. Try again, or sign in with a password."
    ),
    "no-role": mark("Your account has no role at any post. Ask an administrator for one."),
}
STATUS: Final = {
    "wrong": 403,
    "slow": 429,
    "busy": 503,
    "over": 410,
    "no-role": 403,
    "stranger": 403,
    "provider": 502,
}


def refusal(visit: Visit, refused: Refused) -> str:
    """Return in the visitor's language why nobody came in."""
    wait = visit.words.words(max(1.0, refused.wait_s))
    text = WHY_NOT[refused.why]
    return visit.say(text, wait=wait) if "%(" in text else visit.say(text)


def attempt_of(desk: Reception, visit: Visit, name: str = "") -> Attempt:
    """Return what a form of the sign-in holds."""
    password = visit.form.get("password")
    return Attempt(
        name or visit.field("name"),
        password[:1000] if isinstance(password, str) else "",
        visit.field("code")[:40],
        desk.browser_of(visit),
        desk.origin_of(visit),
    )


def routes(desk: Reception) -> Sequence[GuardedRoute]:
    """Return the pages of the sign-in."""

    @page("/sign-in", "sign_in.html", Right.OPEN)
    async def sign_in(visit: Visit) -> dict[str, Any] | Response:
        if visit.who.is_signed_in:
            return visit.back(visit.query("next", "/"))
        return _view(desk, "", own_path(visit.query("next", "/")))

    @action("/sign-in", Right.OPEN)
    async def enter(visit: Visit) -> Response:
        attempt = attempt_of(desk, visit)
        found = await desk.register.admission.sign_in(attempt, desk.now())
        there = own_path(visit.field("next", "/"))
        if isinstance(found, Refused) and found.why in ("slow", "busy"):
            return _quickly(desk, visit, found)
        if isinstance(found, Refused):
            return refused(visit, "sign_in.html", found, _view(desk, attempt.name[:64], there))
        return desk.keep(visit.back(there), found)

    @page("/sign-in/link/{link}", "sign_in_link.html", Right.OPEN)
    async def look(visit: Visit) -> dict[str, Any] | Response:
        return _link_view(desk, visit) or refused(
            visit, "sign_in_link.html", Refused("over"), {"account": None}
        )

    @action("/sign-in/link/{link}", Right.OPEN)
    async def use(visit: Visit) -> Response:
        found = await desk.register.admission.use_link(
            visit.path("link"), attempt_of(desk, visit, "-"), desk.now()
        )
        if isinstance(found, Refused):
            view = _link_view(desk, visit) or {"account": None}
            return refused(visit, "sign_in_link.html", found, view)
        return desk.keep(visit.back("/"), found)

    @page("/sign-in/again", "sign_in_again.html", Right.SELF)
    async def again(visit: Visit) -> dict[str, Any]:
        return _again_view(desk, visit, visit.query("next", "/"))

    @action("/sign-in/again", Right.OPEN)
    async def prove(visit: Visit) -> Response:
        # Not an action with a key: its answer carries a secret, and answers to keys are kept in a file.
        session = desk.session_of(visit)
        if session is None or not is_own_form(desk, visit):
            raise HTTPException(403, "csrf")
        attempt = attempt_of(desk, visit, session.person)
        found = await desk.register.admission.prove(session, attempt, desk.now())
        there = own_path(visit.field("next", "/"))
        if isinstance(found, Refused):
            return refused(visit, "sign_in_again.html", found, _again_view(desk, visit, there))
        return desk.keep_session(visit.back(there), found)

    @action("/sign-out", Right.SELF)
    async def leave(visit: Visit) -> Response:
        session = desk.session_of(visit)
        if session is not None:
            by, now = desk.by(visit), desk.now()
            await desk.change(lambda: desk.register.sessions.end(session, by, now))
        return desk.forget_session(visit.back(desk.sign_in, visit.say("You are signed out.")))

    return (sign_in, enter, look, use, again, prove, leave)


def refused(visit: Visit, template: str, found: Refused, view: dict[str, Any]) -> Response:
    """Return a form again with why not, and the status that says so to programs."""
    response = visit.render(template, STATUS[found.why], **{**view, "error": refusal(visit, found)})
    if found.wait_s:
        response.headers["Retry-After"] = str(int(found.wait_s) + 1)
    return response


def _quickly(desk: Reception, visit: Visit, found: Refused) -> Response:
    """Return a refusal that is the same for all who are refused in this second: a flood must not have pages made."""
    key = (visit.who.language, found.why, int(found.wait_s), int(desk.now()))
    if key not in desk.refusals:
        if any(known[3] != key[3] for known in desk.refusals):
            desk.refusals.clear()
        desk.refusals[key] = refused(visit, "sign_in.html", found, _view(desk, "", "/"))
    made = desk.refusals[key]
    return Response(made.body, made.status_code, dict(made.headers))


def is_own_form(desk: Reception, visit: Visit) -> bool:
    """Return whether a form was made for the session that sends it."""
    secret = desk.secret_of(visit)
    return bool(secret) and is_csrf_right(visit.field("csrf"), csrf_of(secret))


def _view(desk: Reception, name: str, there: str) -> dict[str, Any]:
    provider = desk.site.provider
    title = "" if desk.provider is None or provider is None else provider.title or provider.issuer
    return {"name": name, "next": there, "provider": title, "error": ""}


def _link_view(desk: Reception, visit: Visit) -> dict[str, Any] | None:
    account = desk.register.accounts.who_may_use(visit.path("link"), desk.now())
    if account is None or account.disabled is not None:
        return None
    return {"account": account.called, "needs_code": bool(account.second), "error": ""}


def _again_view(desk: Reception, visit: Visit, there: str) -> dict[str, Any]:
    session = desk.session_of(visit)
    return {
        "needs_code": session is not None and session.has_second,
        "has_password": session is not None and session.has_password,
        "next": own_path(there),
        "error": "",
    }
