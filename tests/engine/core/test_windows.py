"""Windows: statistics over the last minutes, kept piece by piece, against plain integration."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pilotage.core.windows import LOOKS, PIECES, Track, WindowNode
from pilotage.language import typed

WINDOW = 240.0
PIECE = WINDOW / PIECES
"""One second: what lies closer together shares a piece, so an edge of the window is known to a second."""
Steps = Sequence[tuple[float, float | None]]


def lasting(steps: Steps, low: float, high: float) -> list[tuple[float, float | None]]:
    """Return (length, value) of each stretch of a step function between two moments."""
    found = []
    for (start, value), (end, _) in itertools.pairwise([*steps, (float("inf"), None)]):
        length = min(end, high) - max(start, low)
        if length > 0:
            found.append((length, value))
    return found


def brute(function: str, steps: Steps, low: float, now: float) -> Any:
    """Return a statistic of the window by looking at every stretch, its present value included."""
    parts = [(s, v) for s, v in lasting(steps, low, now) if v is not None]
    values = [v for _, v in parts] + ([steps[-1][1]] if steps[-1][1] is not None else [])
    known = sum(s for s, _ in parts)
    turns = [
        (a, b)
        for (_, a), (t, b) in itertools.pairwise(steps)
        if low < t <= now and a is not None and b is not None and a != b
    ]
    match function:
        case "avg":
            return sum(s * v for s, v in parts) / known
        case "sum":
            return sum(s * v for s, v in parts)
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "changes":
            return len(turns)
        case "count":
            return sum(1 for a, b in turns if a == 0.0 and b > a)
        case "rate":
            return (values[-1] - parts[0][1]) / (now - max(low, steps[0][0])) * 3600.0
    raise AssertionError(function)


def run(steps: Steps, now: float) -> Track:
    """Return a track that has seen these steps."""
    first = steps[0]
    track = Track(WINDOW, first[0], first[1], first[0])
    for moment, value in steps[1:]:
        track.advance(moment)
        track.turn(value, moment)
    track.advance(now)
    return track


def stories(values: Sequence[float | None], least: float = 0.05) -> st.SearchStrategy[Any]:
    """Step functions with gaps: (pause before, value), and a wait at the end."""
    pause = st.floats(least, 90.0).map(lambda s: round(s, 2))
    return st.tuples(
        st.lists(st.tuples(pause, st.sampled_from(values)), min_size=1, max_size=40), pause
    )


def absolute(story: Any) -> tuple[list[tuple[float, float | None]], float]:
    moments = itertools.accumulate(p for p, _ in story[0])
    steps = [(1000.0 + t, v) for t, (_, v) in zip(moments, story[0], strict=True)]
    return steps, steps[-1][0] + story[1]


class TestAgainstIntegration:
    @settings(max_examples=500, deadline=None)
    @given(stories([0.0, 10.0, 30.0, 100.0, None]))
    def test_integral_and_coverage(self, story: Any) -> None:
        """Time-weighted sum, mean and known share differ by what one piece at the edge can hold, no more."""
        steps, now = absolute(story)
        track = run(steps, now)
        low = now - WINDOW
        known = sum(s for s, v in lasting(steps, low, now) if v is not None)
        assert track.known_s == pytest.approx(known, abs=PIECE)
        assume(known > 10.0)
        # at most one piece is cut, and it holds at most 100 in a second: 100 of the sum
        assert track.result("sum", 0.0) == pytest.approx(
            brute("sum", steps, low, now), abs=100.0 * PIECE
        )
        assert track.result("avg", 0.0) == pytest.approx(
            brute("avg", steps, low, now), abs=2 * 100.0 * PIECE / known
        )

    @settings(max_examples=500, deadline=None)
    @given(stories([0.0, 10.0, 30.0, 100.0, None]), st.sampled_from(["min", "max", "changes"]))
    def test_extremes_and_changes(self, story: Any, function: str) -> None:
        """What is counted lies between the counts of a window one piece shorter and one piece longer."""
        steps, now = absolute(story)
        track = run(steps, now)
        assume(track.known_s > 5 * PIECE and steps[-1][1] is not None)
        got = track.result(function, 0.0)
        shorter = brute(function, steps, now - WINDOW + PIECE, now)
        longer = brute(function, steps, now - WINDOW - PIECE, now)
        assert min(shorter, longer) <= got <= max(shorter, longer)

    @settings(max_examples=500, deadline=None)
    @given(stories([0.0, 1.0, None]), st.sampled_from([0.0, 0.5, 0.8]))
    def test_any_all_count(self, story: Any, coverage: float) -> None:
        """`any` needs one true moment, `all` one false one to say no; else enough must be known."""
        steps, now = absolute(story)
        track = run(steps, now)
        edges = [now - WINDOW + PIECE, now - WINDOW - PIECE]
        seen = [{v for _, v in lasting(steps, low, now)} | {steps[-1][1]} for low in edges]
        known = sum(s for s, v in lasting(steps, now - WINDOW, now) if v is not None)
        assume(abs(known - coverage * WINDOW) > PIECE)
        enough = known > coverage * WINDOW
        for function, decisive in (("any", 1.0), ("all", 0.0)):
            possible = {
                decisive if decisive in s else (1.0 - decisive if enough else None) for s in seen
            }
            assert track.result(function, coverage) in possible
        if enough and known > 0 and steps[-1][1] is not None:
            counts = [brute("count", steps, low, now) for low in edges]
            assert min(counts) <= track.result("count", coverage) <= max(counts)

    @settings(max_examples=300, deadline=None)
    @given(stories([0.0, 10.0, 30.0, 100.0], least=2.0))
    def test_rate(self, story: Any) -> None:
        """The change from the window's first value to the present one, per hour."""
        steps, now = absolute(story)
        assume(now - steps[0][0] > 20.0)
        assume(not any(abs(t - (now - WINDOW)) < PIECE for t, _ in steps))
        got = run(steps, now).result("rate", 0.0)
        assert got == pytest.approx(brute("rate", steps, now - WINDOW, now))

    def test_coverage_decides(self) -> None:
        """Known for 119 s of 240 is not half of it, for 121 s it is."""
        assert run([(1000.0, 5.0)], 1119.0).result("avg", 0.5) is None
        assert run([(1000.0, 5.0)], 1121.0).result("avg", 0.5) == 5.0


class TestMemory:
    def test_a_day_is_bounded(self) -> None:
        """A reading each second for two days keeps a few hundred pieces, and the sums do not drift."""
        track = Track(86_400.0, 0.0, 0.1, 0.0)
        for second in range(1, 172_800):
            track.advance(float(second))
            track.turn(0.1 + second % 7, float(second))
        assert len(track.pieces) <= 2 * PIECES + 2
        # 0.1 + the mean of 0..6, over whole sevens
        assert track.result("avg", 0.5) == pytest.approx(3.1, abs=1e-3)


def windows(city: Any) -> list[WindowNode]:
    return [
        c.source for c in city.engine.graph._hoisted.values() if isinstance(c.source, WindowNode)
    ]


class TestInTheTown:
    def test_looks_while_ageing(self, town: Callable[..., Any]) -> None:
        """Between readings the window is looked at 60 times per length, so a mean is at most 10 s late here."""
        rules = {
            "r": {
                "for_each": {"street": {"kind": "street"}},
                "while": "avg(street.x, 10 min) < 50",
                "hold": [{"set": "street.level", "to": "30 %", "priority": "saving"}],
            }
        }
        city = town(rules=rules, past={"s1.x": (100.0, 1200.0)})
        city.at(0, {"s1.x": 0.0})
        city.at(299.0)
        assert city.state("r") == "idle"
        city.at(300.0 + 600.0 / LOOKS + 0.1)
        assert city.state("r") == "holding"
        assert [w.coverage for w in windows(city)] == [pytest.approx(1.0)]

    def test_changes_of_words(self, town: Callable[..., Any]) -> None:
        """`changes` counts changes of a state, a reference or a text too."""
        rules = {
            "r": {
                "for_each": {"street": {"kind": "street"}},
                "while": "changes(street.state, 10 min) >= 2 or changes(street.next, 10 min) >= 2",
                "hold": [{"set": "street.level", "to": "30 %", "priority": "saving"}],
            }
        }
        city = town(rules=rules, past={"s1.state": ("red", 600.0), "s1.next": ("s1", 600.0)})
        city.at(1, {"s1.state": "green"})
        assert city.state("r") == "idle"
        city.at(2, {"s1.state": "red"})
        assert city.state("r") == "holding"

    def test_steady_window_rests(self, town: Callable[..., Any]) -> None:
        """A window in which nothing changes any more asks for no tick."""
        derive = {
            "calm": {"for_each": {"street": {"kind": "street"}}, "value": "avg(street.x, 10 min)"}
        }
        city = town(derive=derive)
        city.at(1, {"s1.x": 5.0})
        city.at(2000)
        assert city.value("s1.calm") == 5.0
        assert city.engine.next_due() is None
        assert isinstance(windows(city)[0].node, typed.Window)
