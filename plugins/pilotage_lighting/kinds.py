"""The kinds of street lighting, from the cabinet to the single lamp.

A segment is what rules speak of; its `lights.level` stands for the level of each of its lamps.
"""

from __future__ import annotations

from typing import Final

from pilotage.model.entities import Access, Combine, Group, Kind, OnLoss, PointSpec, Privacy
from pilotage.model.values import BOOLEAN, POSITION, TEXT, enum, number, reference

CLASSES: Final = (
    *(f"M{step}" for step in range(1, 7)),
    *(f"C{step}" for step in range(6)),
    *(f"P{step}" for step in range(1, 8)),
)
"""Lighting classes for motor roads (M), conflict areas (C) and pedestrians (P)."""

LAMP: Final = Kind(
    name="lamp",
    title="Light point",
    points=(
        PointSpec(
            "level",
            number("%"),
            Access.BOTH,
            low=0.0,
            high=100.0,
            max_age_s=1_800.0,
            default=100.0,
            on_loss=OnLoss(100.0),
            combine=Combine.MAX,
            travel_s=1.0,
            tolerance=2.0,
            every_s=900.0,
            privacy=Privacy.OPEN,
            doc="Dimming level in % of full light; a lamp that lost us burns in full.",
        ),
        PointSpec(
            "power",
            number("W"),
            low=0.0,
            high=1_000.0,
            max_age_s=1_800.0,
            every_s=900.0,
            doc="Power drawn from the mains, in W, read each quarter of an hour.",
        ),
        PointSpec(
            "energy",
            number("kWh"),
            low=0.0,
            max_age_s=7_200.0,
            every_s=900.0,
            privacy=Privacy.OPEN,
            doc="Energy counter in kWh; it only rises.",
        ),
        PointSpec(
            "burn_hours",
            number("h"),
            low=0.0,
            max_age_s=172_800.0,
            doc="Hours burnt since it was fitted.",
        ),
        PointSpec(
            "lamp_fail", BOOLEAN, max_age_s=7_200.0, doc="The driver reports a failed light source."
        ),
        PointSpec(
            "driver_temp",
            number("°C"),
            low=-40.0,
            high=120.0,
            max_age_s=3_600.0,
            doc="Inside the driver.",
        ),
        PointSpec(
            "tilt",
            number("°"),
            low=0.0,
            high=90.0,
            max_age_s=86_400.0,
            doc="Mast from the vertical.",
        ),
        PointSpec("comm_ok", BOOLEAN, max_age_s=3_600.0, doc="The gateway hears the lamp."),
        PointSpec("position", POSITION, Access.FIXED, privacy=Privacy.OPEN),
        PointSpec(
            "cabinet", reference("cabinet"), Access.FIXED, doc="The cabinet that feeds the lamp."
        ),
    ),
    doc="One luminaire with its driver.",
)

CABINET: Final = Kind(
    name="cabinet",
    title="Lighting cabinet",
    points=(
        PointSpec("door_open", BOOLEAN, max_age_s=900.0, doc="Contact of the door."),
        PointSpec(
            "contactor", enum("closed", "open"), max_age_s=900.0, doc="Closed feeds the street."
        ),
        PointSpec(
            "phase_current",
            number("A"),
            low=0.0,
            high=400.0,
            max_age_s=900.0,
            every_s=300.0,
            doc="Highest current of the three phases, in A.",
        ),
        PointSpec(
            "energy", number("kWh"), low=0.0, max_age_s=7_200.0, every_s=900.0, privacy=Privacy.OPEN
        ),
        PointSpec("comm_ok", BOOLEAN, max_age_s=600.0, doc="The cabinet's modem answers."),
        PointSpec("position", POSITION, Access.FIXED, privacy=Privacy.OPEN),
    ),
    relations={"lamps": "lamp"},
    doc="The cabinet that feeds and protects the lamps of some streets.",
)

LIGHTING_SEGMENT: Final = Kind(
    name="lighting_segment",
    title="Lit street segment",
    points=(
        PointSpec(
            "dimmable",
            BOOLEAN,
            Access.FIXED,
            privacy=Privacy.OPEN,
            doc="Its drivers can be dimmed.",
        ),
        PointSpec(
            "class",
            enum(*CLASSES),
            Access.FIXED,
            privacy=Privacy.OPEN,
            doc="Lighting class at full traffic.",
        ),
        PointSpec(
            "commune",
            TEXT,
            Access.FIXED,
            privacy=Privacy.OPEN,
            doc="The commune that decides its hours.",
        ),
        PointSpec(
            "pedestrian_detected",
            BOOLEAN,
            max_age_s=180.0,
            doc="Somebody walks there. Sent at each change and as a heartbeat each minute.",
        ),
        PointSpec(
            "traffic.flow",
            number("veh/h"),
            low=0.0,
            high=6_000.0,
            max_age_s=300.0,
            every_s=60.0,
            privacy=Privacy.OPEN,
            doc="Vehicles in both directions, in veh/h, from the last minute.",
        ),
        PointSpec(
            "traffic.speed",
            number("km/h"),
            low=0.0,
            high=200.0,
            max_age_s=300.0,
            every_s=60.0,
            doc="Mean speed of the last minute, in km/h.",
        ),
        PointSpec(
            "illuminance",
            number("lx"),
            low=0.0,
            high=150_000.0,
            max_age_s=600.0,
            every_s=60.0,
            doc="Light on the mast's twilight cell, in lx.",
        ),
        PointSpec(
            "lights.level",
            number("%"),
            Access.BOTH,
            low=0.0,
            high=100.0,
            max_age_s=1_800.0,
            default=100.0,
            on_loss=OnLoss(100.0),
            combine=Combine.MAX,
            travel_s=1.0,
            tolerance=2.0,
            group=Group("lamps", "level"),
            privacy=Privacy.OPEN,
            doc="Level of all its lamps, in % of full light.",
        ),
        PointSpec(
            "route", reference("route"), Access.FIXED, doc="The winter route that runs along it."
        ),
        PointSpec("cabinet", reference("cabinet"), Access.FIXED, doc="The cabinet that feeds it."),
        PointSpec(
            "location",
            POSITION,
            Access.FIXED,
            privacy=Privacy.OPEN,
            doc="The middle of the segment.",
        ),
    ),
    relations={"lamps": "lamp"},
    doc="A stretch of street whose lamps are piloted together.",
)

KINDS: Final = (LAMP, CABINET, LIGHTING_SEGMENT)
