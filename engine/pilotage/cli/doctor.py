"""`pilotage doctor`: looks at the machine and the site for what would break the engine's promises, and says the mend."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from pilotage.cli import add_command
from pilotage.cli.asking import add_config_option
from pilotage.cli.console import FAILED, OK, console, print_findings, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pilotage.runtime.config import Settings
    from pilotage.runtime.doctor import Check

_EXAMPLES = """\
  pilotage doctor
  pilotage doctor --strict --json     for a machine that looks every day
"""
_STYLES = {"good": "good", "doubt": "warn", "bad": "bad"}


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "doctor", "look at this machine and site for what would break the engine's promises", _EXAMPLES
    )  # fmt: skip
    add_config_option(parser)
    parser.add_argument(
        "--broker", type=Path, metavar="FILE", help="the settings of Mosquitto (default: /etc/mosquitto/mosquitto.conf)"
    )  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="exit 1 for doubts too")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look at everything, and show it."""
    from pilotage.runtime.config import read_settings
    from pilotage.runtime.doctor import BAD, BROKER_FILE, GOOD, examine

    read = read_settings(arguments.config)
    if read.settings is None:
        print_findings(read.findings, read.sources)
        return FAILED
    checks = [*examine(read.settings, arguments.broker or BROKER_FILE), *_of_engine(read.settings)]
    if arguments.json:
        print_json([asdict(check) for check in checks])
    else:
        _show(checks)
    wrong = {check.state for check in checks} - {GOOD}
    return FAILED if BAD in wrong or (wrong and arguments.strict) else OK


def _of_engine(settings: Settings) -> list[Check]:
    """Return what a running engine says of itself; nothing when none runs."""
    from pilotage.api import ApiError, Client, GetHealth
    from pilotage.runtime.doctor import BAD, DOUBT, GOOD, Check

    try:
        with Client(settings.control.socket, 5.0) as client:
            found = client.ask(GetHealth()).findings
    except (ApiError, OSError):
        return [Check("engine", GOOD, "it does not run, or does not answer this user")]
    states = {"error": BAD, "warning": DOUBT}
    told = [Check(f.code, states.get(f.severity, DOUBT), f.text, f.mend) for f in found]
    return told or [Check("engine", GOOD, "it runs, and nothing is wrong")]


def _show(checks: Sequence[Check]) -> None:
    from pilotage.runtime.doctor import BAD, DOUBT

    out = console()
    for check in checks:
        style = _STYLES[check.state]
        out.print(
            f"[{style}]{check.state:<5}[/{style}] [bold]{escape(check.topic)}[/bold]: {escape(check.text)}"
        )
        if check.mend:
            out.print(f"      mend: {escape(check.mend)}")
    bad, doubt = (sum(check.state == state for check in checks) for state in (BAD, DOUBT))
    out.print(
        f"{len(checks)} looked at, {bad} bad, {doubt} in doubt"
        if bad or doubt
        else "[good]all is well[/good]"
    )
