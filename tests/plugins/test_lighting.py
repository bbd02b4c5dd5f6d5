"""Light is what a street falls back to."""

from __future__ import annotations

from pilotage.model.entities import Combine, Group, Kind


class TestLevel:
    def test_full_light(self, kinds: dict[str, Kind]) -> None:
        """Nobody's demand, and a lost engine, both mean full light; of two demands the brighter wins."""
        for kind, point in (("lamp", "level"), ("lighting_segment", "lights.level")):
            level = kinds[kind].point(point)
            assert level is not None
            assert (level.default, level.value_on_loss, level.combine) == (
                100.0,
                100.0,
                Combine.MAX,
            )
            assert (level.low, level.high) == (0.0, 100.0)

    def test_group(self, kinds: dict[str, Kind]) -> None:
        """A segment's level is that of its lamps, when all say the same."""
        level = kinds["lighting_segment"].point("lights.level")
        assert level is not None
        assert level.group == Group("lamps", "level", "equal")
        assert kinds["lighting_segment"].relations == {"lamps": "lamp"}

    def test_promise_of_two_seconds(self, kinds: dict[str, Kind]) -> None:
        """With a ramp of 1 s a lamp follows within the 2 s that rules promise to pedestrians."""
        level = kinds["lighting_segment"].point("lights.level")
        detected = kinds["lighting_segment"].point("pedestrian_detected")
        assert level is not None and detected is not None
        assert level.travel_s + 1.0 <= 2.0
        assert detected.every_s is None  # sent at once, and not by the clock
