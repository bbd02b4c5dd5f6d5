"""What was read of a city last: what has not changed since is neither read nor checked again.

A memory only saves time: what it gives is what reading again would give. It is kept with the engine's image, so that the first
reload after a start is as short as the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pilotage.adapter import AdapterFactory, ConnectionSettings, Site
from pilotage.language.memory import Kept, RuleMemory
from pilotage.model.diagnostics import Finding
from pilotage.model.entities import EntitySpec, Kind
from pilotage.runtime.config import Settings, check_connections
from pilotage.runtime.inventory import Inventory, read_inventory
from pilotage.runtime.origins import are_unchanged, origins_of

Kinds = Mapping[str, Kind]


@dataclass(frozen=True, slots=True)
class _Inventory:
    """An inventory that was read, and from what."""

    written: str
    origins: Mapping[str, str]
    kinds: Kinds
    inventory: Inventory

    def is_still(self, written: str, kinds: Kinds) -> bool:
        """Return whether reading it again would give the same."""
        files_are = not self.origins or are_unchanged(self.origins)
        return files_are and self.written == written and self.kinds == kinds


@dataclass(slots=True)
class CityMemory:
    """Remembers rules, inventory and checked connections.

    Attributes:
        rules: Rule files and declarations.
    """

    rules: RuleMemory = field(default_factory=RuleMemory)
    _inventory: _Inventory | None = None
    _checked: dict[str, tuple[ConnectionSettings, list[Finding]]] = field(default_factory=dict)
    _checked_for: tuple[EntitySpec, ...] | None = None

    def inventory(self, settings: Settings, kinds: Kinds) -> Inventory:
        """Return the inventory of a city."""
        written = repr(settings.inventory)
        known = self._inventory
        if known is None or not known.is_still(written, kinds):
            # Where each entity is written is asked while findings are made, and by nobody in a running engine.
            read = read_inventory(settings.inventory, settings.folder, kinds)
            inventory = replace(read, _places={})
            known = _Inventory(written, origins_of(inventory.files), kinds, inventory)
            self._inventory = known
        return known.inventory

    def check_connections(
        self, settings: Settings, adapters: Mapping[str, AdapterFactory], view: Site
    ) -> list[Finding]:
        """Return what is wrong with the connections; one that is as it was, in the same city, is not asked again.

        Binding a large city to topics and registers takes longer than all else of a reload.
        """
        entities = None if self._inventory is None else self._inventory.inventory.entities
        before = self._checked if self._checked_for is entities else {}
        self._checked, self._checked_for = {}, entities
        found: list[Finding] = []
        for connection in settings.connections:
            known = before.get(connection.name)
            if known is None or known[0] != connection:
                known = connection, check_connections(settings, adapters, view, connection.name)
            self._checked[connection.name] = known
            found += known[1]
        return found

    # ── with the image ───────────────────────────────────────────────────────────────────────

    def kept(self, settings: Settings, entities: tuple[EntitySpec, ...]) -> Any:
        """Return what is worth keeping of a city that runs with these settings, as plain records; None for nothing."""
        known = self._inventory
        if known is None or known.inventory.entities is not entities:
            return None
        checked = {
            name: found
            for name, (connection, found) in self._checked.items()
            if connection in settings.connections
        }
        inventory = known.inventory
        files = [str(file) for file in inventory.files]
        return [self.rules.kept, inventory.findings, inventory.sources, files, checked]

    @classmethod
    def recalled(
        cls,
        kept: Any,
        settings: Settings,
        kinds: Kinds,
        entities: tuple[EntitySpec, ...],
        origins: Mapping[str, str],
    ) -> CityMemory:
        """Return the memory of a city as it was kept; settings and plugins are the same, files may have changed since.

        Args:
            kept: What `kept` gave.
            settings: What the settings file says.
            kinds: What the plugins bring.
            entities: The inventory.
            origins: Of the files of then.
        """
        if kept is None:
            return cls()
        rules, findings, sources, names, checked = kept
        assert isinstance(rules, Kept)
        files = tuple(Path(name) for name in names)
        inventory = Inventory(entities, findings, sources, {}, files)
        return cls(
            RuleMemory(rules),
            _Inventory(repr(settings.inventory), _below(origins, files), kinds, inventory),
            {c.name: (c, checked[c.name]) for c in settings.connections if c.name in checked},
            entities,
        )


def _below(origins: Mapping[str, str], paths: tuple[Path, ...]) -> dict[str, str]:
    """Return the origins that are one of some files and folders, or in one."""
    return {
        name: was
        for name, was in origins.items()
        if any(Path(name).is_relative_to(path) for path in paths)
    }
