"""The instances of a declaration: one per entity, per moving pair, or just one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

from pilotage.core.graph import Graph
from pilotage.core.sets import LiveSet, Nearby
from pilotage.core.store import Entity, One
from pilotage.language.program import SetProgram
from pilotage.model import sentences

MOST_PAIRS: Final = 100_000
"""Pairs, triples and so on of all declarations together, those along relations left out: the inventory bounds them."""


class Instance(Protocol):
    """Something that lives as long as its entities are in the sets of `for_each`."""

    def close(self) -> None:
        """Let go of everything."""
        ...


def label(env: Mapping[str, Any]) -> str:
    """Return how an instance is called: `seg-12`, or `J-12, bus-7`; empty when there is only one."""
    return ", ".join(
        e.id for e in env.values() if isinstance(e, Entity) and not e.id.startswith("plan:")
    )


_I = TypeVar("_I", bound=Instance)


class Instances(Generic[_I]):
    """All instances of one declaration, made and closed as entities come and go.

    Attributes:
        live: The instances by their entities' ids, in order of appearance.
    """

    def __init__(
        self,
        graph: Graph,
        for_each: tuple[SetProgram, ...],
        nearby: Nearby,
        make: Callable[[Mapping[str, Entity]], _I],
        env: Mapping[str, Entity] | None = None,
    ) -> None:
        self._graph = graph
        self._for_each = for_each
        self._nearby = nearby
        self._make = make
        self._is_bounded = all(program.source is not None for program in for_each[1:])
        self._is_told = False
        self.live: dict[tuple[str, ...], _I] = {}
        self._root: _Branch | None = _Branch(self, dict(env or {}), 0)

    def close(self) -> None:
        """Close every instance; they and their declaration are let go of."""
        if self._root is not None:
            self._root.close()
            self._root = None

    def of(self, entity: str) -> list[_I]:
        """Return the live instances that an entity is part of."""
        return [instance for key, instance in self.live.items() if entity in key]

    def branch(self, env: Mapping[str, Entity], depth: int) -> _Branch:
        """Return the instances below these entities."""
        return _Branch(self, env, depth)

    @property
    def for_each(self) -> tuple[SetProgram, ...]:
        """The variables."""
        return self._for_each

    def follow(
        self,
        program: SetProgram,
        env: Mapping[str, Entity],
        joins: Callable[[Entity], None],
        leaves: Callable[[Entity], None],
    ) -> LiveSet:
        """Follow one variable's set."""
        return LiveSet(self._graph, program, env, joins, leaves, self._nearby)

    def admit_pair(self) -> bool:
        """Count one more pair; False when there are too many already, which is told once."""
        if self._is_bounded:
            return True
        graph = self._graph
        if graph.pairs >= MOST_PAIRS:
            if not self._is_told:
                self._is_told = True
                kinds = ", ".join(program.kind for program in self._for_each)
                graph.on_too_many(sentences.PAIRS.say(count=f"{MOST_PAIRS:,}", kinds=kinds))
            return False
        graph.pairs += 1
        return True

    def forget_pair(self) -> None:
        """Count one less."""
        if not self._is_bounded:
            self._graph.pairs -= 1

    def begin(self, env: Mapping[str, Entity]) -> None:
        """Make the instance of these entities."""
        self.live[_key(env)] = self._make(env)

    def end(self, env: Mapping[str, Entity]) -> None:
        """Close the instance of these entities."""
        instance = self.live.pop(_key(env), None)
        if instance is not None:
            instance.close()


def _key(env: Mapping[str, Entity]) -> tuple[str, ...]:
    return tuple(e.id for e in env.values())


_NO_CHILDREN: Final[dict[Entity, _Branch]] = {}
"""Of a leaf, which nobody joins: one for all."""


class _Branch:
    """The instances below some entities: one set for the next variable, or a leaf."""

    __slots__ = ("_children", "_depth", "_env", "_owner", "_set")

    def __init__(self, owner: Instances[Any], env: Mapping[str, Entity], depth: int) -> None:
        self._owner = owner
        self._env = env
        self._children = _NO_CHILDREN if depth == len(owner.for_each) else {}
        self._set: LiveSet | None = None
        self._depth = depth
        if depth == len(owner.for_each):
            owner.begin(env)
        else:
            self._set = owner.follow(owner.for_each[depth], env, self._joins, self._leaves)

    def _joins(self, entity: Entity) -> None:
        if self._depth and not self._owner.admit_pair():
            return
        variable = self._owner.for_each[self._depth].variable
        env = {**self._env, variable: entity} if self._env else One(variable, entity)
        self._children[entity] = self._owner.branch(env, self._depth + 1)

    def _leaves(self, entity: Entity) -> None:
        child = self._children.pop(entity, None)
        if child is not None:
            child.close()
            if self._depth:
                self._owner.forget_pair()

    def close(self) -> None:
        if self._set is not None:
            self._set.close()
            self._set = None
        else:
            self._owner.end(self._env)
