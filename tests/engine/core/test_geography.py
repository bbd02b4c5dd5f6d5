"""Moving sets: in within the distance, out 20 % beyond it, against measuring everything."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.core import geography
from pilotage.language.functions import metres_between

RADIUS = 150.0
DEGREE_M = math.pi / 180 * 6_371_008.8
HOME = (47.32, 5.04)


def place(east: float, north: float) -> list[float]:
    """Return the position so many metres from home."""
    return [
        HOME[0] + north / DEGREE_M,
        HOME[1] + east / (DEGREE_M * math.cos(math.radians(HOME[0]))),
    ]


JUNCTIONS = {"J1": (0.0, 0.0), "J2": (200.0, 0.0), "J3": (-1000.0, 900.0)}
THINGS: dict[str, Any] = {
    **{j: {"kind": "junction", "position": place(*at)} for j, at in JUNCTIONS.items()},
    **{f"bus-{i}": {"kind": "bus"} for i in range(4)},
}
RULES = {
    "near": {
        "for_each": {
            "junction": {"kind": "junction"},
            "bus": {"kind": "bus", "within": "150 m", "of": "junction"},
        },
        "while": "known(bus.position) or not known(bus.position)",
        "hold": [{"request": "junction.priority", "for": "bus", "priority": "service"}],
    }
}
METRES = st.one_of(st.floats(-400.0, 400.0), st.sampled_from([-1000.0, 900.0, 5000.0]))
MOVES = st.lists(
    st.tuples(st.integers(0, 3), st.one_of(st.none(), st.tuples(METRES, METRES))), max_size=40
)


class TestAgainstMeasuring:
    @settings(max_examples=150, deadline=None)
    @given(MOVES)
    def test_same_pairs(self, town: Callable[..., Any], moves: list[Any]) -> None:
        """Who is with whom is what measuring all distances gives, with the wider band on the way out."""
        city = town(THINGS, rules=RULES)
        inside: set[str] = set()
        for second, (bus, where) in enumerate(moves, start=1):
            city.at(second, {f"bus-{bus}.position": None if where is None else place(*where)})
            for junction, at in JUNCTIONS.items():
                if where is None:
                    continue
                pair, gap = f"{junction}, bus-{bus}", math.dist(at, where)
                if abs(gap - RADIUS) < 0.1 or abs(gap - 1.2 * RADIUS) < 0.1:
                    return  # the earth is round: a decimetre is not worth an argument
                if gap <= RADIUS:
                    inside.add(pair)
                elif gap > 1.2 * RADIUS:
                    inside.discard(pair)
            assert {i.label for i in city.engine.evaluator.instances("near")} == inside


class TestBothMove:
    @settings(max_examples=100, deadline=None)
    @given(MOVES)
    def test_same_pairs(self, town: Callable[..., Any], moves: list[Any]) -> None:
        """Around a middle that moves among others that move, too, the pairs are what measuring gives."""
        each = {
            "bus": {"kind": "bus", "where": 'bus.id == "bus-0"'},
            "other": {"kind": "bus", "within": "150 m", "of": "bus"},
        }
        greet = {"notify": {"to": "crew", "text": "hello"}}
        city = town(THINGS, rules={"meet": {"for_each": each, "when": "enters", "do": [greet]}})
        places: dict[str, tuple[float, float]] = {}
        middle: Any = None  # stays where it was last seen
        inside: set[str] = set()
        for second, (bus, where) in enumerate(moves, start=1):
            city.at(second, {f"bus-{bus}.position": None if where is None else place(*where)})
            if where is None:
                places.pop(f"bus-{bus}", None)
                continue
            places[f"bus-{bus}"] = where
            middle = where if bus == 0 else middle
            for other in [o for o in places if middle and bus in (0, int(o[-1]))]:
                gap = math.dist(middle, places[other])
                if abs(gap - RADIUS) < 0.1 or abs(gap - 1.2 * RADIUS) < 0.1:
                    return
                if gap <= RADIUS:
                    inside.add(f"bus-0, {other}")
                elif gap > 1.2 * RADIUS:
                    inside.discard(f"bus-0, {other}")
            assert {i.label for i in city.engine.stories.instances("meet")} == inside


class TestMovingCentre:
    def test_around_a_vehicle(self, town: Callable[..., Any]) -> None:
        """The middle may move too."""
        rules = {
            "convoy": {
                "for_each": {
                    "bus": {"kind": "bus", "where": 'bus.id == "bus-0"'},
                    "junction": {"kind": "junction", "within": "150 m", "of": "bus"},
                },
                "while": "known(junction.position)",
                "hold": [{"request": "junction.priority", "for": "bus", "priority": "service"}],
            }
        }
        city = town(THINGS, rules=rules)
        labels = []
        for second, east in enumerate((-500.0, -100.0, 100.0, 175.0, 185.0, 700.0), start=1):
            city.at(second, {"bus-0.position": place(east, 0.0)})
            labels.append(sorted(i.label for i in city.engine.evaluator.instances("convoy")))
        one, two = "bus-0, J1", "bus-0, J2"
        assert labels == [[], [one], [one, two], [one, two], [two], []]  # out of J1 beyond 180 m

    def test_around_another_vehicle(self, town: Callable[..., Any]) -> None:
        """When the middle becomes another thing, that one is followed."""
        rules = {
            "convoy": {
                "for_each": {
                    "bus": {"kind": "bus", "where": 'bus.id == "bus-0"'},
                    "junction": {"kind": "junction", "within": "150 m", "of": "bus.leader"},
                },
                "while": "known(junction.position)",
                "hold": [{"request": "junction.priority", "for": "bus", "priority": "service"}],
            }
        }
        city = town(THINGS, rules=rules)

        def near() -> list[str]:
            return sorted(i.label for i in city.engine.evaluator.instances("convoy"))

        far = place(5000.0, 0.0)
        city.at(1, {"bus-1.position": place(-50.0, 0.0), "bus-2.position": far})
        assert near() == []
        city.at(2, {"bus-0.leader": "bus-1"})
        assert near() == ["bus-0, J1"]
        city.at(3, {"bus-0.leader": "bus-2"})
        assert near() == []
        city.at(4, {"bus-2.position": place(-1000.0, 900.0)})
        assert near() == ["bus-0, J3"]
        city.at(5, {"bus-1.position": place(200.0, 0.0)})
        assert near() == ["bus-0, J3"]

    def test_costs_the_neighbours_only(
        self, town: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A step of the middle measures those near it, however many are elsewhere."""
        rules = {
            "convoy": {
                "for_each": {
                    "bus": {"kind": "bus", "where": 'bus.id == "bus-0"'},
                    "junction": {"kind": "junction", "within": "150 m", "of": "bus"},
                },
                "while": "known(junction.position)",
                "hold": [{"request": "junction.priority", "for": "bus", "priority": "service"}],
            }
        }
        far = {
            f"far-{n}": {"kind": "junction", "position": place(5000.0 + 500.0 * n, 0.0)}
            for n in range(50)
        }
        city = town({**THINGS, **far}, rules=rules)
        city.at(1, {"bus-0.position": place(0.0, 0.0)})
        measured: list[Any] = []

        def measure(one: Any, other: Any) -> float:
            measured.append((one, other))
            return metres_between(one, other)

        monkeypatch.setattr(geography, "metres_between", measure)
        city.at(2, {"bus-0.position": place(60.0, 0.0)})
        assert len(measured) == 2  # J1 and J2
        assert sorted(i.label for i in city.engine.evaluator.instances("convoy")) == [
            "bus-0, J1",
            "bus-0, J2",
        ]
        measured.clear()
        city.at(3, {"bus-0.position": place(6000.0, 0.0)})
        assert (
            len(measured) == 4
        )  # the two that it leaves behind, and far-2 with a neighbour in its squares


class TestLeaving:
    def test_is_a_release(self, town: Callable[..., Any]) -> None:
        """Whoever leaves the circle gives back what it held."""
        city = town(THINGS, rules=RULES)
        city.at(1, {"bus-0.position": place(0.0, 100.0)})
        assert city.wanted("J1.priority") == "bus-0"
        city.at(2, {"bus-0.position": place(0.0, 179.0)})
        assert city.wanted("J1.priority") == "bus-0"
        city.at(3, {"bus-0.position": None})
        assert city.wanted("J1.priority") == "bus-0"
        city.at(4, {"bus-0.position": place(0.0, 181.0)})
        assert city.wanted("J1.priority") is None
