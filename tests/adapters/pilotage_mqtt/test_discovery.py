"""Devices that describe themselves at a real Mosquitto are bound when the inventory has them, and only then."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from pilotage.adapter.payloads import Garbage
from pilotage.model.messages import Command, Outcome
from pilotage.testing.adapters import RecordingDoor
from pilotage_mqtt.binding import bind
from pilotage_mqtt.connection import ConnectionLost, open_connection
from pilotage_mqtt.discovery import Described, Discoverer

BIND = [
    {"component": "light", "kind": "lamp", "point": "level"},
    {"component": "sensor", "device_class": "power", "kind": "lamp", "point": "power", "id": "{node_id}"},
    {"component": "switch", "kind": "bollard", "point": "locked", "id": "{unique_id}"},
]  # fmt: skip
LIGHT = {
    "~": "node/7",
    "name": "Lamp 1",
    "uniq_id": "0x7",
    "stat_t": "~/on",
    "bri_stat_t": "~/level",
    "bri_cmd_t": "~/level/set",
    "bri_scl": 254,
}
POWER = {
    "state_topic": "node/7/power",
    "value_template": "{{ value_json.kw | float }}",
    "unit_of_measurement": "kW",
    "device_class": "power",
}
LOCK = {"uniq_id": "B1", "stat_t": "b1", "cmd_t": "b1/set", "pl_on": "LOCK", "pl_off": "FREE"}


@asynccontextmanager
async def running(settings: Any, city: Any) -> AsyncIterator[tuple[Any, RecordingDoor]]:
    door = RecordingDoor()
    adapter = open_connection(settings, city, door)
    task = asyncio.ensure_future(adapter.run())
    try:
        await door.until(lambda: bool(door.ups))
        yield adapter, door
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, ConnectionLost):
            await task


async def test_bound(broker: Any, make_settings: Any, city: Any, device: Any) -> None:
    """A lamp of the inventory that describes itself is read and obeys, in its own numbers; one that goes is lost."""
    settings = make_settings(port=broker.port, discovery={"bind": BIND})
    async with device(broker.port, "node/7/level/set", "b1/set") as node:
        node.say("homeassistant/light/lamp-1/config", json.dumps(LIGHT), retain=True)
        node.say("homeassistant/sensor/lamp-1/power/config", json.dumps(POWER), retain=True)
        async with running(settings, city) as (adapter, door):
            assert {"lamp-1.level", "lamp-3.level", "B1.locked"} <= set(adapter.targets()[0])
            await door.until(lambda: len(door.ups) == 2)
            node.say("homeassistant/switch/x/config", json.dumps(LOCK))
            await door.until(lambda: len(door.ups) == 3)
            node.say("node/7/level", "127")
            node.say("node/7/power", '{"kw": 0.05}')
            node.say("b1", "LOCK")
            await door.until(lambda: door.last("B1.locked") is True)
            assert door.last("lamp-1.level") == pytest.approx(50.0)
            assert door.last("lamp-1.power") == 50.0
            for point, value in (("lamp-1.level", 25.0), ("B1.locked", False)):
                order = Command("c", point, value, time.time() + 60, "test")
                assert await adapter.send(order) is Outcome.ACKNOWLEDGED
            told = {m.topic: m.payload for m in await node.hears(2)}
            assert told == {"node/7/level/set": b"64", "b1/set": b"FREE"}
            node.say("homeassistant/light/lamp-1/config", b"", retain=True)
            await door.until(lambda: bool(door.losses))
            assert door.losses[0][0] == ("lamp-1.level",)
            order = Command("c", "lamp-1.level", 25.0, time.time() + 60, "test")
            assert await adapter.send(order) is Outcome.NOT_SENT
            node.say("homeassistant/sensor/lamp-1/power/config", b"", retain=True)
            assert not door.refusals


async def test_proposed(broker: Any, make_settings: Any, city: Any, device: Any) -> None:
    """A device that the inventory does not have is never bound: the log says once what people may add."""
    settings = make_settings(port=broker.port, discovery={"prefix": "ha", "bind": BIND})
    async with device(broker.port) as node, running(settings, city) as (_, door):
        for _ in range(3):
            node.say("ha/light/lamp-99/config", json.dumps({**LIGHT, "name": "Stranger\n"}))
        node.say("ha/climate/lamp-1/config", json.dumps(LIGHT))  # nobody asked for those
        node.say("ha/light/lamp-1/config", "{")
        await door.until(lambda: len(door.refusals) == 2)
        source, why = door.refusals[0]
        assert source == "street: discovery of lamp-99"
        assert why == (
            "the inventory has no such lamp; mend: when it shall be piloted, add"
            " lamp-99: {kind: lamp, name: Stranger\\n}"
        )
        assert len(door.ups) == 1


class TestDescriptions:
    """What a description may say, without a broker."""

    @pytest.fixture
    def discoverer(self, make_settings: Any, city: Any) -> Discoverer:
        plan, findings = bind(make_settings(discovery={"bind": BIND}), city)
        assert not findings
        assert plan.discovery is not None
        made = Discoverer(plan.discovery, RecordingDoor(), "street")
        self.bound: list[Described] = []
        made.bind = self.bound.append
        return made

    @pytest.mark.parametrize(
        ("config", "why"),
        [
            ({"bri_stat_t": "a/+"}, '"brightness_state_topic" is no topic'),
            ({"bri_stat_t": 5}, '"brightness_state_topic" is no topic'),
            ({}, '"brightness_state_topic" is missing'),
            ({"bri_stat_t": "a", "bri_scl": 0}, '"brightness_scale" is no number above zero'),
            ({"bri_stat_t": "a", "bri_val_tpl": "{{ value_json.a * 2 }}"}, "value_template: only"),
            ({"bri_stat_t": "a", "bri_val_tpl": "{% for x in y %}"}, "value_template: only"),
        ],
    )
    def test_refused(self, config: Any, why: str, discoverer: Discoverer) -> None:
        """What cannot be understood is refused with its reason, and binds nothing."""
        with pytest.raises(Garbage) as caught:
            discoverer.hear("homeassistant/light/lamp-1/config", json.dumps(config).encode())
        assert str(caught.value).startswith(why)
        assert not self.bound

    def test_unit(self, discoverer: Discoverer) -> None:
        """A unit that does not fit the point is refused."""
        payload = json.dumps({**POWER, "unit_of_measurement": "km/h"}).encode()
        with pytest.raises(Garbage, match="unit_of_measurement"):
            discoverer.hear("homeassistant/sensor/lamp-1/power/config", payload)

    def test_two_for_one(self, discoverer: Discoverer) -> None:
        """Nobody takes over the point of another one."""
        lock = json.dumps(LOCK).encode()
        discoverer.hear("homeassistant/switch/x/config", lock)
        with pytest.raises(
            Garbage, match=r"B1\.locked is described on homeassistant/switch/x/config"
        ):
            discoverer.hear("homeassistant/switch/y/config", lock)
        assert len(self.bound) == 1

    def test_described_anew(self, discoverer: Discoverer) -> None:
        """A new description takes the place of the one before."""
        gone: list[Described] = []
        discoverer.unbind = gone.append
        discoverer.hear("homeassistant/switch/x/config", json.dumps(LOCK).encode())
        other = json.dumps({**LOCK, "stat_t": "elsewhere"}).encode()
        discoverer.hear("homeassistant/switch/x/config", other)
        assert [found.state_topic for found in self.bound] == ["b1", "elsewhere"]
        assert gone == self.bound[:1]
