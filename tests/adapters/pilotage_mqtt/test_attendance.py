"""Last wills of devices, and our own, at a real Mosquitto: who is there, and whose values count."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from pilotage.model.messages import Command, Outcome
from pilotage.testing.adapters import RecordingDoor
from pilotage_mqtt.connection import ConnectionLost, open_connection

LAMP: dict[str, Any] = {
    "kind": "lamp",
    "read": {"topic": "at/{id}/state", "points": {"level": "$.level", "power": "$.watts"}},
    "write": {"topic": "at/{id}/set", "point": "level", "payload": {"level": "{value}"}},
    "available": {"topic": "at/{id}/there"},
}


def order(number: int = 1) -> Command:
    return Command(f"c{number}", "lamp-1.level", 30.0, time.time() + 60, "test")


class Running:
    """An adapter that runs as the engine's supervisor runs it."""

    def __init__(self, settings: Any, city: Any) -> None:
        self.door = RecordingDoor()
        self.adapter = open_connection(settings, city, self.door)

    async def __aenter__(self) -> Running:
        self.task = asyncio.ensure_future(self._keep())
        await self.door.until(lambda: bool(self.door.ups))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    async def _keep(self) -> None:
        while True:
            with suppress(ConnectionLost):
                await self.adapter.run()
            await asyncio.sleep(0.05)


class TestDevices:
    async def test_goes_and_comes(
        self, broker: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """A device that says it goes is unknown and gets no orders; back, what it said meanwhile counts and it is told again."""
        settings = make_settings(port=broker.port, points=LAMP)
        async with device(broker.port) as lamp, Running(settings, city) as run:
            door = run.door
            lamp.say("at/lamp-1/state", '{"level": 40, "watts": 20}')
            await door.until(lambda: door.last("lamp-1.power") == 20)
            lamp.say("at/lamp-1/there", "offline")
            await door.until(lambda: bool(door.losses))
            assert sorted(door.losses[0][0]) == ["lamp-1.level", "lamp-1.power"]
            assert await run.adapter.send(order()) is Outcome.NOT_SENT
            lamp.say("at/lamp-1/state", '{"level": 50, "watts": 25}')
            lamp.say("at/lamp-2/state", '{"level": 7, "watts": 3}')
            await door.until(lambda: door.last("lamp-2.level") == 7)
            assert door.last("lamp-1.level") == 40
            lamp.say("at/lamp-1/there", "online")
            await door.until(lambda: door.last("lamp-1.level") == 50)
            await door.until(lambda: "lamp-1 is there again" in door.ups)
            assert await run.adapter.send(order(2)) is Outcome.ACKNOWLEDGED
            assert not door.refusals

    async def test_last_will(self, broker: Any, make_settings: Any, city: Any, device: Any) -> None:
        """A device that is cut off is lost by its will; what the broker has kept of it counts no more, whichever comes first."""
        will = paho.Client(CallbackAPIVersion.VERSION2, "lamp-3")
        will.will_set("at/lamp-3/there", "offline", qos=1, retain=True)
        will.connect("127.0.0.1", broker.port)
        will.loop_start()
        async with device(broker.port, "at/lamp-3/#") as other:
            will.publish("at/lamp-3/state", '{"level": 9, "watts": 1}', 1, retain=True)
            will.publish("at/lamp-3/there", "online", 1, retain=True)
            await other.hears(2)
            settings = make_settings(port=broker.port, points=LAMP)
            async with Running(settings, city) as run:
                door = run.door
                await door.until(lambda: door.last("lamp-3.level") == 9)
                sock = will.socket()
                assert sock is not None
                sock.close()  # no good-bye
                will.loop_stop()
                await other.hears(3)
                await door.until(lambda: bool(door.losses))
            async with Running(settings, city) as run:
                await run.door.until(lambda: bool(run.door.losses))
                values = [r.raw for r in run.door.reports if r.point == "lamp-3.level"]
                assert values in ([], [9])  # known at most until the will was read, right after
                assert run.adapter.intake._attendance is not None
                assert set(run.adapter.intake._attendance.away) == {"lamp-3"}
            other.say("at/lamp-3/there", b"", retain=True)
            other.say("at/lamp-3/state", b"", retain=True)

    async def test_words(self, broker: Any, make_settings: Any, city: Any, device: Any) -> None:
        """The words may stand in JSON; what is neither of them is refused and changes nothing."""
        available = {"topic": "w/{id}", "path": "$.state", "online": "up", "offline": "down"}
        read = {"topic": "w/{id}/level", "point": "level"}
        points = {"kind": "lamp", "read": read, "available": available}
        settings = make_settings(port=broker.port, points=points)
        async with device(broker.port) as lamp, Running(settings, city) as run:
            lamp.say("w/lamp-1", '{"state": "sleepy"}')
            await run.door.until(lambda: bool(run.door.refusals))
            assert run.door.refusals[0][1] == '"sleepy" is neither "up" nor "down"'
            assert not run.door.losses
            lamp.say("w/lamp-1", '{"state": "down"}')
            await run.door.until(lambda: bool(run.door.losses))

    async def test_flock(self, broker: Any, make_settings: Any, city: Any, device: Any) -> None:
        """Devices that are back together are told together, and one that is still away stays unknown."""
        settings = make_settings(port=broker.port, points=LAMP)
        async with device(broker.port) as lamp, Running(settings, city) as run:
            door = run.door
            for number in (1, 2, 3):
                lamp.say(f"at/lamp-{number}/there", "offline")
            await door.until(lambda: len(door.losses) == 3)
            for number in (1, 2):
                lamp.say(f"at/lamp-{number}/there", "online")
            await door.until(lambda: "lamp-1 and 1 more is there again" in door.ups)
            assert [loss[1] for loss in door.losses[3:]] == ["lamp-3 is away"]


class TestOwn:
    @pytest.mark.parametrize("version", ["5", "3.1.1"])
    async def test_presence(
        self, version: str, broker: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """The engine says that it is there, beats, and says that it goes; the word is kept for those who come later."""
        presence = {"topic": f"here/{version}", "heartbeat": 0.05}
        settings = make_settings(port=broker.port, version=version, presence=presence)
        async with device(broker.port, f"here/{version}/#") as other:
            async with Running(settings, city):
                await other.hears(4)
            await other.hears(5)
            async with asyncio.timeout(5):
                while other.heard[-1].payload != b"offline":
                    await other.hears(len(other.heard) + 1)
        words = [m.payload.decode() for m in other.heard if m.topic == f"here/{version}"]
        beats = [json.loads(m.payload) for m in other.heard if m.topic.endswith("/heartbeat")]
        assert words == ["online", "offline"]
        assert beats[0]["time"] == pytest.approx(time.time(), abs=60)
        async with device(broker.port, f"here/{version}") as late:
            (kept,) = await late.hears()
            assert (kept.payload, bool(kept.retain)) == (b"offline", True)

    async def test_will(self, broker: Any, make_settings: Any, city: Any, device: Any) -> None:
        """An engine that is cut off leaves its last will."""
        settings = make_settings(port=broker.port, presence={"topic": "will", "heartbeat": 0})
        async with device(broker.port, "will") as other:
            run = Running(settings, city)
            task = asyncio.ensure_future(run.adapter.run())
            await other.hears(1)
            link = run.adapter._link
            assert link is not None
            sock: Any = link._client.socket()
            sock.close()
            await other.hears(2)
            assert [m.payload for m in other.heard] == [b"online", b"offline"]
            task.cancel()
            with suppress(asyncio.CancelledError, ConnectionLost, OSError):
                await task
