"""`pilotage plugins`: which plugins are there, what they bring, and what is wrong with the broken ones."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from rich.text import Text

from pilotage.cli import add_command
from pilotage.cli.console import FAILED, OK, console, print_json, print_table, table

if TYPE_CHECKING:
    from pilotage.runtime.plugins import PluginReport

_STYLES = {"loaded": "good", "disabled": "quiet", "broken": "bad"}


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "plugins",
        "list the installed plugins; exit 1 when one is broken",
        "  pilotage plugins --json\n",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List the plugins."""
    from pilotage.runtime.plugins import load_plugins

    catalogue = load_plugins()
    if arguments.json:
        print_json([plugin_record(report) for report in catalogue.plugins])
    else:
        _show(catalogue.plugins)
    return FAILED if catalogue.broken else OK


def plugin_record(report: PluginReport) -> dict[str, Any]:
    """Return a plugin as JSON carries it."""
    return {
        "name": report.name,
        "version": report.version,
        "state": report.state.value,
        "why": report.why,
        "brings": dict(report.brings),
    }


def _show(reports: tuple[PluginReport, ...]) -> None:
    made = table("PLUGIN", "VERSION", "STATE", "BRINGS")
    for report in reports:
        state = report.state.value
        brings = ", ".join(
            f"{count} {_counted(what, count)}" for what, count in report.brings.items()
        )
        made.row(
            report.name, report.version or "-", Text(state, style=_STYLES[state]), brings or "-"
        )
    print_table(made)
    out = console()
    for report in reports:
        if report.why:
            out.print(f"{report.name}: {report.why}", markup=False)


def _counted(what: str, count: int) -> str:
    return what.removesuffix("s") if count == 1 else what
