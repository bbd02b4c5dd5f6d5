"""`pilotage rule`: what rules are put to by hand; a person puts one live, into shadow or off, or gives it back to its file."""

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
from pilotage.cli.console import OK, USAGE, console, print_error, print_table, table

if TYPE_CHECKING:
    from pilotage.api import Client

_EXAMPLES = """\
  pilotage rule
  pilotage rule dim-quiet-streets --off --reason 'it dims the wrong side'
  pilotage rule dim-quiet-streets --restore --reason 'mended'
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "rule", "show what rules are put to by hand, or put one to something", _EXAMPLES
    )
    parser.add_argument("rule", metavar="RULE", nargs="?", help="its name")
    to = parser.add_mutually_exclusive_group()
    to.add_argument(
        "--live", dest="action", action="store_const", const="enable", help="what it wants counts"
    )
    to.add_argument(
        "--shadow",
        dest="action",
        action="store_const",
        const="shadow",
        help="what it wants is recorded",
    )
    to.add_argument(
        "--off", dest="action", action="store_const", const="disable", help="it decides nothing"
    )
    to.add_argument(
        "--restore",
        dest="action",
        action="store_const",
        const="restore",
        help="give it back to its file",
    )
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the journal")
    add_person_options(parser, reason=False)
    add_engine_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show, or give the order and show its receipt."""
    if arguments.rule is None:
        return ask_engine(arguments, _show)
    if arguments.action is None:
        print_error("it is not said to what", "add --live, --shadow, --off or --restore")
        return USAGE
    return order_rule(arguments, arguments.action)


def _show(client: Client) -> int:
    from pilotage.api import ListRules

    found = [(rule, rule.hand) for rule in client.ask(ListRules()) if rule.hand is not None]
    if not found:
        console().print("[good]every rule is as its file says[/good]")
        return OK
    made = table("RULE", "BY HAND", "ITS FILE SAYS", "SINCE", "BY", "WHY")
    for rule, hand in found:
        made.row(
            rule.name, hand.mode, rule.declared, clock_text(hand.since), hand.person, hand.reason
        )
    print_table(made)
    return OK
