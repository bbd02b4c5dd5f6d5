"""`pilotage replay`: run what was recorded again, and see whether it decides the same."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rich.text import Text

from pilotage.cli import add_command
from pilotage.cli.asking import add_config_option
from pilotage.cli.console import FAILED, OK, print_error, print_json, print_table, table

if TYPE_CHECKING:
    from pilotage.runtime.rerun import Rerun

_EXAMPLES = """\
  pilotage replay           run everything again that the journal holds since the last start anew
  pilotage replay --json    for programs

Changes nothing, sends nothing, and may run beside the engine.
"""
MOST_SHOWN = 5


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "replay", "run what was recorded again, and compare", _EXAMPLES
    )
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Replay and show how it went."""
    from pilotage.cli.progress import progress_bar
    from pilotage.ports import LogUnusableError
    from pilotage.runtime.config import load_settings
    from pilotage.runtime.health import Health
    from pilotage.runtime.journal import JournalReader
    from pilotage.runtime.ownership import THE_CITY
    from pilotage.runtime.rerun import NothingToReplayError, rerun
    from pilotage.runtime.workshop import CityWorkshop
    from pilotage.service import JOURNAL_FILE, SNAPSHOT_FOLDER

    settings = load_settings(arguments.config)
    workshop, storage = CityWorkshop(), settings.storage.path
    plan = workshop.read(settings, None)
    try:
        last = JournalReader(storage / JOURNAL_FILE).last_position(THE_CITY)
        with progress_bar() as tell:
            found = rerun(
                THE_CITY,
                plan,
                workshop,
                (storage / JOURNAL_FILE, storage / SNAPSHOT_FOLDER),
                Health(),
                lambda position: tell("ticks", position, last),
            )
    except (NothingToReplayError, LogUnusableError) as error:
        text, _, mend = str(error).partition("\n   mend: ")
        print_error(text, mend or "replay with the rules of that time, or wait for the next start")
        return FAILED
    same = found.recorded == found.decided and not found.differing
    if arguments.json:
        print_json(asdict(found) | {"same": same})
    else:
        _show(found, same, settings.site.zone)
    return OK if same else FAILED


def _show(found: Rerun, same: bool, zone: ZoneInfo) -> None:
    made = table("", "")
    since, until = (datetime.fromtimestamp(t, zone) for t in (found.since, found.until))
    made.row("from", f"{since:%Y-%m-%d %H:%M:%S}, {found.begins}")
    made.row("to", f"{until:%Y-%m-%d %H:%M:%S}")
    made.row("run again", f"{found.ticks:,} ticks, {found.compared:,} decisions compared")
    made.row("recorded", found.recorded)
    made.row("decided now", found.decided)
    if same:
        made.row("", Text("the same, byte for byte", "good"))
    else:
        shown = ", ".join(map(str, found.differing[:MOST_SHOWN])) or "none; something is missing"
        made.row("", Text(f"not the same; first differing decisions: {shown}", "bad"))
    print_table(made)
