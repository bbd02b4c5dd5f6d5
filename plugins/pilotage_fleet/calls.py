"""What a story may ask of fleet management."""

from __future__ import annotations

from typing import Final

from pilotage.model.entities import CallSpec, Parameter
from pilotage.model.values import ANY, NUMBER, reference

CALLS: Final = (
    CallSpec(
        "fleet.dispatch",
        (Parameter("vehicle", ANY), Parameter("route", reference("route"), required=False)),
        statuses=("accepted", "under_way", "refused", "done"),
        doc="Send a vehicle (one, or a set whose first is taken) out, on a route when one is given. Asked again, the "
        "same vehicle is sent to the same place: that changes nothing.",
        pulse=False,
    ),
    CallSpec(
        "fleet.stand_by",
        (Parameter("crews", NUMBER),),
        statuses=("accepted", "refused", "done"),
        doc="Call a number of crews to their depots. Asked twice, it calls twice as many.",
    ),
    CallSpec(
        "fleet.stand_down",
        statuses=("accepted", "refused", "done"),
        doc="Send the crews on stand-by home.",
        pulse=False,
    ),
)
