"""Brokers that die, freeze and come back; a real process that gets real signals."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import socket
import threading
import time
import weakref
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from pilotage.model.messages import Command, Outcome
from pilotage.testing.adapters import RecordingDoor
from pilotage_mqtt.connection import ConnectionLost, open_connection
from pilotage_mqtt.read_ahead import ReadAhead

LAMP: dict[str, Any] = {
    "kind": "lamp",
    "read": {"topic": "city/lamp/{id}/state", "point": "level", "path": "$.level"},
    "write": {"topic": "city/lamp/{id}/set", "point": "level", "payload": {"n": "{command}"}},
}
POINTS = ("lamp-1.level", "lamp-2.level", "lamp-3.level")


def command(number: int, seconds: float = 60.0) -> Command:
    return Command(str(number), "lamp-1.level", 1.0, time.time() + seconds, "test")


def ups_above(door: RecordingDoor, count: int) -> bool:
    return len(door.ups) > count


async def keep_running(adapter: Any) -> None:
    """Do what the engine's supervisor does, with a short pause."""
    while True:
        with suppress(ConnectionLost):
            await adapter.run()
        await asyncio.sleep(0.05)


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, ConnectionLost):
        await task


class TestLoss:
    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
    def test_broker_ends(
        self, how: Any, run: Any, make_broker: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """The end of the broker is noticed at once; after its return readings come and orders go again."""
        broker = make_broker()

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(make_settings(port=broker.port, points=LAMP), city, door)
            task = asyncio.ensure_future(keep_running(adapter))
            await door.until(lambda: len(door.ups) == 1)
            since = time.monotonic()
            broker.signal(how)
            await door.until(lambda: bool(door.losses))
            assert time.monotonic() - since < 1.0
            assert [points for points, _ in door.losses] == [POINTS]
            assert await adapter.send(command(1)) is Outcome.NOT_SENT
            broker.stop()
            broker.start()
            await door.until(lambda: len(door.ups) == 2)
            async with device(broker.port, "city/lamp/+/set") as lamp:
                assert await adapter.send(command(2)) is Outcome.ACKNOWLEDGED
                (message,) = await lamp.hears()
                lamp.say("city/lamp/lamp-1/state", '{"level": 3}')
                await door.until(lambda: door.last("lamp-1.level") == 3)
            assert json.loads(message.payload) == {"n": "2"}
            await stop(task)

        run(scenario())

    def test_a_lost_client_is_gone(
        self, run: Any, make_broker: Any, make_settings: Any, city: Any, monkeypatch: Any
    ) -> None:
        """What a lost connection had is freed at once: an engine of years has thousands of them, and collects rarely."""
        broker, clients = make_broker(), []
        begin = ReadAhead.__init__

        def noted(self: ReadAhead, *arguments: Any, **named: Any) -> None:
            begin(self, *arguments, **named)
            clients.append(weakref.ref(self))

        monkeypatch.setattr(ReadAhead, "__init__", noted)

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(make_settings(port=broker.port, points=LAMP), city, door)
            task = asyncio.ensure_future(keep_running(adapter))
            await door.until(lambda: len(door.ups) == 1)
            gc.disable()
            broker.stop()
            broker.start()
            await door.until(lambda: len(door.ups) == 2)
            await asyncio.sleep(0.05)
            assert [client() is None for client in clients] == [True] * (len(clients) - 1) + [False]
            await stop(task)

        try:
            run(scenario())
        finally:
            gc.enable()

    def test_orders_on_the_way(
        self, run: Any, make_broker: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """Of orders under way when the broker dies, each is known, not sent or unknown, and none comes later."""
        broker = make_broker()

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(
                make_settings(port=broker.port, points=LAMP, in_flight=20), city, door
            )
            task = asyncio.ensure_future(keep_running(adapter))
            await door.until(lambda: bool(door.ups))
            broker.signal(signal.SIGSTOP)
            orders = [asyncio.ensure_future(adapter.send(command(n))) for n in range(50)]
            await asyncio.sleep(0)
            broker.signal(signal.SIGKILL)
            broker.signal(signal.SIGCONT)
            outcomes = await asyncio.gather(*orders)
            assert set(outcomes) <= {Outcome.UNKNOWN, Outcome.NOT_SENT}
            assert outcomes.count(Outcome.UNKNOWN) == 20
            broker.stop()
            broker.start()
            async with device(broker.port, "city/lamp/+/set") as lamp:
                await door.until(lambda: len(door.ups) == 2)
                assert await adapter.send(command(99)) is Outcome.ACKNOWLEDGED
                await lamp.hears()
                assert [m.payload for m in lamp.heard] == [b'{"n":"99"}']
            await stop(task)

        run(scenario())

    def test_frozen_broker(self, run: Any, make_broker: Any, make_settings: Any, city: Any) -> None:
        """A broker that stands still is noticed within twice the keep-alive; its orders are unknown until then."""
        broker = make_broker()

        async def scenario() -> None:
            door = RecordingDoor()
            settings = make_settings(port=broker.port, points=LAMP, keepalive=1, ack_timeout=0.5)
            adapter = open_connection(settings, city, door)
            task = asyncio.ensure_future(adapter.run())
            await door.until(lambda: bool(door.ups))
            broker.signal(signal.SIGSTOP)
            assert await adapter.send(command(1)) is Outcome.UNKNOWN
            with pytest.raises(ConnectionLost):
                await asyncio.wait_for(task, 4)
            assert door.losses[0][0] == POINTS
            with pytest.raises(ConnectionLost, match=r"did not answer|timed out"):
                await asyncio.wait_for(
                    open_connection(
                        make_settings(port=broker.port, connect_timeout=0.3), city, door
                    ).run(),
                    4,
                )

        run(scenario())

    def test_frozen_and_flooded(
        self, run: Any, make_broker: Any, make_settings: Any, city: Any
    ) -> None:
        """A frozen broker does not make the memory grow: at most `in_flight` orders are handed to it."""
        broker = make_broker()

        async def scenario() -> None:
            door = RecordingDoor()
            binding = {**LAMP, "write": {**LAMP["write"], "qos": 0, "payload": "x" * 50_000}}
            settings = make_settings(
                port=broker.port, points=binding, keepalive=1, ack_timeout=30, in_flight=200
            )
            adapter = open_connection(settings, city, door)
            task = asyncio.ensure_future(adapter.run())
            await door.until(lambda: bool(door.ups))
            broker.signal(signal.SIGSTOP)
            outcomes = await asyncio.gather(*(adapter.send(command(n)) for n in range(2000)))
            assert outcomes.count(Outcome.UNKNOWN) <= 200
            assert outcomes.count(Outcome.NOT_SENT) >= 1000
            with pytest.raises(ConnectionLost):
                await task

        run(scenario())

    def test_many_faults(
        self, run: Any, make_broker: Any, make_settings: Any, city: Any, device: Any
    ) -> None:
        """Whatever was acknowledged arrived, whatever was not sent never arrives, through eight ends of the broker."""
        broker = make_broker()

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(make_settings(port=broker.port, points=LAMP), city, door)
            task = asyncio.ensure_future(keep_running(adapter))
            said: dict[str, Outcome] = {}
            heard: set[str] = set()
            number = 0
            for fault in range(8):
                await door.until(partial(ups_above, door, fault))
                async with device(broker.port, "city/lamp/+/set") as lamp:
                    for _ in range(200):
                        number += 1
                        said[str(number)] = await adapter.send(command(number))
                    await lamp.hears(
                        sum(outcome is Outcome.ACKNOWLEDGED for outcome in said.values())
                        - len(heard)
                    )
                    heard |= {json.loads(m.payload)["n"] for m in lamp.heard}
                broker.signal(signal.SIGKILL)
                while adapter._link is not None:
                    number += 1
                    said[str(number)] = await adapter.send(command(number))
                for _ in range(20):
                    number += 1
                    said[str(number)] = await adapter.send(command(number))
                broker.stop()
                broker.start()
            acknowledged = {n for n, outcome in said.items() if outcome is Outcome.ACKNOWLEDGED}
            refused = {n for n, outcome in said.items() if outcome is Outcome.NOT_SENT}
            assert len(heard) >= 8 * 200
            assert not heard & refused
            assert heard <= acknowledged
            await stop(task)

        run(scenario())


class TestStop:
    def test_while_connecting(self, run: Any, make_settings: Any, city: Any) -> None:
        """Stopping ends at once, also while a broker accepts and says nothing."""

        async def scenario() -> None:
            with socket.create_server(("127.0.0.1", 0)) as mute:
                settings = make_settings(port=mute.getsockname()[1], connect_timeout=60)
                task = asyncio.ensure_future(open_connection(settings, city, RecordingDoor()).run())
                client, _ = await asyncio.get_running_loop().run_in_executor(None, mute.accept)
                with client:
                    since = time.monotonic()
                    await stop(task)
                    assert time.monotonic() - since < 0.5

        run(scenario())

    def test_leaves_nothing(self, run: Any, broker: Any, make_settings: Any, city: Any) -> None:
        """A connection that was stopped leaves no task behind, and the points are not lost by it."""

        async def scenario() -> None:
            door = RecordingDoor()
            adapter = open_connection(make_settings(port=broker.port, points=LAMP), city, door)
            for turn in range(3):
                task = asyncio.ensure_future(adapter.run())
                await door.until(partial(ups_above, door, turn))
                await stop(task)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert not door.losses

        run(scenario())


CONNACK_5 = b"\x20\x03\x00\x00\x00"
SUBACK_5 = b"\x90\x04\x00\x01\x00\x00"


class TestLiar:
    """A broker that breaks the protocol."""

    @pytest.mark.parametrize(
        ("name", "answer"),
        [
            ("nonsense", b"\x00" * 20),
            ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            ("endless length", b"\x20\xff\xff\xff\xff\xff"),
            ("short connack", b"\x20\x01\x00"),
            ("empty connack", b"\x20\x00"),
            ("refused", b"\x20\x03\x00\x87\x00"),
            ("closed", b""),
            ("bad publish", CONNACK_5 + SUBACK_5 + b"\x30\x03\x00\xff\x00"),
            ("half a publish", CONNACK_5 + SUBACK_5 + b"\x30\x00"),
            ("bad properties", CONNACK_5 + SUBACK_5 + b"\x30\x06\x00\x01a\xff\xff\xff"),
            ("bad suback", CONNACK_5 + b"\x90\x01\x00"),
            ("puback of nothing", CONNACK_5 + SUBACK_5 + b"\x40\x02\xff\xff" + b"\xf0\x00"),
        ],
    )
    def test_ends_the_connection(
        self, name: str, answer: bytes, run: Any, make_settings: Any, city: Any
    ) -> None:
        """Whatever it answers, the connection ends with a reason and does not spin."""

        async def scenario() -> None:
            with socket.create_server(("127.0.0.1", 0)) as server:
                thread = threading.Thread(target=serve_once, args=(server, answer))
                thread.start()
                settings = make_settings(
                    port=server.getsockname()[1], points=LAMP, connect_timeout=1
                )
                with pytest.raises(ConnectionLost) as caught:
                    await asyncio.wait_for(
                        open_connection(settings, city, RecordingDoor()).run(), 5
                    )
                assert str(caught.value)
                thread.join()

        run(scenario())

    def test_topic_of_wrong_bytes(self, run: Any, make_settings: Any, city: Any) -> None:
        """A message whose topic is no UTF-8 is refused, and the next one is read."""
        bad = b"\x30\x06\x00\x02\xff\xfe\x00x"
        topic = b"city/lamp/lamp-1/state"
        body = len(topic).to_bytes(2, "big") + topic + b"\x00" + b'{"level":5}'
        good = b"\x30" + bytes([len(body)]) + body

        async def scenario() -> None:
            door = RecordingDoor()
            with socket.create_server(("127.0.0.1", 0)) as server:
                answer = CONNACK_5 + SUBACK_5 + bad + good
                thread = threading.Thread(target=serve_once, args=(server, answer))
                thread.start()
                settings = make_settings(port=server.getsockname()[1], points=LAMP)
                with pytest.raises(ConnectionLost):
                    await open_connection(settings, city, door).run()
                thread.join()
            assert door.last("lamp-1.level") == 5
            assert door.refusals[0][1] == "its bytes are not UTF-8"

        run(scenario())


def serve_once(server: socket.socket, answer: bytes) -> None:
    """Be a broker that gives one fixed answer: CONNACK after CONNECT, the rest after SUBSCRIBE."""
    client, _ = server.accept()
    with client:
        client.settimeout(2)
        with suppress(OSError):
            client.recv(1000)
            if answer.startswith(CONNACK_5):
                client.sendall(CONNACK_5)
                client.recv(1000)
                answer = answer[len(CONNACK_5) :]
            client.sendall(answer)
            time.sleep(0.2)
