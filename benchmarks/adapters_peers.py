"""The devices of `benchmarks/adapters.py`, each kind in a process of its own, on the core that the engine does not have.

Every device has a canary: a value that is 0 in one period of `PERIOD_S` and 1000 in the next, by the clock on the wall, so
that whoever sees an answer to it knows how late that is.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from typing import Any, Final

PERIOD_S: Final = 4.0
ON: Final = 1000.0


def canary(now: float) -> float:
    """Return the value of all canaries at a moment."""
    return ON if int(now / PERIOD_S) % 2 else 0.0


def say(**figures: float) -> None:
    """Tell the benchmark what this process does, in one second."""
    print(" ".join(f"{name}={value:g}" for name, value in figures.items()), flush=True)


async def modbus(port: int, units: int, registers: int) -> None:
    """Be some units with so many holding registers each; the canary is one more of unit 1."""
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    asked = 0

    async def act(
        _code: int, start: int, address: int, count: int, words: list[int], _values: Any
    ) -> None:
        nonlocal asked
        asked += count
        for at in range(address, address + count):
            words[at - start] = random.randrange(1000, 2000)
        if address <= registers < address + count:
            words[registers - start] = int(canary(time.time()))

    memory = [SimData(0, count=registers + 1, values=0, datatype=DataType.REGISTERS)]
    devices = [SimDevice(id=unit, simdata=memory, action=act) for unit in range(1, units + 1)]
    server: Any = ModbusTcpServer(devices, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    print("ready", flush=True)
    while True:
        await asyncio.sleep(1.0)
        say(registers=asked)
        asked = 0


async def opcua(port: int, items: int, every_s: float) -> None:
    """Be a server with so many nodes that change one after the other, each once in `every_s`; the canary is `canary`."""
    import logging

    from asyncua import Server, ua

    logging.disable(logging.CRITICAL)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:bench")
    parent = server.nodes.objects

    async def add(name: str) -> Any:
        node_id = ua.NodeId(name, index)
        return await parent.add_variable(node_id, f"{index}:{name}", 0.0, ua.VariantType.Double)

    nodes = [(await add(f"opc-{number}")).nodeid for number in range(items)]
    watched = (await add("canary")).nodeid

    async def write(node: Any, value: float) -> None:
        data = ua.DataValue(ua.Variant(value, ua.VariantType.Double))
        await server.write_attribute_value(node, data)

    await server.start()
    print("ready", flush=True)
    done, last, told, begun = 0, -1.0, time.time(), time.time()
    while True:
        now = time.time()
        if canary(now) != last:
            last = canary(now)
            await write(watched, last)
        wanted = int((now - begun) / every_s * items)
        for number in range(done, min(wanted, done + 200)):
            await write(nodes[number % items], 1000 + random.random() * 1000)
        counted = min(wanted, done + 200) - done
        done += counted
        if now - told >= 1.0:
            told += 1.0
            say(changes=done, behind=wanted - done)
        await asyncio.sleep(0.005 if counted < 200 else 0)


def mqtt(port: int, points: int, per_s: float) -> None:
    """Publish so many messages a second about as many points, with QoS 0; the canary has QoS 1."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    client = paho.Client(CallbackAPIVersion.VERSION2, "sensors")
    client.connect("127.0.0.1", port)
    client.loop_start()
    print("ready", flush=True)
    done, last, begun = 0, -1.0, time.time()
    told = begun
    while True:
        now = time.time()
        if canary(now) != last:
            last = canary(now)
            client.publish("bench/canary", b'{"v": %d, "t": %.3f}' % (last, now), 1)
        wanted = int((now - begun) * per_s)
        for number in range(done, wanted):
            value = 1000 + number % 1000
            client.publish(f"bench/mqtt-{number % points}", b'{"v": %d, "t": %.3f}' % (value, now))
        done = wanted
        if now - told >= 1.0:
            told += 1.0
            say(messages=done)
        time.sleep(0.01)


def main() -> None:
    """Be one kind of device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("modbus", "opcua", "mqtt"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--units", type=int, default=20)
    parser.add_argument("--every", type=float, default=5.0)
    given = parser.parse_args()
    match given.kind:
        case "modbus":
            asyncio.run(modbus(given.port, given.units, given.count // given.units))
        case "opcua":
            asyncio.run(opcua(given.port, given.count, given.every))
        case _:
            mqtt(given.port, 5000, given.count)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
