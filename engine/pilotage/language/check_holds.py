"""Holds: the demands of a rule or a plan that stand while it holds."""

from __future__ import annotations

from pilotage.language import check_findings as say
from pilotage.language import syntax
from pilotage.language.check_commands import check_expect, check_level, may_set
from pilotage.language.check_sets import check_sets
from pilotage.language.check_steps import check_steps
from pilotage.language.check_values import check_raw
from pilotage.language.inspection import Inspection, Scope
from pilotage.language.program import HoldProgram, TextProgram
from pilotage.language.resolver import Resolver
from pilotage.language.typed import Read, Typed
from pilotage.language.wording import pretty
from pilotage.model.values import ANY, Base


def check_hold(
    inspection: Inspection, hold: syntax.Hold, outer: Scope, plan_priority: syntax.Word | None
) -> HoldProgram | None:
    """Return a typed hold, or None after reporting; in a plan, without its own priority, it takes the plan's."""
    scope = dict(outer)
    each = check_sets(inspection, hold.each, scope)
    if each is None:
        return None
    resolver = inspection.resolver(scope)
    level = check_level(inspection, hold.priority or plan_priority, hold.at)
    path = hold.request if hold.request is not None else hold.set
    assert path is not None
    target = resolver.path(path)
    if target is None or not may_set(inspection, target, path.at, request=hold.request is not None):
        return None
    value = _hold_value(inspection, hold, target, resolver)
    data = tuple(
        (w.text, v)
        for w, raw in hold.with_
        if (v := check_raw(inspection, raw, ANY, resolver)) is not None
    )
    expect = check_expect(inspection, hold.expect, target.spec)
    if hold.ramp is not None and target.type.base is not Base.NUMBER:
        inspection.report(say.ramp_on_state(hold.ramp.at, pretty(target)))
    on_failure = check_steps(inspection, hold.on_failure, dict(scope))
    if value is None or level is None:
        return None
    ramp = hold.ramp
    return HoldProgram(
        each,
        target,
        value,
        hold.request is not None,
        data,
        level,
        (ramp.up_s or 0.0) if ramp else 0.0,
        (ramp.down_s or 0.0) if ramp else 0.0,
        expect,
        on_failure,
        hold.at,
    )


def _hold_value(
    inspection: Inspection, hold: syntax.Hold, target: Read, resolver: Resolver
) -> Typed | TextProgram | None:
    if hold.request is not None:
        assert hold.for_ is not None
        return resolver.value_for(hold.for_, target.type)
    assert hold.to is not None
    return check_raw(inspection, hold.to, target.type, resolver, target.spec)
