"""The city as an adapter sees it in a process of its own (`pilotage.adapter.Site`): what it binds to, and the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pilotage.adapter import Site
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.messages import PointHandle
from pilotage.model.values import TEXT, enum, set_of
from pilotage.runtime.clock import FollowedClock
from pilotage.runtime.isolation import wire


@dataclass(frozen=True, slots=True)
class RemotePoint:
    """A point by its id and what its kind says of it; its value is in the engine."""

    id: str
    spec: PointSpec


class RemoteSite:
    """The city without its values."""

    def __init__(self, site: wire.Site) -> None:
        self._name = site.name
        self._kinds = {kind.name: kind for kind in site.kinds}
        self._by_id = {entity.id: entity for entity in site.entities}
        self._by_kind: dict[str, list[EntitySpec]] = {"": site.entities}
        for entity in site.entities:
            self._by_kind.setdefault(entity.kind, []).append(entity)
        self._specs = {kind.name: _specs(kind) for kind in site.kinds}
        self._clock = FollowedClock()

    @property
    def name(self) -> str:
        """The site's name."""
        return self._name

    def entities(self, kind: str = "") -> Sequence[EntitySpec]:
        """Return the entities of a kind, or all, in order of id."""
        return self._by_kind.get(kind, [])

    def kind(self, name: str) -> Kind | None:
        """Return a kind by name, or None."""
        return self._kinds.get(name)

    def point(self, id: str) -> PointHandle | None:  # noqa: A002
        """Return the handle of `ENTITY.POINT`, or None when there is no such point."""
        entity, _, name = id.partition(".")
        found = self._by_id.get(entity)
        spec = self._specs.get(found.kind, {}).get(name) if found is not None else None
        return None if spec is None else RemotePoint(id, spec)

    def now(self) -> float:
        """Return the engine's time, seconds since 1970."""
        return self._clock.now()

    def set_time(self, at: wire.Time) -> None:
        """Follow the engine's clock."""
        self._clock.follow(at.now, at.monotonic, at.speed)


def describe(site: Site) -> wire.Site:
    """Return what of the city crosses to an isolated adapter: kinds and entities in order of id, no values of now."""
    entities = list(site.entities())
    kinds: Mapping[str, Kind] | None = getattr(site, "kinds", None)
    if kinds is None:
        named = dict.fromkeys(entity.kind for entity in entities)
        return wire.Site(site.name, [k for n in named if (k := site.kind(n)) is not None], entities)
    return wire.Site(site.name, list(kinds.values()), entities)


def _specs(kind: Kind) -> dict[str, PointSpec]:
    """Return the points that the engine makes of a kind, by name."""
    specs = {"name": PointSpec("name", TEXT, Access.FIXED)}
    for spec in kind.points:
        specs[spec.name] = spec
        if spec.is_request:
            status = f"{spec.name}.status"
            specs[status] = PointSpec(status, enum(*spec.statuses))
    for relation, of in kind.relations.items():
        specs[relation] = PointSpec(relation, set_of(of))
    return specs
