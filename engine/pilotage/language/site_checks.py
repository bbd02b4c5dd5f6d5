"""What only the inventory can tell: rules that never fire in this city, and readings of what it does not have.

Values that the inventory fixes are compared; whatever can change while the engine runs is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pilotage.language import check_findings as say
from pilotage.language import typed
from pilotage.language.program import (
    HoldProgram,
    Program,
    SetProgram,
    StepProgram,
    TextProgram,
)
from pilotage.language.resolver import INCIDENT, calculate, compare
from pilotage.language.typed import Typed
from pilotage.language.wording import wording
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.entities import Access, EntitySpec
from pilotage.model.values import Base, Position, as_plain

Env = Mapping[str, EntitySpec]


def check_site(program: Program, inventory: Sequence[EntitySpec]) -> list[Finding]:
    """Return the doubts about a rule set in a city, in order of place.

    Args:
        program: A rule set without errors.
        inventory: Every entity of the city.
    """
    city = _City(inventory)
    findings = [*_never_fires(program, city), *_readings(program, city)]
    order = {name: index for index, name in enumerate(program.sources)}
    findings.sort(key=lambda f: (order.get(f.at.file, 0), f.at.line, f.at.column, f.code))
    return list(dict.fromkeys(findings))


class _City:
    """The inventory by id and by kind."""

    def __init__(self, inventory: Sequence[EntitySpec]) -> None:
        self.entities = {spec.id: spec for spec in inventory}
        self._kinds: dict[str, list[EntitySpec]] = {}
        for spec in inventory:
            self._kinds.setdefault(spec.kind, []).append(spec)

    def of(self, kind: str) -> list[EntitySpec]:
        """Return the entities of a kind."""
        return self._kinds.get(kind, [])

    def lacks(self, kind: str) -> bool:
        """True when a kind has no entity; plans and incidents come while the engine runs."""
        return (
            bool(kind)
            and not kind.startswith("plan:")
            and kind != INCIDENT.name
            and not self.of(kind)
        )


# ── rules without instances ──────────────────────────────────────────────────────────────────


def _never_fires(program: Program, city: _City) -> Iterator[Finding]:
    for rule in program.rules:
        if rule.decl.enabled:
            yield from _empty_sets(rule.for_each, rule.decl.name.at, city)
    for alarm in program.alarms:
        yield from _empty_sets(alarm.for_each, alarm.decl.name.at, city)
    for invariant in program.invariants:
        yield from _empty_sets(invariant.for_each, invariant.decl.name.at, city)


def _empty_sets(sets: Iterable[SetProgram], at: Span, city: _City) -> Iterator[Finding]:
    for each in sets:
        why = _why_empty(each, city)
        if why:
            yield say.never_fires(at, why)
            return  # a second empty variable would say the same of the same rule


def _why_empty(each: SetProgram, city: _City) -> str:
    """Return why a set can have no member in this city, or nothing."""
    if each.source is not None:
        return ""
    if city.lacks(each.kind):
        return f"the inventory has no {each.kind}"
    if each.where is None or not city.of(each.kind):
        return ""
    for entity in city.of(each.kind):
        env = {each.variable: entity}
        if all(_fixed(clause, env, city) in (True, _OPEN) for clause in _clauses(each.where)):
            return ""
    return f"no {each.kind} {_has(each.where, each.variable)}"


def _clauses(node: Typed) -> list[Typed]:
    """Return what must all be true at once."""
    if isinstance(node, typed.Logic) and node.op == "and":
        return [clause for operand in node.operands for clause in _clauses(operand)]
    return [node]


def _has(where: Typed, variable: str) -> str:
    if isinstance(where, typed.Read) and isinstance(where.base, typed.Var):
        return f"has {where.point}"
    return f"meets {wording(where).replace(f'{variable}.', '')}"


# ── readings of what is not there ────────────────────────────────────────────────────────────


def _readings(program: Program, city: _City) -> Iterator[Finding]:
    for expression in _expressions(program):
        asked = {
            _point(node.operand)
            for node in typed.walk(expression)
            if isinstance(node, typed.Known) and isinstance(node.operand, typed.Read)
        }
        for node in typed.walk(expression):
            if isinstance(node, typed.AllOf) and city.lacks(node.kind):
                yield say.nobody_of_kind(node.at, node.kind)
            elif isinstance(node, typed.Read) and _point(node) not in asked:
                yield from _never_filled(node, city)
            elif isinstance(node, typed.Comparison):
                yield from _no_entity(node, city)


def _point(node: Typed) -> tuple[str, str]:
    return (node.base.type.kind, node.point) if isinstance(node, typed.Read) else ("", "")


def _never_filled(node: typed.Read, city: _City) -> Iterator[Finding]:
    """Yield the doubt about a fixed point that no entity of its kind has a value for."""
    kind = node.base.type.kind
    if node.spec.access is not Access.FIXED or not city.of(kind):
        return
    if all(spec.values.get(node.point) is None for spec in city.of(kind)):
        yield say.never_known(node.at, kind, node.point)


def _no_entity(node: typed.Comparison, city: _City) -> Iterator[Finding]:
    """Yield the doubt about `x.id == "seg-99"` when the city has no such entity."""
    for one, other in ((node.left, node.right), (node.right, node.left)):
        if not isinstance(one, typed.NameOf) or one.what != "id":
            continue
        kind = one.base.type.kind
        for each in other.items if isinstance(other, typed.OneOf) else (other,):
            if isinstance(each, typed.Const) and city.of(kind) and each.value not in city.entities:
                ids = [spec.id for spec in city.of(kind)]
                yield say.no_such_entity(each.at, kind, str(each.value), ids)


def _expressions(program: Program) -> Iterator[Typed]:
    """Yield every expression of a rule set, but for the `where` of instances: those were judged as a whole."""
    yield from (derived.value for derived in program.derived)
    for rule in program.rules:
        parts = (rule.enter, rule.stay, rule.when, rule.condition)
        yield from (part for part in parts if part is not None)
        yield from _in_holds(rule.holds)
        yield from _in_steps(rule.steps)
    for plan in program.plans:
        for level in plan.levels:
            if level.enter is not None:
                yield level.enter
            yield from _in_holds(level.holds)
            yield from _in_steps((*level.on_enter, *level.on_leave))
    yield from (alarm.raise_while for alarm in program.alarms)
    yield from (invariant.never for invariant in program.invariants)


def _in_holds(holds: Iterable[HoldProgram]) -> Iterator[Typed]:
    for hold in holds:
        yield hold.target
        yield from _in_value(hold.value)
        for _, value in hold.data:
            yield from _in_value(value)
        yield from _in_steps(hold.on_failure)


def _in_steps(steps: Iterable[StepProgram]) -> Iterator[Typed]:
    for step in steps:
        for part in step.parts.values():
            yield from _in_value(part)
        for branch in step.branches.values():
            yield from _in_steps(branch)


def _in_value(value: Any) -> Iterator[Typed]:
    if isinstance(value, Typed):
        yield value
    elif isinstance(value, TextProgram):
        yield from (part for part in value.parts if isinstance(part, Typed))


# ── conditions over fixed points ─────────────────────────────────────────────────────────────


class _Open:
    """A value that the inventory does not settle."""


_OPEN: Final = _Open()


def _fixed(node: Typed, env: Env, city: _City) -> Any:
    """Return the value of an expression by the inventory alone: None unknown for ever, `_OPEN` when it may change."""
    match node:
        case typed.Const(value=value):
            return value
        case typed.Var(name=name):
            return env.get(name, _OPEN)
        case typed.Read():
            return _read(node, env, city)
        case typed.NameOf(base=base, what=what):
            entity = _fixed(base, env, city)
            return getattr(entity, what) if isinstance(entity, EntitySpec) else _OPEN
        case typed.Not(operand=operand):
            value = _fixed(operand, env, city)
            return value if value is _OPEN or value is None else not value
        case typed.Logic(op=op, operands=operands):
            return _logic(op, [_fixed(each, env, city) for each in operands])
        case typed.Comparison():
            return _comparison(node, env, city)
        case typed.Known(operand=operand):
            value = _fixed(operand, env, city)
            return value if value is _OPEN else value is not None
        case typed.Convert(operand=operand, factor=factor, addend=addend):
            value = _fixed(operand, env, city)
            return value * factor + addend if isinstance(value, (int, float)) else value
        case typed.Arithmetic(op=op, left=left, right=right, clock=False):
            one, other = _fixed(left, env, city), _fixed(right, env, city)
            if one is _OPEN or other is _OPEN:
                return _OPEN
            return None if one is None or other is None else calculate(op, one, other)
        case _:
            return _OPEN


def _read(node: typed.Read, env: Env, city: _City) -> Any:
    entity = _fixed(node.base, env, city)
    if entity is None:
        return None
    if not isinstance(entity, EntitySpec) or node.spec.access is not Access.FIXED:
        return _OPEN
    value = entity.values.get(node.point)
    if node.spec.type.base is Base.ENTITY and isinstance(value, str):
        return city.entities.get(value)
    return Position(*value) if isinstance(value, tuple) else value


def _logic(op: str, values: list[Any]) -> Any:
    decided = op == "or"
    if any(value is decided for value in values):
        return decided
    if _OPEN in values:
        return _OPEN
    return None if None in values else not decided


def _comparison(node: typed.Comparison, env: Env, city: _City) -> Any:
    left = _fixed(node.left, env, city)
    if isinstance(node.right, typed.OneOf):
        items = [_fixed(each, env, city) for each in node.right.items]
        if left is _OPEN or _OPEN in items:
            return _OPEN
        return None if left is None or None in items else as_plain(left) in map(as_plain, items)
    right = _fixed(node.right, env, city)
    if left is _OPEN or right is _OPEN:
        return _OPEN
    return (
        None if left is None or right is None else compare(node.op, as_plain(left), as_plain(right))
    )
