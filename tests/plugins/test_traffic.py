"""Junctions are asked, and answer with the words of their protocol."""

from __future__ import annotations

from pilotage.model.entities import Combine, Kind
from pilotage.model.values import Base


class TestPriority:
    def test_request(self, kinds: dict[str, Kind]) -> None:
        """Green is requested for any entity, first come first served, and updated when eta moved by 2 s."""
        priority = kinds["signal_junction"].point("priority")
        assert priority is not None
        assert priority.is_request
        assert (priority.type.base, priority.type.kind) == (Base.ENTITY, "")
        assert (priority.combine, priority.deadband) == (Combine.FIRST, {"eta": 2.0})

    def test_statuses(self, kinds: dict[str, Kind]) -> None:
        """The eight states of a request in the RSMP signal exchange list, S0033."""
        priority = kinds["signal_junction"].point("priority")
        assert priority is not None
        assert set(priority.statuses) == {
            "received",
            "queued",
            "activated",
            "completed",
            "timeout",
            "rejected",
            "cooldown",
            "stale",
        }

    def test_holders(self, kinds: dict[str, Kind]) -> None:
        """A junction says when nobody holds it, and when an emergency vehicle does."""
        held_by = kinds["signal_junction"].point("held_by")
        assert held_by is not None
        assert {"nobody", "emergency"} <= set(held_by.type.members)


class TestBus:
    def test_impossible_speed(self, kinds: dict[str, Kind]) -> None:
        """28 m/s, as feeds report now and then, is no speed of a bus."""
        speed = kinds["bus"].point("speed")
        assert speed is not None and speed.high is not None
        assert speed.high < 28.0

    def test_early_is_below_zero(self, kinds: dict[str, Kind]) -> None:
        """A delay is in seconds and may be negative."""
        delay = kinds["bus"].point("delay")
        assert delay is not None and delay.low is not None
        assert (delay.type.unit.symbol, delay.low < 0) == ("s", True)
