"""What moves: the look of all equipment, versions of lists and a heartbeat, as they change; and where everything stands."""

from __future__ import annotations

from typing import Final

import msgspec

from pilotage.api.question import Question

__all__ = [
    "TOPICS",
    "Beat",
    "CityNow",
    "FollowCity",
    "Leaving",
    "ListPlaces",
    "ListsChanged",
    "LooksChanged",
    "News",
    "Place",
    "PlaceList",
]

TOPICS: Final = (
    "alarms",
    "commands",
    "glass",
    "health",
    "incidents",
    "journal",
    "overrides",
    "plans",
    "rules",
)
"""The lists that have a version; one that changed is worth reading again."""


class CityNow(msgspec.Struct, frozen=True, kw_only=True):
    """Where the news begin.

    Attributes:
        epoch: Names this run of the engine: places are numbered alike as long as it stays.
        at: The engine's time, seconds since 1970.
        looks: A digit (`pilotage.model.looks.Look`) per piece of equipment, in order of place.
        lists: The version of each topic: the number of the decision that changed it last.
    """

    epoch: str
    at: float
    looks: str
    lists: dict[str, int]


class LooksChanged(msgspec.Struct, frozen=True, tag_field="news", tag="s"):
    """Equipment that looks otherwise since the last frame: ten times its place, plus its look."""

    changed: list[int]


class ListsChanged(msgspec.Struct, frozen=True, tag_field="news", tag="t"):
    """The versions of the lists that changed."""

    lists: dict[str, int]


class Beat(msgspec.Struct, frozen=True, tag_field="news", tag="hb"):
    """The engine is alive.

    Attributes:
        at: Its time, seconds since 1970.
        lag_ms: How late its event loop was at worst since the last one.
        heard: The share (0 to 1) of the equipment that is not silent; None when there is none.
        quiet_s: Time since any device reported anything; None when none has since somebody listens.
    """

    at: float
    lag_ms: int
    heard: float | None
    quiet_s: float | None


class Leaving(msgspec.Struct, frozen=True, tag_field="news", tag="bye"):
    """The engine is being stopped in order: what follows is no failure. The last of the news."""


News = LooksChanged | ListsChanged | Beat | Leaving


class FollowCity(Question[CityNow], tag="follow", frozen=True):
    """Say how everything looks, then what changes: a line of `News` each, until the caller goes."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A piece of equipment: its place in the order, id, kind, zone, its name when it has one, and where it stands for good.

    Equipment that moves has no latitude and longitude here.
    """

    place: int
    id: str
    kind: str
    zone: str = ""
    name: str = ""
    latitude: float | None = None
    longitude: float | None = None


class PlaceList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of places in order; `next` goes into the following question's `after`, -1 at the end."""

    epoch: str
    count: int
    places: list[Place]
    next: int = -1


class ListPlaces(Question[PlaceList], tag="places", frozen=True, kw_only=True):
    """All equipment in the order in which the news number it."""

    after: int = -1
    limit: int = 2_000


Questions = FollowCity | ListPlaces
