"""`pilotage restore`: brings a backup back, whole or not at all."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pilotage.cli import add_command
from pilotage.cli.asking import add_config_option
from pilotage.cli.console import FAILED, OK, print_error

_EXAMPLES = """\
  pilotage restore /mnt/backups/city-2026-11-23.tar
  pilotage restore --force -c my-city/config.yaml /mnt/backups/today

The engine must be stopped. What was there before is kept beside the storage folder.
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(subparsers, "restore", "bring a backup back", _EXAMPLES)
    parser.add_argument("backup", type=Path, metavar="DIR|FILE", help="what `pilotage backup` made")
    add_config_option(parser)
    parser.add_argument(
        "--force", action="store_true", help="also when the storage folder is not empty"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify the backup, put it in place, and say what was done."""
    from pilotage.cli.progress import progress_bar
    from pilotage.cli.storage import storage_of
    from pilotage.ports import OwnedElsewhereError
    from pilotage.runtime.backup import BackupError
    from pilotage.runtime.restore import restore

    storage = storage_of(arguments)
    try:
        with progress_bar() as tell:
            done = restore(arguments.backup, storage, tell, force=arguments.force)
    except (BackupError, OwnedElsewhereError) as error:
        text, _, mend = str(error).partition("\n   mend: ")
        print_error(text, mend)
        return FAILED
    print(f"{storage}: as of {done.manifest.made}, {len(done.manifest.files)} files")
    if done.before is not None:
        print(f"what was there is in {done.before}; delete it when you are content")
    return OK
