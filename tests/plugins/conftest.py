"""The domain plugins as the engine finds them, and entities for their functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from pluggy import PluginManager

import pilotage_access.plugin
import pilotage_buildings.plugin
import pilotage_emergency.plugin
import pilotage_fleet.plugin
import pilotage_lighting.plugin
import pilotage_parking.plugin
import pilotage_security.plugin
import pilotage_signs.plugin
import pilotage_traffic.plugin
import pilotage_winter.plugin
from pilotage.hookspecs import Hooks
from pilotage.model.entities import EntityView, Kind

DOMAINS = (
    pilotage_access.plugin,
    pilotage_buildings.plugin,
    pilotage_emergency.plugin,
    pilotage_fleet.plugin,
    pilotage_lighting.plugin,
    pilotage_parking.plugin,
    pilotage_security.plugin,
    pilotage_signs.plugin,
    pilotage_traffic.plugin,
    pilotage_winter.plugin,
)


@dataclass(frozen=True)
class Thing:
    """An entity with fixed values, as a function sees it."""

    id: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def read(self, point: str) -> Any:
        return self.values.get(point)


@dataclass(frozen=True)
class Town:
    """A city of a few things."""

    things: Mapping[str, Sequence[EntityView]] = field(default_factory=dict)

    def entities(self, kind: str) -> Sequence[EntityView]:
        return self.things.get(kind, ())


@pytest.fixture(scope="session")
def plugins() -> PluginManager:
    """All domain plugins, registered as the engine does it."""
    manager = PluginManager("pilotage")
    manager.add_hookspecs(Hooks)
    for module in DOMAINS:
        manager.register(module)
    manager.check_pending()
    return manager


@pytest.fixture(scope="session")
def kinds(plugins: PluginManager) -> dict[str, Kind]:
    """All kinds by name."""
    return {kind.name: kind for answer in plugins.hook.pilotage_kinds() for kind in answer}


@pytest.fixture
def thing() -> type[Thing]:
    """What makes an entity."""
    return Thing


@pytest.fixture
def town() -> type[Town]:
    """What makes a city."""
    return Town
