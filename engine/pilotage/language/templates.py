"""Longer texts for people as Jinja2 templates: an allow-list over the syntax tree, plain values only, bounded in cost.

Jinja2's own sandbox bounds no cost and has had an escape every year or two, so it is the second wall, not the
first: a template with any node outside the list is refused before it is ever rendered.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST: Final = 4_000
"""Characters of a template, and of what it may give."""
MOST_NODES: Final = 200
FILTERS: Final = frozenset(
    {"upper", "lower", "capitalize", "title", "trim", "default", "round", "int", "length", "abs"}
)
_ALLOWED: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.Const, nodes.Compare,
    nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr, nodes.If, nodes.Filter, nodes.Add, nodes.Sub, nodes.Neg,
)  # fmt: skip

_environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=False)
_environment.globals.clear()


def inspect(text: str) -> tuple[str, list[str]]:
    """Return why a template is refused (empty when it is not) and the dotted names that it shows."""
    if len(text) > LONGEST:
        return f"it is longer than {LONGEST} characters", []
    try:
        tree = _environment.parse(text)
    except (TemplateError, RecursionError) as error:
        return str(error) or "it is nested too deeply", []
    found = list(tree.find_all(nodes.Node))
    if len(found) > MOST_NODES:
        return f"it has more than {MOST_NODES} parts", []
    for node in found:
        if not isinstance(node, _ALLOWED):
            return f"{type(node).__name__.lower()} in line {node.lineno} is not allowed", []
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            return f'the filter "{node.name}" in line {node.lineno} is not allowed', []
    return "", _paths(tree)


def _paths(tree: nodes.Template) -> list[str]:
    """Return each `a.b.c` once, the longest chains only."""
    inner: set[int] = set()
    paths: dict[str, None] = {}
    for node in [tree, *tree.find_all((nodes.Getattr, nodes.Name))]:
        words: list[str] = []
        at: Any = node
        while isinstance(at, nodes.Getattr):
            words.append(at.attr)
            inner.add(id(at.node))
            at = at.node
        if isinstance(at, nodes.Name) and id(node) not in inner:
            paths[".".join([at.name, *reversed(words)])] = None
    return list(paths)


def _number(value: Any) -> Any:
    """Return a whole number without its `.0`, as people write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@lru_cache(maxsize=256)
def _compiled(text: str) -> Template:
    return _environment.from_string(text)


class _Shown:
    """Something that a template shows together with parts of it: `{{ zone }}` and `{{ zone.building }}`."""

    __slots__ = ("_itself", "_parts")

    def __init__(self, itself: Any) -> None:
        self._itself = itself
        self._parts: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            return self._parts[name]
        except KeyError:
            raise AttributeError(name) from None

    def __str__(self) -> str:
        return str(self._itself)


def render(text: str, values: Mapping[str, Any]) -> str:
    """Return an inspected template with its names filled in; unknown values read "unknown".

    Args:
        text: A template that `inspect` let through.
        values: Plain values by dotted name.
    """
    context: dict[str, Any] = {}
    for path, value in values.items():
        *folders, leaf = path.split(".")
        place = context
        for folder in folders:
            inner = place.get(folder)
            if not isinstance(inner, _Shown):
                inner = place[folder] = _Shown(inner)
            place = inner._parts
        shown = "unknown" if value is None else _number(value)
        known = place.get(leaf)
        if isinstance(known, _Shown):
            known._itself = shown
        else:
            place[leaf] = shown
    pieces: list[str] = []
    size = 0
    try:
        for piece in _compiled(text).generate(context):
            pieces.append(piece)
            size += len(piece)
            if size > LONGEST:
                break
    except Exception as error:
        # A filter met a value it cannot take: the text must still reach people.
        pieces.append(f"[this text ends here: {type(error).__name__}: {error}]")
    return "".join(pieces)[:LONGEST]
