"""The own account: password, second factor, recovery codes, and where the person is signed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pilotage_web.errors import ROLE_NAMES
from pilotage_web.people import codes
from pilotage_web.people.passwords import LEAST, MOST, BusyError, why_not
from pilotage_web.people.sessions import Session
from pilotage_web.request import GuardedRoute, Visit, action, page
from pilotage_web.rights import Right
from pilotage_web.texts import mark

if TYPE_CHECKING:
    from pilotage_web.people.reception import Reception

HOME: Final = "/account"
SECOND: Final = "second"
CODES: Final = "codes"

# In this order: each names those that stand below it too.
_BROWSERS: Final = (
    *(("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox")),
    *(("Chrome/", "Chrome"), ("Safari/", "Safari")),
)
_MACHINES: Final = (
    *(("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows")),
    *(("Mac OS X", "macOS"), ("Linux", "Linux")),
)

WHY_NOT: Final = {
    "short": mark("It has fewer than %(least)s signs. Several words are easy to keep in mind."),
    "long": mark("It has more than %(most)s signs."),
    "common": mark("It is one that everybody tries first. Take several words that do not belong together."),
    "own": mark("It is made of your name or of the city's."),
    "pattern": mark("It is a row of keys, or the same again and again."),
    "unlike": mark("The two are not the same. Type it again."),
}  # fmt: skip


def routes(desk: Reception) -> Sequence[GuardedRoute]:
    """Return the pages of the own account."""
    accounts, sessions = desk.register.accounts, desk.register.sessions

    @page(HOME, "account.html", Right.SELF)
    async def account(visit: Visit) -> dict[str, Any]:
        return view(desk, visit)

    @action(f"{HOME}/password", Right.SELF)
    async def password(visit: Visit) -> Response:
        session = proven(desk, visit)
        typed, again = (visit.form.get(name) for name in ("password", "again"))
        person = accounts.need(session.person)
        why = why_not(str(typed or ""), person.name, person.full_name, desk.site.name)
        if why or typed != again:
            text = WHY_NOT[why or "unlike"]
            said = visit.say(text, least=LEAST, most=MOST) if "%(" in text else visit.say(text)
            return visit.back(HOME, said, "refused")
        try:
            hashed = await desk.register.hasher.hash(str(typed))
        except BusyError:
            raise HTTPException(429) from None
        by, now = desk.by(visit), desk.now()
        await desk.change(
            lambda: accounts.set_password(session.person, hashed, by, now, keep=session.key)
        )
        return visit.back(
            HOME, visit.say("Your password is changed; all other sessions are ended.")
        )

    @page(f"{HOME}/second", "account_second.html", Right.SELF)
    async def second(visit: Visit) -> dict[str, Any]:
        session = proven(desk, visit)
        secret = (desk.look_at(visit, SECOND) or [codes.new_secret()])[0]
        desk.show_once(visit, SECOND, [secret])
        address = codes.address_of(secret, session.person, desk.site.name)
        groups = " ".join(secret[i : i + 4] for i in range(0, len(secret), 4))
        return {"picture": codes.picture_of(address), "secret": groups, "address": address}

    @action(f"{HOME}/second", Right.SELF)
    async def confirm(visit: Visit) -> Response:
        session = proven(desk, visit)
        kept = desk.look_at(visit, SECOND)
        step = codes.step_of(kept[0], visit.field("code"), desk.now(), 0) if kept else None
        if step is None:
            text = visit.say("This is not the code of the moment. Look at the telephone again.")
            return visit.back(f"{HOME}/second", text, "refused")
        by, now = desk.by(visit), desk.now()
        fresh = await desk.change(
            lambda: accounts.set_second(session.person, kept[0], step, by, now, keep=session.key)
        )
        desk.take(visit, SECOND)
        desk.show_once(visit, CODES, fresh)
        return visit.back(f"{HOME}/codes")

    @page(f"{HOME}/codes", "account_codes.html", Right.SELF)
    async def shown(visit: Visit) -> dict[str, Any]:
        return {"codes": desk.take(visit, CODES)}

    @action(f"{HOME}/codes", Right.SELF)
    async def renew(visit: Visit) -> Response:
        session = proven(desk, visit)
        if not session.has_second:
            raise HTTPException(422, "There is no second factor.")
        by, now = desk.by(visit), desk.now()
        fresh = await desk.change(lambda: accounts.new_recovery(session.person, by, now))
        desk.show_once(visit, CODES, fresh)
        return visit.back(f"{HOME}/codes")

    @action(f"{HOME}/sessions/others", Right.SELF)
    async def end_others(visit: Visit) -> Response:
        session, by, now = need_session(desk, visit), desk.by(visit), desk.now()
        await desk.change(lambda: sessions.end_others(session, by, now))
        return visit.back(HOME, visit.say("All your other sessions are ended."))

    @action(f"{HOME}/sessions/{{id}}", Right.SELF)
    async def end_one(visit: Visit) -> Response:
        mine, by, now = need_session(desk, visit), desk.by(visit), desk.now()
        other = sessions.by_id(visit.path("id"), now)
        if other is None or other.person != mine.person:
            raise HTTPException(404)
        await desk.change(lambda: sessions.end(other, by, now, "session_ended"))
        return visit.back(HOME, visit.say("The session is ended."))

    return (account, password, second, confirm, shown, renew, end_others, end_one)


def view(desk: Reception, visit: Visit) -> dict[str, Any]:
    """Return what the page of the own account shows."""
    session, now = need_session(desk, visit), desk.now()
    person = desk.register.accounts.need(session.person)
    return {
        "person": person,
        "session": session,
        "held": visit.who.held,
        "is_proven": session.is_proven(now),
        "posts": desk.register.posts,
        "recovery_left": desk.register.accounts.recovery_left(person.name),
        "sessions": desk.register.sessions.of_person(person.name, now),
        "least": LEAST,
        "browser_name": browser_name,
        "role_name": lambda role: visit.say(ROLE_NAMES[role]),
    }


def browser_name(told: str) -> str:
    """Return what people call a browser and its machine, by what it calls itself; its first words when it is none of the usual."""
    names = (word for mark, word in _BROWSERS if mark in told)
    machines = (word for mark, word in _MACHINES if mark in told)
    name = next(names, told[:20] or "?")
    return " · ".join(word for word in (name, next(machines, "")) if word)


def need_session(desk: Reception, visit: Visit) -> Session:
    """Return the session of who asks; a program with a token has none.

    Raises:
        HTTPException: There is none.
    """
    session = desk.session_of(visit)
    if session is None:
        raise HTTPException(401)
    return session


def proven(desk: Reception, visit: Visit) -> Session:
    """Return the session of a person who proved lately to be the one; another is led to do it.

    Raises:
        HTTPException: 303, to the page that asks for the password again.
    """
    session = need_session(desk, visit)
    if not session.is_proven(desk.now()):
        back = visit.request.url.path if visit.request.method == "GET" else HOME
        where = f"/sign-in/again?next={quote(back, safe='')}"
        raise HTTPException(303, headers={"Location": where})
    return session
