"""A whole engine in a small real city, for the desks that answer pages: three streets, a hold and a story."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from pilotage.model.messages import Reading
from pilotage.model.quality import Quality
from pilotage.runtime.config import load_settings
from pilotage.runtime.workshop import CityWorkshop
from pilotage.service import Service

Eventually = Callable[[Callable[[], object]], Awaitable[None]]
POINT = "seg-1.lights.level"
CONFIG = """\
site: {name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04], country: FR}
inventory:
  - lamp-1: {kind: lamp, zone: Plombières}
  - seg-1: {kind: lighting_segment, name: Rue Haute, zone: Dijon, dimmable: true}
  - seg-2: {kind: lighting_segment, name: Rue Basse, zone: Dijon, dimmable: true}
  - seg-3: {kind: lighting_segment, name: Rue Longue, zone: Chenôve, dimmable: false, lamps: [lamp-1]}
  - bus-7: {kind: bus, line: L3}
rules: [rules]
"""
RULES = """\
rules:
  dim:   # the quiet streets
    title: {fr: Abaisser, en: Dim}
    owner: lighting
    for_each: {segment: {kind: lighting_segment, where: segment.dimmable}}
    while: segment.traffic.flow < 60 veh/h
    unless: [segment.pedestrian_detected]
    hold: [{set: segment.lights.level, to: 30 %, priority: saving}]

  # Somebody must know.
  tell:
    title: {fr: Prévenir, en: Tell}
    owner: lighting
    for_each: {segment: {kind: lighting_segment}}
    when: segment.pedestrian_detected becomes true
    do: [{note: "somebody walks in {segment.name}"}]

tests:
  a quiet street is dimmed:
    use: [dim]
    clock: 2026-01-15 23:00
    world:
      s-1: {kind: lighting_segment, dimmable: true, traffic.flow: 20 veh/h, pedestrian_detected: false}
    steps: [{at: 1 s, expect: [{point: s-1.lights.level, wanted: 30 %}]}]
"""


async def start_city(folder: Path) -> Service:
    """Return a whole engine with real rules, without equipment, at work."""
    (folder / "rules").mkdir()
    (folder / "rules" / "dim.yaml").write_text(RULES)
    (folder / "config.yaml").write_text(CONFIG)
    service = Service(load_settings(folder / "config.yaml", {}), CityWorkshop())
    await service.start()
    return service


async def report(
    service: Service, eventually: Eventually, entity: str = "seg-1", **values: object
) -> None:
    """Have values reported, and wait until they are in."""
    for name, value in values.items():
        cell = service.engine.cells[f"{entity}.{name.replace('__', '.')}"]
        service.inbox.put(Reading(cell, value, Quality.GOOD, service.clock.now()))
        await eventually(lambda c=cell, v=value: c.value == v)  # type: ignore[misc]
