"""An adapter of ours keeps the same contract in a process of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import pytest
import tests.adapters.test_contract as inside

from pilotage.adapter import Adapter, AdapterFactory, ConnectionSettings, Door, Site
from pilotage.model.diagnostics import Finding
from pilotage.model.messages import PointHandle
from pilotage.model.quality import Quality
from pilotage.runtime.inbox import ConnectionDoor
from pilotage.runtime.isolation.factory import IsolatedFactory
from pilotage.runtime.isolation.host import IsolatedAdapter
from pilotage.testing.contract import Bench


class Through:
    """What the engine's door has beyond `pilotage.adapter.Door`, around one that has not."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.heard_points = 0

    def report(
        self,
        point: PointHandle,
        raw: Any,
        *,
        quality: Quality = Quality.GOOD,
        source_time: float | None = None,
    ) -> bool:
        return self.door.report(point, raw, quality=quality, source_time=source_time)

    def call_result(self, call: str, status: str, detail: str = "") -> None:
        self.door.call_result(call, status, detail)

    def connected(self, detail: str = "") -> None:
        self.door.connected(detail)

    def lost(self, points: Sequence[PointHandle], detail: str) -> None:
        self.door.lost(points, detail)

    def refused(self, source: str, why: str, times: int = 1) -> None:
        for _ in range(times):
            self.door.refused(source, why)

    def dropped(self, times: int) -> None:
        raise AssertionError(f"{times} readings were dropped")


class Alone:
    """An isolated adapter without a supervisor, which would close it at the end: its process ends with each run."""

    def __init__(self, adapter: IsolatedAdapter) -> None:
        self.adapter = adapter
        self.send = adapter.send
        self.targets = adapter.targets

    async def run(self) -> None:
        try:
            await self.adapter.run()
        finally:
            await self.adapter.close()


class Isolating:
    """A factory whose connections run in processes of their own."""

    def __init__(self, factory: AdapterFactory) -> None:
        self.name = factory.name

        self._real = IsolatedFactory(self.name, self.name)

    def check(self, settings: ConnectionSettings, site: Site) -> list[Finding]:
        return self._real.check(settings, site)

    def open(self, settings: ConnectionSettings, site: Site, door: Door) -> Adapter:
        self.check(settings, site)  # as the engine does; it tells what can be commanded
        whole = door if isinstance(door, ConnectionDoor) else cast(ConnectionDoor, Through(door))
        adapter = self._real.open(settings, site, whole)
        return adapter if whole is door else Alone(adapter)


mosquitto = inside.mosquitto


class TestMqttIsolated(inside.TestMqttOnMosquitto):
    """MQTT on Mosquitto, in a process of its own."""

    @pytest.fixture
    def bench(self, mosquitto: inside.Serving) -> Bench:
        ours = inside.mqtt(*mosquitto)
        return dataclasses.replace(ours, factory=Isolating(ours.factory))
