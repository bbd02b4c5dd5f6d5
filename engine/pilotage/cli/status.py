"""`pilotage status`: what the running engine does, how its connections are, what is wrong, and values of points."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape
from rich.text import Text

from pilotage.cli import add_command
from pilotage.cli.asking import add_engine_options, ask_engine, clock_text, span_text
from pilotage.cli.console import FAILED, OK, console, print_json, print_table, table

if TYPE_CHECKING:
    from pilotage.api import Client, EngineStatus, Figures, HealthReport, PointList, Process

_EXAMPLES = """\
  pilotage status
  pilotage status --points 'seg-*.lights.level'
  pilotage status --json
"""
LOOK_S: Final = 5.0
"""An engine that says nothing for so long is not well: who asks how it is need not wait longer to be told."""
_STYLES = {
    "up": "good",
    "down": "bad",
    "disabled": "bad",
    "degraded": "warn",
    "connecting": "warn",
    "stopped": "quiet",
}


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "status",
        "show how the running engine is; exit 1 when something is wrong",
        _EXAMPLES,
    )
    add_engine_options(parser)
    parser.add_argument(
        "--points", metavar="PATTERN", help="show the values of these points instead"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask and show."""
    if arguments.points is not None:
        return ask_engine(arguments, lambda client: _points(client, arguments))
    return ask_engine(arguments, lambda client: _status(client, arguments), LOOK_S)


def _status(client: Client, arguments: argparse.Namespace) -> int:
    from msgspec import to_builtins

    from pilotage.api import GetFigures, GetHealth, GetStatus

    status, health = client.ask(GetStatus()), client.ask(GetHealth())
    figures = client.ask(GetFigures())
    if arguments.json:
        found = {"status": status, "health": health, "figures": figures}
        print_json({name: to_builtins(part) for name, part in found.items()})
    else:
        _show_status(status)
        _show_figures(figures)
        _show_health(health)
    return OK if health.sound else FAILED


def _show_status(status: EngineStatus) -> None:
    out = console()
    speed = f", {status.speed:g} times as fast as real time" if status.speed != 1.0 else ""
    out.print(
        f"[bold]{escape(status.site)}[/bold]: pilotage {status.version}, process {status.pid},"
        f" in service for {span_text(status.now - status.started)} ({status.loop}{speed})"
    )
    out.print(
        f"{status.rules:,} rules, {status.entities:,} entities, {status.points:,} points,"
        f" {status.decisions:,} decisions"
    )
    if not status.connections:
        out.print("no connections")
        return
    made = table("CONNECTION", "ADAPTER", "STATE", "SINCE", "POINTS", "DETAIL")
    for link in status.connections:
        style = _STYLES.get(link.state, "quiet")
        detail = link.detail
        if link.next_try is not None:
            detail += f" (next try {clock_text(link.next_try)})"
        if link.process is not None:
            detail = f"{detail}; {_process(link.process)}".removeprefix("; ")
        made.row(
            link.name,
            link.adapter,
            Text(link.state, style=style),
            clock_text(link.since),
            f"{link.points:,}",
            detail,
        )
    print_table(made)


def _show_figures(figures: Figures) -> None:
    """Show what waits and what stands; how fast it is shows `pilotage top`."""
    waits = sum(figures.orders.values())
    alarms = ", ".join(f"{n} {severity}" for severity, n in sorted(figures.alarms.items()))
    console().print(
        f"alarms to be acknowledged: {alarms or 'none'}; {figures.waiting:,} inputs and {waits:,} orders wait;"
        f" {figures.memory / 1e6:,.0f} MB, {figures.files:,} files"
    )


def _process(process: Process) -> str:
    """Return where an isolated adapter runs: `process 4711, 48 of 300 MB, 2 restarts`."""
    where = f"process {process.pid}" if process.pid else "no process"
    memory = f"{process.memory / 1e6:.0f} of {process.limit / 1e6:.0f} MB"
    again = f"{process.restarts} restart{'' if process.restarts == 1 else 's'}"
    return f"isolated: {where}, {memory}, {again}"


def _show_health(health: HealthReport) -> None:
    from pilotage.runtime.promises import MISSED

    out = console()
    if not health.findings:
        out.print("[good]nothing is wrong[/good]")
    for name, times in sorted(health.counters.items()):
        if name.startswith(MISSED):
            rule, often = name.removeprefix(MISSED), "once" if times == 1 else f"{times:,} times"
            out.print(
                f"{rule} responded later than it promises: {often}", style="warn", markup=False
            )
    for finding in health.findings:
        style = "bad" if finding.severity == "error" else "warn"
        out.print(
            f"[{style}]{finding.code}[/{style}] since {clock_text(finding.since)}: {escape(finding.text)}"
        )
        if finding.mend:
            out.print(f"  mend: {escape(finding.mend)}")


def _points(client: Client, arguments: argparse.Namespace) -> int:
    from msgspec import to_builtins

    from pilotage.api import ListPoints

    after, rows = "", []
    while True:
        page: PointList = client.ask(ListPoints(match=arguments.points, after=after))
        rows.extend(page.points)
        after = page.next
        if not after:
            break
    if arguments.json:
        print_json(to_builtins(rows))
        return OK
    made = table("POINT", "VALUE", "QUALITY", "AGE")
    for point in rows:
        age = "" if point.age_s is None else span_text(point.age_s)
        made.row(point.id, point.text, point.quality, age)
    print_table(made)
    return OK if rows else FAILED
