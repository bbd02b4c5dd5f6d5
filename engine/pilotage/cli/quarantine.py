"""`pilotage quarantine`: the rules that decide nothing, and why; a person puts one there or releases it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pilotage.cli import add_command
from pilotage.cli.asking import (
    add_engine_options,
    add_person_options,
    ask_engine,
    clock_text,
    order_rule,
)
from pilotage.cli.console import FAILED, OK, console, print_table, table

if TYPE_CHECKING:
    from pilotage.api import Client

_EXAMPLES = """\
  pilotage quarantine
  pilotage quarantine dim-quiet-streets --reason 'it dims the wrong side'
  pilotage quarantine dim-quiet-streets --release --reason 'mended'
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "quarantine", "show the rules in quarantine, or put one there", _EXAMPLES
    )
    parser.add_argument("rule", metavar="RULE", nargs="?", help="its name")
    parser.add_argument("--release", action="store_true", help="have it decide again")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the journal")
    add_person_options(parser, reason=False)
    add_engine_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show, or give the order and show its receipt."""
    if arguments.rule is None:
        return ask_engine(arguments, _show)
    return order_rule(arguments, "release" if arguments.release else "quarantine")


def _show(client: Client) -> int:
    from pilotage.api import ListAlarms

    found = [alarm for alarm in client.ask(ListAlarms()) if alarm.id.startswith("quarantine[")]
    standing = [alarm for alarm in found if alarm.state not in ("cleared", "normal")]
    if not standing:
        console().print("[good]no rule is in quarantine[/good]")
        return OK
    made = table("SINCE", "WHY")
    for alarm in standing:
        made.row(clock_text(alarm.since), alarm.text)
    print_table(made)
    return FAILED
