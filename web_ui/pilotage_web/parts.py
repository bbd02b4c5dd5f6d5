"""Parts of pages that hundreds of browsers read again at the same moment, and the layer that hands out those that are known.

Such a part depends on its language and on the versions of some lists, and on nobody: it is rendered and compressed once for all.
Who asks for it first, and whoever may not read it or asks for more, goes the usual way through the layers and the routes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from pilotage_web.request import GuardedRoute, Visit, page
from pilotage_web.rights import Right

if TYPE_CHECKING:
    from pilotage_web.app import Frame

PartHandler = Callable[[Visit], Awaitable[str]]


class PartRoute(GuardedRoute):
    """A route whose answer is a part; `topics` are the lists that it shows."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        topics: tuple[str, ...],
    ) -> None:
        super().__init__(path, endpoint, "GET", Right.SEE)
        self.topics = topics

    def key(self, language: str) -> Hashable:
        """Return what the part depends on besides its version."""
        return self.path, language

    def version(self, frame: Frame) -> Hashable:
        """Return the version of what it shows: of the lists, in this run of the engine."""
        lists = frame.hub.lists
        return frame.hub.looks_of, *(lists.get(topic) for topic in self.topics)


def part(path: str, topics: tuple[str, ...]) -> Callable[[PartHandler], PartRoute]:
    """Make a handler that renders a part its route, guarded like a page."""

    def wrap(handler: PartHandler) -> PartRoute:
        @page(path, "")
        async def guarded(visit: Visit) -> Response:
            key, version = route.key(visit.who.language), route.version(visit.frame)
            made = await visit.frame.fragments.get(key, version, lambda: handler(visit))
            return made.answer(visit.request.headers)

        route = PartRoute(path, guarded.endpoint, topics)
        return route

    return wrap


class Shortcut:
    """The layer that hands out the parts that are known."""

    def __init__(self, app: ASGIApp, frame: Frame, routes: Iterable[BaseRoute]) -> None:
        """Know the parts among the routes of an application."""
        self._app = app
        self._frame = frame
        self._parts = {route.path: route for route in routes if isinstance(route, PartRoute)}
        frame.hub.on_lists = self.renew

    def renew(self) -> None:
        """Begin to make the parts that are read at present and show something else by now."""
        for route in self._parts.values():
            version = route.version(self._frame)
            for language in self._frame.languages:
                self._frame.fragments.renew(route.key(language), version)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, at once or the usual way."""
        app = await self._known(scope) if scope["type"] == "http" else None
        await (app or self._app)(scope, receive, send)

    async def _known(self, scope: Scope) -> ASGIApp | None:
        route = self._parts.get(scope["path"])
        if route is None or scope["method"] != "GET" or scope["query_string"]:
            return None
        frame, asks = self._frame, HTTPConnection(scope)
        who = await frame.people.who(asks)
        if not who.may(route.right) or who.held in ("password", "second"):
            return None
        made = await frame.fragments.found(route.key(who.language), route.version(frame))
        return None if made is None else made.answer(asks.headers)
