"""Alarms, and the invariants that decide a point whatever the rules want."""

from __future__ import annotations

from collections.abc import Iterable

from pilotage.language import check_findings as say
from pilotage.language import syntax, typed
from pilotage.language.check_commands import may_set
from pilotage.language.check_sets import check_sets
from pilotage.language.check_values import check_raw, check_text
from pilotage.language.comparisons import compare
from pilotage.language.inspection import Inspection, Scope
from pilotage.language.meaning import meaning
from pilotage.language.program import AlarmProgram, InvariantProgram, TextProgram
from pilotage.language.typed import Const, Read, Typed
from pilotage.language.wording import pretty
from pilotage.model.values import DURATION, format_value


def check_alarm(inspection: Inspection, decl: syntax.Alarm) -> AlarmProgram | None:
    """Return a typed alarm, or None after reporting."""
    scope: Scope = {}
    mark = len(inspection.findings)
    sets = check_sets(inspection, decl.for_each, scope)
    if sets is None:
        return None
    resolver = inspection.resolver(scope)
    raise_while = resolver.condition(decl.raise_while)
    suppress = resolver.condition(decl.suppress_while) if decl.suppress_while is not None else None
    title = decl.title.in_language("en") if decl.title else decl.name.text
    text = (
        check_text(inspection, decl.text, resolver)
        if decl.text is not None
        else TextProgram((title,))
    )
    if raise_while is None or text is None or inspection.has_error_since(mark):
        return None
    severity = decl.severity.text if decl.severity else "medium"
    return AlarmProgram(
        decl.name.text, meaning(decl), decl, sets, raise_while, suppress, severity, text
    )


def check_invariant(inspection: Inspection, decl: syntax.Invariant) -> InvariantProgram | None:
    """Return a typed invariant, or None after reporting."""
    scope: Scope = {}
    sets = check_sets(inspection, decl.for_each, scope)
    if sets is None:
        return None
    resolver = inspection.resolver(scope)
    never = resolver.condition(decl.never)
    target = resolver.path(decl.set)
    for assumed in decl.assume:
        _check_assumption(inspection, assumed, scope)
    if (
        never is None
        or target is None
        or not may_set(inspection, target, decl.set.at, request=False)
    ):
        return None
    if not _judges(never, target):
        for read in _own_reports(never, target):
            inspection.report(say.invariant_of_the_reported(read.at, pretty(read)))
    value = check_raw(inspection, decl.to, target.type, resolver, target.spec)
    if not isinstance(value, Typed):
        return None
    if isinstance(value, Const) and _forbids(never, target, value):
        inspection.report(
            say.otherwise_is_forbidden(value.at, format_value(value.value, target.type))
        )
    return InvariantProgram(decl.name.text, decl, sets, never, target, value)


def _check_assumption(inspection: Inspection, expr: syntax.Expr, scope: Scope) -> None:
    """Check what a proof may use; `travel_time(point)` is known there, and only there."""
    if isinstance(expr, syntax.Compare) and isinstance(expr.first, syntax.Call):
        call = expr.first
        if isinstance(call.function, syntax.Name) and call.function.name == "travel_time":
            resolver = inspection.resolver(scope)
            for argument in call.arguments:
                resolver.path(argument)
            for _, limit in expr.rest:
                resolver.value_for(limit, DURATION)
            return
    inspection.resolver(scope).condition(expr)


def _forbids(never: Typed, target: Read, value: Const) -> bool:
    """True when a clause `wanted(target) OP constant` of `never` also forbids the safe value."""
    clauses = never.operands if isinstance(never, typed.Logic) and never.op == "and" else (never,)
    own = [
        c
        for c in clauses
        if isinstance(c, typed.Comparison)
        and isinstance(c.left, typed.Wanted)
        and pretty(c.left.read) == pretty(target)
        and isinstance(c.right, Const)
    ]
    return bool(own) and all(
        compare(c.op, value.value, c.right.value) for c in own if isinstance(c.right, Const)
    )


def _judges(never: Typed, target: Read) -> bool:
    """True when an invariant reads what is wanted of the point that it decides."""
    return any(
        isinstance(n, typed.Wanted) and pretty(n.read) == pretty(target) for n in typed.walk(never)
    )


def _own_reports(never: Typed, target: Read) -> Iterable[Read]:
    """Yield where an invariant reads the report of the very point that it decides."""
    if isinstance(never, (typed.Wanted, typed.Age)):
        return
    if isinstance(never, Read) and pretty(never) == pretty(target):
        yield never
    for child in typed.children(never):
        yield from _own_reports(child, target)
