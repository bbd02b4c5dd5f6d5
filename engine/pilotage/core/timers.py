"""What is due, as absolute deadlines, in order; equal deadlines fire in the order they were set."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Any, Final

FEW: Final = 256
"""So many cancelled deadlines may lie about; above, they are swept out when they are the greater part."""


class Due:
    """What is to be done with one thing when its time has come: a sixth of what `functools.partial` takes, for who has 100,000."""

    __slots__ = ("action", "thing")

    def __init__(self, action: Callable[[Any], None], thing: Any) -> None:
        self.action = action
        self.thing = thing

    def __call__(self) -> None:
        """Do it."""
        self.action(self.thing)


class Timer:
    """A deadline with something to do; a cancelled one does nothing."""

    __slots__ = ("_timers", "action", "due")

    def __init__(self, due: float, action: Callable[[], None], timers: Timers) -> None:
        self.due = due
        self.action: Callable[[], None] | None = action
        self._timers = timers

    def cancel(self) -> None:
        """Forget it."""
        if self.action is not None:
            self.action = None
            self._timers.note_cancelled()


class Timers:
    """All deadlines of the engine."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self.first = math.inf
        """Nothing is due before this; a cancelled deadline may still stand here."""
        self._cancelled = 0

    def at(self, due: float, action: Callable[[], None]) -> Timer:
        """Do something at a time (seconds since 1970), at the first tick that is not before it."""
        timer = Timer(due, action, self)
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, timer))
        self.first = self._heap[0][0]
        return timer

    def next_due(self) -> float | None:
        """Return the next deadline, or None when nothing is due ever."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> Callable[[], None] | None:
        """Take out the first action that is due, or None."""
        due = self.next_due()
        if due is None or due > now:
            return None
        timer = heapq.heappop(self._heap)[2]
        self.first = self._heap[0][0] if self._heap else math.inf
        action, timer.action = timer.action, None
        return action

    def note_cancelled(self) -> None:
        """Sweep out what was cancelled when it has become the greater part: delays come and go with every reading."""
        self._cancelled += 1
        if self._cancelled > FEW and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def __len__(self) -> int:
        """Return how many deadlines are kept, cancelled ones included."""
        return len(self._heap)
