"""Counts how often alarms come: a day back, minute by minute, from the decisions as they are committed.

Starts anew with the engine: `since` says from when on it has counted.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from pilotage.model.messages import AlarmChanged, Decision

MINUTE_S: Final = 60.0
DAY_MINUTES: Final = 1_440
RAISED: Final = "raised"


class AlarmCounts:
    """Alarms by declaration, per minute of the last day."""

    def __init__(self, since: float) -> None:
        self.since = since
        self._minutes: deque[tuple[int, dict[str, int]]] = deque(maxlen=DAY_MINUTES + 1)

    def take(self, decision: Decision) -> None:
        """Count the alarms that a decision raised."""
        for event in decision.events:
            if type(event) is AlarmChanged and event.after == RAISED:
                counts = self._minute(decision.now)
                name = event.alarm.partition("[")[0]
                counts[name] = counts.get(name, 0) + 1

    def _minute(self, now: float) -> dict[str, int]:
        minute = int(now // MINUTE_S)
        if not self._minutes or self._minutes[-1][0] < minute:
            self._minutes.append((minute, {}))
        return self._minutes[-1][1]

    def within(self, seconds: float, now: float) -> dict[str, int]:
        """Return how often each alarm came in the last so many seconds, to the minute."""
        first = int((now - seconds) // MINUTE_S)
        found: dict[str, int] = {}
        for minute, counts in self._minutes:
            if minute > first:
                for name, count in counts.items():
                    found[name] = found.get(name, 0) + count
        return found
