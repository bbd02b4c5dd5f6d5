"""Our adapters keep the contract that every vendor's must keep, against real servers, ours and others', in other processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socket import socket
from typing import Any, Final

import pytest

from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.values import number
from pilotage.testing.contract import AdapterContract, Bench
from pilotage.testing.peers import LinePeer, free_port
from pilotage_http.plugin import HttpFactory
from pilotage_modbus.plugin import ModbusFactory
from pilotage_mqtt.plugin import MqttFactory
from pilotage_opcua.plugin import OpcUaFactory

PEERS: Final = Path(__file__).parents[1] / "peers"
KILLS: Final = int(os.environ.get("KILLS", "3"))
"""How often the equipment dies beneath an engine; `make faults` asks for ten."""
LEVEL: Final = PointSpec("level", number("%"), Access.BOTH, low=0.0, high=100.0)
LAMPS: Final[dict[str, Any]] = {
    "kinds": (Kind("lamp", "Light point", (LEVEL,)),),
    "entities": (EntitySpec("lamp-1", "lamp", "Lamp 1"),),
    "point": "lamp-1.level",
    "values": (30.0, 55.0, 80.0),
    "kills": KILLS,
}
MODBUS_POINTS: Final = {
    "entity": "lamp-1", "unit_id": 1, "points": {"level": {"holding": 40}}
}  # fmt: skip


def python(name: str, *arguments: object) -> LinePeer:
    """Return a peer that is one of our scripts."""
    words = [sys.executable, "-W", "ignore", str(PEERS / name), *map(str, arguments)]
    return LinePeer(words)


def node(name: str, *arguments: object) -> LinePeer:
    """Return a peer that is a script of node, on libraries that nobody here wrote; `make peers` installs them."""
    binary = shutil.which("node")
    if binary is None or not (PEERS / "node_modules" / ".package-lock.json").is_file():
        pytest.skip("node and its libraries are not here: make peers")
    return LinePeer([binary, str(PEERS / name), *map(str, arguments)])


class BrokeredLamp(LinePeer):
    """A lamp and its broker, Mosquitto; both die together."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        super().__init__(python("mqtt_lamp.py", self.port).command)
        self._config = folder / "mosquitto.conf"
        as_root = "user root\n" if os.geteuid() == 0 else ""
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n{as_root}"
            "persistence false\nlog_type error\n"
        )
        self._broker: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._broker is None:
            self._start_broker()
        super().start()

    def _start_broker(self) -> None:
        binary = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if binary is None:
            pytest.fail("install mosquitto: apt-get install -y mosquitto")
        self._broker = subprocess.Popen(
            [binary, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 10
        while not self._listens():
            assert time.monotonic() < end, "mosquitto does not start"
            time.sleep(0.01)

    def kill(self) -> None:
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.kill()
            broker.wait()
        super().kill()

    def _listens(self) -> bool:
        with closing(socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


Serving = tuple[LinePeer, int]
"""Equipment and its port. It serves all tests of its class, since a test takes less time than a start; some kill it."""


def mqtt(peer: LinePeer, port: int) -> Bench:
    """Return an MQTT connection."""
    topic = "city/lamp/{id}"
    points = {
        "kind": "lamp",
        "read": {
            "topic": f"{topic}/state", "point": "level", "path": "$.level",
            "quality": "$.quality", "time": "$.ts",
        },
        "write": {"topic": f"{topic}/set", "point": "level", "payload": {"level": "{value}"}},
    }  # fmt: skip
    options: dict[str, Any] = {"host": "127.0.0.1", "port": port, "points": points}
    return Bench(MqttFactory(), options, peer=peer, **LAMPS)


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    peer = BrokeredLamp(tmp_path_factory.mktemp("mosquitto"))
    yield peer, peer.port
    peer.kill()


class TestMqttOnMosquitto(AdapterContract):
    """MQTT 5 on Mosquitto, with a lamp that is an ordinary client."""

    keeps_peer = True

    @pytest.fixture
    def bench(self, mosquitto: Serving) -> Bench:
        return mqtt(*mosquitto)


def serving(name: str) -> Iterator[Serving]:
    """Give a script of ours that serves on a port, and end it."""
    port = free_port()
    peer = python(name, port)
    yield peer, port
    peer.kill()


@pytest.fixture(scope="module")
def http_server() -> Iterator[Serving]:
    yield from serving("http_lamp.py")


class TestHttpOnTheStandardLibrary(AdapterContract):
    """HTTP polls and orders against http.server."""

    keeps_peer = True

    @pytest.fixture
    def bench(self, http_server: Serving) -> Bench:
        peer, port = http_server
        lamp = {"at": "/lamps/{id}", "point": "level"}
        options = {
            "servers": {
                "street": {"url": f"http://127.0.0.1:{port}", "plain": True, "private": True}
            },
            "points": {
                "kind": "lamp",
                "poll": {**lamp, "path": "$.level", "quality": "$.quality", "every": 0.1},
                "write": {**lamp, "payload": {"level": "{value}"}},
            },
        }
        return Bench(HttpFactory(), options, peer=peer, **LAMPS)


def modbus(peer: LinePeer, port: int) -> Bench:
    """Return a Modbus connection that polls quickly."""
    options = {
        "host": "127.0.0.1", "port": port, "poll": 0.05, "timeout": 0.5, "longest_pause": 0.5,
        "points": MODBUS_POINTS,
    }  # fmt: skip
    return Bench(ModbusFactory(), options, peer=peer, **LAMPS)


@pytest.fixture(scope="module")
def pymodbus() -> Iterator[Serving]:
    yield from serving("modbus_lamp.py")


@pytest.fixture(scope="module")
def modbus_serial() -> Iterator[Serving]:
    port = free_port()
    peer = node("modbus_lamp.js", port)
    yield peer, port
    peer.kill()


class TestModbusOnPymodbus(AdapterContract):
    """Modbus/TCP against pymodbus."""

    keeps_peer = True

    @pytest.fixture
    def bench(self, pymodbus: Serving) -> Bench:
        return modbus(*pymodbus)


class TestModbusOnModbusSerial(AdapterContract):
    """Modbus/TCP against the npm package modbus-serial."""

    keeps_peer = True

    @pytest.fixture
    def bench(self, modbus_serial: Serving) -> Bench:
        return modbus(*modbus_serial)


def opcua(peer: LinePeer, port: int, address: str) -> Bench:
    """Return an OPC UA connection without security."""
    options = {
        "url": f"opc.tcp://127.0.0.1:{port}", "security": "none", "publishing": 0.05,
        "points": {
            "kind": "lamp",
            "read": {"point": "level", "node": address},
            "write": {"point": "level", "node": address},
        },
    }  # fmt: skip
    return Bench(OpcUaFactory(), options, peer=peer, patience_s=20.0, **LAMPS)


@pytest.fixture(scope="module")
def asyncua() -> Iterator[Serving]:
    yield from serving("opcua_lamp.py")


@pytest.fixture(scope="module")
def node_opcua(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    port = free_port()
    peer = node("opcua_lamp.js", port, tmp_path_factory.mktemp("node-opcua"))
    yield peer, port
    peer.kill()


class TestOpcUaOnAsyncua(AdapterContract):
    """OPC UA against asyncua."""

    keeps_peer = True

    @pytest.fixture
    def bench(self, asyncua: Serving) -> Bench:
        return opcua(*asyncua, "ns=2;s={id}.level")


class TestOpcUaOnNodeOpcua(AdapterContract):
    """OPC UA against the npm package node-opcua."""

    keeps_peer = True

    @pytest.fixture
    def bench(self, node_opcua: Serving) -> Bench:
        return opcua(*node_opcua, "ns=1;s={id}.level")
