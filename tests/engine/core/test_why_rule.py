"""Why a rule acts or not: its clauses at their places, what they read, and what became of its demands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilotage.core.why_rule import (
    ClauseWhy,
    InstanceWhy,
    begin_survey,
    clauses_of,
    instances_of,
    leaves,
    look_at,
    why_rule,
)
from pilotage.model.messages import Override

DIM = {
    "for_each": {"street": {"kind": "street", "where": "street.dimmable"}},
    "while": "street.a and street.flow < 60 veh/h",
    "unless": ["street.b", "street.c and street.x > 3"],
    "hold": [{"set": "street.level", "to": "30 %", "priority": "saving"}],
}
THINGS: dict[str, Any] = {
    "s1": {"kind": "street", "dimmable": True},
    "s2": {"kind": "street", "dimmable": True},
    "s3": {"kind": "street", "dimmable": False},
    "l1": {"kind": "lamp"},
}


def city(town: Callable[..., Any], **more: Any) -> Any:
    rule = {key: value for key, value in {**DIM, **more}.items() if value is not None}
    made = town({k: dict(v) for k, v in THINGS.items()}, rules={"dim": rule})
    made.at(0, {"s1.a": True, "s1.flow": 40, "s1.b": False, "s1.c": False, "s1.x": 1})
    return made


def why(made: Any, instance: str = "", target: str = "") -> InstanceWhy:
    found = why_rule(made.engine, "dim", instance, target)
    assert found is not None
    return found


class TestClauses:
    def test_each_with_place_truth_and_need(self, town: Callable[..., Any]) -> None:
        """Each clause says where it stands, what it is, what it must be, and what it reads."""
        found = why(city(town), "s1")

        assert [(c.text, c.part, c.needed, c.truth) for c in found.clauses] == [
            ("street.a", "while", True, True),
            ("street.flow < 60 veh/h", "while", True, True),
            ("street.b", "unless", False, False),
            ("street.c and street.x > 3", "unless", False, False),
        ]
        assert all(c.is_met for c in found.clauses)
        flow = found.clauses[1]
        assert (flow.at.file, flow.at.length) == ("town.yaml", len("street.flow < 60 veh/h"))
        (read,) = flow.reads
        assert (read.what, read.point, read.text, read.quality) == (
            "street.flow", "s1.flow", "40 veh/h", "good",
        )  # fmt: skip

    def test_what_would_turn_it(self, town: Callable[..., Any]) -> None:
        """A clause says what would turn it around, as data."""
        flips = {c.text: c.flip for c in why(city(town), "s1").clauses}

        flow = flips["street.flow < 60 veh/h"]
        assert flow is not None
        assert (flow.how, flow.left, flow.right) == ("at_least", "street.flow", "60 veh/h")
        b = flips["street.b"]
        assert b is not None
        assert (b.how, b.left) == ("true", "street.b")

    def test_unknown(self, town: Callable[..., Any]) -> None:
        """A value that nobody knows makes its clause unknown, with its quality and age."""
        made = city(town)
        made.at(400)  # the flow is stale after 300 s
        found = why(made, "s1")
        flow = found.clauses[1]

        assert (found.verdict, found.truth, flow.truth) == ("unknown", None, None)
        assert (flow.reads[0].quality, flow.reads[0].is_known) == ("stale", False)
        assert flow.flip is not None
        assert flow.flip.how == "known"

    def test_until_is_split(self, town: Callable[..., Any]) -> None:
        """Under `until` each alternative ends the hold by itself, and is shown by itself."""
        made = city(town, until="street.flow > 80 veh/h or street.c", unless=None)
        found = why(made, "s1")

        assert [(c.text, c.part, c.needed) for c in found.clauses] == [
            ("street.flow > 80 veh/h", "until", False),
            ("street.c", "until", False),
        ]
        made.at(10, {"s1.flow": 90})
        outside = why(made, "s1")
        assert outside.verdict == "not_met"
        assert [c.part for c in outside.clauses] == ["while", "while", "until", "until"]

    def test_a_statistic_over_others(self, town: Callable[..., Any]) -> None:
        """A statistic over a set is one value; its members' variable is none of the rule's."""
        made = city(town, **{"while": "avg(street.lamps.level) > 50 %", "unless": None})
        (clause,) = why(made, "s1").clauses

        assert [r.what for r in clause.reads] == ["avg(lamp.level)"]

    @pytest.mark.parametrize("truth", [True, False])
    def test_leaves_together_are_the_condition(self, town: Callable[..., Any], truth: bool) -> None:
        """All clauses as needed is the same as the whole condition being true."""
        made = city(town)
        made.at(1, {"s1.b": not truth})
        (instance,) = [i for i in instances_of(made.engine, "dim") if i.label == "s1"]
        evaluate = made.engine.interpreter.evaluate
        rule = instance.rule
        assert rule.enter is not None

        met = all(evaluate(leaf.node, instance.env) is leaf.needed for leaf in leaves(rule.enter))
        assert met is evaluate(rule.enter, instance.env) is truth


class TestVerdict:
    def test_acts(self, town: Callable[..., Any]) -> None:
        """A hold whose demand wins acts."""
        found = why(city(town), "s1")

        assert (found.verdict, found.state, found.effects_total) == ("acts", "holding", 1)
        assert [(e.point, e.text, e.result) for e in found.effects] == [
            ("s1.level", "30 %", "wins")
        ]

    def test_dominated(self, town: Callable[..., Any]) -> None:
        """A hold below an override says who stands above it, with what, and until when."""
        made = city(town)
        end = made.start + 600
        made.at(10, None, Override("s1.level", 100.0, "nadia", "works", end))
        found = why(made, target="s1")
        (effect,) = found.effects

        assert (found.verdict, found.state) == ("dominated", "holding")
        assert (effect.result, effect.decider.sort, effect.decider.name) == (
            "next", "person", "nadia",
        )  # fmt: skip
        assert (effect.decided_text, effect.decided_level, effect.until) == ("100 %", 8, end)

    def test_waits(self, town: Callable[..., Any]) -> None:
        """`for`, `keep` and `cooldown` say when they are over."""
        made = city(town, **{"for": "5 min", "cooldown": {"after": "10 min", "per": "street"}})
        pending = why(made, "s1")
        assert (pending.verdict, pending.due) == ("pending", made.start + 300)
        made.at(299, {"s1.flow": 41})
        made.at(310)
        assert why(made, "s1").verdict == "acts"
        made.at(320, {"s1.b": True})
        made.at(321, {"s1.b": False, "s1.flow": 30})
        resting = why(made, "s1")
        assert (resting.verdict, resting.due) == ("resting", made.start + 920)

    def test_kept(self, town: Callable[..., Any]) -> None:
        """A hold that is kept after its condition has ended says so, and until when."""
        made = city(town, keep="90 s")
        made.at(10, {"s1.b": True})
        found = why(made, "s1")

        assert (found.verdict, found.truth, found.due) == ("kept", False, made.start + 100)

    def test_not_in_the_set(self, town: Callable[..., Any]) -> None:
        """A thing that is not in the rule's set is told which part of `where` keeps it out."""
        found = why(city(town), target="s3")

        assert found.verdict == "absent"
        assert [(c.text, c.part, c.truth) for c in found.clauses] == [
            ("street.dimmable", "where", False)
        ]

    def test_foreign_off_and_unknown(self, town: Callable[..., Any]) -> None:
        """A thing of another kind, a rule that is off, and one that does not exist."""
        made = city(town)
        assert why(made, target="l1").verdict == "foreign"
        assert why(made, target="nobody").verdict == "foreign"
        made.engine.enable("dim", False)
        assert why(made, "s1").verdict == "off"
        assert why_rule(made.engine, "nothing") is None

    def test_shadow(self, town: Callable[..., Any]) -> None:
        """A rule in shadow holds without wanting anything."""
        made = city(town, mode="shadow")
        found = why(made, "s1")

        assert (found.mode, found.verdict) == ("shadow", "acts")
        assert [e.result for e in found.effects] == ["shadow"]

    def test_story(self, town: Callable[..., Any]) -> None:
        """A story waits for its event, or is under way."""
        story = {
            "for_each": {"street": {"kind": "street"}},
            "when": "street.a becomes true",
            "do": [{"wait": "5 min"}, {"note": "done"}],
        }
        made = town({"s1": {"kind": "street"}}, rules={"dim": story})
        made.at(0, {"s1.a": False})
        assert (why(made, "s1").verdict, why(made, "s1").why) == ("waits", "street.a becomes true")
        made.at(1, {"s1.a": True})
        assert why(made, "s1").verdict == "running"

    def test_what_leads_to_another_thing(self, town: Callable[..., Any]) -> None:
        """A thing that a rule reaches through another of its things is found by the demand on it."""
        rule = {
            "for_each": {"street": {"kind": "street"}},
            "while": "street.a",
            "hold": [{"set": "street.main_lamp.level", "to": "10 %", "priority": "saving"}],
        }
        made = town({"l1": {"kind": "lamp"}, "s1": {"kind": "street"}}, rules={"dim": rule})
        made.at(0, {"s1.main_lamp": "l1", "s1.a": True})
        found = why(made, target="l1")

        assert (found.instance, found.verdict) == ("s1", "acts")


class TestSurvey:
    def test_counts_and_near(self, town: Callable[..., Any]) -> None:
        """Over all instances: how many meet each clause, and who is one clause away from acting."""
        made = city(town)
        made.at(1, {"s2.a": True, "s2.flow": 70, "s2.b": False, "s2.c": False, "s2.x": 1})
        (rule,) = made.engine.program.rules
        survey = begin_survey(rule)
        for instance in instances_of(made.engine, "dim"):
            look_at(survey, made.engine, instance)  # type: ignore[arg-type]

        assert survey.counts == [[2, 0, 0], [1, 1, 0], [2, 0, 0], [2, 0, 0]]
        assert (survey.near, survey.near_total) == ([("s2", 1)], 1)
        assert survey.states == {"holding": 1, "idle": 1}

    def test_clauses_as_written(self, town: Callable[..., Any]) -> None:
        """Without an instance the clauses are still known, with their places."""
        (rule,) = city(town).engine.program.rules
        found: list[ClauseWhy] = clauses_of(rule)

        assert [c.part for c in found] == ["while", "while", "unless", "unless"]
        assert [c.truth for c in found] == [None] * 4
