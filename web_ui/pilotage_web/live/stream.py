"""The stream of one browser: a cursor into the ring, and nothing else.

It is written as a bare ASGI response, because five hundred of them send ten times a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pilotage_web.live.hub import Hub
from pilotage_web.shield import WIRE

RETRY: Final = b"retry: 1000\n\n"
RESET: Final = b"event: reset\ndata: {}\n\n"
BYE: Final = b"event: bye\ndata: {}\n\n"
AUTH: Final = b"event: auth\ndata: {}\n\n"
LOOK_EVERY_S: Final = 15.0
"""So often is asked whether the session still stands."""

HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class LiveStream(Response):
    """Sends events until the browser goes, the session ends, or the process does."""

    media_type = "text/event-stream"

    def __init__(
        self,
        hub: Hub,
        last_event_id: str,
        is_allowed: Callable[[], Awaitable[bool]],
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Prepare a stream.

        Args:
            hub: What is streamed.
            last_event_id: What a browser that comes back saw last; empty for one that comes.
            is_allowed: Says whether the session still stands.
            look_every_s: How often that is asked.
        """
        super().__init__()
        self._hub = hub
        self._last = last_event_id
        self._is_allowed = is_allowed
        self._look_every_s = look_every_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        serving = asyncio.current_task()
        gone = asyncio.ensure_future(_gone(receive))

        def leave(_: object) -> None:
            if serving is not None:
                serving.cancel()

        gone.add_done_callback(leave)
        self._hub.streams += 1
        try:
            await self._pour(send, scope.get(WIRE, send))
        except asyncio.CancelledError:
            if not gone.done():
                raise
        finally:
            self._hub.streams -= 1
            gone.remove_done_callback(leave)
            gone.cancel()

    async def _pour(self, send: Send, wire: Send) -> None:
        hub = self._hub

        async def say(data: bytes, *, more: bool = True) -> None:
            await wire({"type": "http.response.body", "body": data, "more_body": more})

        ring = hub.ring
        found = ring.number_of(self._last)
        number = ring.last if found is None else found
        hello = RESET if self._last and found is None else b""
        # The layers in between hold a beginning back until its first bytes; what follows goes straight to the socket.
        first = RETRY + hello + hub.greeting(is_new=found is None)
        await send({"type": "http.response.body", "body": first, "more_body": True})
        look_at = time.monotonic() + self._look_every_s
        while not hub.is_ending:
            if hub.ring is not ring:
                ring, number = hub.ring, hub.ring.last
                await say(RESET + hub.greeting(is_new=True))
                continue
            data = ring.since(number)
            if data is None:
                number = ring.last
                await say(RESET + hub.greeting(is_new=True))
            elif data:
                number = ring.last
                await say(data)
            else:
                await hub.news()
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + self._look_every_s
                if not await self._is_allowed():
                    await say(AUTH, more=False)
                    return
        await say(BYE, more=False)


async def _gone(receive: Receive) -> None:
    """Return when the browser has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
