"""Broken glass: people who act for every post for a while."""

from __future__ import annotations

import msgspec

from pilotage.api.question import Question, Receipt

__all__ = [
    "BreakGlass",
    "BrokenGlass",
    "ListGlass",
    "MendGlass",
]


class BrokenGlass(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who acts for every post, from `since` until `until` (seconds since 1970)."""

    person: str
    post: str = ""
    reason: str = ""
    since: float
    until: float


class ListGlass(Question[list[BrokenGlass]], tag="glass", frozen=True, kw_only=True):
    """Who has broken the glass and acts for every post now."""


class BreakGlass(Question[Receipt], tag="break_glass", frozen=True, kw_only=True):
    """Act for every post for `for_s` seconds (an hour at most), because nobody else is there; an alarm stands meanwhile."""

    person: str
    reason: str
    post: str
    for_s: float = 1800.0


class MendGlass(Question[Receipt], tag="mend_glass", frozen=True, kw_only=True):
    """End it before its time: one's own, or that of `whose`."""

    person: str
    post: str = ""
    whose: str = ""


Questions = ListGlass | BreakGlass | MendGlass
