"""Where a camera must turn to: pure geometry over places."""

from __future__ import annotations

from math import atan2, cos, degrees, radians, sin
from typing import Final

from pilotage.model.entities import EntityView, Function, Parameter
from pilotage.model.values import POSITION, TEXT, Position, reference

PRESET_STEP: Final = 15
"""Degrees between the presets that every camera holds, from `bearing-000` (north) on, clockwise."""


def bearing(origin: Position, place: Position) -> float:
    """Return the initial bearing of the great circle, in degrees from north, clockwise, 0 to below 360."""
    lat_1, lat_2 = radians(origin.latitude), radians(place.latitude)
    d_lon = radians(place.longitude - origin.longitude)
    east = sin(d_lon) * cos(lat_2)
    north = cos(lat_1) * sin(lat_2) - sin(lat_1) * cos(lat_2) * cos(d_lon)
    return degrees(atan2(east, north)) % 360.0


def preset_towards(cam: EntityView, place: Position) -> str | None:
    """Return the preset that looks at a place, or None when the camera's own place is unknown."""
    origin = cam.read("position")
    if origin is None:
        return None
    step = round(bearing(origin, place) / PRESET_STEP) * PRESET_STEP % 360
    return f"bearing-{step:03d}"


FUNCTIONS: Final = (
    Function(
        name="preset_towards",
        parameters=(Parameter("cam", reference("camera")), Parameter("place", POSITION)),
        returns=TEXT,
        call=preset_towards,
        reads=("camera.position",),
        doc="The preset of a camera that looks at a place: `bearing-135` is south-east, in steps of 15 degrees.",
    ),
)
