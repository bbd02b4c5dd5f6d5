"""The kinds of street access. The engine asks; the bollard's own controller and loop decide."""

from __future__ import annotations

from typing import Final

from pilotage.model.entities import Access, Combine, Kind, PointSpec, Privacy, Rate
from pilotage.model.values import BOOLEAN, POSITION, TEXT, enum

BOLLARD: Final = Kind(
    name="bollard",
    title="Retractable bollard",
    points=(
        PointSpec(
            "position",
            enum("up", "down", "moving"),
            Access.BOTH,
            max_age_s=60.0,
            default="up",
            on_loss_by_site=True,
            combine=Combine.REFUSE,
            min_on_s=10.0,
            travel_s=4.0,
            override_max_s=28_800.0,
            max_rate=Rate(1, 10.0),
            deadline_s=2.0,
            doc="Up closes the street. It stays down for 10 s at least, and needs 4 s to move.",
        ),
        PointSpec(
            "cycle",
            BOOLEAN,
            Access.COMMANDABLE,
            default=False,
            combine=Combine.FIRST,
            max_rate=Rate(1, 10.0),
            deadline_s=2.0,
            pulse=True,
            doc="Down for one vehicle, and up behind it by its own loop. A pulse: told twice it lets two pass.",
        ),
        PointSpec(
            "loop_occupied",
            BOOLEAN,
            max_age_s=10.0,
            every_s=2.0,
            doc="Something stands over it. Unknown counts as occupied: write `loop_occupied` with `if_unknown: act`.",
        ),
        PointSpec(
            "mode",
            enum("auto", "manual", "fault"),
            max_age_s=60.0,
            doc="Manual: somebody holds the key.",
        ),
        PointSpec("traffic_light", enum("green", "amber", "red"), max_age_s=60.0),
        PointSpec("hydraulic_ok", BOOLEAN, max_age_s=900.0),
        PointSpec("power_ok", BOOLEAN, max_age_s=60.0),
        PointSpec(
            "pedestrian_area",
            TEXT,
            Access.FIXED,
            privacy=Privacy.OPEN,
            doc="The pedestrian area that it closes.",
        ),
        PointSpec("place", POSITION, Access.FIXED, privacy=Privacy.OPEN, doc="Where it stands."),
    ),
    doc="One site: one or several bollards that move together, with loop, light and controller.",
)

KINDS: Final = (BOLLARD,)
