"""Inputs come back from the journal as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pilotage.model.messages import (
    AlarmOrder,
    CallResult,
    Command,
    CommandResult,
    Decision,
    IncidentOrder,
    NoticeAcknowledged,
    Outcome,
    Override,
    PlanAnswer,
    PlanOrder,
    Reading,
    Reconnected,
    ReleaseOverride,
    Relinquished,
    Request,
    RuleChanged,
    TargetChanged,
)
from pilotage.model.quality import Quality
from pilotage.model.values import Position
from pilotage.runtime.envelope import decode_inputs, encode_decision, encode_inputs, is_same


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


class TestDecisions:
    def test_canonical(self) -> None:
        """The same decision is the same bytes, its numbers exact, its texts readable."""
        events = (
            Relinquished("é.level", "b", "why"),
            Command("1-1", "é.level", 0.1 + 0.2, 5.0, "b"),
        )
        encoded = encode_decision(Decision(1, 1.23456789, events))
        record = json.loads(encoded)
        assert encoded == encode_decision(Decision(1, 1.2345679, events))
        assert (record["now"], record["events"][1]["value"]) == (1.234568, 0.1 + 0.2)
        assert "é" in encoded.decode()

    def test_values(self) -> None:
        """What JSON has not is written as plain values: positions in seven digits."""
        events = (
            TargetChanged("van-1.place", Position(47.123456789, 5.0), "r", 5),
            RuleChanged("r", "i", "idle", "holding", "why", (("a.b", Position(1.0, 2.0)),)),
            Request("1-1", "j.go", "request", "bus-1", {"at": Position(1.0, 2.0)}, 5.0, "r"),
        )
        target, rule, request = json.loads(encode_decision(Decision(1, 0.0, events)))["events"]
        assert target["value"] == [47.1234568, 5.0]
        assert rule["read"] == [["a.b", [1.0, 2.0]]]
        assert request["data"] == {"at": [1.0, 2.0]}

    @pytest.mark.parametrize("value", [1e-05, 1e16, 1.5e300])
    def test_as_an_earlier_version_wrote(self, value: float) -> None:
        """Small and large numbers were spelled otherwise; a record that says the same is the same."""
        decision = Decision(1, 0.0, (Command("1-1", "a.b", value, 5.0, "r"),))
        encoded = encode_decision(decision)
        earlier = json.dumps(json.loads(encoded), sort_keys=True, separators=(",", ":")).encode()
        assert encoded != earlier
        assert is_same(encoded, earlier)
        assert not is_same(encoded, earlier.replace(b"a.b", b"a.c"))
