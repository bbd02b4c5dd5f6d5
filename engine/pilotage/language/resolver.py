"""From syntax to meaning: names become points, numbers get units, every expression gets a type.

A resolver works within one scope (the variables of a rule); it reports every mistake it can see and returns
None for an expression that has one, so that the checker goes on with the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pilotage.language import check_findings as say
from pilotage.language import syntax, typed
from pilotage.language.functions import BUILTINS, SPECIAL, STATISTICS, BuiltinSpec
from pilotage.language.typed import Const, Read, Typed
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.entities import Access, CallSpec, Function, Kind, PointSpec
from pilotage.model.units import (
    METRE,
    ONE,
    PERCENT,
    SECOND,
    Unit,
    UnknownUnitError,
    conversion,
    parse_unit,
)
from pilotage.model.values import (
    BOOLEAN,
    DURATION,
    POSITION,
    TEXT,
    TIME,
    Base,
    ValueType,
    enum,
    number,
    set_of,
)

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
GLOBALS: Final[dict[str, ValueType]] = {
    "is_night": BOOLEAN,
    "time": TIME,
    "weekday": enum(*WEEKDAYS),
    "holiday": BOOLEAN,
    "month": number(""),
    "sunrise": TIME,
    "sunset": TIME,
    "sun.elevation": number("°"),
    "sun.azimuth": number("°"),
}
"""Values of the city that the schedule keeps."""

INCIDENT: Final = Kind(
    "incident",
    "Incident",
    (
        PointSpec("closed", BOOLEAN, doc="a person closed it"),
        PointSpec("type", TEXT),
        PointSpec("severity", enum("low", "medium", "high", "critical")),
        PointSpec("title", TEXT),
        PointSpec("location", POSITION),
        PointSpec("opened_at", number("s"), doc="seconds since 1970"),
    ),
)
"""What `open_incident` opens; the engine's own kind."""

DEFAULT_COVERAGE: Final = 0.5
LONGEST_WINDOW_S: Final = 31 * 86_400.0
_NUMERIC: Final = (Base.NUMBER, Base.TIME)


def position_point(kind: Kind) -> PointSpec | None:
    """Return the point that says where an entity of this kind is."""
    return next((p for p in kind.points if p.type.base is Base.POSITION), None)


@dataclass
class Vocabulary:
    """Everything that a name may mean outside a rule: kinds, functions, calls, derived values, plans."""

    kinds: dict[str, Kind]
    functions: Mapping[str, Function] = field(default_factory=dict)
    calls: Mapping[str, CallSpec] = field(default_factory=dict)
    plans: dict[str, Kind] = field(default_factory=dict)
    derived_point: Callable[[str, str], PointSpec | None] = lambda kind, name: None
    derived_names: Callable[[str], Iterable[str]] = lambda kind: ()

    def kind(self, name: str) -> Kind | None:
        """Return a kind by name, the engine's own among them."""
        if name == "incident":
            return INCIDENT
        return self.kinds.get(name) or self.plans.get(name)

    def point(self, kind: str, name: str) -> PointSpec | None:
        """Return a point of a kind: declared, the status of a request, or derived."""
        known = self.kind(kind)
        if known is None:
            return None
        found = known.point(name)
        if found is None and name.endswith(".status"):
            found = status_point(known.point(name.removesuffix(".status")))
        return found or self.derived_point(kind, name)

    def point_names(self, kind: str) -> list[str]:
        """Return the names of all points and relations of a kind."""
        known = self.kind(kind)
        if known is None:
            return []
        return [
            *(p.name for p in known.points),
            *known.relations,
            *self.derived_names(kind),
            "name",
            "id",
        ]


def status_point(request: PointSpec | None) -> PointSpec | None:
    """Return the point on which a device answers to a held request, or None when it is no request."""
    if request is None or not request.is_request:
        return None
    return PointSpec(
        f"{request.name}.status",
        enum(*request.statuses),
        Access.REPORTED,
        doc=f"answer to {request.name}",
    )


class Resolver:
    """Gives expressions their meaning within one scope.

    Attributes:
        scope: Type of each variable.
        reactive: True when the expression is followed all the time: functions that are worked out once are refused.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        findings: list[Finding],
        scope: Mapping[str, ValueType] | None = None,
        *,
        reactive: bool = True,
        step_variables: frozenset[str] = frozenset(),
        coverage: float | None = None,
        has_pair: bool = False,
    ) -> None:
        self.vocabulary = vocabulary
        self.findings = findings
        self.scope: dict[str, ValueType] = dict(scope or {})
        self.reactive = reactive
        self.step_variables = step_variables
        self.coverage = coverage
        self.has_pair = has_pair

    # ── entrances ────────────────────────────────────────────────────────────────────────────

    def condition(self, expr: syntax.Expr) -> Typed | None:
        """Return a typed condition, or None after reporting what is wrong."""
        result = self.value(expr)
        if result is None:
            return None
        if isinstance(result, typed.EVENTS):
            self._report(say.event_in_condition(expr.at))
            return None
        if result.type.base is not Base.BOOLEAN:
            self._report(say.needs_condition(expr.at, result.type))
            return None
        return result

    def event(self, expr: syntax.Expr) -> Typed | None:
        """Return a typed event; a condition stands for the moment it becomes true."""
        if (
            isinstance(expr, syntax.Logic)
            and expr.op == "or"
            and any(_is_event(o) for o in expr.operands)
        ):
            found = [self.event(o) for o in expr.operands]
            if any(f is None for f in found):
                return None
            return typed.AnyEvent(expr.at, BOOLEAN, tuple(f for f in found if f is not None))
        result = self.value(expr)
        if result is None or isinstance(result, typed.EVENTS):
            return result
        if result.type.base is not Base.BOOLEAN:
            self._report(say.needs_condition(expr.at, result.type))
            return None
        return typed.Event(expr.at, BOOLEAN, "becomes", result)

    def value(self, expr: syntax.Expr, expected: ValueType | None = None) -> Typed | None:
        """Return a typed expression, or None after reporting what is wrong.

        Args:
            expr: What was written.
            expected: Type of what it is compared with or given to; bare words are its members.
        """
        method = getattr(self, f"_{type(expr).__name__.lower()}")
        result: Typed | None = method(expr, expected)
        return result

    def value_for(self, expr: syntax.Expr, wanted: ValueType) -> Typed | None:
        """Return a typed expression of a wanted type, converted to its unit, or None after reporting."""
        result = self.value(expr, wanted)
        return None if result is None else self.fit(result, wanted)

    def fit(self, node: Typed, wanted: ValueType) -> Typed | None:
        """Return a typed expression as a wanted type (its unit converted), or None after reporting."""
        if wanted.base is Base.ANY:
            return node
        if wanted.base is Base.NUMBER and node.type.base is Base.NUMBER:
            return self._in_unit(node, wanted.unit)
        if wanted.base is Base.ENUM and node.type.base in (Base.ENUM, Base.TEXT):
            return self._fit_enum(node, wanted)
        same = wanted.base is node.type.base
        if same and wanted.base in (Base.ENTITY, Base.SET) and wanted.kind and node.type.kind:
            same = wanted.kind == node.type.kind
        if wanted.base is Base.POSITION and node.type.base is Base.ENTITY:
            return self.place(node)
        if (
            wanted.base is Base.ENTITY
            and node.type.base is Base.SET
            and isinstance(node, typed.Nearest)
        ):
            same = (
                not wanted.kind or wanted.kind == node.type.kind
            )  # nearest(1, …) stands for the one
        if wanted.base is Base.TEXT and node.type.base is Base.ENUM:
            same = True
        if not same:
            self._report(say.wrong_type(node.at, wanted, node.type))
            return None
        return node

    def _fit_enum(self, node: Typed, wanted: ValueType) -> Typed | None:
        if isinstance(node, Const):
            if node.value in wanted.members:
                return replace(node, type=wanted)
            self._report(say.not_a_member(node.at, str(node.value), wanted.members))
            return None
        if node.type.base is Base.TEXT:
            self._report(say.wrong_type(node.at, wanted, node.type))
            return None
        if not set(node.type.members) & set(wanted.members):
            self._report(say.text_with_unit(node.at, wanted, node.type))
            return None
        return node

    def path(self, expr: syntax.Expr) -> Read | None:
        """Return the point that an expression names, or None after reporting."""
        result = self.value(expr)
        if result is None:
            return None
        if not isinstance(result, Read):
            self._report(say.not_a_point(expr.at))
            return None
        return result

    # ── literals and names ───────────────────────────────────────────────────────────────────

    def _number(self, expr: syntax.Number, expected: ValueType | None) -> Typed | None:
        return Const(expr.at, ValueType(Base.NUMBER, parse_unit(expr.unit)), expr.value)

    def _string(self, expr: syntax.String, expected: ValueType | None) -> Typed | None:
        is_member = expected is not None and expr.value in expected.members
        return Const(expr.at, expected if expected and is_member else TEXT, expr.value)

    def _boolean(self, expr: syntax.Boolean, expected: ValueType | None) -> Typed | None:
        return Const(expr.at, BOOLEAN, expr.value)

    def _timeofday(self, expr: syntax.TimeOfDay, expected: ValueType | None) -> Typed | None:
        return Const(expr.at, TIME, float(expr.minutes))

    def _name(self, expr: syntax.Name, expected: ValueType | None) -> Typed | None:
        name = expr.name
        if name in self.scope:
            return self._variable(expr.at, name)
        if expected is not None and expected.base is Base.ENUM and name in expected.members:
            return Const(expr.at, expected, name)
        if name in GLOBALS:
            return typed.Global(expr.at, GLOBALS[name], name)
        derived = self.vocabulary.derived_point("", name)
        if derived is not None:
            return typed.Global(expr.at, derived.type, name)
        if self.vocabulary.kind(name) is not None:
            return typed.AllOf(expr.at, set_of(name), name, name, None)
        if name in self.vocabulary.derived_names(""):
            return None  # its own mistake is reported where it is declared
        if expected is not None and expected.base is Base.ENUM:
            self._report(say.not_a_member(expr.at, name, expected.members))
        else:
            self._report(say.unknown_name(expr.at, name, self._names_here(), expected))
        return None

    def _variable(self, at: Span, name: str) -> Typed:
        type_ = self.scope[name]
        if name == "plan" and type_.kind.startswith("plan:"):
            return typed.EntityConst(at, type_, type_.kind)
        return typed.Var(at, type_, name)

    def _names_here(self) -> list[str]:
        return [
            *self.scope,
            *GLOBALS,
            *self.vocabulary.derived_names(""),
            *self.vocabulary.kinds,
            *BUILTINS,
            *STATISTICS,
            *SPECIAL,
        ]

    # ── paths ────────────────────────────────────────────────────────────────────────────────

    def _attribute(self, expr: syntax.Attribute, expected: ValueType | None) -> Typed | None:
        base, words = _flatten(expr)
        dotted = (
            ".".join([base.name, *(w for w, _ in words)]) if isinstance(base, syntax.Name) else ""
        )
        if dotted in GLOBALS and isinstance(base, syntax.Name) and base.name not in self.scope:
            return typed.Global(expr.at, GLOBALS[dotted], dotted)
        start = self.value(base)
        return None if start is None else self._follow(start, words, expr.at)

    def _follow(self, node: Typed, words: list[tuple[str, Span]], at: Span) -> Typed | None:
        while words:
            if node.type.base is Base.SET and not isinstance(node, typed.Nearest):
                return self._over_members(node, words, at)
            if node.type.base is Base.SET:  # nearest(1, …).name: the one
                node = replace(node, type=ValueType(Base.ENTITY, kind=node.type.kind))
            if node.type.base is not Base.ENTITY or not node.type.kind:
                self._report(say.not_an_entity(words[0][1], words[0][0], node.type))
                return None
            found = self._step_into(node, words, at)
            if found is None:
                return None
            node, words = found
        return node

    def _step_into(
        self, node: Typed, words: list[tuple[str, Span]], at: Span
    ) -> tuple[Typed, list[tuple[str, Span]]] | None:
        kind_name = node.type.kind
        for length in range(
            len(words), 0, -1
        ):  # the longest point name wins: `lights.level` before `lights`
            name = ".".join(w for w, _ in words[:length])
            spec = self.vocabulary.point(kind_name, name)
            if spec is not None:
                return Read(at, spec.type, node, name, spec), words[length:]
        word, place = words[0]
        kind = self.vocabulary.kind(kind_name)
        if kind is not None and word in kind.relations:
            return typed.Members(at, set_of(kind.relations[word]), node, word), words[1:]
        if word in ("name", "id"):
            return typed.NameOf(at, TEXT, node, word), words[1:]
        if word not in self.vocabulary.derived_names(kind_name):  # else it is reported there
            self._report(
                say.no_point(place, kind_name, word, self.vocabulary.point_names(kind_name))
            )
        return None

    def _over_members(self, source: Typed, words: list[tuple[str, Span]], at: Span) -> Typed | None:
        """`segment.lamps.level`: only inside a statistic; `_statistic` catches it before this is reached."""
        relation = source.relation if isinstance(source, typed.Members) else source.type.kind
        self._report(say.several_entities(words[0][1], relation, source.type.kind))
        return None

    # ── operators ────────────────────────────────────────────────────────────────────────────

    def _unary(self, expr: syntax.Unary, expected: ValueType | None) -> Typed | None:
        if expr.op == "not":
            operand = self.condition(expr.operand)
            return None if operand is None else typed.Not(expr.at, BOOLEAN, operand)
        operand = self.value(expr.operand, expected)
        if operand is None:
            return None
        if operand.type.base is not Base.NUMBER:
            self._report(say.wrong_type(expr.at, "a number", operand.type))
            return None
        if isinstance(operand, Const):
            return replace(operand, at=expr.at, value=-operand.value)
        return typed.Negative(expr.at, operand.type, operand)

    def _logic(self, expr: syntax.Logic, expected: ValueType | None) -> Typed | None:
        operands = [self.condition(o) for o in expr.operands]
        if any(o is None for o in operands):
            return None
        return typed.Logic(expr.at, BOOLEAN, expr.op, tuple(o for o in operands if o is not None))

    def _conditional(self, expr: syntax.Conditional, expected: ValueType | None) -> Typed | None:
        condition = self.condition(expr.condition)
        then, otherwise = self.value(expr.then, expected), self.value(expr.otherwise, expected)
        if condition is None or then is None or otherwise is None:
            return None
        fitted = self.fit(otherwise, then.type)
        return None if fitted is None else typed.Choice(expr.at, then.type, then, condition, fitted)

    def _listof(self, expr: syntax.ListOf, expected: ValueType | None) -> Typed | None:
        items = [self.value_for(i, expected) if expected else self.value(i) for i in expr.items]
        if any(i is None for i in items):
            return None
        known = tuple(i for i in items if i is not None)
        return typed.OneOf(expr.at, known[0].type if known else TEXT, known)

    def _binary(self, expr: syntax.Binary, expected: ValueType | None) -> Typed | None:
        left, right = self.value(expr.left), self.value(expr.right)
        if left is None or right is None:
            return None
        if left.type.base is Base.TIME and right.type.base is Base.NUMBER and expr.op in "+-":
            shift = self._in_unit(right, parse_unit("min"))
            return (
                None
                if shift is None
                else typed.Arithmetic(expr.at, TIME, expr.op, left, shift, clock=True)
            )
        for side in (left, right):
            if side.type.base is not Base.NUMBER:
                self._report(say.wrong_type(side.at, "a number", side.type))
                return None
        return self._sum(expr, left, right) if expr.op in "+-" else self._product(expr, left, right)

    def _sum(self, expr: syntax.Binary, left: Typed, right: Typed) -> Typed | None:
        if left.type.unit.dimension != right.type.unit.dimension:
            self._report(say.cannot_add(expr.at, _title(left.type.unit), _title(right.type.unit)))
            return None
        unit = left.type.unit
        if (
            unit.offset and right.type.unit.offset
        ):  # temperatures: 20 °C + 2 °C is 22 °C, 20 °C - 2 °C a difference
            result = unit if expr.op == "+" else parse_unit("K")
            return _folded(
                typed.Arithmetic(expr.at, ValueType(Base.NUMBER, result), expr.op, left, right)
            )
        if unit.offset:
            return _folded(typed.Arithmetic(expr.at, left.type, expr.op, left, right))
        fitted = self._in_unit(right, unit)
        return (
            None
            if fitted is None
            else _folded(typed.Arithmetic(expr.at, left.type, expr.op, left, fitted))
        )

    def _product(self, expr: syntax.Binary, left: Typed, right: Typed) -> Typed | None:
        a, b = left.type.unit, right.type.unit
        if expr.op == "%":
            fitted = self._in_unit(right, a)
            return (
                None
                if fitted is None
                else _folded(typed.Arithmetic(expr.at, left.type, "%", left, fitted))
            )
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
            return self._in_unit(_folded(node), ONE)
        return _folded(node)

    # ── comparisons ──────────────────────────────────────────────────────────────────────────

    def _compare(self, expr: syntax.Compare, expected: ValueType | None) -> Typed | None:
        links: list[Typed] = []
        left = expr.first
        for op, right in expr.rest:
            link = self._link(left, op, right)
            if link is None:
                return None
            links.append(link)
            left = right
        if len(links) == 1:
            return links[0]
        op = "or" if _wraps_midnight(links) else "and"
        return typed.Logic(expr.at, BOOLEAN, op, tuple(links))

    def _link(self, left_expr: syntax.Expr, op: str, right_expr: syntax.Expr) -> Typed | None:
        at = _joined(left_expr.at, right_expr.at)
        left, right = self._both_sides(left_expr, right_expr)
        if left is None or right is None:
            return None
        if op in ("in", "not in"):
            return self._membership(at, op, left, right)
        if isinstance(left, typed.Age) or isinstance(right, typed.Age):
            older = self._older(at, op, left, right)
            if older is not None:
                return older
        pair = self._comparable(at, op, left, right)
        return None if pair is None else _comparison(at, op, *pair)

    def _both_sides(self, a: syntax.Expr, b: syntax.Expr) -> tuple[Typed | None, Typed | None]:
        """Resolve both, the one that stands for a member of an enumeration last."""
        if isinstance(a, syntax.Name) and a.name not in self.scope and not self.has_meaning(a.name):
            right = self.value(b)
            return self.value(a, right.type if right else None), right
        left = self.value(a)
        return left, (self.value(b, left.type) if left is not None else None)

    def has_meaning(self, name: str) -> bool:
        """Return whether a bare word means something outside the rule's own variables."""
        return (
            name in GLOBALS
            or self.vocabulary.derived_point("", name) is not None
            or self.vocabulary.kind(name) is not None
        )

    def _membership(self, at: Span, op: str, left: Typed, right: Typed) -> Typed | None:
        if isinstance(right, typed.OneOf):
            items = [self._comparable(at, "==", left, item) for item in right.items]
            if any(i is None for i in items):
                return None
            node: Typed = typed.Comparison(
                at,
                BOOLEAN,
                "in",
                left,
                replace(right, items=tuple(i[1] for i in items if i is not None)),
            )
        elif right.type.base is Base.SET:
            if left.type.base is not Base.ENTITY or (
                left.type.kind and left.type.kind != right.type.kind
            ):
                self._report(say.text_with_unit(at, left.type, right.type))
                return None
            node = typed.Comparison(at, BOOLEAN, "in", left, right)
        else:
            self._report(say.wrong_type(right.at, "a list or a set", right.type))
            return None
        return typed.Not(at, BOOLEAN, node) if op == "not in" else node

    def _comparable(
        self, at: Span, op: str, left: Typed, right: Typed
    ) -> tuple[Typed, Typed] | None:
        a, b = left.type, right.type
        ordered = op not in ("==", "!=")
        if a.base is Base.NUMBER and b.base is Base.NUMBER:
            return self._same_unit(left, right)
        if a.base is Base.TIME and b.base is Base.TIME:
            return left, right
        if Base.TIME in (a.base, b.base):
            self._report(
                say.text_with_unit(at, a, b)
                if a.base is Base.TIME
                else say.text_with_unit(at, b, a)
            )
            return None
        if ordered:
            self._report(
                say.cannot_order(
                    left.at if a.base not in _NUMERIC else right.at,
                    a if a.base not in _NUMERIC else b,
                )
            )
            return None
        if a.base is Base.ENUM or b.base is Base.ENUM:
            return self._same_members(left, right, at)
        if a.base is not b.base or (a.kind and b.kind and a.kind != b.kind):
            self._report(say.text_with_unit(at, a, b))
            return None
        return left, right

    def _same_members(self, left: Typed, right: Typed, at: Span) -> tuple[Typed, Typed] | None:
        if left.type.base is not Base.ENUM:
            swapped = self._same_members(right, left, at)
            return None if swapped is None else (swapped[1], swapped[0])
        if right.type.base not in (Base.ENUM, Base.TEXT):
            self._report(say.text_with_unit(at, left.type, right.type))
            return None
        fits = isinstance(right, Const) or right.type.base is Base.ENUM
        fitted = self._fit_enum(right, left.type) if fits else right
        return None if fitted is None else (left, fitted)

    def _same_unit(self, left: Typed, right: Typed) -> tuple[Typed, Typed] | None:
        if isinstance(left, Const) and not isinstance(right, Const):
            fitted = self._in_unit(left, right.type.unit, compared=right)
            return None if fitted is None else (fitted, right)
        fitted = self._in_unit(right, left.type.unit, compared=left)
        return None if fitted is None else (left, fitted)

    def _in_unit(self, node: Typed, unit: Unit, compared: Typed | None = None) -> Typed | None:
        """Return a number in a unit; a literal is converted here, anything else when it is evaluated."""
        own = node.type.unit
        if isinstance(node, Const) and not own.symbol and unit.symbol and node.value != 0:
            self._report(say.needs_unit(node.at, node.value, unit))
            return None
        if isinstance(node, Const) and not own.symbol:
            return replace(node, type=ValueType(Base.NUMBER, unit))
        if own.dimension != unit.dimension:
            self._dimension_error(node, unit, compared)
            return None
        if own.offset != unit.offset and (own.offset or not isinstance(node, Const)):
            at = node.at if isinstance(node, Const) or compared is None else compared.at
            value = node.value if isinstance(node, Const) else None
            self._report(say.difference_of_temperatures(at, value))
            return None
        self._doubt_share(node, unit, compared)
        factor, addend = conversion(own, unit)
        if factor == 1.0 and addend == 0.0:
            return node
        type_ = ValueType(Base.NUMBER, unit)
        if isinstance(node, Const):
            return replace(node, type=type_, value=float(f"{node.value * factor + addend:.12g}"))
        return typed.Convert(node.at, type_, node, factor, addend)

    def _doubt_share(self, node: Typed, unit: Unit, compared: Typed | None) -> None:
        """Warn of `park.free < 5 %`: a count is compared with a share."""
        is_share = isinstance(node, Const) and node.type.unit.symbol == "%" and not unit.symbol
        if is_share and isinstance(compared, Read) and isinstance(node, Const):
            high = compared.spec.high
            if high is not None and high > 1.0:
                self._report(say.percent_of_a_count(node.at, _pretty(compared), node.value))

    def _dimension_error(self, node: Typed, unit: Unit, compared: Typed | None) -> None:
        if compared is None:
            self._report(say.unit_mismatch(node.at, unit, node.type))
            return
        self._report(
            say.dimensions_differ(
                node.at, _described(compared), _described(node), compared.type.unit
            )
        )

    def _older(self, at: Span, op: str, left: Typed, right: Typed) -> Typed | None:
        """`age(x) > 5 min` and its relatives, kept by a timer instead of asked again and again."""
        if isinstance(right, typed.Age):
            left, right, op = right, left, {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(op, op)
        if (
            not isinstance(left, typed.Age)
            or not isinstance(right, Const)
            or op not in ("<", "<=", ">", ">=")
        ):
            return None
        limit = self._in_unit(right, SECOND)
        if not isinstance(limit, Const):
            return None
        older = typed.Older(at, BOOLEAN, left.read, limit.value)
        return older if op in (">", ">=") else typed.Not(at, BOOLEAN, older)

    # ── events and patterns ──────────────────────────────────────────────────────────────────

    def _becomes(self, expr: syntax.Becomes, expected: ValueType | None) -> Typed | None:
        link = self._link(expr.subject, "==", expr.value)
        return None if link is None else typed.Event(expr.at, BOOLEAN, "becomes", link)

    def _changes(self, expr: syntax.Changes, expected: ValueType | None) -> Typed | None:
        subject = self.value(expr.subject)
        return None if subject is None else typed.Event(expr.at, BOOLEAN, "changes", subject)

    def _crosses(self, expr: syntax.Crosses, expected: ValueType | None) -> Typed | None:
        if expr.subject is None or expr.place is None:
            if not self.has_pair:
                self._report(
                    say.needs_event(expr.at, "`enters` and `leaves` alone speak of a moving pair")
                )
                return None
            return typed.PairEvent(expr.at, BOOLEAN, expr.leaves)
        inside = self._builtin(BUILTINS["inside"], expr.at, (expr.subject, expr.place), ())
        if inside is None:
            return None
        edge = typed.Not(expr.at, BOOLEAN, inside) if expr.leaves else inside
        return typed.Event(expr.at, BOOLEAN, "becomes", edge)

    def _every(self, expr: syntax.Every, expected: ValueType | None) -> Typed | None:
        return typed.Periodic(expr.at, BOOLEAN, expr.seconds)

    def _attime(self, expr: syntax.AtTime, expected: ValueType | None) -> Typed | None:
        time = self.value_for(expr.time, TIME)
        return None if time is None else typed.Daily(expr.at, BOOLEAN, time)

    def _pattern(
        self,
        at: Span,
        how: str,
        first: syntax.Expr,
        second: syntax.Expr | None,
        seconds: float,
        count: int = 0,
    ) -> Typed | None:
        a = self.event(first)
        b = self.event(second) if second is not None else None
        if a is None or (second is not None and b is None):
            return None
        return typed.Pattern(at, BOOLEAN, how, a, b, seconds, count)

    def _sequence(self, expr: syntax.Sequence, expected: ValueType | None) -> Typed | None:
        return self._pattern(expr.at, "then", expr.first, expr.second, expr.within_s)

    def _without(self, expr: syntax.Without, expected: ValueType | None) -> Typed | None:
        return self._pattern(expr.at, "without", expr.first, expr.missing, expr.within_s)

    def _silence(self, expr: syntax.Silence, expected: ValueType | None) -> Typed | None:
        return self._pattern(expr.at, "silence", expr.event, None, expr.for_s)

    def _repeats(self, expr: syntax.Repeats, expected: ValueType | None) -> Typed | None:
        return self._pattern(expr.at, "repeats", expr.event, None, expr.within_s, expr.count)

    # ── calls ────────────────────────────────────────────────────────────────────────────────

    def _call(self, expr: syntax.Call, expected: ValueType | None) -> Typed | None:
        name = _dotted(expr.function)
        if name in STATISTICS:
            return self._statistic(name, expr)
        if name in SPECIAL:
            special: Typed | None = getattr(self, f"_{name}_call")(expr)
            return special
        if name in BUILTINS:
            return self._builtin(BUILTINS[name], expr.at, expr.arguments, expr.keywords)
        function = self.vocabulary.functions.get(name)
        if function is None:
            known = [*STATISTICS, *SPECIAL, *BUILTINS, *self.vocabulary.functions]
            self._report(say.unknown_function(expr.function.at, name, known))
            return None
        return self._apply(function, expr)

    def _apply(self, function: Function, expr: syntax.Call) -> Typed | None:
        ordered = self._bind(function.name, expr, [p.name for p in function.parameters])
        if ordered is None:
            return None
        arguments: list[Typed] = []
        for parameter in function.parameters:
            given = ordered.get(parameter.name)
            if given is None:
                if parameter.required:
                    names = [p.name for p in function.parameters]
                    self._report(
                        say.wrong_arguments(
                            expr.at,
                            function.name,
                            _arguments(len(names)),
                            len(ordered),
                            f"{function.name}({', '.join(names)})",
                        )
                    )
                    return None
                break
            fitted = self.value_for(given, parameter.type)
            if fitted is None:
                return None
            arguments.append(fitted)
        return typed.Apply(expr.at, function.returns, function, tuple(arguments))

    def _bind(
        self, name: str, expr: syntax.Call, parameters: list[str]
    ) -> dict[str, syntax.Expr] | None:
        if len(expr.arguments) > len(parameters):
            self._report(
                say.wrong_arguments(
                    expr.at,
                    name,
                    _arguments(len(parameters)),
                    len(expr.arguments),
                    f"{name}({', '.join(parameters)})",
                )
            )
            return None
        bound = dict(zip(parameters, expr.arguments, strict=False))
        for word, value in expr.keywords:
            if word not in parameters or word in bound:
                self._report(
                    say.unknown_keyword(
                        _keyword(word, value), name, word, [p for p in parameters if p not in bound]
                    )
                )
                return None
            bound[word] = value
        return bound

    def _builtin(
        self,
        spec: BuiltinSpec,
        at: Span,
        arguments: tuple[syntax.Expr, ...],
        keywords: tuple[tuple[str, syntax.Expr], ...],
    ) -> Typed | None:
        given = [*arguments, *(v for k, v in keywords if k == "within")]
        for word, value in keywords:
            if word != "within" or spec.name != "inside":
                self._report(
                    say.unknown_keyword(
                        _keyword(word, value),
                        spec.name,
                        word,
                        ["within"] if spec.name == "inside" else [],
                    )
                )
                return None
        most, least = len(spec.arguments), len(spec.arguments) - spec.optional
        if not least <= len(given) <= most:
            wanted = _arguments(most) if least == most else f"{least} to {most} arguments"
            self._report(say.wrong_arguments(at, spec.name, wanted, len(given), _LIKE[spec.name]))
            return None
        nodes: list[Typed] = []
        for letter, expr in zip(spec.arguments, given, strict=False):
            node = self._builtin_argument(letter, expr, nodes)
            if node is None:
                return None
            nodes.append(node)
        returns = {
            "same": nodes[0].type,
            "metres": ValueType(Base.NUMBER, METRE),
            "seconds": DURATION,
            "boolean": BOOLEAN,
            "text": TEXT,
        }[spec.returns]
        return typed.Builtin(at, returns, spec.name, spec.call, tuple(nodes), spec.reads_position)

    def _builtin_argument(
        self, letter: str, expr: syntax.Expr, before: list[Typed]
    ) -> Typed | None:
        node = self.value(expr)
        if node is None:
            return None
        if letter == "n":
            if node.type.base is not Base.NUMBER:
                self._report(say.wrong_type(expr.at, "a number", node.type))
                return None
            return (
                self._in_unit(node, before[0].type.unit)
                if before and node.type.unit.symbol
                else node
            )
        if letter == "m":
            return (
                self._in_unit(node, METRE)
                if node.type.base is Base.NUMBER
                else self.fit(node, number("m"))
            )
        if letter == "s":
            if node.type.base is not Base.SET:
                self._report(say.wrong_type(expr.at, "a set", node.type))
                return None
            return node
        return self.place(node, entity=letter == "e")

    def place(self, node: Typed, *, entity: bool = False) -> Typed | None:
        """Return something that is somewhere: an entity with a position, or a position."""
        if node.type.base is Base.SET and isinstance(node, typed.Nearest):
            node = replace(node, type=ValueType(Base.ENTITY, kind=node.type.kind))
        if node.type.base is Base.POSITION and not entity:
            return node
        if node.type.base is not Base.ENTITY:
            self._report(say.wrong_type(node.at, "something with a position", node.type))
            return None
        kind = self.vocabulary.kind(node.type.kind)
        if kind is None or position_point(kind) is None:
            self._report(say.no_place(node.at, node.type.kind))
            return None
        return node

    def _known_call(self, expr: syntax.Call) -> Typed | None:
        node = self._only_argument("known", expr)
        return None if node is None else typed.Known(expr.at, BOOLEAN, node)

    def _wanted_call(self, expr: syntax.Call) -> Typed | None:
        read = self._only_point("wanted", expr)
        if read is None:
            return None
        if not read.spec.access.is_commandable:
            self._report(say.never_wanted(expr.at, _pretty(read)))
            return None
        return typed.Wanted(expr.at, read.type, read)

    def _age_call(self, expr: syntax.Call) -> Typed | None:
        read = self._only_point("age", expr)
        return None if read is None else typed.Age(expr.at, DURATION, read)

    def _only_argument(self, name: str, expr: syntax.Call) -> Typed | None:
        if len(expr.arguments) != 1 or expr.keywords:
            self._report(
                say.wrong_arguments(expr.at, name, "one argument", len(expr.arguments), _LIKE[name])
            )
            return None
        return self.value(expr.arguments[0])

    def _only_point(self, name: str, expr: syntax.Call) -> Read | None:
        node = self._only_argument(name, expr)
        if node is not None and not isinstance(node, Read):
            self._report(say.not_a_point(expr.arguments[0].at))
            return None
        return node

    def _plan_call(self, expr: syntax.Call) -> Typed | None:
        if len(expr.arguments) != 1 or not isinstance(expr.arguments[0], syntax.String):
            self._report(
                say.wrong_arguments(
                    expr.at, "plan", "the name of a plan in quotes", None, _LIKE["plan"]
                )
            )
            return None
        name = expr.arguments[0].value
        if f"plan:{name}" not in self.vocabulary.plans:
            known = [p.removeprefix("plan:") for p in self.vocabulary.plans]
            self._report(say.unknown_plan(expr.arguments[0].at, name, known))
            return None
        return typed.EntityConst(
            expr.at, ValueType(Base.ENTITY, kind=f"plan:{name}"), f"plan:{name}"
        )

    def _nearest_call(self, expr: syntax.Call) -> Typed | None:
        if self.reactive:
            self._report(say.not_reactive(expr.at, "nearest"))
            return None
        bound = self._bind("nearest", expr, ["count", "of", "to", "within", "where"])
        if bound is None:
            return None
        if not {"count", "of", "to"} <= set(bound):
            self._report(
                say.wrong_arguments(
                    expr.at, "nearest", "a number, a kind, and to=", None, _LIKE["nearest"]
                )
            )
            return None
        count, source = self.value_for(bound["count"], number("")), self.value(bound["of"])
        target = self.value(bound["to"])
        within = self.value_for(bound["within"], number("m")) if "within" in bound else None
        if (
            count is None
            or source is None
            or target is None
            or ("within" in bound and within is None)
        ):
            return None
        if source.type.base is not Base.SET:
            self._report(say.wrong_type(source.at, "a kind or a set", source.type))
            return None
        place = self.place(target)
        inner = self._inside(source.type.kind)
        where = inner.condition(bound["where"]) if "where" in bound else None
        if place is None or ("where" in bound and where is None):
            return None
        variable = source.type.kind
        return typed.Nearest(expr.at, source.type, count, source, variable, place, within, where)

    def _inside(self, kind: str) -> Resolver:
        """Return a resolver in which the kind's name stands for one member."""
        return Resolver(
            self.vocabulary,
            self.findings,
            {**self.scope, kind: ValueType(Base.ENTITY, kind=kind)},
            reactive=self.reactive,
            step_variables=self.step_variables,
            has_pair=self.has_pair,
        )

    # ── statistics ───────────────────────────────────────────────────────────────────────────

    def _statistic(self, name: str, expr: syntax.Call) -> Typed | None:
        arguments = expr.arguments
        if not arguments:
            self._report(
                say.wrong_arguments(
                    expr.at, name, "a value and a length of time, or a set", 0, _LIKE["avg"]
                )
            )
            return None
        if len(arguments) == 2 and _is_duration(arguments[1]) and not expr.keywords:
            return self._window(name, expr)
        if len(arguments) >= 2 and name in ("min", "max"):
            return self._least_or_most(name, expr)
        if len(arguments) > 1:
            self._report(
                say.wrong_arguments(
                    expr.at,
                    name,
                    "a value and a length of time with its unit, or a set",
                    None,
                    _LIKE["avg"].replace("avg", name),
                )
            )
            return None
        if name in ("rate", "changes"):
            self._report(say.needs_duration(expr.at, name))
            return None
        return self._aggregate(name, expr)

    def _least_or_most(self, name: str, expr: syntax.Call) -> Typed | None:
        nodes = [self.value(a) for a in expr.arguments]
        if any(n is None for n in nodes):
            return None
        first = next(n for n in nodes if n is not None)
        fitted = [self.fit(n, first.type) for n in nodes if n is not None]
        if any(f is None for f in fitted):
            return None
        call = min if name == "min" else max
        return typed.Builtin(
            expr.at, first.type, name, call, tuple(f for f in fitted if f is not None)
        )

    def _window(self, name: str, expr: syntax.Call) -> Typed | None:
        operand = self.value(expr.arguments[0])
        length = self.value_for(expr.arguments[1], DURATION)
        if operand is None or not isinstance(length, Const):
            return None
        seconds = float(length.value)
        if not 0 < seconds <= LONGEST_WINDOW_S:
            self._report(say.window_too_long(expr.arguments[1].at, seconds))
            return None
        if any(
            isinstance(n, typed.Var) and n.name in self.step_variables for n in typed.walk(operand)
        ):
            self._report(say.window_of_variable(expr.at))
            return None
        type_ = self._window_type(name, operand)
        if type_ is None:
            return None
        coverage = self.coverage if self.coverage is not None else DEFAULT_COVERAGE
        return typed.Window(expr.at, type_, name, operand, seconds, coverage)

    def _window_type(self, name: str, operand: Typed) -> ValueType | None:
        base = operand.type.base
        if name in ("any", "all", "count") and base is not Base.BOOLEAN:
            self._report(say.needs_condition(operand.at, operand.type))
            return None
        if name in ("any", "all"):
            return BOOLEAN
        if name in ("count", "changes"):
            return number("")
        if name == "avg" and base is Base.BOOLEAN:
            return ValueType(Base.NUMBER, ONE)
        if base is not Base.NUMBER:
            self._report(say.wrong_type(operand.at, "a number", operand.type))
            return None
        if name == "rate":
            unit = operand.type.unit
            per_hour = Unit(
                f"{unit.symbol or '1'}/h", unit.dimension / SECOND.dimension, unit.scale / 3600.0
            )
            return ValueType(Base.NUMBER, per_hour)
        if name == "sum":  # the integral over time: W over an hour is Wh
            unit = operand.type.unit
            return ValueType(
                Base.NUMBER,
                Unit(f"{unit.symbol or '1'}·s", unit.dimension * SECOND.dimension, unit.scale),
            )
        return operand.type

    def _aggregate(self, name: str, expr: syntax.Call) -> Typed | None:
        keywords = dict(expr.keywords)
        for word, given in expr.keywords:
            if word != "where":
                self._report(say.unknown_keyword(_keyword(word, given), name, word, ["where"]))
                return None
        split = self._set_and_value(expr.arguments[0])
        if split is None:
            return None
        source, variable, value_words, at = split
        inner = self._inside(variable)
        member = typed.Var(at, ValueType(Base.ENTITY, kind=source.type.kind), variable)
        value = inner._follow(member, value_words, at) if value_words else None
        if value_words and value is None:
            return None
        where = inner.condition(keywords["where"]) if "where" in keywords else None
        if "where" in keywords and where is None:
            return None
        return self._aggregate_node(name, expr.at, source, variable, value, where)

    def _aggregate_node(
        self,
        name: str,
        at: Span,
        source: Typed,
        variable: str,
        value: Typed | None,
        where: Typed | None,
    ) -> Typed | None:
        if name in ("any", "all"):
            if value is None and where is not None:
                value, where = where, None
            if value is not None and value.type.base is not Base.BOOLEAN:
                self._report(say.needs_condition(value.at, value.type))
                return None
            if value is None and name == "all":
                self._report(
                    say.wrong_arguments(
                        at, name, "a condition of the members", 0, "all(road_station.wet)"
                    )
                )
                return None
            return typed.Aggregate(at, BOOLEAN, name, source, variable, value, where, self.coverage)
        if name == "count":
            if value is not None and value.type.base is Base.BOOLEAN:
                where = value if where is None else typed.Logic(at, BOOLEAN, "and", (where, value))
            return typed.Aggregate(
                at, number(""), name, source, variable, None, where, self.coverage
            )
        if value is None or value.type.base is not Base.NUMBER:
            self._report(
                say.wrong_type(at, "a number of each member", value.type if value else source.type)
            )
            return None
        return typed.Aggregate(at, value.type, name, source, variable, value, where, self.coverage)

    def _set_and_value(
        self, expr: syntax.Expr
    ) -> tuple[Typed, str, list[tuple[str, Span]], Span] | None:
        """Split `segment.lamps.level` into the set (`segment.lamps`) and what is asked of each member (`level`)."""
        base, words = _flatten(expr) if isinstance(expr, syntax.Attribute) else (expr, [])
        node = self.value(base)
        while node is not None and node.type.base is not Base.SET and words:
            if node.type.base is not Base.ENTITY:
                break
            found = self._step_into(node, words, expr.at)
            if found is None:
                return None
            node, words = found
        if node is None:
            return None
        if node.type.base is not Base.SET:
            self._report(
                say.wrong_type(expr.at, "a set, or a value and a length of time,", node.type)
            )
            return None
        return node, node.type.kind, words, expr.at

    def _report(self, finding: Finding) -> None:
        self.findings.append(finding)


# ── small questions about trees ──────────────────────────────────────────────────────────────


def _flatten(expr: syntax.Expr) -> tuple[syntax.Expr, list[tuple[str, Span]]]:
    words: list[tuple[str, Span]] = []
    while isinstance(expr, syntax.Attribute):
        words.append((expr.name, expr.name_at))
        expr = expr.base
    return expr, words[::-1]


def _dotted(expr: syntax.Expr) -> str:
    base, words = _flatten(expr)
    return ".".join([base.name, *(w for w, _ in words)]) if isinstance(base, syntax.Name) else ""


def _is_event(expr: syntax.Expr) -> bool:
    return isinstance(
        expr, (syntax.Becomes, syntax.Changes, syntax.Crosses, syntax.Every, syntax.AtTime)
    )


def _is_duration(expr: syntax.Expr) -> bool:
    if not isinstance(expr, syntax.Number) or not expr.unit:
        return False
    try:
        return parse_unit(expr.unit).dimension == SECOND.dimension
    except UnknownUnitError:
        return False


def _joined(a: Span, b: Span) -> Span:
    if a.line == b.line and b.column >= a.column:
        return Span(a.file, a.line, a.column, b.column + b.length - a.column)
    return a


def _wraps_midnight(links: list[Typed]) -> bool:
    """`22:00 <= time < 05:00` means the night, not nothing."""
    first, last = links[0], links[-1]
    if (
        len(links) != 2
        or not isinstance(first, typed.Comparison)
        or not isinstance(last, typed.Comparison)
    ):
        return False
    low, high = first.left, last.right
    return (
        isinstance(low, Const)
        and isinstance(high, Const)
        and low.type.base is Base.TIME
        and first.op in ("<", "<=")
        and last.op in ("<", "<=")
        and low.value > high.value
    )


def _comparison(at: Span, op: str, left: Typed, right: Typed) -> Typed:
    node = typed.Comparison(at, BOOLEAN, op, left, right)
    if isinstance(left, Const) and isinstance(right, Const):
        return Const(at, BOOLEAN, compare(op, left.value, right.value))
    return node


def compare(op: str, a: Any, b: Any) -> bool:
    """Return what a comparison of two known values says."""
    match op:
        case "<":
            return bool(a < b)
        case "<=":
            return bool(a <= b)
        case ">":
            return bool(a > b)
        case ">=":
            return bool(a >= b)
        case "==":
            return bool(a == b)
        case "!=":
            return bool(a != b)
        case _:
            return a in b


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
    """Work out what is known before the engine runs."""
    if (
        isinstance(node, typed.Arithmetic)
        and isinstance(node.left, Const)
        and isinstance(node.right, Const)
    ):
        value = calculate(node.op, node.left.value, node.right.value)
        if value is not None and math.isfinite(value):
            return Const(node.at, node.type, value)
    return node


def _pretty(node: Typed) -> str:
    """Return an expression as it was written, as far as a message needs it."""
    match node:
        case Read(base=base, point=point):
            return f"{_pretty(base)}.{point}"
        case typed.Var(name=name):
            return name
        case typed.EntityConst(id=id_):
            return id_
        case _:
            return str(node.type)


pretty = _pretty


def _described(node: Typed) -> str:
    """`flow (veh/h)`, `speed (80 km/h)`: what E305 shows."""
    unit = node.type.unit
    if isinstance(node, Const):
        return f"{_title(unit)} ({node.value:g}{' ' if unit.symbol else ''}{unit})"
    return f"{_title(unit)} ({unit})" if unit.symbol else _title(unit)


def _title(unit: Unit) -> str:
    return "percentage" if unit.symbol == "%" else unit.dimension.title


def _arguments(count: int) -> str:
    return "no argument" if not count else "one argument" if count == 1 else f"{count} arguments"


def _keyword(word: str, value: syntax.Expr) -> Span:
    """Return where the name of an argument stands: in front of its value and the sign of equality."""
    at = value.at
    return replace(at, column=max(1, at.column - len(word) - 1), length=len(word))


_LIKE: Final = {
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


__all__ = [
    "GLOBALS",
    "INCIDENT",
    "PERCENT",
    "Resolver",
    "Vocabulary",
    "calculate",
    "compare",
    "position_point",
    "pretty",
]
