"""The engine's own small door for machines that watch it: `/metrics`, `/healthz` and `/readyz`, for reading only.

Speaks as little HTTP as that needs: one request a connection, bounded in length, time and number. It takes no order and
shows no value of the city.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

MOST_BYTES: Final = 8_192
MOST_AT_ONCE: Final = 16
REQUEST_S: Final = 5.0
ANSWER_S: Final = 10.0

_HEADERS: Final = (
    "Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
)

Trouble = Callable[[], Sequence[str]]
"""Returns what is wrong, in a line each; nothing when all is well."""


class MetricsListener:
    """Answers who asks how the engine is."""

    def __init__(self, collector: Any, dead: Trouble, unready: Trouble) -> None:
        """Prepare; nothing listens before `open`.

        Args:
            collector: Of the Prometheus client library; asked in the event loop.
            dead: What only a restart would mend.
            unready: Why the engine is not in service.
        """
        # Here and not above: the library is needed by those who have the listener only.
        from prometheus_client import CollectorRegistry
        from prometheus_client.process_collector import ProcessCollector

        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector)
        ProcessCollector(registry=self._registry)
        self._dead = dead
        self._unready = unready
        self._server: asyncio.Server | None = None
        self._open = 0

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Begin to listen.

        Raises:
            OSError: The address is in use, or is none of this machine.
        """
        self._server = await asyncio.start_server(
            self._serve, host, port, ssl=tls, limit=MOST_BYTES
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), 0.5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            async with asyncio.timeout(REQUEST_S):
                head = await self._answer(reader)
            writer.write(head)
            async with asyncio.timeout(ANSWER_S):
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # who asked has gone, or never finished asking
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long")
        line, _, rest = request.decode("latin-1").partition("\r\n")
        method, _, target = line.partition(" ")
        if method not in ("GET", "HEAD"):
            return _response(
                HTTPStatus.METHOD_NOT_ALLOWED, "only GET is answered", "Allow: GET\r\n"
            )
        if self._open > MOST_AT_ONCE:
            return _response(HTTPStatus.SERVICE_UNAVAILABLE, "too many ask at once")
        answer = await self._page(target.partition(" ")[0].partition("?")[0], rest)
        return answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else answer

    async def _page(self, path: str, headers: str) -> bytes:
        match path:
            case "/metrics":
                return await self._metrics(headers)
            case "/healthz":
                return _report(self._dead(), "the engine is alive")
            case "/readyz":
                return _report(self._unready(), "the engine is in service")
            case _:
                pages = "there are /metrics, /healthz and /readyz"
                return _response(HTTPStatus.NOT_FOUND, pages)

    async def _metrics(self, headers: str) -> bytes:
        """Read everything in the loop, where nothing moves meanwhile; write it down in a thread."""
        from prometheus_client.exposition import choose_encoder

        accept = next((h[7:] for h in headers.split("\r\n") if h.lower().startswith("accept:")), "")
        encode, kind = choose_encoder(accept.strip())
        found = _Collected(list(self._registry.collect()))
        text = await asyncio.to_thread(encode, found)
        return _response(HTTPStatus.OK, text.decode(), kind=kind)


class _Collected:
    """Metrics that were read already, for an encoder that asks a registry."""

    def __init__(self, metrics: list[Any]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Any]:
        return self._metrics


def _report(wrong: Sequence[str], well: str) -> bytes:
    status = HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK
    return _response(status, "\n".join(wrong) or well)


def _response(
    status: HTTPStatus, text: str, more: str = "", *, kind: str = "text/plain; charset=utf-8"
) -> bytes:
    body = (text if text.endswith("\n") else text + "\n").encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return (head + _HEADERS + more + "\r\n").encode() + body
