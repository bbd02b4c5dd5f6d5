"""`pilotage alarms`: the alarms that stand, the most severe first."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pilotage.cli import add_command
from pilotage.cli.asking import add_engine_options, ask_engine, clock_text
from pilotage.cli.console import OK, console, print_json, print_table, table

if TYPE_CHECKING:
    from pilotage.api import Client

_EXAMPLES = """\
  pilotage alarms
  pilotage alarms --all --json
"""
_SEVERITIES = ("critical", "high", "medium", "low")


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(subparsers, "alarms", "show the alarms that stand", _EXAMPLES)
    parser.add_argument("--all", action="store_true", help="those in their normal state too")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_engine_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask and show."""
    return ask_engine(arguments, lambda client: _show(client, arguments))


def _show(client: Client, arguments: argparse.Namespace) -> int:
    from msgspec import to_builtins

    from pilotage.api import ListAlarms

    alarms = client.ask(ListAlarms(all=arguments.all))
    rank = {name: index for index, name in enumerate(_SEVERITIES)}
    alarms.sort(key=lambda alarm: (rank.get(alarm.severity, len(rank)), alarm.since or 0.0))
    if arguments.json:
        print_json(to_builtins(alarms))
        return OK
    if not alarms:
        console().print("[good]no alarm stands[/good]")
        return OK
    made = table("ALARM", "SEVERITY", "STATE", "SINCE", "TEXT")
    for alarm in alarms:
        text = alarm.text or alarm.title
        made.row(alarm.id, alarm.severity, alarm.state, clock_text(alarm.since), text)
    print_table(made)
    return OK
