"""The kinds of emergency service: vehicles that everything makes way for."""

from __future__ import annotations

from typing import Final

from pilotage.model.entities import Access, Kind, PointSpec, Privacy
from pilotage.model.values import BOOLEAN, POSITION, enum, number

EMERGENCY_VEHICLE: Final = Kind(
    name="emergency_vehicle",
    title="Emergency vehicle",
    points=(
        PointSpec(
            "position",
            POSITION,
            max_age_s=10.0,
            every_s=1.0,
            privacy=Privacy.PERSONAL,
            doc="Where it is. Personal: it is also where its crew is.",
        ),
        PointSpec(
            "speed",
            number("km/h"),
            low=0.0,
            high=200.0,
            max_age_s=10.0,
            every_s=1.0,
            privacy=Privacy.PERSONAL,
        ),
        PointSpec("on_call", BOOLEAN, max_age_s=60.0, doc="On the way with blue lights."),
        PointSpec("service", enum("ambulance", "fire", "police"), Access.FIXED),
    ),
    doc="An ambulance, fire engine or police car.",
)

KINDS: Final = (EMERGENCY_VEHICLE,)
