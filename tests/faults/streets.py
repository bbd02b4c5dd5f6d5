"""A street for the suites that run the core in their own process, under a time of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pilotage.core.engine import Engine
from pilotage.embedding import open_city
from pilotage.hookspecs import hookimpl
from pilotage.model.entities import Access, Kind, PointSpec
from pilotage.model.values import number

STREET: Final = Kind(
    "street",
    "Street",
    (
        PointSpec("flow", number("veh/h"), Access.REPORTED, low=0.0, high=10_000.0),
        PointSpec("pulse", number(), Access.REPORTED),
        PointSpec("level", number("%"), Access.COMMANDABLE, low=0.0, high=100.0, default=100.0),
    ),
)


class Plugin:
    """Brings the kind."""

    @hookimpl
    def pilotage_kinds(self) -> Sequence[Kind]:
        """Return the one."""
        return [STREET]


def engine(rules: str, streets: int, now: float) -> Engine:
    """Return an engine with these rules over streets `s-0` and up."""
    things = [{"id": f"s-{n}", "kind": "street"} for n in range(streets)]
    return open_city(rules, things, plugins=[Plugin()], now=now).engine
