"""What a rule can say and hardly means: always true, true at once, slower than it promises."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.language import check_findings as say
from pilotage.language import typed
from pilotage.language.contradictions import operands, over_range, overlap
from pilotage.language.inspection import Inspection
from pilotage.language.program import HoldProgram, RuleProgram
from pilotage.language.typed import Const, Read, Typed
from pilotage.language.wording import pretty, wording
from pilotage.model.values import format_value


def doubt_truth(inspection: Inspection, condition: Typed | None) -> None:
    """Warn of what is always true or never."""
    for node in typed.walk(condition) if condition is not None else ():
        if node is condition or isinstance(node, typed.Logic):
            parts = node.operands if isinstance(node, typed.Logic) else (node,)
            for part in parts:
                if isinstance(part, Const):
                    inspection.report(say.always(part.at, bool(part.value)))
        if isinstance(node, typed.Comparison) and isinstance(node.left, Read):
            _doubt_range(inspection, node, node.left)


def _doubt_range(inspection: Inspection, node: typed.Comparison, read: Read) -> None:
    spec, right = read.spec, node.right
    if not isinstance(right, Const) or not isinstance(right.value, float):
        return
    truth = over_range(node.op, right.value, spec.low, spec.high)
    if truth is not None:
        low, high = (
            format_value(bound, spec.type) if bound is not None else ""
            for bound in (spec.low, spec.high)
        )
        inspection.report(say.never_in_range(node.at, truth, pretty(read), low, high))


def doubt_gap(inspection: Inspection, enter: Typed, until: Typed) -> None:
    """Warn of an `until` that may be true as soon as `while` is."""
    for a in operands(enter, "and"):
        for b in operands(until, "or"):
            if overlap(a, b):
                inspection.report(say.hysteresis_gap(b.at, wording(a), wording(b)))


def doubt_own_wish(
    inspection: Inspection, enter: Typed | None, holds: Sequence[HoldProgram]
) -> None:
    """Warn of a hold that begins by what it wants itself."""
    decided = {pretty(hold.target) for hold in holds if not hold.each}
    for node in typed.walk(enter) if enter is not None else ():
        if isinstance(node, typed.Wanted) and pretty(node.read) in decided:
            inspection.report(say.steps_of_own_condition(node.at, pretty(node.read)))


def doubt_promise(inspection: Inspection, program: RuleProgram) -> None:
    """Warn of a `respond_within` that the sensors, the ramp and the waiting cannot keep."""
    promise = program.decl.respond_within
    if promise is None or program.enter is None:
        return
    sensors = [
        (n.spec.every_s, pretty(n))
        for n in typed.walk(program.enter)
        if isinstance(n, Read) and n.spec.every_s is not None
    ]
    slowest = max(sensors, default=(0.0, ""))
    hold = max(program.holds, key=lambda h: min(h.ramp_up_s, h.ramp_down_s), default=None)
    moving = min(hold.ramp_up_s, hold.ramp_down_s) + hold.target.spec.travel_s if hold else 0.0
    waiting = program.decl.for_.seconds if program.decl.for_ else 0.0
    needed = slowest[0] + moving + waiting
    if needed > promise.seconds:
        parts = [
            p
            for p, s in (
                (f"{slowest[1]} (each {slowest[0]:g} s)", slowest[0]),
                ("ramp and travel", moving),
                ("for", waiting),
            )
            if s
        ]
        inspection.report(
            say.slow_promise(promise.at, promise.seconds, needed, " and ".join(parts))
        )
