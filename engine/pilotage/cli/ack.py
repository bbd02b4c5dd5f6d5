"""`pilotage ack`: a person acknowledges an alarm, or acts on it otherwise."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pilotage.cli import add_command
from pilotage.cli.asking import (
    add_engine_options,
    add_person_options,
    ask_engine,
    duration,
    person_of,
    show_receipt,
)

if TYPE_CHECKING:
    from pilotage.api import Client

_EXAMPLES = """\
  pilotage ack pump-3-flooded
  pilotage ack pump-3-flooded --action shelve --for 2h --reason 'repair under way'
"""
_ACTIONS = ("acknowledge", "reset", "shelve", "unshelve", "out_of_service", "return_to_service")


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "ack", "acknowledge an alarm, or shelve or reset it", _EXAMPLES
    )
    parser.add_argument("alarm", metavar="ALARM", help="as `pilotage alarms` shows it")
    parser.add_argument(
        "--action", choices=_ACTIONS, default="acknowledge", help="default: acknowledge"
    )
    parser.add_argument(
        "--for", dest="for_s", type=duration, metavar="DURATION", help="to shelve: how long"
    )
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the journal")
    add_person_options(parser, reason=False)
    add_engine_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Give the order and show its receipt."""
    return ask_engine(arguments, lambda client: _act(client, arguments))


def _act(client: Client, arguments: argparse.Namespace) -> int:
    from pilotage.api import ActOnAlarm

    order = ActOnAlarm(
        alarm=arguments.alarm,
        action=arguments.action,
        person=person_of(arguments),
        for_s=arguments.for_s,
        reason=arguments.reason,
    )
    return show_receipt(client.ask(order))
