"""How often a device may be told, how much a connection may carry, and who fights about a point.

Nothing here sends: these are the counts that the reconciler asks before it does.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from pilotage.core.timers import Timer, Timers
from pilotage.model.entities import Rate

LOOP_TURNS: Final = 10
"""A point that is wanted differently more often than this within `LOOP_S`, by owners in turn, is fought about."""
LOOP_S: Final = 10.0
QUIET_S: Final = 30.0
"""A fight is over when nothing has turned for so long."""
SLICE_S: Final = 0.05
"""What waits for a connection leaves in slices, not one timer each."""


class Pace:
    """How often one device may be told: at most `rate.count` times within any `rate.per_s` seconds.

    Stricter than a token bucket, which lets up to twice as many through: the times of the last tellings are kept.
    """

    __slots__ = ("rate", "times")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.times: deque[float] = deque(maxlen=rate.count)

    def due(self, now: float) -> float:
        """Return when the device may be told next, not before now."""
        times = self.times
        return now if len(times) < self.rate.count else max(now, times[0] + self.rate.per_s)

    def note(self, now: float) -> None:
        """The device is being told."""
        self.times.append(now)


class Waiting(Protocol):
    """Who can wait at a gate: its place in the line, and how urgent it was when it took that."""

    gate: Gate | None
    rank: int
    ticket: int


class Now(Protocol):
    """What knows the time of the tick."""

    now: float


class Gate:
    """A token bucket for one connection; what is over it waits, the most urgent first, then in order of arrival.

    Attributes:
        tokens: Orders that may leave at once, as of `at`.
    """

    def __init__(
        self,
        rate: Rate,
        timers: Timers,
        clock: Now,
        release: Callable[[Any], bool],
    ) -> None:
        """Begin with a full bucket.

        Args:
            rate: Burst and the time in which it fills again.
            timers: Of the engine.
            clock: Time of the tick.
            release: Sends what waited; False when there was no more need, which costs nothing.
        """
        self.rate = rate
        self._speed = rate.count / rate.per_s
        self._burst = float(rate.count)
        self._timers = timers
        self._clock = clock
        self._release = release
        self._line: list[tuple[int, int, Any]] = []
        self._tickets = 0
        self._timer: Timer | None = None
        self.tokens = self._burst
        self.at = clock.now

    def __len__(self) -> int:
        """Return how many wait, those that have given up included."""
        return len(self._line)

    def passes(self) -> bool:
        """Take a token, unless there is none or others wait already."""
        self._fill()
        if self._line or self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def line_up(self, who: Waiting, level: int) -> None:
        """Let somebody wait; a place that was taken before is void."""
        self._tickets += 1
        who.ticket, who.rank, who.gate = self._tickets, level, self
        heapq.heappush(self._line, (level, self._tickets, who))
        self._wait()

    def close(self) -> list[Any]:
        """Let nobody through any more; return who waits, in order."""
        if self._timer is not None:
            self._timer.cancel()
        return [who for _, ticket, who in sorted(self._line, key=_place) if who.ticket == ticket]

    def _fill(self) -> None:
        now = self._clock.now
        self.tokens = min(self._burst, self.tokens + max(0.0, now - self.at) * self._speed)
        self.at = now

    def _wait(self) -> None:
        if self._timer is None:
            missing = max(0.0, 1.0 - self.tokens) / self._speed
            self._timer = self._timers.at(self._clock.now + max(missing, SLICE_S), self._open)

    def _open(self) -> None:
        self._timer = None
        self._fill()
        while self._line and self.tokens >= 1.0 - 1e-9:
            _, ticket, who = heapq.heappop(self._line)
            if who.ticket == ticket and self._release(who):
                self.tokens -= 1.0
        if self._line:
            self._wait()


def _place(entry: tuple[int, int, Any]) -> tuple[int, int]:
    return entry[:2]


class Fight:
    """Owners who want a point differently in turn, in quick succession.

    A list, not a deque: that takes half a kilobyte at least, and each lamp that is told something twice has a fight for a while.
    """

    __slots__ = ("is_loud", "last", "turns")

    def __init__(self) -> None:
        self.turns: list[tuple[float, str]] = []
        self.is_loud = False
        self.last = 0.0

    def turn(self, now: float, by: str) -> bool:
        """Count a turn; True when there are too many, and no single owner makes them."""
        self.last = now
        self.turns.append((now, by))
        del self.turns[: -LOOP_TURNS - 1]
        full = len(self.turns) > LOOP_TURNS and now - self.turns[0][0] <= LOOP_S
        return full and len(self.owners) > 1

    @property
    def owners(self) -> list[str]:
        """Who took part, in order of appearance."""
        return list(dict.fromkeys(by for _, by in self.turns))
