"""Whose equipment is whose: a post takes by hand what belongs to its trades.

Equipment of a trade that no post of the room has (a vendor's own) may be taken by every post.
"""

from __future__ import annotations

from typing import Final

from starlette.exceptions import HTTPException

from pilotage import api
from pilotage_web import glass
from pilotage_web.people.posts import Post, Room
from pilotage_web.request import Visit
from pilotage_web.texts import mark

REFUSED: Final = "trade"
"""What a refusal begins with; the trade follows a colon."""
WHO: Final = mark("Equipment of this trade is taken by hand at: %(posts)s.")


def holders(room: Room, domain: str, zone: str = "") -> list[Post]:
    """Return the posts that take equipment of a trade in a zone by hand; where none is for the zone, those of the trade."""
    found = [post for post in room.values() if domain in post.domains]
    return [post for post in found if not post.areas or zone in post.areas] or found


def refusal(visit: Visit, domain: str, zone: str = "") -> str:
    """Return why the acting post may not take equipment of a trade by hand, and which may; empty when it may."""
    room = visit.frame.room
    post, allowed = room.get(visit.who.post), holders(room, domain, zone)
    if post is None or post in allowed or not allowed:
        return ""
    return visit.say(WHO, posts=", ".join(_called(one, visit) for one in allowed))


def _called(post: Post, visit: Visit) -> str:
    title = post.title(visit.who.language)
    return f"{title} ({post.phone})" if post.phone else title


async def check(visit: Visit, id_: str, reason: str = "") -> str:
    """See that the acting post may take a piece of equipment by hand, or that the glass is broken.

    Returns:
        The reason that was given, marked when the post acts for another.

    Raises:
        HTTPException: 403; the answer says which posts may.
    """
    detail = await visit.ask(api.GetEquipment(id=id_))
    if not refusal(visit, detail.domain, detail.zone):
        return reason
    held = await glass.now(visit)
    if held is None:
        raise HTTPException(403, f"{REFUSED}:{detail.domain}:{detail.zone}")
    return glass.marked(reason, visit, held.reason)
