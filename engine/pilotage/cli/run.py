"""`pilotage run`: the engine, in the foreground, until it is told to stop."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.cli import add_command
from pilotage.cli.asking import add_config_option
from pilotage.cli.console import FAILED, OK, print_error

if TYPE_CHECKING:
    from pilotage.runtime.config import Settings

_EXAMPLES = """\
  pilotage run
  pilotage run -c my-city/config.yaml --uvloop

signals: SIGTERM and SIGINT stop it in order, SIGHUP reloads the rules.
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(subparsers, "run", "run the engine of a city", _EXAMPLES)
    add_config_option(parser)
    parser.add_argument(
        "--uvloop",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="use uvloop in place of the standard event loop (default: as engine.uvloop says)",
    )
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), help="instead of log.level"
    )
    parser.add_argument("--log-format", choices=("text", "json"), help="instead of log.format")
    # For demonstrations: time that runs faster, from a moment that one likes (seconds since 1970).
    parser.add_argument("--speed", type=_speed, help=argparse.SUPPRESS)
    parser.add_argument("--start", type=float, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read the settings and run the service."""
    from pilotage.ports import LogUnusableError, OwnedElsewhereError
    from pilotage.runtime.logs import set_up_logs
    from pilotage.runtime.workshop import CityWorkshop
    from pilotage.service import run_service

    settings = _settings(arguments.config)
    set_up_logs(
        arguments.log_level or settings.log.level, arguments.log_format or settings.log.format
    )
    try:
        run_service(
            settings,
            CityWorkshop(),
            uvloop=arguments.uvloop,
            speed=arguments.speed,
            start=arguments.start,
        )
    except (LogUnusableError, OwnedElsewhereError) as error:
        text, _, mend = str(error).partition("\n   mend: ")
        print_error(text, mend)
        return FAILED
    return OK


def _settings(file: Path) -> Settings:
    """Return what the configuration says, if this machine can do it.

    Raises:
        RuleError: Something is wrong with it, or the engine could not write where it must.
    """
    from pilotage.model.diagnostics import RuleError
    from pilotage.runtime.config import read_settings
    from pilotage.runtime.machine_check import check_start

    read = read_settings(file)
    found = [*read.findings, *check_start(read)]
    if read.settings is None or any(finding.is_error for finding in found):
        raise RuleError(found, read.sources)
    return read.settings


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not speed > 0:
        raise argparse.ArgumentTypeError(f'"{text}" is no number above zero')
    return speed
