"""From the texts of rule files to a checked program: one call for running, checking and testing alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pilotage.language import check_findings as say
from pilotage.language.checker import check_with
from pilotage.language.memory import ReadFile, RuleMemory, digest_of
from pilotage.language.program import Program
from pilotage.language.reader import read_rules
from pilotage.language.vocabulary import Vocabulary
from pilotage.model.diagnostics import Finding, RuleError
from pilotage.model.entities import CallSpec, Function, Kind


def load_rules(
    texts: Mapping[str, str | bytes],
    kinds: Mapping[str, Kind],
    functions: Mapping[str, Function] | None = None,
    calls: Mapping[str, CallSpec] | None = None,
    memory: RuleMemory | None = None,
) -> tuple[Program, list[Finding]]:
    """Return the rule set of some files, and everything that is wrong or doubtful about them, in order.

    Args:
        texts: Text by file name, or the bytes of the file, so that a finding can name one that is no UTF-8; names are
            shown in findings.
        kinds: Kinds that the plugins declare, by name.
        functions: Functions that they add, by name.
        calls: Calls that they serve, by name.
        memory: Of the last time, so that only what has changed is read and checked; it remembers this time then.
    """
    memory = memory or RuleMemory()
    read = {
        name: memory.file(name, text) or _read(name, text, memory) for name, text in texts.items()
    }
    findings = [problem for each in read.values() for problem in each.problems]
    broken = any(finding.is_error for finding in findings)
    files = [each.file for each in read.values() if each.file is not None]
    vocabulary = Vocabulary(dict(kinds), functions or {}, calls or {})
    program, more, past = check_with(memory, files, vocabulary)
    memory.keep(read, past)
    vocabulary.forget_derived()
    if broken:  # what could not be read is missing here: do not report its absence too
        more = [f for f in more if f.code not in _FOLLOW_UPS]
    order = {name: index for index, name in enumerate(texts)}
    found = sorted(
        [*findings, *more], key=lambda f: (order.get(f.at.file, 0), f.at.line, f.at.column, f.code)
    )
    return replace(program, sources={name: readable(text) for name, text in texts.items()}), found


def _read(name: str, text: str | bytes, memory: RuleMemory) -> ReadFile:
    parts = memory.parts(name)
    file, problems = read_rules(text, name, parts)
    if file is not None:
        file = replace(file, source=readable(text))
    return ReadFile(digest_of(text), file, tuple(problems), {} if problems else parts.now)


def readable(text: str | bytes) -> str:
    """Return a file's text as it can be shown: a byte that is no UTF-8 becomes a replacement character."""
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


_FOLLOW_UPS = frozenset({"E202", "E204", "E214", "E417", "W510", "W520"})


def load_or_refuse(
    texts: Mapping[str, str],
    kinds: Mapping[str, Kind],
    functions: Mapping[str, Function] | None = None,
    calls: Mapping[str, CallSpec] | None = None,
) -> Program:
    """Return the rule set of some files.

    Raises:
        RuleError: A file has a mistake; the error holds all findings.
    """
    program, findings = load_rules(texts, kinds, functions, calls)
    if any(f.is_error for f in findings):
        raise RuleError(findings, texts)
    return program


def untested(program: Program) -> list[Finding]:
    """Return a doubt for each rule, plan, alarm and invariant that no test uses, for those who ask."""
    used = {word.text for test in program.tests for word in test.use}
    groups = (program.rules, program.plans, program.alarms, program.invariants)
    names = [p.decl.name for group in groups for p in group]
    return [say.untested(name.at, name.text) for name in names if name.text not in used]


def only(program: Program, names: Sequence[str]) -> Program:
    """Return the program with only these rules, plans, alarms and invariants; derived values stay."""
    wanted = set(names)
    return replace(
        program,
        rules=tuple(r for r in program.rules if r.name in wanted),
        plans=tuple(
            p for p in program.plans if p.name in wanted or _is_read(program, p.name, wanted)
        ),
        alarms=tuple(a for a in program.alarms if a.name in wanted),
        invariants=tuple(i for i in program.invariants if i.name in wanted),
    )


def _is_read(program: Program, plan: str, wanted: set[str]) -> bool:
    """True when something under test speaks of a plan: it must exist then, switched off."""
    needle = f"'plan:{plan}'"
    return any(
        needle in repr(p)
        for group in (program.rules, program.alarms, program.invariants)
        for p in group
        if p.name in wanted
    )
