"""Sets of entities that change while the engine runs, and statistics over them, member by member.

A change of one member costs the same in a set of ten and of ten thousand.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar

from pilotage.core.graph import Env, Graph, Node, Watch, leads_elsewhere
from pilotage.core.store import Cell, Entity, EntitySet
from pilotage.language import typed
from pilotage.language.compiler import reads_only_fixed
from pilotage.language.program import SetProgram
from pilotage.language.typed import Typed

Nearby = Callable[
    [SetProgram, Env, Callable[[Entity], None], Callable[[Entity], None]], Callable[[], None]
]
"""Follows who is within a distance of an entity; returns how to stop."""


class LiveSet:
    """The members of a variable's set, and who is told when one joins or leaves.

    A member whose `where` becomes unknown stays, one whose `where` was never known is not in.
    """

    def __init__(
        self,
        graph: Graph,
        program: SetProgram,
        env: Env,
        joins: Callable[[Entity], None],
        leaves: Callable[[Entity], None],
        nearby: Nearby,
    ) -> None:
        self._graph = graph
        self._program = program
        self._env = env
        self._joins = joins
        self._leaves = leaves
        self._members: dict[Entity, None] = {}
        self._watches: dict[Entity, Watch] = {}
        self._stop: Callable[[], None] | None = None
        self._source: Watch | None = None
        if program.source is not None:
            self._source = Watch(graph, program.source, env, self._source_changed)
            self._source.check()
        elif program.within_m is not None:
            self._stop = nearby(program, env, self._candidate, self._gone)
        else:
            for entity in _candidates(graph, program):
                self._candidate(entity)
            graph.on_new_entity.setdefault(program.kind, []).append(self._candidate)

    def _source_changed(self, members: Iterable[Entity] | None) -> None:
        if members is None:  # unknown for now: those who are in stay
            return
        wanted = dict.fromkeys(members)
        for entity in [e for e in self._members if e not in wanted]:
            self._gone(entity)
        for entity in wanted:
            if entity not in self._members:
                self._candidate(entity)

    def _candidate(self, entity: Entity) -> None:
        where = self._program.where
        if where is None:
            self._join(entity)
            return
        env = {**self._env, self._program.variable: entity}
        if reads_only_fixed(where):
            if self._graph.bind(where, env)():
                self._join(entity)
            return
        watch = Watch(self._graph, where, env, partial(self._judged, entity))
        self._watches[entity] = watch
        watch.check()

    def _judged(self, entity: Entity, truth: bool | None) -> None:
        if truth is True and entity not in self._members:
            self._join(entity)
        elif truth is False and entity in self._members:
            self._part(entity)

    def _join(self, entity: Entity) -> None:
        self._members[entity] = None
        self._joins(entity)

    def _part(self, entity: Entity) -> None:
        del self._members[entity]
        self._leaves(entity)

    def _gone(self, entity: Entity) -> None:
        watch = self._watches.pop(entity, None)
        if watch is not None:
            watch.close()
        if entity in self._members:
            self._part(entity)

    def close(self) -> None:
        """Follow no longer; every member leaves."""
        if self._stop is not None:
            self._stop()
        if self._source is not None:
            self._source.close()
        listeners = self._graph.on_new_entity.get(self._program.kind, [])
        if self._candidate in listeners:
            listeners.remove(self._candidate)
        for entity in list(self._members):
            self._gone(entity)
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()
        self._stop = self._source = None
        self._joins = self._leaves = _unheard


def _unheard(_entity: Entity) -> None:
    """Take a member of a set that was closed."""


def _candidates(graph: Graph, program: SetProgram) -> list[Entity]:
    """Return who may be a member; `where: x.id == "L-17"` speaks of one, and nobody else need be asked."""
    id_ = typed.only_id(program.where, program.variable)
    if id_ is None:
        return list(graph.entities_of(program.kind))
    entity = graph.entities.get(id_)
    return [entity] if entity is not None and entity.kind == program.kind else []


class _Contribution(Node):
    """What one member adds to a statistic: whether it counts, and its value."""

    __slots__ = ("_parts", "entity", "env", "now_is", "parent", "structure")
    MADE: ClassVar = ("_parts",)

    def __init__(self, graph: Graph, parent: SetNode, entity: Entity, env: Env) -> None:
        super().__init__(graph, Cell("", parent.cell.spec))
        self.parent = parent
        self.entity = entity
        self.env = env
        self.remake()
        self.now_is: tuple[bool | None, Any] = (False, None)
        self._resubscribe()

    def remake(self) -> None:
        """Bind the functions of the member's expressions."""
        self._parts = [
            None if node is None else self.graph.bind(node, self.env)
            for node in self.parent.member_expressions
        ]

    def _resubscribe(self) -> None:
        cells: dict[Cell, None] = {}
        structure: dict[Cell, Any] = {}
        for node in self.parent.member_expressions:
            if node is not None:
                found, led = self.graph.sources(node, self.env)
                cells.update(found)
                structure.update(led)
        self.structure = tuple(structure.items())
        self.follow(cells)
        if self.parent.rank <= self.rank:
            self.parent.rank = self.rank + 1

    def update(self) -> bool:
        """Tell the statistic what changed; the contribution itself is nobody's value."""
        where, value = self._parts
        now_is = (True if where is None else where(), None if value is None else value())
        if leads_elsewhere(self.structure):
            self._resubscribe()
        if now_is != self.now_is:
            self.parent.exchange(self.now_is, now_is)
            self.now_is = now_is
            self.graph.mark(self.parent)
        return False


class SetNode(Node):
    """A set or a statistic over one, kept by its members' contributions."""

    __slots__ = (
        "_contributions", "_env", "_is_lost", "_source", "_source_node", "_sum", "_updates", "_values",
        "certain", "doubtful", "false", "function", "member_expressions", "node", "true", "unknown", "variable",
    )  # fmt: skip
    MADE: ClassVar = ("_source",)

    def __init__(
        self, graph: Graph, node: typed.Aggregate | typed.AllOf, env: Env, cell: Cell
    ) -> None:
        super().__init__(graph, cell)
        self.node = node
        self._env = env
        self.variable = node.variable
        self.member_expressions = self._member_expressions(node)
        self.function = node.function if isinstance(node, typed.Aggregate) else "set"
        self._contributions: dict[Entity, _Contribution] = {}
        self._is_lost = False  # nobody knows whose members they are
        self._values: list[float] = []
        self._sum = 0.0
        self._updates = 0
        self.certain = self.doubtful = self.true = self.false = self.unknown = 0
        self._source_node = node.source if isinstance(node, typed.Aggregate) else None
        kind = node.kind if isinstance(node, typed.AllOf) else ""
        if isinstance(self._source_node, typed.AllOf) and self._source_node.where is None:
            kind, self._source_node = self._source_node.kind, None
        self.remake()
        if self._source_node is not None:
            self.follow(graph.sources(self._source_node, env)[0])
        else:
            for entity in list(graph.entities_of(kind)):
                self._add(entity)
            graph.on_new_entity.setdefault(kind, []).append(self._add)

    def remake(self) -> None:
        """Bind the function of the set that is looked at."""
        source = self._source_node
        self._source = None if source is None else self.graph.bind(source, self._env)

    @staticmethod
    def _member_expressions(
        node: typed.Aggregate | typed.AllOf,
    ) -> tuple[Typed | None, Typed | None]:
        return node.where, (node.value if isinstance(node, typed.Aggregate) else None)

    def _add(self, entity: Entity) -> None:
        contribution = _Contribution(self.graph, self, entity, {**self._env, self.variable: entity})
        self._contributions[entity] = contribution
        contribution.update()

    def _remove(self, entity: Entity) -> None:
        contribution = self._contributions.pop(entity)
        self.exchange(contribution.now_is, (False, None))
        contribution.close()

    def exchange(self, before: tuple[bool | None, Any], after: tuple[bool | None, Any]) -> None:
        """Take one member's old contribution out and its new one in."""
        self._count(before, -1)
        self._count(after, 1)

    def _count(self, contribution: tuple[bool | None, Any], by: int) -> None:
        counts, value = contribution
        if counts is False:
            return
        if counts is None:
            self.doubtful += by
            return
        self.certain += by
        if self.member_expressions[1] is None:
            return
        if value is None:
            self.unknown += by
        elif value is True:
            self.true += by
        elif value is False:
            self.false += by
        elif by > 0:
            insort(self._values, value)
            self._sum += value
        else:
            del self._values[bisect_left(self._values, value)]
            self._sum = self._sum - value if self._values else 0.0

    def update(self) -> bool:
        """Return whether the statistic changed; its members have told what they add."""
        if self._source is not None and self._source_node is not None:
            source = self._source()
            self._is_lost = source is None
            members = dict.fromkeys(source or ())
            self.follow(self.graph.sources(self._source_node, self._env)[0])
            for entity in [e for e in self._contributions if e not in members]:
                self._remove(entity)
            for entity in members:
                if entity not in self._contributions:
                    self._add(entity)
        self._updates += 1
        if self._updates % 512 == 0:
            self._sum = math.fsum(self._values)
        return self.store(None if self._is_lost else self._result())

    def _result(self) -> Any:
        match self.function:
            case "set":
                return EntitySet(e for e, c in self._contributions.items() if c.now_is[0] is True)
            case "count":
                return (
                    float(self.certain)
                    if self._is_covered(len(self._contributions) - self.doubtful)
                    else None
                )
            case "any":
                return self._truth(self.true, self.false, True)
            case "all":
                return self._truth(self.false, self.true, False)
            case _:
                return self._number()

    def _is_covered(self, known: int) -> bool:
        share = self.node.coverage if isinstance(self.node, typed.Aggregate) else None
        everyone = len(self._contributions)
        return share is None or not everyone or known >= share * everyone - 1e-9

    def _truth(self, decisive: int, other: int, answer: bool) -> bool | None:
        if (
            isinstance(self.node, typed.Aggregate) and self.node.value is None
        ):  # any(kind): is there one?
            return self.certain > 0
        if decisive:
            return answer
        covered = self.node.coverage if isinstance(self.node, typed.Aggregate) else None
        uncertain = self.unknown + self.doubtful
        if uncertain and (covered is None or other < covered * (other + uncertain) - 1e-9):
            return None
        return not answer

    def _number(self) -> float | None:
        values = self._values
        known, everyone = len(values), len(values) + self.unknown + self.doubtful
        share = self.node.coverage if isinstance(self.node, typed.Aggregate) else None
        if share is not None and known < share * everyone - 1e-9:
            return None
        if self.function == "sum":
            return self._sum if known or not everyone else None
        if not values:
            return None
        match self.function:
            case "min":
                return values[0]
            case "max":
                return values[-1]
            case "avg":
                return self._sum / known
            case _:
                return values[min(known - 1, math.ceil(0.95 * known) - 1)]

    def close(self) -> None:
        """Let all members go."""
        for listeners in self.graph.on_new_entity.values():
            if self._add in listeners:
                listeners.remove(self._add)
        for contribution in self._contributions.values():
            contribution.close()
        super().close()
