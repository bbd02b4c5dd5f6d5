"""A point that stands for many: its demand goes to the members, its report comes from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from pilotage.core.store import admit
from pilotage.model.messages import Command, Override, Reading, ReleaseOverride
from pilotage.model.quality import Quality
from pilotage.runtime.envelope import decode_inputs, encode_inputs

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


class TestOtherMembers:
    """A device may report who belongs together: a relation is a point whose value is a list of ids."""

    RULES: ClassVar[dict[str, Any]] = {
        **RULES,
        "eco": {
            "for_each": {"street": {"kind": "street"}},
            "while": "street.b",
            "hold": [
                {
                    "set": "lamp.mode",
                    "each": {"lamp": "street.lamps"},
                    "to": "eco",
                    "priority": "saving",
                }
            ],
        },
        "dark": {
            "for_each": {"street": {"kind": "street"}},
            "while": "count(street.lamps.broken) >= 2",
            "hold": [{"set": "street.level", "to": "90 %", "priority": "people"}],
        },
        "lost": {
            "for_each": {"street": {"kind": "street"}, "lamp": "street.lamps"},
            "while": "lamp.broken",
            "hold": [{"set": "lamp.siren", "to": "true", "priority": "saving"}],
        },
    }

    @pytest.fixture
    def lamps(self, town: Callable[..., Any]) -> Any:
        """A street of L1 and L2, with a rule of every kind about its lamps; L3 and L4 stand elsewhere."""
        lamps = {f"L{i}": {"kind": "lamp", "level": 100.0, "broken": False} for i in (1, 2, 3, 4)}
        city = town({"s1": {"kind": "street", "lamps": ["L1", "L2"]}, **lamps}, rules=self.RULES)
        city.at(1, {"s1.a": True, "s1.b": True})
        return city

    def report(self, city: Any, second: float, raw: Any) -> Any:
        """Tell what a device says of the lamps of s1, through the door."""
        moment = city.start + second
        entities = city.engine.entities
        reading = admit(city.engine.cells["s1.lamps"], raw, Quality.GOOD, None, moment, entities)
        assert isinstance(reading, Reading)
        city.at(second, {}, reading)
        return reading

    def wanted(self, city: Any, point: str) -> list[Any]:
        return [city.wanted(f"L{i}.{point}") for i in (1, 2, 3)]

    def test_demands_follow(self, lamps: Any) -> None:
        """Who leaves is given back, who comes is told: by the group point, and by `each`."""
        assert self.wanted(lamps, "level") == [30.0, 30.0, 100.0]
        self.report(lamps, 2, ["L2", "L3"])
        assert self.wanted(lamps, "level") == [100.0, 30.0, 30.0]
        assert self.wanted(lamps, "mode") == ["auto", "eco", "eco"]

    def test_statistics_and_instances_follow(self, lamps: Any) -> None:
        """Statistics count the new members, and a rule has an instance for each of them."""
        lamps.at(2, {"L3.broken": True, "L4.broken": True})
        assert lamps.state("dark") == "idle"
        self.report(lamps, 3, ["L1", "L3", "L4"])
        assert lamps.state("dark") == "holding"
        instances = lamps.engine.evaluator.instances("lost")
        assert sorted(i.label for i in instances) == ["s1, L1", "s1, L3", "s1, L4"]
        assert self.wanted(lamps, "siren") == [False, False, True]
        self.report(lamps, 4, [])
        assert (lamps.state("dark"), self.wanted(lamps, "level")) == ("idle", [100.0] * 3)

    @pytest.mark.parametrize("raw", ["L1", ["L1", "s1"], ["L1", "L9"], [["L1"]], [1]])
    def test_no_lamps(self, lamps: Any, raw: Any) -> None:
        """What is no list of lamps makes the members unknown; what was told to those who were last stays."""
        assert self.report(lamps, 2, raw).quality is Quality.BAD
        assert lamps.value("s1.lamps") is None
        assert self.wanted(lamps, "level") == [30.0, 30.0, 100.0]
        assert self.wanted(lamps, "mode") == ["eco", "eco", "auto"]
        self.report(lamps, 3, ["L1", "L1", "L3"])
        assert self.wanted(lamps, "level") == [30.0, 100.0, 30.0]

    def test_kept_in_the_journal(self, lamps: Any) -> None:
        """A report of members is written down, and read again, as ids."""
        reading = self.report(lamps, 2, ["L2", "L3"])
        data = encode_inputs([reading])
        assert b'["s1.lamps",["L2","L3"],"good"' in data
        assert decode_inputs(data, lamps.engine.cells, lamps.engine.entities) == [reading]
