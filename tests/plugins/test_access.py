"""A bollard is up unless somebody asks, and down when the engine is gone."""

from __future__ import annotations

from pilotage.model.entities import Kind
from pilotage.model.values import Base


class TestBollard:
    def test_rest_and_fail_safe(self, kinds: dict[str, Kind]) -> None:
        """It closes the street by default, and opens it when it loses us: emergency ways stay free."""
        position = kinds["bollard"].point("position")
        assert position is not None
        assert (position.default, position.on_loss, position.on_loss_by_site) == ("up", None, True)

    def test_physics(self, kinds: dict[str, Kind]) -> None:
        """It moves within the 4 s that the proof for emergency vehicles takes for granted."""
        position = kinds["bollard"].point("position")
        assert position is not None
        assert position.travel_s <= 4.0

    def test_place(self, kinds: dict[str, Kind]) -> None:
        """Its `position` is up or down; where it stands is its `place`."""
        (place,) = (p for p in kinds["bollard"].points if p.type.base is Base.POSITION)
        assert place.name == "place"

    def test_loop_is_fresh(self, kinds: dict[str, Kind]) -> None:
        """What stands over a bollard is known for ten seconds at most."""
        loop = kinds["bollard"].point("loop_occupied")
        assert loop is not None and loop.max_age_s is not None
        assert loop.max_age_s <= 10.0
