"""Streets: lamps that obey late (or not at all), vehicles and people that come and go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pilotage.demo.device import Group, between, inventory

TRAFFIC_BY_HOUR: Final[Mapping[float, float]] = {
    0: 0.06,
    2: 0.03,
    5: 0.08,
    7: 0.7,
    8.5: 1.0,
    12: 0.8,
    15: 0.75,
    18: 1.0,
    20: 0.45,
    22: 0.12,
    23: 0.08,
}
"""Share of the busiest hour."""

PEOPLE_BY_HOUR: Final[Mapping[float, float]] = {
    0: 3.0,
    2: 1.0,
    5: 0.5,
    7: 10.0,
    12: 30.0,
    18: 30.0,
    21: 10.0,
    23: 5.0,
}
"""People who walk through a street in an hour."""

LUX_BY_HOUR: Final[Mapping[float, float]] = {
    0: 0.3,
    7: 0.5,
    9: 6000.0,
    13: 20_000.0,
    16.5: 4000.0,
    18: 0.5,
}
SWITCH_LUX: Final = 35.0
"""Below this much daylight the cabinets feed the street."""

METER_S: Final = 30.0
IGNORED_SHARE: Final = 0.03
"""Commands that a lamp does not hear, until they are sent again."""

BROKEN: Final = "lamp-berbisey-5"
"""A lamp whose driver is stuck at full light."""

DEAD: Final = "lamp-monge-3"
"""A lamp that burnt out."""


@dataclass(slots=True)
class Lamp:
    """One luminaire; its level is on a straight line from one moment to another."""

    id: str
    start_level: float = 100.0
    goal: float = 100.0
    start_at: float = 0.0
    end_at: float = 0.0

    def level(self, now: float) -> float:
        """Return the level now, in %."""
        if now >= self.end_at:
            return self.goal
        part = (now - self.start_at) / (self.end_at - self.start_at)
        return self.start_level + (self.goal - self.start_level) * max(0.0, part)


class Lamps(Group):
    """All lamps, behind one gateway."""

    name = "lamps"
    listens = ("city/lamp/+/set",)

    def __init__(self, seed: int, start: float) -> None:
        """Switch every lamp on."""
        super().__init__(seed, start)
        self.lamps = {row["id"]: Lamp(row["id"]) for row in inventory("lamps.csv")}
        for lamp in self.lamps.values():
            self.every(900.0, partial(self.report, lamp))
            self.after(0.0, partial(self.report, lamp))

    def obey(self, topic: list[str], fields: dict[str, Any]) -> None:
        """Fade to a level, after the time that the radio takes."""
        lamp, level = self.lamps.get(topic[2]), fields.get("level")
        if lamp is None or not isinstance(level, (int, float)):
            return
        if lamp.id in (BROKEN, DEAD) or self.random.random() < IGNORED_SHARE:
            return
        goal, fade = min(100.0, max(0.0, float(level))), float(fields.get("fade") or 0.0)
        self.after(self.random.uniform(0.2, 1.0), lambda: self.fade(lamp, goal, fade))

    def fade(self, lamp: Lamp, goal: float, seconds: float) -> None:
        """Begin to fade, and report on the way and at the end."""
        lamp.start_level, lamp.goal = lamp.level(self.now), goal
        lamp.start_at, lamp.end_at = self.now, self.now + seconds
        for part in range(1, int(seconds // 15) + 1):
            self.after(15.0 * part, lambda: self.report(lamp))
        self.after(seconds, lambda: self.report(lamp))

    def report(self, lamp: Lamp) -> None:
        """Say the level, and the power that belongs to it."""
        level = 0.0 if lamp.id == DEAD else lamp.level(self.now)
        watts = 0.0 if level == 0 else 6.0 + 0.54 * level
        self.say(
            f"city/lamp/{lamp.id}/state",
            level=round(level, 1),
            power=round(watts, 1),
            failed=lamp.id == DEAD,
            comm=True,
        )


class Cabinets(Group):
    """The cabinets that feed the lamps: contactors that follow the twilight, and meters behind them."""

    name = "cabinets"

    def __init__(self, seed: int, start: float) -> None:
        """Read the meters for the first time."""
        super().__init__(seed, start)
        lamps = [row["cabinet"] for row in inventory("lamps.csv")]
        self.lamps = {row["id"]: lamps.count(row["id"]) for row in inventory("cabinets.csv")}
        self.kwh = {id_: self.random.uniform(8_000, 30_000) for id_ in self.lamps}
        for id_ in self.lamps:
            self.every(METER_S, partial(self.report, id_), first=0.0)

    def report(self, id_: str) -> None:
        """Say how a cabinet is."""
        is_dark = between(self.hour, LUX_BY_HOUR) < SWITCH_LUX
        watts = self.lamps[id_] * self.random.uniform(35, 45) if is_dark else 0.0
        self.kwh[id_] += watts * METER_S / 3.6e6
        self.say(
            f"city/cabinet/{id_}/state",
            door=False,
            open=not is_dark,
            amps=round(watts / 230, 2),
            kwh=round(self.kwh[id_], 1),
            comm=True,
        )


class Detectors(Group):
    """Radars that count vehicles, cameras that see people, cells that see the light; one of each per street."""

    name = "detectors"

    def __init__(self, seed: int, start: float) -> None:
        """Begin to count."""
        super().__init__(seed, start)
        self.streets = inventory("streets.geojson")
        self.people: dict[str, int] = {}
        for street in self.streets:
            id_, most = street["id"], float(street["vehicles_by_day"])
            self.people[id_] = 0
            self.every(60.0, partial(self.traffic, id_, most))
            self.every(60.0, partial(self.say_people, id_))
            self.every(60.0, partial(self.light, id_))
            self.every(30.0, partial(self.maybe_somebody, id_))

    def traffic(self, id_: str, most: float) -> None:
        """Say how many vehicles pass, and how fast; a minute is short, so the number jumps."""
        mean = most * between(self.hour, TRAFFIC_BY_HOUR)
        passed = max(0, round(self.random.gauss(mean / 60, (mean / 60) ** 0.5 * 0.6)))
        flow = 0.5 * mean + 0.5 * passed * 60  # the radar smooths
        speed = max(15.0, 46.0 - flow / 60 + self.random.gauss(0, 3))
        self.say(f"city/street/{id_}/traffic", flow=round(flow), speed=round(speed, 1))

    def maybe_somebody(self, id_: str) -> None:
        """Let somebody walk in, now and then."""
        if self.random.random() < between(self.hour, PEOPLE_BY_HOUR) / 120:
            self.people[id_] += 1
            if self.people[id_] == 1:
                self.say_people(id_)
            self.after(self.random.uniform(20, 80), lambda: self.leave(id_))

    def leave(self, id_: str) -> None:
        """Let somebody walk out."""
        self.people[id_] -= 1
        if self.people[id_] == 0:
            self.say_people(id_)

    def say_people(self, id_: str) -> None:
        """Say whether somebody walks there; said again each minute, as a heartbeat."""
        self.say(f"city/street/{id_}/people", detected=self.people[id_] > 0)

    def light(self, id_: str) -> None:
        """Say what the twilight cell sees."""
        lux = between(self.hour, LUX_BY_HOUR) * self.random.uniform(0.9, 1.1)
        self.say(f"city/street/{id_}/light", lux=round(lux, 1))
