"""The instances of a declaration: one per entity, per moving pair, or just one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from pilotage.core.graph import Graph
from pilotage.core.sets import LiveSet, Nearby
from pilotage.core.store import Entity
from pilotage.language.program import SetProgram


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
        make: Callable[[dict[str, Entity]], _I],
        env: Mapping[str, Entity] | None = None,
    ) -> None:
        self._graph = graph
        self._for_each = for_each
        self._nearby = nearby
        self._make = make
        self.live: dict[tuple[str, ...], _I] = {}
        self._root = _Branch(self, dict(env or {}), 0)

    def close(self) -> None:
        """Close every instance."""
        self._root.close()

    def branch(self, env: dict[str, Entity], depth: int) -> _Branch:
        """Return the instances below these entities."""
        return _Branch(self, env, depth)

    @property
    def for_each(self) -> tuple[SetProgram, ...]:
        """The variables."""
        return self._for_each

    def follow(
        self,
        program: SetProgram,
        env: dict[str, Entity],
        joins: Callable[[Entity], None],
        leaves: Callable[[Entity], None],
    ) -> LiveSet:
        """Follow one variable's set."""
        return LiveSet(self._graph, program, env, joins, leaves, self._nearby)

    def begin(self, env: dict[str, Entity]) -> None:
        """Make the instance of these entities."""
        self.live[_key(env)] = self._make(env)

    def end(self, env: dict[str, Entity]) -> None:
        """Close the instance of these entities."""
        instance = self.live.pop(_key(env), None)
        if instance is not None:
            instance.close()


def _key(env: Mapping[str, Entity]) -> tuple[str, ...]:
    return tuple(e.id for e in env.values())


class _Branch:
    """The instances below some entities: one set for the next variable, or a leaf."""

    def __init__(self, owner: Instances[Any], env: dict[str, Entity], depth: int) -> None:
        self._owner = owner
        self._env = env
        self._children: dict[Entity, _Branch] = {}
        self._set: LiveSet | None = None
        self._depth = depth
        if depth == len(owner.for_each):
            owner.begin(env)
        else:
            self._set = owner.follow(owner.for_each[depth], env, self._joins, self._leaves)

    def _joins(self, entity: Entity) -> None:
        variable = self._owner.for_each[self._depth].variable
        self._children[entity] = self._owner.branch(
            {**self._env, variable: entity}, self._depth + 1
        )

    def _leaves(self, entity: Entity) -> None:
        child = self._children.pop(entity, None)
        if child is not None:
            child.close()

    def close(self) -> None:
        if self._set is not None:
            self._set.close()
        else:
            self._owner.end(self._env)
