"""A rule in quarantine decides nothing, says so, and comes back; a replay decides the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pilotage.core.carried import carry_over, essentials, past_of
from pilotage.core.engine import Engine
from pilotage.core.image import dump, load
from pilotage.model.messages import (
    AlarmChanged,
    Noted,
    OrderRefused,
    OrderTaken,
    RuleOrder,
)
from pilotage.runtime.envelope import encode_decision

THINGS = {"s1": {"kind": "street", "lamps": ["L"]}, "L": {"kind": "lamp"}}
DIM: dict[str, Any] = {
    "dim": {
        "for_each": {"s": {"kind": "street"}},
        "while": "s.x > 5",
        "hold": [{"each": {"lamp": "s.lamps"}, "set": "lamp.level", "to": "20 %", "priority": "saving"}],
    },
    "note": {"for_each": {"s": {"kind": "street"}}, "when": "s.x > 5", "do": [{"note": "it happened"}]},
}  # fmt: skip
PUT = RuleOrder("dim", "quarantine", "engine", "it takes 80 % of a core")
BACK = RuleOrder("dim", "release", "ada", "mended")


def dark(town: Callable[..., Any]) -> Any:
    """Return a town whose rule holds a lamp, and was put into quarantine."""
    city = town(THINGS, rules=DIM)
    city.at(1, {"s1.x": 9.0})
    assert city.wanted("L.level") == 20.0
    city.at(2, None, PUT)
    return city


class TestQuarantine:
    def test_gives_back(self, town: Callable[..., Any]) -> None:
        """What the rule held is given back, an alarm says so, and it decides nothing any more."""
        city = dark(town)
        assert city.wanted("L.level") == 100.0
        assert city.alarm("quarantine[dim]") == "raised"
        (alarm,) = city.events(AlarmChanged)
        assert alarm.text == "dim is in quarantine and decides nothing: it takes 80 % of a core"
        city.at(3, {"s1.x": 1.0})
        city.at(4, {"s1.x": 9.0})
        assert city.wanted("L.level") == 100.0

    def test_others_go_on(self, town: Callable[..., Any]) -> None:
        """The other rules decide as ever."""
        city = dark(town)
        city.at(3, {"s1.x": 1.0})
        city.new()
        city.at(4, {"s1.x": 9.0})
        assert [e.text for e in city.new(Noted)] == ["it happened"]

    def test_release(self, town: Callable[..., Any]) -> None:
        """A person releases it: it holds at once, and the alarm ends."""
        city = dark(town)
        city.at(3, None, BACK)
        assert city.wanted("L.level") == 20.0
        assert city.alarm("quarantine[dim]") == "cleared"
        taken = city.events(OrderTaken)
        assert [(t.order, t.about, t.person) for t in taken] == [
            ("quarantine", "rule dim", "engine"),
            ("release", "rule dim", "ada"),
        ]

    @pytest.mark.parametrize(
        ("order", "why"),
        [
            (PUT, "it is in quarantine already"),
            (RuleOrder("nothing", "quarantine", "ada"), 'there is no rule "nothing"'),
            (RuleOrder("note", "release", "ada"), "it is not in quarantine"),
            (RuleOrder("note", "burn", "ada"), 'there is no action "burn"'),
        ],
    )
    def test_refused(self, town: Callable[..., Any], order: RuleOrder, why: str) -> None:
        """What cannot be done is refused with its reason."""
        city = dark(town)
        city.at(3, None, order)
        assert [e.why for e in city.events(OrderRefused)] == [why]

    def test_a_plan_does_not_lift_it(self, town: Callable[..., Any]) -> None:
        """A plan that enables the rule does not release it."""
        city = dark(town)
        city.engine.enable("dim", True)
        city.at(3)
        assert city.wanted("L.level") == 100.0


class TestExchange:
    def test_same_rule(self, town: Callable[..., Any]) -> None:
        """A reload that leaves the rule as it is leaves it in quarantine."""
        city = dark(town)
        city.adopt(rules=DIM)
        city.at(3)
        assert city.wanted("L.level") == 100.0

    def test_mended_rule(self, town: Callable[..., Any]) -> None:
        """A rule that means something else now is out of quarantine."""
        city = dark(town)
        city.adopt(rules={**DIM, "dim": {**DIM["dim"], "while": "s.x > 6"}})
        city.at(3)
        assert city.wanted("L.level") == 20.0
        assert city.alarm("quarantine[dim]") == "cleared"

    def test_rule_that_is_gone(self, town: Callable[..., Any]) -> None:
        """A rule that is gone leaves nothing in quarantine."""
        city = dark(town)
        city.adopt(rules={"note": DIM["note"]})
        city.at(3)
        assert city.engine.quarantined == {}


class TestRestart:
    def test_image(self, town: Callable[..., Any]) -> None:
        """An engine that is read back keeps it in quarantine."""
        city = dark(town)
        city.engine = load(dump(city.engine, "code"), {}, "code")
        city.at(3)
        assert city.wanted("L.level") == 100.0
        city.at(4, None, BACK)
        assert city.wanted("L.level") == 20.0

    def test_made_anew(self, town: Callable[..., Any]) -> None:
        """So does one that is made anew, with another inventory or by other code."""
        city = dark(town)
        kept = json.loads(json.dumps(essentials(city.engine)))
        old = city.engine
        city.engine = Engine(old.program, old.inventory, kept["now"], past=past_of(kept))
        carry_over(city.engine, kept)
        city.at(3)
        assert city.wanted("L.level") == 100.0

    def test_replay(self, town: Callable[..., Any]) -> None:
        """The same inputs, the order among them, give the same decisions byte for byte."""
        days = []
        for _ in range(2):
            city = dark(town)
            city.at(3, {"s1.x": 1.0})
            city.at(4, {"s1.x": 9.0}, BACK)
            days.append([encode_decision(d) for d in city.decisions])
        assert days[0] == days[1]
