"""The kinds of public security: places under watch and the cameras that see them.

No picture ever enters the engine; incidents are the engine's own kind.
"""

from __future__ import annotations

from typing import Final

from pilotage.model.entities import Access, Combine, Kind, OnLoss, PointSpec, Privacy
from pilotage.model.values import BOOLEAN, POSITION, TEXT, enum, reference

BUILDING: Final = Kind(
    name="building",
    title="Building",
    points=(
        PointSpec("address", TEXT, Access.FIXED, privacy=Privacy.OPEN),
        PointSpec(
            "use",
            enum("office", "school", "sports", "culture", "depot", "care", "other"),
            Access.FIXED,
            privacy=Privacy.OPEN,
        ),
        PointSpec(
            "open_to_public",
            BOOLEAN,
            max_age_s=86_400.0,
            privacy=Privacy.OPEN,
            doc="By its own calendar.",
        ),
        PointSpec("location", POSITION, Access.FIXED, privacy=Privacy.OPEN),
    ),
    relations={"zones": "intrusion_zone"},
    doc="A building of the city, as a place.",
)

INTRUSION_ZONE: Final = Kind(
    name="intrusion_zone",
    title="Intrusion zone",
    points=(
        PointSpec(
            "armed",
            BOOLEAN,
            Access.BOTH,
            max_age_s=86_400.0,
            combine=Combine.MAX,
            travel_s=60.0,
            doc="Under watch. The panel keeps its exit delay of up to a minute.",
        ),
        PointSpec(
            "alarm",
            enum("normal", "triggered", "tamper", "fault"),
            max_age_s=60.0,
            every_s=20.0,
            doc="State of the zone; the panel repeats it each 20 s as its heartbeat.",
        ),
        PointSpec("building", reference("building"), Access.FIXED),
        PointSpec(
            "location", POSITION, Access.FIXED, doc="The door or hall that the zone protects."
        ),
    ),
    doc="A part of a building that an intrusion panel watches.",
)

CAMERA: Final = Kind(
    name="camera",
    title="Camera",
    points=(
        PointSpec(
            "online", BOOLEAN, max_age_s=90.0, every_s=30.0, doc="It answers and sends pictures."
        ),
        PointSpec(
            "preset",
            TEXT,
            Access.BOTH,
            max_age_s=300.0,
            default="home",
            combine=Combine.FIRST,
            travel_s=4.0,
            override_max_s=14_400.0,
            doc="The preset it looks at: `home`, a name, or a direction such as `bearing-135`. "
            "Of two alarms the first keeps the camera.",
        ),
        PointSpec(
            "recording",
            enum("off", "motion", "continuous"),
            Access.BOTH,
            max_age_s=300.0,
            default="motion",
            on_loss=OnLoss("motion"),
            combine=Combine.FIRST,
            travel_s=2.0,
            doc="How it records. Source for the month that recordings may be kept: Code de la sécurité "
            "intérieure, L252-5.",
        ),
        PointSpec(
            "privacy_on",
            BOOLEAN,
            Access.BOTH,
            max_age_s=300.0,
            travel_s=2.0,
            doc="The view is masked.",
        ),
        PointSpec("tamper", BOOLEAN, max_age_s=300.0, doc="Covered, turned away or defocused."),
        PointSpec("position", POSITION, Access.FIXED),
    ),
    doc="A camera that can turn.",
)

KINDS: Final = (BUILDING, INTRUSION_ZONE, CAMERA)
