"""`pilotage demo`: a small city that lives, without any outside service."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from pilotage.cli import add_command
from pilotage.cli.console import FAILED, OK, print_error

DEFAULT_SPEED: Final = 20.0
FASTEST: Final = 120.0

_EXAMPLES = """\
  pilotage demo                     the four rules act within two minutes
  pilotage demo --speed 60          a night in minutes
  pilotage demo --plain | tee log   line by line, for a log or a screen reader
  pilotage demo --keep my-demo      keep the city's files, its journal and its log

It needs no other service: an MQTT broker, lighting cabinets on Modbus, signal controllers on OPC UA, the other
equipment and the engine are started on this machine alone, and Ctrl-C ends them all.
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(subparsers, "demo", "show a small city that lives", _EXAMPLES)
    parser.add_argument(
        "--speed",
        type=_speed,
        default=DEFAULT_SPEED,
        metavar="N",
        help=f"seconds of the city in one real second, up to {FASTEST:g} (default: {DEFAULT_SPEED:g})",
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="another number is another night"
    )
    parser.add_argument(
        "--plain", action="store_true", help="write lines, as it does into a pipe, and no picture"
    )
    parser.add_argument(
        "--minutes", type=_minutes, metavar="M", help="end by itself after so many real minutes"
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        metavar="PORT",
        help="of the MQTT broker (default: a free one)",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="put the city's files into this folder and leave them there",
    )
    parser.add_argument(
        "--uvloop",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="use uvloop in the engine (default: as its config.yaml says)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Play the demo until it is ended."""
    try:
        from pilotage.demo.play import PlayError, play
    except ModuleNotFoundError as error:
        return _missing(error)
    try:
        play(
            speed=arguments.speed,
            seed=arguments.seed,
            plain=arguments.plain,
            minutes=arguments.minutes,
            port=arguments.port,
            keep=arguments.keep,
            uvloop=arguments.uvloop,
        )
    except PlayError as error:
        print_error(str(error), error.mend)
        return FAILED
    return OK


def _missing(error: ModuleNotFoundError) -> int:
    print_error(
        f"the demo needs the package {error.name}, which is not installed",
        'pip install "pilotage[demo]"',
    )
    return FAILED


def _speed(text: str) -> float:
    return _number(text, FASTEST)


def _minutes(text: str) -> float:
    return _number(text, 60.0 * 24 * 7)


def _number(text: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= most:
        raise argparse.ArgumentTypeError(f'"{text}" is no number above 0 and up to {most:g}')
    return number


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise argparse.ArgumentTypeError(f'"{text}" is no port from 1 to 65535')
    return int(text)
