"""The avenue: buses that are late and wait at red lights, and an ambulance that is never asked to wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from pilotage.demo.device import Group, Track, as_position, inventory, metres, place_of
from pilotage.demo.signals import Lights, offsets

BEYOND_M: Final = 450.0
"""How far the line goes on before the first junction and after the last."""

STOP_EVERY_M: Final = 380.0


def avenue() -> tuple[Track, dict[str, float]]:
    """Return the line of the buses, and where on it each junction stands, in metres."""
    rows = inventory("junctions.csv")
    places = [place_of(row) for row in rows]
    first, last = places[0], places[-1]
    step = ((last[0] - first[0]) / len(places), (last[1] - first[1]) / len(places))
    scale = BEYOND_M / metres(first, (first[0] + step[0], first[1] + step[1]))
    before = (first[0] - step[0] * scale, first[1] - step[1] * scale)
    behind = (last[0] + step[0] * scale, last[1] + step[1] * scale)
    track = Track([before, *places, behind])
    return track, {row["id"]: track.marks[i + 1] for i, row in enumerate(rows)}


@dataclass(slots=True)
class Bus:
    """A bus on the line; `way` is 1 outwards, -1 back."""

    id: str
    line: str
    metre: float
    way: int
    delay_s: float
    speed: float = 0.0
    waits_until: float = 0.0
    next_stop: float = 0.0


class Buses(Group):
    """The buses of the line; what lights they come to, they see."""

    name = "buses"

    def __init__(self, seed: int, start: float) -> None:
        """Put the buses on their way."""
        super().__init__(seed, start)
        self.track, self.marks = avenue()
        self.lights = {id_: Lights(offset_s) for id_, offset_s in offsets(seed).items()}
        rows = inventory("buses.csv")
        self.buses = [self.put(row, i / len(rows)) for i, row in enumerate(rows)]
        for bus in self.buses:
            self.every(1.0, partial(self.drive, bus))
            self.every(5.0, partial(self.say_bus, bus), first=0.0)

    def see(self, held: Mapping[str, str]) -> None:
        """Take in whom each junction serves."""
        for id_, held_by in held.items():
            if id_ in self.lights:
                self.lights[id_].held_by = held_by

    def put(self, row: dict[str, str], share: float) -> Bus:
        """Return a bus somewhere on the line."""
        way = 1 if self.random.random() < 0.5 else -1
        delay = self.random.uniform(60, 300)
        return Bus(row["id"], row["line"], share * self.track.length, way, delay)

    def drive(self, bus: Bus) -> None:
        """Let a second pass for a bus."""
        if self.now < bus.waits_until:
            bus.speed = 0.0
            bus.delay_s += 0.4
            return
        ahead = self.next_junction(bus)
        gap = abs(self.marks[ahead] - bus.metre) if ahead else 1e9
        if ahead and gap < 12.0 and self.lights[ahead].is_red(self.now):
            bus.speed = 0.0
            bus.delay_s += 1.0
            return
        bus.speed = min(9.0, bus.speed + 1.2)
        before = bus.metre
        bus.metre += bus.speed * bus.way
        bus.delay_s = max(-30.0, bus.delay_s - 0.15)
        if int(before // STOP_EVERY_M) != int(bus.metre // STOP_EVERY_M):
            bus.waits_until = self.now + self.random.uniform(8, 25)
        if not 0.0 < bus.metre < self.track.length:
            self.turn(bus)

    def turn(self, bus: Bus) -> None:
        """Turn at the end of the line, and start late or not."""
        bus.metre = min(max(bus.metre, 0.0), self.track.length)
        bus.way = -bus.way
        bus.waits_until = self.now + self.random.uniform(60, 240)
        bus.delay_s = max(-30.0, self.random.gauss(110, 110))

    def next_junction(self, bus: Bus) -> str:
        """Return the junction that a bus comes to next, or nothing."""
        ahead = [
            (abs(mark - bus.metre), id_)
            for id_, mark in self.marks.items()
            if (mark - bus.metre) * bus.way > 0
        ]
        return min(ahead)[1] if ahead else ""

    def say_bus(self, bus: Bus) -> None:
        """Say where a bus is, and how late."""
        self.say(
            f"city/bus/{bus.id}",
            at=as_position(self.track.at(bus.metre)),
            speed=round(bus.speed, 1),
            delay=round(bus.delay_s),
            line=bus.line,
            door=bus.speed == 0.0 and self.now < bus.waits_until,
        )


class Ambulance(Group):
    """An ambulance that leaves its station now and then, by the avenue and back past the bollards."""

    name = "ambulance"
    EVERY_S: Final = 5_400.0

    def __init__(self, seed: int, start: float) -> None:
        """Wait at the station."""
        super().__init__(seed, start)
        (self.row,) = inventory("emergency.csv")
        gates = [place_of(row) for row in inventory("bollards.csv")]
        home = place_of(self.row)
        self.track = Track([home, *gates, home])
        self.metre = 0.0
        self.on_call = False
        self.every(2.0, self.report, first=0.0)
        self.after(2_400.0, self.leave)

    def leave(self) -> None:
        """Go on call."""
        self.on_call, self.metre = True, 0.0
        self.after(self.EVERY_S * self.random.uniform(0.7, 1.4), self.leave)

    def report(self) -> None:
        """Drive for two seconds, and say where it is."""
        speed = 11.0 if self.on_call else 0.0
        self.metre += speed * 2.0
        if self.metre >= self.track.length:
            self.on_call, self.metre = False, 0.0
        place = as_position(self.track.at(self.metre))
        self.say(f"city/emergency/{self.row['id']}", at=place, speed=speed, on_call=self.on_call)
