"""Patterns: one thing then another, one without another, silence, repetition; and ages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilotage.model.messages import Notice


def rules(pattern: str) -> dict[str, Any]:
    return {
        "tell": {
            "for_each": {"street": {"kind": "street"}},
            "when": pattern,
            "do": [{"notify": {"to": ["duty"], "text": "x"}}],
            "runs": "parallel 99",
        }
    }


def told(town: Callable[..., Any], pattern: str, story: str, until: float = 500) -> list[float]:
    """Return when the pattern was complete; `3a` is an `a` at 3 s, which is over at once."""
    city = town(rules=rules(pattern))
    city.at(0, {"s1.a": False, "s1.b": False})
    for word in story.split():
        moment, what = float(word[:-1]), word[-1]
        city.at(moment, {f"s1.{what}": True})
        city.at(moment, {f"s1.{what}": False})
    city.at(until)
    return [
        round(d.now - city.start, 2)
        for d in city.decisions
        for e in d.events
        if isinstance(e, Notice)
    ]


A, B = "street.a becomes true", "street.b becomes true"


class TestThen:
    @pytest.mark.parametrize(
        ("story", "complete"),
        [
            ("1a 20b", [20]),
            ("1a 31b", [31]),
            ("1a 32b", []),
            ("1b 2a", []),
            ("1a 25a 50b", [50]),  # the later a counts
            ("1a 10b 20b", [10]),  # each a is used once
            ("1a 10b 20a 25b", [10, 25]),
            ("1a 2b 3a 4b", [2, 4]),
        ],
    )
    def test_within(self, town: Callable[..., Any], story: str, complete: list[float]) -> None:
        """B within 30 s after a."""
        assert told(town, f"{A} then {B} within 30 s", story) == complete


class TestWithout:
    @pytest.mark.parametrize(
        ("story", "complete"),
        [
            ("1a", [31]),
            ("1a 20b", []),
            ("1a 32b", [31]),
            ("1a 20a", [31]),  # a second a does not put it off
            ("1a 20a 40a 60a", [31, 70]),
            ("1a 20b 40a", [70]),
            ("1b 2a", [32]),
        ],
    )
    def test_within(self, town: Callable[..., Any], story: str, complete: list[float]) -> None:
        """No b within 30 s after a."""
        assert told(town, f"{A} without {B} within 30 s", story) == complete


class TestSilence:
    @pytest.mark.parametrize(
        ("story", "complete"),
        [("", [60]), ("30a", [90]), ("30a 80a", [140]), ("100a", [60, 160])],
    )
    def test_no_event(self, town: Callable[..., Any], story: str, complete: list[float]) -> None:
        """No a for 60 s, from the start or from the last one."""
        assert told(town, f"no {A} for 60 s", story) == complete


class TestRepeats:
    @pytest.mark.parametrize(
        ("story", "complete"),
        [
            ("1a 2a", []),
            ("1a 2a 3a", [3]),
            ("1a 2a 60a", [60]),
            ("1a 2a 62a", []),
            ("1a 2a 3a 4a 5a", [3]),  # still true: no new event
            ("1a 2a 3a 100a 101a 102a", [3, 102]),
        ],
    )
    def test_times(self, town: Callable[..., Any], story: str, complete: list[float]) -> None:
        """Three a within a minute."""
        assert told(town, f"3 times {A} within 60 s", story) == complete

    def test_memory(self, town: Callable[..., Any]) -> None:
        """A flood of events within a long time keeps only as many as are counted."""
        from pilotage.core.patterns import PatternNode

        city = town(rules=rules(f"3 times {A} within 24 h"))
        for second in range(1, 300):
            city.at(second, {"s1.a": False})
            city.at(second, {"s1.a": True})
        (node,) = [
            c.source
            for c in city.engine.graph._hoisted.values()
            if isinstance(c.source, PatternNode)
        ]
        assert len(node._seen) <= 3


class TestAge:
    def rule(self, condition: str) -> dict[str, Any]:
        return {
            "old": {
                "for_each": {"street": {"kind": "street"}},
                "while": condition,
                "hold": [{"set": "street.level", "to": "30 %", "priority": "saving"}],
            }
        }

    def test_older(self, town: Callable[..., Any]) -> None:
        """True from the moment a reading is too old; any reading makes it young, the same value too."""
        city = town(rules=self.rule("age(street.x) > 60 s"))
        assert city.state("old") == "holding"  # never heard
        city.at(10, {"s1.x": 1.0})
        assert city.state("old") == "idle"
        city.at(50, {"s1.x": 1.0})
        city.at(109.9)
        assert city.state("old") == "idle"
        city.at(110.1)
        assert city.state("old") == "holding"

    @pytest.mark.parametrize("condition", ["age(street.x) < 60 s", "60 s > age(street.x)"])
    def test_younger(self, town: Callable[..., Any], condition: str) -> None:
        """The other way round is its opposite."""
        city = town(rules=self.rule(condition))
        assert city.state("old") == "idle"
        city.at(10, {"s1.x": 1.0})
        assert city.state("old") == "holding"
        city.at(71)
        assert city.state("old") == "idle"
