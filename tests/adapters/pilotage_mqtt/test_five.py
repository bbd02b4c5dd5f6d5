"""What MQTT 5 brings, back-pressure, repeated and giant messages, at a real Mosquitto."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from pilotage.model.messages import CallOut, Command, Outcome
from pilotage.testing.adapters import RecordingDoor
from pilotage_mqtt.connection import ConnectionLost, MqttConnection, open_connection

LEVEL = {"kind": "lamp", "read": {"topic": "five/{id}", "point": "level", "path": "$.level"}}


@asynccontextmanager
async def running(
    settings: Any, city: Any, door: RecordingDoor | None = None
) -> AsyncIterator[tuple[MqttConnection, RecordingDoor]]:
    door = door or RecordingDoor()
    adapter = open_connection(settings, city, door)
    task = asyncio.ensure_future(adapter.run())
    try:
        await door.until(lambda: bool(door.ups))
        yield adapter, door
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, ConnectionLost):
            await task


class TestProperties:
    async def test_of_orders(self, broker: Any, make_settings: Any, city: Any, device: Any) -> None:
        """An order says what it is, until when it counts, and brings the properties of its binding."""
        write = {
            "topic": "five/{id}/set",
            "point": "level",
            "payload": {"level": "{value}"},
            "properties": {"cabinet": "{cabinet}", "order": "{command}"},
        }
        settings = make_settings(port=broker.port, points={"kind": "lamp", "write": write})
        async with device(broker.port, "five/+/set") as lamp, running(settings, city) as (to, _):
            order = Command("c7", "lamp-1.level", 30.0, time.time() + 60, "test")
            assert await to.send(order) is Outcome.ACKNOWLEDGED
            (heard,) = await lamp.hears()
            said: Any = heard.properties
            assert said.ContentType == "application/json"
            assert said.UserProperty == [("cabinet", "C1"), ("order", "c7")]
            assert 55 <= said.MessageExpiryInterval <= 60

    async def test_of_readings(
        self, broker: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """The time, and values, may stand in user properties beside a plain payload."""
        read = {
            "topic": "beside/{id}",
            "points": {"level": {}, "power": "@watts"},
            "time": "@time",
        }
        settings = make_settings(port=broker.port, points={"kind": "lamp", "read": read})
        async with device(broker.port) as lamp, running(settings, city) as (_, door):
            beside: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            beside.UserProperty = [("time", "1000.5"), ("watts", "21")]
            lamp._client.publish("beside/lamp-1", "40", 1, properties=beside)
            await door.until(lambda: len(door.reports) == 2)
            got = {r.point: (r.raw, r.source_time) for r in door.reports}
            assert got == {"lamp-1.level": (40.0, 1000.5), "lamp-1.power": (21.0, 1000.5)}
            lamp.say("beside/lamp-1", "41")
            await door.until(lambda: bool(door.refusals))
            assert door.refusals[0][1] == 'no user property "time"'

    async def test_call(self, broker: Any, make_settings: Any, city: Any, device: Any) -> None:
        """A call says where its answer is awaited, and is known by its correlation."""
        call = {
            "call": "fleet.dispatch",
            "topic": "five/dispatch",
            "payload": {"vehicle": "{arguments.vehicle}"},
            "reply": {"topic": "five/reply", "status": "$.status"},
        }
        settings = make_settings(port=broker.port, calls=call)
        fleet_at = device(broker.port, "five/dispatch")
        async with fleet_at as fleet, running(settings, city) as (adapter, door):
            order = CallOut("k1", "fleet.dispatch", {"vehicle": "P-1"}, time.time() + 60, "test")
            assert await adapter.send(order) is Outcome.ACKNOWLEDGED
            (heard,) = await fleet.hears()
            asked: Any = heard.properties
            answer: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            answer.CorrelationData = asked.CorrelationData
            fleet._client.publish(
                asked.ResponseTopic, '{"status": "accepted"}', 1, properties=answer
            )
            await door.until(lambda: bool(door.answers))
            assert door.answers == [("k1", "accepted", "")]
            fleet.say("five/reply", '{"status": "accepted"}')
            await door.until(lambda: bool(door.refusals))
            assert "no correlation data" in door.refusals[0][1]


class TestShared:
    async def test_two_engines(
        self, broker: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """Two engines of one group share the messages, each is heard once; who is there, both hear."""
        points = {**LEVEL, "available": {"topic": "five/{id}/there"}}
        made = [
            make_settings(port=broker.port, points=points, share="g", qos=1, client_id=f"e{n}")
            for n in (1, 2)
        ]
        async with (
            device(broker.port) as lamp,
            running(made[0], city) as (_, one),
            running(made[1], city) as (_, two),
        ):
            for number in range(50):
                lamp.say("five/lamp-1", json.dumps({"level": number}))
            async with asyncio.timeout(10):
                while len(one.reports) + len(two.reports) < 50:
                    await asyncio.sleep(0.01)
            lamp.say("five/lamp-1/there", "offline")
            for door in (one, two):
                await door.until(lambda door=door: bool(door.losses))  # type: ignore[misc]
            heard = [r.raw for r in (*one.reports, *two.reports)]
            assert sorted(heard) == list(range(50))
            assert one.reports and two.reports


class FullDoor(RecordingDoor):
    """A door of an engine that cannot follow."""

    is_full = False


class TestTooMuch:
    async def test_no_room(self, broker: Any, make_settings: Any, city: Any, device: Any) -> None:
        """While the engine has no room hardly anything is read; afterwards all of it comes, in order."""
        settings = make_settings(port=broker.port, points=LEVEL, qos=1, receive_maximum=50)
        door = FullDoor()
        async with device(broker.port) as lamp, running(settings, city, door):
            door.is_full = True
            for number in range(2000):
                lamp.say("five/lamp-1", json.dumps({"level": number}))
            await asyncio.sleep(0.5)
            assert len(door.reports) < 500
            door.is_full = False
            await door.until(lambda: len(door.reports) == 2000)
            assert [r.raw for r in door.reports] == list(range(2000))
            assert not door.losses

    async def test_never_room(
        self, broker: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """An engine that never has room keeps its connection: the broker's sign of life is still read."""
        settings = make_settings(port=broker.port, points=LEVEL, keepalive=1)
        door = FullDoor()
        async with device(broker.port) as lamp, running(settings, city, door):
            door.is_full = True
            end = time.monotonic() + 4.0
            while time.monotonic() < end:
                lamp.say("five/lamp-1", '{"level": 1}', 0)
                await asyncio.sleep(0.005)
            assert not door.losses
            assert door.reports

    async def test_megabyte(self, broker: Any, make_settings: Any, city: Any, device: Any) -> None:
        """A payload of a megabyte is refused, and nothing else suffers."""
        settings = make_settings(port=broker.port, points=LEVEL)
        async with device(broker.port) as lamp, running(settings, city) as (_, door):
            for size in (1_000_000, 5_000_000):
                lamp.say("five/lamp-1", b"x" * size)
            lamp.say("five/lamp-2", '{"level": 5}')
            await door.until(lambda: door.last("lamp-2.level") == 5)
            assert door.refusals == [
                (
                    "street: five/lamp-1 (for lamp-1.level)",
                    "1000000 bytes are more than max_payload (65536)",
                )
            ]
            assert not door.losses


class TestRepeated:
    def test_dropped(self, make_settings: Any, city: Any) -> None:
        """What the broker marks as sent again and we had is dropped; a device that says the same twice is heard twice."""

        class Client:
            def ack(self, *_: Any) -> None:
                """Acknowledge."""

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(make_settings(points=LEVEL), city, door)
            link = SimpleNamespace(_heard=0, _intake=adapter.intake)
            from pilotage_mqtt.link import Link

            def come(level: int, *, dup: bool = False, qos: int = 1) -> None:
                payload = json.dumps({"level": level}).encode()
                message = SimpleNamespace(
                    topic="five/lamp-1", payload=payload, qos=qos, dup=dup, mid=1
                )
                link._take = lambda topic, message: Link._take(link, topic, message)  # type: ignore[arg-type]
                Link._on_message(link, Client(), None, message)  # type: ignore[arg-type]

            come(1)
            come(1)
            come(2)
            come(1, dup=True)
            come(2, dup=True)
            come(3, dup=True)  # we never had it
            come(4, qos=0)
            assert [r.raw for r in door.reports] == [1, 1, 2, 3, 4]
            assert adapter.intake.repeated == 2

        asyncio.run(scenario())

    async def test_after_a_cut(
        self, broker: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """A message whose acknowledgement was lost comes again after the cut, and counts once."""
        settings = make_settings(
            port=broker.port, points=LEVEL, qos=1, session_expiry=60, client_id="cut"
        )
        door = RecordingDoor()
        adapter = open_connection(settings, city, door)

        async def once(acknowledge: bool) -> None:
            task = asyncio.ensure_future(adapter.run())
            ups = len(door.ups)
            await door.until(lambda: len(door.ups) > ups)
            link = adapter._link
            assert link is not None
            if not acknowledge:
                link._client.ack = lambda *_: None  # type: ignore[method-assign, assignment]
                heard = len(door.reports)
                lamp.say("five/lamp-1", '{"level": 77}')
                await door.until(lambda: len(door.reports) > heard)
            else:
                lamp.say("five/lamp-1", '{"level": 78}')
                await door.until(lambda: door.last("lamp-1.level") == 78)
            task.cancel()
            with suppress(asyncio.CancelledError, ConnectionLost):
                await task

        async with device(broker.port) as lamp:
            await once(acknowledge=False)
            await once(acknowledge=True)
        assert [r.raw for r in door.reports] == [77, 78]
        assert adapter.intake.repeated == 1


class TestCodecs:
    async def test_msgpack(self, broker: Any, make_settings: Any, city: Any, device: Any) -> None:
        """A binary codec reads and writes; what it cannot read is garbage."""
        points = {
            "kind": "lamp",
            "read": {"topic": "m/{id}", "point": "level", "path": "$.level", "codec": "msgpack"},
            "write": {
                "topic": "m/{id}/set",
                "point": "level",
                "payload": {"level": "{value}"},
                "codec": "msgpack",
            },
        }
        settings = make_settings(port=broker.port, points=points)
        async with device(broker.port, "m/+/set") as lamp, running(settings, city) as (to, door):
            lamp.say("m/lamp-1", msgspec.msgpack.encode({"level": 12.5}))
            await door.until(lambda: door.last("lamp-1.level") == 12.5)
            order = Command("c", "lamp-1.level", 30.0, time.time() + 60, "test")
            assert await to.send(order) is Outcome.ACKNOWLEDGED
            (heard,) = await lamp.hears()
            assert msgspec.msgpack.decode(heard.payload) == {"level": 30.0}
            lamp.say("m/lamp-1", b"\xc1")
            await door.until(lambda: bool(door.refusals))
            assert "the codec refuses it" in door.refusals[0][1]
