"""What is counted of decisions: how long they took, and what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Final

from pilotage.model.messages import AlarmChanged, Command, Decision, Faulted, Followed, RuleChanged
from pilotage.runtime.histogram import LATENCIES_S, Histogram

MOST_RULES: Final = 500
"""So many rules are counted by name; the others together, so that no site makes series without end."""
OTHERS: Final = "(others)"


class Instruments:
    """What is counted of decisions and ticks; fed by the pump, in the event loop.

    Attributes:
        latency: From the arrival of the oldest input of a tick until its commands were given to the connections.
        decisions: That are on disk.
        events: Events of decisions by their type.
        ends: Ends of commands by outcome.
        rules: Changes of state by rule.
        alarms: Alarms that were raised, by severity.
    """

    def __init__(self, steady: Callable[[], float] = monotonic) -> None:
        """Begin with nothing counted.

        Args:
            steady: The clock in which batches of inputs carry their arrival.
        """
        self.latency = Histogram(LATENCIES_S)
        self.decisions = 0
        self.events: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        self.alarms: Counter[str] = Counter()
        self._steady = steady

    def sent(self, decision: Decision, arrived: float) -> None:
        """Count how long it took from the first input of a tick to its commands."""
        if any(type(event) is Command for event in decision.events):
            self.latency.add(self._steady() - arrived)

    def committed(self, decision: Decision) -> None:
        """Count what a decision says."""
        self.decisions += 1
        for event in decision.events:
            kind = type(event)
            self.events[kind.__name__] += 1
            if kind is RuleChanged:
                self._changed(event.rule)
            elif kind is Followed and event.command:
                self.ends[event.outcome] += 1
            elif kind is AlarmChanged and event.after == "raised":
                self.alarms[event.severity] += 1

    @property
    def function_faults(self) -> int:
        """How often a plugin's function was reported to have failed inside a rule."""
        return self.events[Faulted.__name__]

    def _changed(self, rule: str) -> None:
        is_counted = rule in self.rules or len(self.rules) < MOST_RULES
        self.rules[rule if is_counted else OTHERS] += 1
