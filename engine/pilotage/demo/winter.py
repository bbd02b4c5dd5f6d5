"""A cold front: roads freeze, snow is announced, and ploughs are sent out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pilotage.demo.device import Group, Track, as_position, between, inventory, place_of

SURFACE_BY_HOURS: Final[Mapping[float, float]] = {
    0: 2.2,
    0.15: 1.0,
    1: -0.3,
    2.5: -1.6,
    4: -3.0,
    6: -3.6,
    9: -1.0,
    12: 1.5,
    23: 2.0,
}
"""Surface temperature in °C, by hours since the beginning."""

SNOW_12H_BY_HOURS: Final[Mapping[float, float]] = {
    0: 0.0,
    0.5: 0.4,
    1: 0.8,
    2: 1.8,
    3: 4.0,
    4: 8.0,
    5: 12.0,
    7: 11.0,
    9: 6.0,
    11: 2.0,
    13: 0.0,
    23: 0.0,
}
"""Snow expected within twelve hours, in cm."""

SNOWFALL_FROM_H: Final = 2.0
SNOWFALL_TO_H: Final = 8.0
ROUND_S: Final = 2_400.0


class Weather(Group):
    """Road stations and the forecast."""

    name = "weather"

    def __init__(self, seed: int, start: float) -> None:
        """Begin to measure."""
        super().__init__(seed, start)
        self.stations = [row["id"] for row in inventory("road_stations.csv")]
        for number, id_ in enumerate(self.stations):
            self.every(600.0, partial(self.station, id_, number), first=0.0)
        self.every(1_800.0, self.forecast, first=0.0)
        for row in inventory("routes.csv"):
            self.every(3_600.0, partial(self.route, row["id"]), first=0.0)

    @property
    def hours(self) -> float:
        """Hours since the beginning, within one day."""
        return self.elapsed / 3600 % 23

    @property
    def is_snowing(self) -> bool:
        """True while snow falls."""
        return SNOWFALL_FROM_H <= self.hours < SNOWFALL_TO_H

    def station(self, id_: str, number: int) -> None:
        """Say what the road is like; the bridge is colder than the boulevard."""
        surface = between(self.hours, SURFACE_BY_HOURS) - 0.4 * (2 - number)
        surface += self.random.gauss(0, 0.08)
        wet = self.is_snowing or surface < 0.5
        self.say(
            f"city/road/{id_}/weather",
            surface=round(surface, 2),
            air=round(surface + 1.1, 2),
            dew=round(surface - 0.2, 2),
            humidity=round(min(99.0, 78.0 + 3.0 * self.hours)),
            wet=wet,
            grip=0.3 if wet and surface < 0 else 0.55 if wet else 0.8,
        )

    def forecast(self) -> None:
        """Say what is expected."""
        snow = between(self.hours, SNOW_12H_BY_HOURS)
        self.say(
            "city/forecast/forecast-dijon",
            snow=[round(snow * share, 1) for share in (0.35, 0.65, 1.0, 1.15, 1.2)],
            rain=False,
            lowest=round(min(SURFACE_BY_HOURS.values()) if self.hours > 1 else 1.0, 1),
        )

    def route(self, id_: str) -> None:
        """Say what a driver last said of a route."""
        condition = (
            "C3" if self.is_snowing and self.hours > 4 else "C2" if self.is_snowing else "C1"
        )
        self.say(f"city/route/{id_}/state", blocked=False, treated=False, condition=condition)


@dataclass(slots=True)
class Plough:
    """A spreader with a blade."""

    id: str
    home: tuple[float, float]
    way: Track
    route: str = ""
    left_at: float = 0.0
    salt_kg: float = 6_000.0


class Fleet(Group):
    """The depot: answers calls, and sends ploughs around their routes."""

    name = "fleet"
    listens = (
        "city/fleet/dispatch",
        "city/fleet/stand_by",
        "city/fleet/stand_down",
        "city/route/+/treatment",
    )

    def __init__(self, seed: int, start: float) -> None:
        """Park the ploughs at the depot."""
        super().__init__(seed, start)
        self.starts = {row["id"]: place_of(row) for row in inventory("routes.csv")}
        self.ploughs = {}
        for row in inventory("ploughs.csv"):
            home = place_of(row)
            self.ploughs[row["id"]] = Plough(row["id"], home, Track([home, home]))
            self.every(10.0, partial(self.report, self.ploughs[row["id"]]), first=0.0)

    def obey(self, topic: list[str], fields: dict[str, Any]) -> None:
        """Answer a call; a treatment is noted and answered by nobody."""
        id_ = fields.get("id")
        if topic[1] != "fleet" or not isinstance(id_, str):
            return
        if topic[2] != "dispatch":
            self.after(5.0, lambda: self.answer(id_, "accepted"))
            return
        route = str(fields.get("route") or "")
        plough = self.free_plough(_first(fields.get("vehicle")))
        if plough is None:
            self.after(5.0, lambda: self.answer(id_, "refused", "no plough is free"))
            return
        plough.route = route or "-"
        self.after(8.0, lambda: self.answer(id_, "accepted"))
        self.after(90.0, lambda: self.leave(plough, id_))

    def free_plough(self, wanted: str) -> Plough | None:
        """Return the plough that is wanted, or when it has just left, another one that is free."""
        first = self.ploughs.get(wanted)
        others = self.ploughs.values()
        return next((p for p in (first, *others) if p is not None and not p.route), None)

    def answer(self, call: str, status: str, why: str = "") -> None:
        """Say what becomes of a call."""
        self.say("city/fleet/reply", keep=False, id=call, status=status, why=why)

    def leave(self, plough: Plough, call: str) -> None:
        """Drive to the route, around it, and back."""
        start = self.starts.get(plough.route, plough.home)
        corner = (start[0] - 0.004, start[1] + 0.008)
        plough.way = Track([plough.home, start, corner, start, plough.home])
        plough.left_at = self.now
        self.answer(call, "under_way")
        self.after(ROUND_S, lambda: self.come_home(plough, call))

    def come_home(self, plough: Plough, call: str) -> None:
        """End a round."""
        if plough.route in self.starts:
            self.say(
                f"city/route/{plough.route}/state", blocked=False, treated=True, condition="C1"
            )
        plough.route, plough.left_at, plough.salt_kg = "", 0.0, 6_000.0
        self.answer(call, "done")

    def report(self, plough: Plough) -> None:
        """Say where a plough is and what it does."""
        part = (self.now - plough.left_at) / ROUND_S if plough.left_at else 0.0
        at = plough.way.at(plough.way.length * part) if plough.left_at else plough.home
        plough.salt_kg = 6_000.0 * (1 - 0.8 * part)
        fields: dict[str, Any] = {"route": plough.route} if plough.route in self.starts else {}
        self.say(
            f"city/plough/{plough.id}",
            free=not plough.route,
            at=as_position(at),
            speed=22.0 if plough.left_at else 0.0,
            salt=round(plough.salt_kg),
            blade="down" if plough.left_at else "up",
            **fields,
        )


def _first(vehicle: Any) -> str:
    """Return the vehicle that was named, or the first of a set."""
    if isinstance(vehicle, list):
        vehicle = vehicle[0] if vehicle else ""
    return str(vehicle or "")
