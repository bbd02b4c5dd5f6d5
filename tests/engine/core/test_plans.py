"""Plans climb at once, step down one level at a time, ask people, and end by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from pilotage.model.messages import (
    CHANGED_SINCE,
    CallOut,
    Notice,
    OrderRefused,
    OrderTaken,
    PlanAnswer,
    PlanAsks,
    PlanChanged,
    PlanOrder,
)

HOUR = 3600.0


def hold(value: str) -> dict[str, Any]:
    return {"each": {"lamp": {"kind": "lamp"}}, "set": "lamp.level", "to": value}


def snow(levels: int = 2, **activation: Any) -> dict[str, Any]:
    """A plan of up to three levels: x of the street must be at least the level."""
    all_levels = [
        {
            "level": n,
            "name": name,
            "enter": f"max(street.x) >= {n}",
            "hold": [hold(f"{20 * n} % + 0 % * plan.crews")],
            "on_enter": [{"call": "crew.send", "with": {"to": f"enter {n}"}}],
            "on_leave": [{"call": "crew.send", "with": {"to": f"leave {n}"}}],
        }
        for n, name in ((1, "watch"), (2, "treat"), (3, "emergency"))
    ]
    return {
        "snow": {
            "priority": "plan",
            "parameters": {"crews": {"type": "count", "default": 4, "min": 1, "max": 20}},
            "activation": {"operators": ["duty"], "manual_expires": "12 h", **activation},
            "levels": all_levels[:levels],
        }
    }


THINGS = {"s1": {"kind": "street"}, "L": {"kind": "lamp"}}


def told(city: Any, at: float, level: int | None, **keys: Any) -> str:
    """Give an order; return why it was refused, or nothing."""
    city.new()
    city.at(at, {}, PlanOrder("snow", level, "ann", **{"reason": "works", "role": "duty", **keys}))
    refused = city.new(OrderRefused)
    return refused[0].why if refused else ""


def answered(city: Any, at: float, question: str = "checklist:1:0", **keys: Any) -> str:
    """Give an answer; return why it was refused, or nothing."""
    city.new()
    city.at(at, {}, PlanAnswer("snow", question, **{"yes": True, "person": "bob", **keys}))
    refused = city.new(OrderRefused)
    return refused[0].why if refused else ""


def levels(city: Any) -> list[tuple[float, int]]:
    """Return when the plan went to which level, at the end of each tick."""
    found = {
        round(d.now - city.start, 3): e.after
        for d in city.decisions
        for e in d.events
        if isinstance(e, PlanChanged)
    }
    return list(found.items())


def calls(city: Any) -> list[str]:
    return [c.arguments["to"] for c in city.events(CallOut)]


@pytest.fixture
def city(town: Callable[..., Any]) -> Callable[..., Any]:
    def make(levels: int = 2, plans: Any = None, **activation: Any) -> Any:
        made = town(THINGS, plans=plans or snow(levels, **activation))
        made.at(0, {"s1.x": 0.0})
        return made

    return make


class TestClimbing:
    def test_after_for(self, city: Callable[..., Any]) -> None:
        """A condition that lasts 20 min raises the plan; one that breaks off does not."""
        c = city(**{"for": "20 min"})
        c.at(60, {"s1.x": 1.0})
        c.at(1000, {"s1.x": 0.0})
        c.at(2000, {"s1.x": 1.0})
        c.at(4000)
        assert levels(c) == [(3200.0, 1)]

    def test_higher_includes_lower(self, city: Callable[..., Any]) -> None:
        """Straight to level 2: what level 1 does at its beginning is done first."""
        c = city()
        c.at(1, {"s1.x": 2.0})
        assert calls(c) == ["enter 1", "enter 2"]
        assert c.wanted("L.level") == 40.0
        assert c.by("L.level") == "snow"
        assert c.value("plan:snow.level_name") == "treat"


class TestSteppingDown:
    def test_one_level_at_a_time(self, city: Callable[..., Any]) -> None:
        """Three hours after the end one level less, three hours later the next."""
        c = city(step_down_after="3 h")
        c.at(0, {"s1.x": 2.0})
        c.at(HOUR, {"s1.x": 0.0})
        c.at(8 * HOUR)
        assert levels(c) == [(0.0, 2), (4 * HOUR, 1), (7 * HOUR, 0)]
        assert calls(c) == ["enter 1", "enter 2", "leave 2", "leave 1"]
        assert c.wanted("L.level") == 100.0

    def test_begins_again(self, city: Callable[..., Any]) -> None:
        """A condition that is back within the time was never gone."""
        c = city(step_down_after="3 h")
        c.at(0, {"s1.x": 2.0})
        c.at(HOUR, {"s1.x": 0.0})
        c.at(3 * HOUR, {"s1.x": 2.0})
        c.at(10 * HOUR)
        assert levels(c) == [(0.0, 2)]

    def test_unknown_does_not_end_it(self, city: Callable[..., Any]) -> None:
        """`if_unknown: hold`: stations that are lost in the storm do not end the plan, however long they are lost."""
        c = city(step_down_after="3 h", if_unknown="hold")
        c.at(0, {"s1.x": 2.0})
        c.at(HOUR, {"s1.x": None})
        c.at(20 * HOUR)
        assert levels(c) == [(0.0, 2)]
        c.at(21 * HOUR, {"s1.x": 0.0})
        c.at(22 * HOUR, {"s1.x": None})  # false for one hour only
        c.at(40 * HOUR)
        assert levels(c) == [(0.0, 2)]

    def test_unknown_does_not_begin_it(self, city: Callable[..., Any]) -> None:
        """`for` means true that long: lost in between is not true."""
        c = city(**{"for": "20 min", "if_unknown": "hold"})
        c.at(0, {"s1.x": 1.0})
        c.at(600, {"s1.x": None})
        c.at(5000)
        assert levels(c) == []
        c.at(5001, {"s1.x": 1.0})
        c.at(5001 + 1201)
        assert levels(c) == [(6201.0, 1)]

    def test_unknown_releases(self, city: Callable[..., Any]) -> None:
        """Without that an unknown condition counts as false."""
        c = city()
        c.at(0, {"s1.x": 2.0})
        c.at(1, {"s1.x": None})
        assert c.value("plan:snow.level") == 0.0


class TestProposals:
    CONFIRM: ClassVar[dict[str, Any]] = {
        "from_level": 2,
        "by": ["duty"],
        "within": "15 min",
        "else": "escalate",
    }

    def proposal(self, city: Callable[..., Any], otherwise: str = "escalate") -> Any:
        c = city(3, confirm={**self.CONFIRM, "else": otherwise})
        c.at(0, {"s1.x": 2.0})
        assert [(q.question, q.to) for q in c.events(PlanAsks)] == [("confirm", ("duty",))]
        assert levels(c) == [(0.0, 1)]  # as far as it may go alone
        return c

    def answer(self, c: Any, at: float, yes: bool, role: str = "duty") -> str:
        c.new()
        c.at(at, {}, PlanAnswer("snow", "confirm", yes, "ann", role))
        refused = c.new(OrderRefused)
        return refused[0].why if refused else ""

    def test_yes(self, city: Callable[..., Any]) -> None:
        """A yes by who may say it raises the plan."""
        c = self.proposal(city)
        assert self.answer(c, 1, True, "cook") == "only duty may answer"
        assert self.answer(c, 2, True) == ""
        assert levels(c)[-1] == (2.0, 2)

    def test_no(self, city: Callable[..., Any]) -> None:
        """A no stands until the conditions have ended; a higher level is proposed anew."""
        c = self.proposal(city)
        assert self.answer(c, 1, False) == ""
        c.at(2, {"s1.x": 2.5})
        assert len(c.events(PlanAsks)) == 1
        c.at(3, {"s1.x": 3.0})
        assert len(c.events(PlanAsks)) == 2
        assert levels(c) == [(0.0, 1)]

    def test_escalates(self, city: Callable[..., Any]) -> None:
        """Unanswered for 15 min it is an alarm, and may still be answered."""
        c = self.proposal(city)
        c.at(899)
        assert c.alarm("plan-proposal[snow]") == "normal"
        c.at(901)
        assert c.alarm("plan-proposal[snow]") == "raised"
        assert self.answer(c, 902, True) == ""
        assert c.alarm("plan-proposal[snow]") == "cleared"

    def test_activates(self, city: Callable[..., Any]) -> None:
        """`else: activate` raises it when nobody answers."""
        c = self.proposal(city, "activate")
        c.at(901)
        assert levels(c)[-1] == (900.0, 2)

    @pytest.mark.parametrize("x", [0.0, 1.0])
    def test_its_reason_has_gone(self, city: Callable[..., Any], x: float) -> None:
        """A proposal whose condition has ended is withdrawn: nobody can say yes to it any more."""
        c = self.proposal(city, "activate")
        c.at(60, {"s1.x": x})
        assert self.answer(c, 61, True) == "nothing is proposed"
        c.at(2000)
        assert max(level for _, level in levels(c)) == 1


class TestByHand:
    def test_expires(self, city: Callable[..., Any]) -> None:
        """A manual level ends after 12 h, and the conditions speak again."""
        c = city()
        assert told(c, 0, 2) == ""
        assert c.value("plan:snow.manual") is True
        c.at(13 * HOUR)
        assert levels(c) == [(0.0, 2), (12 * HOUR, 0)]

    def test_zero_ends_it(self, city: Callable[..., Any]) -> None:
        """Level 0 by hand ends a plan that its conditions ask for; giving it back raises it again."""
        c = city()
        c.at(0, {"s1.x": 1.0})
        assert told(c, 1, 0) == ""
        assert told(c, 2, None) == ""
        assert levels(c) == [(0.0, 1), (1.0, 0), (2.0, 1)]

    @pytest.mark.parametrize(
        ("level", "keys", "why"),
        [
            (3, {}, "levels go from 0 to 2"),
            (1, {"reason": ""}, "a reason is needed"),
            (1, {"role": "cook"}, "only duty may change snow"),
            (None, {"parameters": {"crews": 21}}, "crews goes from 1 to 20"),
            (None, {"parameters": {"crew": 2}}, 'snow has no parameter "crew"'),
        ],
    )
    def test_refused(
        self, city: Callable[..., Any], level: int | None, keys: dict[str, Any], why: str
    ) -> None:
        """An order that cannot be carried out says why, and changes nothing."""
        c = city()
        assert told(c, 1, level, **keys) == why
        assert (levels(c), c.value("plan:snow.crews")) == ([], 4.0)

    def test_refused_whole(self, city: Callable[..., Any]) -> None:
        """Of an order with one good and one bad part nothing is done."""
        c = city()
        assert told(c, 1, 9, parameters={"crews": 5}) == "levels go from 0 to 2"
        assert told(c, 2, None, parameters={"crews": 5, "salt": 1}) != ""
        assert c.value("plan:snow.crews") == 4.0


class TestParameters:
    def test_change_while_it_runs(self, city: Callable[..., Any]) -> None:
        """What the plan holds follows a parameter that an operator changes."""
        plans = snow()
        plans["snow"]["levels"][0]["hold"] = [hold("plan.crews * 1 %")]
        c = city(plans=plans)
        assert told(c, 0, 1) == ""
        assert c.wanted("L.level") == 4.0
        assert told(c, 1, None, parameters={"crews": 7}) == ""
        assert c.wanted("L.level") == 7.0
        assert len(c.events(OrderTaken)) == 2


class TestExclusive:
    def plans(self) -> dict[str, Any]:
        both = {}
        for name, letter in (("snow", "x"), ("flood", "y")):
            (plan,) = snow(1).values()
            plan = {**plan, "exclusive_group": "roads"}
            level = {
                "level": 1,
                "name": "on",
                "enter": f"max(street.{letter}) >= 1",
                "hold": [hold("9 %")],
            }
            both[name] = {**plan, "levels": [level]}
        return both

    def active(self, c: Any) -> list[str]:
        return [n for n in ("snow", "flood") if c.value(f"plan:{n}.active")]

    def test_one_at_a_time(self, city: Callable[..., Any]) -> None:
        """The second waits, with an alarm, and begins when the first has ended."""
        c = city(plans=self.plans())
        c.at(1, {"s1.x": 1.0, "s1.y": 0.0})
        c.at(2, {"s1.y": 1.0})
        assert self.active(c) == ["snow"]
        assert c.alarm("plan-blocked[flood]") == "raised"
        c.at(3, {"s1.x": 0.0})
        assert self.active(c) == ["flood"]
        assert c.alarm("plan-blocked[flood]") == "cleared"

    def test_by_hand_too(self, city: Callable[..., Any]) -> None:
        """A person is told which plan to end first."""
        c = city(plans=self.plans())
        c.at(1, {"s1.y": 1.0})
        assert told(c, 2, 1).startswith("flood is active")
        assert self.active(c) == ["flood"]

    def test_after_a_manual_zero(self, city: Callable[..., Any]) -> None:
        """A plan that a person ended does not come back over one that has begun since."""
        c = city(plans=self.plans())
        c.at(1, {"s1.x": 1.0, "s1.y": 0.0})
        assert told(c, 2, 0) == ""
        c.at(3, {"s1.y": 1.0})
        assert self.active(c) == ["flood"]
        assert told(c, 4, None) == ""
        assert self.active(c) == ["flood"]


class TestChecklist:
    def test_overdue(self, city: Callable[..., Any]) -> None:
        """An item that is not ticked off in time is an alarm until it is; one that is ticked is none."""
        plans = snow(1)
        plans["snow"]["levels"][0]["checklist"] = [
            {"text": "Hospital access clear", "by": "police", "within": "45 min"},
            {"text": "Schools informed", "by": "education", "within": "60 min"},
        ]
        c = city(plans=plans)
        c.at(0, {"s1.x": 1.0})
        asked = [(q.question, q.to) for q in c.events(PlanAsks)]
        assert asked == [("checklist:1:0", ("police",)), ("checklist:1:1", ("education",))]
        c.at(60, {}, PlanAnswer("snow", "checklist:1:1", True, "bob"))
        c.at(2 * HOUR)
        assert c.alarm("checklist[snow:checklist:1:0]") == "raised"
        assert c.alarm("checklist[snow:checklist:1:1]") == "normal"
        c.at(2 * HOUR + 1, {}, PlanAnswer("snow", "checklist:1:0", True, "bob"))
        assert c.alarm("checklist[snow:checklist:1:0]") == "cleared"

    def test_on_what_was_seen(self, city: Callable[..., Any]) -> None:
        """A tick is of the step that was seen: not of one that is done by now, nor of the same step of a later round."""
        c = city(plans=self.plans())
        plan = c.engine.plans.all["snow"]
        assert plan.step(1, 0) == "-"
        c.at(0, {"s1.x": 1.0})
        seen = plan.step(1, 0)
        assert answered(c, 1, seen=seen) == ""
        assert plan.step(1, 0) == "done"
        assert answered(c, 2, seen=seen).endswith(CHANGED_SINCE)
        assert answered(c, 3) == "the step is ticked off already"
        assert told(c, 60, 0) == ""
        assert told(c, 120, 1) == ""
        assert answered(c, 121, seen=seen).endswith(CHANGED_SINCE)
        assert answered(c, 122, yes=False).startswith("a step is ticked off or left open")
        assert (1, 0) in plan.checklist

    @pytest.mark.parametrize("question", ["checklist:1:7", "checklist:²:0", "checklist:9:0", "checklist:1:" + "1" * 5000, "checklist:1:0:0", "checklist::"])  # fmt: skip
    def test_no_such_step(self, city: Callable[..., Any], question: str) -> None:
        """What is no step of the plan is refused, however it is written."""
        c = city(plans=self.plans())
        c.at(0, {"s1.x": 1.0})
        assert answered(c, 1, question).startswith("nobody asked")

    def plans(self) -> dict[str, Any]:
        plans = snow(1)
        plans["snow"]["levels"][0]["checklist"] = [
            {"text": "Hospital access clear", "by": "police", "within": "45 min"}
        ]
        return plans


class TestReview:
    def test_asked_each_shift(self, city: Callable[..., Any]) -> None:
        """Asked every 8 h while it runs, not after."""
        c = city(review_every="8 h")
        c.at(0, {"s1.x": 1.0})
        c.at(17 * HOUR)
        assert [q.question for q in c.events(PlanAsks)] == ["review", "review"]
        c.at(17 * HOUR + 1, {"s1.x": 0.0})
        c.at(60 * HOUR)
        assert len(c.events(PlanAsks)) == 2


class TestEnable:
    def test_lends_a_rule(self, town: Callable[..., Any]) -> None:
        """A rule that a plan lends runs while the plan is at that level, and gives everything back after."""
        plans = snow(1)
        plans["snow"]["levels"][0]["enable"] = ["lent"]
        rules = {
            "lent": {
                "while": "any(street.a)",
                "hold": [{**hold("5 %"), "priority": "crisis"}],
                "if_unknown": "release",
            }
        }
        c = town(THINGS, plans=plans, rules=rules)
        c.at(0, {"s1.x": 0.0, "s1.a": True})
        assert c.wanted("L.level") == 100.0
        c.at(1, {"s1.x": 1.0})
        assert (c.wanted("L.level"), c.by("L.level")) == (5.0, "lent")
        c.at(2, {"s1.x": 0.0})
        assert c.wanted("L.level") == 100.0


class TestTexts:
    def test_reason(self, city: Callable[..., Any]) -> None:
        """A plan says why it stands: the clause that is true, with its value."""
        plans = snow(1)
        plans["snow"]["levels"][0]["on_enter"] = [
            {"notify": {"to": ["duty"], "text": "Level {plan.level}: {plan.reason}"}}
        ]
        c = city(plans=plans)
        c.at(1, {"s1.x": 2.0})
        assert [n.text for n in c.events(Notice)] == ["Level 1: max(street.x) >= 1 (2)"]


class TestTakenBack:
    """An order is taken back within half a minute."""

    def test_as_it_was(self, city: Callable[..., Any]) -> None:
        """The level of before returns with its end, and parameters with their values."""
        made = city()
        told(made, 1, 1, until=made.start + 600.0)
        told(made, 2, 2, parameters={"crews": 9.0})
        assert told(made, 20, None, undo=True) == ""
        assert (made.value("plan:snow.level"), made.value("plan:snow.crews")) == (1.0, 4.0)
        made.at(601.0)
        assert made.value("plan:snow.level") == 0.0

    def test_too_late(self, city: Callable[..., Any]) -> None:
        """After half a minute it is too late."""
        made = city()
        told(made, 1, 2)
        assert "within 30 s" in told(made, 32, None, undo=True)
        assert made.value("plan:snow.level") == 2.0

    def test_what_its_conditions_say(self, city: Callable[..., Any]) -> None:
        """Taken back from nothing set by hand, the conditions decide again."""
        made = city()
        made.at(1, {"s1.x": 1})
        told(made, 2, 2)
        told(made, 3, None, undo=True)
        assert (made.value("plan:snow.level"), made.value("plan:snow.manual")) == (1.0, False)


class TestTwoPeople:
    """A plan may ask for two people before it rises by hand."""

    def second(self, made: Any, at: float, person: str, yes: bool = True, role: str = "") -> str:
        made.new()
        made.at(at, {}, PlanAnswer("snow", "second", yes, person, role))
        refused = made.new(OrderRefused)
        return refused[0].why if refused else ""

    def test_second(self, city: Callable[..., Any]) -> None:
        """Another person's yes carries the order out; the same person's does not."""
        made = city(two_people=True)
        told(made, 1, 2)
        assert made.value("plan:snow.level") == 0.0
        assert self.second(made, 2, "ANN") == "the second person must be another one"
        assert self.second(made, 3, "bob") == ""
        assert made.value("plan:snow.level") == 2.0

    def test_no(self, city: Callable[..., Any]) -> None:
        """A no forgets the order."""
        made = city(two_people=True)
        told(made, 1, 2)
        assert self.second(made, 2, "bob", yes=False) == ""
        assert self.second(made, 3, "bob") == "nobody waits for a second person"

    def test_nobody_joins(self, city: Callable[..., Any]) -> None:
        """After a minute the order is forgotten."""
        made = city(two_people=True)
        told(made, 1, 2)
        made.at(62)
        assert self.second(made, 63, "bob") == "nobody waits for a second person"

    def test_roles(self, city: Callable[..., Any]) -> None:
        """Who may not set the plan may not join either."""
        made = city(two_people=True)
        told(made, 1, 2)
        assert self.second(made, 2, "bob", role="gardener") == "only duty may change snow"

    def test_the_way_down_needs_one(self, city: Callable[..., Any]) -> None:
        """One person is enough to lower or end it."""
        made = city(two_people=True)
        told(made, 1, 2)
        self.second(made, 2, "bob")
        told(made, 3, 1)
        assert made.value("plan:snow.level") == 1.0


class TestAnEnd:
    def test_refused(self, city: Callable[..., Any]) -> None:
        """An end in the past or more than a week away is refused."""
        made = city()
        for until in (made.start, made.start + 8 * 86_400.0):
            assert told(made, 1, 1, until=until) == "an end lies ahead, at most 7 d from now"

    def test_seen(self, city: Callable[..., Any]) -> None:
        """An order for a plan that stands elsewhere by now is refused; one for where it stands is not."""
        made = city()
        seen = made.engine.plans.all["snow"].standing
        assert told(made, 1, 1, seen=seen) == ""
        assert "changed since you looked" in told(made, 2, 2, seen=seen)
        assert told(made, 3, 2, seen=made.engine.plans.all["snow"].standing) == ""
