"""What lasts when an engine is made anew: with another inventory, or by other code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pilotage.core.carried import carry_over, essentials, past_of
from pilotage.core.engine import Engine
from pilotage.model.messages import AlarmOrder, Override, PlanOrder

THINGS = {"s1": {"kind": "street", "lamps": ["L"]}, "L": {"kind": "lamp"}}
NIGHT = {
    "night": {
        "parameters": {"depth": {"type": "number", "default": 1, "min": 0, "max": 9}},
        "levels": [
            {"level": 1, "name": "one"},
            {"level": 2, "name": "two"},
        ],
        "activation": {"operators": ["roads"]},
    }
}


def anew(city: Any, things: dict[str, Any] | None = None) -> Any:
    """Exchange the engine for a new one that takes up what lasts, by way of plain JSON."""
    kept = json.loads(json.dumps(essentials(city.engine)))
    old = city.engine
    city.engine = Engine(
        old.program, old.inventory, kept["now"], past=past_of(kept), number=old.number
    )
    carry_over(city.engine, kept)
    city._tick(kept["now"], [])
    return city


class TestCarried:
    def test_values(self, town: Callable[..., Any]) -> None:
        """A value keeps since when it holds, so that a `for` goes on from there."""
        rules = {
            "dim": {
                "for_each": {"s": {"kind": "street"}},
                "while": "s.x > 5",
                "for": "10 min",
                "hold": [
                    {
                        "each": {"lamp": "s.lamps"},
                        "set": "lamp.level",
                        "to": "20 %",
                        "priority": "saving",
                    }
                ],
            }
        }
        city = town(THINGS, rules=rules)
        city.at(0, {"s1.x": 9.0})
        city.at(400)
        anew(city)
        city.at(599)
        assert city.wanted("L.level") != 20.0
        city.at(601)
        assert city.wanted("L.level") == 20.0

    def test_override(self, town: Callable[..., Any]) -> None:
        """An override keeps its value, its person and its end."""
        city = town(THINGS)
        city.at(1, None, Override("L.level", 60.0, "ada", "works", city.start + 3600))
        anew(city)
        assert (city.wanted("L.level"), city.by("L.level")) == (60.0, "operator ada")
        city.at(3601)
        assert city.wanted("L.level") != 60.0

    def test_plan(self, town: Callable[..., Any]) -> None:
        """A level that a person set stands until it ends, with its parameters."""
        city = town(THINGS, plans=NIGHT)
        city.at(1, None, PlanOrder("night", 2, "ada", "snow", parameters={"depth": 7.0}))
        ends = city.engine.plans.all["night"].manual_until
        anew(city)
        plan = city.engine.plans.all["night"]
        assert (plan.level, plan.manual, plan.manual_until) == (2, 2, ends)
        assert city.value("plan:night.depth") == 7.0
        city.at(13 * 3600)
        assert city.engine.plans.all["night"].level == 0

    @pytest.mark.parametrize("action", ["acknowledge", "shelve"])
    def test_alarm(self, town: Callable[..., Any], action: str) -> None:
        """What was acknowledged stays so, what was shelved comes back at its time."""
        alarms = {
            "jam": {
                "for_each": {"s": {"kind": "street"}},
                "raise_while": "s.x > 5",
                "severity": "high",
                "text": "jam",
            }
        }
        city = town(THINGS, alarms=alarms)
        city.at(1, {"s1.x": 9.0})
        order = AlarmOrder("jam[s1]", action, "ada", city.start + 1800, "known")
        city.at(2, None, order)
        state, raised = city.alarm("jam[s1]"), city.engine.alarms.all["jam[s1]"].raised_at
        anew(city)
        assert city.alarm("jam[s1]") == state
        assert city.engine.alarms.all["jam[s1]"].raised_at == raised
        city.at(1801)
        assert city.alarm("jam[s1]") == ("acknowledged" if action == "acknowledge" else "raised")

    def test_incident(self, town: Callable[..., Any]) -> None:
        """Open incidents are there with all that was known of them."""
        step = {"open_incident": {"as": "i", "type": "flood", "severity": "high", "title": "Flood"}}
        rules = {
            "r": {"for_each": {"s": {"kind": "street"}}, "when": "s.a becomes true", "do": [step]}
        }
        city = town(THINGS, rules=rules)
        city.at(1, {"s1.a": False})
        city.at(2, {"s1.a": True})
        (id_,) = (i.id for i in city.engine.graph.entities_of("incident"))
        before = {n: c.value for n, c in city.engine.entities[id_].cells.items()}
        anew(city)
        assert {n: c.value for n, c in city.engine.entities[id_].cells.items()} == before
        city.at(3, {"s1.a": False})
        city.at(4, {"s1.a": True})
        numbers = [i.id for i in city.engine.graph.entities_of("incident")]
        assert numbers == [id_, f"{id_[:-1]}2"], "no number is used twice"
