"""`pilotage plan`: the plans of the city, and a level that a person sets by hand."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pilotage.cli import add_command
from pilotage.cli.asking import (
    add_engine_options,
    add_person_options,
    ask_engine,
    clock_text,
    person_of,
    show_receipt,
)
from pilotage.cli.console import OK, USAGE, print_error, print_table, table

if TYPE_CHECKING:
    from pilotage.api import Client

_EXAMPLES = """\
  pilotage plan                                    all plans and their levels
  pilotage plan snow 2 --reason 'forecast 10 cm'   set level 2
  pilotage plan snow 0 --reason 'melted'           end it
  pilotage plan snow auto --reason 'night shift'   give it back to its conditions
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(subparsers, "plan", "show plans, or set a plan's level by hand", _EXAMPLES)
    parser.add_argument("plan", metavar="NAME", nargs="?", help="without it all plans are shown")
    parser.add_argument(
        "level", metavar="LEVEL", nargs="?", type=_level, default=1,
        help="a number, 0 ends the plan, auto gives it back (default: 1)",
    )  # fmt: skip
    parser.add_argument("--role", default="", help="the role in which you act")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the journal")
    add_person_options(parser, reason=False)
    add_engine_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the plans, or give the order and show its receipt."""
    if arguments.plan is None:
        return ask_engine(arguments, _show)
    if not arguments.reason:
        print_error("a plan is set with --reason", "say why: it stands in the journal")
        return USAGE
    return ask_engine(arguments, lambda client: _set(client, arguments))


def _set(client: Client, arguments: argparse.Namespace) -> int:
    from pilotage.api import SetPlan

    order = SetPlan(
        plan=arguments.plan,
        level=arguments.level,
        person=person_of(arguments),
        reason=arguments.reason,
        role=arguments.role,
    )
    return show_receipt(client.ask(order))


def _show(client: Client) -> int:
    from pilotage.api import ListPlans

    made = table("PLAN", "LEVEL", "SINCE", "BY", "REASON", "ASKS")
    for plan in client.ask(ListPlans()):
        level = f"{plan.level} {plan.level_name}".strip() if plan.level else "-"
        row = (plan.name, level, clock_text(plan.since), plan.by, plan.reason, "; ".join(plan.asks))
        made.row(*row)
    print_table(made)
    return OK


def _level(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f'"{text}" is neither a level (0, 1, 2 …) nor auto')
    return int(text)
