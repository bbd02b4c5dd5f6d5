"""The command line, one file per sub-command.

A module of this package with `register(subparsers)` is a sub-command; `register` adds a parser and sets `run` on it:
a function that takes the parsed arguments and returns the exit code. Modules import heavy things inside `run`, so that
`--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NoReturn

from pilotage.cli.console import COLORS, FAILED, INTERRUPTED, USAGE, choose_color, print_error
from pilotage.core.compiled import is_compiled
from pilotage.model.diagnostics import RuleError

ORDER: Final = (
    *("init", "check", "test", "fmt", "config", "run", "demo"),
    *(
        "status",
        "top",
        "doctor",
        "explain",
        "alarms",
        "ack",
        "override",
        "release",
        "plan",
        "reload",
        "audit",
    ),
    *("inventory", "discover", "kinds", "plugins", "plugin", "schema"),
    *("backup", "restore", "verify", "replay"),
)
"""The sub-commands as the help lists them; others follow by name."""

_EPILOG: Final = """\
examples:
  pilotage demo                          a city that lives, in the terminal
  pilotage init my-city                  write a small city that runs
  pilotage check -c my-city/config.yaml  every mistake in its rules and settings
  pilotage kinds lamp                    what a rule can read and set on a lamp

exit codes: 0 all is well, 1 something was found or failed, 2 wrong usage, 130 interrupted.
`pilotage COMMAND --help` says more.
"""


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes name the way to the help."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, and exit with 2."""
        print_error(message, f"see `{self.prog} --help`")
        sys.exit(USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command and return its exit code; never shows a traceback for what a user can mend."""
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who reads us has enough (`pilotage kinds | head`); keep the interpreter from saying so at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except RuleError as error:
        from pilotage.cli.console import print_findings

        print_findings(error.findings, error.sources, sys.stderr)
        return FAILED
    except OSError as error:
        print_error(_what_failed(error))
        return FAILED


def build_parser(only: str = "") -> argparse.ArgumentParser:
    """Return the parser with all sub-commands.

    Args:
        only: The sub-command that is wanted: the others, which nobody asks then, are left out. Each has a module, and all of
            them together take longer to import than many commands to run.
    """
    parser = Parser(
        prog="pilotage",
        description="Pilots a city's equipment from rules that people write in YAML.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pilotage {_version()}")
    parser.add_argument(
        "--color",
        choices=COLORS,
        default="auto",
        help="colours: auto follows the terminal, NO_COLOR and FORCE_COLOR (default: auto)",
    )
    subparsers = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", parser_class=Parser
    )
    for name in [only] if only else _commands():
        module = importlib.import_module(f"{__name__}.{name}")
        if hasattr(module, "register"):
            module.register(subparsers)
    return parser


def add_command(
    subparsers: Any, name: str, help_: str, examples: str = ""
) -> argparse.ArgumentParser:
    """Add a sub-command's parser in the common style: one line of help, then examples.

    Args:
        subparsers: What `register` is given.
        name: As it is typed.
        help_: One line, without a full stop.
        examples: Lines for the end of its own help.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=help_,
        description=f"{help_[:1].upper()}{help_[1:]}.",
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--color", choices=COLORS, default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    return parser


def _run(argv: Sequence[str] | None) -> int:
    words = sys.argv[1:] if argv is None else list(argv)
    parser = build_parser(_wanted(words))
    arguments = parser.parse_args(words)
    choose_color(arguments.color)
    if arguments.command is None:
        parser.print_help()
        return USAGE
    code = arguments.run(arguments)
    sys.stdout.flush()
    return int(code)


def _wanted(words: Sequence[str]) -> str:
    """Return the sub-command that is asked for first of all; empty when it is none, or help is asked for."""
    name = words[0] if words else ""
    is_one = name in _commands() and hasattr(
        importlib.import_module(f"{__name__}.{name}"), "register"
    )
    return name if is_one else ""


def _commands() -> list[str]:
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted(
        names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)
    )


def _version() -> str:
    try:
        return version("pilotage") + (" with a compiled core" if is_compiled() else "")
    except PackageNotFoundError:
        return "(not installed)"


def _what_failed(error: OSError) -> str:
    why = error.strerror or str(error)
    return f"{error.filename}: {why}" if error.filename else why
