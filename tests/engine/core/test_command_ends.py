"""Every command, request and call comes to exactly one end; a pulse is told at most once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilotage.model.messages import (
    AlarmChanged,
    CallOut,
    CallResult,
    Command,
    CommandResult,
    Followed,
    Outcome,
    Override,
    Reconnected,
)

LAMP = {
    "dim": {
        "for_each": {"lamp": {"kind": "lamp"}},
        "while": "lamp.broken == false",
        "hold": [{"set": "lamp.level", "to": "30 %", "priority": "saving"}],
    }
}
BARRIER = {
    "let-in": {
        "for_each": {"b": {"kind": "barrier"}},
        "while": "b.car == true",
        "hold": [
            {"set": "b.once", "to": "true", "priority": "service"},
            {"set": "b.step", "to": "turn", "priority": "service"},
        ],
    },
    "ring": {
        "for_each": {"b": {"kind": "barrier"}},
        "while": "b.van == true",
        "hold": [{"set": "b.rung", "to": "true", "priority": "service"}],
    },
}


@pytest.fixture
def lamp(town: Callable[..., Any]) -> Any:
    city = town({"L": {"kind": "lamp", "level": 100.0}}, rules=LAMP)
    city.sent()
    return city


@pytest.fixture
def barrier(town: Callable[..., Any]) -> Any:
    city = town({"B": {"kind": "barrier", "step": "rest"}}, rules=BARRIER)
    city.sent()
    return city


def told(city: Any, point: str) -> list[Command]:
    return [c for c in city.events(Command) if c.point == point]


def ends(city: Any, point: str) -> list[str]:
    return [e.outcome for e in city.events(Followed) if e.point == point and e.command]


def answer(command: Any, outcome: Outcome, detail: str = "") -> CommandResult:
    return CommandResult(command.id, outcome, detail)


class TestSets:
    def test_never_left(self, lamp: Any) -> None:
        """What could not leave is expired at its deadline, then tried again, and told at last by its reason."""
        for second in (0, 5, 10):
            lamp.at(second, {"L.broken": False})
            command = told(lamp, "L.level")[-1]
            lamp.at(second + 0.1, {}, answer(command, Outcome.NOT_SENT, "the link is down"))
        assert ends(lamp, "L.level") == ["expired", "expired"]
        lamp.at(16)
        assert ends(lamp, "L.level") == ["expired"] * 3
        (alarm,) = lamp.events(AlarmChanged)
        assert alarm.text == "L.level could not be told 30 %: the link is down"

    def test_patience_grows_while_nothing_leaves(self, lamp: Any) -> None:
        """A lamp whose link is down for a day is not told 288 times: patience doubles up to an hour."""
        second = 0.0
        lamp.at(0, {"L.broken": False})
        while second < 86_400:
            for command in lamp.sent():
                lamp.at(second, {}, answer(command, Outcome.NOT_SENT))
            due = lamp.engine.next_due()
            second = max(second + 0.1, (due or 1e12) - lamp.start)
            lamp.at(second)
        assert 24 <= len(told(lamp, "L.level")) <= 36
        lamp.sent()
        lamp.at(second + 0.1, {}, Reconnected(("L.level",)))
        assert [c.attempt for c in lamp.sent()] == [1]

    def test_refused(self, lamp: Any) -> None:
        """What the device refuses ends so at once, and is told again when its time is over, not at once."""
        lamp.at(0, {"L.broken": False})
        lamp.at(1, {}, answer(told(lamp, "L.level")[0], Outcome.REFUSED, "local mode"))
        assert ends(lamp, "L.level") == ["refused"]
        assert len(told(lamp, "L.level")) == 1
        lamp.at(5.1)
        assert len(told(lamp, "L.level")) == 2

    def test_said_otherwise(self, lamp: Any) -> None:
        """A lamp that got the order and says something else has failed: that is known."""
        lamp.at(0, {"L.broken": False})
        for second in (1, 6, 11):
            lamp.at(second, {"L.level": 99.0 + second / 100})
        lamp.at(20)
        assert ends(lamp, "L.level") == ["superseded", "superseded", "failed"]

    def test_nobody_knows(self, lamp: Any) -> None:
        """Where nobody answers and nothing is read back the end is unknown, and the alarm says so."""
        lamp.at(0, {"L.broken": False})
        lamp.at(4, {"L.level": None})
        lamp.at(20)
        assert ends(lamp, "L.level")[-1] == "unknown"
        assert lamp.events(AlarmChanged)[-1].text.startswith(
            "nobody knows whether L.level does what it was told (30 %, 3 times)"
        )

    def test_no_value_for_the_point(self, town: Callable[..., Any]) -> None:
        """What a point cannot hold makes no command, wherever it came from."""
        city = town({"L": {"kind": "lamp", "level": 100.0}}, rules=LAMP)
        override = Override("L.level", 50.0, "ann", "test", city.start + 600)
        city.at(0, {}, override)
        city.at(1, {"L.level": 50.0})
        array = city.engine.cells["L.level"].array
        before = len(city.events(Command))
        array.wanted = 400.0
        city.engine.reconciler.pursue(array)
        city.at(2)
        assert len(city.events(Command)) == before
        assert "400 %" in city.events(AlarmChanged)[-1].text


class TestPulses:
    @pytest.mark.parametrize("outcome", [None, *Outcome])
    def test_at_most_once(self, barrier: Any, outcome: Outcome | None) -> None:
        """Whatever is known of a pulse, it is never told again: not by patience, nor by a connection that is back."""
        barrier.at(0, {"B.car": True})
        for point in ("B.once", "B.step"):
            (command,) = told(barrier, point)
            assert command.pulse
            if outcome is not None:
                barrier.at(0.1, {}, answer(command, outcome))
        barrier.at(60, {"B.step": None})
        barrier.at(61, {}, Reconnected(("B.once", "B.step")))
        barrier.at(62, {"B.step": "kick"})
        barrier.at(4000)
        assert [len(told(barrier, p)) for p in ("B.once", "B.step")] == [1, 1]
        assert len(ends(barrier, "B.once")) == len(ends(barrier, "B.step")) == 1

    @pytest.mark.parametrize(
        ("outcome", "wanted"),
        [
            (None, "unknown"), (Outcome.UNKNOWN, "unknown"), (Outcome.NOT_SENT, "expired"),
            (Outcome.REFUSED, "refused"), (Outcome.ACKNOWLEDGED, "done"),
        ],
    )  # fmt: skip
    def test_end(self, barrier: Any, outcome: Outcome | None, wanted: str) -> None:
        """The end of a pulse without a report follows from what is known of its way; all but done raise an alarm."""
        barrier.at(0, {"B.car": True})
        if outcome is not None:
            barrier.at(0.1, {}, answer(told(barrier, "B.once")[0], outcome))
        barrier.at(11)
        assert ends(barrier, "B.once") == [wanted]
        expected = "normal" if wanted == "done" else "raised"
        assert barrier.alarm("not-following[B.once]") == expected

    def test_read_back(self, barrier: Any) -> None:
        """A pulse whose way is unknown is done when the device shows it, and a late report ends the alarm."""
        barrier.at(0, {"B.car": True})
        barrier.at(0.1, {}, answer(told(barrier, "B.step")[0], Outcome.UNKNOWN))
        barrier.at(2, {"B.step": "turn"})
        assert ends(barrier, "B.step") == ["done"]

    def test_late_report(self, barrier: Any) -> None:
        """A pulse that was given up and is seen after all ends its alarm, without a second end."""
        barrier.at(1, {"B.car": True})
        barrier.at(11)
        assert barrier.alarm("not-following[B.step]") == "raised"
        barrier.at(20, {"B.step": "turn"})
        assert barrier.alarm("not-following[B.step]") == "cleared"
        assert ends(barrier, "B.step") == ["unknown"]

    def test_each_want_is_one(self, barrier: Any) -> None:
        """The end of the want sends nothing; wanted anew it is told anew."""
        barrier.at(0, {"B.car": True})
        barrier.at(0.1, {}, answer(told(barrier, "B.once")[0], Outcome.ACKNOWLEDGED))
        barrier.at(1, {"B.car": False})
        barrier.at(2, {"B.car": True})
        assert [c.value for c in told(barrier, "B.once")] == [True, True]

    def test_over_its_rate(self, barrier: Any) -> None:
        """A pulse that its rate holds back beyond its deadline is not told late: it is dropped aloud."""
        barrier.at(0, {"B.van": True})
        barrier.at(0.1, {}, answer(told(barrier, "B.rung")[0], Outcome.ACKNOWLEDGED))
        barrier.at(1, {"B.van": False})
        barrier.at(10, {"B.van": True})
        barrier.at(300)
        assert len(told(barrier, "B.rung")) == 1
        assert barrier.alarm("not-following[B.rung]") == "raised"


CALLS = {
    "open": {
        "when": "any(barrier, where=barrier.car == true)",
        "do": [{"call": "gate.open_once", "with": {"speed": "2"}}],
    },
    "send": {
        "when": "any(barrier, where=barrier.van == true)",
        "do": [
            {
                "call": "gate.open_once",
                "expect": {"status": ["accepted"], "within": "20 s"},
                "on_failure": [{"note": "nobody came"}],
            }
        ],
    },
}


class TestCalls:
    @pytest.fixture
    def city(self, town: Callable[..., Any]) -> Any:
        return town({"B": {"kind": "barrier"}}, rules=CALLS)

    @pytest.mark.parametrize(
        ("outcome", "wanted"),
        [
            (None, "unknown"), (Outcome.UNKNOWN, "unknown"), (Outcome.NOT_SENT, "expired"),
            (Outcome.REFUSED, "refused"), (Outcome.ACKNOWLEDGED, "done"),
        ],
    )  # fmt: skip
    def test_told_only(self, city: Any, outcome: Outcome | None, wanted: str) -> None:
        """A call that awaits no answer ends with what is known of its way; silence is unknown, and an alarm."""
        city.at(1, {"B.car": True})
        (call,) = city.events(CallOut)
        assert call.pulse
        if outcome is not None:
            city.at(2, {}, answer(call, outcome))
        city.at(1 + 10 + 5.1)  # its deadline, and the silence after it
        assert ends(city, "gate.open_once") == [wanted]
        expected = "raised" if wanted == "unknown" else "normal"
        assert city.alarm("unanswered[gate.open_once]") == expected

    @pytest.mark.parametrize(
        ("status", "wanted"),
        [("accepted", "done"), ("refused", "refused"), ("failed", "failed"), ("", "unknown")],
    )
    def test_answered(self, city: Any, status: str, wanted: str) -> None:
        """A call that awaits an answer ends with it, or unknown when its time is over; never is it asked again."""
        city.at(1, {"B.van": True})
        (call,) = city.events(CallOut)
        city.at(2, {}, answer(call, Outcome.ACKNOWLEDGED))
        if status:
            city.at(3, {}, CallResult(call.id, status))
        city.at(100)
        assert ends(city, "gate.open_once") == [wanted]
        assert len(city.events(CallOut)) == 1

    def test_argument_that_is_no_number(self, town: Callable[..., Any]) -> None:
        """An argument that is not finite makes no call: the step fails."""
        rules = {
            "open": {
                "when": "any(barrier, where=barrier.car == true)",
                "do": [{"let": {"far": "1e308 * 10"}}, {"call": "gate.open_once", "with": {"speed": "far"}}],
            }
        }  # fmt: skip
        city = town({"B": {"kind": "barrier"}}, rules=rules)
        city.at(1, {"B.car": True})
        assert city.events(CallOut) == []
