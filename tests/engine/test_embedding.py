"""The engine inside another program."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import pilotage
from pilotage.hookspecs import hookimpl
from pilotage.model.diagnostics import RuleError
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.messages import Command, Override
from pilotage.model.values import BOOLEAN, number

RULES = """\
rules:
  dim:
    title: Dim quiet streets
    owner: lighting
    for_each: {segment: {kind: lighting_segment, where: segment.dimmable}}
    while: is_night and segment.traffic.flow < 60 veh/h
    for: 30 s
    hold: [{set: segment.lights.level, to: 30 %, priority: saving}]
  green:
    title: Green for buses
    owner: mobility
    for_each:
      junction: {kind: signal_junction}
      bus: {kind: bus, within: 150 m, of: junction}
    while: bus.delay > 60 s
    hold: [{request: junction.priority, for: bus, priority: service}]
"""
CITY: dict[str, dict[str, Any]] = {
    "seg-1": {"kind": "lighting_segment", "dimmable": True},
    "J-1": {"kind": "signal_junction", "position": [47.3, 5.0]},
    "bus-7": {"kind": "bus"},
}
PARIS = ZoneInfo("Europe/Paris")
NIGHT = datetime(2026, 1, 15, 23, 0, tzinfo=PARIS)


@pytest.fixture
def city() -> pilotage.City:
    return pilotage.open_city(RULES, CITY, now=NIGHT)


class TestExample:
    def test_ten_lines(self) -> None:
        """Rules, an inventory, readings with their time: decisions."""
        # fmt: off
        city = pilotage.open_city(
            rules=RULES,
            inventory=[{"id": "seg-1", "kind": "lighting_segment", "dimmable": True}],
            now=NIGHT,
        )
        city.feed(NIGHT + timedelta(minutes=1), {"seg-1.traffic.flow": "40 veh/h", "seg-1.lights.level": "100 %"})
        sent = []
        for decision in city.advance(NIGHT + timedelta(minutes=2)):
            sent += [(order.point, order.value) for order in decision.outgoing if isinstance(order, Command)]
        # fmt: on
        assert sent[0] == ("seg-1.lights.level", 30.0)
        assert city.wanted("seg-1.lights.level") == 30.0

    def test_loaded_when_asked_for(self) -> None:
        """`import pilotage` alone stays light: a plugin pays for nothing that it does not use."""
        code = "import sys, pilotage; print('pilotage.core.engine' in sys.modules)"

        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )

        assert done.stdout == "False\n"


class TestFeed:
    def test_units_and_references(self, city: pilotage.City) -> None:
        """A text is read in its unit, a plain number is in the point's, a pair is a position."""
        city.feed(NIGHT, {"bus-7.delay": "2 min", "bus-7.position": (47.3001, 5.0)})

        assert city.value("bus-7.delay") == 120.0
        assert city.value("bus-7.position") == [47.3001, 5.0]
        assert city.wanted("J-1.priority") == "bus-7"

    def test_a_lost_value(self, city: pilotage.City) -> None:
        """None says that a value was lost: the point is unknown."""
        city.feed(NIGHT, {"bus-7.delay": 70})
        city.feed(NIGHT, {"bus-7.delay": None})

        assert city.value("bus-7.delay") is None

    @pytest.mark.parametrize(
        ("point", "value", "text"),
        [
            (
                "seg-1.trafic.flow",
                1,
                'no point "seg-1.trafic.flow"; did you mean "seg-1.traffic.flow"?',
            ),
            ("seg-1.traffic.flow", "40 km", "seg-1.traffic.flow: "),
            ("seg-1.traffic.flow", -1, "out of range; write a value from 0 to"),
            ("seg-1.pedestrian_detected", "perhaps", "neither true nor false"),
            ("seg-1.dimmable", True, "the point is fixed"),
            ("bus-7.position", (147.0, 5.0), "the latitude 147 is not between"),
        ],
    )
    def test_what_does_not_fit(
        self, city: pilotage.City, point: str, value: object, text: str
    ) -> None:
        """The error names the point and the mend, and nothing was taken."""
        with pytest.raises(pilotage.FeedError, match=re.escape(text)):
            city.feed(NIGHT, {"bus-7.delay": 90, point: value})

        assert city.value("bus-7.delay") is None

    def test_time_does_not_go_back(self, city: pilotage.City) -> None:
        """An earlier time is a mistake of the caller."""
        with pytest.raises(ValueError, match="time goes back by 60 s"):
            city.feed(NIGHT - timedelta(minutes=1), {})


class TestTime:
    def test_advance_does_things_at_their_time(self, city: pilotage.City) -> None:
        """Half a minute of quiet is over at its own moment, however far time is advanced."""
        begin = city.engine.now
        city.feed(NIGHT, {"seg-1.traffic.flow": 40})

        decisions = city.advance(begin + 100.0)

        assert begin + 30.0 in [decision.now for decision in decisions]

    def test_orders(self, city: pilotage.City) -> None:
        """People's orders enter by the same door."""
        begin = city.engine.now
        city.order(begin, Override("seg-1.lights.level", 80.0, "m.garcia", "works", begin + 60.0))

        assert city.explain("seg-1.lights.level").by == "operator m.garcia"
        city.advance(begin + 61.0)
        assert city.wanted("seg-1.lights.level") == 100.0

    def test_explain(self, city: pilotage.City) -> None:
        """Why a point is as it is, and why a rule does nothing."""
        city.feed(NIGHT, {"seg-1.traffic.flow": 100})

        assert "by default" in city.explain("seg-1.lights.level").sentence
        explained = city.explain_rule("dim", "seg-1")
        assert explained is not None
        assert "segment.traffic.flow < 60 veh/h is false" in explained.sentence


class TestOpening:
    def test_paths(self, tmp_path: Path) -> None:
        """Rules and inventory may be files and folders."""
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules" / "a.yaml").write_text(RULES)
        (tmp_path / "city.yaml").write_text("seg-1: {kind: lighting_segment, dimmable: true}\n")

        city = pilotage.open_city(tmp_path / "rules", str(tmp_path / "city.yaml"), now=NIGHT)

        assert [rule.name for rule in city.engine.program.rules] == ["dim", "green"]
        assert "seg-1" in city.engine.entities

    def test_own_plugins(self) -> None:
        """With plugins given, only theirs is known."""
        level = PointSpec("level", number("%"), Access.BOTH, default=0.0)
        lamp = Kind("torch", "Torch", (PointSpec("dark", BOOLEAN), level))
        plugin = SimpleNamespace(__name__="torches", pilotage_kinds=hookimpl(lambda: [lamp]))
        rules = (
            "rules:\n  r:\n    title: R\n    owner: x\n    for_each: {t: {kind: torch}}\n"
            "    while: t.dark\n    hold: [{set: t.level, to: 50 %, priority: base}]\n"
        )

        city = pilotage.open_city(rules, [EntitySpec("t-1", "torch")], [plugin], now=0.0)
        city.feed(1.0, {"t-1.dark": True})

        assert city.wanted("t-1.level") == 50.0
        assert set(city.engine.program.kinds) == {"torch"}

    def test_the_site(self) -> None:
        """The sun and the clock are the site's."""
        auckland = {"time_zone": "Pacific/Auckland", "position": (-36.85, 174.76), "country": "NZ"}

        city = pilotage.open_city(RULES, CITY, site=auckland, now=NIGHT.replace(tzinfo=None))

        assert datetime.fromtimestamp(city.engine.now, UTC).hour == 10

    @pytest.mark.parametrize(
        ("rules", "inventory"),
        [
            (RULES.replace("is_night", "is_nihgt"), CITY),
            (RULES, {"seg-1": {"kind": "lighting_segmnt"}}),
            (RULES, [{"id": "seg-1", "kind": "lighting_segment", "dimable": True}]),
        ],
    )
    def test_mistakes(self, rules: str, inventory: Any) -> None:
        """Mistakes are told with all their findings."""
        with pytest.raises(RuleError, match="did you mean"):
            pilotage.open_city(rules, inventory, now=NIGHT)
