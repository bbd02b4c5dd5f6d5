from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pilotage.demo
from pilotage.runtime.config import load_settings
from pilotage.runtime.inventory import read_inventory
from pilotage.runtime.plugins import load_plugins
from pilotage.testing.adapters import FixedSite

CONFIG = Path(pilotage.demo.__file__).parent / "city" / "config.yaml"


@pytest.fixture(scope="session")
def demo_settings() -> Any:
    return load_settings(CONFIG, {})


@pytest.fixture(scope="session")
def demo_site(demo_settings: Any) -> FixedSite:
    """The demo's own inventory, with the kinds of the installed plugins."""
    kinds = load_plugins().kinds
    read = read_inventory(demo_settings.inventory, demo_settings.folder, kinds)
    assert not read.findings, [finding.render(read.sources) for finding in read.findings]
    return FixedSite(kinds.values(), read.entities, "demo")
