"""Cameras know where to turn."""

from __future__ import annotations

from typing import Any

import pytest

from pilotage.model.entities import Kind
from pilotage.model.values import Base, Position
from pilotage_security.functions import FUNCTIONS, bearing, preset_towards

DIJON = Position(47.3220, 5.0415)


class TestBearing:
    @pytest.mark.parametrize(
        ("place", "expected"),
        [
            (Position(47.3320, 5.0415), 0.0),
            (Position(47.3220, 5.0515), 90.0),
            (Position(47.3120, 5.0415), 180.0),
            (Position(47.3220, 5.0315), 270.0),
        ],
    )
    def test_cardinal_points(self, place: Position, expected: float) -> None:
        """North is 0 and east is 90, by the definition of a bearing."""
        assert bearing(DIJON, place) == pytest.approx(expected, abs=0.01)

    def test_east_is_shorter_than_north(self) -> None:
        """A degree of longitude is shorter by the cosine of the latitude.

        By hand: 0.01° north are 1112 m, 0.01° east at 47.327° (mid-latitude) are
        1112 m * cos 47.327° = 754 m; atan(754 / 1112) = 34.1°.
        """
        assert bearing(DIJON, Position(47.3320, 5.0515)) == pytest.approx(34.1, abs=0.1)

    def test_long_way(self) -> None:
        """Baghdad (35° N, 45° E) to Osaka (35° N, 135° E) begins at 60.2°: the textbook's example."""
        assert bearing(Position(35.0, 45.0), Position(35.0, 135.0)) == pytest.approx(
            60.16, abs=0.05
        )


class TestPresetTowards:
    @pytest.mark.parametrize(
        ("place", "expected"),
        [
            (Position(47.3320, 5.0415), "bearing-000"),
            (Position(47.3320, 5.0515), "bearing-030"),  # 34.1° is nearer to 30° than to 45°
            (
                Position(47.3120, 5.0562),
                "bearing-135",
            ),  # by hand: atan(0.0147 * cos 47.317° / 0.01) = 44.9°
            (Position(47.3320, 5.0405), "bearing-000"),  # 356.1° rounds up to north
        ],
    )
    def test_steps_of_fifteen(self, thing: Any, place: Position, expected: str) -> None:
        """The preset is the nearest of the twenty-four directions."""
        assert preset_towards(thing("cam-1", {"position": DIJON}), place) == expected

    def test_unknown_place_of_the_camera(self, thing: Any) -> None:
        """A camera whose place is unknown turns nowhere."""
        assert preset_towards(thing("cam-1"), DIJON) is None

    def test_declaration(self) -> None:
        """Rules give a camera and a place, and get a text."""
        (function,) = FUNCTIONS
        assert [p.type.base for p in function.parameters] == [Base.ENTITY, Base.POSITION]
        assert function.returns.base is Base.TEXT
        assert function.call is preset_towards


class TestKinds:
    def test_released_camera(self, kinds: dict[str, Kind]) -> None:
        """A camera that nobody asks for looks home and records motion."""
        camera = kinds["camera"]
        defaults = {p.name: p.default for p in camera.points if p.default is not None}
        assert defaults == {"preset": "home", "recording": "motion"}

    def test_heartbeat(self, kinds: dict[str, Kind]) -> None:
        """Three lost heartbeats of 20 s make a zone unknown: after a minute."""
        alarm = kinds["intrusion_zone"].point("alarm")
        assert alarm is not None
        assert (alarm.every_s, alarm.max_age_s) == (20.0, 60.0)
        assert {"normal", "triggered", "tamper", "fault"} == set(alarm.type.members)
