"""Rules, their instances, and why an instance is in its state."""

from __future__ import annotations

import msgspec

from pilotage.api.question import Explanation, Question, Receipt

__all__ = [
    "ExplainRule",
    "GetRule",
    "Instance",
    "ListRules",
    "OrderRule",
    "Rule",
    "RuleDetail",
    "RuleHand",
]


class RuleHand(msgspec.Struct, frozen=True, kw_only=True):
    """To what a person has put a rule, why and since when (seconds since 1970)."""

    mode: str
    person: str
    reason: str
    since: float


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule and how many of its instances are in which state.

    `titles` are its names by language; `mode` is live, shadow or quarantine. `hand` says to what a person has put it (live, shadow or
    off), whatever its file says; `declared` is what that says. `standing` is a word that differs when somebody has changed it: give
    it back as `seen` of an order.
    """

    name: str
    title: str = ""
    titles: dict[str, str] = {}
    owner: str = ""
    file: str = ""
    enabled: bool = True
    mode: str = "live"
    instances: int = 0
    states: dict[str, int] = {}
    hand: RuleHand | None = None
    declared: str = "live"
    standing: str = ""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of a rule, its state, since when, and the clauses that decided."""

    id: str
    state: str
    since: float | None = None
    why: str = ""


class RuleDetail(msgspec.Struct, frozen=True):
    """A rule with its instances, in order of id."""

    rule: Rule
    instances: list[Instance]


class ListRules(Question[list[Rule]], tag="rules", frozen=True, kw_only=True):
    """All rules."""


class GetRule(Question[RuleDetail], tag="rule", frozen=True, kw_only=True):
    """A rule with its instances."""

    rule: str


class OrderRule(Question[Receipt], tag="order_rule", frozen=True, kw_only=True):
    """Put a rule live (`enable`), into `shadow` or off (`disable`), whatever its file says, or give it back to its file (`restore`).

    `quarantine` and `release` are the other actions: in quarantine a rule decides nothing because it costs too much. With `seen` the
    order is refused (`stale`) when somebody has put the rule to something else since.
    """

    rule: str
    action: str
    person: str
    reason: str = ""
    seen: str = ""


class ExplainRule(Question[Explanation], tag="explain_rule", frozen=True, kw_only=True):
    """Why is an instance of a rule in its state?"""

    rule: str
    instance: str = ""


Questions = OrderRule | ListRules | GetRule | ExplainRule
