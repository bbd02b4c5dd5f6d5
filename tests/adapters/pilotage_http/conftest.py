"""A small city, a vendor's server as a process, and an adapter that runs."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from pilotage.adapter import ConnectionSettings
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.values import BOOLEAN, TEXT, number, reference
from pilotage.testing.adapters import FixedSite, RecordingDoor
from pilotage_http.connection import HttpConnection, open_connection

KINDS = (
    Kind(
        "lamp",
        "Light point",
        (
            PointSpec("level", number("%"), Access.BOTH, low=0.0, high=100.0),
            PointSpec("power", number("W")),
            PointSpec("broken", BOOLEAN),
            PointSpec("cabinet", TEXT, Access.FIXED),
        ),
    ),
    Kind(
        "signal_junction",
        "Junction",
        (PointSpec("priority", reference(""), Access.BOTH, statuses=("received", "activated")),),
    ),
)

ENTITIES = (
    EntitySpec("lamp-1", "lamp", "Lamp 1", {"cabinet": "C1"}, zone="centre"),
    EntitySpec("lamp-2", "lamp", "Lamp 2", {"cabinet": "C 2/x"}, zone="centre"),
    EntitySpec("lamp-3", "lamp", "Lamp 3", {"cabinet": "C2"}, zone="north"),
    EntitySpec("J-12", "signal_junction", "Darcy"),
)


@pytest.fixture(scope="session")
def city() -> FixedSite:
    return FixedSite(KINDS, ENTITIES)


Settings = Callable[..., ConnectionSettings]


@pytest.fixture(scope="session")
def make_settings() -> Settings:
    """Return settings with these options, at line 4 of config.yaml."""

    def make(**options: Any) -> ConnectionSettings:
        return ConnectionSettings("street", "http", options, "config.yaml:4:3")

    return make


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Peer:
    """The vendor's process; a test may kill, freeze and start it again on the same port."""

    def __init__(self, *files: str) -> None:
        self.port = free_port()
        self._files = files
        self._process: subprocess.Popen[str] | None = None

    @property
    def server(self) -> dict[str, Any]:
        """The settings that lead there."""
        return {"url": f"http://127.0.0.1:{self.port}", "plain": True, "private": True}

    def start(self) -> None:
        file = Path(__file__).with_name("peer.py")
        self._process = subprocess.Popen(
            [sys.executable, str(file), str(self.port), *self._files],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None:
            assert self._process.stdout is not None
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    async def behave(self, **modes: str) -> None:
        """Have paths behave so from now on; `lamp_1` is `/lamps/lamp-1`."""
        named = {f"/lamps/{key.replace('_', '-')}": mode for key, mode in modes.items()}
        await self._ask("/_mode", json.dumps(named).encode())

    async def asked(self, method: str = "") -> list[dict[str, Any]]:
        """Return what was asked of it."""
        every = json.loads(await self._ask("/_log"))
        return [entry for entry in every if method in ("", entry["method"])]

    async def _ask(self, path: str, body: bytes | None = None) -> bytes:
        def ask() -> bytes:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", body, 5) as answer:
                return bytes(answer.read())

        return await asyncio.to_thread(ask)


MakePeer = Callable[..., Peer]


@pytest.fixture
def make_peer() -> Iterator[MakePeer]:
    """Return a maker of servers that end with the test."""
    peers: list[Peer] = []

    def make(*files: str) -> Peer:
        peers.append(Peer(*files))
        peers[-1].start()
        return peers[-1]

    yield make
    for peer in peers:
        peer.stop()


@pytest.fixture
def peer(make_peer: MakePeer) -> Peer:
    return make_peer()


class Running:
    """A connection that runs as the engine's supervisor runs it, once it has come up."""

    def __init__(self, settings: ConnectionSettings, city: FixedSite) -> None:
        self.door = RecordingDoor()
        self.endings: list[str] = []
        self.adapter: HttpConnection = open_connection(settings, city, self.door)

    async def __aenter__(self) -> Running:
        self.task = asyncio.ensure_future(self.adapter.run())
        up = asyncio.ensure_future(self.door.until(lambda: bool(self.door.ups)))
        await asyncio.wait({self.task, up}, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            up.cancel()
            self.task.result()
        await up
        self.task.add_done_callback(self._again)
        return self

    def _again(self, ended: asyncio.Task[None]) -> None:
        if not ended.cancelled() and ended.exception() is not None:
            self.endings.append(str(ended.exception()))
            self.task = asyncio.ensure_future(self._later())
            self.task.add_done_callback(self._again)

    async def _later(self) -> None:
        await asyncio.sleep(0.1)
        await self.adapter.run()

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@pytest.fixture
def running(make_settings: Settings, city: FixedSite) -> Callable[..., Running]:
    """Return a maker of running connections."""

    def make(**options: Any) -> Running:
        return Running(make_settings(**options), city)

    return make


class Webhook:
    """A sender of webhooks that writes what it likes."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def post(self, path: str, body: bytes = b"", method: str = "POST", **headers: str) -> int:
        """Send one request and return the status; 0 when the other side hung up."""
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return await self.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    async def raw(self, request: bytes, timeout_s: float = 15.0) -> int:
        """Send any bytes and return the status of the answer; 0 when there is none."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            with suppress(ConnectionError):
                writer.write(request)
                await writer.drain()
            async with asyncio.timeout(timeout_s):
                with suppress(ConnectionError):
                    line = await reader.readline()
                    return int(line.split()[1]) if line else 0
            return 0
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@pytest.fixture
def webhook() -> Webhook:
    return Webhook(free_port())
