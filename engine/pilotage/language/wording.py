"""Typed expressions back into words: what `explain` and an alarm's reason show."""

from __future__ import annotations

from typing import Any

from pilotage.language import typed
from pilotage.language.typed import Typed
from pilotage.model.values import Base, format_value


def wording(node: Typed) -> str:
    """Return an expression much as it was written, with resolved names and units."""
    method = _WORDINGS.get(type(node))
    return method(node) if method is not None else type(node).__name__.lower()


def pretty(node: Typed) -> str:
    """Return an expression as it was written, as far as a message needs it."""
    match node:
        case typed.Read(base=base, point=point):
            return f"{pretty(base)}.{point}"
        case typed.Var(name=name):
            return name
        case typed.EntityConst(id=id_):
            return id_
        case _:
            return str(node.type)


def _inner(node: Typed) -> str:
    text = wording(node)
    return f"({text})" if isinstance(node, (typed.Logic, typed.Arithmetic, typed.Choice)) else text


def _side(node: Typed) -> str:
    """Return one side of a comparison: another comparison there needs its brackets, or they would be a chain."""
    return f"({wording(node)})" if isinstance(node, typed.Comparison) else _inner(node)


def _const(node: typed.Const) -> str:
    if node.type.base is Base.TEXT:
        return f'"{node.value}"'
    return format_value(node.value, node.type)


def duration(seconds: float) -> str:
    """Return a length of time as a rule would write it: `30 min`, `90 s`, `2 h`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _not(node: typed.Not) -> str:
    operand = node.operand
    if isinstance(operand, typed.Comparison) and operand.op == "in":
        return f"{_inner(operand.left)} not in {wording(operand.right)}"
    return f"not {_inner(operand)}"


def _call(name: str, *parts: str) -> str:
    return f"{name}({', '.join(p for p in parts if p)})"


def _aggregate(node: typed.Aggregate) -> str:
    what = wording(node.value) if node.value is not None else wording(node.source)
    return _call(
        node.function, what, f"where={wording(node.where)}" if node.where is not None else ""
    )


def _pattern(node: typed.Pattern) -> str:
    first, span = wording(node.first), duration(node.seconds)
    second = wording(node.second) if node.second is not None else ""
    return {
        "then": f"{first} then {second} within {span}",
        "without": f"{first} without {second} within {span}",
        "silence": f"no {first} for {span}",
        "repeats": f"{node.count} times {first} within {span}",
    }[node.how]


def _event(node: typed.Event) -> str:
    if node.how == "changes":
        return f"{wording(node.operand)} changes"
    operand = node.operand
    if isinstance(operand, typed.Comparison) and operand.op == "==":
        return f"{wording(operand.left)} becomes {wording(operand.right)}"
    return f"{wording(operand)} becomes true"


_WORDINGS: dict[type[Typed], Any] = {
    typed.Const: _const,
    typed.Var: lambda n: n.name,
    typed.EntityConst: lambda n: f'plan("{n.id.removeprefix("plan:")}")',
    typed.Read: lambda n: f"{wording(n.base)}.{n.point}",
    typed.NameOf: lambda n: f"{wording(n.base)}.{n.what}",
    typed.Global: lambda n: n.key,
    typed.Members: lambda n: f"{wording(n.base)}.{n.relation}",
    typed.AllOf: lambda n: n.kind,
    typed.Nearest: lambda n: _call(
        "nearest", wording(n.count), wording(n.source), f"to={wording(n.to)}"
    ),
    typed.Not: _not,
    typed.Logic: lambda n: f" {n.op} ".join(_inner(o) for o in n.operands),
    typed.Comparison: lambda n: f"{_side(n.left)} {n.op} {_side(n.right)}",
    typed.Convert: lambda n: wording(n.operand),
    typed.Arithmetic: lambda n: f"{_inner(n.left)} {n.op} {_inner(n.right)}",
    typed.Negative: lambda n: f"-{_inner(n.operand)}",
    typed.Choice: lambda n: f"{_inner(n.then)} if {_inner(n.condition)} else {_inner(n.otherwise)}",
    typed.OneOf: lambda n: f"[{', '.join(wording(i) for i in n.items)}]",
    typed.Known: lambda n: _call("known", wording(n.operand)),
    typed.Apply: lambda n: _call(n.function.name, *(wording(a) for a in n.arguments)),
    typed.Builtin: lambda n: _call(n.name, *(wording(a) for a in n.arguments)),
    typed.Wanted: lambda n: _call("wanted", wording(n.read)),
    typed.Age: lambda n: _call("age", wording(n.read)),
    typed.Older: lambda n: f"age({wording(n.read)}) > {duration(n.seconds)}",
    typed.Window: lambda n: _call(n.function, wording(n.operand), duration(n.seconds)),
    typed.Aggregate: _aggregate,
    typed.Event: _event,
    typed.PairEvent: lambda n: "leaves" if n.leaves else "enters",
    typed.Periodic: lambda n: f"every {duration(n.seconds)}",
    typed.Daily: lambda n: f"at {wording(n.time)}",
    typed.AnyEvent: lambda n: " or ".join(wording(e) for e in n.events),
    typed.Pattern: _pattern,
}
