"""Comparisons: both sides in one unit, words as members of their enumeration, chains, `in`, and ages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pilotage.language import check_findings as say
from pilotage.language import syntax, typed
from pilotage.language.fitting import fit_enum, in_unit, same_unit
from pilotage.language.typed import Const, Typed
from pilotage.model.diagnostics import Span
from pilotage.model.units import SECOND
from pilotage.model.values import BOOLEAN, Base

if TYPE_CHECKING:
    from pilotage.language.resolver import Resolver


_NUMERIC: Final = (Base.NUMBER, Base.TIME)
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def comparison(resolver: Resolver, expr: syntax.Compare) -> Typed | None:
    """Return a comparison or a chain of them (`a < b < c`), or None after reporting."""
    links: list[Typed] = []
    left = expr.first
    for op, right in expr.rest:
        one = link(resolver, left, op, right)
        if one is None:
            return None
        links.append(one)
        left = right
    if len(links) == 1:
        return links[0]
    op = "or" if _wraps_midnight(links) else "and"
    return typed.Logic(expr.at, BOOLEAN, op, tuple(links))


def link(
    resolver: Resolver, left_expr: syntax.Expr, op: str, right_expr: syntax.Expr
) -> Typed | None:
    """Return one comparison of two written sides, or None after reporting."""
    at = _joined(left_expr.at, right_expr.at)
    left, right = _both_sides(resolver, left_expr, right_expr)
    if left is None or right is None:
        return None
    if op in ("in", "not in"):
        return _membership(resolver, at, op, left, right)
    if isinstance(left, typed.Age) or isinstance(right, typed.Age):
        older = _older(resolver, at, op, left, right)
        if older is not None:
            return older
    pair = _comparable(resolver, at, op, left, right)
    return None if pair is None else _folded(at, op, *pair)


def _both_sides(
    resolver: Resolver, a: syntax.Expr, b: syntax.Expr
) -> tuple[Typed | None, Typed | None]:
    """Resolve both, the one that stands for a member of an enumeration last."""
    if (
        isinstance(a, syntax.Name)
        and a.name not in resolver.scope
        and not resolver.has_meaning(a.name)
    ):
        right = resolver.value(b)
        return resolver.value(a, right.type if right else None), right
    left = resolver.value(a)
    return left, (resolver.value(b, left.type) if left is not None else None)


def _membership(resolver: Resolver, at: Span, op: str, left: Typed, right: Typed) -> Typed | None:
    if isinstance(right, typed.OneOf):
        items = [_comparable(resolver, at, "==", left, item) for item in right.items]
        if any(i is None for i in items):
            return None
        node: Typed = typed.Comparison(
            at,
            BOOLEAN,
            "in",
            left,
            replace(right, items=tuple(i[1] for i in items if i is not None)),
        )
    elif right.type.base is Base.SET:
        if left.type.base is not Base.ENTITY or (
            left.type.kind and left.type.kind != right.type.kind
        ):
            resolver.report(say.text_with_unit(at, left.type, right.type))
            return None
        node = typed.Comparison(at, BOOLEAN, "in", left, right)
    else:
        resolver.report(say.wrong_type(right.at, "a list or a set", right.type))
        return None
    return typed.Not(at, BOOLEAN, node) if op == "not in" else node


def _comparable(
    resolver: Resolver, at: Span, op: str, left: Typed, right: Typed
) -> tuple[Typed, Typed] | None:
    a, b = left.type, right.type
    ordered = op not in ("==", "!=")
    if a.base is Base.NUMBER and b.base is Base.NUMBER:
        return same_unit(resolver, left, right)
    if a.base is Base.TIME and b.base is Base.TIME:
        return left, right
    if Base.TIME in (a.base, b.base):
        resolver.report(
            say.text_with_unit(at, a, b) if a.base is Base.TIME else say.text_with_unit(at, b, a)
        )
        return None
    if ordered:
        resolver.report(
            say.cannot_order(
                left.at if a.base not in _NUMERIC else right.at,
                a if a.base not in _NUMERIC else b,
            )
        )
        return None
    if a.base is Base.ENUM or b.base is Base.ENUM:
        return _same_members(resolver, left, right, at)
    if a.base is not b.base or (a.kind and b.kind and a.kind != b.kind):
        resolver.report(say.text_with_unit(at, a, b))
        return None
    return left, right


def _same_members(
    resolver: Resolver, left: Typed, right: Typed, at: Span
) -> tuple[Typed, Typed] | None:
    if left.type.base is not Base.ENUM:
        swapped = _same_members(resolver, right, left, at)
        return None if swapped is None else (swapped[1], swapped[0])
    if right.type.base not in (Base.ENUM, Base.TEXT):
        resolver.report(say.text_with_unit(at, left.type, right.type))
        return None
    fits = isinstance(right, Const) or right.type.base is Base.ENUM
    fitted = fit_enum(resolver, right, left.type) if fits else right
    return None if fitted is None else (left, fitted)


def _older(resolver: Resolver, at: Span, op: str, left: Typed, right: Typed) -> Typed | None:
    """`age(x) > 5 min` and its relatives, kept by a timer instead of asked again and again."""
    if isinstance(right, typed.Age):
        left, right, op = right, left, _MIRRORED.get(op, op)
    if not isinstance(left, typed.Age) or not isinstance(right, Const) or op not in _MIRRORED:
        return None
    limit = in_unit(resolver, right, SECOND)
    if not isinstance(limit, Const):
        return None
    older = typed.Older(at, BOOLEAN, left.read, limit.value)
    return older if op in (">", ">=") else typed.Not(at, BOOLEAN, older)


def _joined(a: Span, b: Span) -> Span:
    if a.line == b.line and b.column >= a.column:
        return Span(a.file, a.line, a.column, b.column + b.length - a.column)
    return a


def _wraps_midnight(links: list[Typed]) -> bool:
    """`22:00 <= time < 05:00` means the night, not nothing."""
    first, last = links[0], links[-1]
    if (
        len(links) != 2
        or not isinstance(first, typed.Comparison)
        or not isinstance(last, typed.Comparison)
    ):
        return False
    low, high = first.left, last.right
    return (
        isinstance(low, Const)
        and isinstance(high, Const)
        and low.type.base is Base.TIME
        and first.op in ("<", "<=")
        and last.op in ("<", "<=")
        and low.value > high.value
    )


def _folded(at: Span, op: str, left: Typed, right: Typed) -> Typed:
    node = typed.Comparison(at, BOOLEAN, op, left, right)
    if isinstance(left, Const) and isinstance(right, Const):
        return Const(at, BOOLEAN, compare(op, left.value, right.value))
    return node


def compare(op: str, a: Any, b: Any) -> bool:
    """Return what a comparison of two known values says."""
    match op:
        case "<":
            return bool(a < b)
        case "<=":
            return bool(a <= b)
        case ">":
            return bool(a > b)
        case ">=":
            return bool(a >= b)
        case "==":
            return bool(a == b)
        case "!=":
            return bool(a != b)
        case _:
            return a in b
