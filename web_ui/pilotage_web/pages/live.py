"""The live stream, and what a map needs beside it: how everything looks now, and where it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from pilotage.model.looks import Look
from pilotage_web.live.stream import LiveStream
from pilotage_web.request import GuardedRoute, Who
from pilotage_web.rights import Right
from pilotage_web.texts import mark

if TYPE_CHECKING:
    from pilotage_web.app import Frame

FOR_THIS_RUN: Final = "private, max-age=86400, immutable"
BINARY: Final = "application/octet-stream"
GEOJSON: Final = "application/geo+json"

MEANINGS: Final = {
    Look.IDLE: mark("at rest"),
    Look.ACTIVE: mark("at work"),
    Look.HELD: mark("held by a person"),
    Look.UNLIKE: mark("not as wanted"),
    Look.FAULT: mark("fault"),
    Look.SILENT: mark("silent"),
    Look.ALARM: mark("alarm, not acknowledged"),
}

Handler = Callable[[Request, "Frame", Who], Awaitable[Response]]


def live_route(path: str) -> Callable[[Handler], GuardedRoute]:
    """Make a handler a route for scripts: who is not signed in is told so and not led to a page."""

    def wrap(handler: Handler) -> GuardedRoute:
        async def endpoint(request: Request) -> Response:
            frame: Frame = request.app.state.frame
            who = await frame.people.who(request)
            if not who.is_signed_in:
                raise HTTPException(401)
            if not who.may(Right.SEE):
                raise HTTPException(403, f"right:{Right.SEE.value}")
            return await handler(request, frame, who)

        return GuardedRoute(path, endpoint, "GET", Right.SEE)

    return wrap


@live_route("/live")
async def live(request: Request, frame: Frame, who: Who) -> Response:
    """Stream what changes, from `Last-Event-ID` or `after` on."""

    async def is_allowed() -> bool:
        return (await frame.people.who(request)).session == who.session

    last = request.headers.get("last-event-id") or request.query_params.get("after", "")
    return LiveStream(frame.hub, last, is_allowed)


@live_route("/live/session")
async def session(request: Request, frame: Frame, who: Who) -> Response:
    """Say whether somebody is signed in: a browser does not tell why a stream was refused."""
    return Response(status_code=204)


@live_route("/live/states")
async def states(request: Request, frame: Frame, who: Who) -> Response:
    """How everything looks now, a digit each, with the place in the stream from which changes count (`x-seq`)."""
    hub = frame.hub
    if not hub.looks_of:
        raise HTTPException(503)
    headers = {"x-seq": hub.cursor, "x-places": hub.looks_of}
    return Response(bytes(hub.looks), headers=headers, media_type=BINARY)


@live_route("/live/places")
async def places(request: Request, frame: Frame, who: Who) -> Response:
    """Where everything stands; the same as long as the engine runs."""
    found = frame.hub.places
    if found is None or request.query_params.get("of", found.epoch) != found.epoch:
        raise HTTPException(503)
    headers = {"x-kinds": ",".join(found.kinds), "Cache-Control": FOR_THIS_RUN}
    return Response(found.packed, headers=headers, media_type=BINARY)


@live_route("/live/places/{number:int}")
async def place(request: Request, frame: Frame, who: Who) -> Response:
    """What one thing on the map is called, how it looks, and its page."""
    hub, number = frame.hub, request.path_params["number"]
    if hub.places is None or number >= len(hub.places.all):
        raise HTTPException(404)
    found = hub.places.all[number]
    words = frame.texts[who.language]
    return JSONResponse(
        {
            "id": found.id,
            "name": found.name or found.id,
            "kind": found.kind.replace("_", " "),
            "zone": found.zone,
            "look": words.say(MEANINGS[Look(hub.looks[number] - 48)]),
            "page": f"/equipment/{quote(found.kind, safe='')}/{quote(found.id, safe='')}",
        }
    )


@live_route("/live/base")
async def base(request: Request, frame: Frame, who: Who) -> Response:
    """What lies under the equipment on the map: the city's own GeoJSON, or nothing."""
    file = frame.site.map
    if not file or not await asyncio.to_thread(Path(file).is_file):
        return JSONResponse(None)
    return FileResponse(file, media_type=GEOJSON, headers={"Cache-Control": "private, max-age=300"})


ROUTES = (live, session, states, places, place, base)
