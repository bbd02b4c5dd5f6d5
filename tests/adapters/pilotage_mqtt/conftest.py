"""A small city, and a real Mosquitto on a free port."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import uvloop
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from pilotage.adapter import ConnectionSettings
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.values import BOOLEAN, POSITION, TEXT, Position, enum, number, reference
from pilotage.testing.adapters import FixedSite, RecordingDoor

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
        "bollard",
        "Bollard",
        (
            PointSpec("state", enum("up", "down", "moving"), Access.BOTH),
            PointSpec("locked", BOOLEAN, Access.BOTH),
        ),
    ),
    Kind(
        "bus",
        "Bus",
        (
            PointSpec("position", POSITION),
            PointSpec("delay", number("s")),
            PointSpec("line", TEXT),
        ),
    ),
    Kind(
        "signal_junction",
        "Junction",
        (
            PointSpec(
                "priority",
                reference(""),
                Access.BOTH,
                statuses=("received", "queued", "activated", "completed"),
            ),
            PointSpec("position", POSITION, Access.FIXED),
        ),
    ),
)

ENTITIES = (
    EntitySpec("lamp-1", "lamp", "Lamp 1", {"cabinet": "C1"}, zone="centre"),
    EntitySpec("lamp-2", "lamp", "Lamp 2", {"cabinet": "C1"}, zone="centre"),
    EntitySpec("lamp-3", "lamp", "Lamp 3", {"cabinet": "C2"}, zone="north"),
    EntitySpec("B1", "bollard", "Rue Musette"),
    EntitySpec("bus-7", "bus", "Bus 7"),
    EntitySpec("bus-9", "bus", "Bus 9"),
    EntitySpec("J-12", "signal_junction", "Darcy", {"position": Position(47.32, 5.03)}),
)


@pytest.fixture(scope="session")
def city() -> FixedSite:
    return FixedSite(KINDS, ENTITIES)


Settings = Callable[..., ConnectionSettings]


@pytest.fixture(scope="session")
def make_settings() -> Settings:
    """Return settings with these options, at line 4 of config.yaml."""

    def make(**options: Any) -> ConnectionSettings:
        return ConnectionSettings(
            "street", "mqtt", {"host": "127.0.0.1", **options}, "config.yaml:4:3"
        )

    return make


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A broker process that a test may kill, freeze and start again on the same port."""

    def __init__(self, folder: Path, extra: str = "", *, anonymous: bool = True) -> None:
        self.port = free_port()
        self._config = folder / f"mosquitto-{self.port}.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous {str(anonymous).lower()}\n"
            # Started by root it would become another user, who cannot read the test's files.
            f"{'user root' if os.geteuid() == 0 else ''}\n"
            f"persistence false\nmax_queued_messages 100000\nlog_type error\n{extra}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if binary is None:
            pytest.fail("install mosquitto: apt-get install -y mosquitto")
        self._process = subprocess.Popen(
            [binary, "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        pytest.fail(f"mosquitto does not start with {self._config.read_text()}")

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None


MakeBroker = Callable[..., Mosquitto]


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[MakeBroker]:
    """Return a maker of brokers that end with the test."""
    brokers: list[Mosquitto] = []

    def make(extra: str = "", *, anonymous: bool = True) -> Mosquitto:
        broker = Mosquitto(tmp_path, extra, anonymous=anonymous)
        broker.start()
        brokers.append(broker)
        return broker

    yield make
    for broker in brokers:
        broker.stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A broker for all tests of a module; each test has topics of its own."""
    made = Mosquitto(tmp_path_factory.mktemp("broker"))
    made.start()
    yield made
    made.stop()


class Device:
    """Equipment as the broker sees it: an ordinary client with a thread of its own."""

    def __init__(self, port: int, *topics: str) -> None:
        self.heard: list[paho.MQTTMessage] = []
        self._topics = topics
        self._ready: asyncio.Event = asyncio.Event()
        self._news: asyncio.Event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._port = port
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: self._tell(self._ready)
        self._client.on_message = self._hear

    async def __aenter__(self) -> Device:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        async with asyncio.timeout(5):
            await self._ready.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribe(self, *_: Any) -> None:
        self._client.subscribe([(topic, 1) for topic in self._topics or ("nothing",)])

    def _hear(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        self.heard.append(message)
        self._tell(self._news)

    def _tell(self, event: asyncio.Event) -> None:
        self._loop.call_soon_threadsafe(event.set)

    def say(
        self, topic: str, payload: str | bytes, qos: int = 1, *, retain: bool = False
    ) -> paho.MQTTMessageInfo:
        return self._client.publish(topic, payload, qos, retain)

    async def hears(self, count: int = 1, timeout_s: float = 5.0) -> list[paho.MQTTMessage]:
        """Return what was heard, when it is at least so much."""
        async with asyncio.timeout(timeout_s):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()
        return self.heard


@pytest.fixture(scope="session")
def device() -> type[Device]:
    return Device


@pytest.fixture
def door() -> RecordingDoor:
    return RecordingDoor()


Run = Callable[[Coroutine[Any, Any, None]], None]

LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture(params=sorted(LOOPS))
def run(request: pytest.FixtureRequest) -> Run:
    """Return what runs a test's coroutine, once on each event loop."""

    def run_it(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(scenario)

    return run_it
