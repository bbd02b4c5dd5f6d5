"""`pilotage inventory`: how many of each kind the city has, and what is wrong with its inventory."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.cli import add_command
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
    from pilotage.runtime.inventory import Inventory
    from pilotage.runtime.plugins import Catalogue

_EXAMPLES = """\
  pilotage inventory
  pilotage inventory -c my-city/config.yaml
  pilotage inventory import lamps.csv --kind lamp --map id=number
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "inventory",
        "count the city's entities and check them; exit 1 on an error",
        _EXAMPLES,
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=("count", "import"),
        default="count",
        help="count (the default); import: propose the entry that reads a CSV or GeoJSON file",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="for import")
    parser.add_argument("--kind", default="", metavar="KIND", help="of the file's entities")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="POINT=COLUMN",
        help="what a point, id, name, zone or relation is read from; the others are guessed",
    )
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        default=Path("config.yaml"),
        metavar="FILE",
        help="default: config.yaml",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read settings and inventory, show the counts and every finding; or propose how a file is read."""
    if arguments.action == "import":
        from pilotage.cli import inventory_import

        return inventory_import.run(arguments)
    from pilotage.runtime.config import check_names, read_settings
    from pilotage.runtime.inventory import read_inventory
    from pilotage.runtime.inventory_survey import survey
    from pilotage.runtime.isolation.factory import load_catalogue

    read = read_settings(arguments.config, secrets=False)
    if read.settings is None:
        print_findings(read.findings, read.sources)
        return FAILED
    settings = read.settings
    catalogue = load_catalogue(settings)
    inventory = read_inventory(settings.inventory, settings.folder, catalogue.kinds)
    names = check_names(settings, (report.name for report in catalogue.plugins), catalogue.packs)
    doubts = survey(inventory, catalogue.kinds, settings.site.area)
    findings = sorted([*read.findings, *names, *inventory.findings, *doubts], key=lambda f: f.at)
    if arguments.json:
        print_json(_record(inventory, findings))
    else:
        _show(inventory, catalogue)
        print_findings(findings, {**read.sources, **inventory.sources})
    return FAILED if any(finding.is_error for finding in findings) else OK


def _show(inventory: Inventory, catalogue: Catalogue) -> None:
    counts = Counter(entity.kind for entity in inventory.entities)
    made = table("KIND", "TITLE", "ENTITIES")
    for kind, count in sorted(counts.items()):
        made.row(kind, catalogue.kinds[kind].title, f"{count:,}")
    made.row("all", "", f"{len(inventory.entities):,}")
    print_table(made)
    console().print()


def _record(inventory: Inventory, findings: list[Any]) -> dict[str, Any]:
    counts = Counter(entity.kind for entity in inventory.entities)
    return {
        "entities": len(inventory.entities),
        "kinds": dict(sorted(counts.items())),
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity.value,
                "file": finding.at.file,
                "line": finding.at.line,
                "column": finding.at.column,
                "message": finding.message,
                "mend": finding.mend,
            }
            for finding in findings
        ],
    }
