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


Question = tuple[str, ...]
"""What the check of a declaration asked of the others: what, and about whom."""


@dataclass
class Vocabulary:
    """Everything that a name may mean outside a rule: kinds, functions, calls, derived values, plans.

    Attributes:
        asked: What was asked of other declarations since somebody emptied it; kinds, functions and calls are the plugins'.
    """

    kinds: dict[str, Kind]
    functions: Mapping[str, Function] = field(default_factory=dict)
    calls: Mapping[str, CallSpec] = field(default_factory=dict)
    plans: dict[str, Kind] = field(default_factory=dict)
    derived_point_of: Callable[[str, str], PointSpec | None] = lambda kind, name: None
    derived_names_of: Callable[[str], Iterable[str]] = lambda kind: ()
    asked: set[Question] = field(default_factory=set)

    def kind(self, name: str) -> Kind | None:
        """Return a kind by name, the engine's own among them."""
        if name == "incident":
            return INCIDENT
        found = self.kinds.get(name)
        if found is None:
            self.asked.add(("kind", name))
            found = self.plans.get(name)
        return found

    def plan_names(self) -> list[str]:
        """Return the names of all plans, in order of declaration."""
        self.asked.add(("plans",))
        return [name.removeprefix("plan:") for name in self.plans]

    def forget_derived(self) -> None:
        """Know no derived value any more, when all is checked.

        They know the check, and it knows them: in an engine whose collector is frozen the two would stay for ever, and with
        them every file that was read.
        """
        self.derived_point_of, self.derived_names_of = _no_point, _no_names

    def derived_point(self, kind: str, name: str) -> PointSpec | None:
        """Return a derived value as a point, or None."""
        self.asked.add(("derived", kind, name))
        return self.derived_point_of(kind, name)

    def derived_names(self, kind: str) -> Iterable[str]:
        """Return the names of a kind's derived values; those of the city for an empty kind."""
        self.asked.add(("names", kind))
        return self.derived_names_of(kind)

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


def _no_point(_kind: str, _name: str) -> None:
    """Know no derived value."""


def _no_names(_kind: str) -> tuple[str, ...]:
    """Know none by name either."""
    return ()
