"""Dotted names: `segment.lights.level` from its first word to the point at its end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pilotage.language import check_findings as say
from pilotage.language import syntax, typed
from pilotage.language.typed import Read, Typed
from pilotage.language.vocabulary import GLOBALS
from pilotage.model.diagnostics import Span
from pilotage.model.values import TEXT, Base, ValueType, set_of

if TYPE_CHECKING:
    from pilotage.language.resolver import Resolver


Words = list[tuple[str, Span]]
"""The words of a dotted name behind its first, each with its place."""


def attribute(resolver: Resolver, expr: syntax.Attribute) -> Typed | None:
    """Return what a dotted name means, or None after reporting."""
    base, words = flatten(expr)
    name = dotted(expr)
    if name in GLOBALS and isinstance(base, syntax.Name) and base.name not in resolver.scope:
        return typed.Global(expr.at, GLOBALS[name], name)
    start = resolver.value(base)
    return None if start is None else follow(resolver, start, words, expr.at)


def follow(resolver: Resolver, node: Typed, words: Words, at: Span) -> Typed | None:
    """Return what some words behind a value mean, or None after reporting."""
    while words:
        if node.type.base is Base.SET and not isinstance(node, typed.Nearest):
            _refuse_several(resolver, node, words)
            return None
        if node.type.base is Base.SET:  # nearest(1, …).name: the one
            node = replace(node, type=ValueType(Base.ENTITY, kind=node.type.kind))
        if node.type.base is not Base.ENTITY or not node.type.kind:
            resolver.report(say.not_an_entity(words[0][1], words[0][0], node.type))
            return None
        found = step_into(resolver, node, words, at)
        if found is None:
            return None
        node, words = found
    return node


def step_into(
    resolver: Resolver, node: Typed, words: Words, at: Span
) -> tuple[Typed, Words] | None:
    """Return what the next words of an entity mean and the words left over, or None after reporting."""
    kind_name = node.type.kind
    # The longest point name wins: `lights.level` before `lights`.
    for length in range(len(words), 0, -1):
        name = ".".join(w for w, _ in words[:length])
        spec = resolver.vocabulary.point(kind_name, name)
        if spec is not None:
            return Read(at, spec.type, node, name, spec), words[length:]
    word, place = words[0]
    kind = resolver.vocabulary.kind(kind_name)
    if kind is not None and word in kind.relations:
        return typed.Members(at, set_of(kind.relations[word]), node, word), words[1:]
    if word in ("name", "id"):
        return typed.NameOf(at, TEXT, node, word), words[1:]
    if word not in resolver.vocabulary.derived_names(kind_name):  # else it is reported there
        resolver.report(
            say.no_point(place, kind_name, word, resolver.vocabulary.point_names(kind_name))
        )
    return None


def _refuse_several(resolver: Resolver, source: Typed, words: Words) -> None:
    """Report `segment.lamps.level` where one value is wanted: `statistics` takes it before this is reached."""
    relation = source.relation if isinstance(source, typed.Members) else source.type.kind
    resolver.report(say.several_entities(words[0][1], relation, source.type.kind))


def flatten(expr: syntax.Expr) -> tuple[syntax.Expr, Words]:
    """Return what a dotted name begins with, and the words behind it."""
    words: Words = []
    while isinstance(expr, syntax.Attribute):
        words.append((expr.name, expr.name_at))
        expr = expr.base
    return expr, words[::-1]


def dotted(expr: syntax.Expr) -> str:
    """Return a dotted name as it was written; empty when it begins with no name."""
    base, words = flatten(expr)
    return ".".join([base.name, *(w for w, _ in words)]) if isinstance(base, syntax.Name) else ""
