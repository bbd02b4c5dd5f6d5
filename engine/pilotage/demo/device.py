"""What all simulated equipment has in common: a timetable in city time, a mouth and ears; no clock, no network."""

from __future__ import annotations

import csv
import heapq
import itertools
import json
import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

CITY: Final = Path(__file__).parent / "city"
ZONE: Final = ZoneInfo("Europe/Paris")
METRES_PER_DEGREE: Final = 111_320.0

Row = Mapping[str, str]
Action = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Message:
    """Something that a device says; of a state (`keep`), the broker keeps the last one of each topic."""

    topic: str
    payload: bytes
    keep: bool = True


class Group:
    """Some equipment that shares one connection.

    The group's time is what `step` was last given; everything it does stands in its timetable.
    """

    name = "group"
    listens: tuple[str, ...] = ()

    def __init__(self, seed: int, start: float) -> None:
        """Begin at a moment of the city's time; the same seed gives the same city."""
        self.random = random.Random(f"{self.name}-{seed}")
        self.start = start
        self.now = start
        self._said: list[Message] = []
        self._timetable: list[tuple[float, int, Action]] = []
        self._count = itertools.count()

    @property
    def next_due(self) -> float:
        """When the group wants to do something next, in the city's time."""
        return self._timetable[0][0] if self._timetable else math.inf

    def step(self, now: float) -> list[Message]:
        """Do what is due until now, and return what was said meanwhile."""
        while self._timetable and self._timetable[0][0] <= now:
            due, _, action = heapq.heappop(self._timetable)
            self.now = max(self.now, due)
            action()
        self.now = max(self.now, now)
        said, self._said = self._said, []
        return said

    def hear(self, topic: str, payload: bytes, now: float) -> None:
        """Take a message in; what is no JSON object is ignored, as real equipment does."""
        self.now = max(self.now, now)
        try:
            fields = json.loads(payload)
        except ValueError:
            return
        if isinstance(fields, dict):
            self.obey(topic.split("/"), fields)

    def obey(self, topic: list[str], fields: dict[str, Any]) -> None:
        """Do what a message asks."""

    def say(self, topic: str, *, keep: bool = True, **fields: Any) -> None:
        """Publish, with the time at the device."""
        fields["ts"] = round(self.now, 3)
        self._said.append(Message(topic, json.dumps(fields, ensure_ascii=False).encode(), keep))

    def after(self, seconds: float, action: Action) -> None:
        """Do something later."""
        heapq.heappush(self._timetable, (self.now + seconds, next(self._count), action))

    def every(self, seconds: float, action: Action, first: float | None = None) -> None:
        """Do something again and again; devices do not begin all at the same moment."""

        def again() -> None:
            action()
            self.after(seconds, again)

        self.after(self.random.uniform(0, seconds) if first is None else first, again)

    @property
    def hour(self) -> float:
        """Hour of the day in the city, with its fraction."""
        moment = datetime.fromtimestamp(self.now, ZONE)
        return moment.hour + moment.minute / 60 + moment.second / 3600

    @property
    def elapsed(self) -> float:
        """Seconds since the demonstration began."""
        return self.now - self.start


def inventory(name: str) -> list[dict[str, str]]:
    """Return the rows of one of the city's files."""
    file = CITY / "inventory" / name
    if file.suffix == ".csv":
        with file.open(newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))
    features = json.loads(file.read_text(encoding="utf-8"))["features"]
    return [
        {"id": feature["id"], **{key: str(value) for key, value in feature["properties"].items()}}
        for feature in features
    ]


def place_of(row: Row) -> tuple[float, float]:
    """Return latitude and longitude of a row."""
    return float(row["latitude"]), float(row["longitude"])


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return the distance of two places of one city, in metres."""
    east = (b[1] - a[1]) * math.cos(math.radians(a[0]))
    return math.hypot(b[0] - a[0], east) * METRES_PER_DEGREE


class Track:
    """A way through the city, measured in metres from its beginning."""

    def __init__(self, places: Iterable[tuple[float, float]]) -> None:
        """Join places by straight lines."""
        self.places = list(places)
        pairs = itertools.pairwise(self.places)
        self.marks = [0.0, *itertools.accumulate(metres(a, b) for a, b in pairs)]

    @property
    def length(self) -> float:
        """The whole way, in metres."""
        return self.marks[-1]

    def at(self, metre: float) -> tuple[float, float]:
        """Return the place at a distance from the beginning."""
        metre = min(max(metre, 0.0), self.length)
        leg = next(
            i for i, mark in enumerate(self.marks[1:]) if metre <= mark or mark == self.length
        )
        span = self.marks[leg + 1] - self.marks[leg] or 1.0
        part = (metre - self.marks[leg]) / span
        a, b = self.places[leg], self.places[leg + 1]
        return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part


def as_position(place: tuple[float, float]) -> dict[str, float]:
    """Return a place as devices write it."""
    return {"lat": round(place[0], 6), "lon": round(place[1], 6)}


def between(hour: float, marks: Mapping[float, float]) -> float:
    """Return the value of a daily profile at an hour, on straight lines between its marks; midnight joins both ends."""
    hours = sorted(marks)
    after = next((h for h in hours if h > hour), hours[0] + 24)
    before = max((h for h in hours if h <= hour), default=hours[-1] - 24)
    low, high = marks[before % 24], marks[after % 24]
    return low + (high - low) * (hour - before) / (after - before)
