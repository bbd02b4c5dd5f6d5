"""Steps of stories, in order: what one names, the following ones know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pilotage.language import check_findings as say
from pilotage.language import syntax
from pilotage.language.check_commands import check_expect, check_level, may_set
from pilotage.language.check_sets import check_set, check_sets
from pilotage.language.check_values import check_raw, check_text
from pilotage.language.inspection import Inspection, Scope
from pilotage.language.program import SetProgram, StepProgram, TextProgram
from pilotage.language.resolver import Resolver
from pilotage.language.typed import Const, Typed
from pilotage.language.vocabulary import GLOBALS
from pilotage.language.wording import pretty
from pilotage.model.values import (
    ANY,
    POSITION,
    TEXT,
    Base,
    ValueType,
    number,
    reference,
    set_of,
)

Local = frozenset[str]
"""Names that the steps of a story brought: no window can be kept over them."""
_Checked = tuple[StepProgram | None, Local]


def check_steps(
    inspection: Inspection, steps: Sequence[syntax.Step], scope: Scope, local: Local = frozenset()
) -> tuple[StepProgram, ...]:
    """Return typed steps; `let` and `as` add variables to the scope for the steps that follow."""
    programs: list[StepProgram] = []
    for step in steps:
        program, local = _check_step(inspection, step, scope, local)
        if program is not None:
            programs.append(program)
    return tuple(programs)


def _check_step(inspection: Inspection, step: syntax.Step, scope: Scope, local: Local) -> _Checked:
    """Return a typed step, or None after reporting, and the names that are local behind it."""
    match step:
        case syntax.IncidentStep():
            return _check_incident(inspection, step, scope, local)
        case syntax.LetStep():
            return _check_let(inspection, step, scope, local)
        case _:
            return _check_nameless(inspection, step, scope, local), local


def _check_nameless(
    inspection: Inspection, step: syntax.Step, scope: Scope, local: Local
) -> StepProgram | None:
    """Return a typed step of those that bring no name, or None after reporting."""
    match step:
        case syntax.SetStep():
            return _check_set(inspection, step, scope, local)
        case syntax.CallStep():
            return _check_call(inspection, step, scope, local)
        case syntax.NotifyStep():
            return _check_notify(inspection, step, scope, local)
        case syntax.NoteStep():
            return _check_note(inspection, step, scope, local)
        case syntax.IfStep():
            return _check_if(inspection, step, scope, local)
        case syntax.ForEachStep():
            return _check_for_each(inspection, step, scope, local)
        case syntax.WaitForStep():
            return _check_wait_for(inspection, step, scope, local)
        case syntax.PlanStep():
            return _check_plan(inspection, step, scope, local)
        case syntax.AlarmStep():
            return _check_alarm(inspection, step, scope, local)
        case syntax.WaitStep():
            return StepProgram("wait", step.at, {"seconds": step.duration.seconds})
        case _:
            raise TypeError(f"{type(step).__name__} has no meaning yet: give it one in this room")


def _calm(inspection: Inspection, scope: Scope, local: Local) -> Resolver:
    return inspection.resolver(scope, reactive=False, step_variables=local)


def _check_set(
    inspection: Inspection, step: syntax.SetStep, scope: Scope, local: Local
) -> StepProgram | None:
    resolver = _calm(inspection, scope, local)
    target = resolver.path(step.point)
    level = check_level(inspection, step.priority, step.at)
    until = _watched(inspection, step.until, scope, local)
    if (
        target is None
        or level is None
        or not may_set(inspection, target, step.point.at, request=False)
    ):
        return None
    value = check_raw(inspection, step.to, target.type, resolver, target.spec)
    if value is None or (step.until is not None and until is None):
        return None
    parts = {
        "target": target,
        "value": value,
        "level": level,
        "until": until,
        "at_most": step.at_most.seconds if step.at_most else None,
        "ramp_up_s": (step.ramp.up_s or 0.0) if step.ramp else 0.0,
        "ramp_down_s": (step.ramp.down_s or 0.0) if step.ramp else 0.0,
        "expect": check_expect(inspection, step.expect, target.spec),
    }
    if step.ramp is not None and target.type.base is not Base.NUMBER:
        inspection.report(say.ramp_on_state(step.ramp.at, pretty(target)))
    failure = check_steps(inspection, step.on_failure, dict(scope), local)
    return StepProgram("set", step.at, parts, {"on_failure": failure})


def _watched(
    inspection: Inspection, expr: syntax.Expr | None, scope: Scope, local: Local
) -> Typed | None:
    """Return a condition that a step waits for: followed, so nothing that is worked out once."""
    if expr is None:
        return None
    return inspection.resolver(scope, step_variables=local).condition(expr)


def _check_call(
    inspection: Inspection, step: syntax.CallStep, scope: Scope, local: Local
) -> StepProgram | None:
    spec = inspection.vocabulary.calls.get(step.name.text)
    if spec is None:
        inspection.report(
            say.unknown_call(step.name.at, step.name.text, inspection.vocabulary.calls)
        )
        return None
    resolver = _calm(inspection, scope, local)
    types = {p.name: p.type for p in spec.parameters}
    arguments: list[tuple[str, Any]] = []
    for word, given in step.with_:
        if word.text not in types:
            inspection.report(say.unknown_keyword(word.at, spec.name, word.text, types))
            continue
        value = _given(inspection, given, types[word.text], resolver, scope)
        if value is not None:
            arguments.append((word.text, value))
    missing = [
        p.name
        for p in spec.parameters
        if p.required and p.name not in {w.text for w, _ in step.with_}
    ]
    if missing:
        inspection.report(say.call_incomplete(step.name.at, spec.name, missing))
    parts = {
        "name": spec.name,
        "arguments": tuple(arguments),
        "expect": check_expect(inspection, step.expect, spec),
        "spec": spec,
    }
    failure = check_steps(inspection, step.on_failure, dict(scope), local)
    return StepProgram("call", step.at, parts, {"on_failure": failure})


def _given(
    inspection: Inspection,
    given: syntax.Raw | syntax.SetOf,
    wanted: ValueType,
    resolver: Resolver,
    scope: Scope,
) -> Any:
    if isinstance(given, syntax.SetOf):
        kind = given.kind.text if given.kind else ""
        return check_set(inspection, kind or "_", given, scope, steps=True)
    return check_raw(inspection, given, wanted, resolver)


def _check_notify(
    inspection: Inspection, step: syntax.NotifyStep, scope: Scope, local: Local
) -> StepProgram | None:
    resolver = _calm(inspection, scope, local)
    text = check_text(inspection, step.text, resolver)
    link = resolver.value(step.link) if step.link is not None else None
    if text is None:
        return None
    parts = {
        "to": tuple(w.text for w in step.to),
        "text": text,
        "link": link,
        "within": step.acknowledge_within.seconds if step.acknowledge_within else None,
    }
    otherwise = check_steps(inspection, step.otherwise, dict(scope), local)
    return StepProgram("notify", step.at, parts, {"otherwise": otherwise})


def _check_incident(
    inspection: Inspection, step: syntax.IncidentStep, scope: Scope, local: Local
) -> _Checked:
    resolver = _calm(inspection, scope, local)
    title = check_text(inspection, step.title, resolver)
    location = resolver.value_for(step.location, POSITION) if step.location is not None else None
    key = resolver.value(step.one_per) if step.one_per is not None else None
    if step.as_ is not None:
        scope[step.as_.text] = reference("incident")
        local = local | {step.as_.text}
    if (
        title is None
        or (step.location is not None and location is None)
        or (step.one_per is not None and key is None)
    ):
        return None, local
    parts = {
        "as": step.as_.text if step.as_ else None,
        "type": step.type.text,
        "severity": step.severity.text,
        "title": title,
        "location": location,
        "one_per": key,
    }
    return StepProgram("incident", step.at, parts), local


def _check_note(
    inspection: Inspection, step: syntax.NoteStep, scope: Scope, local: Local
) -> StepProgram | None:
    resolver = _calm(inspection, scope, local)
    text = check_text(inspection, step.text, resolver)
    on = resolver.value_for(step.on, reference("incident")) if step.on is not None else None
    if text is None or (step.on is not None and on is None):
        return None
    return StepProgram("note", step.at, {"text": text, "on": on})


def _check_let(
    inspection: Inspection, step: syntax.LetStep, scope: Scope, local: Local
) -> _Checked:
    names: list[tuple[str, Any]] = []
    for word, given in step.names:
        if word.text in scope or word.text in GLOBALS:
            inspection.report(say.variable_taken(word.at, word.text))
            continue
        value = _given(inspection, given, ANY, _calm(inspection, scope, local), scope)
        if value is None:
            continue
        if isinstance(value, SetProgram):
            scope[word.text] = set_of(value.kind)
        else:
            scope[word.text] = TEXT if isinstance(value, TextProgram) else value.type
        local = local | {word.text}
        names.append((word.text, value))
    return StepProgram("let", step.at, {"names": tuple(names)}), local


def _check_if(
    inspection: Inspection, step: syntax.IfStep, scope: Scope, local: Local
) -> StepProgram | None:
    condition = _calm(inspection, scope, local).condition(step.condition)
    branches = {
        "then": check_steps(inspection, step.then, dict(scope), local),
        "otherwise": check_steps(inspection, step.otherwise, dict(scope), local),
    }
    if condition is None:
        return None
    return StepProgram("if", step.at, {"condition": condition}, branches)


def _check_for_each(
    inspection: Inspection, step: syntax.ForEachStep, scope: Scope, local: Local
) -> StepProgram | None:
    inner = dict(scope)
    each = check_sets(inspection, step.each, inner, steps=True)
    if each is None:
        return None
    do = check_steps(inspection, step.do, inner, local | {s.variable for s in each})
    return StepProgram("for_each", step.at, {"each": each, "together": step.together}, {"do": do})


def _check_wait_for(
    inspection: Inspection, step: syntax.WaitForStep, scope: Scope, local: Local
) -> StepProgram | None:
    condition = _watched(inspection, step.condition, scope, local)
    otherwise = check_steps(inspection, step.otherwise, dict(scope), local)
    if condition is None:
        return None
    parts = {"condition": condition, "timeout": step.timeout.seconds if step.timeout else None}
    return StepProgram("wait_for", step.at, parts, {"otherwise": otherwise})


def _check_plan(
    inspection: Inspection, step: syntax.PlanStep, scope: Scope, local: Local
) -> StepProgram | None:
    if inspection.vocabulary.kind(f"plan:{step.plan.text}") is None:
        known = inspection.vocabulary.plan_names()
        inspection.report(say.unknown_plan(step.plan.at, step.plan.text, known))
        return None
    resolver = _calm(inspection, scope, local)
    level = resolver.value_for(step.level, number(""))
    reason = check_text(inspection, step.reason, resolver) if step.reason is not None else None
    if level is None:
        return None
    highest = inspection.highest_level(step.plan.text)
    if isinstance(level, Const) and not 0 <= level.value <= highest:
        inspection.report(say.confirm_level(level.at, level.value, highest))
    return StepProgram("plan", step.at, {"plan": step.plan.text, "level": level, "reason": reason})


def _check_alarm(
    inspection: Inspection, step: syntax.AlarmStep, scope: Scope, local: Local
) -> StepProgram | None:
    text = check_text(inspection, step.text, _calm(inspection, scope, local))
    if text is None:
        return None
    return StepProgram(
        "alarm", step.at, {"name": step.name.text, "severity": step.severity.text, "text": text}
    )
