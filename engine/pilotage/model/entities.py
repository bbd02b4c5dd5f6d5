"""Kinds and what they are made of: points and relations; and the entities of an inventory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Protocol

from pilotage.model.values import ANY, Value, ValueType


class Access(Enum):
    """Who may set a point."""

    FIXED = "fixed"  # from the inventory; never stale
    REPORTED = "reported"  # by the device only
    COMMANDABLE = "commandable"  # by us; the device says nothing back
    BOTH = "both"  # by us, and read back

    @property
    def is_commandable(self) -> bool:
        """True when demands may be placed on the point."""
        return self in (Access.COMMANDABLE, Access.BOTH)

    @property
    def is_reported(self) -> bool:
        """True when a device reports the point."""
        return self in (Access.REPORTED, Access.BOTH)


class Combine(Enum):
    """How two demands at one level share a point."""

    MAX = "max"
    MIN = "min"
    FIRST = "first"
    REFUSE = "refuse"  # the older keeps it, and a conflict alarm names both


class Privacy(Enum):
    """Who may see a point, and for how long it may be kept.

    The last two are not recorded unless the site declares a purpose.
    """

    OPEN = "open"
    INTERNAL = "internal"
    PERSONAL = "personal"  # tells where a person is, or what a person does
    SENSITIVE = "sensitive"  # tells of emergencies, of health, or what a camera saw


GUARDED: Final = frozenset({Privacy.PERSONAL, Privacy.SENSITIVE})
"""The classes whose values have limits and ways to erase of their own."""


@dataclass(frozen=True, slots=True)
class Group:
    """A point that stands for the same point of many members.

    Attributes:
        relation: The kind's relation that leads to the members.
        point: Name of the members' point.
        combine: How the members' reports become one: `equal` (all the same), `min`, `max` or `mean`.
    """

    relation: str
    point: str
    combine: str = "equal"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` times within `per_s` seconds."""

    count: int
    per_s: float

    def __str__(self) -> str:
        """Return it as people read it: `1 per 10 s`."""
        return f"{self.count} per {self.per_s:g} s"


@dataclass(frozen=True, slots=True)
class OnLoss:
    """What a device shall do by itself when it has not heard of us for `after_s` seconds."""

    value: Value
    after_s: float = 30.0


@dataclass(frozen=True, slots=True)
class PointSpec:
    """One point of a kind.

    Attributes:
        name: May be dotted: `lights.level`.
        low, high: Range in the point's unit; a reading outside it is bad.
        max_age_s: Older is stale; None never is.
        default: Relinquish default, what is wanted when nobody demands anything.
        on_loss: What the device shall do by itself when we are gone.
        on_loss_by_site: That is a decision of each site: the inventory says it for every entity.
        combine: How ties at one level are settled.
        min_on_s, min_off_s: Least time in any value other than the default, and in the default.
        travel_s: Time the device may take to follow.
        tolerance: Largest difference between wanted and reported that counts as done, in the point's unit.
        statuses: Makes the point a held request for an entity; the device answers with one of these.
        group: Makes the point stand for its members' points.
        deadband: For a held request: how far a number in `with` must move before it is sent again.
        every_s: How often the device reports, when it does so by the clock.
        override_max_s: Longest override that an operator may give.
        pulse: Telling it twice does it twice: it is told at most once, and never again by itself. The default (or no
            value) is its rest, of which nothing is sent.
        max_rate: How often it may be told, whoever asks; what is over it waits, and the newest wins.
        deadline_s: A command is never sent later than this after its decision.
    """

    name: str
    type: ValueType
    access: Access = Access.REPORTED
    low: float | None = None
    high: float | None = None
    max_age_s: float | None = None
    default: Value | None = None
    on_loss: OnLoss | None = None
    combine: Combine = Combine.REFUSE
    min_on_s: float = 0.0
    min_off_s: float = 0.0
    travel_s: float = 0.0
    tolerance: float = 0.0
    statuses: tuple[str, ...] = ()
    group: Group | None = None
    deadband: Mapping[str, float] = field(default_factory=dict)
    every_s: float | None = None
    override_max_s: float = 86_400.0
    privacy: Privacy = Privacy.INTERNAL
    doc: str = ""
    pulse: bool = False
    max_rate: Rate | None = None
    deadline_s: float = 5.0
    on_loss_by_site: bool = False

    @property
    def value_on_loss(self) -> Value | None:
        """What the device shall show when we are gone, or None when nobody said."""
        return None if self.on_loss is None else self.on_loss.value

    def is_rest(self, value: Any) -> bool:
        """Return whether this value of a pulse means that nothing is to be done."""
        return value is None or value == self.default

    @property
    def is_request(self) -> bool:
        """True for a point that holds a request for an entity instead of a value."""
        return bool(self.statuses)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of equipment, place or vehicle.

    Every kind also has `name` (text); `relations` lead from one entity to several: `{"lamps": "lamp"}`.
    """

    name: str
    title: str
    points: tuple[PointSpec, ...]
    relations: Mapping[str, str] = field(default_factory=dict)
    doc: str = ""

    def point(self, name: str) -> PointSpec | None:
        """Return the point of that name, or None."""
        return next((p for p in self.points if p.name == name), None)


@dataclass(frozen=True, slots=True)
class PointSettings:
    """What the inventory says of one entity's point otherwise than its kind; None leaves it to the kind."""

    on_loss: OnLoss | None = None
    max_rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class EntitySpec:
    """One thing of a kind, as the inventory lists it.

    Attributes:
        values: First values of points by name, most of them fixed (`dimmable`, `rank`, `position`);
            references as ids.
        relations: Ids by relation.
        zone: Placement key (zone or commune).
        settings: What is otherwise than in the kind, by point.
    """

    id: str
    kind: str
    name: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)
    relations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    zone: str = ""
    settings: Mapping[str, PointSettings] = field(default_factory=dict)

    def point(self, spec: PointSpec) -> PointSpec:
        """Return a point of the kind as it is for this entity."""
        own = self.settings.get(spec.name)
        if own is None:
            return spec
        return replace(
            spec,
            on_loss=own.on_loss or spec.on_loss,
            max_rate=own.max_rate or spec.max_rate,
        )


class EntityView(Protocol):
    """An entity as a plugin's function sees it: read only."""

    @property
    def id(self) -> str:
        """The entity's id."""
        ...

    def read(self, point: str) -> Any:
        """Return the point's value now, or None when it is unknown."""
        ...


class City(Protocol):
    """The entities of the city, for functions that look beyond their arguments."""

    def entities(self, kind: str) -> Sequence[EntityView]:
        """Return all entities of a kind, in order of id."""
        ...


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a function or call; `required` ones have no default."""

    name: str
    type: ValueType = ANY
    required: bool = True


@dataclass(frozen=True, slots=True)
class Function:
    """A typed, pure function that a domain adds to the language.

    Attributes:
        name: `preset_towards`, or under the domain's name: `forecast.snow`.
        call: Gets the arguments by position (durations in seconds, entities as `EntityView`), the city first when
            `wants_city`; it is not called while an argument is unknown. Returns None for unknown.
        reads: Points that it reads by itself, as `kind.point`; conditions that use the function are evaluated
            again when one of them changes.
    """

    name: str
    parameters: tuple[Parameter, ...]
    returns: ValueType
    call: Callable[..., Any]
    reads: tuple[str, ...] = ()
    wants_city: bool = False
    doc: str = ""
    cost: int = 5


@dataclass(frozen=True, slots=True)
class CallSpec:
    """Something that a `do` step may ask of a service: `fleet.dispatch`.

    Attributes:
        statuses: What the service may answer; the first that is listed means accepted.
        pulse: Asking twice does it twice: it is asked at most once, and a rule may not `retry` it.
    """

    name: str
    parameters: tuple[Parameter, ...] = ()
    statuses: tuple[str, ...] = ("accepted", "refused", "done")
    doc: str = ""
    pulse: bool = True
