"""Clients: who asks a running engine, and how it is reached."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from pilotage.api.live import CityNow, FollowCity, News
from pilotage.api.question import Answer, Done, NoEngineError, Question
from pilotage.api.service import Subscribe
from pilotage.api.wire import decode_answer, decoded, encode_question

__all__ = ["TIMEOUT_S", "AsyncClient", "Client"]

TIMEOUT_S: Final = 30.0


class Client:
    """Asks a running engine, one question after the other; a context manager, and it connects by itself."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S, via: str = "") -> None:
        """Name the socket; `via` is told with each question that does not say its own."""
        self._path = path
        self._timeout_s = timeout_s
        self._via = via
        self._socket: socket.socket | None = None
        self._buffer = bytearray()

    def __enter__(self) -> Client:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def ask(self, question: Question[Answer]) -> Answer:
        """Return the engine's answer.

        Raises:
            NoEngineError: No engine answers at the socket.
            ApiError: The engine refused the question.
        """
        self._send(_told(question, self._via))
        return decode_answer(question, self._line())

    def decisions(self) -> Iterator[dict[str, Any]]:
        """Return every decision from now on, as plain JSON, until the engine stops."""
        self._send(Subscribe())
        decoded(self._line(), Done)
        if self._socket is not None:
            self._socket.settimeout(None)
        while True:
            try:
                line = self._line()
            except NoEngineError:
                return
            yield decoded(line, dict[str, Any])

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._buffer.clear()

    def _send(self, question: Question[Any]) -> None:
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self._socket.settimeout(self._timeout_s)
                self._socket.connect(str(self._path))
            self._socket.sendall(encode_question(question))
        except OSError as error:
            self.close()
            raise NoEngineError(self._path, _reason(error)) from error

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            try:
                data = self._socket.recv(1 << 16) if self._socket is not None else b""
            except OSError as error:
                self.close()
                raise NoEngineError(self._path, _reason(error)) from error
            if not data:
                self.close()
                raise NoEngineError(self._path, "it closed the connection")
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line


class AsyncClient:
    """The same for programs on asyncio; questions of several tasks wait for each other."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S, via: str = "") -> None:
        """Name the socket; `via` is told with each question that does not say its own."""
        self._path = path
        self._timeout_s = timeout_s
        self._via = via
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> AsyncClient:
        """Return the client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    async def ask(self, question: Question[Answer]) -> Answer:
        """Return the engine's answer.

        Raises:
            NoEngineError: No engine answers at the socket.
            ApiError: The engine refused the question.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    line = await self._exchange(question)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.close()
                raise NoEngineError(self._path, _reason(error)) from error
            except BaseException:
                self.close()  # half an answer may be under way; the next question gets a new connection
                raise
        return decode_answer(question, line)

    async def decisions(self) -> AsyncIterator[dict[str, Any]]:
        """Return every decision from now on, until the engine stops; uses the connection for itself."""
        await self.ask(Subscribe())
        reader = self._reader
        while reader is not None:
            line = await reader.readline()
            if not line:
                return
            yield decoded(line, dict[str, Any])

    async def follow(self, take: Callable[[CityNow], None]) -> AsyncIterator[News]:
        """Return what changes in the city, until the engine stops; uses the connection for itself.

        Args:
            take: Is told how everything is, before the first change.

        Raises:
            NoEngineError: No engine answers at the socket, or it said nothing for `timeout_s`.
        """
        take(await self.ask(FollowCity()))
        reader = self._reader
        while reader is not None:
            try:
                async with asyncio.timeout(self._timeout_s):
                    line = await reader.readline()
            except OSError as error:
                self.close()
                raise NoEngineError(self._path, _reason(error)) from error
            if not line:
                return
            yield decoded(line, News)

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _exchange(self, question: Question[Any]) -> bytes:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_unix_connection(
                self._path, limit=1 << 30
            )
        self._writer.write(encode_question(_told(question, self._via)))
        return await self._reader.readuntil(b"\n")


def _told(question: Question[Any], via: str) -> Question[Any]:
    """Return a question that says by which way it comes."""
    return question if question.via or not via else msgspec.structs.replace(question, via=via)


def _reason(error: BaseException) -> str:
    """Return in a few words why a connection failed."""
    if isinstance(error, FileNotFoundError):
        return "there is no socket"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, asyncio.IncompleteReadError):
        return "it closed the connection"
    return getattr(error, "strerror", None) or str(error)
