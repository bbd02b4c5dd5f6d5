"""What holds and steps share: whether a point may be set, at which priority, and what is expected then."""

from __future__ import annotations

from pilotage.language import check_findings as say
from pilotage.language import syntax
from pilotage.language.inspection import Inspection
from pilotage.language.program import ExpectProgram
from pilotage.language.typed import Read
from pilotage.language.wording import pretty
from pilotage.model.diagnostics import Span
from pilotage.model.entities import CallSpec, PointSpec
from pilotage.model.priorities import RESERVED, Priority, parse_priority


def may_set(inspection: Inspection, target: Read, at: Span, *, request: bool) -> bool:
    """Return whether rules may command a point so; reports when they may not."""
    if not target.spec.access.is_commandable:
        derived = target.point in inspection.vocabulary.derived_names(target.base.type.kind)
        access = "derived" if derived else target.spec.access.value
        inspection.report(say.not_commandable(at, pretty(target), access))
        return False
    if request != target.spec.is_request:
        finding = say.not_a_request if request else say.is_a_request
        inspection.report(finding(at, pretty(target)))
        return False
    return True


def check_level(inspection: Inspection, word: syntax.Word | None, at: Span) -> int | None:
    """Return a priority as a number, or None after reporting one that is missing, unknown or reserved."""
    if word is None:
        inspection.report(say.priority_missing(at))
        return None
    level = parse_priority(word.text)
    if level is None:
        inspection.report(say.unknown_priority(word.at, word.text, [p.word for p in Priority]))
    elif level in RESERVED:
        whose = "the control room" if level is Priority.OPERATOR else "the engine"
        inspection.report(say.reserved_priority(word.at, word.text, whose))
        return None
    return level


def check_expect(
    inspection: Inspection,
    expect: syntax.Expect | None,
    spec: PointSpec | CallSpec,
) -> ExpectProgram:
    """Return what is expected of a command; reports a status that nobody answers, and the retry of a pulse."""
    if expect is None:
        return ExpectProgram()
    for word in expect.status:
        if word.text not in spec.statuses:
            inspection.report(say.status_unknown(word.at, word.text, spec.statuses))
    if spec.pulse and expect.retry:
        inspection.report(say.pulse_retried(expect.at, spec.name, expect.retry))
    return ExpectProgram(tuple(w.text for w in expect.status), expect.within_s, expect.retry)
