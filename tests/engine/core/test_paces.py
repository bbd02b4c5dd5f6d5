"""How often a device is told, what a connection carries, and who is named when they fight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.core.graph import Clock
from pilotage.core.paces import Gate, Pace
from pilotage.core.timers import Timers
from pilotage.model.entities import Rate
from pilotage.model.messages import AlarmChanged, Command, Followed, Override, Reconnected

ARM = {
    "down-for-cars": {
        "for_each": {"b": {"kind": "barrier"}},
        "while": "b.car == true",
        "hold": [{"set": "b.arm", "to": "down", "priority": "service"}],
    },
    "relay-for-vans": {
        "for_each": {"b": {"kind": "barrier"}},
        "while": "b.van == true",
        "hold": [{"set": "b.relay", "to": "true", "priority": "service"}],
    },
}


def times(city: Any, point: str) -> list[float]:
    return [
        round(d.now - city.start, 3)
        for d in city.decisions
        for e in d.events
        if isinstance(e, Command) and e.point == point
    ]


@pytest.fixture
def barrier(town: Callable[..., Any]) -> Any:
    return town({"B": {"kind": "barrier", "arm": "up", "relay": False}}, rules=ARM)


class TestPace:
    @given(
        st.integers(1, 4), st.floats(0.5, 60), st.lists(st.floats(0, 20), min_size=1, max_size=60)
    )
    def test_no_window_holds_more(self, count: int, per_s: float, gaps: list[float]) -> None:
        """However tellings are asked for, no stretch of `per_s` holds more than `count`."""
        pace, now, told = Pace(Rate(count, per_s)), 1_768_518_000.0, []
        for gap in gaps:
            now = pace.due(now + gap)
            pace.note(now)
            told.append(now)
        for first, last in zip(told, told[count:], strict=False):
            assert last - first >= per_s - 1e-6


class TestDevice:
    def test_newest_waits(self, barrier: Any) -> None:
        """Over the rate the newest want waits, and is told when it may be; those between are not."""
        barrier.at(0, {"B.car": True})
        barrier.at(4, {"B.arm": "down"})
        barrier.at(5, {"B.car": False})
        barrier.at(6, {"B.car": True})
        barrier.at(7, {"B.car": False})
        assert times(barrier, "B.arm") == [0]
        barrier.at(10.1)
        assert times(barrier, "B.arm") == [0, 10]
        assert [c.value for c in barrier.events(Command)] == ["down", "up"]

    def test_needless_in_the_end(self, barrier: Any) -> None:
        """Who wants again what the device does already while it waits, is not told."""
        barrier.at(0, {"B.car": True})
        barrier.at(4, {"B.arm": "down"})
        barrier.at(5, {"B.car": False})
        barrier.at(6, {"B.car": True})
        barrier.at(30)
        assert times(barrier, "B.arm") == [0]
        assert barrier.engine.explainer.point("B.arm").pursuit == "done"

    def test_operators_too(self, barrier: Any) -> None:
        """An operator waits as well: a motor does not know who asks."""
        barrier.at(0, {"B.car": True})
        barrier.at(4, {"B.arm": "down"})
        end = barrier.start + 600
        barrier.at(5, {}, Override("B.arm", "up", "ann", "van", end))
        assert times(barrier, "B.arm") == [0]
        barrier.at(11)
        assert times(barrier, "B.arm") == [0, 10]

    def test_retries_count(self, barrier: Any) -> None:
        """A device that does not follow is not told faster than its rate either."""
        barrier.at(0, {"B.car": True})
        barrier.at(200)
        assert times(barrier, "B.arm") == [0, 10, 20]

    def test_one_end_each(self, barrier: Any) -> None:
        """Commands that a rate holds back leave none before them without an end."""
        for second in range(300):
            barrier.at(second, {"B.car": second % 3 == 0, "B.van": second % 2 == 0})
        barrier.at(400, {"B.arm": "up", "B.relay": False})
        sent = [c.id for c in barrier.events(Command)]
        ended = [e.command for e in barrier.events(Followed) if e.command]
        assert sorted(sent) == sorted(ended)
        assert len(set(sent)) == len(sent) > 30

    def test_several_per_window(self, barrier: Any) -> None:
        """Three a minute are three a minute, wherever the minute begins."""
        for second in range(200):
            barrier.at(second, {"B.van": second % 2 == 0})
        told = times(barrier, "B.relay")
        assert len(told) == 12
        assert all(b - a >= 60 for a, b in zip(told, told[3:], strict=False))


class TestFights:
    RULES: ClassVar[dict[str, Any]] = {
        "echo": {
            "for_each": {"lamp": {"kind": "lamp"}},
            "while": "lamp.power > 50 W",
            "hold": [{"set": "lamp.mode", "to": "eco", "priority": "saving"}],
        },
    }

    def test_named(self, town: Callable[..., Any]) -> None:
        """More than ten turns in ten seconds raise one alarm that names both sides; it ends when they rest."""
        city = town({"L": {"kind": "lamp", "power": 0.0, "mode": "auto"}}, rules=self.RULES)
        for turn in range(12):
            city.at(turn * 0.8, {"L.power": 100.0 if turn % 2 == 0 else 0.0})
        assert city.alarm("fighting[L.mode]") == "raised"
        (alarm,) = [e for e in city.events(AlarmChanged) if e.alarm == "fighting[L.mode]"]
        assert alarm.text.startswith(
            "default and echo want L.mode differently in turn, more than 10 times"
        )
        city.at(60)
        assert city.alarm("fighting[L.mode]") == "cleared"

    def test_slower_is_no_fight(self, town: Callable[..., Any]) -> None:
        """Ten turns in ten seconds are allowed."""
        city = town({"L": {"kind": "lamp", "power": 0.0, "mode": "auto"}}, rules=self.RULES)
        for turn in range(40):
            city.at(turn * 1.01, {"L.power": 100.0 if turn % 2 == 0 else 0.0})
        assert city.alarm("fighting[L.mode]") == "normal"


class Waiter:
    gate: Gate | None = None
    rank = ticket = 0


class TestGate:
    @given(st.integers(1, 50), st.floats(0.1, 10), st.lists(st.integers(0, 17), max_size=80))
    @settings(max_examples=60)
    def test_all_leave_in_order(self, count: int, per_s: float, levels: list[int]) -> None:
        """Everybody leaves, the urgent first, never faster than the bucket fills."""
        timers, clock = Timers(), Clock()
        clock.now = 1_768_518_000.0
        left: list[tuple[float, Any]] = []

        def release(who: Any) -> bool:
            left.append((clock.now, who))
            return True

        gate = Gate(Rate(count, per_s), timers, clock, release)
        start = clock.now
        waiting: list[Waiter] = []
        for level in levels:
            if gate.passes():
                left.append((start, None))
            else:
                waiting.append(Waiter())
                gate.line_up(waiting[-1], level)
        while (due := timers.next_due()) is not None:
            clock.now = due
            while (action := timers.pop_due(due)) is not None:
                action()
        assert len(left) == len(levels)
        order = [who for _, who in left if who is not None]
        assert order == sorted(order, key=lambda w: (w.rank, w.ticket))
        for n, (time, _) in enumerate(left, start=1):
            assert n <= count + (time - start) * count / per_s + 1e-3

    def dusk(self, town: Callable[..., Any], lamps: int) -> Any:
        rules = {
            "dusk": {
                "for_each": {"lamp": {"kind": "lamp"}},
                "while": "any(street, where=street.a == true)",
                "hold": [{"set": "lamp.level", "to": "30 %", "priority": "saving"}],
            }
        }
        things = {f"L{n}": {"kind": "lamp", "level": 100.0} for n in range(lamps)}
        city = town({"s1": {"kind": "street"}, **things}, rules=rules)
        city.engine.reconciler.connections = {f"L{n}.level": "street" for n in range(lamps)}
        city.engine.reconciler.connection_rates = {"street": Rate(20, 2.0)}
        return city

    def test_dusk(self, town: Callable[..., Any]) -> None:
        """A connection that carries ten a second gets ten a second, after a burst; each with a fresh deadline."""
        city = self.dusk(town, 200)
        city.at(1, {"s1.a": True})
        assert len(city.events(Command)) == 20
        for tenth in range(20, 250):
            city.at(tenth / 10, {c.point: c.value for c in city.sent()})
        commands = city.events(Command)
        assert len({c.point for c in commands}) == len(commands) == 200
        for d in city.decisions:
            for c in d.outgoing:
                assert c.deadline == d.now + 5
        assert 18.0 <= city.decisions[-1].now - city.start <= 19.5 + 1

    def test_urgent_first(self, town: Callable[..., Any]) -> None:
        """An operator does not wait behind the dusk."""
        city = self.dusk(town, 200)
        city.at(1, {"s1.a": True})
        city.at(1.01, {}, Override("L199.level", 70.0, "ann", "x", city.start + 600))
        city.at(1.3)
        assert ("L199.level", 70.0) in [(c.point, c.value) for c in city.events(Command)]

    def test_no_herd(self, town: Callable[..., Any]) -> None:
        """When a connection is back, 3,000 points are told within seconds, not in one instant."""
        city = self.dusk(town, 3_000)
        city.engine.reconciler.connections = {}
        city.at(1, {"s1.a": True})
        city.at(30)
        city.sent()
        city.at(31, {}, Reconnected(tuple(f"L{n}.level" for n in range(3_000))))
        assert len(city.sent()) == 1_000
        city.at(34)
        assert len({c.point for c in city.sent()}) == 2_000
