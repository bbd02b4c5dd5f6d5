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
]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule and how many of its instances are in which state.

    `titles` are its names by language; `mode` is live, shadow or quarantine.
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
    """Put a rule into quarantine, in which it decides nothing, or release it: `action` is quarantine or release."""

    rule: str
    action: str
    person: str
    reason: str = ""


class ExplainRule(Question[Explanation], tag="explain_rule", frozen=True, kw_only=True):
    """Why is an instance of a rule in its state?"""

    rule: str
    instance: str = ""


Questions = OrderRule | ListRules | GetRule | ExplainRule
