"""Derived values: each typed once, before whatever reads it, and never in a circle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilotage.language import check_findings as say
from pilotage.language import syntax, typed
from pilotage.language.check_sets import check_sets
from pilotage.language.expressions import children
from pilotage.language.inspection import Inspection, Scope
from pilotage.language.meaning import meaning
from pilotage.language.program import DeriveProgram
from pilotage.language.vocabulary import GLOBALS
from pilotage.model.entities import Access, PointSpec
from pilotage.model.values import number

MOST_OPEN: Final = 30
"""Derived values that wait for each other while they are typed."""
Key = tuple[str, str]
"""Kind and name of a derived value; of a value of the city, an empty kind."""


@dataclass(slots=True)
class _Derived:
    decl: syntax.Derive
    kind: str
    program: DeriveProgram | None = None
    state: str = "new"  # new, open, done


class DerivedValues:
    """The derived values of a rule set; the vocabulary asks here for those that an expression names."""

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection
        self._entries: dict[Key, _Derived] = {}
        self._open: list[Key] = []

    def programs(self) -> list[DeriveProgram]:
        """Return those that could be understood, those first that others need."""
        programs = [self._derive(key) for key in self._needed_first()]
        return [p for p in programs if p is not None]

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind's derived values; those of the city for an empty kind."""
        return [name for of, name in self._entries if of == kind]

    def point(self, kind: str, name: str) -> PointSpec | None:
        """Return a derived value as a point, typed now if it was not yet, or None."""
        program = self._derive((kind, name))
        return None if program is None else PointSpec(name, program.type, Access.REPORTED)

    def declare(self, decl: syntax.Derive) -> None:
        """Take a derived value in, or report why its name cannot be."""
        kind = ""
        if decl.for_each:
            word = decl.for_each[0][1].kind
            kind = word.text if word else ""
        key = (kind, decl.name.text)
        if key in self._entries:
            self._inspection.report(
                say.duplicate_name(
                    decl.name.at, "derived value", decl.name.text, self._entries[key].decl.name.at
                )
            )
            return
        taken = (
            self._inspection.vocabulary.kinds[kind].point(decl.name.text)
            if kind in self._inspection.vocabulary.kinds
            else None
        )
        if taken is not None or (not kind and decl.name.text in GLOBALS):
            meaning_ = f"{kind} has a point of that name" if taken is not None else ""
            self._inspection.report(say.variable_taken(decl.name.at, decl.name.text, meaning_))
            return
        self._entries[key] = _Derived(decl, kind)

    def _needed_first(self) -> list[Key]:
        """Return the derived values with those first whose names others contain; never recurses."""
        by_name: dict[str, list[Key]] = {}
        for key in self._entries:
            by_name.setdefault(key[1], []).append(key)
        needs = {
            key: [k for w in _words(entry.decl) for k in by_name.get(w, ())]
            for key, entry in self._entries.items()
        }
        ordered: dict[Key, None] = {}
        begun: set[Key] = set()
        waiting = list(reversed(self._entries))
        while waiting:
            key = waiting[-1]
            ahead = [] if key in begun else [k for k in needs[key] if k not in begun]
            begun.add(key)
            waiting.extend(ahead)
            if not ahead:
                ordered.setdefault(waiting.pop())
        return list(ordered)

    def _derive(self, key: Key) -> DeriveProgram | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.state == "open":
            names = [n for _, n in self._open[self._open.index(key) :]] + [key[1]]
            self._inspection.report(say.cycle(entry.decl.name.at, names))
            entry.state = "done"
        if entry.state == "new" and len(self._open) >= MOST_OPEN:  # only a circle is so deep
            names = [n for _, n in self._open[:8]]
            self._inspection.report(say.cycle(entry.decl.name.at, [*names, "…"]))
            entry.state = "done"
        if entry.state == "new":
            entry.state = "open"
            self._open.append(key)
            program = self._type_derived(entry)
            self._open.pop()
            if entry.state == "open":
                entry.program, entry.state = program, "done"
        return entry.program

    def _type_derived(self, entry: _Derived) -> DeriveProgram | None:
        decl = entry.decl
        scope: Scope = {}
        sets = check_sets(self._inspection, decl.for_each, scope)
        if sets is None:
            return None
        resolver = self._inspection.resolver(scope, coverage=decl.coverage)
        value = resolver.value(decl.value)
        if value is None:
            return None
        if isinstance(value, typed.EVENTS):
            self._inspection.report(say.event_in_condition(decl.value.at))
            return None
        if decl.unit is not None:
            value = resolver.fit(value, number(decl.unit.text))
            if value is None:
                return None
        variable = sets[0].variable if sets else ""
        where = sets[0].where if sets else None
        return DeriveProgram(
            decl.name.text,
            entry.kind,
            variable,
            where,
            value,
            value.type,
            decl.coverage,
            meaning(decl),
        )


def _words(decl: syntax.Derive) -> list[str]:
    """Return every name in a derived value, without asking what it means."""
    found: list[str] = []
    waiting = [decl.value, *(s.where for _, s in decl.for_each if s.where is not None)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (syntax.Name, syntax.Attribute)):
            found.append(node.name)
        waiting.extend(children(node))
    return found
