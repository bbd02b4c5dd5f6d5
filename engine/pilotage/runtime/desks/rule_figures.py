"""What each rule has done since the engine runs: counted from the decisions as they go to disk."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from pilotage.core.why import PERSON, PLAN, rule_and_instance
from pilotage.model.messages import (
    CallOut,
    Command,
    Decision,
    Demanded,
    Followed,
    Noted,
    Request,
    RuleChanged,
    RunChanged,
)

HOUR_S: Final = 3600.0
HOURS: Final = 24
_WENT_WRONG: Final = frozenset({"failed", "refused", "expired", "unknown"})
"""Ends of an order, a request or a call that count as an error of the rule that wanted it."""
_STEP_FAILED: Final = re.compile(r"\S+ in line \d+ failed: ")
_SHADOW: Final = "shadow:"


@dataclass(slots=True)
class Figures:
    """What one rule has done.

    Attributes:
        actions: How often an instance began to hold, or a run began.
        hours: The same by hour since 1970, for the last day.
        last, last_instance: When an instance acted last, and which.
    """

    actions: int = 0
    demands: int = 0
    errors: int = 0
    last: float | None = None
    last_instance: str = ""
    hours: Counter[int] = field(default_factory=Counter)

    def in_24h(self, now: float) -> int:
        """Return how often it acted within the last day, by whole hours."""
        first = int(now / HOUR_S) - HOURS
        for hour in [h for h in self.hours if h <= first]:
            del self.hours[hour]
        return sum(self.hours.values())


class RuleFigures:
    """The figures of all rules; `since` is when counting began."""

    def __init__(self, since: float) -> None:
        self.since = since
        self._of: dict[str, Figures] = {}
        self._open: dict[str, str] = {}
        self._holding: set[tuple[str, str]] = set()

    def of(self, rule: str) -> Figures:
        """Return what a rule has done."""
        return self._of.get(rule) or Figures()

    def take(self, decision: Decision) -> None:
        """Count a decision."""
        for event in decision.events:
            kind = type(event)
            if kind is RuleChanged:
                self._changed(event, decision.now)
            elif kind is Demanded:
                if (rule := _rule_of(event.owner)) is not None:
                    self._known(rule).demands += 1
            elif kind is RunChanged and event.state == "started":
                self._acted(event.rule, event.instance, decision.now)
            elif kind in (Command, Request, CallOut):
                if (rule := _rule_of(event.because)) is not None:
                    self._open[event.id] = rule
            elif kind is Followed:
                rule = self._open.pop(event.command, None)
                if rule is not None and event.outcome in _WENT_WRONG:
                    self._known(rule).errors += 1
            elif kind is Noted and _STEP_FAILED.match(event.text):
                self._known(rule_and_instance(event.owner)[0]).errors += 1

    def _changed(self, event: RuleChanged, now: float) -> None:
        """Count an instance that begins to hold; one that only did not know for a while has held on."""
        instance = (event.rule, event.instance)
        if event.after == "holding" and instance not in self._holding:
            self._holding.add(instance)
            self._acted(event.rule, event.instance, now)
        elif event.after not in ("holding", "unknown") or event.why:
            self._holding.discard(instance)

    def _known(self, rule: str) -> Figures:
        return self._of.setdefault(rule, Figures())

    def _acted(self, rule: str, instance: str, now: float) -> None:
        figures = self._known(rule)
        figures.actions += 1
        figures.last, figures.last_instance = now, instance
        figures.hours[int(now / HOUR_S)] += 1


def _rule_of(owner: str) -> str | None:
    """Return the rule that an owner names; None for a plan, a person, a group and a rule in shadow."""
    if owner.startswith((PLAN, PERSON, _SHADOW)) or owner.endswith(">"):
        return None
    return rule_and_instance(owner)[0]
