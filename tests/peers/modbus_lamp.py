"""A lamp behind Modbus/TCP, served by pymodbus: `modbus_lamp.py PORT`; its level is holding register 40 of unit 1."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from pilotage.testing.peers import obey_lines

LEVEL = 40


class Lamp:
    """The register, and whether the device has a fault."""

    def __init__(self, port: int) -> None:
        self.has_fault = False
        registers = [SimData(0, count=100, values=0, datatype=DataType.REGISTERS)]
        device = SimDevice(id=1, simdata=registers, action=self.asked)
        self.server = ModbusTcpServer([device], address=("127.0.0.1", port))

    async def asked(self, *_: Any) -> ExcCodes | None:
        return ExcCodes.DEVICE_FAILURE if self.has_fault else None

    async def obey(self, what: str, _point: str, value: Any) -> Any:
        match what:
            case "held":
                return (await self.server.async_getValues(1, 3, LEVEL))[0]
            case "tell":
                self.has_fault = False
                await self.server.async_setValues(1, 16, LEVEL, [int(value)])
            case "flood":
                for each in value:
                    await self.server.async_setValues(1, 16, LEVEL, [int(each)])
                    await asyncio.sleep(0)
            case "distrust":
                self.has_fault = True
            case "garbage":
                for handler in list(self.server.active_connections.values()):
                    handler.send(b"\x00\x00\xff\xffHTTP/1.1 400 Bad Request\r\n\r\n")
        return None


async def main(port: str) -> None:
    lamp = Lamp(int(port))
    await lamp.server.serve_forever(background=True)
    await obey_lines(lamp.obey)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
