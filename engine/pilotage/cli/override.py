"""`pilotage override`: a person takes a point for a time and a reason."""

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
  pilotage override seg-12.lights.level '100 %' --for 2h --reason 'road works'
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "override",
        "take a point at level 8 (operator) for a time and a reason",
        _EXAMPLES,
    )
    parser.add_argument("point", metavar="POINT", help="as ENTITY.POINT")
    parser.add_argument("value", metavar="VALUE", help="with or without its unit: '30 %%', off, up")
    parser.add_argument(
        "--for", dest="for_s", type=duration, required=True, metavar="DURATION", help="2h, 30min"
    )
    add_person_options(parser, reason=True)
    add_engine_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Give the order and show its receipt."""
    return ask_engine(arguments, lambda client: _override(client, arguments))


def _override(client: Client, arguments: argparse.Namespace) -> int:
    from pilotage.api import SetOverride

    order = SetOverride(
        point=arguments.point,
        value=arguments.value,
        for_s=arguments.for_s,
        person=person_of(arguments),
        reason=arguments.reason,
    )
    return show_receipt(client.ask(order))
