"""What is given to a point, a call or a person: values of the wanted type, and texts."""

from __future__ import annotations

import re

from pilotage.language import check_findings as say
from pilotage.language import syntax, templates
from pilotage.language.inspection import Inspection
from pilotage.language.program import TextProgram
from pilotage.language.resolver import Resolver
from pilotage.language.typed import Const, Typed
from pilotage.model.diagnostics import Span
from pilotage.model.entities import PointSpec
from pilotage.model.values import TEXT, Base, ValueType, format_value


def check_raw(
    inspection: Inspection,
    raw: syntax.Raw,
    wanted: ValueType,
    resolver: Resolver,
    spec: PointSpec | None = None,
) -> Typed | TextProgram | None:
    """Return what stands after `to:` or under `with:`: a text for texts, else an expression of the type."""
    if wanted.base is Base.TEXT:
        if isinstance(raw.expression, syntax.String):
            return Const(raw.at, TEXT, raw.expression.value)
        if raw.expression is not None and _speaks_of(raw.expression, resolver):
            return resolver.value_for(raw.expression, TEXT)
        return check_text(inspection, raw.as_text, resolver)
    if wanted.base is Base.ENUM and raw.text in wanted.members:
        return Const(raw.at, wanted, raw.text)
    if raw.expression is None:
        if wanted.base is Base.ENUM:
            inspection.report(say.not_a_member(raw.at, raw.text, wanted.members))
            return None
        if wanted.base is Base.ANY:
            return check_text(inspection, raw.as_text, resolver)
        if raw.problem is not None:
            inspection.report(raw.problem)
        return None
    if (
        wanted.base is Base.ANY
        and isinstance(raw.expression, syntax.Name)
        and raw.text not in resolver.scope
        and not resolver.has_meaning(raw.text)
    ):
        return Const(raw.at, TEXT, raw.text)
    node = resolver.value_for(raw.expression, wanted)
    if node is not None and spec is not None:
        check_range(inspection, node, spec)
    return node


def check_range(inspection: Inspection, node: Typed, spec: PointSpec) -> None:
    """Report a constant that the point cannot take."""
    if not isinstance(node, Const) or not isinstance(node.value, float):
        return
    low, high = spec.low, spec.high
    if (low is not None and node.value < low) or (high is not None and node.value > high):
        inspection.report(
            say.out_of_range(
                node.at,
                format_value(node.value, spec.type),
                format_value(low, spec.type) if low is not None else "",
                format_value(high, spec.type) if high is not None else "",
            )
        )


def check_text(inspection: Inspection, text: syntax.Text, resolver: Resolver) -> TextProgram | None:
    """Return a typed text or template, or None after reporting."""
    if text.template is not None:
        return _check_template(inspection, text, resolver)
    calm = inspection.resolver(
        resolver.scope,
        reactive=False,
        step_variables=resolver.step_variables,
    )
    parts: list[str | Typed] = []
    for part in text.parts:
        if isinstance(part, str):
            parts.append(part)
            continue
        node = calm.value(part)
        if node is None:
            return None
        parts.append(node)
    return TextProgram(tuple(parts))


def _check_template(
    inspection: Inspection, text: syntax.Text, resolver: Resolver
) -> TextProgram | None:
    assert text.template is not None
    problem, paths = templates.inspect(text.template)
    if problem:
        inspection.report(say.template_refused(text.at, problem))
        return None
    calm = inspection.resolver(resolver.scope, reactive=False)
    names: list[tuple[str, Typed]] = []
    for path in paths:
        words = path.split(".")
        places = _places_in_template(inspection, text, path)
        expr: syntax.Expr = syntax.Name(places[0], words[0])
        for word, at in zip(words[1:], places[1:], strict=True):
            expr = syntax.Attribute(places[0], expr, word, at)
        node = calm.value(expr)
        if node is None:
            return None
        names.append((path, node))
    return TextProgram((), text.template, tuple(names))


def _places_in_template(inspection: Inspection, text: syntax.Text, path: str) -> list[Span]:
    """Return where the words of a dotted name stand in the file, or the template as a whole."""
    words, at = path.split("."), text.at
    source = inspection.source(at.file)
    pattern = re.compile(
        r"(?<![\w.])" + r"\s*\.\s*".join(rf"({re.escape(w)})" for w in words) + r"(?!\w)"
    )
    for line, row in enumerate(source.splitlines()[at.line - 1 :], at.line):
        found = pattern.search(row, at.column - 1 if line == at.line else 0)
        if found is not None:
            starts = [found.start(i) + 1 for i in range(1, len(words) + 1)]
            return [Span(at.file, line, c, len(w)) for c, w in zip(starts, words, strict=True)]
    return [at] * len(words)


def _speaks_of(expr: syntax.Expr, resolver: Resolver) -> bool:
    """True for a call or a path that begins with something known: then it is no text, though a text is wanted."""
    node = expr
    while isinstance(node, (syntax.Attribute, syntax.Call)):
        node = node.base if isinstance(node, syntax.Attribute) else node.function
    if node is expr or not isinstance(node, syntax.Name):
        return False
    known = node.name in resolver.scope or resolver.has_meaning(node.name)
    return known or any(f.split(".")[0] == node.name for f in resolver.vocabulary.functions)
