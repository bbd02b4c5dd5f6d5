"""Requests out, to one server each: the address is looked up once and judged, then only that address is connected to.

Redirects are not followed, answers are bounded in time and size, and nothing of the environment (proxies, cookies) counts.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_exceptions import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
)

from pilotage_http.binding import Server

AGENT: Final = "pilotage"
CLOSE_S: Final = 1.0


class NotSent(Exception):
    """The request has not left, or the server says that it did nothing; the text says why."""


class NotKnown(Exception):
    """There was no answer, or half of one: the server may have done it or not."""


class Forbidden(NotSent):
    """The server's name leads to an address that requests may not go to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes
    etag: str = ""


class _Pinned(AbstractResolver):
    """Says the address that was judged, whatever the name leads to by now."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        is_six = ":" in self._address
        return [
            ResolveResult(
                hostname=host,
                host=self._address,
                port=port,
                family=socket.AF_INET6 if is_six else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""


def is_reserved(address: str) -> bool:
    """Return whether an address is no public one: private, loopback, link-local, multicast, or of no use."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        if inner is not None:
            return is_reserved(str(inner))
    return not found.is_global or found.is_multicast


class HttpClient:
    """One server, from `open` until `close`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._is_closed = False

    async def open(self) -> None:
        """Look the address up and judge it, once.

        Raises:
            NotSent: There is no such name, or no address of it may be used.
        """
        async with self._opening:
            if self._session is None:
                address = await self._address()
                if self._is_closed:
                    raise NotSent("the connection has ended")
                self._session = self._make(address)

    async def _address(self) -> str:
        server, loop = self._server, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(server.timeout_s):
                found = await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            raise NotSent(f"{server.host} is not found: {error or 'no answer in time'}") from error
        addresses = [str(item[4][0]) for item in found]
        fine = [a for a in addresses if server.is_private or not is_reserved(a)]
        if not fine:
            raise Forbidden(
                f"{server.host} is {addresses[0]}, which is no public address"
                ' (mend: add "private: true" to this server when that is meant)'
            )
        return fine[0]

    def _make(self, address: str) -> aiohttp.ClientSession:
        server = self._server
        context: ssl.SSLContext | bool = True
        if server.is_tls:
            context = ssl.create_default_context(cafile=server.ca or None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(address),
            use_dns_cache=False,
            limit=server.connections,
            ssl=context,
            keepalive_timeout=30,
        )
        headers = {"User-Agent": AGENT, "Accept-Encoding": "identity", **dict(server.headers)}
        session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            # Its own limit loses a cancellation that comes in the same turn of the loop: it takes back two for one of its own.
            timeout=aiohttp.ClientTimeout(),
            auto_decompress=False,
            raise_for_status=False,
            max_line_size=4096,
            max_field_size=4096,
        )
        # It repeats a PUT by itself when the server hangs up, which may have done it; there is no public switch.
        session._retry_connection = False
        return session

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Send a request and return the answer, whatever its status is.

        Raises:
            NotSent: It has not left.
            NotKnown: It may have arrived.
        """
        await self.open()
        server, session = self._server, self._session
        if session is None:
            raise NotSent("closed")
        limit_s = server.timeout_s if timeout_s is None else min(timeout_s, server.timeout_s)
        try:
            async with (
                asyncio.timeout(limit_s),
                session.request(
                    method,
                    _whole(server, path),
                    data=body if method not in ("GET", "HEAD") else None,
                    headers=headers,
                    allow_redirects=False,
                ) as response,
            ):
                return Answer(
                    response.status, await self._body(response), response.headers.get("ETag", "")
                )
        except ClientConnectorError as error:
            raise NotSent(f"{server.url}: {error.os_error or error}") from error
        except TimeoutError as error:
            raise NotKnown(f"{server.url}: no answer within {server.timeout_s:g} s") from error
        except (ClientConnectionError, ClientPayloadError) as error:
            raise NotKnown(f"{server.url}: {error or type(error).__name__}") from error
        except (ClientError, OSError, ValueError) as error:
            raise NotKnown(f"{server.url}: {type(error).__name__}: {error}") from error

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        most = self._server.max_body
        if (response.content_length or 0) > most:
            raise NotKnown(f"{self._server.url}: an answer of {response.content_length} bytes")
        parts = bytearray()
        async for part in response.content.iter_any():
            parts += part
            if len(parts) > most:
                raise NotKnown(f"{self._server.url}: an answer of more than {most} bytes")
        return bytes(parts)

    async def close(self) -> None:
        """Close all connections to it."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await session.close()


def _whole(server: Server, path: str) -> Any:
    from yarl import URL

    return URL(server.url + path, encoded=True)
