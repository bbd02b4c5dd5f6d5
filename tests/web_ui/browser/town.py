"""A town for the browser tests: a broker, an engine and its pages as processes of their own, and someone at the lamps."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from tests.faults.broker import Broker
from tests.faults.city import free_port, until

from pilotage import api

SOUTH, WEST = 47.30, 5.00
ROW: Final = 200
"""So many lamps stand in a row, one step apart."""
STEP: Final = 0.0006
APART: Final = f"0,{SOUTH - 0.004},{WEST - 0.004}"
"""The first lamp stands alone, so that its pixel is its own."""

CONFIG: Final = """\
site: {{name: Dijon métropole, time_zone: Europe/Paris, position: [47.322, 5.041], country: FR, language: {language}}}
inventory: [{{file: lamps.csv, kind: lamp, id: "L-{{number}}", name: "Rue {{number}}", zone: Dijon, values: {{position: ["{{lat}}", "{{lon}}"]}}}}, city.yaml]
storage: {{ballast: 0}}
web: {{listen: "127.0.0.1:{port}"{web}}}
connections:
  street:
    adapter: mqtt
    host: 127.0.0.1
    port: {broker}
    points:
      - kind: lamp
        read:
          - {{topic: "city/{{id}}/level", point: level, path: $.level}}
          - {{topic: "city/{{id}}/fail", point: lamp_fail, path: $.fail}}
        write:
          topic: city/{{id}}/level/set
          point: level
          payload: {{level: "{{value}}", id: "{{command}}", until: "{{deadline}}"}}
"""
CITY: Final = """\
J-1: {kind: signal_junction, name: Darcy nord, zone: Dijon, position: [47.3015, 5.003]}
CAB-1: {kind: cabinet, name: Armoire A-03, zone: Dijon, position: [47.3005, 5.002]}
bus-1: {kind: bus, name: Bus 1, zone: Dijon}
"""
RULES: Final = """\
version: 1
rules:
  lamps-that-burn:
    title: {en: Lamps that burn, fr: Lampes allumées}
    owner: lighting
    mode: shadow
    for_each: {lamp: {kind: lamp}}
    while: lamp.level > 50 %
    unless: [lamp.lamp_fail]
    hold: [{set: lamp.level, to: 40 %, priority: saving}]
alarms:
  broken-lamp:
    title: {en: Broken lamp, fr: Lampe en panne}
    owner: lighting
    severity: high
    for_each: {lamp: {kind: lamp}}
    raise_while: lamp.lamp_fail
plans:
  snow:
    title: {en: Snow plan, fr: Plan neige}
    owner: winter
    levels:
      - level: 1
        name: watch
        hold:
          - each: {lamp: {kind: lamp}}
            set: lamp.level
            to: 90 %
"""
_MAIN: Final = "import sys; from pilotage.cli import main; sys.exit(main())"


class Town:
    """The town; `start` brings it to life, `stop` ends it."""

    def __init__(
        self,
        folder: Path,
        lamps: int = 40,
        *,
        language: str = "fr",
        web: str = "",
        rules: str = RULES,
    ) -> None:
        """Write the town into an empty folder, and start its broker.

        Args:
            folder: With a short name, as a socket's path must be.
            lamps: So many lamps, `L-0` and up.
            language: Of who has not chosen one.
            web: Further settings of `web:`, after a comma.
            rules: The one rule file.
        """
        self.folder = folder
        self.socket = folder / "var" / "control.sock"
        self.log = folder / "engine.log"
        self.broker = Broker(folder)
        self.process: subprocess.Popen[bytes] | None = None
        self.token = secrets.token_urlsafe(12)
        (folder / "rules").mkdir()
        (folder / "rules" / "rules.yaml").write_text(rules)
        (folder / "city.yaml").write_text(CITY)
        rows = (
            f"{n},{SOUTH + n % ROW * STEP:.6f},{WEST + n // ROW * STEP:.6f}"
            for n in range(1, lamps)
        )
        (folder / "lamps.csv").write_text("\n".join(["number,lat,lon", APART, *rows]) + "\n")
        more = f", {web}" if web else ""
        (folder / "config.yaml").write_text(
            CONFIG.format(language=language, port=free_port(), web=more, broker=self.broker.port)
        )
        self._mqtt = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._mqtt.connect("127.0.0.1", self.broker.port)
        self._mqtt.loop_start()

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start the engine with its pages, and wait until both answer."""
        self.spawn()
        until(lambda: self._is_up(), f"the town does not start: {self.log.read_text()[-3000:]}")

    def spawn(self, *, keep_log: bool = False) -> None:
        """Start the engine with its pages."""
        environment = {**os.environ, "NO_COLOR": "1", "PILOTAGE_WEB_ENTER": self.token}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        with self.log.open("ab" if keep_log else "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, "run", "-c", str(self.folder / "config.yaml")],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(api.ApiError):
            up = {c.name for c in self.ask(api.GetStatus()).connections if c.state == "up"}
            return bool(self.url) and "street" in up
        return False

    def answers(self) -> bool:
        """True when the engine answers at its socket."""
        with contextlib.suppress(api.ApiError):
            return bool(self.ask(api.GetStatus()).pid)
        return False

    def stop(self) -> None:
        """End everything."""
        self._mqtt.loop_stop()
        self._mqtt.disconnect()
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):
            os.kill(self.web_pid, signal.SIGTERM)
        self.broker.stop()

    def kill_engine(self) -> None:
        """End the engine as a power failure would; its pages go on and say so."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    # ── where it is ──────────────────────────────────────────────────────────────────────────

    @property
    def url(self) -> str:
        """The address of the pages, empty until they listen."""
        found = re.findall(r"the pages are at (http://\S+)", self.log.read_text())
        return found[-1] if found else ""

    @property
    def enter(self) -> str:
        """The address that signs in, once."""
        return f"{self.url}/sign-in/link/{self.token}"

    @property
    def web_pid(self) -> int:
        """The number of the web process."""
        return int((self.folder / "var" / "web" / "web.pid").read_text())

    # ── what happens in it ───────────────────────────────────────────────────────────────────

    def ask(self, question: api.Question[Any]) -> Any:
        """Ask the engine through its control socket."""
        with api.Client(self.socket, 10.0) as client:
            return client.ask(question)

    def report(self, lamp: str, **values: Any) -> None:
        """Have a lamp report its `level` or `fail`."""
        for name, value in values.items():
            self._mqtt.publish(f"city/{lamp}/{name}", json.dumps({name: value}))

    def number_of(self, id_: str) -> int:
        """Return the number of a piece of equipment on the map."""
        page = self.ask(api.ListPlaces())
        while id_ not in (ids := {place.id: place.place for place in page.places}):
            page = self.ask(api.ListPlaces(after=page.next))
        return int(ids[id_])

    def value(self, point: str) -> Any:
        """Return the value of a point."""
        return self.ask(api.GetPoint(point=point)).point.value
