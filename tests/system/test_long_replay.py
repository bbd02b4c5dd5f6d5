"""An engine that dies again and again soon after its start does not have more to run again each time."""

from __future__ import annotations

import re
from typing import Any

from pilotage import api
from pilotage.service import LONG_REPLAY


def test_long_replay_is_kept(city: Any) -> None:
    """What a long replay came to is kept before the service goes on: dying soon again does not make the next longer."""
    config = city.folder / "config.yaml"
    config.write_text(config.read_text() + "storage: {snapshot_every: 1 h}\n")
    city.start()
    city.until(lambda: list((city.folder / "var").glob("snapshots/*")), "no snapshot")
    with api.Client(city.socket, 20.0) as client:
        for number in range(LONG_REPLAY + 100):
            order = api.SetOverride(
                point="s-1.level", value=float(number % 90), for_s=600, person="p", reason="r"
            )
            assert client.ask(order).taken
    city.kill()
    city.start()
    city.kill()
    city.start()
    (ticks,) = re.findall(r"as it was: (\d+) ticks", city.stop())
    assert int(ticks) < 100
