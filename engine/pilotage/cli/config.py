"""`pilotage config`: the settings checked against this machine, shown as they count, and their schema for editors."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.cli import Parser, add_command
from pilotage.cli.asking import add_config_option
from pilotage.cli.console import (
    FAILED,
    OK,
    console,
    print_findings,
    print_json,
    print_table,
    table,
)

if TYPE_CHECKING:
    from pilotage.model.diagnostics import Finding
    from pilotage.runtime.config import SettingsRead

_EXAMPLES = """\
  pilotage config check                   settings, secrets, connections, and what this machine says of them
  pilotage config check --no-secrets      on a desk that has no secrets
  pilotage config show --changed          what is otherwise than by default, and where it is written
  pilotage config schema > config.schema.json
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    from pilotage.cli.history import show_help

    parser = add_command(
        subparsers, "config", "check the settings against this machine, show them as they count", _EXAMPLES
    )  # fmt: skip
    actions = parser.add_subparsers(
        title="actions", dest="action", metavar="ACTION", parser_class=Parser
    )
    parser.set_defaults(run=lambda arguments: show_help(parser))

    check = add_command(
        actions, "check", "check settings, secrets, connections, folders and ports; exit 1 on an error"
    )  # fmt: skip
    add_config_option(check)
    check.add_argument(
        "--format", choices=("text", "json", "sarif"), default="text", help="text for people (default), json or sarif"
    )  # fmt: skip
    check.add_argument("--strict", action="store_true", help="warnings count as errors")
    check.add_argument("--no-secrets", action="store_true", help="read no secret, as on a desk")
    check.set_defaults(run=run_check)

    show = add_command(
        actions, "show", "show every setting as it counts, with where it comes from; secrets are hidden"
    )  # fmt: skip
    add_config_option(show)
    show.add_argument("--changed", action="store_true", help="leave out the defaults")
    show.add_argument("--json", action="store_true", help="for programs")
    show.set_defaults(run=run_show)

    schema = add_command(actions, "schema", "print a JSON Schema of config.yaml, for editors")
    schema.set_defaults(run=run_schema)


# ── check ────────────────────────────────────────────────────────────────────────────────────


def run_check(arguments: argparse.Namespace) -> int:
    """Check, and show every finding; exit 1 on an error."""
    from pilotage.runtime.config import read_settings
    from pilotage.runtime.machine_check import check_machine

    read = read_settings(_file(arguments), secrets=not arguments.no_secrets)
    found = [*read.findings, *_of_plugins(read), *check_machine(read)]
    found.sort(key=lambda finding: finding.at)
    _show_findings(arguments.format, found, read)
    counts = found if arguments.strict else [each for each in found if each.is_error]
    return FAILED if counts else OK


def _of_plugins(read: SettingsRead) -> list[Finding]:
    """Return what the plugins find in the names, in the history's entries and in their connections."""
    from pilotage.runtime.config import check_connections, check_names
    from pilotage.runtime.history.settings import check_history
    from pilotage.runtime.inventory import read_inventory
    from pilotage.runtime.isolation.factory import load_catalogue
    from pilotage.runtime.workshop import PlannedSite

    settings = read.settings
    if settings is None:
        return []
    catalogue = load_catalogue(settings)
    found = check_names(settings, (each.name for each in catalogue.plugins), catalogue.packs)
    inventory = read_inventory(settings.inventory, settings.folder, catalogue.kinds)
    if inventory.has_errors:
        read.sources.update(inventory.sources)
        return [*found, *inventory.findings]
    found += check_history(settings.history, catalogue.kinds, inventory.entities)
    view = PlannedSite(settings, catalogue, inventory.entities)
    return [*found, *check_connections(settings, catalogue.adapters, view)]


def _show_findings(form: str, found: list[Finding], read: SettingsRead) -> None:
    from pilotage.cli.check import report
    from pilotage.cli.sarif import sarif_log

    if form == "json":
        print_json({**report(found, None), "files": [str(read.file)]})
    elif form == "sarif":
        print(json.dumps(sarif_log(found), indent=2, ensure_ascii=False))
    else:
        print_findings(found, read.sources, sys.stdout)
        if not found:
            console().print(f"[good]no mistakes[/good] in {read.file}, and this machine can do it")


# ── show and schema ──────────────────────────────────────────────────────────────────────────


def run_show(arguments: argparse.Namespace) -> int:
    """Show the settings as they count; a mistake is shown first, and its setting has its default."""
    from pilotage.runtime.config import read_settings
    from pilotage.runtime.config_view import DEFAULT, UNSET, effective

    read = read_settings(_file(arguments), secrets=False)
    errors = [finding for finding in read.findings if finding.is_error]
    print_findings(errors, read.sources, sys.stderr)
    if read.root is None:
        return FAILED
    found = effective(read)
    if arguments.changed:
        found = [each for each in found if each.origin not in (DEFAULT, UNSET)]
    if arguments.json:
        print_json([asdict(each) for each in found])
    else:
        rows = table("SETTING", "VALUE", "FROM")
        for each in found:
            rows.row(each.key, _value(each.value), each.origin)
        print_table(rows)
    return FAILED if errors else OK


def _value(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:97] + "..."


def run_schema(_arguments: argparse.Namespace) -> int:
    """Print the schema."""
    from pilotage.runtime.config_schema import config_schema

    print_json(config_schema())
    return OK


def _file(arguments: argparse.Namespace) -> Path:
    """Return the configuration: the file that was named, or the one in the folder that was."""
    file: Path = arguments.config
    return file / "config.yaml" if file.is_dir() else file
