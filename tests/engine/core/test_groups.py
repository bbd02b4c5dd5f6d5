"""A point that stands for many: its demand goes to the members, its report comes from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilotage.model.messages import Command, Override, ReleaseOverride
from pilotage.model.quality import Quality

THINGS = {
    "s1": {"kind": "street", "lamps": ["L1", "L2"]},
    "s2": {"kind": "street", "lamps": []},
    **{f"L{i}": {"kind": "lamp", "level": 100.0} for i in (1, 2)},
}
RULES = {
    "dim": {
        "for_each": {"street": {"kind": "street"}},
        "while": "street.a",
        "hold": [{"set": "street.level", "to": "30 %", "priority": "saving"}],
    }
}


@pytest.fixture
def street(town: Callable[..., Any]) -> Any:
    return town(THINGS, rules=RULES)


class TestPassingOn:
    def test_members_are_told(self, street: Any) -> None:
        """The members get the group's demand at its level; the group itself is sent nothing."""
        street.at(1, {"s1.a": True})
        assert {c.point: c.value for c in street.events(Command)} == {
            "L1.level": 30.0,
            "L2.level": 30.0,
        }
        member = street.engine.explainer.point("L1.level")
        assert (member.by, member.level_word) == ("dim", "saving")
        street.at(2, {"s1.a": False})
        assert (street.wanted("L1.level"), street.by("L1.level")) == (100.0, "default")

    def test_without_members(self, street: Any) -> None:
        """A group without members is sent the command itself."""
        street.at(1, {"s2.a": True})
        assert [c.point for c in street.events(Command)] == ["s2.level"]

    def test_one_lamp_is_overridden(self, street: Any) -> None:
        """An operator's lamp stays the operator's while the street is dimmed, and follows it after."""
        end = street.start + 3600
        street.at(0, {}, Override("L1.level", 80.0, "ann", "works", end))
        street.at(1, {"s1.a": True})
        assert (street.wanted("L1.level"), street.wanted("L2.level")) == (80.0, 30.0)
        street.at(2, {}, ReleaseOverride("L1.level", "ann"))
        assert street.wanted("L1.level") == 30.0

    def test_end_goes_with_it(self, street: Any) -> None:
        """The members' demands end with the group's; when that is renewed, theirs are too."""
        street.at(0, {}, Override("s1.level", 80.0, "ann", "works", street.start + 1000))
        street.at(1, {}, Override("s1.level", 80.0, "ann", "works", street.start + 2000))
        street.at(1500)
        assert (street.wanted("s1.level"), street.wanted("L1.level")) == (80.0, 80.0)
        street.at(2001)
        assert (street.wanted("s1.level"), street.wanted("L1.level")) == (100.0, 100.0)


class TestGateway:
    def test_one_command_for_all(self, street: Any) -> None:
        """A gateway that takes the group's command gets one; a lamp that does not follow is told by itself."""
        street.engine.groups.gateways = {"s1.level"}
        street.at(1, {"s1.a": True})
        assert [(c.point, c.value) for c in street.events(Command)] == [("s1.level", 30.0)]
        street.at(2, {"L1.level": 30.0})
        street.at(20)
        assert "L2.level" in [c.point for c in street.events(Command)]
        assert "L1.level" not in [c.point for c in street.events(Command)]


class TestReport:
    def quality(self, city: Any) -> tuple[Any, Quality]:
        cell = city.engine.cells["s1.level"]
        return cell.value, cell.quality

    def test_all_the_same(self, street: Any) -> None:
        """Members that agree speak for the group."""
        street.at(1, {"L1.level": 30.0, "L2.level": 30.0})
        assert self.quality(street) == (30.0, Quality.GOOD)

    def test_differ(self, street: Any) -> None:
        """Members that differ make it uncertain; the mean of 30 and 80 is 55."""
        street.at(1, {"L1.level": 30.0, "L2.level": 80.0})
        assert self.quality(street) == (55.0, Quality.UNCERTAIN)

    def test_silent(self, street: Any) -> None:
        """A silent member makes it uncertain, silent all of them unknown."""
        street.at(1, {"L1.level": 100.0, "L2.level": None})
        assert self.quality(street) == (100.0, Quality.UNCERTAIN)
        street.at(2, {"L1.level": None})
        assert self.quality(street) == (None, Quality.MISSING)
