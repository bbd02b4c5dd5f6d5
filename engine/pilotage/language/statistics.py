"""Statistics: of one value over a length of time, or of the members of a set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pilotage.language import check_findings as say
from pilotage.language import syntax, typed
from pilotage.language.arguments import LIKE, keyword_at
from pilotage.language.fitting import fit
from pilotage.language.paths import Words, flatten, follow, step_into
from pilotage.language.typed import Const, Typed
from pilotage.model.diagnostics import Span
from pilotage.model.units import ONE, SECOND, Unit, UnknownUnitError, parse_unit
from pilotage.model.values import BOOLEAN, DURATION, Base, ValueType, number

if TYPE_CHECKING:
    from pilotage.language.resolver import Resolver


DEFAULT_COVERAGE: Final = 0.5
"""Share of a window that must be known for its statistic to be known."""
LONGEST_WINDOW_S: Final = 31 * 86_400.0


def statistic(resolver: Resolver, name: str, expr: syntax.Call) -> Typed | None:
    """Return a statistic, a smallest or a largest value, or None after reporting."""
    arguments = expr.arguments
    if not arguments:
        resolver.report(
            say.wrong_arguments(
                expr.at, name, "a value and a length of time, or a set", 0, LIKE["avg"]
            )
        )
        return None
    if len(arguments) == 2 and _is_duration(arguments[1]) and not expr.keywords:
        return _window(resolver, name, expr)
    if len(arguments) >= 2 and name in ("min", "max"):
        return _least_or_most(resolver, name, expr)
    if len(arguments) > 1:
        resolver.report(
            say.wrong_arguments(
                expr.at,
                name,
                "a value and a length of time with its unit, or a set",
                None,
                LIKE["avg"].replace("avg", name),
            )
        )
        return None
    if name in ("rate", "changes"):
        resolver.report(say.needs_duration(expr.at, name))
        return None
    return _aggregate(resolver, name, expr)


def _least_or_most(resolver: Resolver, name: str, expr: syntax.Call) -> Typed | None:
    nodes = [resolver.value(a) for a in expr.arguments]
    if any(n is None for n in nodes):
        return None
    first = next(n for n in nodes if n is not None)
    fitted = [fit(resolver, n, first.type) for n in nodes if n is not None]
    if any(f is None for f in fitted):
        return None
    call = min if name == "min" else max
    return typed.Builtin(expr.at, first.type, name, call, tuple(f for f in fitted if f is not None))


def _window(resolver: Resolver, name: str, expr: syntax.Call) -> Typed | None:
    operand = resolver.value(expr.arguments[0])
    length = resolver.value_for(expr.arguments[1], DURATION)
    if operand is None or not isinstance(length, Const):
        return None
    seconds = float(length.value)
    if not 0 < seconds <= LONGEST_WINDOW_S:
        resolver.report(say.window_too_long(expr.arguments[1].at, seconds))
        return None
    if any(
        isinstance(n, typed.Var) and n.name in resolver.step_variables for n in typed.walk(operand)
    ):
        resolver.report(say.window_of_variable(expr.at))
        return None
    type_ = _window_type(resolver, name, operand)
    if type_ is None:
        return None
    coverage = resolver.coverage if resolver.coverage is not None else DEFAULT_COVERAGE
    return typed.Window(expr.at, type_, name, operand, seconds, coverage)


def _window_type(resolver: Resolver, name: str, operand: Typed) -> ValueType | None:
    base = operand.type.base
    if name in ("any", "all", "count") and base is not Base.BOOLEAN:
        resolver.report(say.needs_condition(operand.at, operand.type))
        return None
    if name in ("any", "all"):
        return BOOLEAN
    if name in ("count", "changes"):
        return number("")
    if name == "avg" and base is Base.BOOLEAN:
        return ValueType(Base.NUMBER, ONE)
    if base is not Base.NUMBER:
        resolver.report(say.wrong_type(operand.at, "a number", operand.type))
        return None
    if name == "rate":
        unit = operand.type.unit
        per_hour = Unit(
            f"{unit.symbol or '1'}/h", unit.dimension / SECOND.dimension, unit.scale / 3600.0
        )
        return ValueType(Base.NUMBER, per_hour)
    if name == "sum":  # the integral over time: W over an hour is Wh
        unit = operand.type.unit
        return ValueType(
            Base.NUMBER,
            Unit(f"{unit.symbol or '1'}·s", unit.dimension * SECOND.dimension, unit.scale),
        )
    return operand.type


def _aggregate(resolver: Resolver, name: str, expr: syntax.Call) -> Typed | None:
    keywords = dict(expr.keywords)
    for word, given in expr.keywords:
        if word != "where":
            resolver.report(say.unknown_keyword(keyword_at(word, given), name, word, ["where"]))
            return None
    split = _set_and_value(resolver, expr.arguments[0])
    if split is None:
        return None
    source, variable, value_words, at = split
    inner = resolver.inside(variable)
    member = typed.Var(at, ValueType(Base.ENTITY, kind=source.type.kind), variable)
    value = follow(inner, member, value_words, at) if value_words else None
    if value_words and value is None:
        return None
    where = inner.condition(keywords["where"]) if "where" in keywords else None
    if "where" in keywords and where is None:
        return None
    return _aggregate_node(resolver, name, expr.at, source, variable, value, where)


def _aggregate_node(
    resolver: Resolver,
    name: str,
    at: Span,
    source: Typed,
    variable: str,
    value: Typed | None,
    where: Typed | None,
) -> Typed | None:
    if name in ("any", "all"):
        if value is None and where is not None:
            value, where = where, None
        if value is not None and value.type.base is not Base.BOOLEAN:
            resolver.report(say.needs_condition(value.at, value.type))
            return None
        if value is None and name == "all":
            resolver.report(
                say.wrong_arguments(
                    at, name, "a condition of the members", 0, "all(road_station.wet)"
                )
            )
            return None
        return typed.Aggregate(at, BOOLEAN, name, source, variable, value, where, resolver.coverage)
    if name == "count":
        if value is not None and value.type.base is Base.BOOLEAN:
            where = value if where is None else typed.Logic(at, BOOLEAN, "and", (where, value))
        return typed.Aggregate(
            at, number(""), name, source, variable, None, where, resolver.coverage
        )
    if value is None or value.type.base is not Base.NUMBER:
        resolver.report(
            say.wrong_type(at, "a number of each member", value.type if value else source.type)
        )
        return None
    return typed.Aggregate(at, value.type, name, source, variable, value, where, resolver.coverage)


def _set_and_value(resolver: Resolver, expr: syntax.Expr) -> tuple[Typed, str, Words, Span] | None:
    """Split `segment.lamps.level` into the set (`segment.lamps`) and what is asked of each member (`level`)."""
    base, words = flatten(expr) if isinstance(expr, syntax.Attribute) else (expr, [])
    node = resolver.value(base)
    while node is not None and node.type.base is not Base.SET and words:
        if node.type.base is not Base.ENTITY:
            break
        found = step_into(resolver, node, words, expr.at)
        if found is None:
            return None
        node, words = found
    if node is None:
        return None
    if node.type.base is not Base.SET:
        resolver.report(
            say.wrong_type(expr.at, "a set, or a value and a length of time,", node.type)
        )
        return None
    return node, node.type.kind, words, expr.at


def _is_duration(expr: syntax.Expr) -> bool:
    if not isinstance(expr, syntax.Number) or not expr.unit:
        return False
    try:
        return parse_unit(expr.unit).dimension == SECOND.dimension
    except UnknownUnitError:
        return False
