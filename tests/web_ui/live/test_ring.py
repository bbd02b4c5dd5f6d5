"""The ring: events in order, cursors that lead back a minute, and nothing that grows."""

from __future__ import annotations

import pytest

from pilotage_web.live.hub import base36
from pilotage_web.live.ring import Ring


class TestSince:
    def test_all_that_was_missed(self) -> None:
        """A cursor gives everything after it, in order, as it was encoded once."""
        ring = Ring("e")
        first = ring.add("s", "a0")
        second = ring.add("t", "{}")
        assert ring.since(0) == first + second
        assert ring.since(1) == second
        assert ring.since(2) == b""

    def test_put_together_once(self) -> None:
        """Who misses the same gets the same bytes; an event more, or less, makes others of them."""
        ring = Ring("e")
        first, second = ring.add("s", "a0"), ring.add("s", "a1")
        assert ring.since(0) is ring.since(0)
        third = ring.add("s", "a2")
        assert ring.since(0) == first + second + third
        assert ring.since(1) == second + third

    def test_as_a_stream_has_it(self) -> None:
        """An event has its number, its name and one line; a heartbeat has no number to come back to."""
        ring = Ring("e")
        assert ring.add("s", "a0") == b"id: e.1\nevent: s\ndata: a0\n\n"
        assert ring.add("hb", "{}", is_kept=False) == b"event: hb\ndata: {}\n\n"

    def test_too_far_behind(self) -> None:
        """What has left the ring is gone: the cursor gives None, and the ring has not grown."""
        ring = Ring("e", most=3)
        for number in range(10):
            ring.add("s", str(number))
        assert ring.since(6) is None
        assert ring.since(7) is not None
        assert len(ring._events) == 3

    def test_ahead(self) -> None:
        """A number that is not there yet leads nowhere."""
        assert Ring("e").since(5) is None


class TestNumber:
    @pytest.mark.parametrize(
        ("last", "number"),
        [("e.1", 1), ("e.0", 0), ("e.3", None), ("f.1", None), ("", None), ("e.", None)],
    )
    def test_of_last_event_id(self, last: str, number: int | None) -> None:
        """A number counts in its own epoch only."""
        ring = Ring("e")
        ring.add("s", "a0")
        ring.add("s", "a0")
        assert ring.number_of(last) == number

    @pytest.mark.parametrize("hostile", ["e.-1", "e.1e9", "e.٣", "e.1\n", "..", "e.99999999999"])
    def test_hostile(self, hostile: str) -> None:
        """What no event of ours had is no number."""
        assert Ring("e").number_of(hostile) is None


def test_base36() -> None:
    """As a browser's `parseInt(text, 36)` reads it."""
    assert [base36(n) for n in (0, 35, 36, 33_999)] == ["0", "z", "10", "q8f"]
    assert all(int(base36(n), 36) == n for n in range(0, 50_000, 7))


class TestMissed:
    def test_since(self) -> None:
        """A browser that lacks an event misses news since the oldest one that it lacks; heartbeats are no news."""
        ring = Ring("e")
        for second in range(3):
            ring.add("s", "a0", now=float(second))
        ring.add("hb", "{}", is_kept=False, now=9.0)
        assert [ring.missed_since(number) for number in range(5)] == [0.0, 1.0, 2.0, None, None]
