"""Stories: steps that run once, wait, branch, and fail one by one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest

from pilotage.model.messages import (
    CallOut,
    CallResult,
    IncidentChanged,
    IncidentOrder,
    Noted,
    Notice,
    NoticeAcknowledged,
    OrderRefused,
    RunChanged,
)

YEAR = 2026
THINGS = {
    "s1": {"kind": "street", "name": "High Street", "lamps": ["L1", "L2"]},
    "L1": {"kind": "lamp"},
    "L2": {"kind": "lamp"},
}


def say(text: str) -> dict[str, Any]:
    return {"notify": {"to": ["duty"], "text": text}}


def story(*steps: Any, **keys: Any) -> dict[str, Any]:
    return {
        "tell": {
            "for_each": {"street": {"kind": "street"}},
            "when": "street.a becomes true",
            "do": list(steps),
            **keys,
        }
    }


@pytest.fixture
def street(town: Callable[..., Any]) -> Callable[..., Any]:
    def make(*steps: Any, **keys: Any) -> Any:
        city = town(THINGS, rules=story(*steps, **keys))
        city.at(0, {"s1.a": False, "s1.b": False})
        return city

    return make


def texts(city: Any) -> list[str]:
    return [n.text for n in city.new(Notice)]


def again(city: Any, at: float) -> None:
    """Make the event happen once more."""
    city.at(at, {"s1.a": False})
    city.at(at, {"s1.a": True})


def running(city: Any) -> int:
    return len(city.engine.stories.runs("tell"))


class TestRuns:
    STEPS = (say("begin"), {"wait": "10 s"}, say("end"))

    @pytest.mark.parametrize(
        ("runs", "told"),
        [
            ("one", ["begin", "end"]),
            ("one per street", ["begin", "end"]),
            ("restart", ["begin", "begin", "begin", "end"]),
            ("queue 1", ["begin", "end", "begin", "end"]),
            ("queue 5", ["begin", "end"] * 3),
            ("parallel 2", ["begin", "begin", "end", "end"]),
            ("parallel 9", ["begin"] * 3 + ["end"] * 3),
        ],
    )
    def test_three_events_in_ten_seconds(
        self, street: Callable[..., Any], runs: str, told: list[str]
    ) -> None:
        """Three events at 1, 4 and 7 s with runs of 10 s: what `runs` says decides."""
        city = street(*self.STEPS, runs=runs)
        for moment in (1, 4, 7):
            again(city, moment)
        city.at(60)
        assert texts(city) == told
        assert running(city) == 0

    def test_condition(self, street: Callable[..., Any]) -> None:
        """`if` is looked at when the event happens; unknown is no."""
        city = street(say("x"), **{"if": "street.c"})
        again(city, 1)
        city.at(2, {"s1.c": True})
        again(city, 3)
        assert texts(city) == ["x"]

    def test_each_run_ends_once(self, street: Callable[..., Any]) -> None:
        """Whatever starts has one end."""
        city = street(*self.STEPS, runs="restart")
        for moment in (1, 4, 7):
            again(city, moment)
        city.at(60)
        started = [e.run for e in city.events(RunChanged) if e.state == "started"]
        ended = [e.run for e in city.events(RunChanged) if e.state in ("ended", "restarted")]
        assert sorted(started) == sorted(ended) and len(set(started)) == 3


class TestEvents:
    def test_unknown_in_between(self, street: Callable[..., Any]) -> None:
        """What becomes unknown and comes back as it was is no event."""
        city = street(say("x"))
        for moment, a in enumerate((True, None, True, False, None, True), start=1):
            city.at(moment, {"s1.a": a})
        assert texts(city) == ["x", "x"]

    def test_silent_panel(self, street: Callable[..., Any]) -> None:
        """`if_unknown: act` starts a run after `unknown_after` of silence."""
        city = street(say("x"), if_unknown="act", unknown_after="60 s")
        city.at(1, {"s1.a": None})
        city.at(50, {"s1.a": False})
        city.at(100, {"s1.a": None})
        city.at(159.9)
        assert texts(city) == []
        city.at(160.1)
        assert texts(city) == ["x"]

    def test_every_and_at(self, town: Callable[..., Any]) -> None:
        """`every` counts from midnight UTC, `at` is city time; a late tick is one event, not many."""
        rules = {
            "often": {"when": "every 15 min", "do": [say("often")]},
            "daily": {"when": "at 06:30", "do": [say("daily")]},
        }
        city = town(THINGS, rules=rules)
        city.at(3600)
        assert texts(city) == ["often"] * 4
        city.engine.tick(city.start + 5 * 3600)
        city.new()
        city.at(6.5 * 3600 + 1)
        assert texts(city).count("daily") == 1

    def test_two_moments(self, town: Callable[..., Any]) -> None:
        """Each moment of a rule that names two happens, day after day."""
        rules = {"shift": {"when": "at 06:00 or at 18:00", "do": [say("shift")]}}
        city = town(THINGS, rules=rules)
        city.at(48 * 3600)
        assert texts(city) == ["shift"] * 4

    def test_enters(self, town: Callable[..., Any]) -> None:
        """`enters` tells of who comes in, not of who was there when the rule began or was exchanged."""
        rules = {
            "hello": {
                "for_each": {
                    "junction": {"kind": "junction"},
                    "bus": {"kind": "bus", "within": "150 m", "of": "junction"},
                },
                "when": "enters",
                "do": [say("hello {bus.name}")],
            },
        }
        things = {
            "J": {"kind": "junction", "position": [47.0, 5.0]},
            "bus-1": {"kind": "bus", "position": [47.0, 5.0]},
            "bus-2": {"kind": "bus"},
        }
        city = town(things, rules=rules)
        assert texts(city) == []
        city.at(1, {"bus-2.position": [47.0, 5.0]})
        assert texts(city) == ["hello bus-2"]
        changed = {"hello": {**rules["hello"], "do": [say("welcome {bus.name}")]}}
        city.adopt(rules=changed)
        city.at(2, {"bus-1.position": [48.0, 5.0]})
        assert texts(city) == []
        city.at(3, {"bus-1.position": [47.0, 5.0]})
        assert texts(city) == ["welcome bus-1"]

    def test_leaves(self, town: Callable[..., Any]) -> None:
        """`leaves` tells of who went away, not of a rule that is taken out."""
        rules = {
            "bye": {
                "for_each": {
                    "junction": {"kind": "junction"},
                    "bus": {"kind": "bus", "within": "150 m", "of": "junction"},
                },
                "when": "leaves",
                "do": [say("bye {bus.name}")],
            },
        }
        things = {
            "J": {"kind": "junction", "position": [47.0, 5.0]},
            "bus-1": {"kind": "bus"},
            "bus-2": {"kind": "bus"},
        }
        city = town(things, rules=rules)
        city.at(1, {"bus-1.position": [47.0, 5.0], "bus-2.position": [47.0, 5.0]})
        city.at(2, {"bus-1.position": [48.0, 5.0]})
        assert texts(city) == ["bye bus-1"]
        city.adopt()
        city.at(3)
        assert texts(city) == []


class TestWaiting:
    def test_wait_for(self, street: Callable[..., Any]) -> None:
        """Goes on as soon as the condition is true."""
        city = street({"wait_for": "street.b", "timeout": "60 s", "else": [say("late")]}, say("on"))
        again(city, 1)
        city.at(30, {"s1.b": True})
        city.at(31, {"s1.b": False})
        city.at(100)
        assert texts(city) == ["on"]

    def test_timeout(self, street: Callable[..., Any]) -> None:
        """Otherwise does what `else` says, then goes on."""
        city = street({"wait_for": "street.b", "timeout": "60 s", "else": [say("late")]}, say("on"))
        again(city, 1)
        city.at(60.9)
        assert texts(city) == []
        city.at(61.1)
        assert texts(city) == ["late", "on"]

    def test_already_true(self, street: Callable[..., Any]) -> None:
        """What is true already is not waited for."""
        city = street({"wait_for": "not street.b", "timeout": "60 s"}, say("on"))
        again(city, 1)
        assert texts(city) == ["on"]


class TestBranches:
    def test_if(self, street: Callable[..., Any]) -> None:
        """Unknown is not true."""
        city = street({"if": "street.c", "then": [say("yes")], "else": [say("no")]}, say("after"))
        again(city, 1)
        city.at(2, {"s1.c": True})
        again(city, 3)
        assert texts(city) == ["no", "after", "yes", "after"]

    def test_one_after_the_other(self, street: Callable[..., Any]) -> None:
        """`for_each` goes through the members in order, one at a time."""
        each = {"for_each": {"lamp": "street.lamps"}, "do": [say("{lamp.id}"), {"wait": "10 s"}]}
        city = street(each, say("done"))
        again(city, 1)
        assert texts(city) == ["L1"]
        city.at(11.5)
        assert texts(city) == ["L2"]
        city.at(21.5)
        assert texts(city) == ["done"]

    def test_together(self, street: Callable[..., Any]) -> None:
        """`together` begins all at once and goes on when the last has ended."""
        each = {
            "for_each": {"lamp": "street.lamps"},
            "together": True,
            "do": [{"wait_for": "lamp.broken", "timeout": "60 s"}, say("{lamp.id}")],
        }
        city = street(each, say("done"))
        again(city, 1)
        city.at(2, {"L2.broken": True})
        city.at(3)
        assert texts(city) == ["L2"]
        city.at(62)
        assert texts(city) == ["L1", "done"]


class TestNotices:
    STEP: ClassVar[dict[str, Any]] = {
        "notify": {
            "to": ["duty"],
            "text": "first",
            "acknowledge_within": "60 s",
            "else": [say("second")],
        }
    }

    def test_acknowledged(self, street: Callable[..., Any]) -> None:
        """Seen in time: nobody else is called, and the run ends with that."""
        city = street(self.STEP)
        again(city, 1)
        (notice,) = city.new(Notice)
        assert notice.acknowledge_by == city.start + 61
        assert running(city) == 1
        city.at(30, {}, NoticeAcknowledged(notice.id, "ann"))
        assert running(city) == 0
        city.at(100, {}, NoticeAcknowledged(notice.id, "ann"))
        assert texts(city) == []
        assert len(city.events(OrderRefused)) == 1

    def test_late(self, street: Callable[..., Any]) -> None:
        """Not seen in time: the next one is called, once; the run did not wait for it."""
        city = street(self.STEP, say("beside"))
        again(city, 1)
        assert texts(city) == ["first", "beside"]
        city.at(100)
        assert texts(city) == ["second"]
        assert running(city) == 0


class TestCalls:
    def step(self, **keys: Any) -> dict[str, Any]:
        return {
            "call": "crew.send",
            "with": {"to": '"{street.name}"'},
            "expect": {"status": ["accepted"], "within": "10 s", "retry": 1},
            "on_failure": [say("failed")],
            **keys,
        }

    def calls(self, city: Any) -> list[Any]:
        return [c for c in city.sent() if isinstance(c, CallOut)]

    def test_accepted(self, street: Callable[..., Any]) -> None:
        """The run goes on with the expected answer."""
        city = street(self.step(), say("on"))
        again(city, 1)
        (call,) = self.calls(city)
        city.at(5, {}, CallResult(call.id, "accepted"))
        city.at(60)
        assert [n.text for n in city.events(Notice)] == ["on"]

    @pytest.mark.parametrize("status", ["refused", None])
    def test_fails(self, street: Callable[..., Any], status: str | None) -> None:
        """Refused or unanswered twice: what `on_failure` says is done once, and the run goes on."""
        city = street(self.step(), say("on"))
        again(city, 1)
        moment = 1.0
        for attempt in (1, 2):
            (call,) = self.calls(city)
            assert call.attempt == attempt
            moment += 10.1
            city.at(moment, {}, *([CallResult(call.id, status)] if status else []))
        city.at(100)
        assert sorted(n.text for n in city.events(Notice)) == ["failed", "on"]
        assert len(city.events(CallOut)) == 2
        assert running(city) == 0

    def test_late_answer(self, street: Callable[..., Any]) -> None:
        """An answer to a run that was restarted moves nothing."""
        city = street(self.step(), say("on"), runs="restart")
        again(city, 1)
        (call,) = self.calls(city)
        again(city, 2)
        city.at(3, {}, CallResult(call.id, "accepted"))
        assert [n.text for n in city.events(Notice)] == []
        assert running(city) == 1


class TestSet:
    def test_until(self, street: Callable[..., Any]) -> None:
        """A step's demand outlives its run, and ends with its `until`."""
        step = {
            "set": "street.level",
            "to": "50 %",
            "priority": "security",
            "until": "street.b",
            "at_most": "1 h",
        }
        city = street(step)
        again(city, 1)
        assert (city.wanted("s1.level"), running(city)) == (50.0, 0)
        city.at(10, {"s1.b": True})
        assert city.wanted("s1.level") == 100.0

    def test_at_most(self, street: Callable[..., Any]) -> None:
        """Or after its longest time; a second run prolongs it."""
        step = {
            "set": "street.level",
            "to": "50 %",
            "priority": "security",
            "until": "street.b",
            "at_most": "60 s",
        }
        city = street(step)
        again(city, 1)
        again(city, 31)
        city.at(90)
        assert city.wanted("s1.level") == 50.0
        city.at(92)
        assert city.wanted("s1.level") == 100.0


class TestIncidents:
    STEP: ClassVar[dict[str, Any]] = {
        "open_incident": {
            "as": "incident",
            "type": "flood",
            "severity": "high",
            "title": "Flood in {street.name}",
            "one_per": "street",
        }
    }

    def test_joined_while_open(self, street: Callable[..., Any]) -> None:
        """An open incident of the same type and place is joined; a closed one is history."""
        city = street(self.STEP, {"note": "again", "on": "incident"})
        again(city, 1)
        again(city, 2)
        first, second = (f"incident-{YEAR}-000{n}" for n in (1, 2))
        city.at(3, {}, IncidentOrder(first, "close", "ann"))
        again(city, 4)
        told = [(e.incident, e.action) for e in city.events(IncidentChanged)]
        assert told == [
            (first, "opened"), (first, "note"),
            (first, "joined"), (first, "note"),
            (first, "closed"),
            (second, "opened"), (second, "note"),
        ]  # fmt: skip

    def test_numbers(self, street: Callable[..., Any]) -> None:
        """A number has the year of the city's clock; each year begins anew, and no number is used twice."""
        city = street({"open_incident": {"type": "flood", "severity": "high", "title": "x"}})
        new_year = datetime(YEAR + 1, 1, 1, tzinfo=ZoneInfo("Europe/Paris")).timestamp()
        again(city, 1)
        again(city, new_year - city.start - 1)
        again(city, new_year - city.start)
        again(city, new_year - city.start + 2)
        told = [e.incident for e in city.events(IncidentChanged)]
        years = (YEAR, YEAR, YEAR + 1, YEAR + 1)
        numbers = zip(years, (1, 2, 1, 2), strict=True)
        assert told == [f"incident-{year}-{number:04d}" for year, number in numbers]


class TestFailures:
    def test_unknown_value(self, street: Callable[..., Any]) -> None:
        """A step whose value is unknown fails alone, with a note; the others go on."""
        step = {
            "set": "street.level",
            "to": "street.x * 1 %",
            "priority": "security",
            "at_most": "60 s",
            "on_failure": [say("failed")],
        }
        city = street(step, say("on"))
        again(city, 1)
        assert sorted(texts(city)) == ["failed", "on"]
        assert "unknown" in city.events(Noted)[0].text


class TestAway:
    """The engine was gone for a while: its process died, and it was read back."""

    STEPS: ClassVar = (say("begun"), {"wait": "10 min"}, say("done"))

    @staticmethod
    def back(city: Any, seconds: float) -> None:
        """The engine comes back at a time, without having ticked since it died."""
        city.engine.resume(city.start + seconds)
        city._tick(city.start + seconds, [])

    def states(self, city: Any) -> list[str]:
        return [e.state for e in city.events(RunChanged)]

    @pytest.mark.parametrize(("seconds", "told"), [(300, []), (900, ["done"]), (4000, ["done"])])
    def test_resume(self, street: Callable[..., Any], seconds: float, told: list[str]) -> None:
        """A run goes on where it stood: a wait that is not over lasts, one that is over is over."""
        city = street(*self.STEPS)
        city.at(1, {"s1.a": True})
        texts(city)
        self.back(city, seconds)
        assert texts(city) == told
        city.at(seconds + 700)
        assert self.states(city) == ["started", "ended"]

    @pytest.mark.parametrize(("keys", "seconds"), [({}, 4300), ({"max_late": "5 min"}, 1000)])
    def test_too_late(
        self, street: Callable[..., Any], keys: dict[str, Any], seconds: float
    ) -> None:
        """A run whose step is due too long ago is given up, with an alarm."""
        city = street(*self.STEPS, **keys)
        city.at(1, {"s1.a": True})
        texts(city)
        self.back(city, seconds)
        assert (texts(city), self.states(city)) == ([], ["started", "abandoned"])
        assert city.alarm("interrupted[tell[s1]]") == "raised"

    def test_abandon(self, street: Callable[..., Any]) -> None:
        """`if_interrupted: abandon` gives a run up however short the time."""
        city = street(*self.STEPS, if_interrupted="abandon")
        city.at(1, {"s1.a": True})
        self.back(city, 2)
        assert self.states(city) == ["started", "abandoned"]

    def test_restart(self, street: Callable[..., Any]) -> None:
        """`if_interrupted: restart` begins anew; its waits count from then."""
        city = street(*self.STEPS, if_interrupted="restart")
        city.at(1, {"s1.a": True})
        self.back(city, 500)
        assert self.states(city) == ["started", "restarted", "started"]
        city.at(1099)
        assert texts(city) == ["begun", "begun"]
        city.at(1101)
        assert texts(city) == ["done"]

    @pytest.mark.parametrize(
        ("when", "late", "happens"),
        [
            ("at 00:30", 1700, True),
            ("at 00:30", 3700, False),
            ("every 3 h", 3500, True),
            ("every 3 h", 3700, False),
        ],
    )
    def test_moments(self, town: Callable[..., Any], when: str, late: float, happens: bool) -> None:
        """A moment that was missed counts for an hour; then it is recorded as missed, and the next one counts."""
        city = town(THINGS, rules={"r": {"when": when, "do": [say("x")]}})
        moment = city.engine.next_due() - city.start
        assert moment > 0
        self.back(city, moment + late)
        assert texts(city) == (["x"] if happens else [])
        assert ("missed" in self.states(city)) is not happens
        city.at(moment + 86_400 + 60)
        assert "x" in texts(city)
