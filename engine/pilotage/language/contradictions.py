"""Whether two conditions can be true together, as far as a simple look can tell."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pilotage.language import typed
from pilotage.language.typed import Const, Typed
from pilotage.model.values import Base


def operands(node: Typed, op: str) -> list[Typed]:
    """Return the parts of `a and b and c`, brackets opened; of anything else itself."""
    if isinstance(node, typed.Logic) and node.op == op:
        return [part for operand in node.operands for part in operands(operand, op)]
    return [node]


def contradict(x: Typed, y: Typed) -> bool:
    """True for two conditions that can never be true together."""
    if isinstance(x, typed.Not) and _same(x.operand, y):
        return True
    if isinstance(y, typed.Not) and _same(y.operand, x):
        return True
    if not isinstance(x, typed.Comparison) or not isinstance(y, typed.Comparison):
        return False
    if (
        not _same(x.left, y.left)
        or not isinstance(x.right, Const)
        or not isinstance(y.right, Const)
    ):
        return False
    a, b = x.right.value, y.right.value
    if x.op == "==" and y.op == "==":
        return bool(a != b)
    if x.op in ("<", "<=") and y.op in (">", ">="):
        return bool(a <= b)
    if x.op in (">", ">=") and y.op in ("<", "<="):
        return bool(b <= a)
    return False


def overlap(x: Typed, y: Typed) -> bool:
    """True for two comparisons of the same value with numbers that can both be true."""
    if not isinstance(x, typed.Comparison) or not isinstance(y, typed.Comparison):
        return False
    if not {x.op, y.op} <= {"<", "<=", ">", ">="} or not _same(x.left, y.left):
        return False
    if x.left.type.base is not Base.NUMBER:
        return False
    if not isinstance(x.right, Const) or not isinstance(y.right, Const):
        return False
    return x.op[0] == y.op[0] or not contradict(x, y)


def over_range(op: str, value: float, low: float | None, high: float | None) -> bool | None:
    """Return what a comparison with a value always says over a range, or None when it can change."""
    if op in ("<", "<="):
        op, value, low, high = (
            ">" if op == "<" else ">=",
            -value,
            -high if high is not None else None,
            -low if low is not None else None,
        )
    if op == ">":
        if high is not None and high <= value:
            return False
        return True if low is not None and low > value else None
    if op == ">=":
        if high is not None and high < value:
            return False
        return True if low is not None and low >= value else None
    outside = (low is not None and value < low) or (high is not None and value > high)
    return (op == "!=") if outside and op in ("==", "!=") else None


def _same(x: Typed, y: Typed) -> bool:
    """True when two expressions mean the same, variables compared by their kind."""
    return bool(_shape(x) == _shape(y))


def _shape(node: Typed) -> Any:
    if isinstance(node, typed.Var):
        return ("Var", node.type.kind or node.name)
    parts: list[Any] = [type(node).__name__]
    for field in fields(node):
        if field.name in ("at", "type", "spec", "variable"):
            continue
        value = getattr(node, field.name)
        if isinstance(value, Typed):
            parts.append(_shape(value))
        elif isinstance(value, tuple) and value and isinstance(value[0], Typed):
            parts.append(tuple(_shape(v) for v in value))
        else:
            parts.append(value)
    return tuple(map(str, parts))
