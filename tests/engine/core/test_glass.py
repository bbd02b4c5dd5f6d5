"""Broken glass: everybody sees it, an alarm stands, and it ends by itself, also after a restart."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pilotage.core.carried import carry_over, essentials, past_of
from pilotage.core.engine import Engine
from pilotage.core.image import dump, load
from pilotage.model.messages import GlassChanged, GlassOrder, OrderRefused


def order(
    action: str,
    person: str = "karim",
    reason: str = "nobody at security",
    until: float = 1801.0,
    whose: str = "",
) -> Callable[[Any], GlassOrder]:
    """Return what makes an order in a town, whose time begins at `start`."""
    return lambda city: GlassOrder(action, person, "snow", reason, city.start + until, whose)


def broken(town: Callable[..., Any]) -> Any:
    """Return a town in which somebody acts for every post from second 1 to second 1801."""
    city = town({"L": {"kind": "lamp"}})
    city.at(1, None, order("break")(city))
    return city


class TestGlass:
    def test_ends_by_itself(self, town: Callable[..., Any]) -> None:
        """An alarm without a name stands as long as it lasts; then it is whole again."""
        city = broken(town)
        assert list(city.engine.glass.broken) == ["karim"]
        assert city.alarm("break-glass[snow]") == "raised"
        assert "karim" not in city.engine.alarms.all["break-glass[snow]"].text
        city.at(1800)
        assert list(city.engine.glass.broken) == ["karim"]
        city.at(1801)
        assert city.engine.glass.broken == {}
        assert city.alarm("break-glass[snow]") == "cleared"
        assert [(e.state, e.why) for e in city.events(GlassChanged)] == [
            ("broken", ""),
            ("whole", "its time was over"),
        ]

    def test_mended(self, town: Callable[..., Any]) -> None:
        """It is mended before its time, also by somebody else; the alarm of a post lasts as long as anybody's."""
        city = broken(town)
        city.at(2, None, order("break", "nadia", until=900.0)(city))
        city.at(3, None, order("mend", "nadia")(city))
        assert city.alarm("break-glass[snow]") == "raised"
        city.at(4, None, order("mend", "admin", whose="karim")(city))
        assert city.alarm("break-glass[snow]") == "cleared"
        city.at(5000)
        assert len(city.events(GlassChanged)) == 4

    @pytest.mark.parametrize(
        ("wanted", "why"),
        [
            (order("break"), "it is broken already: mend it first"),
            (order("break", "ann", " ", 60.0), "a reason is needed"),
            (
                order("break", "ann", until=3700.0),
                "an end is needed, at most 60 min from now",
            ),
            (
                order("break", "ann", until=2.0),
                "an end is needed, at most 60 min from now",
            ),
            (order("mend", "ann"), "the glass is whole"),
            (order("burn", "ann"), 'there is no action "burn"'),
        ],
    )
    def test_refused(self, town: Callable[..., Any], wanted: Any, why: str) -> None:
        """What cannot be done is refused with its reason."""
        city = broken(town)
        city.at(2, None, wanted(city))
        assert [e.why for e in city.events(OrderRefused)] == [why]


class TestRestart:
    @pytest.mark.parametrize("how", ["image", "anew"])
    def test_goes_on(self, town: Callable[..., Any], how: str) -> None:
        """After a restart it lasts as long as it would have lasted, and ends."""
        city = broken(town)
        old = city.engine
        if how == "image":
            city.engine = load(dump(old, "code"), {}, "code")
        else:
            kept = json.loads(json.dumps(essentials(old)))
            city.engine = Engine(old.program, old.inventory, kept["now"], past=past_of(kept))
            carry_over(city.engine, kept)
        city.at(1700)
        assert city.engine.glass.broken["karim"].reason == "nobody at security"
        assert city.alarm("break-glass[snow]") == "raised"
        city.at(1802)
        assert city.engine.glass.broken == {}
        assert city.alarm("break-glass[snow]") == "cleared"
