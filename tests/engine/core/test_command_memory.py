"""What was under way when the engine ended: written down, taken up again, each command with one end, no pulse twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pilotage.core.arbiter import PriorityArray
from pilotage.core.carried import carry_over, essentials, past_of
from pilotage.core.engine import Engine
from pilotage.core.image import dump, load
from pilotage.model.entities import Rate
from pilotage.model.messages import (
    AlarmChanged,
    CallOut,
    Command,
    CommandResult,
    Followed,
    Outcome,
    Reconnected,
    Request,
)

RULES = {
    "dim": {
        "for_each": {"lamp": {"kind": "lamp"}},
        "while": "lamp.broken == false",
        "hold": [{"set": "lamp.level", "to": "30 %", "priority": "saving"}],
    },
    "let-in": {
        "for_each": {"b": {"kind": "barrier"}},
        "while": "b.car == true",
        "hold": [
            {"set": "b.once", "to": "true", "priority": "service"},
            {"set": "b.step", "to": "turn", "priority": "service"},
            {"set": "b.arm", "to": "down", "priority": "service"},
        ],
    },
    "ask": {
        "for_each": {"j": {"kind": "junction"}, "bus": {"kind": "bus", "where": 'bus.line == "21" and j.gate == up'}},
        "while": "bus.delay > 60 s",
        "hold": [{"request": "j.priority", "for": "bus", "priority": "service"}],
    },
    "open": {
        "when": "any(barrier, where=barrier.van == true)",
        "do": [{"call": "gate.open_once"}],
    },
}  # fmt: skip
THINGS: dict[str, Any] = {
    "L": {"kind": "lamp"},
    "B": {"kind": "barrier"},
    "J": {"kind": "junction", "gate": "up"},
    "bus-1": {"kind": "bus", "line": "21"},
}


@pytest.fixture
def city(town: Callable[..., Any]) -> Any:
    city = town(THINGS, rules=RULES)
    city.at(0, {"L.level": 100.0, "B.arm": "up", "B.step": "rest"})
    return city


@pytest.fixture
def reborn(town: Callable[..., Any]) -> Callable[..., Any]:
    """What ends an engine after so many seconds, and starts the next one from what it had written down."""

    def bear(old: Any, after: float = 0.0, values: bool = True) -> Any:
        written = json.loads(json.dumps(old.engine.reconciler.remember()))
        new = town(THINGS, rules=RULES, start=old.start + old.now + after)
        for id_, cell in old.engine.cells.items():
            twin = new.engine.cells.get(id_)
            if twin is None:
                continue
            if values:
                twin.value, twin.time, twin.quality = cell.value, cell.time, cell.quality
            if cell.array is not None:
                twin.array = PriorityArray(twin)
                for slot in ("demands", "wanted", "winner", "owner", "level", "is_decided"):
                    setattr(twin.array, slot, getattr(cell.array, slot))
        new.new()
        new.engine.reconciler.connection_rates = old.engine.reconciler.connection_rates
        new.engine.reconciler.connections = old.engine.reconciler.connections
        new.engine.reconciler.recall(written)
        assert new.new() == []
        new.engine.reconciler.reconcile_after_restart()
        new.at(0)
        return new

    return bear


def ends(city: Any) -> dict[str, str]:
    return {e.command: e.outcome for e in city.events(Followed) if e.command}


def told(city: Any, point: str) -> list[Any]:
    return [e for e in city.events(Command, Request) if e.point == point]


class TestOpenCommands:
    def test_each_has_an_end(self, city: Any, reborn: Any) -> None:
        """Whatever was open is ended by the next engine, once: sets and requests, pulses, calls."""
        city.at(1, {"L.broken": False, "B.car": True, "B.van": True, "bus-1.delay": 100.0})
        sent = {e.id for e in city.events(Command, Request, CallOut)}
        assert len(sent) == 6
        new = reborn(city)
        assert ends(city) == {}
        assert set(ends(new)) == sent
        pulses = [told(city, p)[0].id for p in ("B.once", "B.step")]
        calls = [e.id for e in city.events(CallOut)]
        assert [ends(new)[id_] for id_ in pulses + calls] == ["unknown"] * 3
        raised = {e.alarm for e in new.events(AlarmChanged) if e.after == "raised"}
        assert raised == {
            "not-following[B.once]", "not-following[B.step]", "unanswered[gate.open_once]",
        }  # fmt: skip

    def test_read_back_shows_it(self, city: Any, reborn: Any) -> None:
        """What the device showed in the end is done, pulses among them."""
        city.at(1, {"L.broken": False, "B.car": True})
        for id_, value in {"L.level": 30.0, "B.step": "turn", "B.arm": "down"}.items():
            cell = city.engine.cells[id_]
            cell.value, cell.time = value, city.start + 2
        new = reborn(city, after=3)
        done = {c.point for c in city.events(Command) if ends(new)[c.id] == "done"}
        assert done == {"L.level", "B.step", "B.arm"}

    def test_never_left(self, city: Any, reborn: Any) -> None:
        """What is known never to have left is expired."""
        city.at(1, {"L.broken": False})
        city.at(2, {}, CommandResult(told(city, "L.level")[0].id, Outcome.NOT_SENT))
        assert list(ends(reborn(city)).values()) == ["expired"]


class TestToldAgain:
    def test_set(self, city: Any, reborn: Any) -> None:
        """A set that is still wanted is told again as a new command, and not before the old deadline."""
        city.at(1, {"L.broken": False})
        new = reborn(city, after=1)  # at 2 s; the deadline is at 6 s
        new.at(0.5, {}, Reconnected(("L.level",)))
        new.at(3.9)
        assert told(new, "L.level") == []
        new.at(4.1)
        (again,) = told(new, "L.level")
        assert (again.value, again.attempt) == (30.0, 1)

    def test_set_without_a_sign(self, city: Any, reborn: Any) -> None:
        """Nothing need happen: the deadline and the time to follow pass, then it is told again."""
        city.at(1, {"L.broken": False})
        new = reborn(city, after=1)
        new.at(60, {"L.level": 30.0})
        assert told(new, "L.level") != []
        assert ends(new)[told(city, "L.level")[0].id] == "superseded"

    def test_it_has_followed(self, city: Any, reborn: Any) -> None:
        """A lamp that had followed and says so is left alone."""
        city.at(1, {"L.broken": False})
        new = reborn(city, after=1)
        new.at(1, {"L.level": 30.0})
        new.at(100)
        assert told(new, "L.level") == []

    def test_pulses_never(self, city: Any, reborn: Any) -> None:
        """No restart, connection or silence has a pulse told again, however often the engine dies."""
        city.at(1, {"B.car": True})
        generation = city
        for _ in range(5):
            generation = reborn(generation, after=2)
            generation.at(1, {}, Reconnected(("B.once", "B.step", "B.arm")))
            generation.at(20)
            assert told(generation, "B.once") == told(generation, "B.step") == []

    def test_changed_while_we_were_gone(self, city: Any, reborn: Any) -> None:
        """What was done and is found otherwise after the restart is told again."""
        city.at(1, {"L.broken": False})
        city.at(2, {"L.level": 30.0})
        new = reborn(city, after=60, values=False)
        new.at(1, {"L.level": 100.0})
        assert [c.value for c in told(new, "L.level")] == [30.0]


class TestTimersAndRates:
    def test_patience(self, city: Any, reborn: Any) -> None:
        """The next silent try is due when it was due, and the alarm is not raised anew."""
        city.at(1, {"L.broken": False})
        city.at(20)
        assert city.alarm("not-following[L.level]") == "raised"
        new = reborn(city)  # at 20 s; the next try is due at 316 s
        new.at(295.9)
        assert told(new, "L.level") == []
        new.at(296.1)
        assert len(told(new, "L.level")) == 1
        assert new.events(AlarmChanged) == []

    def test_rate(self, city: Any, reborn: Any) -> None:
        """A restart is no way round a device's rate."""
        city.at(1, {"B.car": True})
        city.at(3, {"B.arm": "down"})
        city.at(4, {"B.car": False})  # waits until 11 s
        new = reborn(city, after=1)  # at 5 s
        new.at(5.9)
        assert told(new, "B.arm") == []
        new.at(6.1)
        assert [c.value for c in told(new, "B.arm")] == ["up"]

    def test_gate(self, city: Any, reborn: Any) -> None:
        """What a connection may carry is no fuller after a restart, and who waited there is told in the end."""
        reconciler = city.engine.reconciler
        reconciler.connections = dict.fromkeys(city.engine.cells, "all")
        reconciler.connection_rates = {"all": Rate(1, 10.0)}
        city.at(1, {"L.broken": False, "B.car": True})
        assert len(city.events(Command)) == 1
        new = reborn(city)
        new.at(2)
        assert new.events(Command) == []
        new.at(60)
        first = city.events(Command)[0].point
        assert {"L.level", "B.arm"} - {first} <= {c.point for c in new.events(Command)}

    def test_twice(self, city: Any, reborn: Any) -> None:
        """What is taken up and written down again is the same."""
        city.at(1, {"L.broken": False, "B.car": True, "B.van": True, "bus-1.delay": 100.0})
        city.at(30)
        first = city.engine.reconciler.remember()
        city.engine.reconciler.recall(json.loads(json.dumps(first)))
        assert city.engine.reconciler.remember() == first


class TestWholeEngine:
    def test_read_back(self, city: Any) -> None:
        """An engine that is read back and resumed ends what was open, and tells no pulse again."""
        city.at(1, {"L.broken": False, "B.car": True, "B.van": True})
        sent = {e.id for e in city.events(Command, CallOut)}
        again = load(dump(city.engine, "x"), {}, "x")
        again.resume(city.engine.now + 1)
        decision = again.tick(city.engine.now + 1, [Reconnected(("B.once", "B.step", "L.level"))])
        assert decision is not None
        assert {e.command for e in decision.events if isinstance(e, Followed)} == sent
        assert [e for e in decision.events if isinstance(e, Command)] == []

    def test_carried_over(self, city: Any, town: Callable[..., Any]) -> None:
        """Nor does an engine of other code or another inventory, whose rules begin anew."""
        city.at(1, {"L.broken": False, "B.car": True, "B.arm": "up"})
        kept = json.loads(json.dumps(essentials(city.engine)))
        past = {p: (v, 0.0) for p, (v, *_) in kept["values"].items()}
        new = town(THINGS, rules=RULES, start=city.start + 2, past=past)
        assert "B.once" in {
            c.point for c in new.events(Command)
        }  # without what was kept it is told again
        kept_by = Engine(new.engine.program, new.inventory, city.start + 2, past=past_of(kept))
        carry_over(kept_by, kept)
        kept_by.resume(city.start + 2)
        decision = kept_by.tick(city.start + 2, [])
        assert decision is not None
        told_now = {e.point for e in decision.events if isinstance(e, Command)}
        ended = {e.command: e.outcome for e in decision.events if isinstance(e, Followed)}
        assert told_now & {"B.once", "B.step"} == set()
        assert ended[told(city, "B.once")[0].id] == "unknown"
        assert "B.arm" not in told_now  # its rate
