"""A small city, and a real OPC UA server in a process that gets real signals."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from multiprocessing.context import ForkServerProcess
from typing import Any

import pytest
from tests.adapters.pilotage_opcua.launch import serve

from pilotage.adapter import ConnectionSettings
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.values import BOOLEAN, TEXT, enum, number, reference
from pilotage.testing.adapters import FixedSite, RecordingDoor
from pilotage_opcua.connection import OpcUaConnection, open_connection

ANSWER_S = 60.0
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.adapters.pilotage_opcua.plc"])

KINDS = (
    Kind(
        "lamp",
        "Light point",
        (
            PointSpec("level", number("%"), Access.BOTH, low=0.0, high=100.0, max_age_s=60.0),
            PointSpec("power", number("W"), every_s=10.0),
            PointSpec("broken", BOOLEAN),
            PointSpec("state", enum("off", "on", "fault"), Access.BOTH),
            PointSpec("goal", number("%"), Access.COMMANDABLE),
            PointSpec("cabinet", TEXT, Access.FIXED),
        ),
    ),
    Kind("meter", "Meter", (PointSpec("flow", number("veh/h")),)),
    Kind(
        "signal_junction",
        "Junction",
        (PointSpec("priority", reference(""), Access.BOTH, statuses=("received", "activated")),),
    ),
)

ENTITIES = (
    EntitySpec("lamp-1", "lamp", "Lamp 1", {"cabinet": "C1"}, zone="centre"),
    EntitySpec("lamp-2", "lamp", "Lamp 2", {"cabinet": "C1"}, zone="centre"),
    EntitySpec("lamp-3", "lamp", "Lamp 3", {"cabinet": "C2"}, zone="north"),
    EntitySpec("J-12", "signal_junction", "Darcy"),
)
NODE = "ns=2;s=City.{id}"
LAMP: dict[str, Any] = {
    "kind": "lamp",
    "read": {"point": "level", "node": f"{NODE}.Level"},
    "write": {"point": "level", "node": f"{NODE}.Level"},
}

Settings = Callable[..., ConnectionSettings]


@pytest.fixture(scope="session")
def city() -> FixedSite:
    return FixedSite(KINDS, ENTITIES)


@pytest.fixture(scope="session")
def make_settings() -> Settings:
    """Return settings with these options, at line 4 of config.yaml."""

    def make(**options: Any) -> ConnectionSettings:
        given = {"url": "opc.tcp://127.0.0.1:4840", "security": "none", **options}
        return ConnectionSettings("street", "opcua", given, "config.yaml:4:3")

    return make


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Plc:
    """The server's process; a test may order, kill, freeze and start it again on the same port."""

    def __init__(self, **settings: Any) -> None:
        self.settings = {"port": free_port(), **settings}
        self._process: ForkServerProcess | None = None

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.settings['port']}"

    def start(self) -> None:
        self._pipe, theirs = FORKS.Pipe()
        self._process = FORKS.Process(target=serve, args=(self.settings, theirs), daemon=True)
        self._process.start()
        theirs.close()
        try:
            assert self._answer() == "ready"
        except EOFError:
            pytest.fail(f"the server does not start with {self.settings}")

    def _answer(self) -> Any:
        assert self._pipe.poll(ANSWER_S), "the server does not answer"
        return self._pipe.recv()

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join(ANSWER_S)
            self._process.close()
            self._pipe.close()
            self._process = None

    async def do(self, what: str, node: str = "", **more: Any) -> Any:
        """Have the server do something and return its answer."""
        self._pipe.send({"do": what, "node": node, **more})
        return await asyncio.get_running_loop().run_in_executor(None, self._answer)


@pytest.fixture
def make_plc() -> Iterator[Callable[..., Plc]]:
    """Return a maker of servers that end with the test."""
    made: list[Plc] = []

    def make(**settings: Any) -> Plc:
        plc = Plc(**settings)
        plc.start()
        made.append(plc)
        return plc

    yield make
    for plc in made:
        plc.stop()


@pytest.fixture(scope="module")
def plc() -> Iterator[Plc]:
    """A server for all tests of a module that leave it as it was."""
    made = Plc()
    made.start()
    yield made
    made.stop()


class Running:
    """A connection that runs as the engine's supervisor runs it, with a short pause."""

    def __init__(self, settings: ConnectionSettings, city: FixedSite) -> None:
        self.door = RecordingDoor()
        self.adapter: OpcUaConnection = open_connection(settings, city, self.door)
        self.errors: list[str] = []

    async def __aenter__(self) -> Running:
        self._task = asyncio.ensure_future(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await self._task

    async def _keep(self) -> None:
        while True:
            try:
                await self.adapter.run()
            except ConnectionError as error:
                self.errors.append(str(error))
                self.door.refused("run", str(error))
            await asyncio.sleep(0.1)

    async def up(self, times: int = 1, timeout_s: float = 15.0) -> Running:
        """Return when the connection has come up so often."""
        await self.door.until(lambda: len(self.door.ups) >= times, timeout_s)
        return self


@pytest.fixture
def running(make_settings: Settings, city: FixedSite) -> Callable[..., Running]:
    """Return a maker of running connections to a server."""

    def make(plc: Plc, **options: Any) -> Running:
        given = {"url": plc.url, "publishing": 0.05, **options}
        return Running(make_settings(**given), city)

    return make


@pytest.fixture
def running_meters(make_settings: Settings) -> Callable[..., Running]:
    """Return a maker of a running connection to a server with many meters."""

    def make(plc: Plc, count: int) -> Running:
        site = FixedSite(KINDS, [EntitySpec(str(number), "meter") for number in range(count)])
        points = {"kind": "meter", "read": {"point": "flow", "node": "ns=2;s=many.{id}"}}
        return Running(make_settings(url=plc.url, publishing=0.1, points=points), site)

    return make
