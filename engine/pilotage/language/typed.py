"""Expressions with their meaning: every name resolved, every type and unit known.

The resolver builds these from the syntax tree, the compiler turns them into Python, the tracer reads them for `explain`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from pilotage.model.diagnostics import Span
from pilotage.model.entities import Function, PointSpec
from pilotage.model.values import ValueType


@dataclass(frozen=True, slots=True, eq=False)
class Typed:
    """Any typed expression."""

    at: Span
    type: ValueType


@dataclass(frozen=True, slots=True, eq=False)
class Const(Typed):
    """A known value; entities by id."""

    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class Var(Typed):
    """A variable: an entity of `for_each`, a value of `let`."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class EntityConst(Typed):
    """One entity that has a name of its own: a plan."""

    id: str


@dataclass(frozen=True, slots=True, eq=False)
class Read(Typed):
    """A point of an entity."""

    base: Typed
    point: str
    spec: PointSpec


@dataclass(frozen=True, slots=True, eq=False)
class NameOf(Typed):
    """`x.name`: an entity's name for people; `x.id` with `what="id"`."""

    base: Typed
    what: str


@dataclass(frozen=True, slots=True, eq=False)
class Global(Typed):
    """A value of the city: `is_night`, `time`, `sun.elevation`, or a derived value without `for_each`."""

    key: str


@dataclass(frozen=True, slots=True, eq=False)
class Members(Typed):
    """A relation of an entity: a set."""

    base: Typed
    relation: str


@dataclass(frozen=True, slots=True, eq=False)
class AllOf(Typed):
    """All entities of a kind that meet a condition: a set."""

    kind: str
    variable: str
    where: Typed | None


@dataclass(frozen=True, slots=True, eq=False)
class Nearest(Typed):
    """The n nearest entities of a kind, nearest first."""

    count: Typed
    source: Typed
    variable: str
    to: Typed
    within: Typed | None
    where: Typed | None


@dataclass(frozen=True, slots=True, eq=False)
class Not(Typed):
    """Three-valued negation."""

    operand: Typed


@dataclass(frozen=True, slots=True, eq=False)
class Logic(Typed):
    """Three-valued `and` / `or`."""

    op: str
    operands: tuple[Typed, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison(Typed):
    """One comparison; unknown when a side is. Numbers are in the left side's unit already."""

    op: str
    left: Typed
    right: Typed


@dataclass(frozen=True, slots=True, eq=False)
class Convert(Typed):
    """A number in another unit: `value * factor + addend`."""

    operand: Typed
    factor: float
    addend: float


@dataclass(frozen=True, slots=True, eq=False)
class Arithmetic(Typed):
    """`+ - * / %`; a division by zero is unknown. `clock` wraps around midnight."""

    op: str
    left: Typed
    right: Typed
    clock: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Negative(Typed):
    """`-x`."""

    operand: Typed


@dataclass(frozen=True, slots=True, eq=False)
class Choice(Typed):
    """`then if condition else otherwise`."""

    then: Typed
    condition: Typed
    otherwise: Typed


@dataclass(frozen=True, slots=True, eq=False)
class OneOf(Typed):
    """A list of values, right of `in`."""

    items: tuple[Typed, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Known(Typed):
    """`known(x)`: never unknown itself."""

    operand: Typed


@dataclass(frozen=True, slots=True, eq=False)
class Apply(Typed):
    """A pure function over values; unknown when an argument is."""

    function: Function
    arguments: tuple[Typed, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Builtin(Typed):
    """A function of the engine over values and positions: `abs`, `distance`, and so on."""

    name: str
    call: Callable[..., Any]
    arguments: tuple[Typed, ...]
    reads_position: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Wanted(Typed):
    """`wanted(point)`: what the priority array decided."""

    read: Read


@dataclass(frozen=True, slots=True, eq=False)
class Age(Typed):
    """`age(point)` in seconds."""

    read: Read


@dataclass(frozen=True, slots=True, eq=False)
class Older(Typed):
    """`age(point) > seconds`, kept by a timer of its own; never unknown."""

    read: Read
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Window(Typed):
    """A statistic over the last `seconds` of a value."""

    function: str
    operand: Typed
    seconds: float
    coverage: float


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate(Typed):
    """A statistic over a set; `value` and `where` read the member under `variable`."""

    function: str
    source: Typed
    variable: str
    value: Typed | None
    where: Typed | None
    coverage: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Event(Typed):
    """An edge: `becomes` (operand becomes true) or `changes`."""

    how: str
    operand: Typed


@dataclass(frozen=True, slots=True, eq=False)
class PairEvent(Typed):
    """`enters` / `leaves` of the rule's moving pair."""

    leaves: bool


@dataclass(frozen=True, slots=True, eq=False)
class Periodic(Typed):
    """`every 15 min`."""

    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Daily(Typed):
    """`at 22:30`."""

    time: Typed


@dataclass(frozen=True, slots=True, eq=False)
class AnyEvent(Typed):
    """One event or another."""

    events: tuple[Typed, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Pattern(Typed):
    """`then`, `without`, `silence` or `repeats` over events."""

    how: str
    first: Typed
    second: Typed | None
    seconds: float
    count: int = 0


_PLACES: dict[type[Typed], tuple[str, ...]] = {}
"""Names of the fields of each class that may hold expressions."""


def _places_of_expressions(kind: type[Typed]) -> tuple[str, ...]:
    found = _PLACES.get(kind)
    if found is None:
        other = ("at", "type", "spec", "name", "function")
        found = _PLACES[kind] = tuple(f.name for f in fields(kind) if f.name not in other)
    return found


def children(node: Typed) -> list[Typed]:
    """Return the typed expressions directly inside one."""
    found: list[Typed] = []
    for name in _places_of_expressions(type(node)):
        value = getattr(node, name)
        if isinstance(value, Typed):
            found.append(value)
        elif isinstance(value, tuple):
            found.extend(item for item in value if isinstance(item, Typed))
    return found


def walk(node: Typed) -> Iterator[Typed]:
    """Return a typed expression and everything inside it, outermost first."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(children(node)))


EVENTS = (Event, PairEvent, Periodic, Daily, AnyEvent)


def only_id(where: Typed | None, variable: str) -> str | None:
    """Return the one id that a `where` like `x.id == "L-17"` allows, or None when it allows several."""
    clauses = where.operands if isinstance(where, Logic) and where.op == "and" else (where,)
    for clause in clauses:
        if not isinstance(clause, Comparison) or clause.op != "==":
            continue
        left, right = clause.left, clause.right
        if isinstance(left, NameOf) and left.what == "id" and isinstance(right, Const):
            base = left.base
            if isinstance(base, Var) and base.name == variable:
                return str(right.value)
    return None
