"""The kinds of parking: car parks and what their counters say."""

from __future__ import annotations

from typing import Final

from pilotage.model.entities import Access, Kind, PointSpec, Privacy
from pilotage.model.values import BOOLEAN, POSITION, number, reference

CAR_PARK: Final = Kind(
    name="car_park",
    title="Car park",
    points=(
        PointSpec(
            "spaces_total", number(), Access.FIXED, low=1.0, high=20_000.0, privacy=Privacy.OPEN
        ),
        PointSpec(
            "free",
            number(),
            low=0.0,
            high=20_000.0,
            max_age_s=900.0,
            every_s=60.0,
            privacy=Privacy.OPEN,
            doc="Free spaces, as the counter says.",
        ),
        PointSpec(
            "open", BOOLEAN, max_age_s=3_600.0, privacy=Privacy.OPEN, doc="Drivers may enter."
        ),
        PointSpec(
            "overflow_open", BOOLEAN, Access.BOTH, max_age_s=900.0, default=False, travel_s=30.0
        ),
        PointSpec(
            "sign", reference("message_sign"), Access.FIXED, doc="The sign on the way to it."
        ),
        PointSpec(
            "relief",
            reference("car_park"),
            Access.FIXED,
            doc="Where drivers are sent when it is full.",
        ),
        PointSpec("location", POSITION, Access.FIXED, privacy=Privacy.OPEN),
    ),
    doc="A car park with counted entries and exits.",
)

KINDS: Final = (CAR_PARK,)
