"""Whose equipment is whose: a post takes by hand what belongs to its trades.

Equipment of a trade that no post of the room has (a vendor's own) may be taken by every post.
"""

from __future__ import annotations

from collections.abc import Iterable
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
ALARMS: Final = mark("Alarms of this trade are acted on at: %(posts)s.")


def holders(room: Room, domain: str, zone: str = "") -> list[Post]:
    """Return the posts that take equipment of a trade in a zone by hand; where none is for the zone, those of the trade."""
    found = [post for post in room.values() if domain in post.domains]
    return [post for post in found if not post.areas or zone in post.areas] or found


def refusal(visit: Visit, domain: str, zone: str = "", text: str = "") -> str:
    """Return why the acting post may not take equipment of a trade by hand, and which may; empty when it may.

    `text` says it of something else, with the posts as `%(posts)s`.
    """
    room = visit.frame.room
    post, allowed = room.get(visit.who.post), holders(room, domain, zone)
    if post is None or post in allowed or not allowed:
        return ""
    return visit.say(text or WHO, posts=", ".join(_called(one, visit) for one in allowed))


async def alarm_refusals(visit: Visit, ids: Iterable[str]) -> dict[str, str]:
    """Return why the acting post may not act on alarms, by id: they belong to a trade of other posts, and the glass is whole."""
    wanted = set(ids)
    alarms = [a for a in await visit.ask(api.ListAlarms(all=True)) if a.id in wanted]
    why = {a.id: refusal(visit, a.owner, a.zone, ALARMS) for a in alarms}
    refused = {id_: text for id_, text in why.items() if text}
    return {} if refused and await glass.now(visit) is not None else refused


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
