"""The checker: every declaration of a rule set gets its meaning, and every mistake its finding, all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pilotage.language import check_findings as say
from pilotage.language import syntax
from pilotage.language.check_alarms import check_alarm, check_invariant
from pilotage.language.check_plans import check_plan, plan_kind
from pilotage.language.check_rules import check_rule
from pilotage.language.circles import Reads, reads_of, report_circles
from pilotage.language.derived import DerivedValues
from pilotage.language.inspection import Inspection
from pilotage.language.memory import Past, RuleMemory, Understood
from pilotage.language.program import Program, RuleProgram
from pilotage.language.ties import Wish, report_ties, rule_wishes
from pilotage.language.vocabulary import Question, Vocabulary
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.entities import CallSpec, Function, Kind

_D = TypeVar("_D")
_P = TypeVar("_P")


def check(
    files: Sequence[syntax.RuleFile],
    kinds: Mapping[str, Kind],
    functions: Mapping[str, Function] | None = None,
    calls: Mapping[str, CallSpec] | None = None,
) -> tuple[Program, list[Finding]]:
    """Return the rule set of some files with everything that is wrong or doubtful about it.

    The program holds what could be understood; use it only when no finding is an error.
    """
    vocabulary = Vocabulary(dict(kinds), functions or {}, calls or {})
    program, found, _ = check_with(RuleMemory(), files, vocabulary)
    vocabulary.forget_derived()
    return program, found


def check_with(
    memory: RuleMemory, files: Sequence[syntax.RuleFile], vocabulary: Vocabulary
) -> tuple[Program, list[Finding], Past]:
    """Return the same, with what can be remembered for the next time; what the memory knows is not checked again."""
    inspection = Inspection(files, vocabulary)
    program, past = _understand(inspection, memory)
    findings = inspection.findings
    order = {file.file: index for index, file in enumerate(files)}
    findings.sort(key=lambda f: (order.get(f.at.file, len(order)), f.at.line, f.at.column, f.code))
    return program, list(dict.fromkeys(findings)), past


def _understand(inspection: Inspection, memory: RuleMemory) -> tuple[Program, Past]:
    files, vocabulary = inspection.files, inspection.vocabulary
    _check_names(inspection)
    values = DerivedValues(inspection)
    vocabulary.derived_point_of, vocabulary.derived_names_of = values.point, values.names
    for derive in (d for f in files for d in f.derive):
        values.declare(derive)
    for plan in (p for f in files for p in f.plans):
        vocabulary.plans[f"plan:{plan.name.text}"] = plan_kind(inspection, plan)
    derived = values.programs()
    past = memory.recall(inspection)
    rules = _understood(past, check_rule, (d for f in files for d in f.rules))
    gists = [each.gist for each in past.understood if each.program is not None]
    plans = _understood(past, check_plan, (d for f in files for d in f.plans))
    alarms = _understood(past, check_alarm, (d for f in files for d in f.alarms))
    invariants = _understood(past, check_invariant, (d for f in files for d in f.invariants))
    _check_tests(inspection)
    report_ties(inspection, [wish for gist in gists for wish in gist.wishes], plans)
    report_circles(inspection, rules, [gist.reads for gist in gists], derived)
    program = Program(
        kinds=dict(vocabulary.kinds),
        functions=vocabulary.functions,
        calls=vocabulary.calls,
        derived=tuple(derived),
        rules=tuple(rules),
        plans=tuple(plans),
        alarms=tuple(alarms),
        invariants=tuple(invariants),
        tests=tuple(t for f in files for t in f.tests),
        sources={f.file: f.source for f in files},
    )
    return program, past


@dataclass(frozen=True, slots=True, eq=False)
class _Gist:
    """What the comparison of rules with each other needs of one."""

    wishes: tuple[Wish, ...]
    reads: Reads


def _understood(
    past: Past, check_one: Callable[[Inspection, _D], _P | None], declarations: Iterable[_D]
) -> list[_P]:
    """Return what could be understood; the rest has its findings."""
    programs = []
    for declaration in declarations:
        understood = past.of(declaration)
        if understood is None:
            understood = _checked(past, check_one, declaration)
        else:
            past.inspection.findings.extend(understood.findings)
        past.keep(understood)
        if understood.program is not None:
            programs.append(understood.program)
    return programs


def _checked(past: Past, check_one: Callable[[Inspection, _D], Any], declaration: _D) -> Understood:
    """Check a declaration, and note what it asked of others."""
    inspection = past.inspection
    asked: set[Question] = set()
    inspection.vocabulary.asked = asked
    mark = len(inspection.findings)
    program = check_one(inspection, declaration)
    gist = None
    if isinstance(program, RuleProgram):
        gist = _Gist(tuple(rule_wishes(program)), reads_of(program.enter))
    found = tuple(inspection.findings[mark:])
    return Understood(declaration, program, found, past.alike(asked), gist)


def _check_names(inspection: Inspection) -> None:
    seen: dict[tuple[str, str], tuple[str, Span]] = {}
    for file in inspection.files:
        groups: tuple[tuple[str, Iterable[Any]], ...] = (
            ("rule", file.rules),
            ("plan", file.plans),
            ("alarm", file.alarms),
            ("invariant", file.invariants),
            ("test", file.tests),
        )
        for what, declarations in groups:
            for declaration in declarations:
                _once(inspection, seen, what, declaration.name)


def _once(
    inspection: Inspection,
    seen: dict[tuple[str, str], tuple[str, Span]],
    what: str,
    name: syntax.Word,
) -> None:
    among = "test" if what == "test" else ""  # tests are called by no one
    first_what, first = seen.setdefault((among, name.text), (what, name.at))
    if first != name.at:
        inspection.report(say.duplicate_name(name.at, what, name.text, first, first_what))


def _check_tests(inspection: Inspection) -> None:
    known = {
        d.name.text
        for f in inspection.files
        for group in (f.rules, f.plans, f.alarms, f.invariants, f.derive)
        for d in group
    }
    for file in inspection.files:
        for test in file.tests:
            for word in test.use:
                if word.text not in known:
                    inspection.report(say.unknown_rule(word.at, word.text, sorted(known)))
