"""A junction controller on OPC UA and a lighting cabinet on Modbus, each a process that writes down every write it carries out.

Run as `python -m tests.faults.servers opcua|modbus PORT LOG FIRST COUNT`; says `ready` when it can be reached.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from asyncua import Server, ua
from asyncua.common.callback import CallbackType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

EVERY_S: Final = 0.2
SCALE: Final = 0.01  # of a level in its register
_WRITES: Final = frozenset({6, 16})


class Log:
    """The writes of one server, a line each."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def wrote(self, street: str, level: float) -> None:
        line = {"time": time.time(), "street": street, "level": round(level, 2)}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


async def opcua(port: int, log: Log, streets: list[str]) -> None:
    """Serve `s-N.Flow`, which always changes, and `s-N.Level`, which is obeyed."""
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:city:faults")
    flows = []
    for street in streets:
        for name in ("Flow", "Level"):
            node = await server.nodes.objects.add_variable(
                ua.NodeId(f"{street}.{name}", index),
                f"{index}:{street}.{name}",
                100.0,
                ua.VariantType.Double,
            )
            await node.set_writable()
            if name == "Flow":
                flows.append(node)

    async def written(event: Any, _dispatcher: Any = None) -> None:
        for value in event.request_params.NodesToWrite:
            street, _, point = str(value.NodeId.Identifier).rpartition(".")
            if point == "Level" and event.is_external:
                log.wrote(street, value.Value.Value.Value)

    server.subscribe_server_callback(CallbackType.PostWrite, written)
    async with server:
        print("ready", flush=True)
        turn = 0
        while True:
            turn += 1
            for node in flows:
                await node.write_value(100.0 + turn % 50)
            await asyncio.sleep(EVERY_S)


async def modbus(port: int, log: Log, streets: list[str]) -> None:
    """Serve unit 1: holding register N is the level of street N, input register N its flow."""

    async def act(
        code: int, _first: int, address: int, _count: int, _now: list[int], values: Any
    ) -> None:
        if code in _WRITES:
            for offset, value in enumerate(values):
                log.wrote(streets[address + offset], value * SCALE)

    count = len(streets)
    tables = (
        [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
        [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
        [SimData(0, values=[10_000] * count, datatype=DataType.REGISTERS)],
        [SimData(0, values=[100] * count, datatype=DataType.REGISTERS)],
    )
    device = SimDevice(id=1, simdata=tables, action=act)
    await ModbusTcpServer([device], address=("127.0.0.1", port)).serve_forever(background=True)
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    protocol, port, log, first, count = sys.argv[1:]
    streets = [f"s-{number}" for number in range(int(first), int(first) + int(count))]
    serve = {"opcua": opcua, "modbus": modbus}[protocol]
    asyncio.run(serve(int(port), Log(log), streets))


if __name__ == "__main__":
    main()
