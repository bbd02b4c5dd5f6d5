"""Sums, products and signs: the unit of each result, and what can be worked out before the engine runs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from pilotage.language import check_findings as say
from pilotage.language import syntax, typed
from pilotage.language.fitting import in_unit, title_of
from pilotage.language.typed import Const, Typed
from pilotage.model.units import ONE, Unit, parse_unit
from pilotage.model.values import BOOLEAN, TIME, Base, ValueType

if TYPE_CHECKING:
    from pilotage.language.resolver import Resolver


def unary(resolver: Resolver, expr: syntax.Unary, expected: ValueType | None) -> Typed | None:
    """Return a negation or a number with its sign, or None after reporting."""
    if expr.op == "not":
        operand = resolver.condition(expr.operand)
        return None if operand is None else typed.Not(expr.at, BOOLEAN, operand)
    operand = resolver.value(expr.operand, expected)
    if operand is None:
        return None
    if operand.type.base is not Base.NUMBER:
        resolver.report(say.wrong_type(expr.at, "a number", operand.type))
        return None
    if isinstance(operand, Const):
        return replace(operand, at=expr.at, value=-operand.value)
    return typed.Negative(expr.at, operand.type, operand)


def arithmetic(resolver: Resolver, expr: syntax.Binary) -> Typed | None:
    """Return a sum, product or shifted time of day, or None after reporting."""
    left, right = resolver.value(expr.left), resolver.value(expr.right)
    if left is None or right is None:
        return None
    if left.type.base is Base.TIME and right.type.base is Base.NUMBER and expr.op in "+-":
        shift = in_unit(resolver, right, parse_unit("min"))
        if shift is None:
            return None
        return typed.Arithmetic(expr.at, TIME, expr.op, left, shift, clock=True)
    for side in (left, right):
        if side.type.base is not Base.NUMBER:
            resolver.report(say.wrong_type(side.at, "a number", side.type))
            return None
    match expr.op:
        case "+" | "-":
            return _sum(resolver, expr, left, right)
        case "%":
            return _remainder(resolver, expr, left, right)
        case _:
            return _product(resolver, expr, left, right)


def _sum(resolver: Resolver, expr: syntax.Binary, left: Typed, right: Typed) -> Typed | None:
    if left.type.unit.dimension != right.type.unit.dimension:
        resolver.report(
            say.cannot_add(expr.at, title_of(left.type.unit), title_of(right.type.unit))
        )
        return None
    unit = left.type.unit
    if unit.offset:  # temperatures: 20 °C + 2 °C is 22 °C, 20 °C - 2 °C a difference
        is_difference = expr.op == "-" and right.type.unit.offset
        result = ValueType(Base.NUMBER, parse_unit("K")) if is_difference else left.type
        return _folded(typed.Arithmetic(expr.at, result, expr.op, left, right))
    fitted = in_unit(resolver, right, unit)
    if fitted is None:
        return None
    return _folded(typed.Arithmetic(expr.at, left.type, expr.op, left, fitted))


def _remainder(resolver: Resolver, expr: syntax.Binary, left: Typed, right: Typed) -> Typed | None:
    fitted = in_unit(resolver, right, left.type.unit)
    if fitted is None:
        return None
    return _folded(typed.Arithmetic(expr.at, left.type, "%", left, fitted))


def _product(resolver: Resolver, expr: syntax.Binary, left: Typed, right: Typed) -> Typed | None:
    a, b = left.type.unit, right.type.unit
    divide = expr.op == "/"
    dimension = a.dimension / b.dimension if divide else a.dimension * b.dimension
    if not b.symbol:
        unit = a
    elif not a.symbol and not divide:
        unit = b
    else:
        scale = a.scale / b.scale if divide else a.scale * b.scale
        below = f"({b.symbol})" if divide and not b.symbol.isalpha() else b.symbol
        unit = Unit(f"{a.symbol or '1'}{'/' if divide else '·'}{below}", dimension, scale)
    node: Typed = typed.Arithmetic(expr.at, ValueType(Base.NUMBER, unit), expr.op, left, right)
    if unit.symbol and dimension.is_plain and unit not in (a, b):
        return in_unit(resolver, _folded(node), ONE)
    return _folded(node)


def calculate(op: str, a: float, b: float) -> float | None:
    """Return what an operator gives, or None for a division by zero."""
    match op:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            return a / b if b else None
        case _:
            return a % b if b else None


def _folded(node: Typed) -> Typed:
    """Return an expression worked out where it is known before the engine runs, else as it is."""
    if (
        isinstance(node, typed.Arithmetic)
        and isinstance(node.left, Const)
        and isinstance(node.right, Const)
    ):
        value = calculate(node.op, node.left.value, node.right.value)
        if value is not None and math.isfinite(value):
            return Const(node.at, node.type, value)
    return node
