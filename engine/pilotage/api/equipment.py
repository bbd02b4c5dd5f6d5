"""Equipment: lists that are filtered by domain, commune, kind, text and look, and one piece with all its points."""

from __future__ import annotations

from typing import Any

import msgspec

from pilotage.api.question import Question

__all__ = [
    "Equipment",
    "EquipmentDetail",
    "EquipmentFilters",
    "EquipmentPage",
    "EquipmentPoint",
    "GetEquipment",
    "KindShown",
    "ListEquipment",
    "ListEquipmentFilters",
]


class Equipment(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of equipment in a list; `look` is a word of `pilotage.model.looks.Look`, empty for what no device stands behind.

    `main` is the point that tells most of it, with its last known value, its quality and its age in seconds.
    """

    id: str
    kind: str
    domain: str = ""
    name: str = ""
    zone: str = ""
    look: str = ""
    main: str = ""
    value: Any = None
    unit: str = ""
    text: str = ""
    quality: str = ""
    age_s: float | None = None


class EquipmentPage(msgspec.Struct, frozen=True):
    """A page of equipment in order of id; `next` goes into the following question's `after`, empty at the end.

    `total` counts everything that fits, all pages together.
    """

    equipment: list[Equipment]
    total: int
    next: str = ""


class KindShown(msgspec.Struct, frozen=True, kw_only=True):
    """A kind that the inventory uses, the domain that brings it, and how many there are."""

    name: str
    title: str
    domain: str
    count: int


class EquipmentFilters(msgspec.Struct, frozen=True):
    """By what equipment can be filtered here."""

    kinds: list[KindShown]
    zones: list[str]


class EquipmentPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One point of a piece of equipment; times are seconds since 1970, `wanted` is what is wanted of it, by `by`.

    `max_age_s` is the age at which its value counts as stale.
    """

    id: str
    name: str
    type: str = ""
    unit: str = ""
    access: str = ""
    privacy: str = "internal"
    doc: str = ""
    choices: list[str] = []
    low: float | None = None
    high: float | None = None
    value: Any = None
    text: str = ""
    quality: str = "missing"
    time: float | None = None
    age_s: float | None = None
    max_age_s: float | None = None
    last_text: str = ""
    is_commandable: bool = False
    is_request: bool = False
    override_max_s: float = 0.0
    wanted: str = ""
    by: str = ""
    level: int = 17
    way: str = ""


class EquipmentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of equipment with all its points, at `at` (the engine's time, or the time that was asked for).

    `relations` are the ids by relation, `belongs_to` those that name it in theirs. At a time gone by values come from the
    history: a point that is not recorded is unknown then.
    """

    id: str
    at: float
    is_past: bool = False
    kind: str
    kind_title: str = ""
    domain: str = ""
    name: str = ""
    zone: str = ""
    look: str = ""
    latitude: float | None = None
    longitude: float | None = None
    heard: float | None = None
    points: list[EquipmentPoint] = []
    relations: dict[str, list[str]] = {}
    belongs_to: dict[str, list[str]] = {}


class ListEquipment(Question[EquipmentPage], tag="equipment", frozen=True, kw_only=True):
    """Equipment that fits: `text` is looked for in id and name, the others filter exactly."""

    domain: str = ""
    zone: str = ""
    kind: str = ""
    look: str = ""
    text: str = ""
    after: str = ""
    limit: int = 50


class ListEquipmentFilters(Question[EquipmentFilters], tag="equipment_filters", frozen=True):
    """By what can equipment be filtered here?"""


class GetEquipment(Question[EquipmentDetail], tag="equipment_detail", frozen=True, kw_only=True):
    """One piece of equipment, now or at a time (seconds since 1970)."""

    id: str
    at: float | None = None


Questions = ListEquipment | ListEquipmentFilters | GetEquipment
