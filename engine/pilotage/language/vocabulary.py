"""Everything that a name may mean outside a rule: kinds and their points, functions, calls, plans, derived values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pilotage.model.entities import Access, CallSpec, Function, Kind, PointSpec
from pilotage.model.values import (
    BOOLEAN,
    POSITION,
    TEXT,
    TIME,
    Base,
    ValueType,
    enum,
    number,
)

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
GLOBALS: Final[dict[str, ValueType]] = {
    "is_night": BOOLEAN,
    "time": TIME,
    "weekday": enum(*WEEKDAYS),
    "holiday": BOOLEAN,
    "month": number(""),
    "sunrise": TIME,
    "sunset": TIME,
    "sun.elevation": number("°"),
    "sun.azimuth": number("°"),
}
"""Values of the city that the schedule keeps."""

INCIDENT: Final = Kind(
    "incident",
    "Incident",
    (
        PointSpec("closed", BOOLEAN, doc="a person closed it"),
        PointSpec("type", TEXT),
        PointSpec("severity", enum("low", "medium", "high", "critical")),
        PointSpec("title", TEXT),
        PointSpec("location", POSITION),
        PointSpec("opened_at", number("s"), doc="seconds since 1970"),
    ),
)
"""What `open_incident` opens; the engine's own kind."""


def position_point(kind: Kind) -> PointSpec | None:
    """Return the point that says where an entity of this kind is."""
    return next((p for p in kind.points if p.type.base is Base.POSITION), None)


@dataclass
class Vocabulary:
    """Everything that a name may mean outside a rule: kinds, functions, calls, derived values, plans."""

    kinds: dict[str, Kind]
    functions: Mapping[str, Function] = field(default_factory=dict)
    calls: Mapping[str, CallSpec] = field(default_factory=dict)
    plans: dict[str, Kind] = field(default_factory=dict)
    derived_point: Callable[[str, str], PointSpec | None] = lambda kind, name: None
    derived_names: Callable[[str], Iterable[str]] = lambda kind: ()

    def kind(self, name: str) -> Kind | None:
        """Return a kind by name, the engine's own among them."""
        if name == "incident":
            return INCIDENT
        return self.kinds.get(name) or self.plans.get(name)

    def point(self, kind: str, name: str) -> PointSpec | None:
        """Return a point of a kind: declared, the status of a request, or derived."""
        known = self.kind(kind)
        if known is None:
            return None
        found = known.point(name)
        if found is None and name.endswith(".status"):
            found = status_point(known.point(name.removesuffix(".status")))
        return found or self.derived_point(kind, name)

    def point_names(self, kind: str) -> list[str]:
        """Return the names of all points and relations of a kind."""
        known = self.kind(kind)
        if known is None:
            return []
        return [
            *(p.name for p in known.points),
            *known.relations,
            *self.derived_names(kind),
            "name",
            "id",
        ]


def status_point(request: PointSpec | None) -> PointSpec | None:
    """Return the point on which a device answers to a held request, or None when it is no request."""
    if request is None or not request.is_request:
        return None
    return PointSpec(
        f"{request.name}.status",
        enum(*request.statuses),
        Access.REPORTED,
        doc=f"answer to {request.name}",
    )
