"""`respond_within` measured in service: from the receipt of a reading until what was decided about it has been sent.

Looks at decisions from outside: it reads the clock, which the core never does, and changes nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Final

from pilotage.model.diagnostics import Severity
from pilotage.model.messages import Decision, TargetChanged
from pilotage.ports import HealthLog

MISSED: Final = "promise.missed."
"""Counters begin like this; the rule's name follows."""
_RULE: Final = re.compile(r"[\w-]*")


class Promises:
    """Which rules have promised to respond within a time, and whether they do."""

    def __init__(self, health: HealthLog, steady: Callable[[], float] = time.monotonic) -> None:
        """Begin without a promise.

        Args:
            health: Where a promise that was missed is counted, and stands until it is kept again.
            steady: The clock in which batches of inputs carry their arrival.
        """
        self._health = health
        self._steady = steady
        self._seconds: Mapping[str, float] = {}
        self._least = float("inf")
        self._missed: dict[str, int] = {}

    def exchange(self, seconds: Mapping[str, float]) -> None:
        """Take the promises of another rule set, in seconds by rule."""
        self._seconds = dict(seconds)
        self._least = min(seconds.values(), default=float("inf"))
        for rule in [r for r in self._missed if r not in seconds]:
            self._kept(rule)

    def sent(self, decision: Decision, arrived: float) -> None:
        """Judge a decision that was sent just now; the oldest input that it followed from arrived then."""
        took = self._steady() - arrived
        if took <= self._least and not self._missed:
            return
        for rule in _rules_that_decided(decision):
            promised = self._seconds.get(rule)
            if promised is None:
                continue
            if took > promised:
                self._miss(rule, promised, took)
            elif rule in self._missed:
                self._kept(rule)

    def _miss(self, rule: str, promised: float, took: float) -> None:
        self._missed[rule] = times = self._missed.get(rule, 0) + 1
        self._health.count(MISSED + rule)
        self._health.raised(
            f"promise.{rule}",
            f"{rule} promises to respond within {promised:g} s, and needed {took:.2f} s"
            + (f"; late {times} times in a row" if times > 1 else ""),
            "look at what keeps the engine or its disk busy, or promise less",
            Severity.WARNING,
        )

    def _kept(self, rule: str) -> None:
        del self._missed[rule]
        self._health.cleared(f"promise.{rule}")


def _rules_that_decided(decision: Decision) -> dict[str, None]:
    """Return the rules that a point's target follows since this decision."""
    rules: dict[str, None] = {}
    for event in decision.events:
        if isinstance(event, TargetChanged):
            found = _RULE.match(event.owner)
            rules[found[0] if found else ""] = None
    return rules
