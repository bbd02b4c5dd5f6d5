"""Who is near whom: moving sets on a grid, so that a position costs the same among ten and ten thousand.

Whoever comes within the distance is in; whoever goes 20 % further out is gone. While a position is unknown nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final

from pilotage.core.graph import Env, Graph, Node
from pilotage.core.store import Cell, Entity
from pilotage.language.functions import metres_between, offset_m
from pilotage.language.program import SetProgram
from pilotage.model.entities import PointSpec
from pilotage.model.values import BOOLEAN, Position

OUTER_BAND: Final = 1.2
"""A member leaves beyond this many times the distance."""
_SPEC: Final = PointSpec("", BOOLEAN)


class _Circle:
    """A centre, a radius, and who is inside."""

    __slots__ = ("centre", "enters", "inside", "leaves", "outer_m", "radius_m", "squares")

    def __init__(
        self, radius_m: float, enters: Callable[[Entity], None], leaves: Callable[[Entity], None]
    ) -> None:
        self.radius_m = radius_m
        self.outer_m = radius_m * OUTER_BAND
        self.enters = enters
        self.leaves = leaves
        self.centre: Position | None = None
        self.inside: dict[Entity, None] = {}
        self.squares: list[tuple[int, int]] = []


class _Mover(Node):
    """Looks at the circles around an entity when it has moved."""

    __slots__ = ("_entity", "_field")

    def __init__(self, graph: Graph, entity: Entity, field: _Field) -> None:
        super().__init__(graph, Cell("", _SPEC))
        self._entity = entity
        self._field = field
        if entity.position is not None:
            self.follow({entity.position: None})

    def update(self) -> bool:
        """Tell the field; no value of its own."""
        self._field.moved(self._entity)
        return False


class _Centre(Node):
    """Moves a circle with the entity in its middle."""

    __slots__ = ("_circle", "_env", "_evaluate", "_field", "_of", "_thing")
    MADE: ClassVar = ("_evaluate",)

    def __init__(
        self, graph: Graph, program: SetProgram, env: Env, field: _Field, circle: _Circle
    ) -> None:
        super().__init__(graph, Cell("", _SPEC))
        assert program.of is not None
        self._field = field
        self._circle = circle
        self._of = program.of
        self._env = env
        self.remake()
        self._thing: Any = None
        self._follow_middle(self._evaluate())

    def remake(self) -> None:
        """Bind the function that leads to the middle."""
        self._evaluate = self.graph.bind(self._of, self._env)

    def _follow_middle(self, thing: Any) -> None:
        self._thing = thing
        cells, _ = self.graph.sources(self._of, self._env)
        if isinstance(thing, Entity) and thing.position is not None:
            cells[thing.position] = None
        self.follow(cells)

    def update(self) -> bool:
        """Put the circle where its centre is now; no value of its own."""
        thing = self._evaluate()
        if thing is not self._thing:
            self._follow_middle(thing)
        place = thing.place if isinstance(thing, Entity) else thing
        if place is not None and place != self._circle.centre:
            self._field.recentre(self._circle, place)
        return False


class _Field:
    """All circles that look for entities of one kind, on a grid as wide as their diameter."""

    def __init__(self, graph: Graph, kind: str, radius_m: float) -> None:
        self._graph = graph
        self._size_m = max(radius_m * OUTER_BAND * 2.0, 1.0)
        self._origin: Position | None = None
        self._squares: dict[tuple[int, int], dict[_Circle, None]] = {}
        self._within: dict[Entity, dict[_Circle, None]] = {}
        self._there: dict[tuple[int, int], dict[Entity, None]] = {}
        self._square_of: dict[Entity, tuple[int, int]] = {}
        self._movers: dict[Entity, _Mover] = {}
        for entity in graph.entities_of(kind):
            self._new(entity)
        graph.on_new_entity.setdefault(kind, []).append(self._new)

    def _new(self, entity: Entity) -> None:
        self._movers[entity] = _Mover(self._graph, entity, self)
        if entity.place is not None:
            self._locate(entity, entity.place)

    def _locate(self, entity: Entity, place: Position) -> tuple[int, int]:
        """Remember in which square an entity is; while its place is unknown, where it was last."""
        square, before = self._square(place), self._square_of.get(entity)
        if square != before:
            if before is not None:
                del self._there[before][entity]
            self._square_of[entity] = square
            self._there.setdefault(square, {})[entity] = None
        return square

    def _square(self, place: Position) -> tuple[int, int]:
        if self._origin is None:
            self._origin = place
        east, north = offset_m(self._origin, place)
        return int(east // self._size_m), int(north // self._size_m)

    def recentre(self, circle: _Circle, place: Position) -> None:
        """Put a circle somewhere and see who of those in its squares is inside."""
        self._take_off(circle)
        circle.centre = place
        column, row = self._square(place)
        circle.squares = [(column + dx, row + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        near = dict.fromkeys(circle.inside)
        for square in circle.squares:
            self._squares.setdefault(square, {})[circle] = None
            near.update(self._there.get(square, {}))
        for entity in near:
            self._judge(entity, circle)

    def _take_off(self, circle: _Circle) -> None:
        for square in circle.squares:
            self._squares[square].pop(circle, None)
        circle.squares = []

    def moved(self, entity: Entity) -> None:
        """See which circles an entity entered or left."""
        place = entity.place
        if place is None:
            return
        near = dict.fromkeys(self._within.get(entity, ()))
        near.update(self._squares.get(self._locate(entity, place), {}))
        for circle in near:
            self._judge(entity, circle)

    def _judge(self, entity: Entity, circle: _Circle) -> None:
        place = entity.place
        if place is None or circle.centre is None:
            return
        gap = metres_between(circle.centre, place)
        if entity in circle.inside:
            if gap > circle.outer_m:
                self._part(entity, circle)
        elif gap <= circle.radius_m:
            circle.inside[entity] = None
            self._within.setdefault(entity, {})[circle] = None
            circle.enters(entity)

    def _part(self, entity: Entity, circle: _Circle) -> None:
        del circle.inside[entity]
        self._within[entity].pop(circle, None)
        circle.leaves(entity)

    def drop(self, circle: _Circle) -> None:
        """Forget a circle without telling anybody."""
        self._take_off(circle)
        for entity in circle.inside:
            self._within[entity].pop(circle, None)
        circle.inside.clear()


class Geography:
    """The moving sets of all rules."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._fields: dict[tuple[str, float], _Field] = {}

    def nearby(
        self,
        program: SetProgram,
        env: Env,
        enters: Callable[[Entity], None],
        leaves: Callable[[Entity], None],
    ) -> Callable[[], None]:
        """Follow who of a kind is within a distance; return how to stop."""
        assert program.within_m is not None
        key = (program.kind, program.within_m)
        field = self._fields.get(key)
        if field is None:
            field = self._fields[key] = _Field(self._graph, program.kind, program.within_m)
        circle = _Circle(program.within_m, enters, leaves)
        centre = _Centre(self._graph, program, env, field, circle)
        centre.update()

        return partial(_stop, centre, field, circle)


def _stop(centre: _Centre, field: _Field, circle: _Circle) -> None:
    centre.close()
    field.drop(circle)
