"""Alarms live by ANSI/ISA-18.2: every state, and every way from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilotage.model.messages import AlarmChanged, AlarmOrder, OrderRefused

ID = "hot[s1]"


def alarms(**keys: Any) -> dict[str, Any]:
    return {
        "hot": {
            "for_each": {"street": {"kind": "street"}},
            "raise_while": "street.a",
            "severity": "high",
            **keys,
        }
    }


@pytest.fixture
def street(town: Callable[..., Any]) -> Callable[..., Any]:
    def make(**keys: Any) -> Any:
        city = town(alarms=alarms(**keys))
        city.at(0, {"s1.a": False, "s1.b": False})
        return city

    return make


def order(city: Any, at: float, action: str, lasts: float | None = None, **keys: Any) -> str:
    """Give an order; return why it was refused, or nothing."""
    until = None if lasts is None else city.start + at + lasts
    city.new()
    city.at(at, {}, AlarmOrder(ID, action, "ann", until, **{"reason": "works", **keys}))
    refused = city.new(OrderRefused)
    return refused[0].why if refused else ""


class TestLife:
    @pytest.mark.parametrize(
        ("latched", "story", "state"),
        [
            # ISA-18.2, figure of the alarm states: A normal, B raised (unacknowledged), C acknowledged, D cleared (returned, unacknowledged)
            (False, "raise", "raised"),
            (False, "raise ack", "acknowledged"),
            (False, "raise clear", "cleared"),
            (False, "raise ack clear", "normal"),
            (False, "raise clear ack", "normal"),
            (False, "raise clear raise", "raised"),
            (False, "raise ack clear raise", "raised"),
            (True, "raise clear", "latched"),
            (True, "raise ack clear", "latched"),
            (True, "raise ack clear raise", "raised"),
            (True, "raise ack clear reset", "normal"),
            (True, "raise reset", "raised"),
            (False, "raise shelve", "shelved"),
            (False, "raise shelve clear", "shelved"),
            (False, "raise shelve unshelve", "raised"),
            (False, "shelve raise unshelve", "raised"),
            (False, "raise ack shelve unshelve", "acknowledged"),
            (False, "raise out", "out_of_service"),
            (False, "raise out unshelve", "out_of_service"),
            (False, "raise out shelve", "out_of_service"),
            (False, "raise out back", "raised"),
            (False, "raise shelve back", "shelved"),
            (False, "raise suppress", "suppressed"),
            (False, "suppress raise unsuppress", "raised"),
            (False, "raise suppress clear unsuppress", "cleared"),
            (False, "raise ack suppress clear unsuppress", "normal"),
        ],
    )
    def test_transition(
        self, street: Callable[..., Any], latched: bool, story: str, state: str
    ) -> None:
        """What happens, in this order, leads to this state."""
        city = street(latched=latched, suppress_while="street.b")
        happens = {
            "raise": {"s1.a": True},
            "clear": {"s1.a": False},
            "suppress": {"s1.b": True},
            "unsuppress": {"s1.b": False},
        }
        actions = {"ack": "acknowledge", "out": "out_of_service", "back": "return_to_service"}
        for second, word in enumerate(story.split(), start=1):
            if word in happens:
                city.at(second, happens[word])
            else:
                order(city, second, actions.get(word, word), 3600.0)
        assert city.alarm(ID) == state
        assert (ID in city.engine.alarms.open) == (state != "normal")

    def test_each_change_is_told_once(self, street: Callable[..., Any]) -> None:
        """The events alone tell the life: each begins where the last ended."""
        city = street()
        city.at(1, {"s1.a": True})
        order(city, 2, "acknowledge")
        city.at(3, {"s1.a": False})
        told = [(e.before, e.after, e.person) for e in city.events(AlarmChanged)]
        assert told == [
            ("normal", "raised", ""),
            ("raised", "acknowledged", "ann"),
            ("acknowledged", "normal", ""),
        ]


class TestDelays:
    def test_on(self, street: Callable[..., Any]) -> None:
        """A cause that is gone within the delay raises nothing."""
        city = street(on_delay="10 s")
        city.at(1, {"s1.a": True})
        city.at(10, {"s1.a": False})
        city.at(12, {"s1.a": True})
        city.at(21.9)
        assert city.alarm(ID) == "normal"
        city.at(22.1)
        assert city.alarm(ID) == "raised"

    def test_off(self, street: Callable[..., Any]) -> None:
        """A cause that is back within the delay was never gone: the acknowledgement stands."""
        city = street(off_delay="10 s")
        city.at(1, {"s1.a": True})
        order(city, 2, "acknowledge")
        city.at(3, {"s1.a": False})
        city.at(12, {"s1.a": True})
        city.at(30)
        assert city.alarm(ID) == "acknowledged"

    def test_doubt(self, street: Callable[..., Any]) -> None:
        """An unknown cause neither raises nor clears."""
        city = street()
        city.at(1, {"s1.a": None})
        assert city.alarm(ID) == "normal"
        city.at(2, {"s1.a": True})
        city.at(3, {"s1.a": None})
        assert city.alarm(ID) == "raised"


class TestShelving:
    def test_ends_by_itself(self, street: Callable[..., Any]) -> None:
        """Shelved until a time, then as its cause says."""
        city = street()
        city.at(1, {"s1.a": True})
        order(city, 2, "shelve", 100.0)
        city.at(101.9)
        assert city.alarm(ID) == "shelved"
        city.at(102.1)
        assert city.alarm(ID) == "raised"

    @pytest.mark.parametrize(
        ("lasts", "keys", "why"),
        [
            (None, {}, "an end is needed"),
            (-5.0, {}, "an end is needed"),
            (7201.0, {}, "at most 2 h are allowed"),
            (60.0, {"reason": ""}, "a reason is needed"),
        ],
    )
    def test_refused(self, street: Callable[..., Any], lasts: Any, keys: Any, why: str) -> None:
        """Without an end, beyond the longest, or without a reason it is refused."""
        city = street(shelve_at_most="2 h")
        city.at(1, {"s1.a": True})
        assert order(city, 2, "shelve", lasts, **keys) == why
        assert city.alarm(ID) == "raised"


class TestOutOfService:
    def test_by_role(self, street: Callable[..., Any]) -> None:
        """Only those who may, may."""
        city = street(out_of_service={"by": ["chief"], "at_most": "7 d"})
        city.at(1, {"s1.a": True})
        assert order(city, 2, "out_of_service", 60.0, role="guard") == "only chief may do that"
        assert order(city, 3, "out_of_service", 60.0, role="chief") == ""
        assert order(city, 4, "unshelve", role="guard") == "it is not shelved"
        assert city.alarm(ID) == "out_of_service"


class TestGone:
    def test_rule_taken_out(self, street: Callable[..., Any]) -> None:
        """An alarm whose declaration is taken out while it is suppressed does not stay hidden."""
        city = street(suppress_while="street.b")
        city.at(1, {"s1.a": True, "s1.b": True})
        city.adopt(alarms={"other": {"raise_while": "any(street.a)", "severity": "low"}})
        assert city.alarm(ID) == "cleared"

    def test_what_is_not_there(self, street: Callable[..., Any]) -> None:
        """Orders that make no sense say why."""
        city = street()
        assert order(city, 1, "acknowledge") == "there is nothing to acknowledge"
        assert order(city, 2, "dance") == 'there is no action "dance"'
        city.at(3, {}, AlarmOrder("cold", "acknowledge", "ann"))
        assert city.new(OrderRefused)[0].why == 'there is no alarm "cold"'
