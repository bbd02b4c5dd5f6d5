"""The adapter in a process of its own, to be killed: `piloting.py PORT`; the lamp shall burn at 80 % after one second without us."""

from __future__ import annotations

import asyncio
import sys
import time

from pilotage.adapter import ConnectionSettings
from pilotage.model.entities import Access, EntitySpec, Kind, OnLoss, PointSettings, PointSpec
from pilotage.model.messages import Command
from pilotage.model.values import number
from pilotage.testing.adapters import FixedSite, RecordingDoor
from pilotage_modbus.connection import open_connection

LAMP = Kind("lamp", "Lamp", (PointSpec("level", number("%"), Access.BOTH, low=0.0, high=100.0),))
ENTITY = EntitySpec("lamp-1", "lamp", settings={"level": PointSettings(on_loss=OnLoss(80.0, 1.0))})


def options(port: int) -> dict[str, object]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "heartbeat_every": 0.1,
        "points": [
            {"entity": "lamp-1", "unit_id": 1, "poll": 0.1, "points": {"level": {"holding": 10}}}
        ],
        "guards": [{"point": "lamp-1.level", "heartbeat": 100, "value": 101, "after": 102}],
    }


async def main(port: int) -> None:
    door = RecordingDoor()
    settings = ConnectionSettings("street", "modbus", options(port))
    connection = open_connection(settings, FixedSite((LAMP,), (ENTITY,)), door)
    running = asyncio.create_task(connection.run())
    while not door.ups:
        await asyncio.sleep(0.01)
    await connection.send(Command("1", "lamp-1.level", 30.0, time.time() + 5, "test"))
    print("piloting", flush=True)
    await running


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
