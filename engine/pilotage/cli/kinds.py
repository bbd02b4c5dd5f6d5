"""`pilotage kinds`: what the plugins declare, and what a rule can read and set on it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

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
    from pilotage.model.entities import Kind, PointSpec
    from pilotage.runtime.plugins import Catalogue

_EXAMPLES = """\
  pilotage kinds
  pilotage kinds lighting_segment
  pilotage kinds lamp --json
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "kinds", "list the kinds of equipment, or show one of them", _EXAMPLES
    )
    parser.add_argument(
        "kind", nargs="?", metavar="KIND", help="show this one with its points and relations"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List the kinds, or show one."""
    from pilotage.runtime.plugins import load_plugins

    catalogue = load_plugins()
    if arguments.kind is None:
        _list(catalogue, arguments.json)
        return OK
    kind = catalogue.kinds.get(arguments.kind)
    if kind is None:
        _unknown(arguments.kind, catalogue)
        return FAILED
    if arguments.json:
        print_json(kind_record(kind, catalogue))
    else:
        _show(kind, catalogue)
    return OK


def kind_record(kind: Kind, catalogue: Catalogue) -> dict[str, Any]:
    """Return a kind as JSON carries it."""
    return {
        "name": kind.name,
        "title": kind.title,
        "plugin": catalogue.origins.get(f"kind {kind.name}", ""),
        "doc": kind.doc,
        "points": [_point_record(point) for point in kind.points],
        "relations": dict(kind.relations),
    }


def _point_record(point: PointSpec) -> dict[str, Any]:
    from pilotage.model.values import as_plain

    return {
        "name": point.name,
        "type": point.type.base.value,
        "unit": point.type.unit.symbol,
        "members": list(point.type.members),
        "kind": point.type.kind,
        "access": point.access.value,
        "low": point.low,
        "high": point.high,
        "max_age_s": point.max_age_s,
        "default": as_plain(point.default),
        "on_loss": as_plain(point.value_on_loss),
        "on_loss_after_s": None if point.on_loss is None else point.on_loss.after_s,
        "on_loss_by_site": point.on_loss_by_site,
        "max_rate": None if point.max_rate is None else str(point.max_rate),
        "pulse": point.pulse,
        "combine": point.combine.value,
        "statuses": list(point.statuses),
        "privacy": point.privacy.value,
        "doc": point.doc,
    }


def _list(catalogue: Catalogue, as_json: bool) -> None:
    kinds = [catalogue.kinds[name] for name in sorted(catalogue.kinds)]
    if as_json:
        print_json([kind_record(kind, catalogue) for kind in kinds])
        return
    made = table("KIND", "TITLE", "PLUGIN", "POINTS", "COMMANDABLE")
    for kind in kinds:
        commandable = [point.name for point in kind.points if point.access.is_commandable]
        plugin = catalogue.origins.get(f"kind {kind.name}", "")
        made.row(
            kind.name, kind.title, plugin, str(len(kind.points)), ", ".join(commandable) or "-"
        )
    print_table(made)


def _show(kind: Kind, catalogue: Catalogue) -> None:
    from pilotage.language.wording import duration

    plugin = catalogue.origins.get(f"kind {kind.name}", "")
    out = console()
    out.print(f"{kind.name}: {kind.title} (plugin {plugin})", style="bold", markup=False)
    if kind.doc:
        out.print(kind.doc, markup=False)
    out.print()
    made = table(
        "POINT", "TYPE", "RANGE", "ACCESS", "DEFAULT", "STALE AFTER", "WITHOUT US", "WHAT IT IS"
    )
    for point in kind.points:
        made.row(
            point.name,
            _type(point),
            _range(point),
            point.access.value,
            _default(point),
            "-" if point.max_age_s is None else duration(point.max_age_s),
            _on_loss(point),
            point.doc,
        )
    print_table(made)
    if kind.relations:
        out.print()
        relations = table("RELATION", "LEADS TO")
        for name, target in kind.relations.items():
            relations.row(name, target or "anything")
        print_table(relations)


def _type(point: PointSpec) -> str:
    text = str(point.type)
    if point.is_request:
        return f"request for {point.type.kind or 'an entity'} ({', '.join(point.statuses)})"
    if point.group is not None:
        text += f", of its {point.group.relation}"
    return text


def _range(point: PointSpec) -> str:
    if point.low is None and point.high is None:
        return "-"
    if point.low is None:
        return f"up to {point.high:g}"
    return f"{point.low:g} and up" if point.high is None else f"{point.low:g} to {point.high:g}"


def _on_loss(point: PointSpec) -> str:
    from pilotage.model.values import format_value

    if point.on_loss is not None:
        return f"{format_value(point.on_loss.value, point.type)} after {point.on_loss.after_s:g} s"
    return "the site decides" if point.on_loss_by_site else "-"


def _default(point: PointSpec) -> str:
    from pilotage.model.values import format_value

    return "-" if point.default is None else format_value(point.default, point.type)


def _unknown(name: str, catalogue: Catalogue) -> None:
    from pilotage.language.findings import did_you_mean

    hint = f"{meant} " if (meant := did_you_mean(name, catalogue.kinds)) else ""
    broken = ", ".join(report.name for report in catalogue.broken)
    also = f"; broken plugins: {broken}, see `pilotage plugins`" if broken else ""
    print_error(f'no plugin declares a kind "{name}"', f"{hint}`pilotage kinds` lists them{also}")
