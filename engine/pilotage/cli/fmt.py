"""`pilotage fmt`: rule files in one shape, with their comments."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from pilotage.cli import add_command
from pilotage.cli.console import FAILED, OK, USAGE, console, print_error, print_findings
from pilotage.cli.ruleset import UsageError, add_paths, own_files, select

STDIN = Path("-")

_EXAMPLES = """\
  pilotage fmt                     every rule file of the site
  pilotage fmt --check rules       exit 1 when a file is not in shape, and change nothing
  pilotage fmt --diff rules        show what would change
  pilotage fmt - < a.yaml          from standard input to standard output

A file with mistakes is left alone. Formatting never changes what a file means, and never takes a comment away.
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "fmt",
        "bring rule files into one shape: order of keys, indentation, blank lines",
        _EXAMPLES,
    )
    add_paths(parser, "rule files and folders, or - for standard input")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 when something would change"
    )
    parser.add_argument(
        "--diff", action="store_true", help="change nothing; show what would change"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Format the files."""
    if arguments.paths == [STDIN]:
        return _from_input()
    try:
        files = own_files(select(arguments.paths, arguments.config))
    except UsageError as error:
        print_error(str(error), error.mend)
        return USAGE
    changed = refused = 0
    for name, path in files.items():
        outcome = _format_file(name, path, arguments)
        changed += outcome == "changed"
        refused += outcome == "refused"
    _summarise(len(files), changed, refused, is_trial=arguments.check or arguments.diff)
    return FAILED if refused or (arguments.check and changed) else OK


def _format_file(name: str, path: Path, arguments: argparse.Namespace) -> str:
    from pilotage.language.formatter import format_rules

    before = path.read_bytes().decode("utf-8", "surrogateescape")
    after, findings = format_rules(before, name)
    if after is None:
        print_findings(findings, {name: before}, sys.stderr)
        return "refused"
    if after == before:
        return "same"
    if arguments.diff:
        _print_diff(name, before, after)
    elif arguments.check:
        print(f"would change {name}")
    else:
        _write(path, after)
        print(f"changed {name}")
    return "changed"


def _from_input() -> int:
    from pilotage.language.formatter import format_rules

    before = sys.stdin.read()
    after, findings = format_rules(before, "<stdin>")
    if after is None:
        print_findings(findings, {"<stdin>": before}, sys.stderr)
        return FAILED
    sys.stdout.write(after)
    return OK


def _print_diff(name: str, before: str, after: str) -> None:
    out = console()
    styles = {"-": "red", "+": "green", "@": "cyan"}
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{name} (now)", f"{name} (formatted)", lineterm=""
    )
    for line in lines:
        out.print(line, style=styles.get(line[:1]), markup=False)


def _write(path: Path, text: str) -> None:
    """Put a text in a file's place in one step: whoever reads it sees the old one or the new one."""
    target = path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        shutil.copymode(target, name)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _summarise(count: int, changed: int, refused: int, *, is_trial: bool) -> None:
    word = "would change" if is_trial else "changed"
    parts = [f"{changed} {word}"] if changed else []
    parts += [f"{refused} left alone because of mistakes"] if refused else []
    files = "1 file" if count == 1 else f"{count} files"
    console(sys.stderr).print(f"{files}: {', '.join(parts) or 'all in shape'}", style="quiet")
