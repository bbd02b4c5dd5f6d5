"""Rules: when they hold or begin, what they want, and what they owe at an urgent priority."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pilotage.language import check_findings as say
from pilotage.language import syntax, typed
from pilotage.language.check_holds import check_hold
from pilotage.language.check_sets import check_sets
from pilotage.language.check_steps import check_steps
from pilotage.language.doubts import doubt_gap, doubt_own_wish, doubt_promise, doubt_truth
from pilotage.language.inspection import Inspection, Scope
from pilotage.language.meaning import meaning
from pilotage.language.program import RuleProgram, StepProgram
from pilotage.language.resolver import Resolver
from pilotage.language.typed import Typed
from pilotage.model.priorities import NEEDS_IF_UNKNOWN, Priority
from pilotage.model.values import BOOLEAN

MOST_NODES: Final = 200
"""Cost bound of one evaluation of a rule, in nodes of its typed tree."""


def check_rule(inspection: Inspection, decl: syntax.Rule) -> RuleProgram | None:
    """Return a typed rule, or None after reporting."""
    scope: Scope = {}
    sets = check_sets(inspection, decl.for_each, scope)
    if sets is None:
        return None
    mark = len(inspection.findings)
    has_pair = any(s.within_m is not None for s in sets)
    resolver = inspection.resolver(scope, has_pair=has_pair)
    enter, stay = _hold_conditions(inspection, decl, resolver)
    when = resolver.event(decl.when) if decl.when is not None else None
    condition = _story_condition(decl, resolver) if decl.when is not None else None
    holds = tuple(
        h for hold in decl.hold if (h := check_hold(inspection, hold, scope, None)) is not None
    )
    steps = check_steps(inspection, decl.do, dict(scope))
    _check_words(inspection, decl, scope, [*(h.level for h in holds), *_step_levels(steps)])
    cost = sum(1 for e in (enter, stay, when, condition) if e is not None for _ in typed.walk(e))
    if cost > MOST_NODES:
        inspection.report(say.too_costly(decl.name.at, cost, MOST_NODES))
    for condition_ in (enter, stay, condition):
        doubt_truth(inspection, condition_)
    doubt_own_wish(inspection, enter, holds)
    if inspection.has_error_since(mark):
        return None
    program = RuleProgram(
        decl.name.text,
        meaning(decl),
        decl,
        sets,
        enter,
        stay,
        when,
        condition,
        holds,
        steps,
        decl.if_unknown.text if decl.if_unknown else "release",
        cost,
    )
    doubt_promise(inspection, program)
    return program


def _story_condition(decl: syntax.Rule, resolver: Resolver) -> Typed | None:
    """Return what is asked at the moment of the event: `if`, and none of `unless`."""
    wanted = [resolver.condition(decl.if_)] if decl.if_ is not None else []
    exceptions = [resolver.condition(e) for e in decl.unless]
    known = [p for p in wanted if p is not None]
    known += [typed.Not(e.at, BOOLEAN, e) for e in exceptions if e is not None]
    return _all_of(known) if known else None


def _hold_conditions(
    inspection: Inspection, decl: syntax.Rule, resolver: Resolver
) -> tuple[Typed | None, Typed | None]:
    """Return when a hold begins, and as long as what it stays (None: the same).

    It never begins while `until` is true or unknown: what leaves at once would come and go for ever.
    """
    if decl.while_ is None:
        return None, None
    enter = resolver.condition(decl.while_)
    exceptions = [n for e in decl.unless if (n := resolver.condition(e)) is not None]
    until = resolver.condition(decl.until) if decl.until is not None else None
    if enter is not None and until is not None:
        doubt_gap(inspection, enter, until)
    barriers: list[Typed] = [typed.Not(n.at, BOOLEAN, n) for n in exceptions]
    if enter is None:
        return None, None
    if until is None:
        return _all_of([enter, *barriers]), None
    barriers.insert(0, typed.Not(until.at, BOOLEAN, until))
    return _all_of([enter, *barriers]), _all_of(barriers)


def _check_words(
    inspection: Inspection, decl: syntax.Rule, scope: Scope, levels: Sequence[int]
) -> None:
    if decl.cooldown is not None:
        _check_per(inspection, decl.cooldown.per, scope)
    if decl.runs is not None:
        _check_per(inspection, decl.runs.per, scope)
    urgent = [level for level in levels if level <= NEEDS_IF_UNKNOWN]
    if urgent and decl.if_unknown is None:
        inspection.report(say.if_unknown_missing(decl.name.at, "rule", Priority(min(urgent)).word))


def _check_per(inspection: Inspection, words: Iterable[syntax.Word], scope: Scope) -> None:
    for word in words:
        if word.text not in scope:
            inspection.report(say.per_no_variable(word.at, word.text, scope))


def _all_of(operands: list[Typed]) -> Typed:
    return (
        operands[0]
        if len(operands) == 1
        else typed.Logic(operands[0].at, BOOLEAN, "and", tuple(operands))
    )


def _step_levels(steps: Iterable[StepProgram]) -> list[int]:
    """Return the levels of all `set` steps of a story."""
    found: list[int] = []
    for step in steps:
        if step.how == "set":
            found.append(step.parts["level"])
        for branch in step.branches.values():
            found.extend(_step_levels(branch))
    return found
