"""What the engine answered last, for as long as the list that it is about has not changed: an alarm is no reason to ask for the plans."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from pilotage import api
from pilotage_web.live.hub import Hub

Answer = TypeVar("Answer")


class Answers:
    """Asks the engine once per version of a list."""

    def __init__(self, hub: Hub, ask: Callable[[api.Question[Any]], Awaitable[Any]]) -> None:
        """Take who knows the versions, and the door to the engine."""
        self._hub = hub
        self._ask = ask
        self._kept: dict[api.Question[Any], tuple[Hashable, asyncio.Future[Any]]] = {}

    async def ask(self, topic: str, question: api.Question[Answer]) -> Answer:
        """Return the answer to a question that nothing changes but what changes a list.

        Raises:
            EngineAway: No engine answers.
            ApiError: The engine refused; nothing is kept.
        """
        version = self._hub.looks_of, self._hub.lists.get(topic)
        kept = self._kept.get(question)
        if kept is None or kept[0] != version:
            asking = asyncio.ensure_future(self._ask(question))
            self._kept[question] = kept = version, asking
        try:
            answer: Answer = await asyncio.shield(kept[1])
        except BaseException:
            if kept[1].done() and self._kept.get(question) is kept:
                del self._kept[question]
            raise
        return answer
