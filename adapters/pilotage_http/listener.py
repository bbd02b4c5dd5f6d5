"""Webhooks in: a small HTTP server that gives nobody much time, room or attention, and answers without saying why.

What is wrong with a message is for our log; whoever sent it learns a status code and nothing else.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server as WebServer

from pilotage.adapter import Door, has_room
from pilotage.adapter.payload_binding import Own, Shared
from pilotage.adapter.payload_intake import PayloadReader
from pilotage.adapter.payloads import Garbage
from pilotage_http.binding import Hook, Listener
from pilotage_http.limits import Rate
from pilotage_http.signature import Guard, NotTrusted

Clock = Callable[[], float]
"""Returns seconds since 1970."""

IDLE_S: Final = 10.0
"""A connection on which no request is complete for so long is closed, however slowly it goes on."""

BODY_S: Final = 5.0
LOOK_S: Final = 1.0
MOST_CONNECTIONS: Final = 500
MOST_FROM_ONE: Final = 50


class _Visit(RequestHandler):
    """One connection, and since when it is idle."""

    __slots__ = ("busy", "source", "visits", "waits_since")

    def __init__(self, visits: Visits, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.visits = visits
        self.source = ""
        self.busy = False
        self.waits_since = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let somebody in, unless there is no room."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.source = str(peer[0]) if peer else "?"
        if not self.visits.enter(self):
            self.end()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let somebody go."""
        self.visits.leave(self)
        super().connection_lost(exc)

    def end(self) -> None:
        """Hang up at once."""
        if self.transport is not None:
            self.transport.abort()


class Visits:
    """Who is connected now."""

    def __init__(self) -> None:
        self._here: dict[_Visit, None] = {}
        self._from: Counter[str] = Counter()

    def enter(self, visit: _Visit) -> bool:
        """Return whether there is room for one more."""
        is_full = len(self._here) >= MOST_CONNECTIONS or self._from[visit.source] >= MOST_FROM_ONE
        self._here[visit] = None
        self._from[visit.source] += 1
        return not is_full

    def leave(self, visit: _Visit) -> None:
        """Forget a connection that has ended."""
        if visit in self._here:
            del self._here[visit]
            self._from[visit.source] -= 1
            if self._from[visit.source] <= 0:
                del self._from[visit.source]

    def end_idle(self) -> None:
        """Hang up on those who take too long."""
        limit = time.monotonic() - IDLE_S
        for visit in [v for v in self._here if not v.busy and v.waits_since < limit]:
            visit.end()


class _Server(WebServer):
    """Makes a `_Visit` of each connection."""

    def __init__(self, visits: Visits, handler: Any) -> None:
        super().__init__(
            handler,
            access_log=None,
            keepalive_timeout=IDLE_S,
            lingering_time=0.5,
            max_line_size=2048,
            max_field_size=4096,
            auto_decompress=False,
        )
        self._visits = visits

    def __call__(self) -> RequestHandler:
        return _Visit(self._visits, self, loop=self._loop, **self._kwargs)


class WebhookServer:
    """Listens from `start` until `stop`, and hands in what comes."""

    def __init__(
        self, listener: Listener, hooks: dict[str, Hook], reader: PayloadReader, door: Door,
        name: str, now: Clock,
    ) -> None:  # fmt: skip
        self.taken = 0
        self.port = listener.port
        self._listener = listener
        self._hooks = hooks
        self._reader = reader
        self._door = door
        self._name = name
        self._now = now
        self._guard = Guard(listener.tolerance_s, listener.form)
        self._rate = Rate(listener.per_s, listener.burst)
        self._visits = Visits()
        self._web: _Server | None = None
        self._server: asyncio.Server | None = None
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken, or the address is not ours.
            ssl.SSLError: The certificate or its key cannot be used.
        """
        listener = self._listener
        context = None
        if listener.certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(listener.certificate, listener.key)
        self._web = _Server(self._visits, self._handle)
        self._server = await asyncio.get_running_loop().create_server(
            self._web,
            listener.host,
            listener.port,
            ssl=context,
            backlog=100,
            ssl_handshake_timeout=None if context is None else BODY_S,
        )
        self._looking = asyncio.ensure_future(self._look())

    async def stop(self) -> None:
        """Hang up on everybody and listen no more."""
        if self._looking is not None:
            self._looking.cancel()
        if self._server is not None:
            self._server.close()
        if self._web is not None:
            await self._web.shutdown(0.5)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._visits.end_idle()

    # ── one request ──────────────────────────────────────────────────────────────────────────

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        visit: Any = request.protocol
        visit.busy = True
        try:
            status = await self._answer(request)
        finally:
            visit.busy, visit.waits_since = False, time.monotonic()
        response = web.Response(status=status)
        response.headers["Server"] = "pilotage"
        if status >= 400:
            response.force_close()  # nobody gets a long conversation out of mistakes
        return response

    async def _answer(self, request: web.BaseRequest) -> int:
        source = request.remote or "?"
        if not self._rate.admit(source, time.monotonic()):
            self._refuse(source, "more messages than its rate allows")
            return 429
        hook = self._hooks.get(request.raw_path)
        if hook is None:
            self._refuse(source, f"nothing is bound to {_printable(request.raw_path)}")
            return 404
        if request.method not in ("POST", "PUT"):
            return 405
        if not has_room(self._door):
            return 503
        try:
            body = await self._body(request)
        except TimeoutError:
            self._refuse(request.raw_path, f"its body did not come within {BODY_S:g} s")
            return 408
        except (ConnectionError, web.RequestPayloadError):
            return 400
        if body is None:
            why = f"more than max_body ({self._listener.max_body} bytes)"
            self._refuse(request.raw_path, why)
            return 413
        return self._take(hook, request, body)

    async def _body(self, request: web.BaseRequest) -> bytes | None:
        """Return the body, or None when it is too long; a length that is announced is believed at once."""
        most = self._listener.max_body
        if (request.content_length or 0) > most:
            return None
        parts = bytearray()
        async with asyncio.timeout(BODY_S):
            async for part in request.content.iter_any():
                parts += part
                if len(parts) > most:
                    return None
        return bytes(parts)

    def _take(self, hook: Hook, request: web.BaseRequest, body: bytes) -> int:
        path, listener = request.raw_path, self._listener
        if hook.is_signed:
            time_said = request.headers.get(listener.time_header, "")
            signature = request.headers.get(listener.signature_header, "")
            try:
                self._guard.admit(hook.secret, time_said, signature, path, body, self._now())
            except NotTrusted as error:
                self._refuse(path, f"{error} (from {request.remote})")
                return 401
        try:
            for source in hook.sources:
                self._read(source, body)
        except Garbage as error:
            self._refuse(path, str(error))
            return 400
        except Exception as error:  # a message must never end the server
            self._refuse(path, f"{type(error).__name__}: {error}")
            return 400
        self.taken += 1
        return 204

    def _read(self, source: Own | Shared, body: bytes) -> None:
        document = source.form.decode(body) if source.is_json else None
        self._reader.read(source, document, body)

    def _refuse(self, where: str, why: str) -> None:
        self._door.refused(f"{self._name}: {_printable(where)}", why)


def _printable(text: str) -> str:
    return ascii(text[:200])[1:-1]
