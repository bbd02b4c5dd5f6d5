"""The kinds inside a building. The fire panel keeps its own safety; the engine helps people on their way out."""

from __future__ import annotations

from typing import Final

from pilotage.model.entities import Access, Combine, Kind, OnLoss, PointSpec, Privacy
from pilotage.model.values import BOOLEAN, POSITION, enum, number, reference

BUILDING_ZONE: Final = Kind(
    name="building_zone",
    title="Zone of a building",
    points=(
        PointSpec(
            "temperature", number("°C"), low=-30.0, high=60.0, max_age_s=900.0, every_s=300.0
        ),
        PointSpec(
            "co2",
            number("ppm"),
            low=300.0,
            high=10_000.0,
            max_age_s=900.0,
            every_s=60.0,
            doc="Of the air.",
        ),
        PointSpec(
            "occupied",
            BOOLEAN,
            max_age_s=900.0,
            doc="Somebody is there. Sent at changes, and each 5 minutes.",
        ),
        PointSpec("window_open", BOOLEAN, max_age_s=3_600.0),
        PointSpec(
            "setpoint",
            number("°C"),
            Access.BOTH,
            low=5.0,
            high=30.0,
            max_age_s=3_600.0,
            default=19.0,
            on_loss=OnLoss(19.0),
            combine=Combine.MAX,
            travel_s=60.0,
            tolerance=0.3,
            doc="Wanted temperature of the air, in °C.",
        ),
        PointSpec(
            "climate",
            enum("comfort", "eco", "frost_protection", "off"),
            Access.BOTH,
            max_age_s=3_600.0,
            default="comfort",
            on_loss=OnLoss("comfort"),
            combine=Combine.FIRST,
            travel_s=60.0,
            doc="Mode of the heating.",
        ),
        PointSpec(
            "ventilation",
            enum("low", "high", "off"),
            Access.BOTH,
            max_age_s=900.0,
            default="low",
            on_loss=OnLoss("low"),
            combine=Combine.FIRST,
            min_on_s=600.0,
            travel_s=30.0,
            doc="Step of the fan; the motor keeps any step other than low for ten minutes at least.",
        ),
        PointSpec("building", reference("building"), Access.FIXED),
    ),
    doc="Rooms that are heated and aired together.",
)

FIRE_PANEL: Final = Kind(
    name="fire_panel",
    title="Fire panel",
    points=(
        PointSpec(
            "alarm", BOOLEAN, max_age_s=60.0, every_s=20.0, doc="Fire alarm; repeated each 20 s."
        ),
        PointSpec("fault", BOOLEAN, max_age_s=60.0, every_s=20.0),
        PointSpec("disabled", BOOLEAN, max_age_s=3_600.0, doc="Some zone of it is switched off."),
        PointSpec("building", reference("building"), Access.FIXED),
    ),
    relations={"gates": "gate"},
    doc="The panel that detects and reports fire in one building.",
)

GATE: Final = Kind(
    name="gate",
    title="Gate on a way out",
    points=(
        PointSpec(
            "lock",
            enum("locked", "free"),
            Access.BOTH,
            max_age_s=120.0,
            default="locked",
            on_loss=OnLoss("free"),
            combine=Combine.REFUSE,
            travel_s=2.0,
            doc="Free can be pushed open by anybody.",
        ),
        PointSpec("open", BOOLEAN, max_age_s=120.0),
        PointSpec("building", reference("building"), Access.FIXED),
        PointSpec("location", POSITION, Access.FIXED),
    ),
    doc="A door or gate that people need to get out.",
)

LIFT: Final = Kind(
    name="lift",
    title="Lift",
    points=(
        PointSpec("ok", BOOLEAN, max_age_s=900.0),
        PointSpec("people_inside", BOOLEAN, max_age_s=120.0, privacy=Privacy.INTERNAL),
        PointSpec("building", reference("building"), Access.FIXED),
    ),
    doc="A lift under remote watch.",
)

KINDS: Final = (BUILDING_ZONE, FIRE_PANEL, GATE, LIFT)
