"""What a call was given: its arguments by name, and the words for a finding when they do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pilotage.language import check_findings as say
from pilotage.language import syntax
from pilotage.model.diagnostics import Span

if TYPE_CHECKING:
    from pilotage.language.resolver import Resolver

LIKE: Final = {
    "known": "known(bus.delay)",
    "age": "age(bus.position) > 30 s",
    "wanted": "wanted(segment.lights.level)",
    "plan": 'plan("snow").level',
    "nearest": "nearest(2, camera, to=zone.location, within=150 m)",
    "avg": "avg(segment.traffic.flow, 15 min), or avg(segment.lamps.level)",
    "abs": "abs(bus.delay)",
    "round": "round(x), or round(x, 1)",
    "clamp": "clamp(x, 0 %, 100 %)",
    "distance": "distance(bus, junction)",
    "inside": "inside(bus, junction, within=150 m)",
    "approaching": "approaching(bus, junction)",
    "eta": "eta(bus, junction)",
    "names": "names(segment.lamps)",
}
"""A call that works, for each function of the engine."""


def bind(
    resolver: Resolver, name: str, expr: syntax.Call, parameters: list[str]
) -> dict[str, syntax.Expr] | None:
    """Return the arguments of a call by parameter, or None after reporting what is too much or not known."""
    if len(expr.arguments) > len(parameters):
        resolver.report(
            say.wrong_arguments(
                expr.at,
                name,
                how_many(len(parameters)),
                len(expr.arguments),
                f"{name}({', '.join(parameters)})",
            )
        )
        return None
    bound = dict(zip(parameters, expr.arguments, strict=False))
    for word, value in expr.keywords:
        if word not in parameters or word in bound:
            resolver.report(
                say.unknown_keyword(
                    keyword_at(word, value), name, word, [p for p in parameters if p not in bound]
                )
            )
            return None
        bound[word] = value
    return bound


def how_many(count: int) -> str:
    """Return a number of arguments in words."""
    return "no argument" if not count else "one argument" if count == 1 else f"{count} arguments"


def keyword_at(word: str, value: syntax.Expr) -> Span:
    """Return where the name of an argument stands: in front of its value and the sign of equality."""
    at = value.at
    return at._replace(column=max(1, at.column - len(word) - 1), length=len(word))
