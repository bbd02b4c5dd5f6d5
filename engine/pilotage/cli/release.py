"""`pilotage release`: a person gives an override back before its end."""

from __future__ import annotations

import argparse
from typing import Any

from pilotage.cli import add_command
from pilotage.cli.asking import (
    add_engine_options,
    add_person_options,
    ask_engine,
    person_of,
    show_receipt,
)

_EXAMPLES = """\
  pilotage release seg-12.lights.level
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(subparsers, "release", "give an override back before its end", _EXAMPLES)
    parser.add_argument("point", metavar="POINT", help="as ENTITY.POINT")
    add_person_options(parser, reason=False)
    add_engine_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Give the order and show its receipt."""
    from pilotage.api import ReleaseOverride

    order = ReleaseOverride(point=arguments.point, person=person_of(arguments))
    return ask_engine(arguments, lambda client: show_receipt(client.ask(order)))
