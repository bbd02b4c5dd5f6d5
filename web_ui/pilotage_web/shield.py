"""What stands before every route: the right host, a small enough body, and the headers that keep a browser on guard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY_BYTES: Final = 256 * 1024

CONTENT_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "connect-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Nothing inline, nothing from elsewhere, in no frame."""

HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    # `no-referrer` would make browsers send `Origin: null` with forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
WIRE: Final = "pilotage.wire"
"""In the scope: sends without the layers in between. A stream uses it once they have seen its beginning."""
STRICT_TRANSPORT: Final = "max-age=31536000"


class TooLarge(Exception):
    """A request's body is larger than any form of ours."""


class Shield:
    """The outermost layer of the application."""

    def __init__(
        self, app: ASGIApp, origins: Iterable[str], *, is_secure: bool, most: int = MOST_BODY_BYTES
    ) -> None:
        """Guard an application that is known to browsers under some origins."""
        self._app = app
        self._hosts = frozenset(urlsplit(origin).netloc for origin in origins)
        headers = {**HEADERS, "Cache-Control": "no-store"}
        if is_secure:
            headers["Strict-Transport-Security"] = STRICT_TRANSPORT
        self._headers = [(n.lower().encode(), value.encode()) for n, value in headers.items()]
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message["headers"])
                names = {name for name, _ in given}
                message["headers"] = given + [
                    pair for pair in self._headers if pair[0] not in names
                ]
            await send(message)

        given = dict(reversed(scope["headers"]))  # of two of a name the first counts, as within
        refused = self._refused(given)
        if refused is not None:
            await refused(scope, receive, guarded)
            return
        length = given.get(b"content-length", b"0")
        is_too_large = not length.isdigit() or int(length) > self._most
        scope[WIRE] = send
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            if is_too_large:
                raise TooLarge  # nothing of it is read
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._most:
                raise TooLarge
            return message

        try:
            await self._app(scope, bounded, guarded)
        finally:
            # Both lead back to the scope. Left there they close a circle that only a full collection finds: with a
            # thousand requests a second it held the loop for 160 ms every other second.
            del scope[WIRE]
            scope.get("state", {}).pop("visit", None)

    def _refused(self, headers: Mapping[bytes, bytes]) -> PlainTextResponse | None:
        # A name that somebody else made point here (DNS rebinding) must not reach a page.
        host = headers.get(b"host", b"").lower().decode("latin-1")
        if host in self._hosts:
            return None
        known = ", ".join(sorted(self._hosts))
        return PlainTextResponse(
            f"This service is not called {host[:100]!r}; it answers to {known}.\n"
            "mend: set web.address to the name that browsers use\n",
            421,
        )
