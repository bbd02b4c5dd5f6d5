"""What must never be wanted is replaced by the safe value, above everybody, aloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from pilotage.model.messages import Override

PLACE = [47.0, 5.0]
FAR = [48.0, 5.0]


class TestReplace:
    INVARIANTS: ClassVar[dict[str, Any]] = {
        "lit": {
            "for_each": {"street": {"kind": "street"}},
            "never": "street.a and wanted(street.level) < 50 %",
            "otherwise": {"set": "street.level", "to": "50 % + street.x * 1 %"},
        }
    }
    RULES: ClassVar[dict[str, Any]] = {
        "dim": {
            "for_each": {"street": {"kind": "street"}},
            "while": "street.b",
            "hold": [{"set": "street.level", "to": "30 %", "priority": "saving"}],
        }
    }
    ALARM = "invariant:lit[s1]"

    def street(self, town: Callable[..., Any]) -> Any:
        city = town(rules=self.RULES, invariants=self.INVARIANTS)
        city.at(0, {"s1.a": False, "s1.b": True, "s1.x": 0.0})
        return city

    def test_replaced_and_released(self, town: Callable[..., Any]) -> None:
        """The safe value stands at level 0 as long as the condition holds, then what waited returns."""
        street = self.street(town)
        assert street.wanted("s1.level") == 30.0
        street.at(1, {"s1.a": True})
        assert (street.wanted("s1.level"), street.by("s1.level")) == (50.0, "lit")
        assert street.alarm(self.ALARM) == "raised"
        street.at(2, {"s1.a": False})
        assert (street.wanted("s1.level"), street.by("s1.level")) == (30.0, "dim")
        assert street.alarm(self.ALARM) == "cleared"

    def test_above_operators(self, town: Callable[..., Any]) -> None:
        """An operator cannot want it either."""
        street = self.street(town)
        street.at(1, {"s1.a": True, "s1.b": False})
        street.at(2, {}, Override("s1.level", 10.0, "ann", "works", street.start + 3600))
        assert street.wanted("s1.level") == 50.0
        street.at(3, {}, Override("s1.level", 70.0, "ann", "works", street.start + 3600))
        assert street.wanted("s1.level") == 70.0

    def test_unknown_safe_value(self, town: Callable[..., Any]) -> None:
        """When the safe value itself is unknown the point goes to its default, never to nothing."""
        street = self.street(town)
        street.at(1, {"s1.x": None, "s1.a": True})
        assert street.wanted("s1.level") == 100.0

    def test_allowed_is_left_alone(self, town: Callable[..., Any]) -> None:
        """What nobody wants and nothing forbids gets no target."""
        city = town(rules=self.RULES, invariants=self.INVARIANTS)
        city.at(1, {"s1.a": True, "s1.x": 0.0})
        assert city.engine.arbiter.array(city.engine.cells["s1.level"]).is_decided is False


class TestMovingVehicle:
    INVARIANTS: ClassVar[dict[str, Any]] = {
        "gate-down": {
            "for_each": {
                "junction": {"kind": "junction"},
                "bus": {"kind": "bus", "within": "200 m", "of": "junction"},
            },
            "never": 'wanted(junction.gate) == "up"',
            "otherwise": {"set": "junction.gate", "to": "down"},
        }
    }

    def test_down_while_it_is_near(self, town: Callable[..., Any]) -> None:
        """The gate goes down for whoever comes near, even if nobody ever wanted it, and up after the last."""
        things = {
            "J": {"kind": "junction", "position": PLACE},
            "bus-1": {"kind": "bus"},
            "bus-2": {"kind": "bus"},
        }
        city = town(things, invariants=self.INVARIANTS)
        assert city.wanted("J.gate") == "up"
        city.at(1, {"bus-1.position": PLACE})
        assert (city.wanted("J.gate"), city.by("J.gate")) == ("down", "gate-down")
        city.at(2, {"bus-2.position": PLACE})
        city.at(3, {"bus-1.position": FAR})
        assert city.wanted("J.gate") == "down"
        city.at(4, {"bus-2.position": FAR})
        assert (city.wanted("J.gate"), city.by("J.gate")) == ("up", "default")

    def test_lost_position_keeps_it_down(self, town: Callable[..., Any]) -> None:
        """A vehicle whose position is lost or stale has not left."""
        things = {"J": {"kind": "junction", "position": PLACE}, "bus-1": {"kind": "bus"}}
        city = town(things, invariants=self.INVARIANTS)
        city.at(1, {"bus-1.position": PLACE})
        city.at(500)
        assert city.value("bus-1.position") is None
        assert city.wanted("J.gate") == "down"
