"""One instance per pair that is together, and never so many that the engine stands still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilotage.core import instances

HERE, THERE = [47.0, 5.0], [48.0, 5.0]
EACH = {
    "a": {"kind": "bus"},
    "b": {"kind": "bus", "within": "150 m", "of": "a"},
    "c": {"kind": "bus", "within": "150 m", "of": "b"},
}
RULES = {
    "crowd": {
        "for_each": EACH,
        "when": "a.delay > 60 s",
        "do": [{"notify": {"to": "crew", "text": "{b.name}"}}],
    }
}
BUSES = {f"bus-{n}": {"kind": "bus", "position": THERE} for n in range(30)}
ALARM = "too-many-instances[rules]"


class TestBound:
    @pytest.mark.source  # a compiled module keeps its constants
    def test_three_moving_variables(
        self, town: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Beyond the bound no pair is made, an alarm says so, and the engine goes on."""
        monkeypatch.setattr(instances, "MOST_PAIRS", 2_000)
        city = town(BUSES, rules=RULES)  # all in one place: 30³ triples
        assert len(city.engine.stories.instances("crowd")) < 2_000
        assert city.alarm(ALARM) == "raised"
        text = city.engine.alarms.all[ALARM].text
        assert text == "2,000 pairs of `for_each` are at work; more of (bus, bus, bus) are left out"
        city.at(1, {f"bus-{n}.delay": 0.0 for n in range(30)})
        city.at(2, {"bus-0.delay": 100.0})
        assert city.sent() != []

    def test_who_parts_makes_room(
        self, town: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What goes apart counts no more, nor does a rule that is taken out."""
        monkeypatch.setattr(instances, "MOST_PAIRS", 3)
        things = {"bus-0": {"kind": "bus"}, "bus-1": {"kind": "bus"}}
        rules = {"crowd": {**RULES["crowd"], "for_each": {"a": EACH["a"], "b": EACH["b"]}}}
        city = town(things, rules={})
        for n in range(3):
            city.adopt(rules=rules)
            city.at(2 * n + 1, {"bus-0.position": HERE, "bus-1.position": THERE})
            assert city.engine.graph.pairs == 2  # each with itself
            city.adopt(rules={})
            assert city.engine.graph.pairs == 0
        assert city.alarm(ALARM) == "normal"

    def test_relations_are_not_counted(
        self, town: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The lamps of a street are as many as the inventory has."""
        monkeypatch.setattr(instances, "MOST_PAIRS", 1)
        lamps = {f"L{n}": {"kind": "lamp"} for n in range(5)}
        rules = {
            "lamp": {
                "for_each": {"street": {"kind": "street"}, "lamp": "street.lamps"},
                "while": "lamp.broken",
                "hold": [{"set": "lamp.siren", "to": "true", "priority": "saving"}],
            }
        }
        city = town({"s1": {"kind": "street", "lamps": list(lamps)}, **lamps}, rules=rules)
        assert len(city.engine.evaluator.instances("lamp")) == 5
