"""Ties: rules and plans that can want one point differently, at one level, at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pilotage.language import check_findings as say
from pilotage.language.contradictions import contradict, operands
from pilotage.language.inspection import Inspection
from pilotage.language.program import HoldProgram, PlanProgram, RuleProgram
from pilotage.language.typed import Const, Typed, only_id
from pilotage.language.wording import pretty
from pilotage.model.priorities import Priority


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """A demand that a rule or a plan may make, and what is true then."""

    name: str
    hold: HoldProgram
    clauses: tuple[Typed, ...]
    group: str = ""
    only: str = ""  # id of the one entity that the rule is for


def report_ties(
    inspection: Inspection, of_rules: Sequence[Wish], plans: Sequence[PlanProgram]
) -> None:
    """Warn of rules and plans that can want one point differently at one level at the same time.

    Args:
        inspection: Where that is reported.
        of_rules: What all rules wish (`rule_wishes`).
        plans: All plans.
    """
    wanting: dict[tuple[str, str, int], list[Wish]] = {}
    for wish in (*of_rules, *_plan_wishes(plans)):
        target = wish.hold.target
        if target.spec.combine.value == "refuse" and not wish.hold.is_request:
            key = (target.base.type.kind, target.point, wish.hold.level)
            wanting.setdefault(key, []).append(wish)
    for (_, _, level), group in wanting.items():
        for peers in _that_may_meet(group):
            for index, wish in enumerate(peers):
                for other in peers[:index]:
                    point, word = pretty(wish.hold.target), Priority(level).word
                    if not _agree(wish, other):
                        inspection.report(say.tie(wish.hold.at, point, word, other.name))


def _that_may_meet(group: Sequence[Wish]) -> Iterable[list[Wish]]:
    """Part wishes by the one entity they are for, so that 10,000 rules are not compared pair by pair."""
    everyone = [w for w in group if not w.only]
    by_id: dict[str, list[Wish]] = {}
    for wish in group:
        if wish.only:
            by_id.setdefault(wish.only, []).append(wish)
    yield everyone
    for peers in by_id.values():
        for wish in peers:
            yield from ([other, wish] for other in everyone)
        if len(peers) > 1:
            yield peers


def rule_wishes(rule: RuleProgram) -> Iterable[Wish]:
    """Return the demands that a rule may make; none while it is off or only watched."""
    if rule.decl.enabled and not rule.decl.shadow:
        conditions = [rule.enter, *(s.where for s in rule.for_each)]
        for hold in rule.holds:
            own = [*conditions, *(s.where for s in hold.each)]
            ids = [only_id(s.where, s.variable) for s in rule.for_each]
            yield Wish(rule.name, hold, _clauses(own), only=next((i for i in ids if i), ""))


def _plan_wishes(plans: Sequence[PlanProgram]) -> Iterable[Wish]:
    for plan in plans:
        group = plan.decl.exclusive_group
        for level in plan.levels:
            for hold in level.holds:
                clauses = _clauses([s.where for s in hold.each])
                yield Wish(plan.name, hold, clauses, group.text if group else "")


def _agree(a: Wish, b: Wish) -> bool:
    """True when two wishes cannot clash, as far as a simple look can tell."""
    if a.name == b.name or (a.group and a.group == b.group):
        return True
    x, y = a.hold.value, b.hold.value
    if isinstance(x, Const) and isinstance(y, Const) and x.value == y.value:
        return True
    return any(contradict(x, y) for x in a.clauses for y in b.clauses)


def _clauses(conditions: Iterable[Typed | None]) -> tuple[Typed, ...]:
    return tuple(part for node in conditions if node is not None for part in operands(node, "and"))
