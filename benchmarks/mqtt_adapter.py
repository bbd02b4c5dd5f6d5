"""How many messages a second the MQTT adapter takes in and sends out, beside a bare paho loop on the same broker.

Run it with `python -m benchmarks.mqtt_adapter`; Mosquitto must be installed. The bare loop does what the adapter must do
at least: it reads the packet, decodes the JSON and looks one value up. Sender, broker and receiver share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from pilotage.adapter import ConnectionSettings
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.messages import Command, Outcome
from pilotage.model.values import number
from pilotage.testing.adapters import FixedSite, RecordingDoor
from pilotage_mqtt.connection import open_connection

LAMPS = 1000
KIND = Kind("lamp", "Lamp", (PointSpec("level", number("%"), Access.BOTH),))
BINDING = {
    "kind": "lamp",
    "read": {"topic": "city/lamp/{id}/state", "point": "level", "path": "$.level", "time": "$.ts"},
    "write": {
        "topic": "city/lamp/{id}/set",
        "point": "level",
        "payload": {"level": "{value}", "id": "{command}"},
    },
}


class CountingDoor(RecordingDoor):
    """Counts readings, as cheaply as a door can, and says when the last one came."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.count = 0
        self.wanted = wanted
        self.begun = asyncio.Event()
        self.done = asyncio.Event()

    def report(self, *_: Any, **__: Any) -> bool:
        """Count a reading."""
        self.count += 1
        if self.count == 1:
            self.begun.set()
        if self.count >= self.wanted:
            self.done.set()
        return True


@contextlib.contextmanager
def mosquitto() -> Iterator[int]:
    """Run a broker and return its port."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    binary = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None:
        sys.exit("install mosquitto: apt-get install -y mosquitto")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        config.write_text(
            f"{user}listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 1000000\nlog_type none\n"
        )
        broker = subprocess.Popen([binary, "-c", config], stderr=subprocess.DEVNULL)
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.01)
            yield port
        finally:
            broker.kill()
            broker.wait()


def send_readings(port: int, count: int, qos: int) -> None:
    """Publish readings of many lamps as fast as the broker takes them (its own process)."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    last = None
    for n in range(count):
        payload = b'{"level": %d, "power": 60.5, "ts": 1768508000.5}' % (n % 100)
        last = client.publish(f"city/lamp/lamp-{n % LAMPS}/state", payload, qos)
    if last is not None:
        last.wait_for_publish(120)
    client.disconnect()
    client.loop_stop()


def sender(port: int, count: int, qos: int) -> Any:
    """Return the process that sends, not started yet."""
    return multiprocessing.get_context("spawn").Process(
        target=send_readings, args=(port, count, qos)
    )


def cpu() -> float:
    """Return the processor time of this process, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def bare_intake(port: int, count: int, qos: int) -> tuple[float, float]:
    """Return (messages a second, messages a processor second) of a bare paho loop."""
    decode = msgspec.json.Decoder().decode
    seen = [0]

    def on_message(_client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic and decode(message.payload)["level"] >= 0:
            seen[0] += 1

    ready = [False]
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = on_message
    client.on_subscribe = lambda *_: ready.__setitem__(0, True)
    client.connect("127.0.0.1", port)
    client.subscribe("city/lamp/+/state", qos)
    while not ready[0]:
        client.loop(0.1)
    process = sender(port, count, qos)
    process.start()
    while not seen[0]:
        client.loop(1.0)
    since, used = time.perf_counter(), cpu()
    while seen[0] < count:
        client.loop(1.0)
    rates = count / (time.perf_counter() - since), count / (cpu() - used)
    process.join()
    client.disconnect()
    return rates


async def adapter_intake(port: int, count: int, qos: int) -> tuple[float, float]:
    """Return (messages a second, messages a processor second) of the adapter."""
    door = CountingDoor(count)
    adapter = _adapter(port, door, qos)
    task = asyncio.ensure_future(adapter.run())
    await door.until(lambda: bool(door.ups))
    process = sender(port, count, qos)
    process.start()
    await door.begun.wait()
    since, used = time.perf_counter(), cpu()
    await door.done.wait()
    rates = count / (time.perf_counter() - since), count / (cpu() - used)
    process.join()
    await _stop(task)
    return rates


async def adapter_orders(port: int, count: int) -> float:
    """Return how many commands a second the broker acknowledges (QoS 1)."""
    door = RecordingDoor()
    adapter = _adapter(port, door, 0)
    task = asyncio.ensure_future(adapter.run())
    await door.until(lambda: bool(door.ups))
    until = time.time() + 600
    orders = [Command(f"c-{n}", f"lamp-{n % LAMPS}.level", 30.0, until, "x") for n in range(count)]
    since = time.perf_counter()
    sent = await asyncio.gather(*(adapter.send(order) for order in orders))
    rate = count / (time.perf_counter() - since)
    if set(sent) != {Outcome.ACKNOWLEDGED}:
        sys.exit("some commands were not acknowledged")
    await _stop(task)
    return rate


def _adapter(port: int, door: RecordingDoor, qos: int) -> Any:
    site = FixedSite([KIND], [EntitySpec(f"lamp-{n}", "lamp") for n in range(LAMPS)])
    options = {"host": "127.0.0.1", "port": port, "points": BINDING, "qos": qos}
    return open_connection(ConnectionSettings("bench", "mqtt", options), site, door)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mqtt_adapter", description=__doc__)
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a quarter of the messages")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args(argv)
    count = given.messages // 4 if given.quick else given.messages
    factory = None
    if given.uvloop:
        import uvloop

        factory = uvloop.new_event_loop
    found: dict[str, float] = {}
    with mosquitto() as port, asyncio.Runner(loop_factory=factory) as runner:
        print(f"{count} messages of {LAMPS} lamps; loop {'uvloop' if factory else 'asyncio'}")
        print(f"{'':24}{'messages/s':>12}{'per CPU s':>12}")
        for qos in (0, 1):
            bare = bare_intake(port, count, qos)
            ours = runner.run(adapter_intake(port, count, qos))
            print(f"bare paho, QoS {qos:<9}{bare[0]:12,.0f}{bare[1]:12,.0f}")
            share = f"{ours[1] / bare[1]:.0%} of bare"
            print(f"adapter, QoS {qos:<11}{ours[0]:12,.0f}{ours[1]:12,.0f}   {share}")
            found |= {f"bare_per_cpu_s_qos{qos}": bare[1], f"adapter_per_cpu_s_qos{qos}": ours[1]}
        found["commands_per_s"] = runner.run(adapter_orders(port, count // 4))
        print(f"{'commands, QoS 1':24}{found['commands_per_s']:12,.0f}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
