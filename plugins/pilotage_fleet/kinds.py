"""The kinds of the city's own fleet."""

from __future__ import annotations

from typing import Final

from pilotage.model.entities import Access, Kind, PointSpec, Privacy
from pilotage.model.values import BOOLEAN, POSITION, enum, number

VEHICLE: Final = Kind(
    name="vehicle",
    title="Service vehicle",
    points=(
        PointSpec(
            "position",
            POSITION,
            max_age_s=120.0,
            every_s=10.0,
            privacy=Privacy.PERSONAL,
            doc="Where it is, known for two minutes. Personal: it is also where its driver is.",
        ),
        PointSpec(
            "speed",
            number("km/h"),
            low=0.0,
            high=160.0,
            max_age_s=120.0,
            every_s=10.0,
            privacy=Privacy.PERSONAL,
        ),
        PointSpec("free", BOOLEAN, max_age_s=600.0, doc="Manned, fit and without a mission."),
        PointSpec("radio_ok", BOOLEAN, max_age_s=300.0),
        PointSpec("trade", enum("roads", "lighting", "cleaning", "green", "other"), Access.FIXED),
    ),
    doc="A vehicle of the city's services.",
)

KINDS: Final = (VEHICLE,)
