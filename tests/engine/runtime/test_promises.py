"""`respond_within` in service: what was sent too late is counted and stands until the rule is in time again."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pilotage.model.messages import Decision, Reading, TargetChanged
from pilotage.model.quality import Quality
from pilotage.runtime.config import load_settings
from pilotage.runtime.health import Health
from pilotage.runtime.promises import Promises
from pilotage.runtime.workshop import CityWorkshop
from pilotage.service import Service


class Bench:
    """Promises with a clock turned by hand: `dim` within 2 s, `gate` within 5 s."""

    def __init__(self) -> None:
        self.health = Health()
        self.now = 100.0
        self.promises = Promises(self.health, lambda: self.now)
        self.promises.exchange({"dim": 2.0, "gate": 5.0})

    def sent(self, took: float, *owners: str) -> None:
        """Send what these owners decided, so many seconds after the reading."""
        events = tuple(TargetChanged("seg-1.lights.level", 30.0, o, 14) for o in owners)
        self.promises.sent(Decision(1, 0.0, events), self.now - took)

    @property
    def standing(self) -> list[str]:
        """What is wrong now."""
        return [finding.code for finding in self.health.findings]


@pytest.fixture
def bench() -> Bench:
    return Bench()


class TestPromises:
    def test_kept(self, bench: Bench) -> None:
        """In time, nothing is said; of rules without a promise neither."""
        bench.sent(1.9, "dim[seg-1]", "gate[g-1]")
        bench.sent(60.0, "other", "operator ann", "default")
        assert (bench.standing, bench.health.counters) == ([], {})

    def test_missed_and_kept_again(self, bench: Bench) -> None:
        """A miss is counted and stands with its figures until the rule is in time again."""
        bench.sent(3.0, "dim[seg-1]#1", "gate[g-1]")
        bench.sent(4.0, "dim[seg-2]")
        finding = bench.health.finding("promise.dim")
        assert finding is not None
        assert finding.text == (
            "dim promises to respond within 2 s, and needed 4.00 s; late 2 times in a row"
        )
        assert bench.health.is_sound  # a warning
        bench.sent(0.1, "gate[g-1]")
        assert bench.standing == ["promise.dim"]
        bench.sent(0.1, "dim")
        assert bench.standing == []
        assert bench.health.counters["promise.missed.dim"] == 2

    def test_other_rules(self, bench: Bench) -> None:
        """A promise that a reload takes away is missed no more."""
        bench.sent(3.0, "dim")
        bench.promises.exchange({"gate": 5.0})
        assert bench.standing == []
        bench.sent(3.0, "dim")
        assert bench.standing == []


RULES = """\
rules:
  dim:
    title: Dim
    owner: lighting
    respond_within: 1 ms
    for_each: {segment: {kind: lighting_segment}}
    while: not segment.pedestrian_detected
    hold: [{set: segment.lights.level, to: 30 %, priority: saving}]
"""
CONFIG = """\
site: {name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04]}
inventory:
  - seg-1: {kind: lighting_segment}
"""


async def test_in_service(
    tmp_path: Path, eventually: Callable[[Callable[[], object]], Awaitable[None]]
) -> None:
    """A disk needs longer than a rule has promised here, and the service's health says so."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "dim.yaml").write_text(RULES)
    (tmp_path / "config.yaml").write_text(CONFIG)
    service = Service(load_settings(tmp_path / "config.yaml", {}), CityWorkshop())
    await service.start()
    try:
        point = service.engine.cells["seg-1.pedestrian_detected"]
        service.inbox.put(Reading(point, False, Quality.GOOD, service.clock.now()))
        held_until = time.monotonic() + 0.002
        while time.monotonic() < held_until:  # somebody holds the event loop
            pass
        await eventually(lambda: service.health.finding("promise.dim"))
        assert service.health_report().counters["promise.missed.dim"] == 1
    finally:
        await service.stop()
