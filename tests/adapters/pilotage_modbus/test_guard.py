"""What a device does without us: written, read back, and done by the device itself when our process is killed."""

from __future__ import annotations

import asyncio
import runpy
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient

from pilotage.adapter import ConnectionSettings
from pilotage.model.entities import EntitySpec, Kind
from pilotage.testing.adapters import FixedSite
from pilotage_modbus.binding import bind

HERE = Path(__file__).parent
PILOT = runpy.run_path(str(HERE / "piloting.py"))
ENTITY: EntitySpec = PILOT["ENTITY"]
LAMP: Kind = PILOT["LAMP"]


def start(script: str, port: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), str(port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() != ""
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture
async def device() -> AsyncIterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = start("guarded.py", port)
    yield port
    end(process)


async def registers(port: int) -> list[int]:
    """Return level, value and seconds."""
    client: Any = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, timeout=3)
    assert await client.connect()
    try:
        (level,) = (await client.read_holding_registers(10, count=1)).registers
        return [level, *(await client.read_holding_registers(101, count=2)).registers]
    finally:
        client.close()


class TestKilled:
    async def test_falls_back(self, device: int) -> None:
        """The device follows while we live, and takes its value by itself when our process is killed."""
        pilot = start("piloting.py", device)
        try:
            await asyncio.sleep(2.5)  # longer than the second that it waits for us
            assert await registers(device) == [30, 80, 1]
        finally:
            end(pilot)
        async with asyncio.timeout(10):
            while (await registers(device))[0] != 80:
                await asyncio.sleep(0.1)


class TestBinding:
    def found(self, entity: EntitySpec, **guard: Any) -> list[str]:
        settings = PILOT["options"](502)
        settings["guards"] = [{"point": "lamp-1.level", "heartbeat": 100, **guard}]
        connection = ConnectionSettings("street", "modbus", settings)
        return [f.code for f in bind(connection, FixedSite((LAMP,), (entity,)))[1]]

    def test_good(self) -> None:
        """Where the device has value and time by hand, the heartbeat alone will do."""
        assert self.found(ENTITY) == []

    @pytest.mark.parametrize(
        ("guard", "code"),
        [({"point": "lamp-2.level"}, "unknown-point"), ({"beat": 3}, "unknown-key"), ({"value": 70_000}, "out-of-range")],
    )  # fmt: skip
    def test_wrong(self, guard: dict[str, Any], code: str) -> None:
        """Each mistake is named."""
        assert self.found(ENTITY, **guard) == [code]

    def test_nobody_said(self) -> None:
        """A point without on_loss cannot be guarded."""
        assert self.found(EntitySpec("lamp-1", "lamp")) == ["missing-key"]
