"""A street of Modbus devices in a process of its own: `street.py PORT FRAMING UNITS [CERTIFICATE KEY CA]`.

Holding and input register N holds N at first; coils are off, discrete inputs are on when their address is even.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import Any

from pymodbus.framer import FramerType
from pymodbus.server import ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

REGISTERS = 600
BITS = 64


def device(unit: int, action: Any = None) -> SimDevice:
    numbers = list(range(REGISTERS))
    return SimDevice(
        id=unit,
        simdata=(
            [SimData(0, count=BITS, values=False, datatype=DataType.BITS)],
            [SimData(0, values=[at % 2 == 0 for at in range(BITS)], datatype=DataType.BITS)],
            [SimData(0, values=numbers, datatype=DataType.REGISTERS)],
            [SimData(0, values=numbers, datatype=DataType.REGISTERS)],
        ),
        action=action,
    )


def server(port: int, framing: str, devices: list[SimDevice], files: list[str]) -> ModbusTcpServer:
    if not files:
        framer = FramerType.RTU if framing == "rtu" else FramerType.SOCKET
        return ModbusTcpServer(devices, framer=framer, address=("127.0.0.1", port))
    certificate, key, ca = files
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    return ModbusTlsServer(
        devices, framer=FramerType.SOCKET, address=("127.0.0.1", port), sslctx=context
    )


async def main(port: str, framing: str, units: str, *files: str) -> None:
    devices = [device(unit) for unit in range(1, int(units) + 1)]
    street = server(int(port), framing, devices, list(files))
    await street.serve_forever(background=True)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
