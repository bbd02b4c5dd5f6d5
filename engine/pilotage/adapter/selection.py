"""Which entities an entry under `points:` binds, and what may be bound once only; the same for every adapter."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from pilotage.adapter import Site
from pilotage.adapter.options import Section, meant
from pilotage.model.entities import EntitySpec, Kind

__all__ = ["is_taken", "select"]


def select(
    section: Section, site: Site, entities: Mapping[str, EntitySpec]
) -> tuple[Kind | None, Sequence[EntitySpec]]:
    """Return the kind of an entry and the entities that it binds; (None, ()) after a finding.

    Reads `kind` (with a `zone` only those of the zone) or `entity`.

    Args:
        section: The entry.
        site: The city.
        entities: All entities of the city by id: made once for all entries, of which there may be as many.
    """
    problems = section.problems
    name, one, zone = section.text("kind"), section.text("entity"), section.text("zone")
    if bool(name) == bool(one):
        problems.error("missing-key", section.where, 'expected either "kind" or "entity"')
        return None, ()
    if one:
        return _one(section, site, one, entities)
    kind = site.kind(name)
    if kind is None:
        kinds = {entity.kind for entity in entities.values()}
        message = f'there is no kind "{name}"'
        problems.error("unknown-kind", section.path("kind"), message, meant(name, kinds))
        return None, ()
    members = [entity for entity in site.entities(name) if zone in ("", entity.zone)]
    if not members:
        message = f'the inventory has no "{name}"' + (f' in zone "{zone}"' if zone else "")
        problems.warning("no-entities", section.where, message)
    return kind, members


def is_taken(section: Section, name: str, table: Container[str], what: str = "written") -> bool:
    """Return whether a point or call has a writer already, which is a finding: two of them would fight."""
    if name not in table:
        return False
    message = f'"{name}" is {what} twice'
    section.problems.error("two-writers", section.where, message, "keep one of the two")
    return True


def _one(
    section: Section, site: Site, name: str, entities: Mapping[str, EntitySpec]
) -> tuple[Kind | None, Sequence[EntitySpec]]:
    entity = entities.get(name)
    if entity is None:
        message = f'there is no entity "{name}"'
        mend = meant(name, entities)
        section.problems.error("unknown-entity", section.path("entity"), message, mend)
        return None, ()
    return site.kind(entity.kind), (entity,)
