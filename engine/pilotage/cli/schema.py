"""`pilotage schema`: a JSON Schema of rule files, for editors."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pilotage.cli import add_command
from pilotage.cli.console import FAILED, OK, print_findings, print_json
from pilotage.cli.ruleset import CONFIG_NAME

_EXAMPLES = """\
  pilotage schema > rules.schema.json

then, as the first line of a rule file, for editors with a YAML language server:
  # yaml-language-server: $schema=../rules.schema.json
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "schema",
        "print a JSON Schema of rule files, made of the installed plugins and the inventory",
        _EXAMPLES,
    )
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the site, for its plugins and its inventory (default: {CONFIG_NAME}, when there is one)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the schema."""
    import sys

    from pilotage.language.json_schema import rule_file_schema
    from pilotage.runtime.config import read_settings
    from pilotage.runtime.inventory import read_inventory
    from pilotage.runtime.isolation.factory import load_catalogue
    from pilotage.runtime.plugins import load_plugins

    config = arguments.config or Path(CONFIG_NAME)
    if arguments.config is None and not config.is_file():
        catalogue = load_plugins()
        print_json(rule_file_schema(catalogue.kinds, catalogue.functions, catalogue.calls))
        return OK
    read = read_settings(config, secrets=False)
    if read.settings is None:
        print_findings(read.findings, read.sources, sys.stderr)
        return FAILED
    settings = read.settings
    catalogue = load_catalogue(settings)
    inventory = read_inventory(settings.inventory, settings.folder, catalogue.kinds)
    entities = None if inventory.has_errors else inventory.entities
    print_json(rule_file_schema(catalogue.kinds, catalogue.functions, catalogue.calls, entities))
    return OK
