"""The door of an isolated adapter: what it reports waits here until the engine's socket takes it.

While the engine takes less than the plugin tells, the newest reading of each point is kept, in order, and the others are counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from pilotage.model.messages import PointHandle
from pilotage.model.quality import Quality
from pilotage.runtime.isolation import wire

LIMIT: Final = 10_000
"""Above so many waiting readings, of each point only the newest is kept."""
LONGEST_TEXT: Final = 2_000
MOST_MESSAGES: Final = 10_000
MOST_REFUSALS: Final = 100

_Item = tuple[str, Any, int, float | None]


class RemoteDoor:
    """`pilotage.adapter.Door` in the process of an isolated adapter; used from its event loop only."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        """Make a door.

        Args:
            send: Gets the bytes of one message; called only while the socket takes more.
        """
        self._send = send
        self._waiting: list[_Item | wire.Message] = []
        self._messages = 0
        self._limit_now = LIMIT
        self._dropped = 0
        self._refusals: dict[tuple[str, str], int] = {}
        self._is_open = True
        self._flushing = False

    # ── what the adapter calls ───────────────────────────────────────────────────────────────

    def report(
        self,
        point: PointHandle,
        raw: Any,
        *,
        quality: Quality = Quality.GOOD,
        source_time: float | None = None,
    ) -> bool:
        """Take what a device reported; True, since the engine looks at it later."""
        if type(raw) is str and len(raw) > LONGEST_TEXT:
            raw = raw[:LONGEST_TEXT]  # as the engine does
        self._waiting.append((point.id, raw, wire.QUALITY_NUMBERS[quality], source_time))
        if len(self._waiting) > self._limit_now:
            self._conflate()
        if not self._flushing:
            self._flush_soon()
        return True

    def call_result(self, call: str, status: str, detail: str = "") -> None:
        """Hand in a service's answer."""
        self._put(wire.Answer(call, status, detail))

    def connected(self, detail: str = "") -> None:
        """Say that the connection is up."""
        self._put(wire.Connected(detail))

    def lost(self, points: Sequence[PointHandle], detail: str) -> None:
        """Say that these points cannot be heard now."""
        ids = [point.id for point in points]
        for start in range(0, max(1, len(ids)), wire.IDS):
            self._put(wire.Lost(ids[start : start + wire.IDS], detail))

    def refused(self, source: str, why: str) -> None:
        """Count a message that no binding understands; of many, some are told by name."""
        key = (str(source)[:200], str(why)[:500])
        if key not in self._refusals and len(self._refusals) >= MOST_REFUSALS:
            key = next(iter(self._refusals))
        self._refusals[key] = self._refusals.get(key, 0) + 1
        if not self._flushing:
            self._flush_soon()

    # ── what the link calls ──────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        """Return how much waits."""
        return len(self._waiting)

    def close(self) -> None:
        """Send nothing until `open`: the engine does not take more."""
        self._is_open = False

    def open(self) -> None:
        """Send on."""
        self._is_open = True
        self.flush()

    def flush(self) -> None:
        """Send what waits, in order, as far as the socket takes it."""
        self._flushing = False
        waiting, at = self._waiting, 0
        while self._is_open and at < len(waiting):
            at = self._send_from(at)
        del waiting[:at]
        if not waiting:
            self._limit_now = LIMIT
        if self._is_open and self._refusals:
            refusals, self._refusals = self._refusals, {}
            for (source, why), times in refusals.items():
                self._send(wire.encode(wire.Refused(source, why, times)))

    def _send_from(self, at: int) -> int:
        """Send one message, or some readings as one, and return where the next begins."""
        waiting, first = self._waiting, self._waiting[at]
        if isinstance(first, wire.Message):
            self._messages -= 1
            self._send(wire.encode(first))
            return at + 1
        end = at
        while end < len(waiting) and end - at < wire.READINGS and type(waiting[end]) is tuple:
            end += 1
        dropped, self._dropped = self._dropped, 0
        self._send_readings(waiting[at:end], dropped)  # type: ignore[arg-type]
        return end

    def _send_readings(self, items: list[_Item], dropped: int) -> None:
        try:
            self._send(wire.encode(wire.Readings(items, dropped)))
        except (TypeError, ValueError, OverflowError):
            for item in items:  # one of them cannot cross: it alone is refused
                self._send_one(item)

    def _send_one(self, item: _Item) -> None:
        try:
            self._send(wire.encode(wire.Readings([item], 0)))
        except (TypeError, ValueError, OverflowError) as error:
            point = item[0] if isinstance(item[0], str) else "a point"
            self.refused(point, f"{type(item[1]).__name__} is no value: {error}")

    def _put(self, message: wire.Message) -> None:
        if self._messages >= MOST_MESSAGES:
            raise OverflowError(f"{MOST_MESSAGES:,} messages wait already for the engine")
        self._messages += 1
        self._waiting.append(message)
        if not self._flushing:
            self._flush_soon()

    def _flush_soon(self) -> None:
        self._flushing = True
        asyncio.get_running_loop().call_soon(self.flush)

    def _conflate(self) -> None:
        kept = list(_newest(self._waiting))
        self._dropped += len(self._waiting) - len(kept)
        self._waiting = kept
        # With more different points than the limit, looking again at each reading would cost more than it frees.
        self._limit_now = max(LIMIT, 2 * len(kept))


def _newest(waiting: list[_Item | wire.Message]) -> Iterable[_Item | wire.Message]:
    """Return of each point the newest reading, in its place, and everything that is no reading."""
    newest: set[str] = set()
    kept: list[_Item | wire.Message] = []
    for item in reversed(waiting):
        if isinstance(item, tuple):
            if item[0] in newest:
                continue
            newest.add(item[0])
        kept.append(item)
    return reversed(kept)
