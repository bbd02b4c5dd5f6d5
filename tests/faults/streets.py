"""Streets for the suites that run the core in their own process, under a time of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pilotage.core.engine import Engine
from pilotage.embedding import open_city
from pilotage.hookspecs import hookimpl
from pilotage.model.entities import Access, Kind, PointSpec
from pilotage.model.values import enum, number

FLOW: Final = PointSpec("flow", number("veh/h"), Access.REPORTED, low=0.0, high=10_000.0)
PULSE: Final = PointSpec("pulse", number(), Access.REPORTED)
KINDS: Final = (
    Kind(
        "street",
        "Street whose lamps are told and say nothing",
        (
            FLOW,
            PULSE,
            PointSpec("level", number("%"), Access.COMMANDABLE, low=0.0, high=100.0, default=100.0),
        ),
    ),
    Kind(
        "lit_street",
        "Street whose lamps are read back, with a bell",
        (
            FLOW,
            PULSE,
            PointSpec("level", number("%"), Access.BOTH, low=0.0, high=100.0, default=100.0),
            PointSpec("bell", enum("rest", "ring"), Access.COMMANDABLE, default="rest", pulse=True),
        ),
    ),
)


class Plugin:
    """Brings the kinds."""

    @hookimpl
    def pilotage_kinds(self) -> Sequence[Kind]:
        """Return both."""
        return KINDS


def engine(rules: str, streets: int, now: float, kind: str = "street") -> Engine:
    """Return an engine with these rules over streets `s-0` and up."""
    things = [{"id": f"s-{n}", "kind": kind} for n in range(streets)]
    return open_city(rules, things, plugins=[Plugin()], now=now).engine
