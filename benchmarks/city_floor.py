"""The floor of the city: what it costs to hear the same by the ordinary libraries, and to do nothing about it.

`python -m benchmarks.city_floor MQTT OPCUA MODBUS SECONDS`, with the ports of the running equipment: a paho loop, an asyncua
subscription and pymodbus clients for the same topics, items, units and periods as `city_plan` has. What comes is decoded and put into a
dictionary; no rule is asked, no age kept, nothing written down, nothing sent. The last line says how many messages it heard a second
and how much of a core that took.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import asyncua
import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import AsyncModbusTcpClient

from benchmarks import city_plan as plan

TOPICS: Final = ("lamp/+/state", "street/+/+", "bus/+", "vehicle/+", "camera/+/state")
PUBLISHING_MS: Final = 100
WARM_S: Final = 5.0
"""So long for subscriptions and first values, before it counts."""

Reads = tuple[int, float, list[tuple[str, int, int]]]
"""A unit, how often, and what: table, first register, count."""


class Heard:
    """What was said last of each thing, and how much was said in all."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.count = 0
        self._decode = msgspec.json.Decoder().decode

    def message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        """Take what comes by MQTT."""
        self.values[message.topic] = self._decode(message.payload)
        self.count += 1

    def datachange_notification(self, node: Any, value: Any, _data: Any) -> None:
        """Take what comes by OPC UA."""
        self.values[node.nodeid.Identifier] = value
        self.count += 1


def items() -> Iterator[str]:
    """Yield what an engine subscribes to at the junctions."""
    for junction in range(plan.JUNCTIONS):
        yield from (f"junction-{junction}.{name}" for name in ("Cross", "Plan", "HeldBy", "Status"))
        for loop in range(plan.DETECTORS):
            yield from (f"loop-{junction}-{loop}.{name}" for name in ("Flow", "Occupancy"))


def units(where: str) -> Iterator[Reads]:
    """Yield what an engine polls in a commune: of neighbouring registers one read."""
    for house in (n for n in range(plan.BUILDINGS) if plan.commune(n) == where):
        yield house + 1, 2.0, [("input", plan.FIRE, 3)]
        yield house + 1, 5.0, [("holding", plan.GATE, 1)]
        yield house + 1, 10.0, [("input", plan.TEMPERATURE, 3), ("holding", plan.CLIMATE, 3)]
    for post in (n for n in range(plan.BOLLARDS) if plan.commune(n) == where):
        yield plan.FIRST_BOLLARD_UNIT + post, 1.0, [("holding", 0, 1), ("input", plan.LOOP, 1)]


async def poll(
    client: AsyncModbusTcpClient, turn: asyncio.Lock, reads: Reads, heard: Heard
) -> None:
    """Read a unit at its period, for ever."""
    unit, every_s, tables = reads
    while True:
        for table, first, count in tables:
            read = (
                client.read_input_registers if table == "input" else client.read_holding_registers
            )
            async with turn:
                answer = await read(first, count=count, device_id=unit)
            heard.values[f"{unit}.{table}.{first}"] = answer.registers
            heard.count += 1
        await asyncio.sleep(every_s)


async def hear(ports: list[int], seconds: float) -> None:
    """Hear everything, and say what it took."""
    heard = Heard()
    mqtt = paho.Client(CallbackAPIVersion.VERSION2, "floor")
    mqtt.on_message = heard.message
    mqtt.connect("127.0.0.1", ports[0])
    mqtt.subscribe([(topic, 0) for topic in TOPICS])
    mqtt.loop_start()
    async with asyncua.Client(f"opc.tcp://127.0.0.1:{ports[1]}") as signals:
        subscription = await signals.create_subscription(PUBLISHING_MS, heard)
        await subscription.subscribe_data_change(
            [signals.get_node(f"ns=2;s={name}") for name in items()]
        )
        for number in range(plan.COMMUNES):
            cabinet = AsyncModbusTcpClient("127.0.0.1", port=ports[2])
            await cabinet.connect()
            turn = asyncio.Lock()
            for reads in units(plan.commune(number)):
                _tasks.add(asyncio.create_task(poll(cabinet, turn, reads, heard)))
        await asyncio.sleep(WARM_S)
        count, cpu, began = heard.count, time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        passed = time.monotonic() - began
        percent = 100.0 * (time.process_time() - cpu) / passed
        failed = [task for task in _tasks if task.done()]
        print(len(failed), (heard.count - count) / passed, percent, flush=True)
        for task in _tasks:
            task.cancel()
    mqtt.loop_stop()


_tasks: set[asyncio.Task[None]] = set()


if __name__ == "__main__":
    asyncio.run(hear([int(port) for port in sys.argv[1:4]], float(sys.argv[4])))
