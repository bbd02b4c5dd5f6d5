"""The application: its routes, collected from the rooms, and what they share."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import pkgutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Route

import pilotage_web.api
import pilotage_web.pages
from pilotage.api import ApiError
from pilotage_web.alarm_words import alarm_text, alarm_title, id_in_words
from pilotage_web.assets import Assets
from pilotage_web.bar import Link, links_of
from pilotage_web.city import City, EngineAway
from pilotage_web.errors import Net, on_error
from pilotage_web.live.answers import Answers
from pilotage_web.live.fragments import Fragments
from pilotage_web.live.hub import Hub
from pilotage_web.parts import Shortcut
from pilotage_web.people import People
from pilotage_web.people.posts import Room, room_of
from pilotage_web.problem import Problem
from pilotage_web.repeats import Repeats
from pilotage_web.shield import Shield, TooLarge
from pilotage_web.site import Site
from pilotage_web.texts import LANGUAGE_NAMES, LANGUAGES, Texts

REPEATS_FILE: Final = "repeats.db"


@dataclass(slots=True)
class Frame:
    """What every request can reach; `request.app.state.frame`.

    Attributes:
        ending: Set when the process is about to end: streams close then.
        room: The posts.
        hub: What moves: looks, versions of lists, the stream.
        fragments: Parts of pages that many people see alike.
        answers: What the engine said of each list, as long as it has not changed.
        more: What a room keeps for its routes, under its own name.
    """

    site: Site
    city: City
    people: People
    texts: Texts
    assets: Assets
    repeats: Repeats
    hub: Hub
    room: Room
    answers: Answers
    fragments: Fragments = field(default_factory=Fragments)
    bar: tuple[Link, ...] = ()
    languages: dict[str, str] = field(default_factory=lambda: dict(LANGUAGE_NAMES))
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    more: dict[str, Any] = field(default_factory=dict)


OFTEN: Final = ("/alarms/list", "/live", "/static/{name:path}")
"""Asked for by many browsers at the same moment; a router tries its routes one after the other."""


def _rank(route: BaseRoute) -> int:
    """Return where a route is tried: what is asked for often first, then what has one address, then what has many."""
    path = getattr(route, "path", "")
    if path in OFTEN:
        return OFTEN.index(path)
    return len(OFTEN) + ("{" in path)


def create_app(site: Site, city: City, people: People) -> Starlette:
    """Return the application of a site.

    Args:
        site: What the service says of it, with the port that is really listened on.
        city: The door to the engine.
        people: Who knows who asks.
    """
    assets, hub = Assets(), Hub(Path(site.socket))
    frame = Frame(
        site,
        city,
        people,
        Texts(site.zone, site.language, lambda: hub.city_now),
        assets,
        Repeats(site.storage / REPEATS_FILE),
        hub,
        room_of(site.posts),
        Answers(hub, lambda question: frame.city.ask(question)),
    )
    for language in LANGUAGES:
        words = frame.texts[language]
        words.environment.filters.update(
            alarm_title=partial(alarm_title, words),
            alarm_text=partial(alarm_text, words),
            alarm_id=partial(id_in_words, words),
        )
    routes: list[BaseRoute] = [
        *people.routes,
        *rooms(),
        Route("/static/{name:path}", assets.serve, methods=["GET"], name="static"),
    ]
    routes.sort(key=_rank)
    frame.bar = links_of(route.path for route in routes if isinstance(route, Route))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(city.close)
            await people.open()
            stack.push_async_callback(people.close)
            await frame.repeats.open()
            stack.push_async_callback(frame.repeats.close)
            await frame.hub.open()
            stack.push_async_callback(frame.hub.close)
            ending = asyncio.create_task(_end_streams(frame), name="end-streams")
            stack.callback(ending.cancel)
            yield
            frame.ending.set()

    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Shield, site.origins, is_secure=site.is_secure),
            Middleware(Net),
            Middleware(Shortcut, frame=frame, routes=routes),
            Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5),
        ],
        exception_handlers={
            HTTPException: on_error,
            EngineAway: on_error,
            ApiError: on_error,
            TooLarge: on_error,
            Problem: on_error,
        },
        lifespan=lifespan,
    )
    app.state.frame = frame
    return app


async def _end_streams(frame: Frame) -> None:
    """End the streams first: a server that is told to stop waits for them."""
    await frame.ending.wait()
    frame.hub.end()


def rooms() -> Iterator[BaseRoute]:
    """Return the routes of every module of `pages` and `api`, in order of name: each has `ROUTES`."""
    for package in (pilotage_web.api, pilotage_web.pages):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            yield from getattr(importlib.import_module(module.name), "ROUTES", ())
