"""`pilotage inventory import`: proposes the entry that reads a CSV or GeoJSON file, and shows what it would give."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.cli.console import FAILED, OK, print_error, print_findings
from pilotage.cli.discover import flow

if TYPE_CHECKING:
    from pilotage.model.entities import Kind
    from pilotage.runtime.inventory_proposal import Proposal
    from pilotage.runtime.tables import Table

SHOWN = 3


def run(arguments: argparse.Namespace) -> int:
    """Print the entry as YAML on the output, and its findings beside it; nothing is written anywhere."""
    from pilotage.runtime.inventory_proposal import propose
    from pilotage.runtime.plugins import load_plugins

    given = _given(arguments.map)
    if arguments.file is None or not arguments.kind or given is None:
        print_error(
            "a file and its kind are needed",
            "pilotage inventory import lamps.csv --kind lamp --map id=number",
        )
        return FAILED
    kinds = load_plugins().kinds
    kind = kinds.get(arguments.kind)
    table = _table(arguments.file)
    if kind is None:
        print_error(f'there is no kind "{arguments.kind}"', "`pilotage kinds` lists them")
    if kind is None or table is None or not _known(given, kind, table):
        return FAILED
    made = propose(arguments.file.name, table.columns, kind, given)
    if made.problem:
        print_error(made.problem, f"its columns are: {', '.join(table.columns)}")
        return FAILED
    return _show(made, arguments.file.parent, kinds)


def _show(made: Proposal, folder: Path, kinds: Mapping[str, Kind]) -> int:
    from pilotage.language.loader import ListNode, load
    from pilotage.runtime.inventory import read_inventory
    from pilotage.runtime.inventory_survey import survey

    text = "\n".join(lines(made)) + "\n"
    node, _ = load(text, "<proposal>")
    assert isinstance(node, ListNode)
    inventory = read_inventory(node, folder, kinds)
    print(f"# {len(inventory.entities):,} entities. Put this under inventory: in config.yaml.")
    print(text, end="")
    for entity in inventory.entities[:SHOWN]:
        print(f"#   {entity.id}: {flow({'name': entity.name, **entity.values})}")
    if made.unused:
        print(f"# columns that are not read: {', '.join(made.unused)}")
    findings = [*inventory.findings, *survey(inventory, kinds, None)]
    import sys

    print_findings(findings, {**inventory.sources, "<proposal>": text}, sys.stderr)
    return FAILED if inventory.has_errors else OK


def lines(made: Proposal) -> Iterator[str]:
    """Yield a proposal as YAML, a key a line."""
    mark = "- "
    for key, value in made.entry.items():
        yield f"{mark}{key}: {flow(value)}"
        mark = "  "


def _given(written: list[str]) -> dict[str, str] | None:
    given: dict[str, str] = {}
    for text in written:
        name, equals, column = text.partition("=")
        if not equals or not name or not column:
            print_error(f'"{text}" is no mapping', "write --map POINT=COLUMN")
            return None
        given[name] = column
    return given


def _known(given: Mapping[str, str], kind: Kind, table: Table) -> bool:
    from pilotage.runtime.inventory_drafts import known_names

    names = ["id", "name", "zone", *known_names(kind)]
    for name, column in given.items():
        if name not in names:
            print_error(f'{kind.name} has no "{name}"', f"it has: {', '.join(names)}")
            return False
        if column not in table.columns:
            print_error(f'there is no column "{column}"', f"there are: {', '.join(table.columns)}")
            return False
    return True


def _table(file: Path) -> Table | None:
    from pilotage.model.diagnostics import Finding, Span
    from pilotage.runtime.tables import open_csv, open_geojson

    findings: list[Finding] = []
    sources: dict[str, str] = {}
    at: Any = Span(str(file), 1, 1)
    if file.suffix.lower() in (".geojson", ".json"):
        table = open_geojson(file, sources, findings.append, at)
    else:
        table = open_csv(file, "utf-8", None, sources, findings.append, at)
    print_findings(findings, sources)
    return None if findings else table
