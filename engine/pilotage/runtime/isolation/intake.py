"""What an isolated adapter tells comes to its door here: a little at a time, and not faster than its points may speak.

A plugin that talks without end costs the engine a bounded share of its time: the socket is not read while enough waits, and the
plugin's side keeps the newest of each point.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from pilotage.adapter import Site
from pilotage.runtime.inbox import ConnectionDoor
from pilotage.runtime.isolation import wire

SLICE_S: Final = 0.0005
"""Time that may be spent in one turn of the event loop."""
BETWEEN_LOOKS: Final = 16  # readings, some 50 µs
ENOUGH: Final = 1_000  # waiting readings above which the socket is not read
RATE: Final = 500.0
"""Messages a second that a connection may send on average, and …"""
RATE_PER_POINT: Final = 10.0
"""… readings a second for each of its points."""
COST: Final = 20.0
"""What another message costs, in readings."""
BYTES: Final = 256
"""Bytes that cost as much as a reading."""

_Job = tuple[str, Any, int, float | None] | wire.Message | Callable[[], None]


class Intake:
    """The way of one child's messages to the door of its connection; used from the event loop only."""

    def __init__(
        self, door: ConnectionDoor, site: Site, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self.is_paused = False
        self._door = door
        self._site = site
        self._steady = steady
        self._waiting: deque[_Job] = deque()
        self._transport: asyncio.Transport | None = None
        self._turn: asyncio.Handle | None = None
        self._points = 0
        self._tokens = RATE
        self._filled_at = steady()
        self._is_closed = False

    def start(self, transport: asyncio.Transport) -> None:
        """Read from this transport, or not."""
        self._transport = transport

    def expect(self, points: int) -> None:
        """Take it that the connection has so many points, and let each of them speak at once."""
        self._points = max(self._points, points)
        self._tokens = max(self._tokens, RATE + 2.0 * self._points)

    def charge(self, length: int) -> None:
        """Note that so many bytes came: long messages cost more than short ones."""
        self._tokens -= length / BYTES

    def close(self) -> None:
        """Take nothing any more."""
        self._is_closed = True
        self._waiting.clear()
        if self._turn is not None:
            self._turn.cancel()

    def take(self, job: wire.Message | Callable[[], None]) -> None:
        """Take a message, or what has to be done after those before it."""
        if isinstance(job, wire.Readings):
            self._waiting.extend(job.items)
            if job.dropped:
                self._door.dropped(job.dropped)
        else:
            self._waiting.append(job)
        if self._turn is None:
            self._work()

    # ── a turn ───────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        self._turn = None
        wait_s = self._hand_in()
        if self._is_closed or self._transport is None:
            return
        if self._waiting:
            loop = asyncio.get_running_loop()
            self._turn = (
                loop.call_later(wait_s, self._work) if wait_s else loop.call_soon(self._work)
            )
        self._listen(len(self._waiting) <= ENOUGH)

    def _hand_in(self) -> float:
        """Hand in for as long as a turn may take; return how long to wait for the right to speak again, 0 for none."""
        waiting, end, number = self._waiting, time.perf_counter() + SLICE_S, 0
        self._fill()
        while waiting:
            if self._tokens < 1.0:
                return min(0.05, 20.0 / self._rate)
            number += self._hand_over(waiting.popleft())
            if number >= BETWEEN_LOOKS:
                number = 0
                if time.perf_counter() > end:
                    return 0.0
        return 0.0

    def _hand_over(self, job: _Job) -> int:
        """Give one thing to the door."""
        if isinstance(job, tuple):
            self._tokens -= 1.0
            self._report(*job)
            return 1
        self._tokens -= COST
        match job:
            case wire.Connected():
                self._door.connected(job.detail)
            case wire.Lost():
                points = [p for id_ in job.points if (p := self._site.point(id_)) is not None]
                self._door.lost(points, job.detail)
            case wire.Answer():
                self._door.call_result(job.call, job.status, job.detail)
            case wire.Refused():
                self._door.refused(job.source, job.why, job.times)
            case _ if callable(job):
                job()
        return BETWEEN_LOOKS

    def _report(self, id_: str, raw: Any, quality: int, source_time: float | None) -> None:
        point = self._site.point(id_)
        if point is None or not 0 <= quality < len(wire.QUALITIES):
            self._door.refused(
                id_[:100], "there is no such point" if point is None else "no quality"
            )
            return
        self._door.report(point, raw, quality=wire.QUALITIES[quality], source_time=source_time)

    def _listen(self, ready: bool) -> None:
        if ready is not self.is_paused or self._transport is None or self._transport.is_closing():
            return
        self.is_paused = not ready
        if ready:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    # ── how much it may say ──────────────────────────────────────────────────────────────────

    @property
    def _rate(self) -> float:
        return RATE + RATE_PER_POINT * self._points

    def _fill(self) -> None:
        now = self._steady()
        self._points = max(self._points, self._door.heard_points)
        most = RATE + 2.0 * self._points
        self._tokens = min(most, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
