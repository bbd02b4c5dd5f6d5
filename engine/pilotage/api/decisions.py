"""Decisions, as the journal holds them."""

from __future__ import annotations

from typing import Any

import msgspec

from pilotage.api.question import Question

__all__ = [
    "DecisionList",
    "ListDecisions",
]


class DecisionList(msgspec.Struct, frozen=True):
    """Decisions as the journal holds them, in order; `next` goes into the following question's `after`, 0 at the end."""

    decisions: list[dict[str, Any]]
    next: int = 0


class ListDecisions(Question[DecisionList], tag="decisions", frozen=True, kw_only=True):
    """Decisions of the journal from `since` on and before `until`, seconds since 1970."""

    since: float | None = None
    until: float | None = None
    after: int = 0
    limit: int = 1000


Questions = ListDecisions
