"""A device that falls back by itself: `guarded.py PORT`; register 10 is its level, 100 the heartbeat, 101 the value, 102 the seconds."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

LEVEL, HEARTBEAT, VALUE, AFTER = 10, 100, 101, 102


async def main(port: int) -> None:
    device = SimDevice(id=1, simdata=[SimData(0, count=200, values=0, datatype=DataType.REGISTERS)])
    server = ModbusTcpServer([device], address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    inside: Any = AsyncModbusTcpClient("127.0.0.1", port=port)
    assert await inside.connect()
    print("ready", flush=True)
    last, heard = 0, time.monotonic()
    while True:
        beat, value, after = (await inside.read_holding_registers(HEARTBEAT, count=3)).registers
        if beat != last:
            last, heard = beat, time.monotonic()
        if after and time.monotonic() - heard > after:
            await inside.write_register(LEVEL, value)
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
