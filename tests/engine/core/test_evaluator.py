"""Holds: a demand stands as long as its condition is true, with delays, limits, rests and doubts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.core.store import WITHHELD
from pilotage.model.messages import Command, Demanded, Faulted, Relinquished, RuleChanged

NEVER = float("inf")
LEVEL = {"set": "street.level", "to": "30 %", "priority": "saving"}


def rule(condition: str = "street.a", **keys: Any) -> dict[str, Any]:
    """Return one rule that dims each street."""
    return {
        "dim": {
            "for_each": {"street": {"kind": "street"}},
            "while": condition,
            "hold": [LEVEL],
            **keys,
        }
    }


@dataclass
class Model:
    """A hold as the language guide tells it, section 5, with one condition `a` and perhaps `until: b`.

    Unknown is None. With `act`, unknown counts as true once it has lasted `unknown_after`. Times are seconds.
    """

    for_s: float = 0.0
    keep: float = 0.0
    at_most: float = NEVER
    cooldown: float = 0.0
    if_unknown: str = "release"
    unknown_after: float = 0.0
    hold_at_most: float = 3600.0
    has_until: bool = False
    a: bool | None = None
    b: bool | None = None
    a_since: float = 0.0
    b_since: float = 0.0
    true_since: float | None = None
    holding_since: float | None = None
    doubted: bool = False
    doubt_since: float = 0.0
    spent: bool = False
    rest_until: float = -NEVER
    judged: float = -NEVER

    def told(self, now: float, a: bool | None, b: bool | None) -> None:
        """Take new values at a time."""
        self.run_until(now)
        if a is not self.a:
            self.a, self.a_since = a, now
        if b is not self.b:
            self.b, self.b_since = b, now
        self.note_doubt(now)
        self.judge(now)

    def note_doubt(self, now: float) -> None:
        """Remember since when it is unknown whether to begin; a new hold asks the question anew."""
        doubt = (self.a is None and self.b is not True) or (self.b is None and self.a is not False)
        if not doubt or self.holding_since is not None:
            self.doubt_since = NEVER
        elif self.doubt_since == NEVER:
            self.doubt_since = now

    def truth(self) -> tuple[bool | None, float]:
        """What decides now, and since when it says so; nothing begins while `until` is true or unknown."""
        stay, stay_since = (None if self.b is None else not self.b), self.b_since
        if not self.has_until:
            return self.a, self.a_since
        if self.holding_since is not None:
            return stay, max(stay_since, self.holding_since)
        if self.a is False or stay is False:
            return False, NEVER
        if self.a is None or stay is None:
            return None, self.doubt_since
        return True, NEVER

    def deadlines(self) -> list[float]:
        """Every moment at which time alone could change something."""
        _, since = self.truth()
        moments = [since + self.unknown_after, since + self.keep, self.rest_until]
        moments.append(since + self.unknown_after + self.hold_at_most)
        if self.true_since is not None:
            moments.append(self.true_since + self.for_s)
        if self.holding_since is not None:
            moments.append(self.holding_since + self.at_most)
        return moments

    def run_until(self, now: float) -> None:
        """Let time pass up to a moment, that moment included; what is over is not judged again."""
        while True:
            due = min((d for d in self.deadlines() if self.judged < d <= now), default=None)
            if due is None:
                return
            self.judge(due)

    def judge(self, now: float) -> None:
        """Enter or leave."""
        self.judged = now
        if self.holding_since is not None:
            self.judge_holding(now)
        if self.holding_since is None:
            self.judge_idle(now)

    def judge_idle(self, now: float) -> None:
        truth, since = self.truth()
        if truth is False:
            self.spent = False
        counts = truth is True or (
            truth is None and self.if_unknown == "act" and now >= since + self.unknown_after
        )
        if not counts:
            self.true_since = None
            return
        if self.true_since is None:
            self.true_since = now
        if not self.spent and now >= self.true_since + self.for_s and now >= self.rest_until:
            self.holding_since = now
            self.doubted = truth is None
            self.judge_holding(now)

    def judge_holding(self, now: float) -> None:
        assert self.holding_since is not None
        truth, since = self.truth()
        leave = now >= self.holding_since + self.at_most
        by_limit = leave
        if truth is True:
            self.doubted = False
        elif truth is False:
            leave = leave or self.doubted or now >= since + self.keep
        elif now >= since + self.unknown_after:
            self.doubted = True
            if self.if_unknown == "release":
                leave = True
            elif self.if_unknown == "hold":
                leave = leave or now >= since + self.unknown_after + self.hold_at_most
        if leave:
            self.holding_since = None
            self.true_since = None
            self.rest_until = now + self.cooldown
            self.note_doubt(now)
            self.spent = by_limit and self.truth()[0] is not False


def variants() -> st.SearchStrategy[dict[str, Any]]:
    """Rules with and without each key; no sum of these delays meets another, nor a whole second."""
    return st.fixed_dictionaries(
        {},
        optional={
            "for_s": st.just(3.1),
            "keep": st.just(4.01),
            "at_most": st.sampled_from([7.001, 12.001]),
            "cooldown": st.just(5.0001),
            "if_unknown": st.sampled_from(["release", "hold", "act"]),
            "unknown_after": st.just(2.00001),
            "hold_at_most": st.just(6.000001),
            "has_until": st.just(True),
        },
    )


def as_rule(variant: dict[str, Any]) -> dict[str, Any]:
    """Return the variant as a rule file says it."""
    keys: dict[str, Any] = {}
    for name, key in (("for_s", "for"), ("keep", "keep"), ("at_most", "at_most")):
        if name in variant:
            keys[key] = f"{variant[name]} s"
    for key in ("unknown_after", "hold_at_most"):
        if key in variant:
            keys[key] = f"{variant[key]} s"
    if "cooldown" in variant:
        keys["cooldown"] = {"after": f"{variant['cooldown']} s", "per": "street"}
    if "if_unknown" in variant:
        keys["if_unknown"] = variant["if_unknown"]
    if variant.get("has_until"):
        keys["until"] = "street.b"
    return rule(**keys)


class TestAgainstTheGuide:
    @settings(max_examples=400, deadline=None)
    @given(
        variant=variants(),
        story=st.lists(
            st.tuples(
                st.integers(1, 6),
                st.sampled_from([True, True, False, None]),
                st.sampled_from([False, False, True, None]),
            ),
            max_size=14,
        ),
    )
    def test_same_holds(
        self, town: Callable[..., Any], variant: dict[str, Any], story: list[Any]
    ) -> None:
        """Whatever becomes of the condition, the demand stands exactly when the guide says so."""
        street = town(rules=as_rule(variant))
        model = Model(**variant)
        model.judge(0.0)
        now = 0
        trail = []
        for pause, a, b in [*story, (30, None, None)]:
            for second in range(now, now + pause):
                street.at(second + 0.5)
                model.run_until(second + 0.5)
                got = street.wanted("s1.level") == 30.0
                trail.append((second + 0.5, got))
                assert got is (model.holding_since is not None), (second + 0.5, trail)
            now += pause
            street.at(now, {"s1.a": a, "s1.b": b})
            model.told(now, a, model.b)  # one reading after the other, even in one tick
            model.told(now, a, b)


class TestFor:
    def test_true_that_long(self, town: Callable[..., Any]) -> None:
        """A condition that was false in between begins again."""
        street = town(rules=rule(**{"for": "10 s"}))
        street.at(1, {"s1.a": True})
        street.at(9, {"s1.a": False})
        street.at(10, {"s1.a": True})
        street.at(19.9)
        assert street.state("dim") == "pending"
        street.at(20.1)
        assert street.state("dim") == "holding"

    def test_recorded_past_counts(self, town: Callable[..., Any]) -> None:
        """What was true before the start need not last again."""
        street = town(rules=rule(**{"for": "10 s"}), past={"s1.a": (True, 8.0)})
        assert street.state("dim") == "pending"
        street.at(2.1)
        assert street.state("dim") == "holding"


class TestKeep:
    def test_limit_during_keep(self, town: Callable[..., Any]) -> None:
        """A limit that ends a hold whose condition is false already leaves no debt: the next time counts."""
        street = town(rules=rule(keep="90 s", at_most="60 s"))
        street.at(0, {"s1.a": True})
        street.at(50, {"s1.a": False})
        street.at(61)
        assert street.state("dim") == "idle"
        street.at(200, {"s1.a": True})
        assert street.state("dim") == "holding"

    def test_keep_with_until(self, town: Callable[..., Any]) -> None:
        """A hold that `until` ended and `keep` prolonged does not begin again while `until` is true."""
        street = town(rules=rule(keep="10 s", until="street.b"))
        street.at(0, {"s1.a": True, "s1.b": False})
        street.at(5, {"s1.b": True})
        street.at(60)
        assert street.state("dim") == "idle"
        assert len([e for e in street.events(RuleChanged) if e.after == "holding"]) == 1


class TestRecord:
    def test_what_it_read(self, town: Callable[..., Any]) -> None:
        """The record has the values that a rule read, and none of personal data, which has limits of its own."""
        street = town(rules=rule('street.caller != "nobody" and street.flow > 60 veh/h'))
        street.at(0, {"s1.caller": "Ada", "s1.flow": 90.0})
        (began,) = [e for e in street.events(RuleChanged) if e.after == "holding"]
        assert dict(began.read) == {"s1.caller": WITHHELD, "s1.flow": 90.0}


class TestAtMost:
    def test_spent(self, town: Callable[..., Any]) -> None:
        """After the limit the condition must be false once."""
        street = town(rules=rule(at_most="60 s"))
        street.at(0, {"s1.a": True})
        street.at(61)
        assert (street.state("dim"), street.wanted("s1.level")) == ("spent", 100.0)
        street.at(70, {"s1.a": None})
        street.at(80, {"s1.a": True})
        assert street.state("dim") == "spent"
        street.at(90, {"s1.a": False})
        street.at(91, {"s1.a": True})
        assert street.state("dim") == "holding"


class TestCooldown:
    RULE: ClassVar[dict[str, Any]] = {
        "ask": {
            "for_each": {
                "junction": {"kind": "junction"},
                "bus": {"kind": "bus", "within": "150 m", "of": "junction"},
            },
            "while": "bus.delay > 60 s",
            "for": "10 s",
            "cooldown": {"after": "90 s", "per": "junction"},
            "hold": [
                {"request": "junction.priority", "for": "bus", "priority": "service"},
            ],
        }
    }
    THINGS: ClassVar[dict[str, Any]] = {
        "J": {"kind": "junction", "position": [47.0, 5.0]},
        "bus-1": {"kind": "bus", "position": [47.0, 5.0], "delay": 0.0},
        "bus-2": {"kind": "bus", "position": [47.0, 5.0], "delay": 0.0},
    }

    def test_rest_is_shared(self, town: Callable[..., Any]) -> None:
        """A bus that is waiting out its `for` when another gives back rests with it; 15 + 90 = 105 s."""
        city = town(self.THINGS, rules=self.RULE)
        city.at(0, {"bus-1.delay": 100.0})
        city.at(11, {"bus-2.delay": 100.0})
        city.at(15, {"bus-1.delay": 0.0})
        city.at(22)
        assert city.state("ask", "J, bus-2") == "cooldown"
        city.at(104.9)
        assert city.wanted("J.priority") is None
        city.at(105.1)
        assert city.wanted("J.priority") == "bus-2"

    def test_first_evaluation_is_not_a_rest(self, town: Callable[..., Any]) -> None:
        """Another junction does not rest."""
        things = {**self.THINGS, "K": {"kind": "junction", "position": [47.0, 5.0]}}
        rules = {
            "ask": {**self.RULE["ask"], "cooldown": {"after": "90 s", "per": ["junction", "bus"]}}
        }
        city = town(things, rules=rules)
        city.at(0, {"bus-1.delay": 100.0})
        city.at(11)
        assert (city.wanted("J.priority"), city.wanted("K.priority")) == ("bus-1", "bus-1")


class TestUntil:
    def test_unknown_at_the_beginning(self, town: Callable[..., Any]) -> None:
        """Nothing begins while its end is unknown, or true already: it would leave at once."""
        street = town(rules=rule(until="street.b"))
        street.at(0, {"s1.a": True})
        assert street.state("dim") == "unknown"
        street.at(1, {"s1.b": True})
        assert street.state("dim") == "idle"
        street.at(2, {"s1.b": False})
        assert street.state("dim") == "holding"
        assert len(street.events(RuleChanged)) == 2  # unknown at the start, idle, holding

    def test_windows_begin_early(self, town: Callable[..., Any]) -> None:
        """Two thresholds on a window: the second one knows the same past as the first."""
        rules = rule(
            "avg(street.flow, 10 min) < 60 veh/h", until="avg(street.flow, 10 min) > 80 veh/h"
        )
        street = town(rules=rules)
        for minute in range(0, 9):
            street.at(minute * 60, {"s1.flow": 40.0 + minute % 2})
        assert street.state("dim") == "holding"
        changes = [e.after for e in street.events(RuleChanged)]
        assert changes == ["holding"]
        for minute in range(9, 20):
            street.at(minute * 60, {"s1.flow": 200.0 + minute % 2})
        assert street.state("dim") == "idle"
        for minute in range(20, 31):
            street.at(minute * 60, {"s1.flow": 20.0 + minute % 2})
        assert street.state("dim") == "holding"
        assert "unknown" not in [e.after for e in street.events(RuleChanged)]


class TestUnless:
    def test_unknown_exception(self, town: Callable[..., Any]) -> None:
        """An exception that is unknown makes the condition unknown."""
        street = town(rules=rule(unless="street.b"))
        street.at(0, {"s1.a": True})
        assert street.state("dim") == "unknown"
        street.at(1, {"s1.b": False})
        assert street.state("dim") == "holding"
        street.at(2, {"s1.b": True})
        assert street.state("dim") == "idle"


class TestFollowing:
    def test_value_moves(self, town: Callable[..., Any]) -> None:
        """A demand follows the value that it was given, and keeps the last while that is unknown."""
        rules = rule()
        rules["dim"]["hold"] = [
            {"set": "street.level", "to": "street.x * 1 %", "priority": "saving"}
        ]
        street = town(rules=rules)
        street.at(0, {"s1.a": True, "s1.x": 20.0})
        assert street.wanted("s1.level") == 20.0
        street.at(1, {"s1.x": 40.0})
        assert street.wanted("s1.level") == 40.0
        street.at(2, {"s1.x": None})
        assert street.wanted("s1.level") == 40.0

    def test_target_moves(self, town: Callable[..., Any]) -> None:
        """When a reference leads elsewhere the old point is given up and the new one taken."""
        things = {
            "s1": {"kind": "street", "main_lamp": "L1", "a": True},
            "L1": {"kind": "lamp"},
            "L2": {"kind": "lamp"},
        }
        rules = rule()
        rules["dim"]["hold"] = [
            {"set": "street.main_lamp.level", "to": "30 %", "priority": "saving"}
        ]
        city = town(things, rules=rules)
        assert (city.wanted("L1.level"), city.wanted("L2.level")) == (30.0, 100.0)
        city.at(1, {"s1.main_lamp": "L2"})
        assert (city.wanted("L1.level"), city.wanted("L2.level")) == (100.0, 30.0)
        city.at(2, {"s1.main_lamp": None})
        assert city.wanted("L2.level") == 100.0

    def test_members_move(self, town: Callable[..., Any]) -> None:
        """`each` over a set takes whoever joins and releases whoever leaves."""
        things = {f"s{i}": {"kind": "street", "b": i == 1} for i in (1, 2)}
        rules = {
            "all": {
                "while": "any(street.a)",
                "hold": [
                    {
                        "each": {"street": {"kind": "street", "where": "street.b"}},
                        "set": "street.level",
                        "to": "30 %",
                        "priority": "saving",
                    }
                ],
            }
        }
        city = town(things, rules=rules)
        city.at(0, {"s1.a": True})
        assert (city.wanted("s1.level"), city.wanted("s2.level")) == (30.0, 100.0)
        city.at(1, {"s2.b": True, "s1.b": False})
        assert (city.wanted("s1.level"), city.wanted("s2.level")) == (100.0, 30.0)


class TestShadow:
    def test_recorded_never_sent(self, town: Callable[..., Any]) -> None:
        """A rule in shadow says what it would want, and nothing leaves."""
        street = town(rules=rule(mode="shadow"))
        street.at(0, {"s1.a": True})
        street.at(1, {"s1.a": False})
        assert [e.owner for e in street.events(Demanded, Relinquished)] == ["shadow:dim[s1]"] * 2
        assert street.events(Command) == []
        assert street.wanted("s1.level") == 100.0


class TestEnabled:
    def test_off(self, town: Callable[..., Any]) -> None:
        """A rule that is not enabled has no instance."""
        street = town(rules=rule(enabled=False))
        street.at(0, {"s1.a": True})
        assert (street.state("dim"), street.events(Demanded, Faulted)) == ("absent", [])
