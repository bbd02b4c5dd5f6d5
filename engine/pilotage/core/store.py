"""The live state of every point: readings in, values with quality and age out.

Knows nothing of rules or devices, and never reads a clock: `now` is passed in. Unknown is `value is None`, with the
reason kept beside it in `quality`, so that a condition needs no check on its way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from pilotage.language.functions import offset_m
from pilotage.model.entities import GUARDED, Access, PointSpec
from pilotage.model.messages import Reading
from pilotage.model.quality import Quality
from pilotage.model.values import Base, Position, ValueType, as_plain

if TYPE_CHECKING:
    from pilotage.core.arbiter import PriorityArray
    from pilotage.core.graph import Node, Watch

FUTURE_S: Final = 5.0
"""A source time further ahead than this is refused: the device's clock is wrong."""
LONGEST_TEXT: Final = 2_000
WITHHELD: Final = "(personal data, not kept)"
"""What a decision's record has in place of a value that it may not keep."""
FEW: Final = 8
"""So many readers of a cell are kept in a tuple."""
JITTER_M: Final = 3.0
"""A position nearer than this to the last one is no movement."""


T = TypeVar("T")
Readers = dict[T, None] | tuple[T, ...]


class EntitySet(tuple["Entity", ...]):
    """Some entities in order, with a quick `in`."""

    def __new__(cls, items: Iterable[Entity] = ()) -> EntitySet:
        """Return the set of these entities, in this order."""
        self = super().__new__(cls, items)
        self._ids = frozenset(map(id, self))
        return self

    _ids: frozenset[int]

    def __reduce__(self) -> tuple[type[EntitySet], tuple[tuple[Entity, ...]]]:
        """Return the members: the quick `in` is made of them anew."""
        return EntitySet, (tuple(self),)

    def __contains__(self, item: object) -> bool:
        """Return whether an entity is one of them."""
        return id(item) in self._ids


class PointTable:
    """The points that the entities of a kind have: one for all of them.

    Attributes:
        specs: By name, in the kind's order.
        groups: Those that stand for the same point of others.
        position: The first that says where it is; empty when none does.
    """

    __slots__ = ("groups", "position", "specs")

    def __init__(self, specs: Iterable[PointSpec] = ()) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.groups = tuple(name for name, spec in self.specs.items() if spec.group is not None)
        places = (s.name for s in self.specs.values() if s.type.base is Base.POSITION)
        self.position = next(places, "")


NO_POINTS: Final = PointTable()
NO_RELATIONS: Final[Mapping[str, Cell]] = {}
"""Of most of a city's entities: one for all."""


class Cells(dict[str, "Cell"]):
    """The cells of an entity by point. A point has one from when somebody first asks for it: an adapter, a rule, a person.

    Kinds declare several times as many points as a city's devices report and its rules read. `[]`, `find` and `has` speak of every
    point that there is; `in` and who goes through it meet those that somebody has asked for.
    """

    __slots__ = ("entity",)

    def __init__(self, entity: Entity) -> None:
        """Begin without any."""
        super().__init__()
        self.entity = entity

    def __missing__(self, point: str) -> Cell:
        """Make the cell of a point of the kind.

        Raises:
            KeyError: There is no such point.
        """
        entity = self.entity
        cell = self[point] = Cell(f"{entity.id}.{point}", entity.points.specs[point], entity)
        entity.made(cell)
        return cell

    def find(self, point: str) -> Cell | None:
        """Return the cell of a point, or None when there is no such point."""
        return self[point] if self.has(point) else None

    def has(self, point: str) -> bool:
        """Return whether there is such a point."""
        return point in self or point in self.entity.points.specs

    def known(self, point: str) -> Cell | None:
        """Return the cell of a point, or None when nobody has asked for it yet: nothing is known of it, or wanted."""
        return self.get(point)

    def peek(self, point: str) -> Cell:
        """Return the cell of a point of the kind to be read only: a passing one, when nobody has asked for it yet."""
        entity = self.entity
        return self.known(point) or Cell(f"{entity.id}.{point}", entity.points.specs[point], entity)

    def every(self) -> list[Cell]:
        """Return a cell of each point, in the kind's order, to be read only."""
        specs = self.entity.points.specs
        others = [cell for point, cell in self.items() if point not in specs]
        return [*map(self.peek, specs), *others]


class Entity:
    """One thing of a kind, alive: its cells by point, its relations.

    Attributes:
        points: The points of its kind.
    """

    __slots__ = ("_position", "cells", "id", "kind", "name", "points", "relations", "zone")

    def __init__(
        self, id_: str, kind: str, name: str = "", zone: str = "", points: PointTable = NO_POINTS
    ) -> None:
        self.id = id_
        self.kind = kind
        self.name = name or id_
        self.zone = zone
        self.points = points
        self.cells = Cells(self)
        self.relations: Mapping[str, Cell] = NO_RELATIONS
        self._position: Cell | None = None

    def made(self, cell: Cell) -> None:
        """Take note of a cell that was just made."""
        if cell.spec.name == self.points.position:
            self._position = cell

    def read(self, point: str) -> Any:
        """Return a point's value now, or None when it is unknown."""
        cell = self.cells.known(point)
        return None if cell is None else cell.value

    @property
    def position(self) -> Cell | None:
        """The cell that says where it is, or None when no point does."""
        return self._position or self.cells.find(self.points.position)

    @property
    def place(self) -> Position | None:
        """Where it is, or None when that is unknown."""
        return None if self._position is None else self._position.value

    @property
    def motion(self) -> tuple[float, float, float] | None:
        """Metres per second to the east and to the north while it last moved, and its speed now."""
        return None if self._position is None else self._position.motion

    def __repr__(self) -> str:
        """Return the id, for people who debug."""
        return f"<{self.kind} {self.id}>"


class One(Mapping[str, Entity]):
    """One variable and its entity: a quarter of what a dictionary of one takes, for who has 100,000."""

    __slots__ = ("entity", "name")

    def __init__(self, name: str, entity: Entity) -> None:
        self.name = name
        self.entity = entity

    def __getitem__(self, name: str) -> Entity:
        """Return the entity.

        Raises:
            KeyError: The variable has another name.
        """
        if name != self.name:
            raise KeyError(name)
        return self.entity

    def __iter__(self) -> Iterator[str]:
        """Yield the variable's name."""
        yield self.name

    def __len__(self) -> int:
        """Return how many variables there are."""
        return 1


class Cell:
    """The live value of one point, and who reads it.

    Attributes:
        value: None while it is unknown.
        before: The last known value while this one is unknown.
        time: Source time of the value, seconds since 1970.
        react: Asks everybody in `watches`; None sends the next reading the long way, which makes it anew.
        nodes: Derived values that depend on it.
        motion: For a position: east, north (m/s) and speed.
    """

    __slots__ = (
        "array", "before", "entity", "id", "is_plain", "is_position", "motion", "nodes", "quality", "react", "since", "source",
        "spec", "stale_due", "time", "value", "wanted", "watches",
    )  # fmt: skip
    MADE: ClassVar = ("react",)

    def __init__(self, id_: str, spec: PointSpec, entity: Entity | None = None) -> None:
        self.id = id_
        self.spec = spec
        self.entity = entity
        self.value: Any = None
        self.quality = Quality.MISSING
        self.time: float | None = None
        self.since: float | None = None
        self.before: Any = None
        self.is_position = spec.type.base is Base.POSITION
        self.is_plain = spec.type.base not in (Base.POSITION, Base.ENTITY, Base.SET)
        self.react: Callable[[], bool] | None = None
        # Most points of a city have no reader or one: a dict each would be 80 MB of 360,000 points.
        self.watches: dict[Watch, None] | tuple[Watch, ...] = ()
        self.nodes: dict[Node, None] | tuple[Node, ...] = ()
        self.array: PriorityArray | None = None
        self.wanted: Cell | None = None
        self.motion: tuple[float, float, float] | None = None
        self.stale_due: float | None = None
        self.source: Node | None = None

    def now(self) -> Any:
        """Return the value."""
        return self.value

    def remake(self) -> None:
        """Send the next reading the long way: it makes `react`."""
        self.react = None

    def add_watch(self, watch: Watch) -> None:
        """Have a condition asked when the value changes."""
        self.watches = _with(self.watches, watch)

    def drop_watch(self, watch: Watch) -> None:
        """Ask a condition no more."""
        self.watches = _without(self.watches, watch)

    def add_node(self, node: Node) -> None:
        """Have a derived value worked out when the value changes."""
        self.nodes = _with(self.nodes, node)

    def drop_node(self, node: Node) -> None:
        """Feed a derived value no more."""
        self.nodes = _without(self.nodes, node)

    @property
    def on_record(self) -> Any:
        """The value as a decision's record has it, which lives longer than personal data may."""
        return self.value if self.value is None or self.spec.privacy not in GUARDED else WITHHELD

    def wanted_cell(self) -> Cell:
        """Return the cell that mirrors what is wanted of this point, made when somebody first asks."""
        if self.wanted is None:
            self.wanted = Cell(f"wanted({self.id})", self.spec, self.entity)
            array = self.array
            self.wanted.value = (
                array.wanted if array is not None and array.is_decided else self.spec.default
            )
            self.wanted.quality = Quality.GOOD
        return self.wanted

    def put(self, value: Any, quality: Quality, time: float, now: float) -> bool:
        """Store a value and return whether anything changed that a condition could see."""
        old = self.value
        if value is not None and not quality.is_usable:
            value = None
        if self.is_position and value is not None:
            self._track(value, time)
        self.time = time
        self.quality = quality
        if value is old or (value is not None and value == old):
            return False
        if value is None:
            self.before = old
        self.value = value
        self.since = now
        return True

    @property
    def last(self) -> Any:
        """The last known value, for pages and for the direction of a movement."""
        return self.before if self.value is None else self.value

    def _track(self, here: Position, time: float) -> None:
        """Keep the direction of the last movement: a bus that stands still is still on its way."""
        before = self.last
        if before is None or self.time is None:
            return
        east, north = offset_m(before, here)
        length, elapsed = math.hypot(east, north), max(time - self.time, 0.001)
        if length >= JITTER_M:
            self.motion = (east / elapsed, north / elapsed, length / elapsed)
        elif self.motion is not None and length < JITTER_M and elapsed >= 1.0:
            self.motion = (self.motion[0], self.motion[1], length / elapsed)


def _with(readers: Readers[T], reader: T) -> Readers[T]:
    """Return the readers of a cell with one more, in the order in which they came; a tuple while they are few."""
    if isinstance(readers, dict):
        readers[reader] = None
        return readers
    if reader in readers:
        return readers
    return (*readers, reader) if len(readers) < FEW else {**dict.fromkeys(readers), reader: None}


def _without(readers: Readers[T], reader: T) -> Readers[T]:
    """Return the readers of a cell without one."""
    if isinstance(readers, dict):
        readers.pop(reader, None)
        return readers
    return tuple([other for other in readers if other is not reader])


def admit(
    cell: Cell,
    raw: Any,
    quality: Quality,
    source_time: float | None,
    now: float,
    entities: Mapping[str, Entity],
) -> Reading | str:
    """Return a reading that the core may store, or why it is refused.

    A value that is out of range, not finite or of the wrong type comes in as bad (the point is unknown then); what has no
    place in time (from the future, older than what is known) does not come in. What is too old already when it arrives
    (a gateway's memory) comes in as stale.
    """
    time = now if source_time is None else source_time
    if not isinstance(time, (int, float)) or not math.isfinite(time):
        return f"source time {str(time)[:40]!r} is no time"
    if time > now + FUTURE_S:
        return f"source time is {time - now:.0f} s in the future"
    if cell.time is not None and time < cell.time:
        return f"source time is {cell.time - time:.0f} s older than the last reading"
    if cell.spec.access in (Access.FIXED, Access.COMMANDABLE):
        return f"the point is {cell.spec.access.value}, devices do not report it"
    if not quality.is_usable or raw is None:
        return Reading(cell, None, quality if not quality.is_usable else Quality.MISSING, time)
    if cell.spec.max_age_s is not None and now - time >= cell.spec.max_age_s:
        return Reading(cell, None, Quality.STALE, time)
    value = to_value(cell.spec, raw, entities)
    return Reading(cell, value, quality if value is not None else Quality.BAD, time)


def to_value(spec: PointSpec, raw: Any, entities: Mapping[str, Entity]) -> Any:
    """Return a raw value as the point's type, or None when it is none or out of range."""
    match spec.type.base:
        case Base.NUMBER | Base.TIME:
            return _number(spec, raw)
        case Base.BOOLEAN:
            return raw if isinstance(raw, bool) else None
        case Base.ENUM:
            return raw if isinstance(raw, str) and raw in spec.type.members else None
        case Base.TEXT:
            return raw[:LONGEST_TEXT] if isinstance(raw, str) else None
        case Base.POSITION:
            return _position(raw)
        case Base.ENTITY:
            entity = entities.get(raw) if isinstance(raw, str) else None
            return entity if entity is not None and spec.type.kind in ("", entity.kind) else None
        case Base.SET:
            return _members(spec, raw, entities)
        case _:
            return None


def can_be(type_: ValueType, value: Any, entities: Mapping[str, Entity]) -> bool:
    """Return whether a known value is one of this type: the right word, finite, an entity of the right kind."""
    plain = as_plain(value)
    if type_.base is Base.ANY:
        return not isinstance(plain, float) or math.isfinite(plain)
    return to_value(PointSpec("", type_), plain, entities) is not None


def _members(spec: PointSpec, raw: Any, entities: Mapping[str, Entity]) -> EntitySet | None:
    """Return the entities of a list of ids, each once; None when one of them is nobody, or of another kind."""
    if not isinstance(raw, (list, tuple)):
        return None
    found: dict[Entity, None] = {}
    for id_ in raw:
        entity = entities.get(id_) if isinstance(id_, str) else None
        if entity is None or spec.type.kind not in ("", entity.kind):
            return None
        found[entity] = None
    return EntitySet(found)


def _number(spec: PointSpec, raw: Any) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        return None
    try:
        value = float(raw)
    except OverflowError:
        return None
    if not math.isfinite(value):
        return None
    low, high = spec.low, spec.high
    return (
        None if (low is not None and value < low) or (high is not None and value > high) else value
    )


def _position(raw: Any) -> Position | None:
    if isinstance(raw, Mapping):
        raw = (raw.get("lat", raw.get("latitude")), raw.get("lon", raw.get("longitude")))
    if not isinstance(raw, (tuple, list)) or len(raw) != 2:
        return None
    if any(
        isinstance(x, bool) or not isinstance(x, (int, float)) or not math.isfinite(x) for x in raw
    ):
        return None
    latitude, longitude = float(raw[0]), float(raw[1])
    return Position(latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None
