"""`pilotage plugins`: which plugins are there, what they bring, what is wrong with them, and which may be loaded."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from pilotage.cli import add_command
from pilotage.cli.console import (
    FAILED,
    OK,
    console,
    print_error,
    print_json,
    print_table,
    table,
)

if TYPE_CHECKING:
    from pilotage.runtime.plugins import Catalogue, PluginReport

LOCK: Final = Path("plugins.lock")
_STYLES = {
    "loaded": "good",
    "isolated": "good",
    "disabled": "quiet",
    "broken": "bad",
    "refused": "bad",
}


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "plugins",
        "list the installed plugins, or approve and verify them; exit 1 when one is left out",
        "  pilotage plugins --json\n"
        '  pilotage plugins lock --approver "A. Durand"\n'
        "  pilotage plugins verify --lock plugins.lock\n",
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=("list", "lock", "verify"),
        default="list",
        help="list (the default); lock: approve what is installed now; verify: compare it with what was approved",
    )
    parser.add_argument(
        "--lock",
        type=Path,
        metavar="FILE",
        help=f"the approved plugins; lock and verify take {LOCK} by default, list loads everything without",
    )
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help="list what this site would load: without those it disables, apart those it isolates",
    )
    parser.add_argument("--approver", metavar="NAME", help="who has looked at them, for lock")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List, lock or verify the plugins."""
    if arguments.action == "lock":
        return _lock(arguments.lock or LOCK, arguments.approver or getpass.getuser())
    if arguments.action == "verify":
        return _verify(arguments.lock or LOCK, as_json=arguments.json)
    return _list(arguments.lock, arguments.config, as_json=arguments.json)


def plugin_record(report: PluginReport) -> dict[str, Any]:
    """Return a plugin as JSON carries it."""
    return {
        "name": report.name,
        "version": report.version,
        "interface": report.interface,
        "state": report.state.value,
        "why": report.why,
        "brings": dict(report.brings),
    }


def _list(lock: Path | None, config: Path | None, *, as_json: bool) -> int:
    from pilotage.runtime.plugins import load_plugins

    catalogue = load_plugins(lock=lock) if config is None else _of_site(config)
    if as_json:
        print_json([plugin_record(report) for report in catalogue.plugins])
    else:
        _show(catalogue.plugins)
        for warning in catalogue.warnings:
            console().print(warning, markup=False)
    return FAILED if catalogue.broken else OK


def _of_site(config: Path) -> Catalogue:
    """Return what a site would load.

    Raises:
        RuleError: Something is wrong with its configuration.
    """
    from pilotage.model.diagnostics import RuleError
    from pilotage.runtime.config import read_settings
    from pilotage.runtime.isolation.factory import load_catalogue

    read = read_settings(config, secrets=False)
    if read.settings is None:
        raise RuleError(read.findings, read.sources)
    return load_catalogue(read.settings)


def _lock(file: Path, approver: str) -> int:
    """Write the lock of what is installed, and say what differs from the one before; nothing is imported."""
    from pilotage.runtime.plugin_lock import lock_text, make_lock
    from pilotage.runtime.plugins import installed_plugins

    made = make_lock(installed_plugins(), approver)
    # Beside it first: a lock that is cut off would refuse every plugin.
    beside = file.with_name(f"{file.name}.new")
    beside.write_text(lock_text(made), encoding="utf-8")
    beside.replace(file)
    for pinned in made.pinned.values():
        print(f"approved {pinned.distribution} {pinned.version}: {len(pinned.files)} files")
    print(f"wrote {file}; name it in config.yaml: plugins: {{lock: {file.name}}}")
    return OK


def _verify(file: Path, *, as_json: bool) -> int:
    from pilotage.runtime.plugin_lock import LockUnreadableError, read_lock
    from pilotage.runtime.plugins import installed_plugins

    try:
        lock = read_lock(file)
    except LockUnreadableError as error:
        print_error(str(error))
        return FAILED
    installed = installed_plugins()
    refused = {entry.name: lock.refusal(entry, installed) for entry in installed}
    drift = lock.drift()
    if as_json:
        print_json({"plugins": refused, "startup": drift})
    else:
        for name, why in refused.items():
            print(f"{name}: {why or 'as approved'}")
        for said in drift:
            print(f"at the start of Python: {said}")
    return FAILED if any(refused.values()) or drift else OK


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
