"""The interface for device protocols: what an adapter gets, and what it owes.

An adapter package has `plugin` (hooks only), `binding` (configuration to points), `codec` (bytes and values, pure) and
`connection` (asyncio). The engine supervises `run`; whatever it raises means that the connection is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pilotage.model.diagnostics import Finding
from pilotage.model.entities import EntitySpec, Kind, Rate
from pilotage.model.messages import CallOut, Command, Outcome, PointHandle, Request
from pilotage.model.quality import Quality

ISOLATED = " (isolated)"
"""What follows the name of an adapter in the catalogue when it runs in a process of its own."""

MOST_READINGS = 50_000.0
MOST_POINT_READINGS = 200.0
"""Readings a second, of a connection and of a point, unless the site says otherwise."""
ISOLATED_MEMORY = 300_000_000
"""Bytes that such a process may have, unless the site says otherwise."""


class Door(Protocol):
    """Where an adapter hands in what it hears; safe to call from the event loop only."""

    def report(
        self,
        point: PointHandle,
        raw: Any,
        *,
        quality: Quality = Quality.GOOD,
        source_time: float | None = None,
    ) -> bool:
        """Hand in what a device reported; False when the door refused it (counted and logged there).

        Args:
            point: From `Site.point`.
            raw: A number in the point's unit, a text, a bool, a position as (latitude, longitude) or
                {"lat":…, "lon":…}, the id of an entity; None together with a quality that is not usable.
            quality: How far the device itself trusts it.
            source_time: Seconds since 1970 at the device; None is now.
        """
        ...

    def call_result(self, call: str, status: str, detail: str = "") -> None:
        """Hand in a service's answer to a call."""
        ...

    def connected(self, detail: str = "") -> None:
        """Say that the connection is up: wanted values are sent again."""
        ...

    def lost(self, points: Sequence[PointHandle], detail: str) -> None:
        """Say that these points cannot be heard now: they become unknown at once."""
        ...

    def refused(self, source: str, why: str) -> None:
        """Count (and log, rate-limited) a message that no binding understands."""
        ...


def has_room(door: Door) -> bool:
    """Return False while an engine that cannot follow asks its adapters to read no further for a moment.

    A door says so by an attribute `is_full`; one without it always has room.
    """
    return not getattr(door, "is_full", False)


class Site(Protocol):
    """The city as an adapter sees it while it binds."""

    @property
    def name(self) -> str:
        """The site's name."""
        ...

    def entities(self, kind: str = "") -> Sequence[EntitySpec]:
        """Return the entities of a kind, or all, in order of id."""
        ...

    def kind(self, name: str) -> Kind | None:
        """Return a kind by name, or None."""
        ...

    def point(self, id: str) -> PointHandle | None:  # noqa: A002
        """Return the handle of `ENTITY.POINT`, or None when there is no such point."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """One entry under `connections:` in config.yaml, secrets already resolved.

    Attributes:
        name: The key.
        adapter: The adapter's name.
        options: Everything else, as plain YAML types.
        place: `file:line:column` of the entry, for errors.
        isolate: Whether the adapter runs in a process of its own.
        memory: Bytes that this process may have.
        most_readings: Readings a second that are taken from the connection; of what is beyond, the newest of each point.
        most_point_readings: The same for each of its points.
        pace: What the connection may carry: a burst, and the seconds in which it may be repeated; None is everything.
    """

    name: str
    adapter: str
    options: Mapping[str, Any]
    place: str = ""
    isolate: bool = False
    memory: int = ISOLATED_MEMORY
    pace: Rate | None = None
    most_readings: float = MOST_READINGS
    most_point_readings: float = MOST_POINT_READINGS

    @property
    def factory(self) -> str:
        """The name under which the catalogue of plugins has what opens this connection."""
        return f"{self.adapter}{ISOLATED}" if self.isolate else self.adapter


class Adapter(Protocol):
    """A live connection."""

    async def run(self) -> None:
        """Connect, subscribe, and hand in readings until cancelled; raise when the connection is lost.

        Called again, after a pause with back-off and jitter, each time it raises or returns.
        """
        ...

    async def send(self, order: Command | Request | CallOut) -> Outcome:
        """Send an order, and say what is known of it; never queue it for later.

        Returns NOT_SENT when the link is down or the order's deadline has passed.
        """
        ...

    def targets(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the ids of the points that this connection can command, and the names of the calls it serves."""
        ...


class AdapterFactory(Protocol):
    """What a plugin's `pilotage_adapters` hook returns, one per protocol."""

    @property
    def name(self) -> str:
        """The word after `adapter:` in config.yaml."""
        ...

    def check(self, settings: ConnectionSettings, site: Site) -> list[Finding]:
        """Return everything that is wrong with the settings, without connecting."""
        ...

    def open(self, settings: ConnectionSettings, site: Site, door: Door) -> Adapter:
        """Return an adapter for checked settings; does not connect yet."""
        ...
