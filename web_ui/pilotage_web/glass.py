"""Broken glass as the pages use it: who acts for every post now, and what that lets them do.

Who has broken the glass may set plans of the level crisis of any post, and take equipment of any trade by hand.
"""

from __future__ import annotations

from typing import Final

from pilotage import api
from pilotage_web.request import Visit
from pilotage_web.rights import Right

USUAL_S: Final = 1_800.0


def known(visit: Visit) -> api.BrokenGlass | None:
    """Return the glass that who asks has broken, as far as the pages know; for what is shown."""
    return _own(visit, visit.frame.hub.glass)


async def now(visit: Visit) -> api.BrokenGlass | None:
    """Return the glass that who asks has broken, as the engine knows it; for what is ordered."""
    if not visit.who.may(Right.GLASS):
        return None
    return _own(visit, await again(visit))


async def again(visit: Visit) -> list[api.BrokenGlass]:
    """Ask the engine who has broken the glass, and have all pages know it."""
    visit.frame.hub.glass = found = await visit.ask(api.ListGlass())
    return found


def marked(reason: str, visit: Visit, why: str) -> str:
    """Return the reason of an order that was given for another post: it stands out in the journal."""
    return f"{reason} [!{visit.who.post}: {why}]"


async def hold(visit: Visit, reason: str) -> api.BrokenGlass | None:
    """Break the glass for the usual time unless it is broken: who gives a second reason with an order acts for another post."""
    found = await now(visit)
    if found is None and reason and visit.who.may(Right.GLASS):
        order = api.BreakGlass(person=visit.who.person, reason=reason, post=visit.who.post)
        await visit.ask(order)
        found = await now(visit)
    return found


def _own(visit: Visit, broken: list[api.BrokenGlass]) -> api.BrokenGlass | None:
    return next((b for b in broken if b.person == visit.who.person), None)
