"""Sixteen levels: the best demand wins, ties go to the combiner, and what waited returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.core.arbiter import Arbiter, Demand, PriorityArray
from pilotage.core.graph import Clock
from pilotage.core.store import Cell
from pilotage.core.timers import Timers
from pilotage.model.entities import Access, Combine, PointSpec
from pilotage.model.messages import Demanded, Override, ReleaseOverride, Relinquished
from pilotage.model.values import number

DEFAULT = 5.0


class Desk:
    """An arbiter with one point, and a clock turned by hand."""

    def __init__(self, combine: Combine = Combine.FIRST, on: float = 0.0, off: float = 0.0) -> None:
        spec = PointSpec(
            "level",
            number("%"),
            Access.BOTH,
            default=DEFAULT,
            combine=combine,
            min_on_s=on,
            min_off_s=off,
        )
        self.clock = Clock()
        self.events: list[Any] = []
        self.targets: list[tuple[float, Any, str, int]] = []
        self.conflicts: list[list[str]] = []
        self.timers = Timers()
        self.arbiter = Arbiter(self.timers, self.clock, self.events.append)
        self.arbiter.on_target = self.told
        self.arbiter.on_conflict = lambda cell, demands: self.conflicts.append(
            [d.owner for d in demands]
        )
        self.cell = Cell("L.level", spec)

    @property
    def now(self) -> float:
        return self.clock.now

    @now.setter
    def now(self, now: float) -> None:
        self.clock.now = now

    def told(self, array: PriorityArray) -> None:
        self.targets.append((self.now, array.wanted, array.owner, int(array.level)))

    def run_until(self, now: float) -> None:
        while (due := self.timers.next_due()) is not None and due <= now:
            self.now = max(due, self.now)
            while (action := self.timers.pop_due(self.now)) is not None:
                action()
            self.arbiter.settle()
        self.now = now

    def place(self, owner: str, level: int, value: float, until: float | None = None) -> None:
        self.arbiter.place(self.cell, Demand(owner, owner, level, value, "why", self.now, until))

    def settle(self) -> tuple[Any, str]:
        self.arbiter.settle()
        array = self.arbiter.array(self.cell)
        return (array.wanted, array.owner) if array.is_decided else (DEFAULT, "default")


@dataclass
class Wish:
    """A line in the naive model's list."""

    owner: str
    level: int
    value: float
    since: float
    number: int
    until: float | None


class Model:
    """A list of wishes, searched from one end to the other each time."""

    def __init__(self, combine: Combine, on: float, off: float) -> None:
        self.combine, self.on, self.off = combine, on, off
        self.wishes: list[Wish] = []
        self.number = 0
        self.wanted, self.owner = DEFAULT, "default"
        self.changed_at: float | None = None
        self.was_ever_wished = False

    def place(self, now: float, owner: str, level: int, value: float, until: float | None) -> None:
        for wish in self.wishes:
            if wish.owner == owner:
                if level == 8 and (wish.level, wish.value, wish.until) != (level, value, until):
                    self.number += 1
                    wish.number = self.number
                wish.level, wish.value, wish.until = level, value, until
                return
        self.number += 1
        self.wishes.append(Wish(owner, level, value, now, self.number, until))

    def leave(self, owner: str) -> None:
        self.wishes = [w for w in self.wishes if w.owner != owner]

    def expire(self, now: float) -> None:
        self.wishes = [w for w in self.wishes if w.until is None or w.until > now]

    def decide(self, now: float) -> None:
        self.was_ever_wished = self.was_ever_wished or bool(self.wishes)
        if not self.was_ever_wished:
            return
        value, owner, level = DEFAULT, "default", 17
        if self.wishes:
            level = min(w.level for w in self.wishes)
            peers = sorted(
                (w for w in self.wishes if w.level == level), key=lambda w: (w.since, w.number)
            )
            best = peers[0]
            for peer in peers[1:]:
                higher = self.combine is Combine.MAX and peer.value > best.value
                lower = self.combine is Combine.MIN and peer.value < best.value
                if higher or lower:
                    best = peer
            if level == 8:  # of overrides the newest order
                best = max(peers, key=lambda w: w.number)
            value, owner = best.value, best.owner
        least = self.off if self.wanted == DEFAULT else self.on
        first = self.changed_at is None
        if (
            self.changed_at is not None
            and value != self.wanted
            and level >= 6
            and now < self.changed_at + least
        ):
            self.owner = "minimum-time"
            return
        if first or value != self.wanted:
            self.changed_at = now
        self.wanted, self.owner = value, owner

    def deadlines(self) -> list[float]:
        moments = [w.until for w in self.wishes if w.until is not None]
        if self.changed_at is not None:
            moments += [self.changed_at + self.on, self.changed_at + self.off]
        return moments

    def run_until(self, now: float) -> None:
        last = -1.0
        while due := [d for d in self.deadlines() if last < d <= now]:
            last = min(due)
            self.expire(last)
            self.decide(last)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["place", "place", "place", "leave", "wait"]),
        st.sampled_from(["a", "b", "c", "operator"]),
        st.sampled_from([2, 5, 8, 14, 14, 16]),
        st.sampled_from([0.0, DEFAULT, 30.0, 80.0]),
        st.sampled_from([None, None, 7, 40]),
        st.integers(0, 25),
    ),
    max_size=25,
)


class TestAgainstAList:
    @settings(max_examples=600, deadline=None)
    @given(
        combine=st.sampled_from(list(Combine)),
        times=st.sampled_from([(0.0, 0.0), (0.0, 0.0), (60.25, 30.125)]),
        steps=STEPS,
    )
    def test_same_winner(
        self, combine: Combine, times: tuple[float, float], steps: list[Any]
    ) -> None:
        """Placed, changed, given up or expired in any order: value and owner are those of a plain search."""
        desk, model = Desk(combine, *times), Model(combine, *times)
        now = 0.0
        for what, owner, level, value, lasts, pause in steps:
            now += pause
            desk.run_until(now)
            model.run_until(now)
            until = None if lasts is None else now + lasts + 0.5
            if what == "place":
                desk.place(owner, level, value, until)
                model.place(now, owner, level, value, until)
            elif what == "leave":
                desk.arbiter.relinquish(desk.cell, owner)
                model.leave(owner)
            got = desk.settle()
            model.decide(now)
            assert got == (model.wanted, model.owner)
        desk.run_until(now + 500.0)
        model.run_until(now + 500.0)
        assert desk.settle() == (model.wanted, model.owner)

    @given(STEPS)
    def test_every_demand_has_its_end(self, steps: list[Any]) -> None:
        """The events alone rebuild the array: who placed and did not give up is still in it."""
        desk = Desk()
        for what, owner, level, value, lasts, pause in steps:
            desk.run_until(desk.now + pause)
            if what == "place":
                desk.place(owner, level, value, None if lasts is None else desk.now + lasts)
            elif what == "leave":
                desk.arbiter.relinquish(desk.cell, owner)
            desk.settle()
        standing: dict[str, float] = {}
        for event in desk.events:
            if isinstance(event, Demanded):
                standing[event.owner] = event.value
            elif isinstance(event, Relinquished):
                del standing[event.owner]
        assert standing == {o: d.value for o, d in desk.arbiter.array(desk.cell).demands.items()}


class TestLevels:
    def test_next_demand_takes_over(self) -> None:
        """When the most urgent demand leaves, the one below decides at once."""
        desk = Desk()
        desk.place("dusk", 15, 30.0)
        desk.place("operator", 8, 80.0)
        assert desk.settle() == (80.0, "operator")
        desk.arbiter.relinquish(desk.cell, "operator")
        assert desk.settle() == (30.0, "dusk")

    def test_untouched_point_is_left_alone(self) -> None:
        """A point that nobody ever demanded gets no target."""
        desk = Desk()
        desk.arbiter.touched[desk.cell] = None
        desk.settle()
        assert desk.targets == []

    def test_replaced_end(self) -> None:
        """An owner who asks again with a later end is not cut off at the first."""
        desk = Desk()
        desk.place("operator", 8, 80.0, until=10.0)
        desk.settle()
        desk.place("operator", 8, 80.0, until=100.0)
        desk.settle()
        desk.run_until(50.0)
        assert desk.settle() == (80.0, "operator")
        desk.run_until(101.0)
        assert desk.settle() == (DEFAULT, "default")


class TestTies:
    def test_older_keeps_it_and_both_are_named(self) -> None:
        """Without a combiner the older demand keeps the point, and the conflict ends with one of them."""
        desk = Desk(Combine.REFUSE)
        desk.place("works", 11, 30.0)
        desk.place("match", 11, 80.0)
        assert desk.settle() == (30.0, "works")
        assert desk.conflicts == [["works", "match"]]
        desk.arbiter.relinquish(desk.cell, "works")
        assert desk.settle() == (80.0, "match")
        assert desk.conflicts[-1] == []

    def test_a_changed_value_keeps_its_age(self) -> None:
        """Who changes its own demand does not lose its place."""
        desk = Desk(Combine.REFUSE)
        desk.place("works", 11, 30.0)
        desk.now = 1.0
        desk.place("match", 11, 80.0)
        desk.now = 2.0
        desk.place("works", 11, 40.0)
        assert desk.settle() == (40.0, "works")


class TestMinimumTimes:
    def test_waits_and_says_so(self) -> None:
        """Within its least time a point stays, at level 6; 60 s after the change the new winner gets it."""
        desk = Desk(on=60.0, off=30.0)
        desk.place("a", 14, 80.0)
        desk.settle()
        desk.run_until(10.0)
        desk.arbiter.relinquish(desk.cell, "a")
        assert desk.settle() == (80.0, "minimum-time")
        desk.run_until(59.9)
        assert desk.settle()[0] == 80.0
        desk.run_until(60.0)
        assert desk.settle() == (DEFAULT, "default")
        assert [t[0] for t in desk.targets] == [0.0, 10.0, 60.0]

    def test_urgent_levels_do_not_wait(self) -> None:
        """Levels 1 to 5 stand above the minimum times."""
        desk = Desk(on=60.0)
        desk.place("a", 14, 80.0)
        desk.settle()
        desk.place("fire", 5, 0.0)
        assert desk.settle() == (0.0, "fire")


class TestOverrides:
    def test_newest_counts(self, town: Callable[..., Any]) -> None:
        """Of several people's overrides the newest order counts, whatever the point's kind combines."""
        city = town({"L": {"kind": "lamp"}})
        end = city.start + 3600
        city.at(1, {}, Override("L.level", 80.0, "ann", "works", end))
        city.at(2, {}, Override("L.level", 40.0, "bob", "accident", end))
        assert (city.wanted("L.level"), city.by("L.level")) == (40.0, "operator bob")
        assert [cell.id for cell in city.engine.arbiter.by_hand] == ["L.level"]
        city.at(3, {}, Override("L.level", 20.0, "ann", "works", end))
        assert (city.wanted("L.level"), city.by("L.level")) == (20.0, "operator ann")
        city.at(4, {}, Override("L.level", 60.0, "cem", "accident", city.start + 5))
        city.at(6)
        assert city.by("L.level") == "operator ann"
        city.at(7, {}, ReleaseOverride("L.level", "bob"))
        assert city.by("L.level") == "default"
        assert not city.engine.arbiter.by_hand
