"""A priority array replayed from recorded decisions is the one that the engine had."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pilotage import open_city
from pilotage.core.replayed import instances_at, point_at
from pilotage.model.messages import Decision, Override, ReleaseOverride
from pilotage.runtime.envelope import encode_decision

POINT = "s-1.lights.level"
RULES = """\
rules:
  dim:
    title: Dim
    owner: lighting
    for_each: {segment: {kind: lighting_segment}}
    while: not segment.pedestrian_detected
    hold: [{set: segment.lights.level, to: 30 %, priority: saving}]
  tried:
    title: Tried out
    owner: lighting
    mode: shadow
    for_each: {segment: {kind: lighting_segment}}
    while: segment.pedestrian_detected
    hold: [{set: segment.lights.level, to: 90 %, priority: people}]
"""


def recorded() -> tuple[Any, list[Mapping[str, Any]]]:
    """Return a city that has lived for two minutes, and its decisions as the journal has them."""
    city = open_city(RULES, {"s-1": {"kind": "lighting_segment"}}, now=1000.0)
    found: list[Mapping[str, Any]] = []

    def record(decision: Decision) -> None:
        found.append(json.loads(encode_decision(decision)))

    city.on_decision = record
    city.feed(1010.0, {"s-1.pedestrian_detected": False, POINT: "100 %"})
    city.order(1030.0, Override(POINT, 80.0, "m.garcia", "road works", 2000.0))
    city.advance(1120.0)
    return city, found


class TestPoint:
    def test_before_anything(self) -> None:
        """Nobody has wanted anything yet."""
        _, records = recorded()

        past = point_at(records, POINT, 1005.0)

        assert not past.is_decided
        assert past.demands == {}

    def test_as_the_engine_had_it(self) -> None:
        """At the end of the record the array is the engine's own, in its order."""
        city, records = recorded()

        past = point_at(records, POINT, 1120.0)

        assert [(d.level, d.owner, d.value, d.since, d.until) for d in past.in_order()] == [
            (d.level, d.owner, d.value, d.since, d.until)
            for d in city.engine.cells[POINT].array.in_order()
        ]
        assert (past.wanted, past.owner, past.level) == (80.0, "operator m.garcia", 8)
        winner = past.winner()
        assert winner is not None
        assert winner.reason == "road works"

    def test_at_a_time_between(self) -> None:
        """What was decided later is not looked at."""
        _, records = recorded()

        past = point_at(records, POINT, 1029.9)

        assert (past.wanted, past.owner, past.since) == (30.0, "dim[s-1]", 1010.0)

    def test_demands_end(self) -> None:
        """What was relinquished is gone, and what waited decides again."""
        city, records = recorded()
        city.order(1130.0, ReleaseOverride(POINT, "m.garcia"))

        past = point_at(records, POINT, 1130.0)

        assert list(past.demands) == ["dim[s-1]"]
        assert past.wanted == 30.0

    def test_shadows_do_not_count(self) -> None:
        """A rule in shadow places nothing, whatever the journal notes of it."""
        city, records = recorded()
        city.feed(1130.0, {"s-1.pedestrian_detected": True})

        past = point_at(records, POINT, 1130.0)

        assert [d.owner for d in past.in_order()] == ["operator m.garcia"]
        assert any(e.get("owner", "").startswith("shadow:") for r in records for e in r["events"])

    def test_a_start_ends_everything(self) -> None:
        """Of what stood before the engine was started nothing is shown after it."""
        city, records = recorded()
        city.order(1130.0, ReleaseOverride(POINT, "m.garcia"))

        at_once = point_at(records, POINT, 1125.0, [900.0, 1121.0, 2000.0])
        after = point_at(records, POINT, 1130.0, [900.0, 1121.0])

        assert not at_once.is_decided
        assert (at_once.demands, after.demands) == ({}, {})
        assert list(point_at(records, POINT, 1120.0, [900.0, 1121.0]).demands) == [
            "dim[s-1]",
            "operator m.garcia",
        ]


class TestRule:
    def test_states(self) -> None:
        """An instance is in the state that it was left in last."""
        city, records = recorded()
        city.feed(1130.0, {"s-1.pedestrian_detected": True})

        (holding,) = instances_at(records, "dim", 1100.0)
        (idle,) = instances_at(records, "dim", 1130.0)

        assert (holding.instance, holding.state, holding.since) == ("s-1", "holding", 1010.0)
        assert (idle.state, idle.since) == ("idle", 1130.0)
        assert instances_at(records, "dim", 1005.0) == []

    def test_a_start_ends_everything(self) -> None:
        """An instance of before a start has no state after it."""
        _, records = recorded()

        assert instances_at(records, "dim", 1100.0, [900.0, 1101.0]) != []
        assert instances_at(records, "dim", 1105.0, [900.0, 1101.0]) == []
