"""A small city, and streets of real Modbus devices: in a process of their own, or in the test's."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusSerialServer

from pilotage.adapter import ConnectionSettings
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.messages import Command, Outcome
from pilotage.model.values import BOOLEAN, TEXT, enum, number, reference
from pilotage.testing.adapters import FixedSite, RecordingDoor
from pilotage_modbus.connection import ModbusConnection, open_connection

STREET = Path(__file__).with_name("street.py")

KINDS = (
    Kind(
        "lamp",
        "Light point",
        (
            PointSpec("level", number("%"), Access.BOTH, low=0.0, high=100.0),
            PointSpec("power", number("W")),
            PointSpec("temperature", number("°C")),
            PointSpec("broken", BOOLEAN),
            PointSpec("relay", BOOLEAN, Access.BOTH),
            PointSpec("state", enum("up", "down", "moving"), Access.BOTH),
            PointSpec("limit", number("°C"), Access.COMMANDABLE, low=-40.0, high=90.0),
            PointSpec("note", TEXT),
            PointSpec("call", reference(""), Access.BOTH, statuses=("queued", "done")),
            PointSpec("unit", number(), Access.FIXED),
            PointSpec("slot", number(), Access.FIXED),
        ),
        {"cabinet": "cabinet"},
    ),
    Kind("cabinet", "Cabinet", (PointSpec("unit", number(), Access.FIXED),)),
)

ENTITIES = (
    EntitySpec("C-1", "cabinet", "Cabinet", {"unit": 7.0}),
    EntitySpec(
        "lamp-1", "lamp", "One", {"unit": 1.0, "slot": 0.0}, {"cabinet": ("C-1",)}, "centre"
    ),
    EntitySpec(
        "lamp-2", "lamp", "Two", {"unit": 2.0, "slot": 1.0}, {"cabinet": ("C-1",)}, "centre"
    ),
    EntitySpec(
        "lamp-3", "lamp", "Three", {"unit": 3.0, "slot": 2.5}, {"cabinet": ("C-1",)}, "north"
    ),
)


@pytest.fixture(scope="session")
def city() -> FixedSite:
    return FixedSite(KINDS, ENTITIES)


Settings = Callable[..., ConnectionSettings]


@pytest.fixture(scope="session")
def make_settings() -> Settings:
    """Return settings with these options, at line 4 of config.yaml."""

    def make(**options: Any) -> ConnectionSettings:
        settings = {"host": "127.0.0.1", **options}
        return ConnectionSettings("street", "modbus", settings, "config.yaml:4:3")

    return make


@pytest.fixture
def door() -> RecordingDoor:
    return RecordingDoor()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Street:
    """A process with devices that a test may kill, freeze and start again on the same port."""

    def __init__(self, framing: str = "tcp", units: int = 1, files: tuple[str, ...] = ()) -> None:
        self.port = free_port()
        self._arguments = [str(self.port), framing, str(units), *files]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, str(STREET), *self._arguments]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            assert self._process.stdout is not None
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


MakeStreet = Callable[..., Street]


@pytest.fixture
def make_street() -> Iterator[MakeStreet]:
    """Return a maker of streets that end with the test."""
    streets: list[Street] = []

    def make(*arguments: Any) -> Street:
        street = Street(*arguments)
        street.start()
        streets.append(street)
        return street

    yield make
    for street in streets:
        street.kill()


@pytest.fixture(scope="module")
def shared_street() -> Iterator[Street]:
    """A street with three units for all tests of a module; each test has registers of its own."""
    street = Street(units=3)
    street.start()
    yield street
    street.kill()


def _street_module() -> Any:
    spec = importlib.util.spec_from_file_location("modbus_street", STREET)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Action = Callable[[int, int, int], Awaitable[Any]]
"""Gets function code, address and count; what it returns is the exception code."""


@asynccontextmanager
async def acting(*actions: Action, framing: str = "tcp") -> AsyncIterator[int]:
    """Yield the port of devices in this process; unit N does as action N says."""
    module = _street_module()

    def wrap(action: Action) -> Any:
        async def act(code: int, _start: int, address: int, count: int, *_: Any) -> Any:
            return await action(code, address, count)

        return act

    devices = [module.device(unit, wrap(action)) for unit, action in enumerate(actions, 1)]
    port = free_port()
    server = module.server(port, framing, devices, [])
    await server.serve_forever(background=True)
    try:
        yield port
    finally:
        await server.shutdown()


@asynccontextmanager
async def serial_line(units: int) -> AsyncIterator[str]:
    """Yield the device file of a serial line with units at its other end: two pseudo-terminals and a cable."""
    module = _street_module()
    ends = [pty.openpty() for _ in range(2)]
    (here, near), (there, far) = ends
    loop = asyncio.get_running_loop()

    def carry(source: int, target: int) -> None:
        with suppress(OSError):
            os.write(target, os.read(source, 4096))

    for file in (here, near, there, far):
        tty.setraw(file)
    for source, target in ((here, there), (there, here)):
        os.set_blocking(source, False)
        loop.add_reader(source, carry, source, target)
    devices = [module.device(unit) for unit in range(1, units + 1)]
    server: Any = ModbusSerialServer(devices, port=os.ttyname(far), baudrate=19_200)
    await server.serve_forever(background=True)
    try:
        yield os.ttyname(near)
    finally:
        await server.shutdown()
        for master, slave in ends:
            loop.remove_reader(master)
            os.close(master)
            os.close(slave)


Reply = Callable[[int, int, bytes], bytes | None]
"""Gets transaction, unit and PDU; returns what is sent as it is, or None for silence."""


@asynccontextmanager
async def answering(reply: Reply) -> AsyncIterator[int]:
    """Yield the port of a peer that answers each Modbus/TCP request with any bytes."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        serving.add(me)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                transaction, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                answer = reply(transaction, unit, await reader.readexactly(length - 1))
                if answer is not None:
                    writer.write(answer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        if serving:  # they end when the other side has hung up
            await asyncio.wait(serving, timeout=5)


def frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """Return a Modbus/TCP frame."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


@asynccontextmanager
async def probing(port: int) -> AsyncIterator[AsyncModbusTcpClient]:
    """Yield another client that looks into the devices."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, timeout=3)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


@asynccontextmanager
async def running(
    settings: ConnectionSettings, city: FixedSite, door: RecordingDoor
) -> AsyncIterator[tuple[ModbusConnection, asyncio.Task[None]]]:
    """Yield a connection that runs once, and its task."""
    connection = open_connection(settings, city, door)
    task = asyncio.create_task(connection.run())
    try:
        yield connection, task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await task


async def ending(task: asyncio.Task[None]) -> str:
    """Return why a connection ended by itself."""
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionError) as caught:
            await task
    return str(caught.value)


_count = iter(range(1, 1_000_000))


async def command(
    connection: ModbusConnection, point: str, value: Any, deadline: float = 4e9
) -> Outcome:
    """Send an order."""
    return await connection.send(Command(f"c{next(_count)}", point, value, deadline, "test"))


class Kit:
    """What the tests of a connection need, without importing each other."""

    acting = staticmethod(acting)
    answering = staticmethod(answering)
    frame = staticmethod(frame)
    serial_line = staticmethod(serial_line)
    probing = staticmethod(probing)
    running = staticmethod(running)
    ending = staticmethod(ending)
    command = staticmethod(command)
    free_port = staticmethod(free_port)


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit
