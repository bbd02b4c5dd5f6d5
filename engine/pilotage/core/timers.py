"""What is due, as absolute deadlines, in order; equal deadlines fire in the order they were set."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Timer:
    """A deadline with something to do; a cancelled one does nothing."""

    __slots__ = ("action", "due")

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Forget it."""
        self.action = None


class Timers:
    """All deadlines of the engine."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0

    def at(self, due: float, action: Callable[[], None]) -> Timer:
        """Do something at a time (seconds since 1970), at the first tick that is not before it."""
        timer = Timer(due, action)
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, timer))
        return timer

    def next_due(self) -> float | None:
        """Return the next deadline, or None when nothing is due ever."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> Callable[[], None] | None:
        """Take out the first action that is due, or None."""
        due = self.next_due()
        if due is None or due > now:
            return None
        timer = heapq.heappop(self._heap)[2]
        action, timer.action = timer.action, None
        return action

    def __len__(self) -> int:
        """Return how many deadlines are kept, cancelled ones included."""
        return len(self._heap)
