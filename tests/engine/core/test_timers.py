"""Deadlines fire once, in order, at the first tick that is not before them."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pilotage.core.timers import Timer, Timers

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("at"), st.integers(0, 50)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("pop"), st.integers(0, 20)),
    ),
    max_size=60,
)


class TestAgainstASortedList:
    @given(ACTIONS)
    def test_same_order(self, actions: list[tuple[str, int]]) -> None:
        """Whatever is set and cancelled, what fires is what a sorted list says."""
        timers = Timers()
        handles: list[Timer] = []
        fired: list[int] = []
        model: list[tuple[float, int]] = []
        expected: list[int] = []
        now = 0.0
        for what, number in actions:
            if what == "at":
                mark = len(handles)
                handles.append(timers.at(now + number, functools.partial(fired.append, mark)))
                model.append((now + number, mark))
            elif what == "cancel" and number < len(handles):
                handles[number].cancel()
                model = [m for m in model if m[1] != number]
            elif what == "pop":
                now += number
                while (action := timers.pop_due(now)) is not None:
                    action()
                expected += [mark for due, mark in sorted(model) if due <= now]
                model = [m for m in model if m[0] > now]
            assert timers.next_due() == (min(model)[0] if model else None)
        assert fired == expected


class TestMemory:
    def test_cancelled_are_forgotten(self) -> None:
        """A delay that is set and cancelled with every reading does not pile up until it would have been due."""
        timers = Timers()
        keeper: list[Timer] = [timers.at(1e9, lambda: None) for _ in range(10)]
        for second in range(20_000):
            timers.at(second + 3600.0, lambda: None).cancel()
        assert len(timers) < 1_000
        assert timers.next_due() == 1e9
        assert len(keeper) == 10

    def test_cancel_twice(self) -> None:
        """Cancelling what was cancelled, or has fired, changes nothing."""
        timers = Timers()
        fired: list[Any] = []
        first = timers.at(1.0, lambda: fired.append(1))
        timers.at(2.0, lambda: fired.append(2))
        action = timers.pop_due(1.0)
        assert action is not None
        first.cancel()
        first.cancel()
        assert timers.next_due() == 2.0
