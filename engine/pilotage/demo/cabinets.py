"""The lighting cabinets, in a process of their own: one Modbus/TCP gateway, one unit per cabinet.

`python -m pilotage.demo.cabinets --port 15020` writes `ready PORT` when it listens. Input registers of each unit:
0 has bits (0 door open, 1 contactor open, 2 modem), 1 the current in 0.01 A, 2 and 3 the energy in 0.1 kWh.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Sequence
from typing import Any, Final

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from pilotage.demo.child import HOST, until_told
from pilotage.demo.clock import DemoClock, add_clock, clock_of
from pilotage.demo.street import Cabinets

REGISTERS: Final = 4
READ_INPUT: Final = 4
LONGEST_NAP_S: Final = 0.2


def registers(fields: dict[str, Any]) -> list[int]:
    """Return the registers of a cabinet that says this of itself."""
    bits = fields["door"] | fields["open"] << 1 | fields["comm"] << 2
    energy = round(fields["kwh"] * 10)
    return [int(bits), round(fields["amps"] * 100), energy >> 16, energy & 0xFFFF]


async def serve(port: int, clock: DemoClock, seed: int) -> None:
    """Let the cabinets answer until told to end."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    group = Cabinets(seed, clock.now())
    units = {id_: number for number, id_ in enumerate(group.lamps, 1)}
    empty = [SimData(0, count=REGISTERS, values=0, datatype=DataType.REGISTERS)]
    devices = [SimDevice(id=number, simdata=empty) for number in units.values()]
    server: Any = ModbusTcpServer(devices, address=(HOST, port))
    told = asyncio.ensure_future(until_told(asyncio.get_running_loop()))
    is_listening = False
    while not told.done():
        for message in group.step(clock.now()):
            unit = units[message.topic.split("/")[2]]
            values = registers(json.loads(message.payload))
            await server.async_setValues(unit, READ_INPUT, 0, values)
        if not is_listening:  # nobody reads a meter that was not read yet
            await server.serve_forever(background=True)
            print(f"ready {port}", flush=True)
            is_listening = True
        nap = min(LONGEST_NAP_S, max(0.001, clock.delay(group.next_due - clock.now())))
        await asyncio.wait({told}, timeout=nap)
    with contextlib.suppress(Exception):
        await asyncio.wait_for(server.shutdown(), 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cabinets from the command line."""
    parser = argparse.ArgumentParser(prog="python -m pilotage.demo.cabinets", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="to listen on, on 127.0.0.1")
    parser.add_argument("--seed", type=int, default=1, help="another number is another night")
    add_clock(parser)
    given = parser.parse_args(arguments)
    asyncio.run(serve(given.port, clock_of(parser, given), given.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
