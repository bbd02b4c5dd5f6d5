"""The small city in front of which the application is tried: what `pilotage init` writes, with plans and alarms."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from pilotage import api

PILOTAGE: Final = Path(sys.executable).parent / "pilotage"

RULES: Final = """\
plans:
  snow:
    title: {fr: Plan neige, en: Snow plan}
    owner: roads
    activation: {operators: [control], manual_expires: 6 h}
    levels:
      - level: 1
        name: watch
        hold:
          - {each: {lamp: {kind: lamp}}, set: lamp.level, to: 80 %}
        checklist:
          - {text: Schools informed, by: education, within: 30 min}
      - {level: 2, name: treat}
  evacuation:
    title: {fr: Évacuation, en: Evacuation}
    owner: security
    activation: {operators: [control], two_people: true}
    levels:
      - {level: 1, name: leave}
alarms:
  dark-lamp:
    title: {fr: Lampe éteinte, en: Dark lamp}
    owner: lighting
    for_each: {lamp: {kind: lamp}}
    raise_while: wanted(lamp.level) < 20 %
    severity: low
"""


def make_city(folder: Path) -> Path:
    """Write the city into a folder that is not there yet; returns its configuration."""
    subprocess.run([PILOTAGE, "init", folder], check=True, capture_output=True)
    config = folder / "config.yaml"
    config.write_text(config.read_text() + "storage: {ballast: 0}\n")
    (folder / "rules" / "acts.yaml").write_text(RULES)
    return config


@contextmanager
def running(config: Path) -> Iterator[Path]:
    """Run the engine of a city in another process; its control socket, once it answers."""
    folder = config.parent
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PILOTAGE, "run", "-c", config], stdout=log, stderr=log, cwd=folder
        )
        socket = folder / "var" / "control.sock"
        try:
            for _ in range(300):
                with suppress(api.ApiError), api.Client(socket) as client:
                    client.ask(api.GetStatus())
                    break
                time.sleep(0.05)
            else:
                pytest.fail((folder / "log").read_text())
            yield socket
        finally:
            process.terminate()
            process.wait(15)
