"""The points of the whole city by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pilotage.core.store import Cell, Entity, PointTable
from pilotage.language.resolver import INCIDENT

INCIDENT_POINTS: Final = PointTable(INCIDENT.points)


class CityCells(Mapping[str, Cell]):
    """Every point by id, relations among them; its cell is made when it is first asked for, as `Cells` has it.

    An incident's points have no id in the city: they are read through the incident.
    """

    def __init__(
        self, entities: Mapping[str, Entity], by_kind: Mapping[str, Sequence[Entity]]
    ) -> None:
        """Speak of these entities, which may become more.

        Args:
            entities: By id.
            by_kind: The same, together with those that are alike.
        """
        self._entities = entities
        self._by_kind = by_kind
        self._of_city: dict[str, Cell] = {}

    def __getitem__(self, id_: str) -> Cell:
        """Return the cell of a point.

        Raises:
            KeyError: There is no such point.
        """
        entity, name = self._found(id_)
        if entity is None:
            return self._of_city[id_]
        return entity.cells[name] if entity.cells.has(name) else entity.relations[name]

    def peek(self, id_: str) -> Cell:
        """Return the cell of a point to be read only: a passing one, when nobody has asked for it yet.

        Raises:
            KeyError: There is no such point.
        """
        entity, name = self._found(id_)
        return (
            self[id_]
            if entity is None or name not in entity.points.specs
            else entity.cells.peek(name)
        )

    def __iter__(self) -> Iterator[str]:
        """Yield the id of every point."""
        for names, entities in self._alike():
            for entity in entities:
                for name in names:
                    yield f"{entity.id}.{name}"
        yield from self._of_city

    def __len__(self) -> int:
        """Return how many points there are."""
        return len(self._of_city) + sum(len(n) * len(entities) for n, entities in self._alike())

    def add(self, cell: Cell) -> None:
        """Take in a point of the city itself."""
        self._of_city[cell.id] = cell

    def known(self) -> Iterator[Cell]:
        """Yield the cells that were asked for; meanwhile another thread may ask for more."""
        for _, entities in self._alike():
            for entity in entities:
                yield from list(entity.relations.values())
                yield from list(entity.cells.values())
        yield from list(self._of_city.values())

    def _found(self, id_: str) -> tuple[Entity | None, str]:
        """Return whose point or relation it is, and its name there; None when it is nobody's."""
        # The first dot ends the entity, unless a city of a program has dots in its ids.
        end = id_.find(".")
        while end > 0:
            entity, name = self._entities.get(id_[:end]), id_[end + 1 :]
            if entity is not None and _has(entity, name):
                return entity, name
            end = id_.find(".", end + 1)
        return None, ""

    def _alike(self) -> Iterator[tuple[list[str], list[Entity]]]:
        """Yield the names of points and relations of each kind, with its entities."""
        for kind, entities in list(self._by_kind.items()):
            if kind != INCIDENT.name and entities:
                first = entities[0]
                names = dict.fromkeys([*first.points.specs, *first.cells, *first.relations])
                yield list(names), list(entities)


def _has(entity: Entity, name: str) -> bool:
    """Return whether an entity has a point or a relation that has an id in the city."""
    is_there = entity.cells.has(name) or name in entity.relations
    return is_there and entity.kind != INCIDENT.name
