"""An engineer holds a point for maintenance, at level 7: nobody else takes it by hand, and operators do not give it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pilotage.core.carried import carry_over, essentials, past_of
from pilotage.core.engine import Engine
from pilotage.model.messages import OrderRefused, Override, ReleaseOverride


def locked(town: Callable[..., Any]) -> Any:
    """Return a town in which an operator holds a lamp, and an engineer took it over."""
    city = town({"L": {"kind": "lamp"}})
    end = city.start + 600
    city.at(1, None, Override("L.level", 40.0, "ann", "dark", end))
    city.at(2, None, Override("L.level", 0.0, "emil", "wiring", end, level=7))
    return city


class TestMaintenance:
    def test_stands_above(self, town: Callable[..., Any]) -> None:
        """It decides; others are refused by hand; what the operator wanted comes back afterwards."""
        city = locked(town)
        assert city.wanted("L.level") == 0.0
        city.at(3, None, Override("L.level", 80.0, "bob", "dark", city.start + 600))
        city.at(4, None, Override("L.level", 80.0, "eve", "also", city.start + 600, level=7))
        assert [e.why for e in city.events(OrderRefused)] == [
            "emil holds it for maintenance, at level 7"
        ] * 2
        city.at(5, None, ReleaseOverride("L.level", "bob", level=8))
        assert city.wanted("L.level") == 0.0  # only the operator's own went
        city.at(6, None, ReleaseOverride("L.level", "bob", level=8))
        assert (
            city.events(OrderRefused)[-1].why
            == "emil holds L.level for maintenance: an engineer gives it back"
        )
        city.at(7, None, ReleaseOverride("L.level", "eve"))
        assert city.wanted("L.level") == 100.0

    def test_other_levels(self, town: Callable[..., Any]) -> None:
        """People take points at 7 and 8 alone."""
        city = town({"L": {"kind": "lamp"}})
        city.at(1, None, Override("L.level", 1.0, "ann", "x", city.start + 60, level=1))
        (refused,) = city.events(OrderRefused)
        assert refused.why.endswith("not at 1")

    def test_made_anew(self, town: Callable[..., Any]) -> None:
        """An engine that is made anew keeps the level."""
        city = locked(town)
        kept = json.loads(json.dumps(essentials(city.engine)))
        old = city.engine
        city.engine = Engine(old.program, old.inventory, kept["now"], past=past_of(kept))
        carry_over(city.engine, kept)
        city.at(3)
        assert city.wanted("L.level") == 0.0
        city.at(4, None, ReleaseOverride("L.level", "bob", level=8))
        assert city.wanted("L.level") == 0.0
