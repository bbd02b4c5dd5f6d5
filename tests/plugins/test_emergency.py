"""Emergency vehicles are known second by second, or not at all."""

from __future__ import annotations

from pilotage.model.entities import Kind


class TestEmergencyVehicle:
    def test_fresh_position(self, kinds: dict[str, Kind]) -> None:
        """Its position comes each second and is unknown after ten."""
        position = kinds["emergency_vehicle"].point("position")
        assert position is not None
        assert (position.every_s, position.max_age_s) == (1.0, 10.0)

    def test_speed_in_km_per_hour(self, kinds: dict[str, Kind]) -> None:
        """Its speed is in km/h and may pass the 90 km/h of the bollards' proof."""
        speed = kinds["emergency_vehicle"].point("speed")
        assert speed is not None and speed.high is not None
        assert speed.type.unit.symbol == "km/h"
        assert speed.high > 90.0
