"""Sets of entities: what `for_each` and `each` run over."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from pilotage.language import check_findings as say
from pilotage.language import syntax, typed
from pilotage.language.inspection import Inspection, Scope
from pilotage.language.program import SetProgram
from pilotage.language.resolver import Resolver
from pilotage.language.typed import Typed
from pilotage.language.vocabulary import GLOBALS, position_point
from pilotage.model.values import Base, reference


def check_sets(
    inspection: Inspection, for_each: syntax.ForEach, scope: Scope, *, steps: bool = False
) -> tuple[SetProgram, ...] | None:
    """Return the typed sets, with each variable added to the scope, or None after reporting."""
    programs: list[SetProgram] = []
    for index, (name, set_) in enumerate(for_each):
        if name.text in scope or name.text in GLOBALS:
            inspection.report(say.variable_taken(name.at, name.text))
            return None
        program = check_set(inspection, name.text, set_, scope, steps=steps)
        if program is None:
            return None
        related = program.within_m is not None or program.source is not None
        if index and not related and not (program.where and _mentions(program.where, scope)):
            inspection.report(say.product_too_large(set_.at))
            return None
        scope[name.text] = reference(program.kind)
        programs.append(program)
    return tuple(programs)


def check_set(
    inspection: Inspection, variable: str, set_: syntax.SetOf, scope: Scope, *, steps: bool = False
) -> SetProgram | None:
    """Return one typed set of entities, or None after reporting."""
    resolver = inspection.resolver(scope, reactive=not steps)
    if set_.expression is not None:
        source = resolver.value(set_.expression)
        if source is None:
            return None
        if source.type.base is not Base.SET:
            inspection.report(say.wrong_type(set_.expression.at, "a set", source.type))
            return None
        return SetProgram(variable, source.type.kind, source=source)
    assert set_.kind is not None
    if inspection.vocabulary.kind(set_.kind.text) is None:
        inspection.report(
            say.unknown_kind(set_.kind.at, set_.kind.text, inspection.vocabulary.kinds)
        )
        return None
    kind = set_.kind.text
    inner = inspection.resolver(
        {kind: reference(kind), **scope, variable: reference(kind)},
        reactive=not steps,
    )
    where = inner.condition(set_.where) if set_.where is not None else None
    of = _origin(inspection, set_, kind, resolver) if set_.within_m is not None else None
    if (set_.where is not None and where is None) or (set_.within_m is not None and of is None):
        return None
    if where is not None and variable != kind and kind not in scope:
        where = _renamed(where, kind, variable)
    return SetProgram(variable, kind, where, set_.within_m, of)


def _origin(
    inspection: Inspection, set_: syntax.SetOf, kind: str, resolver: Resolver
) -> Typed | None:
    """Return what the distance is from, or None after reporting."""
    if set_.of is None:
        return None  # the reader has said so
    own = inspection.vocabulary.kind(kind)
    if own is not None and position_point(own) is None:
        inspection.report(say.no_place(set_.at, kind))
        return None
    node = resolver.value(set_.of)
    return None if node is None else resolver.place(node)


def _mentions(node: Typed, scope: Scope) -> bool:
    return any(isinstance(n, typed.Var) and n.name in scope for n in typed.walk(node))


def _renamed(node: Typed, before: str, after: str) -> Typed:
    """Return the expression with a variable renamed: in `where`, the kind's name stands for the variable too."""
    if isinstance(node, typed.Var) and node.name == before:
        return replace(node, name=after)
    if isinstance(node, (typed.Aggregate, typed.AllOf)) and node.variable == before:
        return node
    changes: dict[str, Any] = {}
    for field in fields(node):
        value = getattr(node, field.name)
        if isinstance(value, Typed):
            changes[field.name] = _renamed(value, before, after)
        elif isinstance(value, tuple) and value and all(isinstance(v, Typed) for v in value):
            changes[field.name] = tuple(_renamed(v, before, after) for v in value)
    return replace(node, **changes) if changes else node
