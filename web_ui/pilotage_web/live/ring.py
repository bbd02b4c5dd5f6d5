"""The last minute of events, encoded once for every browser: a ring with a number per event, and cursors into it.

A browser that is slow costs no memory: it has a cursor here and no queue, and who falls behind the ring starts anew.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MOST: Final = 1_260
"""A minute: twenty frames and one heartbeat a second."""


class Ring:
    """Events in order, as they stand in a stream.

    Attributes:
        epoch: Names the run in which the numbers count; a cursor of another epoch leads nowhere.
        last: Number of the newest event.
    """

    def __init__(self, epoch: str, most: int = MOST) -> None:
        """Begin at number 0, before the first event."""
        self.epoch = epoch
        self.last = 0
        self._events: deque[bytes] = deque(maxlen=most)
        self._kept: deque[tuple[int, float]] = deque(maxlen=most)
        # Browsers that keep pace miss the same: it is put together once for all of them.
        self._joined: tuple[int, int, bytes] = (0, 0, b"")

    def add(self, event: str, data: str, *, is_kept: bool = True, now: float = 0.0) -> bytes:
        """Add an event and return it as it is sent.

        Args:
            event: Its name.
            data: One line.
            is_kept: A browser that comes back asks for what followed it; False for heartbeats.
            now: When it comes, in seconds of any clock that never goes back.
        """
        self.last += 1
        if is_kept:
            self._kept.append((self.last, now))
        mark = f"id: {self.epoch}.{self.last}\n" if is_kept else ""
        encoded = f"{mark}event: {event}\ndata: {data}\n\n".encode()
        self._events.append(encoded)
        return encoded

    def since(self, number: int) -> bytes | None:
        """Return all events after a number, in order; None when they are not all here."""
        behind = self.last - number
        if behind == 1:
            return self._events[-1]
        if behind <= 0:
            return b"" if behind == 0 else None
        if behind > len(self._events):
            return None
        if self._joined[:2] != (number, self.last):
            joined = b"".join(self._events[index] for index in range(-behind, 0))
            self._joined = number, self.last, joined
        return self._joined[2]

    def missed_since(self, number: int) -> float | None:
        """Return when the oldest event came that a browser at a number has missed, heartbeats apart; None when it has all."""
        found = None
        for kept, at in reversed(self._kept):
            if kept <= number:
                break
            found = at
        return found

    def number_of(self, last_event_id: str) -> int | None:
        """Return the number that a browser saw last, or None when it is of another epoch, or no number of ours."""
        epoch, _, number = last_event_id.rpartition(".")
        if epoch != self.epoch or not number.isascii() or not number.isdigit():
            return None
        return int(number) if int(number) <= self.last else None
