"""What was recorded of points."""

from __future__ import annotations

from typing import Any

import msgspec

from pilotage.api.question import Done, Question

__all__ = [
    "EraseHistory",
    "GetHistoryStatus",
    "HistoryGap",
    "HistoryOf",
    "HistoryStatus",
    "PastValue",
    "PointHistory",
    "RecordedGroup",
    "RetentionProof",
    "Rollup",
    "ValueAt",
]


class PastValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a point had from `time` on; `still` when no reading gave it, `value` None while it was unknown."""

    time: float
    value: Any = None
    quality: str = "missing"
    still: bool = False


class Rollup(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time: `known` is the share (0 to 1) of it in which the value was known, the mean is weighted by time.

    `shares` is for points that are no numbers: the share of the time by value.
    """

    start: float
    width_s: float
    known: float
    count: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    shares: dict[str, float] = {}


class PointHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded of a point: `values` in order of time, or `rollups` when they were asked for."""

    point: str
    type: str
    unit: str
    privacy: str
    policy: str
    since: float
    until: float
    values: list[PastValue] = []
    rollups: list[Rollup] = []


class RecordedGroup(msgspec.Struct, frozen=True, array_like=True):
    """Points of a kind that are recorded alike, by which right, and how many they are."""

    kind: str
    point: str
    privacy: str
    policy: str
    keep_s: float
    purpose: str
    basis: str
    points: int


class RetentionProof(msgspec.Struct, frozen=True, array_like=True):
    """How many rows of a class were older than their limit when that was looked at last."""

    what: str
    privacy: str
    limit_s: float
    older: int
    oldest: float | None
    time: float


class HistoryGap(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of time in which nobody recorded, and why."""

    since: float
    until: float
    why: str


class HistoryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the history holds; `readings` and `recorded` count since the engine's start, None when none runs."""

    file: str
    bytes: int
    blocks: int
    samples: int
    segments: int
    rollups: int
    oldest: float | None
    written: float
    readings: int | None = None
    recorded: int | None = None
    groups: list[RecordedGroup] = []
    proofs: list[RetentionProof] = []
    gaps: list[HistoryGap] = []


class HistoryOf(Question[PointHistory], tag="history", frozen=True, kw_only=True):
    """What was recorded of a point from `since` on and before `until` (the last day unless given), seconds since 1970.

    At most `most` values, no extreme left out; with `every` (`1min`, `15min`, `1h` or `1d`) roll-ups instead.
    """

    point: str
    since: float | None = None
    until: float | None = None
    every: str = ""
    most: int = 2_000


class ValueAt(Question[PastValue], tag="value_at", frozen=True, kw_only=True):
    """What was the value of a point at a time, in seconds since 1970?"""

    point: str
    time: float


class GetHistoryStatus(Question[HistoryStatus], tag="history_status", frozen=True):
    """What does the history hold, by which policies, and how much room does it take?"""


class EraseHistory(Question[Done], tag="erase_history", frozen=True, kw_only=True):
    """Erase an entity's points from the history, and wherever it is the value of another point."""

    entity: str
    person: str
    reason: str


Questions = HistoryOf | ValueAt | GetHistoryStatus | EraseHistory
