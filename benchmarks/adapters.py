"""Three protocols at once into one engine on one core, for minutes: does it keep up, and does its lag grow?

`python -m benchmarks.adapters --seconds 120`; needs Mosquitto and two cores. The engine is the ordinary service with its
journal, pinned to one core; broker and devices have the other. Beside the load, one canary per protocol changes every four
seconds, a rule answers it with a command over MQTT, and the time from the change to the command is the lag: for Modbus with
its poll, for OPC UA with its publishing interval, as a city would see it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
import psutil  # type: ignore[import-untyped]
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.adapters_peers import PERIOD_S, canary
from pilotage import api

PROTOCOLS: Final = ("mqtt", "modbus", "opcua")
UNITS: Final = 20
WARM_UP_S: Final = 12.0
"""At most; a short run warms up for as long as half of it."""

CONFIG: Final = """\
site: {{name: bench, time_zone: Europe/Paris, position: [47.32, 5.04]}}
rules: [rules.yaml]
inventory: [inventory.json.yaml]
storage: {{path: var}}
control: {{socket: var/control.sock}}
log: {{level: warning}}
connections:
  sensors:
    adapter: mqtt
    host: 127.0.0.1
    port: {mqtt}
    points:
      - kind: detector
        zone: mqtt
        read: {{topic: "bench/{{id}}", point: flow, path: $.v, time: $.t}}
      - kind: lamp
        read: {{topic: "lamp/{{id}}/state", point: level}}
        write: {{topic: "lamp/{{id}}/set", point: level, qos: 0}}
      - entity: lamp_mqtt
        read: {{topic: "bench/canary", point: power, path: $.v, time: $.t}}
  controllers:
    adapter: opcua
    url: opc.tcp://127.0.0.1:{opcua}
    security: none
    publishing: 0.5
    points:
      - kind: detector
        zone: opcua
        read: {{point: flow, node: "ns=2;s={{id}}"}}
      - entity: lamp_opcua
        read: {{point: power, node: "ns=2;s=canary"}}
{modbus}"""

DEVICE: Final = """\
  device-{unit}:
    adapter: modbus
    host: 127.0.0.1
    port: {port}
    poll: 1 s
    points:
      - kind: detector
        zone: modbus-{unit}
        unit_id: {unit}
        base: {base}
        points: {{flow: {{holding: 0}}}}
"""

CANARY: Final = """\
      - entity: lamp_modbus
        unit_id: 1
        points: {{power: {{holding: {address}}}}}
"""


def rules() -> str:
    """Return a rule per protocol: its canary, and the lamp that answers."""
    lines = ["version: 1", "rules:"]
    for protocol in PROTOCOLS:
        lines += [
            f"  answer-{protocol}:",
            "    title: A canary is answered",
            "    owner: bench",
            "    for_each:",
            f'      lamp: {{kind: lamp, where: lamp.id == "lamp_{protocol}"}}',
            "    while: lamp.power > 500 W",
            "    hold:",
            "      - {set: lamp.level, to: 30 %, priority: saving}",
        ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Load:
    """How much of what."""

    modbus: int = 2_000
    opcua: int = 5_000
    opcua_every_s: float = 5.0
    mqtt: int = 5_000


@dataclass(slots=True)
class Window:
    """What was seen in some seconds; lags in seconds, from a canary's change to its command."""

    at_s: float
    lags: dict[str, list[float]] = field(default_factory=lambda: {p: [] for p in PROTOCOLS})
    waiting: list[int] = field(default_factory=list)
    cpu: float = 0.0
    memory_mb: float = 0.0

    def row(self) -> str:
        """Return one line of the table."""
        lags = [
            f"{statistics.median(found) * 1000:8.0f} /{max(found) * 1000:6.0f}"
            if found
            else "       - /     -"
            for found in (self.lags[protocol] for protocol in PROTOCOLS)
        ]
        waiting = max(self.waiting, default=0)
        return (
            f"{self.at_s:6.0f} {' '.join(lags)} {waiting:8d} {self.cpu:6.0f} {self.memory_mb:8.0f}"
        )


HEAD: Final = (
    "    at   lag MQTT, ms      Modbus, ms       OPC UA, ms     waits  CPU, %  memory\n"
    "     s    p50 /   max      p50 /   max      p50 /   max   inputs              MB"
)


# ── the city ─────────────────────────────────────────────────────────────────────────────────


def write_city(folder: Path, ports: dict[str, int], load: Load) -> None:
    """Write configuration, inventory and rules."""
    each = load.modbus // UNITS
    entities: dict[str, Any] = {}

    def add(id_: str, zone: str) -> None:
        entities[id_] = {"kind": "detector", "zone": zone}

    devices = []
    for unit in range(1, UNITS + 1):
        ids = [f"mod-{unit}-{number}" for number in range(each)]
        base: dict[str, int] = {id_: number for number, id_ in enumerate(ids)}
        for id_ in base:
            add(id_, f"modbus-{unit}")
        devices.append(DEVICE.format(unit=unit, port=ports["modbus"], base=json.dumps(base)))
        if unit == 1:
            devices.append(CANARY.format(address=each))
    for number in range(load.opcua):
        add(f"opc-{number}", "opcua")
    for number in range(5_000):
        add(f"mqtt-{number}", "mqtt")
    for protocol in PROTOCOLS:
        entities[f"lamp_{protocol}"] = {"kind": "lamp"}
    config = CONFIG.format(mqtt=ports["mqtt"], opcua=ports["opcua"], modbus="".join(devices))
    (folder / "config.yaml").write_text(config)
    (folder / "inventory.json.yaml").write_text(json.dumps(entities, indent=0))
    (folder / "rules.yaml").write_text(rules())


# ── processes ────────────────────────────────────────────────────────────────────────────────


def free_port() -> int:
    """Return a port of the loopback that nobody uses."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Part:
    """A process on one core, and what it said last."""

    def __init__(self, command: Sequence[str], core: int, folder: Path, name: str) -> None:
        self.said: dict[str, float] = {}
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )

    def until_ready(self) -> None:
        """Wait for the word, then listen to the figures."""
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            sys.exit(f"{self.process.args!r}: {self.log.read_text()[-2000:]}")
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            for item in line.split():
                name, _, value = item.partition("=")
                self.said[name] = float(value)

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def devices(
    folder: Path, ports: dict[str, int], load: Load, core: int
) -> Iterator[dict[str, Part]]:
    """Run broker and devices."""
    binary = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None:
        sys.exit("install mosquitto: apt-get install -y mosquitto")
    config = folder / "mosquitto.conf"
    user = "user root\n" if os.geteuid() == 0 else ""
    config.write_text(
        f"{user}listener {ports['mqtt']} 127.0.0.1\nallow_anonymous true\n"
        "max_queued_messages 100000\nset_tcp_nodelay true\nlog_type none\n"
    )
    parts = {"broker": Part([binary, "-c", str(config)], core, folder, "broker")}
    try:
        while socket.socket().connect_ex(("127.0.0.1", ports["mqtt"])):
            time.sleep(0.01)
        counts = {"modbus": load.modbus, "opcua": load.opcua, "mqtt": load.mqtt}
        for kind in ("opcua", "modbus", "mqtt"):
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.adapters_peers", kind]
            command += ["--port", str(ports[kind]), "--count", str(counts[kind])]
            command += ["--units", str(UNITS), "--every", str(load.opcua_every_s)]
            parts[kind] = Part(command, core, folder, kind)
            parts[kind].until_ready()
        yield parts
    finally:
        for part in parts.values():
            part.stop()


class Watch:
    """The lamps: they obey at once, and note when they were told."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, float]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "lamps")
        self._client.on_message = self._hear
        self._client.on_connect = self._subscribe
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _subscribe(self, *_: Any) -> None:
        self._client.subscribe("lamp/+/set", 0)

    def _hear(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        now, name = time.time(), message.topic.split("/")[1]
        self.heard.append((name.removeprefix("lamp_"), now))
        self._client.publish(f"lamp/{name}/state", message.payload)

    def take(self) -> list[tuple[str, float]]:
        """Return (protocol, lag in seconds) of what was heard since the last call."""
        heard, self.heard = self.heard, []
        return [(protocol, now % PERIOD_S) for protocol, now in heard]

    def stop(self) -> None:
        """End."""
        self._client.disconnect()
        self._client.loop_stop()


def measure(seconds: float, load: Load, engine_core: int, peer_core: int) -> dict[str, Any]:
    """Run it all and return what was seen."""
    ports = {kind: free_port() for kind in PROTOCOLS}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        write_city(folder, ports, load)
        with devices(folder, ports, load, peer_core) as parts:
            code = "import sys; from pilotage.cli import main; sys.exit(main())"
            command = [sys.executable, "-c", code, "run", "-c", str(folder / "config.yaml")]
            engine = Part(command, engine_core, folder, "engine")
            watch = Watch(ports["mqtt"])
            try:
                windows = _watch(engine, watch, folder / "var" / "control.sock", seconds)
            finally:
                watch.stop()
                engine.process.terminate()
                engine.process.wait(20)
            said = {kind: dict(part.said) for kind, part in parts.items()}
            logged = engine.log.read_text(errors="replace").splitlines()
    return {"windows": windows, "devices": said, "log": logged, "load": load}


def _watch(engine: Part, watch: Watch, control: Path, seconds: float) -> list[Window]:
    process = psutil.Process(engine.process.pid)
    limit = time.monotonic() + 120
    while True:
        with contextlib.suppress(api.ApiError), api.Client(control, 5.0) as client:
            if all(c.state == "up" for c in client.ask(api.GetStatus()).connections):
                break
        if engine.process.poll() is not None or time.monotonic() > limit:
            sys.exit(f"the engine does not come up: {engine.log.read_text()[-3000:]}")
        time.sleep(0.2)
    time.sleep(min(WARM_UP_S, seconds / 2))
    watch.take()
    process.cpu_percent()
    print(HEAD, flush=True)
    windows, begun = [], time.monotonic()
    with api.Client(control, 10.0) as client:
        while time.monotonic() - begun < seconds:
            window = Window(time.monotonic() - begun)
            end = time.monotonic() + 10.0
            while time.monotonic() < end:
                window.waiting.append(client.ask(api.GetStatus()).waiting)
                time.sleep(0.5)
            for protocol, lag_s in watch.take():
                window.lags[protocol].append(lag_s)
            window.cpu = process.cpu_percent()
            window.memory_mb = process.memory_info().rss / 1e6
            windows.append(window)
            print(window.row(), flush=True)
    return windows


def verdict(windows: Sequence[Window]) -> dict[str, tuple[float, float]]:
    """Return the median lag in the first and in the last third, for each protocol."""
    third = max(1, len(windows) // 3)
    found = {}
    for protocol in PROTOCOLS:
        first = [lag for window in windows[:third] for lag in window.lags[protocol]]
        last = [lag for window in windows[-third:] for lag in window.lags[protocol]]
        found[protocol] = (
            statistics.median(first) if first else float("nan"),
            statistics.median(last) if last else float("nan"),
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapters", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--modbus", type=int, default=2_000, help="registers, over 20 devices")
    parser.add_argument("--opcua", type=int, default=5_000, help="items")
    parser.add_argument("--opcua-every", type=float, default=5.0, help="seconds per change of each")
    parser.add_argument("--mqtt", type=int, default=5_000, help="messages a second")
    parser.add_argument("--engine-core", type=int, default=0)
    parser.add_argument("--peer-core", type=int, default=1)
    parser.add_argument(
        "--quick", action="store_true", help="ten seconds, and a fifth of the OPC UA items"
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args(argv)
    items = given.opcua // 5 if given.quick else given.opcua
    load = Load(given.modbus, items, given.opcua_every, given.mqtt)
    print(
        f"{load.modbus} registers of {UNITS} Modbus devices each second, {load.opcua} OPC UA items of which"
        f" {load.opcua / load.opcua_every_s:g} change a second, {load.mqtt} MQTT messages a second;"
        f" canaries change every {PERIOD_S:g} s, now {canary(time.time()):g}"
    )
    seconds = 10.0 if given.quick else given.seconds
    found = measure(seconds, load, given.engine_core, given.peer_core)
    windows = found["windows"]
    for protocol, (first, last) in verdict(windows).items():
        print(
            f"{protocol}: median lag {first * 1000:.0f} ms in the first third, {last * 1000:.0f} ms in the last"
        )
    print(f"the devices did: {found['devices']}")
    warned = [line for line in found["log"] if " INFO " not in line]
    print(
        f"the engine logged {len(warned)} warnings" + "".join(f"\n  {w[:200]}" for w in warned[:10])
    )
    if given.json is not None:
        figures = {**found, "windows": [asdict(window) for window in windows], "load": asdict(load)}
        given.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
