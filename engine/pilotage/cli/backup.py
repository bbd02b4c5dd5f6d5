"""`pilotage backup`: a copy of what the engine keeps, also while it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pilotage.cli import add_command
from pilotage.cli.asking import add_config_option
from pilotage.cli.console import FAILED, OK, print_error

_EXAMPLES = """\
  pilotage backup /mnt/backups/city-2026-11-23.tar
  pilotage backup -c my-city/config.yaml /mnt/backups/today

The engine may run. `pilotage verify` checks a backup, `pilotage restore` brings it back.
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(subparsers, "backup", "copy what the engine keeps", _EXAMPLES)
    parser.add_argument(
        "target",
        type=Path,
        metavar="DIR|FILE",
        help="a folder, or a file that ends with .tar; not there yet",
    )
    add_config_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the backup and say what it holds."""
    from importlib.metadata import version

    from pilotage.cli.progress import progress_bar
    from pilotage.cli.storage import storage_of
    from pilotage.runtime.backup import BackupError, make_backup

    try:
        with progress_bar() as tell:
            manifest = make_backup(
                storage_of(arguments), arguments.target, version("pilotage"), tell
            )
    except BackupError as error:
        text, _, mend = str(error).partition("\n   mend: ")
        print_error(text, mend)
        return FAILED
    size = sum(entry.size for entry in manifest.files)
    print(f"{arguments.target}: {len(manifest.files)} files, {size / 1e6:,.1f} MB")
    return OK
