"""From syntax to meaning: names become points, numbers get units, every expression gets a type.

A resolver works within one scope (the variables of a rule); it reports every mistake it can see and returns
None for an expression that has one, so that the checker goes on with the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pilotage.language import arithmetic, calls, comparisons, events, fitting, paths, syntax, typed
from pilotage.language import check_findings as say
from pilotage.language.arithmetic import calculate
from pilotage.language.comparisons import compare
from pilotage.language.functions import BUILTINS, SPECIAL, STATISTICS
from pilotage.language.typed import Const, Read, Typed
from pilotage.language.vocabulary import (
    GLOBALS,
    INCIDENT,
    WEEKDAYS,
    Vocabulary,
    position_point,
    status_point,
)
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.units import parse_unit
from pilotage.model.values import BOOLEAN, TEXT, TIME, Base, ValueType, reference, set_of

__all__ = [
    "GLOBALS",
    "INCIDENT",
    "WEEKDAYS",
    "Resolver",
    "Vocabulary",
    "calculate",
    "compare",
    "position_point",
    "status_point",
]


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
            self.report(say.event_in_condition(expr.at))
            return None
        if result.type.base is not Base.BOOLEAN:
            self.report(say.needs_condition(expr.at, result.type))
            return None
        return result

    def event(self, expr: syntax.Expr) -> Typed | None:
        """Return a typed event; a condition stands for the moment it becomes true."""
        return events.event(self, expr)

    def value(self, expr: syntax.Expr, expected: ValueType | None = None) -> Typed | None:
        """Return a typed expression, or None after reporting what is wrong.

        Args:
            expr: What was written.
            expected: Type of what it is compared with or given to; bare words are its members.
        """
        match expr:
            case syntax.Name():
                return self._name(expr, expected)
            case syntax.Number():
                return Const(expr.at, ValueType(Base.NUMBER, parse_unit(expr.unit)), expr.value)
            case syntax.String():
                is_member = expected is not None and expr.value in expected.members
                return Const(expr.at, expected if expected and is_member else TEXT, expr.value)
            case syntax.Boolean():
                return Const(expr.at, BOOLEAN, expr.value)
            case syntax.TimeOfDay():
                return Const(expr.at, TIME, float(expr.minutes))
            case syntax.ListOf():
                return self._list(expr, expected)
            case syntax.Attribute():
                return paths.attribute(self, expr)
            case syntax.Call():
                return calls.call(self, expr)
            case _:
                return self._operation(expr, expected)

    def _operation(self, expr: syntax.Expr, expected: ValueType | None) -> Typed | None:
        match expr:
            case syntax.Compare():
                return comparisons.comparison(self, expr)
            case syntax.Logic():
                return self._logic(expr)
            case syntax.Unary():
                return arithmetic.unary(self, expr, expected)
            case syntax.Binary():
                return arithmetic.arithmetic(self, expr)
            case syntax.Conditional():
                return self._choice(expr, expected)
            case _:
                return events.moment(self, expr)

    def value_for(self, expr: syntax.Expr, wanted: ValueType) -> Typed | None:
        """Return a typed expression of a wanted type, converted to its unit, or None after reporting."""
        result = self.value(expr, wanted)
        return None if result is None else self.fit(result, wanted)

    def fit(self, node: Typed, wanted: ValueType) -> Typed | None:
        """Return a typed expression as a wanted type (its unit converted), or None after reporting."""
        return fitting.fit(self, node, wanted)

    def path(self, expr: syntax.Expr) -> Read | None:
        """Return the point that an expression names, or None after reporting."""
        result = self.value(expr)
        if result is None:
            return None
        if not isinstance(result, Read):
            self.report(say.not_a_point(expr.at))
            return None
        return result

    def place(self, node: Typed, *, entity: bool = False) -> Typed | None:
        """Return something that is somewhere: an entity with a position, or a position."""
        if node.type.base is Base.SET and isinstance(node, typed.Nearest):
            node = replace(node, type=ValueType(Base.ENTITY, kind=node.type.kind))
        if node.type.base is Base.POSITION and not entity:
            return node
        if node.type.base is not Base.ENTITY:
            self.report(say.wrong_type(node.at, "something with a position", node.type))
            return None
        kind = self.vocabulary.kind(node.type.kind)
        if kind is None or position_point(kind) is None:
            self.report(say.no_place(node.at, node.type.kind))
            return None
        return node

    def inside(self, kind: str) -> Resolver:
        """Return a resolver in which the kind's name stands for one member."""
        return Resolver(
            self.vocabulary,
            self.findings,
            {**self.scope, kind: reference(kind)},
            reactive=self.reactive,
            step_variables=self.step_variables,
            has_pair=self.has_pair,
        )

    def has_meaning(self, name: str) -> bool:
        """Return whether a bare word means something outside the rule's own variables."""
        return (
            name in GLOBALS
            or self.vocabulary.derived_point("", name) is not None
            or self.vocabulary.kind(name) is not None
        )

    def report(self, finding: Finding) -> None:
        """Add a finding to those of the rule set."""
        self.findings.append(finding)

    # ── names and what joins them ────────────────────────────────────────────────────────────

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
            self.report(say.not_a_member(expr.at, name, expected.members))
        else:
            self.report(say.unknown_name(expr.at, name, self._names_here(), expected))
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

    def _logic(self, expr: syntax.Logic) -> Typed | None:
        operands = [self.condition(o) for o in expr.operands]
        if any(o is None for o in operands):
            return None
        return typed.Logic(expr.at, BOOLEAN, expr.op, tuple(o for o in operands if o is not None))

    def _choice(self, expr: syntax.Conditional, expected: ValueType | None) -> Typed | None:
        condition = self.condition(expr.condition)
        then, otherwise = self.value(expr.then, expected), self.value(expr.otherwise, expected)
        if condition is None or then is None or otherwise is None:
            return None
        fitted = self.fit(otherwise, then.type)
        return None if fitted is None else typed.Choice(expr.at, then.type, then, condition, fitted)

    def _list(self, expr: syntax.ListOf, expected: ValueType | None) -> Typed | None:
        items = [self.value_for(i, expected) if expected else self.value(i) for i in expr.items]
        if any(i is None for i in items):
            return None
        known = tuple(i for i in items if i is not None)
        return typed.OneOf(expr.at, known[0].type if known else TEXT, known)
