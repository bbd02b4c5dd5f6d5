"""What was read and checked last, so that a change of a large rule set is checked in the time of the change.

A file whose text is the same is not read again. A declaration that is the same is not checked again, as long as what it asked
of other declarations has the same answers. Program and findings are those of a check of everything: a test compares the two
after random edits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from pilotage.language.inspection import Inspection
from pilotage.language.reader import Parts
from pilotage.language.syntax import RuleFile
from pilotage.language.vocabulary import Question
from pilotage.model.diagnostics import Finding
from pilotage.model.entities import CallSpec, Function, Kind


@dataclass(frozen=True, slots=True, eq=False)
class ReadFile:
    """A file that was read.

    Attributes:
        digest: Of its text.
        file: What it declares; None when it is no YAML at all.
        parts: Its declarations by what is written and where; nothing when something was wrong with it.
    """

    digest: str
    file: RuleFile | None
    problems: tuple[Finding, ...]
    parts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Understood:
    """A declaration that was checked.

    Attributes:
        program: What it means; None when it could not be understood.
        findings: What was found in it.
        asked: What its check asked of other declarations.
        gist: What the comparison with other declarations needs of the program.
    """

    declaration: Any
    program: Any
    findings: tuple[Finding, ...]
    asked: frozenset[Question]
    gist: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """All that is remembered of a check.

    Attributes:
        kinds, functions, calls: What the plugins brought.
        answers: What every question was answered.
    """

    kinds: Mapping[str, Kind] = field(default_factory=dict)
    functions: Mapping[str, Function] = field(default_factory=dict)
    calls: Mapping[str, CallSpec] = field(default_factory=dict)
    files: Mapping[str, ReadFile] = field(default_factory=dict)
    answers: Mapping[Question, Any] = field(default_factory=dict)
    understood: tuple[Understood, ...] = ()


class RuleMemory:
    """Remembers the last check of one rule set.

    Attributes:
        kept: What is remembered; plain records that do not change.
    """

    def __init__(self, kept: Kept | None = None) -> None:
        self.kept = kept or Kept()

    def file(self, name: str, text: str | bytes) -> ReadFile | None:
        """Return what was read of a file, when its text is the same."""
        before = self.kept.files.get(name)
        return before if before is not None and before.digest == digest_of(text) else None

    def parts(self, name: str) -> Parts:
        """Return what is known of the declarations of a file."""
        before = self.kept.files.get(name)
        return Parts(None if before is None else before.parts)

    def recall(self, inspection: Inspection) -> Past:
        """Return what of the last check holds for this one."""
        kept, vocabulary = self.kept, inspection.vocabulary
        brought = {n: k for n, k in vocabulary.kinds.items() if not n.startswith("plan:")}
        if (brought, dict(vocabulary.functions), dict(vocabulary.calls)) != (
            dict(kept.kinds),
            dict(kept.functions),
            dict(kept.calls),
        ):
            return Past(inspection, {}, frozenset())
        changed = frozenset(q for q, was in kept.answers.items() if inspection.answer(q) != was)
        return Past(inspection, {id(u.declaration): u for u in kept.understood}, changed)

    def keep(self, files: Mapping[str, ReadFile], past: Past) -> None:
        """Remember a check instead of the one before."""
        vocabulary = past.inspection.vocabulary
        understood = tuple(past.understood)
        asked = {question for each in understood for question in each.asked}
        self.kept = Kept(
            dict(vocabulary.kinds),
            dict(vocabulary.functions),
            dict(vocabulary.calls),
            dict(files),
            {question: past.inspection.answer(question) for question in asked},
            understood,
        )


class Past:
    """The declarations of the last check during this one.

    Attributes:
        understood: Those of this one so far.
    """

    def __init__(
        self, inspection: Inspection, before: Mapping[int, Understood], changed: frozenset[Question]
    ) -> None:
        """Begin.

        Args:
            inspection: The check that goes on.
            before: What was understood, by the identity of the declaration.
            changed: Questions that have another answer now.
        """
        self.inspection = inspection
        self.understood: list[Understood] = []
        self._before = before
        self._changed = changed
        self._alike: dict[frozenset[Question], frozenset[Question]] = {}

    def of(self, declaration: Any) -> Understood | None:
        """Return what was understood of a declaration, when that still holds."""
        found = self._before.get(id(declaration))
        if found is None or not self._changed.isdisjoint(found.asked):
            return None
        return found

    def keep(self, understood: Understood) -> None:
        """Remember what was understood of a declaration."""
        self.understood.append(understood)

    def alike(self, asked: Iterable[Question]) -> frozenset[Question]:
        """Return some questions as a set; most rules of a city ask the same."""
        questions = frozenset(asked)
        return self._alike.setdefault(questions, questions)


def digest_of(text: str | bytes) -> str:
    """Return a digest of the text of a file."""
    return sha256(
        text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    ).hexdigest()
