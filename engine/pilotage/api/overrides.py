"""Overrides: what people hold by hand."""

from __future__ import annotations

import msgspec

from pilotage.api.question import Question

__all__ = [
    "ListOverrides",
    "OverrideShown",
]


class OverrideShown(msgspec.Struct, frozen=True, kw_only=True):
    """A point that a person holds: to which value, since when and until when (seconds since 1970), and why.

    `standing` is a word that differs when somebody has changed that: give it back as `seen` of an order.
    """

    point: str
    entity: str
    name: str
    value: str
    person: str
    reason: str
    since: float
    until: float | None = None
    standing: str = ""


class ListOverrides(Question[list[OverrideShown]], tag="overrides", frozen=True, kw_only=True):
    """Every override that stands, in order of point; of several on one point the newest, which counts."""


Questions = ListOverrides
