"""The interface about itself: its document, and who asks."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from pilotage_web.openapi import document
from pilotage_web.request import Visit
from pilotage_web.rights import Right
from pilotage_web.typed import ApiRoute, get


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as what, and what they may at their acting post."""

    person: str
    name: str
    post: str
    role: str
    roles: dict[str, str]
    rights: list[str]


@get("/openapi.json", Right.OPEN)
async def openapi(visit: Visit) -> dict[str, Any]:
    """The whole interface as an OpenAPI 3.1 document."""
    kept = visit.frame.more
    if "openapi" not in kept:
        routes = [route for route in visit.request.app.routes if isinstance(route, ApiRoute)]
        kept["openapi"] = document(routes, _version(), visit.frame.site.url)
    found: dict[str, Any] = kept["openapi"]
    return found


@get("/me", Right.SELF)
async def me(visit: Visit) -> Me:
    """Who asks."""
    who = visit.who
    return Me(
        person=who.person,
        name=who.name,
        post=who.post,
        role=who.role,
        roles=dict(who.roles),
        rights=[right for right in Right if who.may(right)],
    )


def _version() -> str:
    try:
        return version("pilotage")
    except PackageNotFoundError:
        return "0"


ROUTES = (openapi, me)
