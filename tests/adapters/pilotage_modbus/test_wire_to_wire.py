"""The whole engine in a process of its own, from a register that changes to another that a rule has set."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusTcpClient

CONFIG = """\
site: {{name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04], country: FR}}
inventory: [lamps.yaml]
connections:
  cabinet:
    adapter: modbus
    host: 127.0.0.1
    port: {port}
    poll: 100 ms
    timeout: 500 ms
    points:
      - entity: L-1
        unit_id: 1
        points: {{level: {{holding: 50}}, driver_temp: {{holding: 60, type: int16, scale: 0.1}}}}
      - entity: L-2
        unit_id: 2
        points: {{level: {{holding: 50, scale: 0.5}}, driver_temp: {{holding: 60, type: int16, scale: 0.1}}}}
"""

LAMPS = """\
L-1: {kind: lamp, name: One}
L-2: {kind: lamp, name: Two}
"""

RULES = """\
version: 1
rules:
  spare-hot-drivers:
    title: Dim lamps whose driver is hot
    owner: lighting
    for_each: {lamp: {kind: lamp}}
    while: lamp.driver_temp > 70 °C
    hold:
      - {set: lamp.level, to: 40 %, priority: saving}
"""

MAIN = "import sys; from pilotage.cli import main; sys.exit(main())"


@pytest.fixture
def engine(tmp_path: Path, make_street: Any) -> Iterator[Any]:
    """A running engine; yields its street of two units."""
    street = make_street("tcp", 2)
    (tmp_path / "config.yaml").write_text(CONFIG.format(port=street.port))
    (tmp_path / "lamps.yaml").write_text(LAMPS)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "lighting.yaml").write_text(RULES)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "run", "-c", str(tmp_path / "config.yaml")],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    yield street
    process.terminate()
    assert process.wait(20) == 0, (tmp_path / "log").read_text()


@pytest.fixture
def probe(engine: Any) -> Iterator[ModbusTcpClient]:
    client: Any = ModbusTcpClient("127.0.0.1", port=engine.port, timeout=3, retries=0)
    yield client
    client.close()


def until_holds(probe: Any, unit: int, value: int) -> None:
    """Wait until the level's register of a unit holds a value."""
    end = time.monotonic() + 15
    held: Any = None
    while time.monotonic() < end:
        held = probe.read_holding_registers(50, device_id=unit).registers
        if held == [value]:
            return
        time.sleep(0.02)
    pytest.fail(f"unit {unit} holds {held}, not {value}")


class TestStreet:
    def test_rule_sets_a_register(self, engine: Any, probe: Any) -> None:
        """Hot lamps are dimmed, cool ones burn in full, and lamps that lost their power are told again."""
        assert probe.connect()
        for unit in (1, 2):
            probe.write_register(60, 805, device_id=unit)
        until_holds(probe, 1, 40)
        until_holds(probe, 2, 80)  # half per cents
        probe.write_register(60, 200, device_id=2)
        until_holds(probe, 2, 200)

        # The whole street restarts and has forgotten everything: 50 in register 50, 6.0 °C in register 60.
        engine.kill()
        probe.close()
        engine.start()
        assert probe.connect()
        until_holds(probe, 1, 100)
        until_holds(probe, 2, 200)
