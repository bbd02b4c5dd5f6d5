"""Whose equipment is whose: a post takes by hand what belongs to its trades.

Equipment of a trade that no post of the room has (a vendor's own) may be taken by every post.
"""

from __future__ import annotations

from typing import Final

from starlette.exceptions import HTTPException

from pilotage import api
from pilotage_web import glass
from pilotage_web.people.posts import ROOM, Post
from pilotage_web.request import Visit
from pilotage_web.texts import mark

REFUSED: Final = "trade"
"""What a refusal begins with; the trade follows a colon."""
WHO: Final = mark("Equipment of this trade is taken by hand at: %(posts)s.")


def holders(domain: str) -> list[Post]:
    """Return the posts that take equipment of a trade by hand."""
    return [post for post in ROOM.values() if domain in post.domains]


def refusal(visit: Visit, domain: str) -> str:
    """Return why the acting post may not take equipment of a trade by hand, and which may; empty when it may."""
    post, allowed = ROOM.get(visit.who.post), holders(domain)
    if post is None or post in allowed or not allowed:
        return ""
    return visit.say(WHO, posts=", ".join(one.title(visit.who.language) for one in allowed))


async def check(visit: Visit, id_: str, reason: str = "") -> str:
    """See that the acting post may take a piece of equipment by hand, or that the glass is broken.

    Returns:
        The reason that was given, marked when the post acts for another.

    Raises:
        HTTPException: 403; the answer says which posts may.
    """
    detail = await visit.ask(api.GetEquipment(id=id_))
    if not refusal(visit, detail.domain):
        return reason
    held = await glass.now(visit)
    if held is None:
        raise HTTPException(403, f"{REFUSED}:{detail.domain}")
    return glass.marked(reason, visit, held.reason)
