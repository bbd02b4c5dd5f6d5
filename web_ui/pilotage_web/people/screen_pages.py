"""Screens on walls, for admins: a browser is made one, shows the city and does nothing, until it is ended or its thirty days are over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pilotage_web.people.account_pages import browser_name, need_session, proven
from pilotage_web.people.records import Record
from pilotage_web.people.sessions import KIOSK, KIOSK_S
from pilotage_web.request import GuardedRoute, Visit, action, page
from pilotage_web.rights import Right

if TYPE_CHECKING:
    from pilotage_web.people.reception import Reception

HOME: Final = "/screens"
WALL: Final = "/wall"


def routes(desk: Reception) -> Sequence[GuardedRoute]:
    """Return the pages of the screens."""
    sessions = desk.register.sessions

    @page(HOME, "screens.html", Right.PEOPLE)
    async def screens(visit: Visit) -> dict[str, Any]:
        return {"screens": sessions.screens(desk.now()), "browser_name": browser_name}

    @action(HOME, Right.PEOPLE)
    async def begin(visit: Visit) -> Response:
        """Make this browser a screen: the admin's own session in it ends."""
        session, by, now = proven(desk, visit), desk.by(visit), desk.now()
        if session.kind == KIOSK:
            raise HTTPException(403, f"right:{Right.PEOPLE.value}")
        origin = desk.origin_of(visit)

        def work() -> str:
            with desk.register.store.writing() as change:
                secret = sessions.begin(
                    change, session.person, session.post, origin, now, kind=KIOSK
                )
                record = Record("login", by, detail={"second": "screen"})
                desk.register.records.write(change, record, now)
            sessions.end(session, by, now)
            return secret

        secret = await desk.change(work)
        return desk.keep_session(visit.back(WALL), secret, int(KIOSK_S))

    @action(f"{HOME}/{{id}}/end", Right.PEOPLE)
    async def end(visit: Visit) -> Response:
        """End a screen; what it shows stays until it asks for more."""
        need_session(desk, visit)
        by, now = desk.by(visit), desk.now()
        screen = sessions.by_id(visit.path("id"), now)
        if screen is None or screen.kind != KIOSK:
            raise HTTPException(404)
        await desk.change(lambda: sessions.end(screen, by, now, "session_ended"))
        return visit.back(HOME, visit.say("The screen is ended."))

    return (screens, begin, end)
