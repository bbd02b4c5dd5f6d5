"""Points: their values, what is wanted of them, and what they were."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from pilotage import api
from pilotage_web.pages.equipment import PERSONAL
from pilotage_web.problem import Problem
from pilotage_web.request import Visit
from pilotage_web.texts import mark
from pilotage_web.typed import Page, get

Limit = Annotated[int, Meta(ge=1, le=1_000)]
Time = Annotated[float, Meta(ge=0, le=4e9, description="seconds since 1970")]


class PointQuery(Struct, forbid_unknown_fields=True):
    """Which points; `match` is a pattern such as `seg-*.lights.level`, the others filter exactly."""

    match: Annotated[str, Meta(max_length=200)] = "*"
    kind: Annotated[str, Meta(max_length=100)] = ""
    quality: Annotated[str, Meta(max_length=20)] = ""
    after: Annotated[str, Meta(max_length=300)] = ""
    limit: Limit = 100


class HistoryQuery(Struct, forbid_unknown_fields=True):
    """Of which time, and how finely; the last day unless said otherwise. With `every` roll-ups, else at most `most` values."""

    since: Time | None = None
    until: Time | None = None
    every: Annotated[str, Meta(pattern="^(|1min|15min|1h|1d)$")] = ""
    most: Annotated[int, Meta(ge=1, le=10_000)] = 500


@get("/points")
async def points(visit: Visit, query: PointQuery) -> Page[api.Point]:
    """The values of points now, in order of id."""
    found = await visit.ask(
        api.ListPoints(
            match=query.match,
            kind=query.kind,
            quality=query.quality,
            after=query.after,
            limit=query.limit,
        )
    )
    return Page(found.points, found.next)


@get("/points/{point}")
async def point(visit: Visit, point: str) -> api.PointDetail:
    """A point with its priority array: what is wanted of it, at which level, and by whom."""
    return await visit.ask(api.GetPoint(point=point))


@get("/points/{point}/history")
async def point_history(visit: Visit, point: str, query: HistoryQuery) -> api.PointHistory:
    """What was recorded of a point; of one that is personal or sensitive to programs alone."""
    found = await visit.ask(
        api.HistoryOf(
            point=point, since=query.since, until=query.until, every=query.every, most=query.most
        )
    )
    if found.privacy in PERSONAL and visit.who.scopes is None:
        text = visit.say(
            "This tells where a person is, or what a person does: its course is not shown."
        )
        raise Problem(403, "personal", mark("You may not do this"), text)
    return found


ROUTES = (points, point, point_history)
