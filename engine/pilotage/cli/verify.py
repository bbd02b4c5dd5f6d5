"""`pilotage verify`: whether what is kept, or a backup of it, is whole."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from pilotage.cli import add_command
from pilotage.cli.asking import add_config_option
from pilotage.cli.console import FAILED, OK, print_error, print_json, print_table, table

if TYPE_CHECKING:
    from pilotage.runtime.verification import Checked

_EXAMPLES = """\
  pilotage verify                                     the site's storage folder
  pilotage verify /mnt/backups/city-2026-11-23.tar    a backup
  pilotage verify var/journal.db                      one file

Changes nothing, and may run beside the engine. `pilotage audit verify` checks the audit.
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(subparsers, "verify", "check that what is kept is whole", _EXAMPLES)
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        metavar="PATH",
        help="a storage folder, a backup or a file (default: the site's storage folder)",
    )
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look at every file and show what was found."""
    from pilotage.cli.progress import progress_bar
    from pilotage.cli.storage import storage_of
    from pilotage.runtime.backup import BackupError
    from pilotage.runtime.verification import verify

    path = arguments.path or storage_of(arguments)
    try:
        with progress_bar() as tell:
            checked = verify(path, tell)
    except BackupError as error:
        text, _, mend = str(error).partition("\n   mend: ")
        print_error(text, mend)
        return FAILED
    if arguments.json:
        print_json([asdict(one) for one in checked])
    else:
        _show(checked)
    return FAILED if any(one.problems for one in checked) else OK


def _show(checked: list[Checked]) -> None:
    made = table("FILE", "", "WHAT")
    for one in checked:
        state = Text("DAMAGED", "bad") if one.problems else Text("whole", "good")
        made.row(one.name, state, one.detail)
        for text in (*one.problems, *one.remarks):
            made.row("", "", text)
    print_table(made)
