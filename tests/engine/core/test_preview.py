"""A look ahead at a plan says what would change, and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilotage.core.image import dump
from pilotage.core.preview import Foreseen, Preview
from pilotage.model.messages import Override, PlanOrder, TargetChanged

CODE = "as it is"
LAMPS = {f"L{n}": {"kind": "lamp", "level": 100.0} for n in range(1, 7)}
THINGS = {
    **LAMPS,
    "s1": {"kind": "street", "lamps": ["L1", "L2"], "rank": 1.0},
    "s2": {"kind": "street", "lamps": ["L3"], "rank": 2.0},
    "s3": {"kind": "street", "rank": 1.0},
}
RULES = {
    "night": {
        "for_each": {"lamp": {"kind": "lamp"}},
        "while": "lamp.power > 5 W",
        "hold": [{"set": "lamp.level", "to": "40 %", "priority": "saving"}],
    },
    "rescue": {
        "for_each": {"lamp": {"kind": "lamp"}},
        "while": "lamp.broken",
        "if_unknown": "release",
        "hold": [{"set": "lamp.level", "to": "100 %", "priority": "emergency"}],
    },
    "extra": {
        "for_each": {"street": {"kind": "street"}},
        "while": "street.a",
        "hold": [{"set": "street.level", "to": "90 %", "priority": "event"}],
    },
}


def plan(**level: Any) -> dict[str, Any]:
    return {
        "snow": {
            "priority": "plan",
            "exclusive_group": "winter",
            "levels": [
                {
                    "level": 1,
                    "name": "watch",
                    "hold": [
                        {
                            "each": {"street": {"kind": "street", "where": "street.rank <= 1"}},
                            "set": "street.level",
                            "to": "80 %",
                        }
                    ],
                    "on_enter": [{"call": "crew.send", "with": {"to": "depot"}}, {"notify": {"to": ["roads"], "text": "up"}}],
                },
                {
                    "level": 2,
                    "name": "treat",
                    "hold": [{"each": {"lamp": {"kind": "lamp"}}, "set": "lamp.level", "to": "60 % + 10 % * plan.level", **level}],
                },
            ],
        },
        "flood": {"exclusive_group": "winter", "levels": [{"level": 1, "name": "on"}]},
    }  # fmt: skip


@pytest.fixture
def city(town: Callable[..., Any]) -> Any:
    rules = {k: v for k, v in RULES.items() if k != "extra"}
    return town(THINGS, rules=rules, plans=plan())


def foresee(city: Any, level: int, name: str = "snow") -> Foreseen:
    preview = Preview(city.engine, name, level)
    for _ in preview.steps():
        pass
    return preview.found


def effects(found: Foreseen) -> dict[str, tuple[int, ...]]:
    """Return held, acts, same, dominated, freed by point."""
    return {
        f"{e.kind}.{e.point}": (e.held, e.acts, e.same, e.dominated, e.freed)
        for e in found.effects.values()
    }


class TestActs:
    def test_groups_and_members(self, city: Any) -> None:
        """A hold of a group counts at the group and at each member; a group without members counts alone."""
        assert effects(foresee(city, 1)) == {
            "street.level": (2, 2, 0, 0, 0),
            "lamp.level": (2, 2, 0, 0, 0),
        }

    def test_it_comes_true(self, city: Any) -> None:
        """What was foreseen is what the order then does, at a level that reads its own number."""
        before = foresee(city, 2)
        city.new()
        city.at(1, {}, PlanOrder("snow", 2, "ann", "ice"))
        changed = [e.point for e in city.new(TargetChanged)]
        lamps = [p for p in changed if p.startswith("L")]
        assert effects(before)["lamp.level"][:2] == (6, len(set(lamps)))
        assert {city.wanted(f"L{n}.level") for n in range(1, 7)} == {80.0}

    def test_already_so(self, city: Any) -> None:
        """Points that stand already as the plan wants them are told apart."""
        city.at(1, {}, Override("L5.level", 80.0, "ann", "works", city.start + 3600))
        city.at(2, {}, PlanOrder("snow", 2, "ann", "ice"))
        found = foresee(city, 2)
        assert effects(found) == {}
        assert (found.before, found.level) == (2, 2)

    def test_enables_and_asks(self, town: Callable[..., Any]) -> None:
        """Rules that would be turned on, services that would be called and people who would be told are named."""
        plans = plan()
        plans["snow"]["levels"][1]["enable"] = ["extra"]
        city = town(THINGS, rules=RULES, plans=plans)
        found = foresee(city, 2)
        assert (found.enables, found.asks) == (("extra",), ("crew.send", "notify roads"))

    def test_unknown_is_in_doubt(self, town: Callable[..., Any]) -> None:
        """A set whose condition is unknown for a thing counts it as in doubt."""
        plans = plan(each={"lamp": {"kind": "lamp", "where": "lamp.power > 5 W"}})
        city = town(THINGS, rules={}, plans=plans)
        city.at(1, {"L1.power": 60.0})
        found = foresee(city, 2)
        assert found.doubtful == 5
        assert effects(found)["lamp.level"][0] == 2  # L1 by itself; L2 by its street, L1 by both


class TestClashes:
    def test_dominates_what_is_weaker(self, city: Any) -> None:
        """Rules below the plan lose; they are named with how many points they lose."""
        city.at(1, {"L4.power": 60.0, "L5.power": 60.0})
        found = foresee(city, 2)
        ((clash),) = found.dominates.values()
        assert (clash.by, clash.level, clash.points) == ("night", 14, 2)
        assert clash.examples == ["L4.level", "L5.level"]

    def test_dominated_by_what_is_stronger(self, city: Any) -> None:
        """Who stands above keeps the point: rules, and operators, whose points are listed."""
        city.at(
            1, {"L4.broken": True}, Override("L6.level", 10.0, "ann", "works", city.start + 3600)
        )
        found = foresee(city, 2)
        assert {(c.by, c.level): c.examples for c in found.dominated_by.values()} == {
            ("rescue", 3): ["L4.level"],
            ("operator ann", 8): ["L6.level"],
        }
        assert found.overrides == ["L6.level"]
        assert effects(found)["lamp.level"] == (6, 4, 0, 2, 0)

    def test_blocked(self, city: Any) -> None:
        """Another plan of the group that is active is named."""
        city.at(1, {}, PlanOrder("flood", 1, "ann", "water"))
        assert foresee(city, 1).blocked_by == "flood"


class TestTheWayDown:
    def test_freed(self, city: Any) -> None:
        """Ending a plan frees what it held."""
        city.at(1, {}, PlanOrder("snow", 2, "ann", "ice"))
        assert effects(foresee(city, 0))["lamp.level"][4] == 6

    def test_one_level_down(self, city: Any) -> None:
        """A level down frees what only the upper one held."""
        city.at(1, {}, PlanOrder("snow", 2, "ann", "ice"))
        assert effects(foresee(city, 1))["lamp.level"][4] == 4


class TestNoTrace:
    def test_nothing_changes(self, city: Any) -> None:
        """Not a byte of the engine's image differs after a look ahead."""
        city.at(1, {"L4.power": 60.0})
        before = dump(city.engine, CODE)
        foresee(city, 2)
        assert dump(city.engine, CODE) == before

    def test_small_steps(self, city: Any) -> None:
        """The work is cut into at least one step per point."""
        assert sum(1 for _ in Preview(city.engine, "snow", 2).steps()) >= len(LAMPS)

    @pytest.mark.parametrize(("name", "level"), [("frost", 1), ("snow", 3), ("snow", -1)])
    def test_refused(self, city: Any, name: str, level: int) -> None:
        """A plan or level that does not exist is refused by name."""
        with pytest.raises(LookupError, match=name):
            Preview(city.engine, name, level)
