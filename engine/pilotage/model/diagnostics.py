"""Findings with a place: where, what was written, what was expected, and the mend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Severity(Enum):
    """How much a finding weighs: an error keeps a file out, a warning lets it in."""

    ERROR = "error"
    WARNING = "warning"


class Span(NamedTuple):
    """A place in a file; line and column count from 1, `length` characters on that line.

    A named tuple: each piece of each rule has one.
    """

    file: str
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        """Return `file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}"


NOWHERE = Span("<built in>", 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake or doubt, with the remedy.

    `label` stands right of the caret, `mend` on a line of its own.
    """

    code: str
    severity: Severity
    at: Span
    message: str
    label: str = ""
    mend: str = ""

    @property
    def is_error(self) -> bool:
        """True when the file must not be loaded."""
        return self.severity is Severity.ERROR

    def render(self, sources: Mapping[str, str] | None = None) -> str:
        """Return the finding as people read it: place, code, message, the line with a caret, the mend.

        Args:
            sources: Text of each file by name; a file that is not in it is shown without its line.
        """
        lines = [f"{self.at}: {self.code} {self.message}"]
        text = (sources or {}).get(self.at.file)
        if text is not None and self.at.line >= 1:
            rows = text.splitlines()
            if self.at.line <= len(rows):
                row = rows[self.at.line - 1].replace("\t", " ")
                number = f"{self.at.line:4d} | "
                carets = "^" * max(1, min(self.at.length, max(1, len(row) - self.at.column + 1)))
                pointer = " " * (len(number) + self.at.column - 1) + carets
                lines.append(number + row)
                lines.append(f"{pointer} {self.label}".rstrip())
        elif self.label:
            lines.append(f"    {self.label}")
        if self.mend:
            lines.append(f"   mend: {self.mend}")
        return "\n".join(lines)


class RuleError(Exception):
    """Files were refused; the findings say why."""

    def __init__(self, findings: list[Finding], sources: Mapping[str, str] | None = None) -> None:
        self.findings = findings
        self.sources = dict(sources or {})
        errors = [f for f in findings if f.is_error]
        super().__init__("\n".join(f.render(self.sources) for f in errors or findings))
