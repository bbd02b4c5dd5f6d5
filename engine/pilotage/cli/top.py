"""`pilotage top`: a live view of the running engine: rates, latencies, connections, the rules that cost most, what is wrong."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pilotage.cli import add_command
from pilotage.cli.asking import add_engine_options, ask_engine, clock_text, span_text
from pilotage.cli.console import OK, console, table

if TYPE_CHECKING:
    from pilotage.api import Bucket, Client, EngineStatus, Figures, HealthReport

_EXAMPLES = """\
  pilotage top
  pilotage top --every 5
  pilotage top --once          one view, for a pipe or a ticket
"""
_STYLES = {"up": "good", "down": "bad", "disabled": "bad", "degraded": "warn", "connecting": "warn"}
MOST_ROWS = 12
WIDE = 140


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(subparsers, "top", "watch the running engine", _EXAMPLES)
    parser.add_argument(
        "--every",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="between two views (default: 1)",
    )
    parser.add_argument("--once", action="store_true", help="show one view and end")
    add_engine_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask and show until somebody has seen enough."""
    return ask_engine(arguments, lambda client: _watch(client, arguments))


def _watch(client: Client, arguments: argparse.Namespace) -> int:
    from pilotage.api import GetFigures

    out = console()
    before = client.ask(GetFigures())
    if arguments.once or not sys.stdout.isatty():
        time.sleep(arguments.every)
        if not sys.stdout.isatty():
            out.width = WIDE  # a pipe has no edge at which a line must be cut
        out.print(_view(client, before)[0])
        return OK
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(console=out, screen=True, auto_refresh=False) as live,
    ):
        while True:
            time.sleep(arguments.every)
            view, before = _view(client, before)
            live.update(view, refresh=True)
    return OK


def _view(client: Client, before: Figures) -> tuple[Group, Figures]:
    """Return what is shown now, and the figures that the next view is compared with."""
    from pilotage.api import GetFigures, GetHealth, GetStatus

    now, status, health = client.ask(GetFigures()), client.ask(GetStatus()), client.ask(GetHealth())
    parts: list[RenderableType] = [
        _heading(status, health),
        _rates(now, before),
        Text(),
        _connections(status, now, before),
        Text(),
        _rules(now, before),
        Text(),
        *_wrong(health),
    ]
    return Group(*parts), now


def _heading(status: EngineStatus, health: HealthReport) -> Text:
    text = Text(status.site, style="bold")
    text.append(f"  {clock_text(status.now)}  ", style="quiet")
    text.append("sound" if health.sound else "NOT SOUND", style="good" if health.sound else "bad")
    text.append(
        f"   {status.rules:,} rules, {status.points:,} points, decision {status.decisions:,},"
        f" in service for {span_text(status.now - status.started)}"
    )
    return text


def _rates(now: Figures, before: Figures) -> Table:
    seconds = max(now.at - before.at, 1e-6)
    ends = sum(now.ends.values()) - sum(before.ends.values())
    shown = Table.grid(padding=(0, 3))
    rows = [
        ("readings/s", _rate(sum(now.readings.values()), sum(before.readings.values()), seconds),
         "decisions/s", _rate(now.decisions, before.decisions, seconds),
         "commands/s", f"{ends / seconds:,.1f}"),
        ("to command", _quantiles(now.latency, before.latency),
         "tick", _quantiles(now.tick, before.tick),
         "loop late", _quantiles(now.lag, before.lag)),
        ("journal", _quantiles(now.commits, before.commits),
         "processor", f"{(now.processor_s - before.processor_s) / seconds:.0%}",
         "memory", f"{now.memory / 1e6:,.0f} MB, {now.files:,} files"),
        ("wait: inputs", f"{now.waiting:,}",
         "orders", f"{sum(now.orders.values()):,}",
         "to be kept", f"{now.journal_waiting / 1e6:.1f} MB, {now.history_waiting + now.audit_lag:,} rows"),
        ("alarms", ", ".join(f"{n} {name}" for name, n in sorted(now.alarms.items())) or "none", "", "", "", ""),
    ]  # fmt: skip
    for row in rows:
        cells = [
            Text(cell, style="quiet" if i % 2 == 0 else "", no_wrap=True)
            for i, cell in enumerate(row)
        ]
        shown.add_row(*cells)
    return shown


def _connections(status: EngineStatus, now: Figures, before: Figures) -> Table:
    seconds = max(now.at - before.at, 1e-6)
    made = table("CONNECTION", "STATE", "READINGS/S", "WAIT", "FAILURES", "HOLDS THE LOOP", "HEARD")
    for link in status.connections:
        held = now.held_s.get(link.name, 0.0) - before.held_s.get(link.name, 0.0)
        made.row(
            link.name,
            Text(link.state, style=_STYLES.get(link.state, "quiet")),
            _rate(now.readings.get(link.name, 0), before.readings.get(link.name, 0), seconds),
            f"{now.orders.get(link.name, 0):,}",
            f"{link.failures:,}",
            f"{held / seconds:.0%}",
            clock_text(link.heard_at) if link.heard_at else "never",
        )
    return made


def _rules(now: Figures, before: Figures) -> Table:
    seconds = max(now.at - before.at, 1e-6)
    cost = {rule: spent - before.rules_s.get(rule, 0.0) for rule, spent in now.rules_s.items()}
    made = table("RULE", "OF A CORE", "P99 OF A SECOND", "SINCE THE START")
    for rule, spent in sorted(cost.items(), key=lambda item: (-item[1], item[0]))[:MOST_ROWS]:
        p99 = f"{1_000 * now.rules_p99_s.get(rule, 0.0):,.0f} ms"
        made.row(rule, f"{spent / seconds:.1%}", p99, f"{now.rules_s[rule]:,.1f} s")
    return made


def _wrong(health: HealthReport) -> list[Text]:
    if not health.findings:
        return [Text("nothing is wrong", style="good")]
    lines = []
    for finding in health.findings[:MOST_ROWS]:
        line = Text(finding.code, style="bad" if finding.severity == "error" else "warn")
        line.append(f" since {clock_text(finding.since)}: {finding.text}", style="none")
        lines.append(line)
    more = len(health.findings) - len(lines)
    return [*lines, *([Text(f"and {more} more: pilotage status")] if more else [])]


def _rate(now: int, before: int, seconds: float) -> str:
    return f"{(now - before) / seconds:,.0f}"


def _quantiles(now: Sequence[Bucket], before: Sequence[Bucket]) -> str:
    """Return the median and the 99th percentile of what came between two figures; the bounds of their buckets."""
    counts = [bucket.count for bucket in now]
    if len(before) == len(counts):
        counts = [count - other.count for count, other in zip(counts, before, strict=True)]
    total = counts[-1] if counts else 0
    if not total:
        return "-"
    found = [
        next((b.bound for b, count in zip(now, counts, strict=True) if count >= part * total), None)
        for part in (0.5, 0.99)
    ]
    return " / ".join(_milliseconds(bound, now) for bound in found)


def _milliseconds(bound: float | None, buckets: Sequence[Bucket]) -> str:
    if bound is not None:
        return f"<{bound * 1000:g} ms"
    last = max(b.bound for b in buckets if b.bound is not None)
    return f">{last * 1000:g} ms"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3_600:
        raise argparse.ArgumentTypeError(f'"{text}" is no number of seconds from 0.1 to 3600')
    return seconds
