"""A city of its own to measure with: lights that are seen and then shown, and how long the engine took from one to the other.

Each light is seen or not seen in turn; a rule shows what is seen. `out:` in the settings is a file to which each latency is
added as two numbers: when (of `time.monotonic`) and how long, in seconds.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from pilotage.adapter import Adapter, AdapterFactory, ConnectionSettings, Door, Site
from pilotage.hookspecs import hookimpl
from pilotage.model.diagnostics import Finding
from pilotage.model.entities import Access, Kind, OnLoss, PointSpec
from pilotage.model.messages import CallOut, Command, Outcome, Request
from pilotage.model.values import BOOLEAN

LIGHT = Kind(
    "pulse_light",
    "Light",
    (
        PointSpec("seen", BOOLEAN),
        PointSpec("shown", BOOLEAN, Access.BOTH, default=False, on_loss=OnLoss(True)),
    ),
)
SAMPLE = struct.Struct("dd")


class Pulse:
    """Reports, waits for the command that follows, and notes the time between."""

    def __init__(self, settings: ConnectionSettings, site: Site, door: Door) -> None:
        self.site, self.door = site, door
        self.every_s = float(settings.options.get("every", 0.01))
        self.out = Path(str(settings.options["out"])) if "out" in settings.options else None
        self.lights = [entity.id for entity in site.entities("pulse_light")]
        self.seen: dict[str, tuple[bool, float]] = {}
        self.samples = bytearray()

    def targets(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return what is shown."""
        return [f"{light}.shown" for light in self.lights], []

    async def send(self, order: Command | Request | CallOut) -> Outcome:
        """Note how long it took, and show it."""
        assert isinstance(order, Command)
        light = order.point.partition(".")[0]
        value, at = self.seen.get(light, (False, 0.0))
        now = time.monotonic()
        if at and value is order.value:
            self.seen[light] = (value, 0.0)
            self.samples += SAMPLE.pack(now, now - at)
        self.report(order.point, order.value)
        return Outcome.ACKNOWLEDGED

    def report(self, point: str, value: object) -> None:
        """Hand in a value."""
        handle = self.site.point(point)
        assert handle is not None
        self.door.report(handle, value)

    async def run(self) -> None:
        """Blink, one light after the other."""
        self.door.connected("pulse")
        value = False
        while True:
            value = not value
            for light in self.lights:
                await asyncio.sleep(self.every_s)
                self.seen[light] = (value, time.monotonic())
                self.report(f"{light}.seen", value)
            if self.out is not None:
                with self.out.open("ab") as file:
                    file.write(self.samples)
                self.samples.clear()


class PulseFactory:
    """Opens pulses."""

    name = "pulse"

    def check(self, settings: ConnectionSettings, site: Site) -> list[Finding]:
        """Find nothing wrong."""
        return []

    def open(self, settings: ConnectionSettings, site: Site, door: Door) -> Adapter:
        """Return a pulse."""
        return Pulse(settings, site, door)


@hookimpl
def pilotage_kinds() -> list[Kind]:
    """Return the kind of the lights."""
    return [LIGHT]


@hookimpl
def pilotage_adapters() -> list[AdapterFactory]:
    """Return the factory of `adapter: pulse`."""
    return [PulseFactory()]
