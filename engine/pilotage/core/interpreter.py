"""Evaluates an expression once, piece by piece: for steps, for texts, and for `explain`.

Gives what the compiled function gives; a test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from pilotage.core.graph import Env, Graph
from pilotage.core.store import Entity, EntitySet
from pilotage.language import templates, typed
from pilotage.language.compiler import HOISTED
from pilotage.language.functions import honest, metres_between, place_of
from pilotage.language.program import SetProgram, TextProgram
from pilotage.language.resolver import calculate, compare
from pilotage.language.typed import Typed
from pilotage.model.values import DURATION, Base, Position, ValueType, format_value


class Interpreter:
    """Evaluates typed expressions against the live values."""

    def __init__(
        self, graph: Graph, guard: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        self._graph = graph
        self._guard = guard

    def evaluate(self, node: Typed, env: Env) -> Any:
        """Return the value of an expression now, None when it is unknown."""
        if isinstance(node, (typed.Window, typed.Pattern, typed.Older, typed.Global)):
            return self._graph.hoist(node, env).value
        method = getattr(self, f"_{type(node).__name__.lower()}")
        return method(node, env)

    def _all(self, nodes: Iterable[Typed], env: Env) -> list[Any] | None:
        values: list[Any] = []
        for node in nodes:
            value = self.evaluate(node, env)
            if value is None:
                return None
            values.append(value)
        return values

    def _const(self, node: typed.Const, env: Env) -> Any:
        return node.value

    def _var(self, node: typed.Var, env: Env) -> Any:
        return env[node.name]

    def _entityconst(self, node: typed.EntityConst, env: Env) -> Any:
        return self._graph.entities[node.id]

    def _read(self, node: typed.Read, env: Env) -> Any:
        base = self._entity(node.base, env)
        return None if base is None else base.cells[node.point].value

    def _entity(self, node: Typed, env: Env) -> Entity | None:
        """Return the entity that an expression leads to; `nearest(1, …)` stands for the one it found."""
        value = self.evaluate(node, env)
        if isinstance(value, EntitySet):
            return value[0] if value else None
        return value if isinstance(value, Entity) else None

    def _nameof(self, node: typed.NameOf, env: Env) -> Any:
        base = self._entity(node.base, env)
        return None if base is None else getattr(base, node.what)

    def _members(self, node: typed.Members, env: Env) -> Any:
        base = self._entity(node.base, env)
        return None if base is None else base.relations[node.relation].value

    def _not(self, node: typed.Not, env: Env) -> bool | None:
        value = self.evaluate(node.operand, env)
        return None if value is None else not bool(value)

    def _logic(self, node: typed.Logic, env: Env) -> bool | None:
        decided: bool = node.op == "or"
        unknown = False
        for operand in node.operands:
            value = self.evaluate(operand, env)
            if value is None:
                unknown = True
            elif bool(value) is decided:
                return decided
        return None if unknown else not decided

    def _comparison(self, node: typed.Comparison, env: Env) -> bool | None:
        left = self.evaluate(node.left, env)
        if left is None:
            return None
        if isinstance(node.right, typed.OneOf):
            items = self._all(node.right.items, env)
            return None if items is None else left in items
        right = self.evaluate(node.right, env)
        return None if right is None else compare(node.op, left, right)

    def _convert(self, node: typed.Convert, env: Env) -> float | None:
        value = self.evaluate(node.operand, env)
        return None if value is None else value * node.factor + node.addend

    def _arithmetic(self, node: typed.Arithmetic, env: Env) -> float | None:
        values = self._all((node.left, node.right), env)
        if values is None:
            return None
        result = calculate(node.op, values[0], values[1])
        return result % 1440.0 if node.clock and result is not None else result

    def _negative(self, node: typed.Negative, env: Env) -> float | None:
        value = self.evaluate(node.operand, env)
        return None if value is None else -value

    def _choice(self, node: typed.Choice, env: Env) -> Any:
        condition = self.evaluate(node.condition, env)
        return (
            None
            if condition is None
            else self.evaluate(node.then if condition else node.otherwise, env)
        )

    def _oneof(self, node: typed.OneOf, env: Env) -> Any:
        items = self._all(node.items, env)
        return None if items is None else tuple(items)

    def _known(self, node: typed.Known, env: Env) -> bool:
        return self.evaluate(node.operand, env) is not None

    def _apply(self, node: typed.Apply, env: Env) -> Any:
        values = self._all(node.arguments, env)
        if values is None:
            return None
        call = self._guard(honest(node.function))
        return call(self._graph.city, *values) if node.function.wants_city else call(*values)

    def _builtin(self, node: typed.Builtin, env: Env) -> Any:
        values: list[Any] = []
        for argument in node.arguments:
            value = self.evaluate(argument, env)
            if isinstance(value, EntitySet) and argument.type.base is Base.ENTITY:
                value = value[0] if value else None
            if value is None:
                return None
            values.append(value)
        return node.call(*values)

    def _wanted(self, node: typed.Wanted, env: Env) -> Any:
        base = self._entity(node.read.base, env)
        return None if base is None else base.cells[node.read.point].wanted_cell().value

    def _age(self, node: typed.Age, env: Env) -> float | None:
        base = self._entity(node.read.base, env)
        cell = None if base is None else base.cells[node.read.point]
        return None if cell is None or cell.time is None else self._graph.clock.now - cell.time

    # ── sets ─────────────────────────────────────────────────────────────────────────────────

    def _allof(self, node: typed.AllOf, env: Env) -> EntitySet:
        everyone = self._graph.entities_of(node.kind)
        where = node.where
        if where is None:
            return EntitySet(everyone)
        return EntitySet(
            e for e in everyone if self.evaluate(where, {**env, node.variable: e}) is True
        )

    def _nearest(self, node: typed.Nearest, env: Env) -> EntitySet | None:
        count, source, target = self._all((node.count, node.source, node.to), env) or (
            None,
            None,
            None,
        )
        if count is None or source is None or target is None:
            return None
        centre = place_of(target)
        limit = self.evaluate(node.within, env) if node.within is not None else math.inf
        if centre is None or limit is None:
            return None
        found: list[tuple[float, int, Entity]] = []
        for index, entity in enumerate(source):
            place = entity.place
            if place is None or metres_between(centre, place) > limit:
                continue
            if (
                node.where is None
                or self.evaluate(node.where, {**env, node.variable: entity}) is True
            ):
                found.append((metres_between(centre, place), index, entity))
        return EntitySet(e for _, _, e in sorted(found)[: max(0, int(count))])

    def _aggregate(self, node: typed.Aggregate, env: Env) -> Any:
        source = self.evaluate(node.source, env)
        if source is None:
            return None
        rows: list[tuple[bool | None, Any]] = []
        for entity in source:
            inner = {**env, node.variable: entity}
            counts = True if node.where is None else self.evaluate(node.where, inner)
            rows.append((counts, None if node.value is None else self.evaluate(node.value, inner)))
        return _statistic(node, rows)

    def members(self, program: SetProgram, env: Env) -> list[Entity]:
        """Return who is in a variable's set now."""
        if program.source is not None:
            return list(self.evaluate(program.source, env) or ())
        found: list[Entity] = []
        centre = self.evaluate(program.of, env) if program.of is not None else None
        middle = place_of(centre) if centre is not None else None
        for entity in self._graph.entities_of(program.kind):
            if program.within_m is not None:
                place = entity.place
                if (
                    middle is None
                    or place is None
                    or metres_between(middle, place) > program.within_m
                ):
                    continue
            where = program.where
            if where is None or self.evaluate(where, {**env, program.variable: entity}) is True:
                found.append(entity)
        return found

    # ── texts ────────────────────────────────────────────────────────────────────────────────

    def text(self, program: TextProgram, env: Env) -> str:
        """Return a text for people with its expressions filled in."""
        if program.template is not None:
            values = {path: self._plain(node, env) for path, node in program.names}
            return templates.render(program.template, values)
        return "".join(
            part if isinstance(part, str) else self.show(part, env) for part in program.parts
        )

    def _plain(self, node: Typed, env: Env) -> Any:
        """Return a value as a template may see it: numbers, texts and truths; everything else in words."""
        value = self.evaluate(node, env)
        return (
            value
            if value is None or isinstance(value, (bool, float, str))
            else self.show(node, env)
        )

    def show(self, node: Typed, env: Env) -> str:
        """Return the value of an expression as people read it."""
        value = self.evaluate(node, env)
        if isinstance(value, Entity):
            return value.name
        if isinstance(value, EntitySet):
            return ", ".join(e.name for e in value) or "nothing"
        return shown(value, node.type)

    def value_or_text(self, program: Typed | TextProgram, env: Env) -> Any:
        """Return the value of an expression or of a text."""
        return (
            self.text(program, env)
            if isinstance(program, TextProgram)
            else self.evaluate(program, env)
        )


def shown(value: Any, type_: ValueType) -> str:
    """Return a value as people read it; durations as `2 h 5 min`."""
    if (
        isinstance(value, float)
        and type_.unit.dimension == DURATION.unit.dimension
        and type_.unit.scale == 1.0
    ):
        return format_duration(value)
    return format_value(value, type_)


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: `2 h 5 min`, `90 s` as `1 min 30 s`."""
    rest = round(seconds)
    if rest < 1:
        return f"{seconds:.3g} s"
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2])


def _statistic(node: typed.Aggregate, rows: list[tuple[bool | None, Any]]) -> Any:
    in_doubt = sum(1 for counts, _ in rows if counts is None)
    values = [value for counts, value in rows if counts is True]
    known = [v for v in values if v is not None]
    share = node.coverage
    if node.function == "count":
        covered = share is None or not rows or len(rows) - in_doubt >= share * len(rows) - 1e-9
        return float(len(values)) if covered else None
    if node.function in ("any", "all"):
        return _truth(node, values, known, in_doubt)
    if share is not None and len(known) < share * (len(values) + in_doubt) - 1e-9:
        return None
    if node.function == "sum":
        return math.fsum(known) if known or not (values or in_doubt) else None
    if not known:
        return None
    match node.function:
        case "min":
            return min(known)
        case "max":
            return max(known)
        case "avg":
            return math.fsum(known) / len(known)
        case _:
            return sorted(known)[min(len(known) - 1, math.ceil(0.95 * len(known)) - 1)]


def _truth(
    node: typed.Aggregate, values: list[Any], known: list[Any], in_doubt: int
) -> bool | None:
    if node.value is None:
        return bool(values)
    answer = node.function == "any"
    if answer in known:
        return answer
    uncertain = len(values) - len(known) + in_doubt
    share = node.coverage
    if uncertain and (share is None or len(known) < share * (len(known) + uncertain) - 1e-9):
        return None
    return not answer


__all__ = ["HOISTED", "Interpreter", "Position", "format_duration", "shown"]
