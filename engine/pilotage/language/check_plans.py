"""Plans: their parameters, their levels, and what activates them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pilotage.language import check_findings as say
from pilotage.language import syntax
from pilotage.language.check_commands import check_level
from pilotage.language.check_holds import check_hold
from pilotage.language.check_sets import check_set
from pilotage.language.check_steps import check_steps
from pilotage.language.check_values import check_range, check_raw, check_text
from pilotage.language.inspection import Inspection, Scope
from pilotage.language.meaning import meaning
from pilotage.language.program import LevelProgram, ParameterProgram, PlanProgram
from pilotage.language.typed import Const
from pilotage.model.entities import Kind, PointSpec
from pilotage.model.priorities import NEEDS_IF_UNKNOWN, Priority
from pilotage.model.units import PERCENT, SECOND
from pilotage.model.values import (
    BOOLEAN,
    DURATION,
    TEXT,
    Base,
    ValueType,
    number,
    reference,
    set_of,
)


def check_plan(inspection: Inspection, decl: syntax.Plan) -> PlanProgram | None:
    """Return a typed plan, or None after reporting."""
    mark = len(inspection.findings)
    kind = inspection.vocabulary.kind(f"plan:{decl.name.text}")
    assert kind is not None, "the checker has declared it"
    scope: Scope = {"plan": reference(kind.name)}
    if decl.priority is not None:
        check_level(inspection, decl.priority, decl.priority.at)
    priority = decl.priority or syntax.Word("plan", decl.name.at)
    levels = tuple(_check_plan_level(inspection, level, scope, priority) for level in decl.levels)
    parameters = tuple(
        p
        for param in decl.parameters
        if (p := _check_parameter(inspection, param, kind)) is not None
    )
    calendar = None
    if decl.activation is not None:
        _check_activation(inspection, decl.activation, decl)
        if decl.activation.calendar is not None:
            calendar = inspection.resolver().condition(decl.activation.calendar)
    urgent = [h.level for x in levels for h in x.holds if h.level <= NEEDS_IF_UNKNOWN]
    said = decl.activation is not None and decl.activation.if_unknown is not None
    if urgent and not said and any(x.enter is not None for x in levels):
        inspection.report(say.if_unknown_missing(decl.name.at, "plan", Priority(min(urgent)).word))
    if inspection.has_error_since(mark):
        return None
    return PlanProgram(decl.name.text, meaning(decl), decl, kind, parameters, levels, calendar)


def _check_activation(
    inspection: Inspection, activation: syntax.Activation, decl: syntax.Plan
) -> None:
    confirm = activation.confirm
    if confirm is not None:
        highest = max((level.level for level in decl.levels), default=0)
        if confirm.from_level > highest:
            inspection.report(say.confirm_level(confirm.at, confirm.from_level, highest))


def _check_plan_level(
    inspection: Inspection, level: syntax.PlanLevel, scope: Scope, priority: syntax.Word
) -> LevelProgram:
    resolver = inspection.resolver(scope)
    enter = resolver.condition(level.enter) if level.enter is not None else None
    holds = tuple(
        h for hold in level.hold if (h := check_hold(inspection, hold, scope, priority)) is not None
    )
    checklist = tuple(
        (text, item.by.text, item.within.seconds)
        for item in level.checklist
        if (text := check_text(inspection, item.text, resolver)) is not None
    )
    for word in level.enable:
        if word.text not in inspection.rule_names:
            inspection.report(
                say.group_of_nothing(word.at, word.text, sorted(inspection.rule_names))
            )
    return LevelProgram(
        level.level,
        level.name.text,
        enter,
        holds,
        check_steps(inspection, level.on_enter, dict(scope)),
        check_steps(inspection, level.on_leave, dict(scope)),
        checklist,
        tuple(w.text for w in level.enable),
    )


def _check_parameter(
    inspection: Inspection, parameter: syntax.PlanParameter, kind: Kind
) -> ParameterProgram | None:
    spec = kind.point(parameter.name.text)
    if spec is None:
        return None
    if isinstance(parameter.default, syntax.SetOf):
        if spec.type.base is not Base.SET:
            inspection.report(say.wrong_set(parameter.default.at, spec.type))
            return None
        default: Any = check_set(inspection, spec.type.kind, parameter.default, {})
    else:
        default = check_raw(inspection, parameter.default, spec.type, inspection.resolver())
    low, high = (_bound(inspection, b, spec.type) for b in (parameter.min, parameter.max))
    if default is None:
        return None
    if isinstance(default, Const):
        check_range(inspection, default, replace(spec, low=low, high=high))
    return ParameterProgram(spec.name, spec.type, default, low, high)


def _bound(inspection: Inspection, raw: syntax.Raw | None, type_: ValueType) -> float | None:
    if raw is None:
        return None
    node = check_raw(inspection, raw, type_, inspection.resolver())
    return float(node.value) if isinstance(node, Const) else None


def _parameter_type(inspection: Inspection, word: syntax.Word) -> ValueType:
    """Return the type that a plan's parameter declares; reports an unknown one."""
    text = word.text
    simple = {
        "count": number(""),
        "number": number(""),
        "percent": ValueType(Base.NUMBER, PERCENT),
        "duration": DURATION,
        "boolean": BOOLEAN,
        "text": TEXT,
    }
    if text in simple:
        return simple[text]
    kind = text.removeprefix("set of ")  # the reader lets no other word through
    if inspection.vocabulary.kind(kind) is None:
        at = word.at._replace(column=word.at.column + len("set of "), length=len(kind))
        inspection.report(say.unknown_kind(at, kind, inspection.vocabulary.kinds))
    return set_of(kind)


def plan_kind(inspection: Inspection, plan: syntax.Plan) -> Kind:
    """Return the kind whose points are what rules can read of a plan."""
    points = [
        PointSpec("level", number(""), doc="0 while the plan is off"),
        PointSpec("level_name", TEXT),
        PointSpec("active", BOOLEAN),
        PointSpec("manual", BOOLEAN, doc="a person set the level"),
        PointSpec("reason", TEXT),
        PointSpec("duration", ValueType(Base.NUMBER, SECOND), doc="since the plan left level 0"),
    ]
    points.extend(
        PointSpec(p.name.text, _parameter_type(inspection, p.type)) for p in plan.parameters
    )
    return Kind(f"plan:{plan.name.text}", plan.name.text, tuple(points))
