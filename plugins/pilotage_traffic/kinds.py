"""The kinds of traffic control: junctions, what counts in front of them, and the buses that ask for green.

The controller of a junction keeps its own safety (conflicts, clearance, pedestrian times); it is only asked.
"""

from __future__ import annotations

from typing import Final

from pilotage.model.entities import Access, Combine, Kind, PointSpec, Privacy
from pilotage.model.values import BOOLEAN, POSITION, TEXT, enum, number, reference

PRIORITY_STATUSES: Final = (
    "received",
    "queued",
    "activated",
    "completed",
    "timeout",
    "rejected",
    "cooldown",
    "stale",
)
"""States of a request for priority. Source: RSMP signal exchange list for traffic light controllers, S0033."""

SIGNAL_JUNCTION: Final = Kind(
    name="signal_junction",
    title="Signalled junction",
    points=(
        PointSpec(
            "bus_priority_allowed",
            BOOLEAN,
            Access.FIXED,
            privacy=Privacy.OPEN,
            doc="The controller is fitted for it and the street allows it.",
        ),
        PointSpec(
            "held_by",
            enum("nobody", "bus", "tram", "emergency", "police"),
            max_age_s=300.0,
            doc="Whose green the controller serves at this moment, outside its plan.",
        ),
        PointSpec(
            "priority",
            reference(""),
            Access.BOTH,
            max_age_s=300.0,
            combine=Combine.FIRST,
            travel_s=3.0,
            statuses=PRIORITY_STATUSES,
            deadline_s=2.0,
            deadband={"eta": 2.0},
            doc="A request for green, held for one vehicle; a new eta is sent when it moved by 2 s.",
        ),
        PointSpec(
            "plan",
            number(),
            Access.BOTH,
            low=1.0,
            high=32.0,
            max_age_s=900.0,
            combine=Combine.REFUSE,
            min_on_s=900.0,
            travel_s=180.0,
            deadline_s=2.0,
            doc="Number of the signal plan; given back, the controller follows its own calendar. "
            "A change waits for the end of the cycle.",
        ),
        PointSpec(
            "mode",
            enum("normal", "flash", "dark", "local"),
            max_age_s=300.0,
            doc="What the street sees; local means that somebody works at the cabinet.",
        ),
        PointSpec(
            "cycle", number("s"), low=20.0, high=200.0, max_age_s=900.0, doc="Length of the cycle."
        ),
        PointSpec("in_step", BOOLEAN, max_age_s=900.0, doc="Coordinated with its neighbours."),
        PointSpec("lamp_fault", BOOLEAN, max_age_s=3_600.0, doc="A signal lamp is out."),
        PointSpec("door_open", BOOLEAN, max_age_s=3_600.0, doc="Contact of the cabinet's door."),
        PointSpec("comm_ok", BOOLEAN, max_age_s=120.0, doc="The controller answers its watchdog."),
        PointSpec(
            "cross_occupancy",
            number("%"),
            low=0.0,
            high=100.0,
            max_age_s=180.0,
            every_s=60.0,
            doc="Share of time that the loops of the side street were covered, last minute.",
        ),
        PointSpec("position", POSITION, Access.FIXED, privacy=Privacy.OPEN),
    ),
    relations={"detectors": "detector"},
    doc="A junction with traffic lights and one controller.",
)

DETECTOR: Final = Kind(
    name="detector",
    title="Traffic detector",
    points=(
        PointSpec(
            "flow",
            number("veh/h"),
            low=0.0,
            high=6_000.0,
            max_age_s=300.0,
            every_s=60.0,
            privacy=Privacy.OPEN,
        ),
        PointSpec(
            "occupancy",
            number("%"),
            low=0.0,
            high=100.0,
            max_age_s=300.0,
            every_s=60.0,
            doc="Share of the last minute that the loop was covered.",
        ),
        PointSpec("speed", number("km/h"), low=0.0, high=200.0, max_age_s=300.0, every_s=60.0),
        PointSpec(
            "count",
            number("veh"),
            low=0.0,
            max_age_s=300.0,
            every_s=60.0,
            doc="Vehicles since midnight.",
        ),
        PointSpec(
            "ok",
            BOOLEAN,
            max_age_s=900.0,
            doc="The card's own verdict; a stuck loop can still say true.",
        ),
        PointSpec("junction", reference("signal_junction"), Access.FIXED),
        PointSpec("position", POSITION, Access.FIXED, privacy=Privacy.OPEN),
    ),
    doc="A loop, radar or camera that counts vehicles.",
)

BUS: Final = Kind(
    name="bus",
    title="Bus",
    points=(
        PointSpec(
            "delay",
            number("s"),
            low=-3_600.0,
            high=7_200.0,
            max_age_s=300.0,
            doc="Behind the timetable, in s; below zero it is early.",
        ),
        PointSpec(
            "position",
            POSITION,
            max_age_s=60.0,
            every_s=5.0,
            privacy=Privacy.PERSONAL,
            doc="Where it is. Personal: it is also where its driver is.",
        ),
        PointSpec(
            "speed",
            number("m/s"),
            low=0.0,
            high=25.0,
            max_age_s=60.0,
            every_s=5.0,
            privacy=Privacy.PERSONAL,
            doc="In m/s; feeds are known to hold values above 28 m/s, which no city bus drives.",
        ),
        PointSpec(
            "line",
            TEXT,
            max_age_s=86_400.0,
            privacy=Privacy.OPEN,
            doc="The line it serves, as on its front.",
        ),
        PointSpec(
            "next_junction",
            reference("signal_junction"),
            max_age_s=120.0,
            doc="The next one on its way.",
        ),
        PointSpec(
            "headway",
            number("s"),
            low=0.0,
            high=14_400.0,
            max_age_s=300.0,
            doc="Behind the bus ahead of it.",
        ),
        PointSpec(
            "occupancy",
            number("%"),
            low=0.0,
            high=200.0,
            max_age_s=600.0,
            doc="People in % of places.",
        ),
        PointSpec("door_open", BOOLEAN, max_age_s=60.0, doc="It stands at a stop."),
    ),
    doc="A bus in service.",
)

KINDS: Final = (SIGNAL_JUNCTION, DETECTOR, BUS)
