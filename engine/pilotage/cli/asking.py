"""What the sub-commands that ask a running engine share: where its socket is, who asks, and how answers are shown."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pilotage.cli.console import FAILED, OK, USAGE, console, print_error

if TYPE_CHECKING:
    from pilotage.api import Client, Receipt

PATIENCE_S: Final = 30.0


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        default=Path("config.yaml"),
        metavar="FILE",
        help="the site's configuration, which says where the engine's socket is (default: config.yaml)",
    )


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which engine is asked."""
    add_config_option(parser)
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help="the engine's socket, instead of the configuration's",
    )


def add_person_options(parser: argparse.ArgumentParser, *, reason: bool) -> None:
    """Add who gives an order, and why."""
    parser.add_argument(
        "--person",
        metavar="NAME",
        default="",
        help="who gives the order (default: you, by your login)",
    )
    if reason:
        parser.add_argument("--reason", metavar="TEXT", required=True, help="why, for the journal")


def person_of(arguments: argparse.Namespace) -> str:
    """Return who gives an order."""
    return arguments.person or getpass.getuser()


def duration(text: str) -> float:
    """Return the seconds of `2h`, `90 s` or `1 h 30 min`, for argparse."""
    from pilotage.runtime.forms import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; write 2h, 90s or '1 h 30 min'") from error


def ask_engine(
    arguments: argparse.Namespace, talk: Callable[[Client], int], patience_s: float = PATIENCE_S
) -> int:
    """Talk to the engine and return the exit code; a refusal is shown with its mend, and so is an engine that says nothing.

    Raises:
        RuleError: The configuration that should say where the socket is cannot be read.
    """
    from pilotage.api import ApiError, Client

    try:
        with Client(_socket(arguments), patience_s, via="cli") as client:
            return talk(client)
    except ApiError as error:
        print_error(error.text, error.mend)
        return FAILED


def show_receipt(receipt: Receipt) -> int:
    """Print what became of an order and return the exit code."""
    if receipt.taken:
        console().print(
            f"[good]done[/good]: {receipt.text}", f"[quiet](decision {receipt.decision})[/quiet]"
        )
        return OK
    print_error(f"refused: {receipt.text}")
    return FAILED


def order_rule(arguments: argparse.Namespace, action: str) -> int:
    """Have the engine do something to `arguments.rule`, for `--reason`, and show the receipt."""
    if not arguments.reason:
        print_error(
            "a reason is needed", "add --reason TEXT; it stands in the journal and the audit"
        )
        return USAGE
    from pilotage.api import OrderRule

    order = OrderRule(
        rule=arguments.rule, action=action, person=person_of(arguments), reason=arguments.reason
    )
    return ask_engine(arguments, lambda client: show_receipt(client.ask(order)))


def clock_text(time: float | None) -> str:
    """Return a time as people here read it; without the day when it is today."""
    if time is None:
        return ""
    moment = datetime.fromtimestamp(time).astimezone()
    is_today = moment.date() == datetime.now().astimezone().date()
    return f"{moment:%H:%M:%S}" if is_today else f"{moment:%Y-%m-%d %H:%M:%S}"


def span_text(seconds: float) -> str:
    """Return a length of time in its two largest units: `3 d 4 h`, `12 s`."""
    left = int(seconds)
    words: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or (unit == "s" and not words):
            words.append(f"{count} {unit}")
    return " ".join(words[:2])


def _socket(arguments: argparse.Namespace) -> Path:
    """Return where the engine's socket is."""
    if arguments.socket is not None:
        path: Path = arguments.socket
        return path
    from pilotage.model.diagnostics import RuleError
    from pilotage.runtime.config import read_settings

    read = read_settings(arguments.config, secrets=False)
    if read.settings is None:
        raise RuleError(read.findings, read.sources)
    return read.settings.control.socket
