"""The files of the demo city fit the kinds of the plugins and the settings of the adapters."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pilotage.demo.clock import START
from pilotage.demo.device import CITY
from pilotage.demo.equipment import GROUPS
from pilotage.demo.signals import Junctions
from pilotage.demo.street import Cabinets
from pilotage.runtime.plugins import load_plugins


def test_inventory(demo_site: Any) -> None:
    """The city has what the four rules are about."""
    counted = Counter(entity.kind for entity in demo_site.entities())
    assert counted["lighting_segment"] == 12
    assert counted["lamp"] == 96
    assert (counted["signal_junction"], counted["bus"], counted["camera"]) == (6, 4, 8)
    assert (counted["road_station"], counted["route"], counted["plough"]) == (3, 4, 3)


@pytest.mark.source
def test_rules() -> None:
    """The demo plays the city's own rules, not a copy that may drift: its folder is a link to theirs."""
    own = Path(__file__).parents[3] / "rules"
    assert sorted(p.name for p in (CITY / "rules").iterdir()) == sorted(
        p.name for p in own.iterdir()
    )
    assert (CITY / "rules").resolve() == own.resolve()


def test_lamps_of_streets(demo_site: Any) -> None:
    """Every street has its eight lamps."""
    streets = demo_site.entities("lighting_segment")
    assert {len(street.relations["lamps"]) for street in streets} == {8}


def test_connections(demo_settings: Any, demo_site: Any) -> None:
    """The demo speaks three protocols, and its connections have nothing wrong with them."""
    adapters = load_plugins().adapters
    used = {settings.adapter: settings for settings in demo_settings.connections}
    assert sorted(used) == ["modbus", "mqtt", "opcua"]
    for name, settings in used.items():
        assert adapters[name].check(settings, demo_site) == []


def test_equipment_is_in_the_inventory(demo_site: Any) -> None:
    """What the equipment says in a day is about entities that the inventory knows."""
    known = {entity.id for entity in demo_site.entities()}
    for make in (*GROUPS, Cabinets, Junctions):
        group = make(1, START)
        said = {
            message.topic.split("/")[2]
            for hour in range(0, 24, 3)
            for message in group.step(START + hour * 3600)
        }
        assert said - {"reply"} <= known, make
