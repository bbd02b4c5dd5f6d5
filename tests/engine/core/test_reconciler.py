"""From wanted to reported: sent, verified, repeated, given up aloud, never fought."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from pilotage.model.messages import (
    AlarmChanged,
    Command,
    CommandResult,
    Followed,
    Outcome,
    Override,
    Reconnected,
    ReleaseOverride,
    Request,
)

RULES = {
    "dim": {
        "for_each": {"lamp": {"kind": "lamp"}},
        "while": "lamp.broken == false",
        "hold": [{"set": "lamp.level", "to": "30 %", "priority": "saving"}],
    },
    "number": {
        "for_each": {"lamp": {"kind": "lamp"}},
        "while": "lamp.power > 5 W",
        "hold": [{"set": "lamp.plan", "to": "3", "priority": "saving"}],
    },
    "howl": {
        "for_each": {"lamp": {"kind": "lamp"}},
        "while": "lamp.power > 50 W",
        "hold": [{"set": "lamp.siren", "to": "true", "priority": "saving"}],
    },
}
ALARM = "not-following[L.level]"


@pytest.fixture
def lamp(town: Callable[..., Any]) -> Any:
    """A lamp at full light that a rule may dim to 30 %."""
    city = town({"L": {"kind": "lamp", "level": 100.0}}, rules=RULES)
    city.sent()
    return city


def outcomes(city: Any) -> list[str]:
    return [e.outcome for e in city.events(Followed)]


def ends(city: Any) -> list[tuple[Any, str]]:
    """Return each end with the value of its command, in order; fails on one without an end, or with two."""
    open_: dict[str, Any] = {}
    found = []
    for event in city.events(Command, Request, Followed):
        if isinstance(event, Followed):
            if event.command:
                found.append((open_.pop(event.command), event.outcome))
        elif getattr(event, "action", "request") == "request":
            assert open_ == {}
            open_[event.id] = getattr(event, "value", "request")
    assert open_ == {}
    return found


class TestFollowing:
    def test_obeys(self, lamp: Any) -> None:
        """One command, one reading that agrees, done."""
        lamp.at(1, {"L.broken": False})
        (command,) = lamp.sent()
        assert (command.point, command.value, command.attempt) == ("L.level", 30.0, 1)
        assert command.deadline == lamp.start + 1 + 5  # C3: never sent later than 5 s
        lamp.at(2, {"L.level": 30.6})  # within the tolerance of 1 %
        lamp.at(100)
        assert (outcomes(lamp), lamp.sent()) == (["done"], [])

    def test_already_there(self, town: Callable[..., Any]) -> None:
        """Nothing is sent to a device that does it already."""
        city = town({"L": {"kind": "lamp", "level": 30.0, "broken": False}}, rules=RULES)
        city.at(100)
        assert city.events(Command) == []

    def test_ignores(self, lamp: Any) -> None:
        """Three times 5 s apart, then one alarm, which ends when the lamp follows after all."""
        lamp.at(0, {"L.broken": False})
        lamp.at(14.9)
        assert [c.attempt for c in lamp.sent()] == [1, 2, 3]
        assert lamp.alarm(ALARM) == "normal"
        lamp.at(15.1)
        assert lamp.alarm(ALARM) == "raised"
        lamp.at(1000)
        assert len(lamp.sent()) == 3  # told once more each 5 min of patience: 315, 615, 915 s
        lamp.at(1001, {"L.level": 30.0})
        assert lamp.alarm(ALARM) == "cleared"
        assert len([e for e in lamp.events(AlarmChanged) if e.after == "raised"]) == 1
        # nobody answered and the lamp said nothing: the five minutes of patience end likewise
        assert outcomes(lamp) == ["superseded", "superseded", "unknown"] + ["unknown"] * 3 + [
            "done"
        ]

    @pytest.mark.parametrize("value", [60.0, 100.0])
    def test_ignores_then_follows_another_target(self, lamp: Any, value: float) -> None:
        """The alarm of a target that was given up does not outlive a target that is reached."""
        lamp.at(0, {"L.broken": False})
        lamp.at(20)
        assert lamp.alarm(ALARM) == "raised"
        end = lamp.start + 3600
        lamp.at(21, {}, Override("L.level", value, "ann", "works", end))
        lamp.at(22, {"L.level": value})
        assert lamp.alarm(ALARM) == "cleared"

    def test_lies(self, lamp: Any) -> None:
        """An acknowledgement is no reading: a lamp that says yes and stays as it is has failed."""
        lamp.at(0, {"L.broken": False})
        for second in (0.5, 5.5, 10.5):
            (command,) = lamp.sent()
            lamp.at(second, {"L.level": 100.0}, CommandResult(command.id, Outcome.ACKNOWLEDGED))
            lamp.at(second + 4.6)
        assert outcomes(lamp) == ["superseded", "superseded", "failed"]

    def test_without_a_report(self, lamp: Any) -> None:
        """Where the device says nothing back the acknowledgement must do."""
        lamp.at(0, {"L.power": 60.0})
        command = next(c for c in lamp.sent() if c.point == "L.siren")
        lamp.at(1, {}, CommandResult(command.id, Outcome.ACKNOWLEDGED))
        lamp.at(4)
        assert [(e.point, e.outcome) for e in lamp.events(Followed)] == [("L.siren", "done")]


class TestBackAndForth:
    def test_back_before_it_followed(self, lamp: Any) -> None:
        """Wanted back before the lamp moved: it is told, since the first command may still arrive."""
        lamp.at(0, {"L.broken": False})
        lamp.at(1, {"L.broken": True})
        assert [c.value for c in lamp.sent()] == [30.0, 100.0]

    def test_given_back(self, lamp: Any) -> None:
        """A point without a default is given back once, and nobody waits for it to answer."""
        lamp.at(0, {"L.power": 10.0})
        lamp.at(1, {"L.plan": 3.0})
        lamp.at(2, {"L.power": 0.0})
        assert [c.value for c in lamp.sent() if c.point == "L.plan"] == [3.0, None]
        lamp.at(3, {"L.plan": 7.0})  # its own calendar
        lamp.at(2000)
        assert lamp.sent() == []
        assert lamp.events(AlarmChanged) == []
        assert outcomes(lamp) == ["done", "done"]


class TestOneEnd:
    """Each command and request has exactly one end, after it was sent and before the next one is."""

    def test_replaced(self, lamp: Any) -> None:
        """A command that another one replaces before the lamp followed is superseded."""
        lamp.at(0, {"L.broken": False})
        lamp.at(1, {"L.broken": True})
        lamp.at(2, {"L.level": 99.0})
        lamp.at(3, {"L.level": 100.0})
        assert ends(lamp) == [(30.0, "superseded"), (100.0, "done")]

    def test_retried(self, lamp: Any) -> None:
        """A retry replaces the attempt before; what is sent in patience ends as well."""
        lamp.at(0, {"L.broken": False})
        lamp.at(700)
        lamp.at(701, {"L.level": 30.0})
        assert [o for _, o in ends(lamp)] == ["superseded"] * 2 + ["unknown"] * 3
        assert outcomes(lamp)[-1] == "done"  # without a command: it follows after all

    def test_changed_by_hand(self, lamp: Any) -> None:
        """What is done at the device itself is told, and is no second end of the command."""
        lamp.at(0, {"L.broken": False})
        lamp.at(1, {"L.level": 30.0})
        lamp.at(2, {"L.level": 80.0})
        lamp.at(3, {"L.level": 30.0})
        assert outcomes(lamp) == ["done", "local", "done"]
        assert ends(lamp) == [(30.0, "done")]

    def test_given_back(self, lamp: Any) -> None:
        """What is given back before it was reached ends, and so does the order to give it back."""
        lamp.at(0, {"L.power": 10.0})
        lamp.at(1, {"L.power": 0.0})
        assert ends(lamp) == [(3.0, "superseded"), (None, "done")]


class TestLocalOverride:
    def test_never_fought(self, lamp: Any) -> None:
        """A change at the device itself is shown and left; the next change of what is wanted is sent."""
        lamp.at(0, {"L.broken": False})
        lamp.at(1, {"L.level": 30.0})
        lamp.sent()
        lamp.at(10, {"L.level": 80.0})
        lamp.at(3000, {"L.level": 70.0})
        assert lamp.sent() == []
        assert outcomes(lamp) == ["done", "local"]
        assert lamp.engine.explainer.point("L.level").pursuit == "local"
        lamp.at(3001, {"L.broken": True})
        assert [c.value for c in lamp.sent()] == [100.0]


class TestLostAndBack:
    def test_told_again(self, lamp: Any) -> None:
        """A lamp that was lost and comes back otherwise is told again; one that comes back right is left."""
        lamp.at(0, {"L.broken": False})
        lamp.at(1, {"L.level": 30.0})
        lamp.sent()
        lamp.at(10, {"L.level": None})
        lamp.at(500, {"L.level": 100.0})
        assert [c.value for c in lamp.sent()] == [30.0]
        lamp.at(501, {"L.level": 30.0})
        lamp.at(600, {"L.level": None})
        lamp.at(700, {"L.level": 30.0})
        assert lamp.sent() == []
        assert outcomes(lamp) == ["done", "done"]

    def test_reconnected(self, lamp: Any) -> None:
        """When a connection is back its points are told again, unless they are as wanted."""
        lamp.at(0, {"L.broken": False})
        lamp.at(30)
        assert lamp.alarm(ALARM) == "raised"
        lamp.sent()
        lamp.at(40, {}, Reconnected(("L.level", "L.mode")))
        assert [c.value for c in lamp.sent()] == [30.0]
        lamp.at(41, {"L.level": 30.0})
        assert lamp.alarm(ALARM) == "cleared"
        lamp.at(42, {}, Reconnected(("L.level",)))
        assert lamp.sent() == []


class TestReleased:
    def test_override_ends(self, lamp: Any) -> None:
        """What waited below an override is sent when it is given back."""
        lamp.at(0, {"L.broken": False})
        lamp.at(1, {"L.level": 30.0})
        lamp.at(2, {}, Override("L.level", 90.0, "ann", "works", lamp.start + 3600))
        lamp.at(3, {"L.level": 90.0})
        lamp.at(4, {}, ReleaseOverride("L.level", "ann"))
        assert [c.value for c in lamp.sent()] == [30.0, 90.0, 30.0]


class TestHeldRequests:
    RULES: ClassVar[dict[str, Any]] = {
        "ask": {
            "for_each": {
                "junction": {"kind": "junction"},
                "bus": {"kind": "bus", "where": 'bus.line == "21"'},
            },
            "while": "bus.delay > 60 s",
            "hold": [
                {
                    "request": "junction.priority",
                    "for": "bus",
                    "with": {"eta": "bus.delay / 10", "line": "bus.line"},
                    "priority": "service",
                    "expect": {"status": ["queued", "activated"], "within": "3 s", "retry": 1},
                }
            ],
        }
    }

    @pytest.fixture
    def junction(self, town: Callable[..., Any]) -> Any:
        things = {
            "J": {"kind": "junction", "position": [47.0, 5.0]},
            "bus-1": {"kind": "bus", "line": "21"},
        }
        rules = {"ask": dict(self.RULES["ask"])}
        rules["ask"]["for_each"] = {
            "junction": {"kind": "junction"},
            "bus": {"kind": "bus", "within": "150 m", "of": "junction"},
        }
        city = town(things, rules=rules)
        city.at(0, {"bus-1.position": [47.0, 5.0]})
        return city

    def requests(self, city: Any) -> list[tuple[str, Any]]:
        return [(r.action, r.data.get("eta")) for r in city.sent() if isinstance(r, Request)]

    def test_made_updated_cancelled(self, junction: Any) -> None:
        """Sent, sent again when its time has moved by more than 2 s, cancelled at release."""
        junction.at(1, {"bus-1.delay": 100.0})
        junction.at(2, {"J.priority.status": "activated"})
        junction.at(3, {"bus-1.delay": 119.0})  # eta 11.9: moved by 1.9 s
        junction.at(4, {"bus-1.delay": 121.0})  # eta 12.1: moved by 2.1 s
        junction.at(5, {"bus-1.delay": 130.0})  # 0.9 s since the last one sent
        junction.at(6, {"bus-1.delay": 0.0})
        assert self.requests(junction) == [("request", 10.0), ("update", 12.1), ("cancel", 12.1)]
        junction.at(7, {"J.priority.status": "completed"})
        junction.at(60)
        assert outcomes(junction) == ["done"]
        assert self.requests(junction) == []

    def test_refused(self, junction: Any) -> None:
        """A refusal is answered by the one retry that the rule allows, then by an alarm."""
        junction.at(1, {"bus-1.delay": 100.0})
        junction.at(2, {"J.priority.status": "rejected"})
        assert [a for a, _ in self.requests(junction)] == ["request", "request"]
        junction.at(6)
        assert outcomes(junction) == ["refused", "refused"]
        assert junction.alarm("not-following[J.priority]") == "raised"
        junction.at(7, {"bus-1.delay": 0.0})
        assert [a for a, _ in self.requests(junction)] == ["cancel"]
        assert junction.alarm("not-following[J.priority]") == "cleared"

    def test_cancelled_unanswered(self, junction: Any) -> None:
        """A request that is cancelled before it was answered is superseded; the cancelling is no request."""
        junction.at(1, {"bus-1.delay": 100.0})
        junction.at(2, {"bus-1.delay": 0.0})
        assert ends(junction) == [("request", "superseded")]

    def cancelled(self, junction: Any) -> Request:
        """A request that was taken, and the order that gives it back."""
        junction.at(1, {"bus-1.delay": 100.0})
        junction.at(2, {"J.priority.status": "activated"})
        junction.at(3, {"bus-1.delay": 0.0})
        made = junction.sent()[-1]
        assert isinstance(made, Request)
        return made

    def test_cancel_that_did_not_leave(self, junction: Any) -> None:
        """It is told again after its deadline until the controller has taken it: no green stays for a bus that is gone."""
        first = self.cancelled(junction)
        lost = "its deadline has passed"
        junction.at(4, {}, CommandResult(first.id, Outcome.NOT_SENT, lost))
        assert junction.sent() == []
        junction.at(first.deadline - junction.start)
        (again,) = junction.sent()
        assert (again.action, again.entity, again.attempt) == ("cancel", "bus-1", 2)
        assert again.deadline > first.deadline
        junction.at(12, {}, CommandResult(again.id, Outcome.ACKNOWLEDGED))
        junction.at(7200)
        assert junction.sent() == []

    def test_cancel_while_it_is_away(self, junction: Any) -> None:
        """Who was away when the bus left is told as soon as it is back."""
        first = self.cancelled(junction)
        junction.at(4, {}, CommandResult(first.id, Outcome.UNKNOWN, "the link broke"))
        junction.at(5, {}, Reconnected(("J.priority",)))
        assert [a for a, _ in self.requests(junction)] == ["cancel"]

    def test_asked_again_before_it_is_cancelled(self, junction: Any) -> None:
        """A cancel that waits is forgotten when the same bus asks again."""
        first = self.cancelled(junction)
        junction.at(4, {}, CommandResult(first.id, Outcome.NOT_SENT))
        junction.at(5, {"bus-1.delay": 100.0})
        junction.at(6, {"J.priority.status": "activated"})
        junction.at(300)
        assert [a for a, _ in self.requests(junction)] == ["request"]

    def test_cancel_across_a_restart(self, junction: Any) -> None:
        """A cancel that nobody answered is told again by the next engine."""
        first = self.cancelled(junction)
        reconciler = junction.engine.reconciler
        kept = json.loads(json.dumps(reconciler.remember()))
        junction.at(4, {}, CommandResult(first.id, Outcome.ACKNOWLEDGED))
        reconciler.recall(kept)
        reconciler.reconcile_after_restart()
        junction.at(first.deadline - junction.start)
        assert [a for a, _ in self.requests(junction)] == ["cancel"]

    def test_old_answer_does_not_count(self, junction: Any) -> None:
        """What the controller said to the last bus is no answer to this one."""
        junction.at(0.5, {"J.priority.status": "activated"})
        junction.at(1, {"bus-1.delay": 100.0})
        junction.at(4.5)
        assert [a for a, _ in self.requests(junction)] == ["request", "request"]
