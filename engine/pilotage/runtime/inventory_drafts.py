"""What an inventory is read into before all of it is known: entities, and what leads from one to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pilotage.language.loader import ListNode, Node, ScalarNode
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.entities import Access, EntitySpec, Kind, PointSettings
from pilotage.model.values import Base, Position, Value
from pilotage.runtime.point_values import Convert
from pilotage.runtime.tables import Fill, Table

NO_KIND: Final = Kind("", "", ())
"""The kind of an entity whose own is wrong: it is known, so that what leads to it is not reported too."""

_NONE: Final[Mapping[str, Any]] = {}
"""What most of a city's entities say of values, relations or settings: one for all."""

Say = Callable[[Finding], None]


class Place(Protocol):
    """Where something was written; found out only when somebody asks."""

    @property
    def at(self) -> Span:
        """File, line and column."""
        ...


@dataclass(slots=True)
class Draft:
    """An entity while it is read."""

    id: str
    kind: Kind
    place: Place
    name: str = ""
    zone: str = ""
    values: dict[str, Value] = field(default_factory=dict)
    relations: dict[str, list[str]] = field(default_factory=dict)
    settings: dict[str, PointSettings] = field(default_factory=dict)

    def spec(self) -> EntitySpec:
        """Return the entity as it is from now on."""
        relations = {name: tuple(dict.fromkeys(ids)) for name, ids in self.relations.items()}
        return EntitySpec(
            self.id,
            self.kind.name,
            self.name,
            self.values or _NONE,
            relations or _NONE,
            self.zone,
            self.settings or _NONE,
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """A place in a row."""

    table: Table
    line: int
    columns: tuple[int, ...] = ()

    @property
    def at(self) -> Span:
        """The field, or the row."""
        return self.table.place(self.line, self.columns)


@dataclass(frozen=True, slots=True)
class Link:
    """A reference or relation, to be checked when all entities are known."""

    owner: str
    point: str
    target: str
    kind: str
    place: Place


@dataclass(frozen=True, slots=True)
class Membership:
    """A member that names its owner."""

    member: Draft
    relation: str
    owner: str
    place: Place


@dataclass(slots=True)
class Column:
    """How one point, relation or owner is filled from a row."""

    name: str
    fill: Fill
    columns: tuple[int, ...]
    convert: Convert | None = None
    kind: str = ""
    map: Mapping[str, Any] = field(default_factory=dict)
    default: Any = None


def known_names(kind: Kind) -> list[str]:
    """Return what an entity of a kind may have: its points and relations."""
    return [*(point.name for point in kind.points), *kind.relations]


def place_point(kind: Kind) -> str:
    """Return the point that says where an entity stands: `position`, or the only fixed position; empty for none."""
    places = [point for point in kind.points if point.type.base is Base.POSITION]
    if any(point.name == "position" for point in places):
        return "position"
    fixed = [point.name for point in places if point.access is Access.FIXED]
    return fixed[0] if len(fixed) == 1 else ""


def position_of(kind: Kind, values: Mapping[str, object]) -> Position | None:
    """Return where an entity stands, None when the inventory does not say."""
    found = values.get(place_point(kind))
    return found if isinstance(found, Position) else None


def plain(node: Node) -> Any:
    """Return a node as plain data."""
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return node.value if isinstance(node, ScalarNode) else {}
