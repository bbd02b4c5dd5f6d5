"""A rule that an engineer puts off, into shadow or live by hand stays so, through reload, restart and replay."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pilotage.core.carried import carry_over, essentials, past_of
from pilotage.core.engine import Engine
from pilotage.core.image import dump, load
from pilotage.core.why_rule import why_rule
from pilotage.model.messages import Noted, OrderRefused, OrderTaken, RuleOrder
from pilotage.runtime.envelope import encode_decision

THINGS = {"s1": {"kind": "street", "lamps": ["L"]}, "L": {"kind": "lamp"}}
HOLD = [{"each": {"lamp": "s.lamps"}, "set": "lamp.level", "to": "20 %", "priority": "saving"}]
RULES: dict[str, Any] = {
    "dim": {"for_each": {"s": {"kind": "street"}}, "while": "s.x > 5", "hold": HOLD},
    "note": {"for_each": {"s": {"kind": "street"}}, "when": "s.x > 5", "do": [{"note": "it happened"}]},
}  # fmt: skip
OFF = RuleOrder("dim", "disable", "ada", "it dims the wrong side")
SHADOW = RuleOrder("dim", "shadow", "ada", "let us see first")
BACK = RuleOrder("dim", "restore", "ada", "mended")


def put(town: Callable[..., Any], order: RuleOrder = OFF, rules: dict[str, Any] = RULES) -> Any:
    """Return a town whose rule held a lamp, and was put to something by hand."""
    city = town(THINGS, rules=rules)
    city.at(1, {"s1.x": 9.0})
    city.at(2, None, order)
    return city


class TestModes:
    @pytest.mark.parametrize(("order", "mode"), [(OFF, "off"), (SHADOW, "shadow")])
    def test_decides_nothing(self, town: Callable[..., Any], order: RuleOrder, mode: str) -> None:
        """What it held is given back, and it holds nothing until it is given back to its file."""
        city = put(town, order)
        assert city.wanted("L.level") == 100.0
        assert city.engine.modes.of(city.engine.program.rules[0]) == mode
        city.at(3, {"s1.x": 1.0})
        city.at(4, {"s1.x": 9.0})
        assert city.wanted("L.level") == 100.0
        city.at(5, None, BACK)
        assert city.wanted("L.level") == 20.0
        assert [t.order for t in city.events(OrderTaken)] == [order.action, "restore"]

    def test_live_against_the_file(self, town: Callable[..., Any]) -> None:
        """A rule that its file turns off, or keeps in shadow, is put live by hand."""
        for said in ({"enabled": False}, {"mode": "shadow"}):
            rules = {**RULES, "dim": {**RULES["dim"], **said}}
            city = put(town, RuleOrder("dim", "enable", "ada", "it is ready"), rules)
            assert city.wanted("L.level") == 20.0

    def test_story(self, town: Callable[..., Any]) -> None:
        """A story that is off, or in shadow, does not begin."""
        for action in ("disable", "shadow"):
            city = put(town, RuleOrder("note", action, "ada", "quiet"))
            city.at(3, {"s1.x": 1.0})
            city.new()
            city.at(4, {"s1.x": 9.0})
            assert city.new(Noted) == []

    def test_says_why(self, town: Callable[..., Any]) -> None:
        """Both explanations name who put it off, and why."""
        city = put(town)
        found = why_rule(city.engine, "dim", "s1")
        assert found is not None
        said = "put off by hand by ada: it dims the wrong side"
        assert (found.verdict, found.why) == ("off", said)
        explained = city.engine.explainer.rule("dim", "s1")
        assert explained is not None
        assert explained.sentence == f"dim is off and decides nothing: {said}"

    @pytest.mark.parametrize(
        ("order", "why"),
        [
            (OFF, "it is off by hand already"),
            (RuleOrder("nothing", "disable", "ada", "x"), 'there is no rule "nothing"'),
            (RuleOrder("note", "restore", "ada", "x"), "it is as its file says"),
            (RuleOrder("note", "disable", "ada", " "), "a reason is needed"),
            (
                RuleOrder("dim", "enable", "bob", "x", seen="live.-"),
                "dim has changed since you looked: look again",
            ),
        ],
    )
    def test_refused(self, town: Callable[..., Any], order: RuleOrder, why: str) -> None:
        """What cannot be done, or was decided on another sight, is refused with its reason."""
        city = put(town)
        city.at(3, None, order)
        assert [e.why for e in city.events(OrderRefused)] == [why]


class TestStays:
    def test_reload(self, town: Callable[..., Any]) -> None:
        """A reload leaves it as it was put, also when its text has changed; a rule that is gone is forgotten."""
        city = put(town)
        city.adopt(rules={**RULES, "dim": {**RULES["dim"], "while": "s.x > 6"}})
        city.at(3)
        assert city.wanted("L.level") == 100.0
        city.adopt(rules={"note": RULES["note"]})
        assert city.engine.modes.by_hand == {}

    def test_image(self, town: Callable[..., Any]) -> None:
        """An engine that is read back keeps it."""
        city = put(town)
        city.engine = load(dump(city.engine, "code"), {}, "code")
        city.at(3)
        assert city.wanted("L.level") == 100.0
        city.at(4, None, BACK)
        assert city.wanted("L.level") == 20.0

    @pytest.mark.parametrize("order", [OFF, SHADOW])
    def test_made_anew(self, town: Callable[..., Any], order: RuleOrder) -> None:
        """So does one that is made anew, with another inventory or by other code."""
        city = put(town, order)
        kept = json.loads(json.dumps(essentials(city.engine)))
        old = city.engine
        city.engine = Engine(old.program, old.inventory, kept["now"], past=past_of(kept))
        carry_over(city.engine, kept)
        city.at(3)
        assert city.wanted("L.level") == 100.0
        assert city.engine.modes.by_hand == old.modes.by_hand

    def test_replay(self, town: Callable[..., Any]) -> None:
        """The same inputs, the orders among them, give the same decisions byte for byte."""
        days = []
        for _ in range(2):
            city = put(town)
            city.at(3, {"s1.x": 1.0})
            city.at(4, {"s1.x": 9.0}, BACK)
            days.append([encode_decision(d) for d in city.decisions])
        assert days[0] == days[1]
