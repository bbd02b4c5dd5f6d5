"""Car parks lead to their sign and to their relief."""

from __future__ import annotations

from pilotage.model.entities import Kind


class TestCarPark:
    def test_references(self, kinds: dict[str, Kind]) -> None:
        """A rule can follow a car park to the sign that speaks of it."""
        targets = {p.name: p.type.kind for p in kinds["car_park"].points if p.type.kind}
        assert targets == {"sign": "message_sign", "relief": "car_park"}

    def test_free_never_below_zero(self, kinds: dict[str, Kind]) -> None:
        """A counter that drifted below zero is bad, and not full."""
        free = kinds["car_park"].point("free")
        assert free is not None
        assert free.low == 0.0
