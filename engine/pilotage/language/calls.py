"""Calls: the engine's own functions, those of plugins, and the few with a grammar of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pilotage.language import check_findings as say
from pilotage.language import syntax, typed
from pilotage.language.arguments import LIKE, bind, how_many, keyword_at
from pilotage.language.fitting import fit, in_unit
from pilotage.language.functions import BUILTINS, SPECIAL, STATISTICS, BuiltinSpec
from pilotage.language.paths import dotted
from pilotage.language.statistics import statistic
from pilotage.language.typed import Read, Typed
from pilotage.language.wording import pretty
from pilotage.model.diagnostics import Span
from pilotage.model.entities import Function
from pilotage.model.units import METRE
from pilotage.model.values import BOOLEAN, DURATION, TEXT, Base, ValueType, number

if TYPE_CHECKING:
    from pilotage.language.resolver import Resolver


def call(resolver: Resolver, expr: syntax.Call) -> Typed | None:
    """Return what a call means, or None after reporting."""
    name = dotted(expr.function)
    if name in STATISTICS:
        return statistic(resolver, name, expr)
    if name in SPECIAL:
        return _SPECIAL_CALLS[name](resolver, expr)
    if name in BUILTINS:
        return builtin(resolver, BUILTINS[name], expr.at, expr.arguments, expr.keywords)
    function = resolver.vocabulary.functions.get(name)
    if function is None:
        known = [*STATISTICS, *SPECIAL, *BUILTINS, *resolver.vocabulary.functions]
        resolver.report(say.unknown_function(expr.function.at, name, known))
        return None
    return _apply(resolver, function, expr)


def _apply(resolver: Resolver, function: Function, expr: syntax.Call) -> Typed | None:
    ordered = bind(resolver, function.name, expr, [p.name for p in function.parameters])
    if ordered is None:
        return None
    arguments: list[Typed] = []
    for parameter in function.parameters:
        given = ordered.get(parameter.name)
        if given is None:
            if parameter.required:
                names = [p.name for p in function.parameters]
                resolver.report(
                    say.wrong_arguments(
                        expr.at,
                        function.name,
                        how_many(len(names)),
                        len(ordered),
                        f"{function.name}({', '.join(names)})",
                    )
                )
                return None
            break
        fitted = resolver.value_for(given, parameter.type)
        if fitted is None:
            return None
        arguments.append(fitted)
    return typed.Apply(expr.at, function.returns, function, tuple(arguments))


def builtin(
    resolver: Resolver,
    spec: BuiltinSpec,
    at: Span,
    arguments: tuple[syntax.Expr, ...],
    keywords: tuple[tuple[str, syntax.Expr], ...],
) -> Typed | None:
    """Return a call of one of the engine's own functions, or None after reporting."""
    given = [*arguments, *(v for k, v in keywords if k == "within")]
    for word, value in keywords:
        if word != "within" or spec.name != "inside":
            resolver.report(
                say.unknown_keyword(
                    keyword_at(word, value),
                    spec.name,
                    word,
                    ["within"] if spec.name == "inside" else [],
                )
            )
            return None
    most, least = len(spec.arguments), len(spec.arguments) - spec.optional
    if not least <= len(given) <= most:
        wanted = how_many(most) if least == most else f"{least} to {most} arguments"
        resolver.report(say.wrong_arguments(at, spec.name, wanted, len(given), LIKE[spec.name]))
        return None
    nodes: list[Typed] = []
    for letter, expr in zip(spec.arguments, given, strict=False):
        node = _builtin_argument(resolver, letter, expr, nodes)
        if node is None:
            return None
        nodes.append(node)
    returns = {
        "same": nodes[0].type,
        "metres": ValueType(Base.NUMBER, METRE),
        "seconds": DURATION,
        "boolean": BOOLEAN,
        "text": TEXT,
    }[spec.returns]
    return typed.Builtin(at, returns, spec.name, spec.call, tuple(nodes), spec.reads_position)


def _builtin_argument(
    resolver: Resolver, letter: str, expr: syntax.Expr, before: list[Typed]
) -> Typed | None:
    node = resolver.value(expr)
    if node is None:
        return None
    if letter == "n":
        if node.type.base is not Base.NUMBER:
            resolver.report(say.wrong_type(expr.at, "a number", node.type))
            return None
        return (
            in_unit(resolver, node, before[0].type.unit)
            if before and node.type.unit.symbol
            else node
        )
    if letter == "m":
        return (
            in_unit(resolver, node, METRE)
            if node.type.base is Base.NUMBER
            else fit(resolver, node, number("m"))
        )
    if letter == "s":
        if node.type.base is not Base.SET:
            resolver.report(say.wrong_type(expr.at, "a set", node.type))
            return None
        return node
    return resolver.place(node, entity=letter == "e")


def _known(resolver: Resolver, expr: syntax.Call) -> Typed | None:
    node = _only_argument(resolver, "known", expr)
    return None if node is None else typed.Known(expr.at, BOOLEAN, node)


def _wanted(resolver: Resolver, expr: syntax.Call) -> Typed | None:
    read = _only_point(resolver, "wanted", expr)
    if read is None:
        return None
    if not read.spec.access.is_commandable:
        resolver.report(say.never_wanted(expr.at, pretty(read)))
        return None
    return typed.Wanted(expr.at, read.type, read)


def _age(resolver: Resolver, expr: syntax.Call) -> Typed | None:
    read = _only_point(resolver, "age", expr)
    return None if read is None else typed.Age(expr.at, DURATION, read)


def _only_argument(resolver: Resolver, name: str, expr: syntax.Call) -> Typed | None:
    if len(expr.arguments) != 1 or expr.keywords:
        resolver.report(
            say.wrong_arguments(expr.at, name, "one argument", len(expr.arguments), LIKE[name])
        )
        return None
    return resolver.value(expr.arguments[0])


def _only_point(resolver: Resolver, name: str, expr: syntax.Call) -> Read | None:
    node = _only_argument(resolver, name, expr)
    if node is not None and not isinstance(node, Read):
        resolver.report(say.not_a_point(expr.arguments[0].at))
        return None
    return node


def _plan(resolver: Resolver, expr: syntax.Call) -> Typed | None:
    if len(expr.arguments) != 1 or not isinstance(expr.arguments[0], syntax.String):
        resolver.report(
            say.wrong_arguments(expr.at, "plan", "the name of a plan in quotes", None, LIKE["plan"])
        )
        return None
    name = expr.arguments[0].value
    if resolver.vocabulary.kind(f"plan:{name}") is None:
        known = resolver.vocabulary.plan_names()
        resolver.report(say.unknown_plan(expr.arguments[0].at, name, known))
        return None
    return typed.EntityConst(expr.at, ValueType(Base.ENTITY, kind=f"plan:{name}"), f"plan:{name}")


def _nearest(resolver: Resolver, expr: syntax.Call) -> Typed | None:
    if resolver.reactive:
        resolver.report(say.not_reactive(expr.at, "nearest"))
        return None
    bound = bind(resolver, "nearest", expr, ["count", "of", "to", "within", "where"])
    if bound is None:
        return None
    if not {"count", "of", "to"} <= set(bound):
        resolver.report(
            say.wrong_arguments(
                expr.at, "nearest", "a number, a kind, and to=", None, LIKE["nearest"]
            )
        )
        return None
    count, source = resolver.value_for(bound["count"], number("")), resolver.value(bound["of"])
    target = resolver.value(bound["to"])
    within = resolver.value_for(bound["within"], number("m")) if "within" in bound else None
    if count is None or source is None or target is None or ("within" in bound and within is None):
        return None
    if source.type.base is not Base.SET:
        resolver.report(say.wrong_type(source.at, "a kind or a set", source.type))
        return None
    place = resolver.place(target)
    inner = resolver.inside(source.type.kind)
    where = inner.condition(bound["where"]) if "where" in bound else None
    if place is None or ("where" in bound and where is None):
        return None
    variable = source.type.kind
    return typed.Nearest(expr.at, source.type, count, source, variable, place, within, where)


_SPECIAL_CALLS: Final[dict[str, Callable[[Resolver, syntax.Call], Typed | None]]] = {
    "known": _known,
    "age": _age,
    "wanted": _wanted,
    "plan": _plan,
    "nearest": _nearest,
}
