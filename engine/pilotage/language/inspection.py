"""What one check of a rule set works on: its files, its vocabulary, and what was found so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pilotage.language import syntax
from pilotage.language.resolver import Resolver
from pilotage.language.vocabulary import Question, Vocabulary
from pilotage.model.diagnostics import Finding
from pilotage.model.values import ValueType

Scope = dict[str, ValueType]
"""Type of each variable."""


@dataclass
class Inspection:
    """One check of a rule set; `findings` grows in the order of discovery, not of the files."""

    files: Sequence[syntax.RuleFile]
    vocabulary: Vocabulary
    findings: list[Finding] = field(default_factory=list)

    def report(self, finding: Finding) -> None:
        """Add a finding."""
        self.findings.append(finding)

    def has_error_since(self, mark: int) -> bool:
        """Return whether an error was found since there were so many findings."""
        return any(f.is_error for f in self.findings[mark:])

    def resolver(
        self,
        scope: Scope | None = None,
        *,
        reactive: bool = True,
        step_variables: frozenset[str] = frozenset(),
        coverage: float | None = None,
        has_pair: bool = False,
    ) -> Resolver:
        """Return a resolver for a scope, which reports here."""
        return Resolver(
            self.vocabulary,
            self.findings,
            scope,
            reactive=reactive,
            step_variables=step_variables,
            coverage=coverage,
            has_pair=has_pair,
        )

    @property
    def rule_names(self) -> frozenset[str]:
        """Return the names of all rules."""
        self.vocabulary.asked.add(("rules",))
        return self._rule_names

    @cached_property
    def _rule_names(self) -> frozenset[str]:
        return frozenset(r.name.text for f in self.files for r in f.rules)

    def source(self, file: str) -> str:
        """Return the text of a file."""
        self.vocabulary.asked.add(("source", file))
        return next((f.source for f in self.files if f.file == file), "")

    def answer(self, question: Question) -> Any:
        """Return what the declarations say to a question; the same questions and answers give the same findings."""
        match question:
            case ("kind", name):
                return self.vocabulary.kind(name)
            case ("plans",):
                return tuple(self.vocabulary.plan_names())
            case ("derived", kind, name):
                return self.vocabulary.derived_point(kind, name)
            case ("names", kind):
                return tuple(self.vocabulary.derived_names(kind))
            case ("rules",):
                return self.rule_names
            case ("source", file):
                return self.source(file)
            case ("level", plan):
                return self.highest_level(plan)
            case _:
                raise ValueError(question)

    def highest_level(self, plan: str) -> int:
        """Return the highest level of a plan, 0 when it has none."""
        self.vocabulary.asked.add(("level", plan))
        levels = [
            x.level for f in self.files for p in f.plans if p.name.text == plan for x in p.levels
        ]
        return max(levels, default=0)
