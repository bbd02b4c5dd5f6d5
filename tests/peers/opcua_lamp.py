"""A lamp behind OPC UA, served by asyncua: `opcua_lamp.py PORT`; its level is `ns=2;s=lamp-1.level`, a UInt16."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

from asyncua import Server, ua

from pilotage.testing.peers import obey_lines


class Lamp:
    """One node."""

    async def start(self, port: int) -> None:
        self.server = Server()
        await self.server.init()
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await self.server.register_namespace("urn:city:lamp")
        self.level = await self.server.nodes.objects.add_variable(
            ua.NodeId("lamp-1.level", index), f"{index}:Level", 0, ua.VariantType.UInt16
        )
        await self.level.set_writable()
        await self.server.start()

    async def obey(self, what: str, _point: str, value: Any) -> Any:
        match what:
            case "held":
                return await self.level.read_value()
            case "tell":
                await self.write(int(value))
            case "flood":
                for each in value:
                    await self.write(int(each))
            case "distrust":
                await self.write(0, ua.StatusCodes.BadSensorFailure)
            case "garbage":
                await self.write("no number", type_=ua.VariantType.String)
        return None

    async def write(
        self, value: Any, status: int = 0, type_: ua.VariantType = ua.VariantType.UInt16
    ) -> None:
        data = ua.DataValue(ua.Variant(value, type_), ua.StatusCode(ua.UInt32(status)))
        data.SourceTimestamp = datetime.now(UTC)
        await self.server.write_attribute_value(self.level.nodeid, data)


async def main(port: str) -> None:
    lamp = Lamp()
    await lamp.start(int(port))
    await obey_lines(lamp.obey)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
