"""What the sub-commands share: colour or none, tables, findings, exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from pilotage.model.diagnostics import Finding

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130

COLORS: Final = ("auto", "always", "never")

_THEME: Final = Theme(
    {
        "good": "green",
        "bad": "bold red",
        "warn": "yellow",
        "quiet": "bright_black",
        "place": "bold",
        "caret": "cyan",
    }
)
_WIDE: Final = 1_000
_state: dict[str, str] = {"color": "auto"}


def choose_color(color: str) -> None:
    """Remember what `--color` says, for every console from now on."""
    _state["color"] = color


def wants_color(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Return True when a stream gets colours: `--color` first, then FORCE_COLOR, NO_COLOR, then what the stream is.

    Source: https://no-color.org and https://force-color.org: any value that is not empty counts.
    """
    variables = os.environ if environ is None else environ
    if _state["color"] != "auto":
        return _state["color"] == "always"
    if variables.get("FORCE_COLOR"):
        return True
    if variables.get("NO_COLOR") or variables.get("TERM") == "dumb":
        return False
    return stream.isatty()


def console(stream: TextIO | None = None) -> Console:
    """Return a console on standard output, or on another stream."""
    target = stream or sys.stdout
    color = wants_color(target)
    return Console(
        file=target,
        force_terminal=True if color else None,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        soft_wrap=not target.isatty(),
        theme=_THEME,
    )


class PlainTable(Table):
    """A table whose cells are texts as they are: what comes from a city (`lamp[3]`) is no markup; give styled ones as Text."""

    def row(self, *cells: str | Text) -> None:
        """Add a row."""
        self.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def table(*columns: str) -> PlainTable:
    """Return a plain table with a heading and no frame."""
    made = PlainTable(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def print_table(made: Table) -> None:
    """Print a table; into a pipe or a file at its full width, so that no line is cut."""
    out = console()
    if not sys.stdout.isatty():
        out.width = _WIDE
    lines = out.render_lines(made, pad=False)
    if out.color_system is None:
        for line in lines:
            print("".join(segment.text for segment in line).rstrip())
    else:
        out.print(made)


def print_json(data: Any) -> None:
    """Print data as JSON that people can read too."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def print_error(text: str, mend: str = "") -> None:
    """Print what went wrong, and the mend, on standard error."""
    out = console(sys.stderr)
    out.print(f"[bad]error:[/bad] {escape(text)}")
    if mend:
        out.print(f"  mend: {escape(mend)}")


def print_findings(
    findings: Sequence[Finding], sources: Mapping[str, str], stream: TextIO | None = None
) -> None:
    """Print findings as people read them, then how many there are; nothing when there are none."""
    out = console(stream)
    for finding in findings:
        style = "bad" if finding.is_error else "warn"
        first, *rest = finding.render(sources).split("\n")
        place = str(finding.at)
        head = first.removeprefix(f"{place}: {finding.code} ")
        out.print(
            f"[place]{escape(place)}:[/place] [{style}]{finding.code}[/{style}] {escape(head)}"
        )
        for line in rest:
            marked = line.lstrip().startswith("^")
            out.print(f"[caret]{escape(line)}[/caret]" if marked else escape(line))
    if findings:
        out.print(tally(findings))


def tally(findings: Sequence[Finding]) -> str:
    """Return how many errors and warnings there are: `2 errors, 1 warning`."""
    errors = sum(finding.is_error for finding in findings)
    counts = ((errors, "error"), (len(findings) - errors, "warning"))
    return ", ".join(f"{n:,} {word}{'' if n == 1 else 's'}" for n, word in counts if n)
