"""The identity of a declaration: it stays while only places, titles and descriptions change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Final

from pilotage.language import syntax
from pilotage.model.diagnostics import Span

_SKIPPED: Final = {"at", "name_at", "description", "coverage_at", "as_text", "problem"}
_PLAIN: Final = {str, float, int, bool, type(None)}


def meaning(declaration: Any) -> str:
    """Return a hash of what a declaration means: places, titles and descriptions do not count."""
    return hashlib.sha256(repr(_bare(declaration)).encode()).hexdigest()[:16]


def _bare(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in (Span, syntax.Title):
        return None
    if isinstance(value, tuple):
        return tuple([_bare(v) for v in value])
    if is_dataclass(kind):
        return (kind.__name__, *[_bare(getattr(value, name)) for name in _telling(kind)])
    if isinstance(value, Mapping):
        return tuple(sorted((k, _bare(v)) for k, v in value.items()))
    return value


@cache
def _telling(kind: type) -> tuple[str, ...]:
    """Return the names of the fields that count, of one class of declarations."""
    return tuple(f.name for f in fields(kind) if f.name not in _SKIPPED)
