"""`pilotage reload`: the running engine reads its configuration and rules anew, all of them or none."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pilotage.cli import add_command
from pilotage.cli.asking import add_engine_options, ask_engine
from pilotage.cli.console import FAILED, OK, console

if TYPE_CHECKING:
    from pilotage.api import Client

_EXAMPLES = """\
  pilotage check && pilotage reload
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "reload",
        "have the running engine read its rules anew; on any mistake the old ones go on, exit 1",
        _EXAMPLES,
    )
    add_engine_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask for a reload and show what came of it."""
    return ask_engine(arguments, _reload)


def _reload(client: Client) -> int:
    from pilotage.api import Reload

    answer = client.ask(Reload())
    for finding in answer.findings:
        print(finding)
    if answer.adopted:
        console().print(f"[good]reloaded[/good]: {answer.rules} rules in {answer.took_s:.2f} s")
        return OK
    console().print(f"[bad]not reloaded[/bad]: the old rules go on ({answer.rules})")
    return FAILED
