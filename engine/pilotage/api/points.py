"""Points, what is wanted of them and why, and overrides."""

from __future__ import annotations

from typing import Any

import msgspec

from pilotage.api.question import Explanation, Question, Receipt

__all__ = [
    "Demand",
    "ExplainPoint",
    "GetPoint",
    "ListPoints",
    "Point",
    "PointDetail",
    "PointList",
    "ReleaseOverride",
    "SetOverride",
]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A point and its value now, as plain JSON; None is unknown.

    `quality` is good, uncertain, bad, stale or missing; `time` is the source time; `last` the last value that was known.
    """

    id: str
    entity: str
    kind: str
    type: str
    unit: str = ""
    access: str = "reported"
    privacy: str = "internal"
    value: Any = None
    quality: str = "missing"
    time: float | None = None
    age_s: float | None = None
    last: Any = None
    text: str = ""


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants of a point, at a level of its priority array."""

    owner: str
    level: int
    value: Any = None
    reason: str = ""
    since: float | None = None
    until: float | None = None


class PointDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A point, what is wanted of it, and all demands on it, the most urgent first."""

    point: Point
    wanted: Any = None
    winner: str = ""
    demands: list[Demand] = []


class PointList(msgspec.Struct, frozen=True):
    """A page of points in order of id; `next` goes into the following question's `after`, empty at the end."""

    points: list[Point]
    next: str = ""


class ListPoints(Question[PointList], tag="points", frozen=True, kw_only=True):
    """The values of points; `match` is a pattern such as `seg-*.lights.level`, the others filter exactly."""

    match: str = "*"
    kind: str = ""
    quality: str = ""
    after: str = ""
    limit: int = 1000


class GetPoint(Question[PointDetail], tag="point", frozen=True, kw_only=True):
    """A point with its priority array."""

    point: str


class ExplainPoint(Question[Explanation], tag="explain_point", frozen=True, kw_only=True):
    """Why does a point have the value that is wanted of it?"""

    point: str


class SetOverride(Question[Receipt], tag="override", frozen=True, kw_only=True):
    """Take a point at level 8 for `for_s` seconds; a text such as `30 %` is read in the point's unit.

    At `level` 7 an engineer holds it for maintenance: nobody else takes it by hand then. With `seen` (`PointWhy.standing`) the order is refused (`stale`) when somebody else has taken or released it by hand since.
    """

    point: str
    value: Any
    for_s: float
    person: str
    reason: str
    seen: str = ""
    level: int = 8


class ReleaseOverride(Question[Receipt], tag="release", frozen=True, kw_only=True):
    """Give an override back; `seen` as in `SetOverride`. With `level` 8 one that is held for maintenance stays."""

    point: str
    person: str
    seen: str = ""
    level: int = 7


Questions = ListPoints | GetPoint | ExplainPoint | SetOverride | ReleaseOverride
