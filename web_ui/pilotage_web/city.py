"""The only door of the pages to the engine: questions over a few connections that are kept open."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, TypeVar

from pilotage import api

Answer = TypeVar("Answer")

CONNECTIONS: Final = 8
TIMEOUT_S: Final = 12.0
"""Longer than the engine takes to say that its disk is slow."""


class EngineAway(Exception):
    """The engine does not answer; `is_sent` says whether it may have got the question nevertheless."""

    def __init__(self, why: str, *, is_sent: bool) -> None:
        self.why = why
        self.is_sent = is_sent
        super().__init__(why)


class City:
    """Asks the engine; as many questions at once as there are connections, the others wait."""

    def __init__(self, socket: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        """Name the engine's socket; it may come later, and come again."""
        self.socket = socket
        self._clients = [api.AsyncClient(socket, timeout_s) for _ in range(CONNECTIONS)]
        self._free: asyncio.Queue[api.AsyncClient] = asyncio.Queue()
        for client in self._clients:
            self._free.put_nowait(client)

    async def ask(self, question: api.Question[Answer]) -> Answer:
        """Return the engine's answer.

        A connection that was left open may lead to an engine that is gone: what changes nothing is asked once more.

        Raises:
            EngineAway: No engine answers.
            ApiError: The engine refused the question.
        """
        client = await self._free.get()
        try:
            return await self._ask(client, question)
        finally:
            self._free.put_nowait(client)

    async def _ask(self, client: api.AsyncClient, question: api.Question[Answer]) -> Answer:
        try:
            return await client.ask(question)
        except api.NoEngineError as error:
            cause = error.__cause__
            if isinstance(cause, (FileNotFoundError, ConnectionRefusedError)):
                raise EngineAway(error.text, is_sent=False) from error
            if hasattr(question, "person") or isinstance(cause, TimeoutError):
                raise EngineAway(error.text, is_sent=True) from error
        try:
            return await client.ask(question)
        except api.NoEngineError as error:
            raise EngineAway(error.text, is_sent=False) from error

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients:
            client.close()
