"""How the partitions of one process tell each other what they read of one another.

At least once, and in order per pair: a message waits until its reader took it. Belongs to the event loop.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

MOST_WAITING: Final = 100_000

Receive = Callable[[str, int, int, bytes], None]

log = logging.getLogger("pilotage.exchange")


class ExchangeFullError(Exception):
    """A reader takes nothing any more, and too much waits for it."""


@dataclass(slots=True)
class _Pair:
    """What waits for one reader of one source."""

    waiting: deque[tuple[str, int, int, bytes]] = field(default_factory=deque)
    is_delivering: bool = False


class LocalExchange:
    """The exchange between partitions of one process."""

    def __init__(
        self, reads: Mapping[str, Collection[str]], most_waiting: int = MOST_WAITING
    ) -> None:
        """Say who reads from whom.

        Args:
            reads: For each partition, the partitions that it reads from.
            most_waiting: How many messages may wait for one reader of one source.
        """
        self._most_waiting = most_waiting
        self._receivers: dict[str, Receive] = {}
        self._pairs = {
            (source, reader): _Pair() for reader, sources in reads.items() for source in sources
        }

    def publish(self, source: str, epoch: int, sequence: int, message: bytes) -> None:
        """Hand a message to all partitions that read from `source`; those that cannot take it now get it later.

        Raises:
            ExchangeFullError: A reader has not taken anything for long; nobody got the message.
        """
        pairs = {reader: pair for (of, reader), pair in self._pairs.items() if of == source}
        for reader, pair in pairs.items():
            if len(pair.waiting) >= self._most_waiting:
                raise ExchangeFullError(
                    f"{len(pair.waiting)} messages of {source} wait for {reader}, which takes none"
                )
        for pair in pairs.values():
            pair.waiting.append((source, epoch, sequence, message))
        for reader, pair in pairs.items():
            self._deliver(reader, pair)

    def subscribe(self, partition: str, receive: Receive) -> None:
        """Have `receive(source, epoch, sequence, message)` called for all that the partition reads, from what waits on.

        When it raises, the message stays, and is delivered again with the next one or at the next `deliver`.
        """
        self._receivers[partition] = receive
        self.deliver()

    def deliver(self) -> None:
        """Try again what readers could not take."""
        for (_, reader), pair in self._pairs.items():
            self._deliver(reader, pair)

    def _deliver(self, reader: str, pair: _Pair) -> None:
        receive = self._receivers.get(reader)
        if receive is None or pair.is_delivering:  # a reader that publishes comes back here
            return
        pair.is_delivering = True
        try:
            while pair.waiting:
                receive(*pair.waiting[0])
                pair.waiting.popleft()
        except Exception:
            log.exception(
                "%s could not take a message; it is delivered again",
                reader,
                extra={"event": "exchange.failed"},
            )
        finally:
            pair.is_delivering = False


class Sieve:
    """Drops what a reader had already, and what an earlier owner of a source still says."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[int, int]] = {}

    def is_new(self, source: str, epoch: int, sequence: int) -> bool:
        """Return whether a message says something that was not heard before, and remember it."""
        if (epoch, sequence) <= self._heard.get(source, (-1, -1)):
            return False
        self._heard[source] = (epoch, sequence)
        return True
