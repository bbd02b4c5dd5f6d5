"""Calls that send crews out."""

from __future__ import annotations

from pilotage_fleet.calls import CALLS


class TestCalls:
    def test_dispatch(self) -> None:
        """A vehicle must be named and a route may be; `accepted` means accepted."""
        dispatch = next(c for c in CALLS if c.name == "fleet.dispatch")
        assert [(p.name, p.required) for p in dispatch.parameters] == [
            ("vehicle", True),
            ("route", False),
        ]
        assert dispatch.statuses[0] == "accepted"
        assert {"under_way", "refused"} <= set(dispatch.statuses)

    def test_stand_by_and_down(self) -> None:
        """Crews are called by number and sent home without arguments."""
        parameters = {c.name: [p.name for p in c.parameters] for c in CALLS}
        assert parameters["fleet.stand_by"] == ["crews"]
        assert parameters["fleet.stand_down"] == []
