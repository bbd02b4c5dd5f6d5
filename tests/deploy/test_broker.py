"""The example for Mosquitto: its certificates made with the documented commands, its access list tried with a real broker."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "deploy" / "mosquitto"
HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker with the example's files."""

    port: int
    pki: Path

    def client(self, name: str) -> Client:
        """Return a client with the certificate of a device."""
        return Client(self, name)


class Client:
    """A device as the broker sees it; it counts what reaches it."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.heard: list[tuple[str, str]] = []
        self.subscribed: list[int] = []
        self._news = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.tls_set(
            str(broker.pki / "ca.crt"),
            str(broker.pki / f"{name}.crt"),
            str(broker.pki / f"{name}.key"),
        )
        self._client.on_message = self._hear
        self._client.on_subscribe = self._granted
        self._client.connect(HOST, broker.port)
        self._client.loop_start()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        with self._news:
            self.heard.append((message.topic, message.payload.decode()))
            self._news.notify_all()

    def _granted(self, _client: Any, _data: Any, _mid: int, codes: Any, _properties: Any) -> None:
        with self._news:
            self.subscribed += [code.value for code in codes]
            self._news.notify_all()

    def listen(self, *topics: str) -> list[int]:
        """Subscribe and return the broker's answers."""
        with self._news:
            self._client.subscribe([(topic, 1) for topic in topics])
            assert self._news.wait_for(lambda: len(self.subscribed) >= len(topics), 5)
        return self.subscribed

    def say(self, topic: str, text: str) -> None:
        """Publish, and wait until the broker has answered."""
        self._client.publish(topic, text, qos=1).wait_for_publish(5)

    def hears(self, *texts: str) -> list[tuple[str, str]]:
        """Return everything that came until the last of some texts did."""
        with self._news:
            assert self._news.wait_for(lambda: texts[-1] in [text for _, text in self.heard], 5)
        return self.heard


def documented_commands() -> str:
    """Return the commands of the manual that make the certificates."""
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- broker-test -->\n```sh\n(.*?)```", page, re.S)
    return str(block).replace("broker.city.example", HOST)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Make the files as the manual says, and start Mosquitto with them."""
    folder = tmp_path_factory.mktemp("broker")
    (folder / "deploy").symlink_to(ROOT / "deploy")
    # The revoked one's files are kept aside: a thief has them.
    keep = "cp pki/stolen.crt thief.crt; cp pki/stolen.key thief.key\n"
    commands = documented_commands().replace(
        "deploy/mosquitto/pki.sh pki revoke", f"{keep}deploy/mosquitto/pki.sh pki revoke"
    )
    subprocess.run(["sh", "-ec", commands], cwd=folder, check=True, capture_output=True)
    (folder / "thief.crt").rename(folder / "pki" / "thief.crt")
    (folder / "thief.key").rename(folder / "pki" / "thief.key")
    shutil.copy(EXAMPLE / "access.acl", folder / "pki")
    for kind in ("crt", "key"):
        shutil.copy(folder / "pki" / f"{HOST}.{kind}", folder / "pki" / f"broker.{kind}")
    port = free_port()
    process = start(folder, port)
    yield Broker(port, folder / "pki")
    process.kill()
    process.wait()


def free_port() -> int:
    """Return a port that nobody uses now."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start Mosquitto with the example's settings, at other places."""
    text = (EXAMPLE / "city.conf").read_text(encoding="utf-8")
    text = text.replace("/etc/mosquitto/city", str(folder / "pki"))
    text = text.replace("listener 8883", f"listener {port} {HOST}")
    # Started by root it would become another user, who cannot read the test's files.
    as_root = "user root\n" if os.geteuid() == 0 else ""
    (folder / "city.conf").write_text(f"{as_root}persistence_location {folder}/\n{text}")
    binary = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert binary, "install mosquitto: apt-get install -y mosquitto"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary, "-c", str(folder / "city.conf")], stderr=log)
    for _ in range(500):
        with closing(socket.socket()) as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return process
        assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.01)
    raise AssertionError((folder / "log").read_text())


class TestAccess:
    def test_a_device_and_the_engine(self, broker: Broker) -> None:
        """States go out, orders come in, and each goes where it belongs."""
        with broker.client("pilotage") as engine, broker.client("lamp-1") as lamp:
            engine.listen("city/+/state/#")
            lamp.listen("city/lamp-1/set/#")

            lamp.say("city/lamp-1/state/level", "80")
            engine.say("city/lamp-1/set/level", "30")

            assert ("city/lamp-1/state/level", "80") in engine.hears("80")
            assert lamp.hears("30") == [("city/lamp-1/set/level", "30")]

    def test_it_cannot_speak_for_another(self, broker: Broker) -> None:
        """What a lamp says in another's name reaches nobody; neither does an order that it makes up."""
        with (
            broker.client("pilotage") as engine,
            broker.client("lamp-1") as lamp,
            broker.client("lamp-2") as other,
        ):
            engine.listen("city/+/state/#")
            other.listen("city/lamp-2/set/#")
            lamp.say("city/lamp-2/state/level", "forged")
            lamp.say("city/lamp-2/set/level", "forged order")
            lamp.say("city/lamp-1/set/level", "order to itself")
            lamp.say("pilotage/alive", "forged heartbeat")
            # What was let through would have come before these.
            lamp.say("city/lamp-1/state/level", "own")
            engine.say("city/lamp-2/set/level", "true order")

            heard = engine.hears("own") + other.hears("true order")

        assert [text for _, text in heard if "forged" in text] == []

    @pytest.mark.parametrize(
        "topic", ["city/lamp-2/set/#", "city/+/state/#", "city/lamp-2/state/#", "#", "$SYS/#"]
    )
    def test_it_cannot_listen_to_others(self, broker: Broker, topic: str) -> None:
        """Whatever it asks for, it hears its own orders and nothing else."""
        with (
            broker.client("pilotage") as engine,
            broker.client("lamp-1") as lamp,
            broker.client("lamp-2") as other,
        ):
            lamp.listen(topic, "city/lamp-1/set/#")
            other.say("city/lamp-2/state/level", "not for you")
            engine.say("city/lamp-2/set/level", "not for you either")
            engine.say("city/lamp-1/set/level", "for you")

            assert {topic for topic, _ in lamp.hears("for you")} == {"city/lamp-1/set/level"}

    def test_who_lives_may_be_known(self, broker: Broker) -> None:
        """The heartbeat of the engine is for all devices."""
        with broker.client("pilotage") as engine, broker.client("lamp-1") as lamp:
            lamp.listen("pilotage/#")
            engine.say("pilotage/alive", "beat")
            assert lamp.hears("beat")


class TestDoor:
    def test_a_revoked_certificate(self, broker: Broker) -> None:
        """A device that was stolen stays outside."""
        assert not lets_in(broker, "thief")
        assert lets_in(broker, "lamp-2")

    def test_without_a_certificate(self, broker: Broker) -> None:
        """TLS alone is not enough."""
        assert not lets_in(broker, "")

    def test_in_the_open(self, broker: Broker) -> None:
        """There is no way in without TLS."""
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        with pytest.raises((OSError, ValueError)):
            client.connect(HOST, broker.port)
            for _ in range(50):
                if client.loop(0.1) != paho.MQTT_ERR_SUCCESS:
                    raise ConnectionError
                assert not client.is_connected()
            raise ConnectionError

    def test_a_certificate_of_nobody(self, broker: Broker, tmp_path: Path) -> None:
        """An authority of one's own opens nothing."""
        script = str(EXAMPLE / "pki.sh")
        subprocess.run([script, str(tmp_path), "ca", "Mallory"], check=True, capture_output=True)
        subprocess.run(
            [script, str(tmp_path), "client", "pilotage"], check=True, capture_output=True
        )
        shutil.copy(tmp_path / "pilotage.crt", broker.pki / "mallory.crt")
        shutil.copy(tmp_path / "pilotage.key", broker.pki / "mallory.key")
        assert not lets_in(broker, "mallory")


def lets_in(broker: Broker, name: str) -> bool:
    """Return whether the broker answers a CONNECT over TLS with these files."""
    context = ssl.create_default_context(cafile=str(broker.pki / "ca.crt"))
    if name:
        context.load_cert_chain(broker.pki / f"{name}.crt", broker.pki / f"{name}.key")
    connect = bytes.fromhex("101000044d5154540502003c000003") + b"abc"
    try:
        with (
            socket.create_connection((HOST, broker.port), 5) as raw,
            context.wrap_socket(raw, server_hostname=HOST) as line,
        ):
            line.settimeout(5)
            line.sendall(connect)
            return line.recv(1) == b"\x20"  # CONNACK
    except (OSError, ssl.SSLError):
        return False


class TestKeys:
    @pytest.mark.parametrize("name", ["lamp/1", "+", "#", "a b", ""])
    def test_a_name_that_would_open_topics(self, tmp_path: Path, name: str) -> None:
        """A name is a part of topics: a wildcard or a slash in it is refused."""
        script = str(EXAMPLE / "pki.sh")
        subprocess.run([script, str(tmp_path), "ca", "Test"], check=True, capture_output=True)

        done = subprocess.run(
            [script, str(tmp_path), "client", name], capture_output=True, text=True, check=False
        )

        assert done.returncode == 1
        assert "is no name: letters, digits" in done.stderr

    def test_keys_are_closed(self, broker: Broker) -> None:
        """Every key that the script makes can be read by its owner alone."""
        keys = list(broker.pki.glob("*.key"))
        assert len(keys) >= 5
        assert {key.stat().st_mode & 0o077 for key in keys if key.name != "mallory.key"} == {0}
