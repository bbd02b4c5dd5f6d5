"""Inputs come back from the journal as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pilotage.model.messages import (
    AlarmOrder,
    CallResult,
    CommandResult,
    IncidentOrder,
    NoticeAcknowledged,
    Outcome,
    Override,
    PlanAnswer,
    PlanOrder,
    Reading,
    Reconnected,
    ReleaseOverride,
)
from pilotage.model.quality import Quality
from pilotage.model.values import Position
from pilotage.runtime.envelope import decode_inputs, encode_inputs


class TestRoundTrip:
    @pytest.mark.parametrize(
        "item",
        [
            CommandResult("7.1", Outcome.UNKNOWN, "time-out"),
            CallResult("8.2", "accepted"),
            Reconnected(("street-1.level", "street-2.level")),
            Override("street-1.level", 30.0, "m.garcia", "works", 1_800_000_000.5),
            Override("van-1.place", Position(47.3, 5.0), "m.garcia", "works", 1_800_000_000.5),
            ReleaseOverride("street-1.level", "m.garcia"),
            PlanOrder("snow", 2, "m.garcia", "forecast", "duty", {"salt": 20.0}),
            PlanAnswer("snow", "confirm", True, "m.garcia"),
            AlarmOrder("fire", "shelve", "m.garcia", 1_800_000_100.0, "test"),
            NoticeAcknowledged("9.1", "m.garcia"),
            IncidentOrder("inc-1", "note", "m.garcia", "on site"),
        ],
        ids=lambda item: type(item).__name__,
    )
    def test_every_input(self, engine: Any, item: Any) -> None:
        """Every kind of input comes back equal."""
        data = encode_inputs([item])
        assert decode_inputs(data, engine.cells, engine.entities) == [item]

    def test_readings(self, engine: Any) -> None:
        """Readings come back bound to their point, to the last bit, references as entities."""
        street = engine.entities["street-2"]
        readings = [
            Reading(engine.cells["street-1.flow"], 0.1 + 0.2, Quality.GOOD, 1_800_000_000.123456),
            Reading(engine.cells["street-1.next"], street, Quality.UNCERTAIN, 1_800_000_001.0),
            Reading(engine.cells["street-1.flow"], None, Quality.MISSING, 1_800_000_002.0),
        ]
        assert decode_inputs(encode_inputs(readings), engine.cells, engine.entities) == readings

    def test_is_compact(self, engine: Any) -> None:
        """A reading is four values in a list, after the version."""
        reading = Reading(engine.cells["street-1.flow"], 41.0, Quality.GOOD, 5.5)
        assert json.loads(encode_inputs([reading])) == [1, ["street-1.flow", 41.0, "good", 5.5]]

    def test_unknown_point_is_left_out(self, engine: Any) -> None:
        """Readings of a point that was removed since are skipped."""
        data = b'[1,["street-9.flow",1.0,"good",5.5],["street-1.flow",1.0,"good",5.5]]'
        (reading,) = decode_inputs(data, engine.cells, engine.entities)
        assert reading.point is engine.cells["street-1.flow"]  # type: ignore[union-attr]

    def test_newer_version_is_refused(self, engine: Any) -> None:
        """Inputs that a newer engine wrote are not guessed at."""
        with pytest.raises(ValueError, match="version 2"):
            decode_inputs(b"[2]", engine.cells, engine.entities)
