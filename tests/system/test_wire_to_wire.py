"""From a reading on a real MQTT broker to a lamp that has verifiably changed, and whatever may go wrong on the way."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from pilotage import api
from pilotage.model.messages import Followed

CONFIG = """\
site: {{name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04], country: FR}}
inventory: [streets.yaml]
connections:
  field:
    adapter: mqtt
    host: 127.0.0.1
    port: {port}
    max_payload: 1024
    points:
      - kind: test_street
        read:
          - {{topic: "street/{{id}}/flow", point: flow, path: $.flow, time: $.ts}}
          - {{topic: "lamp/{{id}}/state", point: level, path: $.level}}
        write:
          topic: lamp/{{id}}/set
          point: level
          payload: {{level: "{{value}}", id: "{{command}}"}}
"""

BAD_RULE = "\n  broken:\n    title: Broken\n    owner: lighting\n    while: trafic <\n"

RAISING_PLUGIN = """
from pilotage.hookspecs import hookimpl


class Adapter:
    def __init__(self, door):
        self.door = door

    async def run(self):
        self.door.connected("for a moment")
        raise ZeroDivisionError("the vendor's mistake")

    async def send(self, order):
        raise RuntimeError("never")

    def targets(self):
        return [], []


class Factory:
    name = "clumsy"

    def check(self, settings, site):
        return []

    def open(self, settings, site, door):
        return Adapter(door)


@hookimpl
def pilotage_adapters():
    return [Factory()]
"""


class Field:
    """A broker, and beyond it a street's sensors and its lamps: ordinary MQTT clients."""

    def __init__(self, folder: Path) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        binary = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if binary is None:
            pytest.fail("install mosquitto: apt-get install -y mosquitto")
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\n"
        )
        self._broker = subprocess.Popen([binary, "-c", str(config)], stderr=subprocess.DEVNULL)
        self.told: list[tuple[str, float]] = []
        self.deaf: set[str] = set()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "field")
        self._client.on_connect = self._subscribe
        self._client.on_message = self._obey
        self._client.reconnect_delay_set(1, 1)
        self._connect()
        self._client.loop_start()

    def _connect(self) -> None:
        end = time.monotonic() + 10
        while True:
            try:
                self._client.connect("127.0.0.1", self.port)
            except OSError:
                assert time.monotonic() < end, "mosquitto does not start"
                time.sleep(0.02)
            else:
                return

    def _subscribe(self, *_: Any) -> None:
        self._client.subscribe("lamp/+/set", 1)

    def _obey(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        lamp, level = message.topic.split("/")[1], json.loads(message.payload)["level"]
        self.told.append((lamp, level))
        if lamp not in self.deaf:
            self.say(f"lamp/{lamp}/state", json.dumps({"level": level}), retain=True)

    def say(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain)

    def flow(self, street: str, flow: Any, ahead_s: float = 0.0) -> None:
        self.say(f"street/{street}/flow", json.dumps({"flow": flow, "ts": time.time() + ahead_s}))

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._broker.kill()
        self._broker.wait()


@pytest.fixture
def field(city: Any, tmp_path: Path) -> Iterator[Field]:
    """The city's connection is an MQTT broker, with its streets behind it."""
    made = Field(tmp_path)
    (city.folder / "config.yaml").write_text(CONFIG.format(port=made.port))
    yield made
    made.stop()


Loops = pytest.mark.parametrize("loop", ["--no-uvloop", "--uvloop"])


def start(city: Any, *options: str) -> None:
    """Start the engine and wait until it has subscribed."""

    def is_up() -> bool:
        connections = city.ask(api.GetStatus()).connections
        return any(c.name == "field" and c.state == "up" for c in connections)

    city.start(*options)
    city.until(is_up, "the connection does not come up")


def level(city: Any, street: str) -> api.PointDetail:
    detail: api.PointDetail = city.ask(api.GetPoint(point=f"{street}.level"))
    return detail


def counter(city: Any, name: str) -> int:
    return int(city.ask(api.GetHealth()).counters.get(name, 0))


def verified(city: Any) -> list[str]:
    """Return the points that were commanded and have been read back, in order."""
    decisions = city.ask(api.ListDecisions()).decisions
    return [
        event["point"]
        for decision in decisions
        for event in decision["events"]
        if event["event"] == Followed.__name__ and event["outcome"] == "done"
    ]


def dim(city: Any, field: Field, street: str = "s-1") -> None:
    field.flow(street, 41)
    city.until(lambda: level(city, street).point.value == 30.0, f"{street} was not dimmed")


@Loops
class TestDay:
    def test_reading_to_verified_command(self, city: Any, field: Field, loop: str) -> None:
        """A count on the wire dims the lamp on the wire, which is read back; a busy street stays lit."""
        start(city, loop)
        field.flow("s-2", 500)
        dim(city, field)
        assert field.told == [("s-1", 30.0)]
        city.until(lambda: verified(city) == ["s-1.level"], "the command was not verified")
        city.stop()

    def test_override(self, city: Any, field: Field, loop: str) -> None:
        """A person's order from the command line wins over the rule until it is given back."""
        start(city, loop)
        dim(city, field)
        done = city.run("override", "s-1.level", "80 %", "--for", "2h", "--reason", "works")
        assert (done.returncode, done.stderr) == (0, "")
        city.until(lambda: level(city, "s-1").point.value == 80.0, "the lamp was not told")
        explained = city.run("explain", "s-1.level").stdout
        assert "works" in explained
        assert "dim-quiet-streets" in explained
        assert city.run("release", "s-1.level").returncode == 0
        city.until(lambda: level(city, "s-1").point.value == 30.0, "the rule did not take over")

    def test_broken_rules(self, city: Any, field: Field, loop: str) -> None:
        """A reload with a mistake shows its place and keeps the old rules, which go on acting."""
        start(city, loop)
        dim(city, field)
        rules = city.folder / "rules" / "lighting.yaml"
        good = rules.read_text()
        rules.write_text(good + BAD_RULE)
        refused = city.run("reload")
        assert refused.returncode == 1
        assert "rules/lighting.yaml:11:3: " in refused.stdout
        assert "the old rules go on" in refused.stdout
        dim(city, field, "s-2")
        rules.write_text(good)
        assert city.run("reload").returncode == 0
        assert field.told == [("s-1", 30.0), ("s-2", 30.0)]

    def test_kill(self, city: Any, field: Field, loop: str) -> None:
        """After kill -9 and a start the rules go on: no lamp that already obeys is told again, then the light returns."""
        start(city, loop)
        dim(city, field)
        city.until(lambda: verified(city) == ["s-1.level"], "that it obeys is not on disk")
        city.kill()
        start(city, loop)
        field.flow("s-1", 41)
        city.until(lambda: level(city, "s-1").winner == "dim-quiet-streets", "no rule holds")
        assert field.told == [("s-1", 30.0)]
        field.flow("s-1", 200)
        city.until(lambda: level(city, "s-1").point.value == 100.0, "the light did not return")
        dim(city, field)
        city.stop()

    def test_deaf_lamp(self, city: Any, field: Field, loop: str) -> None:
        """A lamp that hears and does not follow is told three times, then there is one alarm."""
        field.deaf.add("s-1")
        start(city, loop, "--speed", "20")
        field.say("street/s-1/flow", json.dumps({"flow": 41, "ts": time.time()}))
        city.until(lambda: len(city.ask(api.ListAlarms())) == 1, "no alarm", 20)
        assert field.told == [("s-1", 30.0)] * 3
        (alarm,) = city.ask(api.ListAlarms())
        assert alarm.text == (
            "nobody knows whether s-1.level does what it was told (30 %, 3 times): it says unknown;"
            " read it back, or go and look"
        )


# The log says a second thing of a point within a minute only in the counters, so each here has a point of its own.
GARBAGE: list[tuple[str, Callable[[Field], None], str, str]] = [
    (
        "malformed",
        lambda field: field.say("street/s-1/flow", b'{"flow": 41, \xff'),
        "refused.field",
        "s-1.flow",
    ),
    (
        "oversized",
        lambda field: field.say("street/s-2/flow", b"4" * 10_000),
        "refused.field",
        "10000 bytes are more than max_payload",
    ),
    ("without value", lambda field: field.say("street/s-1/flow", "{}"), "refused.field", "s-1"),
    ("mistyped", lambda field: field.flow("s-1", "many"), "bad.field", "s-1.flow says 'many'"),
    ("out of range", lambda field: field.flow("s-2", 1e6), "bad.field", "s-2.flow says 1000000.0"),
    (
        "from the future",
        lambda field: field.flow("s-1", 41, ahead_s=7200),
        "refused.field",
        "s-1.flow was refused: source time is 7",
    ),
    (
        "of a stranger",
        lambda field: field.flow("s-99", 41),
        "refused.field",
        "street/s-99/flow",
    ),
]


@Loops
def test_bad_readings(city: Any, field: Field, loop: str) -> None:
    """Whatever comes over the wire is refused or marked bad, counted, and named in the log; the service lives on."""
    start(city, loop)
    dim(city, field)
    for name, say, count, _ in GARBAGE:
        before = counter(city, count)
        say(field)
        city.until(lambda: counter(city, count) > before, f"{name} was not counted")  # noqa: B023
    for _ in range(300):
        field.flow("s-1", "many")
    city.until(lambda: counter(city, "bad.field") >= 302, "the flood was not counted")
    dim(city, field)
    dim(city, field, "s-2")
    assert city.ask(api.GetHealth()).sound
    log = city.stop()
    for name, _, _, text in GARBAGE:
        assert text in log, name
    assert "Traceback" not in log
    assert len([line for line in log.splitlines() if "s-1.flow says 'many'" in line]) == 1


@Loops
def test_raising_plugin(city: Any, field: Field, loop: str) -> None:
    """A plugin whose adapter raises, and one that cannot be loaded, are named; the other connection goes on."""
    _install(city.folder / "site", "clumsy", RAISING_PLUGIN)
    _install(city.folder / "site", "broken", "raise ImportError('no such vendor library')")
    config = city.folder / "config.yaml"
    config.write_text(config.read_text() + "  vendor: {adapter: clumsy}\n")
    start(city, loop)
    dim(city, field)
    city.until(lambda: counter(city, "faults.vendor") > 1, "it was not tried again")
    states = {c.name: c.state for c in city.ask(api.GetStatus()).connections}
    assert states["field"] == "up"
    findings = {f.code: f.text for f in city.ask(api.GetHealth()).findings}
    assert "ZeroDivisionError: the vendor's mistake" in findings["connection.vendor"]
    log = city.stop()
    assert "plugin broken was left out" in log
    assert "no such vendor library" in log


def _install(site: Path, name: str, text: str) -> None:
    """Install a vendor's plugin as pip does."""
    package = site / f"pilotage_{name}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(text)
    info = site / f"pilotage_{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pilotage-{name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[pilotage]\n{name} = pilotage_{name}.plugin\n")
