"""Flood control of one connection: past a rate, of each point the newest reading is kept for a moment and the others are dropped.

Costs two comparisons a reading as long as nothing is near a bound. What is dropped is counted, named, and never in the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from pilotage.model.diagnostics import Severity
from pilotage.model.messages import Reading
from pilotage.ports import HealthLog

WINDOW_S: Final = 1.0
PAUSE_S: Final = 0.1
"""How long the newest readings wait, and how often they are handed on meanwhile."""
QUIET_S: Final = 5.0
"""A flood is over when nothing was dropped for so long."""


class FloodGate:
    """Decides of each reading whether it passes now, in its turn, or not at all; used from the event loop only."""

    def __init__(
        self,
        name: str,
        put: Callable[[Reading], None],
        health: HealthLog,
        most: float,
        most_of_point: float,
        steady: Callable[[], float],
    ) -> None:
        """Open a gate.

        Args:
            name: Of the connection.
            put: Takes what passes.
            health: Where a flood is told.
            most: Readings a second of the connection.
            most_of_point: Readings a second of one point.
            steady: A clock that never goes back, in real seconds.
        """
        self._name = name
        self._put = put
        self._health = health
        self._most = most
        self._most_of_point = most_of_point
        self._steady = steady
        self._near = int(min(most, most_of_point))
        self._unseen = self._near
        self._since = steady()
        self._points: dict[str, int] = {}
        self._passed = 0
        self._late: dict[str, Reading] = {}
        self._dropped_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def take(self, reading: Reading) -> None:
        """Take a reading that was admitted."""
        if self._unseen > 0:  # so few since the last look cannot be too many for anything
            self._unseen -= 1
            self._put(reading)
            return
        now = self._steady()
        if now - self._since >= WINDOW_S:
            self._begin(now)
            self._put(reading)
        elif self._is_too_much(reading.point.id):
            self._keep(reading, now)
        else:
            if self._late:
                self._late.pop(reading.point.id, None)
            self._put(reading)

    def hand_on(self) -> None:
        """Let the newest readings pass that have waited."""
        late, self._late = self._late, {}
        for reading in late.values():
            self._put(reading)

    def _begin(self, now: float) -> None:
        self.hand_on()
        self._since, self._unseen, self._passed = now, self._near, self._near
        self._points.clear()

    def _is_too_much(self, point: str) -> bool:
        seen = self._points[point] = self._points.get(point, 0) + 1
        self._passed += 1
        return self._passed > self._most or seen > self._most_of_point

    def _keep(self, reading: Reading, now: float) -> None:
        """Keep a reading in place of an older one of its point."""
        point = reading.point.id
        if point in self._late:
            self._health.count(f"conflated.{self._name}")
            self._told(point, now)
        self._late[point] = reading
        if self._timer is None:
            with contextlib.suppress(RuntimeError):
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(PAUSE_S, self._look)

    def _told(self, point: str, now: float) -> None:
        self._dropped_at = now
        is_point = self._points[point] > self._most_of_point
        much = (
            f"{point} tells more than {self._most_of_point:g} readings a second"
            if is_point
            else f"it tells more than {self._most:g} readings a second"
        )
        self._health.raised(
            f"flood.{self._name}",
            f"connection {self._name} is flooded: {much}; the newest of each point is kept",
            "look after the device; raise max_readings or max_point_readings of the connection if that is how it must be",
            Severity.WARNING,
        )

    def _look(self) -> None:
        self.hand_on()
        self._timer = None
        if self._steady() - self._dropped_at < QUIET_S:
            self._timer = asyncio.get_running_loop().call_later(PAUSE_S, self._look)
        else:
            self._health.cleared(f"flood.{self._name}")
