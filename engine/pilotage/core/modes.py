"""What engineers have put rules to by hand: live, shadow or off, whatever their files say, until it is given back to the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from pilotage.language.program import Program, RuleProgram
from pilotage.model.messages import CHANGED_SINCE, RuleOrder

MODES: Final = {"enable": "live", "shadow": "shadow", "disable": "off", "restore": ""}
"""What each order puts a rule to; `restore` gives it back to its file."""


class Desk(Protocol):
    """What the room asks of the engine."""

    program: Program

    @property
    def now(self) -> float:
        """The time of the tick."""
        ...

    def start_rule(self, rule: RuleProgram) -> None:
        """Start a rule as its mode says."""
        ...

    def stop_rule(self, name: str) -> None:
        """Stop a rule; what it holds is relinquished."""
        ...


@dataclass(frozen=True, slots=True)
class Hand:
    """A rule that a person has put to a mode."""

    mode: str
    person: str
    reason: str
    since: float


class Modes:
    """The mode of each rule: by hand, or as its file says. It lasts by name: a file that changes does not change it."""

    def __init__(self, desk: Desk) -> None:
        self._desk: Any = desk
        self.by_hand: dict[str, Hand] = {}

    def of(self, rule: RuleProgram) -> str:
        """Return live, shadow or off."""
        hand = self.by_hand.get(rule.name)
        return hand.mode if hand is not None else self.declared(rule)

    def declared(self, rule: RuleProgram) -> str:
        """Return what a rule's file says."""
        if not rule.decl.enabled:
            return "off"
        return "shadow" if rule.decl.shadow else "live"

    def said(self, name: str) -> str:
        """Return who has put a rule to its mode by hand, and why; nothing when it is as its file says."""
        hand = self.by_hand.get(name)
        return "" if hand is None else f"put {hand.mode} by hand by {hand.person}: {hand.reason}"

    def standing(self, rule: RuleProgram) -> str:
        """Return where a rule stands, as one word that differs when a person has put it to something."""
        hand = self.by_hand.get(rule.name)
        return f"{self.of(rule)}.{'-' if hand is None else f'{hand.since:.2f}'}"

    def order(self, order: RuleOrder) -> str:
        """Carry out a person's order; return why not, or nothing."""
        rule = next((r for r in self._desk.program.rules if r.name == order.rule), None)
        if rule is None:
            return f'there is no rule "{order.rule}"'
        if order.seen and order.seen != self.standing(rule):
            return f"{order.rule} {CHANGED_SINCE}"
        if not order.reason.strip():
            return "a reason is needed"
        mode, before = MODES[order.action], self.of(rule)
        if not mode and order.rule not in self.by_hand:
            return "it is as its file says"
        if mode == before and order.rule in self.by_hand:
            return f"it is {mode} by hand already"
        if mode:
            self.by_hand[order.rule] = Hand(mode, order.person, order.reason, self._desk.now)
        else:
            del self.by_hand[order.rule]
        if self.of(rule) != before:
            self._desk.stop_rule(order.rule)
            self._desk.start_rule(rule)
        return ""

    def forget(self, names: set[str]) -> None:
        """Forget what was done by hand to rules that are gone; `names` are there."""
        for name in self.by_hand.keys() - names:
            del self.by_hand[name]
