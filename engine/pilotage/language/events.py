"""Events and patterns of events: the moments that begin a story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pilotage.language import check_findings as say
from pilotage.language import syntax, typed
from pilotage.language.calls import builtin
from pilotage.language.comparisons import link
from pilotage.language.functions import BUILTINS
from pilotage.language.typed import Typed
from pilotage.model.diagnostics import Span
from pilotage.model.values import BOOLEAN, TIME, Base

if TYPE_CHECKING:
    from pilotage.language.resolver import Resolver

SHORTEST_PERIOD_S: Final = 1.0
"""`every` with less would keep the engine busy with nothing else."""


def event(resolver: Resolver, expr: syntax.Expr) -> Typed | None:
    """Return a typed event; a condition stands for the moment it becomes true."""
    if (
        isinstance(expr, syntax.Logic)
        and expr.op == "or"
        and any(_is_event(o) for o in expr.operands)
    ):
        found = [resolver.event(o) for o in expr.operands]
        if any(f is None for f in found):
            return None
        return typed.AnyEvent(expr.at, BOOLEAN, tuple(f for f in found if f is not None))
    result = resolver.value(expr)
    if result is None or isinstance(result, typed.EVENTS):
        return result
    if result.type.base is not Base.BOOLEAN:
        resolver.report(say.needs_condition(expr.at, result.type))
        return None
    return typed.Event(expr.at, BOOLEAN, "becomes", result)


def moment(resolver: Resolver, expr: syntax.Expr) -> Typed | None:
    """Return a typed event or pattern from what can be written for nothing else, or None after reporting."""
    match expr:
        case syntax.Becomes():
            return _becomes(resolver, expr)
        case syntax.Changes():
            return _changes(resolver, expr)
        case syntax.Crosses():
            return _crosses(resolver, expr)
        case syntax.Every():
            return _periodic(resolver, expr)
        case syntax.AtTime():
            return _daily(resolver, expr)
        case syntax.Sequence():
            return _pattern(resolver, expr.at, "then", expr.first, expr.second, expr.within_s)
        case syntax.Without():
            return _pattern(resolver, expr.at, "without", expr.first, expr.missing, expr.within_s)
        case syntax.Silence():
            return _pattern(resolver, expr.at, "silence", expr.event, None, expr.for_s)
        case syntax.Repeats():
            return _pattern(
                resolver, expr.at, "repeats", expr.event, None, expr.within_s, expr.count
            )
        case _:
            raise TypeError(f"{type(expr).__name__} has no meaning yet: give it one in this room")


def _periodic(resolver: Resolver, expr: syntax.Every) -> Typed | None:
    if expr.seconds < SHORTEST_PERIOD_S:
        resolver.report(say.too_often(expr.at, expr.seconds))
        return None
    return typed.Periodic(expr.at, BOOLEAN, expr.seconds)


def _becomes(resolver: Resolver, expr: syntax.Becomes) -> Typed | None:
    equal = link(resolver, expr.subject, "==", expr.value)
    return None if equal is None else typed.Event(expr.at, BOOLEAN, "becomes", equal)


def _changes(resolver: Resolver, expr: syntax.Changes) -> Typed | None:
    subject = resolver.value(expr.subject)
    return None if subject is None else typed.Event(expr.at, BOOLEAN, "changes", subject)


def _crosses(resolver: Resolver, expr: syntax.Crosses) -> Typed | None:
    if expr.subject is None or expr.place is None:
        if not resolver.has_pair:
            resolver.report(
                say.needs_event(expr.at, "`enters` and `leaves` alone speak of a moving pair")
            )
            return None
        return typed.PairEvent(expr.at, BOOLEAN, expr.leaves)
    inside = builtin(resolver, BUILTINS["inside"], expr.at, (expr.subject, expr.place), ())
    if inside is None:
        return None
    edge = typed.Not(expr.at, BOOLEAN, inside) if expr.leaves else inside
    return typed.Event(expr.at, BOOLEAN, "becomes", edge)


def _daily(resolver: Resolver, expr: syntax.AtTime) -> Typed | None:
    time = resolver.value_for(expr.time, TIME)
    return None if time is None else typed.Daily(expr.at, BOOLEAN, time)


def _pattern(
    resolver: Resolver,
    at: Span,
    how: str,
    first: syntax.Expr,
    second: syntax.Expr | None,
    seconds: float,
    count: int = 0,
) -> Typed | None:
    a = resolver.event(first)
    b = resolver.event(second) if second is not None else None
    if a is None or (second is not None and b is None):
        return None
    return typed.Pattern(at, BOOLEAN, how, a, b, seconds, count)


def _is_event(expr: syntax.Expr) -> bool:
    return isinstance(
        expr, (syntax.Becomes, syntax.Changes, syntax.Crosses, syntax.Every, syntax.AtTime)
    )
