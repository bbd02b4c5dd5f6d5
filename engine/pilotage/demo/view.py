"""What the demonstration shows: the city in a terminal, or line by line where there is none.

Knows neither engine nor network: it is given a function that returns a `Scene`, and draws it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from statistics import median
from typing import Final, TextIO

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pilotage.demo.device import ZONE

FRAMES_PER_S: Final = 4
BAR: Final = 8
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_SEVERITY: Final = {
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "yellow",
    "low": "cyan",
}


@dataclass(frozen=True, slots=True)
class Street:
    """A street's light: what is wanted and by whom, what its lamps report, and why."""

    name: str
    wanted: float | None = None
    reported: float | None = None
    lamps: tuple[float | None, ...] = ()
    flow: float | None = None
    people: bool | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Junction:
    """A junction: for whom green is asked, how far that is, and whom it serves."""

    name: str
    asked_for: str = ""
    status: str = ""
    held_by: str = ""


@dataclass(frozen=True, slots=True)
class Bus:
    """A bus on the avenue."""

    name: str
    line: str = ""
    delay_s: float | None = None
    speed: float | None = None


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera and what it does."""

    name: str
    preset: str = ""
    recording: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan and its level."""

    name: str
    level: int = 0
    level_name: str = ""
    reason: str = ""
    asks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that stands."""

    text: str
    severity: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Wire:
    """A connection to devices: its protocol, and whether it is up."""

    protocol: str
    is_up: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """Something that was decided or reported, in words; `number` counts up."""

    number: int
    at: float
    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """The city at one moment.

    Attributes:
        now: The city's time, seconds since 1970.
        notes: Facts worth a line: temperature of the coldest road, messages on signs.
        lines: The last decisions, oldest first.
        state: How the engine is: `up`, or what is wrong.
        wires: How it is connected to the devices.
    """

    now: float
    speed: float = 1.0
    state: str = "up"
    streets: Sequence[Street] = ()
    junctions: Sequence[Junction] = ()
    buses: Sequence[Bus] = ()
    cameras: Sequence[Camera] = ()
    plans: Sequence[Plan] = ()
    alarms: Sequence[Alarm] = ()
    notes: Sequence[str] = ()
    lines: Sequence[Line] = field(default_factory=tuple)
    wires: Sequence[Wire] = ()


Read = Callable[[], Scene]
Wait = Callable[[float], bool]
"""Waits some seconds; True when the demonstration shall end."""


def show(
    read: Read,
    wait: Wait,
    *,
    plain: bool = False,
    zone: tzinfo = ZONE,
    out: TextIO | None = None,
    hint: str = "",
    pages: str = "",
) -> None:
    """Show the city until `wait` says that it is over.

    Args:
        read: Returns the city as it is now.
        wait: Called between two pictures.
        plain: Write lines even into a terminal.
        zone: The city's time zone.
        out: Where to; standard output by default.
        hint: A line below the picture.
        pages: Where a browser sees more; stands above the picture.
    """
    stream = sys.stdout if out is None else out
    if plain or not stream.isatty():
        show_lines(read, wait, zone=zone, out=stream)
        return
    console = Console(file=stream)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(
                picture(read(), zone, console.size.width, console.size.height, hint, pages),
                refresh=True,
            )
            if wait(1 / FRAMES_PER_S):
                return


def show_lines(read: Read, wait: Wait, *, zone: tzinfo = ZONE, out: TextIO) -> None:
    """Write each decision once, on a line with the city's time, and the state of the city now and then."""
    seen = 0
    said_at = 0.0
    while True:
        scene = read()
        for line in scene.lines:
            if line.number > seen:
                seen = line.number
                print(f"{clock(line.at, zone)}  {line.text}", file=out)
        if time.monotonic() - said_at >= 10.0:
            said_at = time.monotonic()
            print(f"{clock(scene.now, zone)}  == {summary(scene)}", file=out)
        out.flush()
        if wait(1 / FRAMES_PER_S):
            return


def clock(now: float, zone: tzinfo) -> str:
    """Return a moment as people of the city read it."""
    return f"{datetime.fromtimestamp(now, zone):%Y-%m-%d %H:%M:%S}"


def summary(scene: Scene) -> str:
    """Return the city in one line."""
    known = [street.reported for street in scene.streets if street.reported is not None]
    light = f"street light {sum(known) / len(known):.0f} %" if known else "street light unknown"
    asked = [f"{j.name} asked for {j.asked_for}" for j in scene.junctions if j.asked_for]
    plans = [f"{plan.name} level {plan.level}" for plan in scene.plans if plan.level]
    alarms = f"{len(scene.alarms)} alarms" if len(scene.alarms) != 1 else "1 alarm"
    lost = [f"{wire.protocol} is lost" for wire in scene.wires if not wire.is_up]
    return "; ".join([light, *asked, *plans, alarms, *lost, *scene.notes])


# ── the picture ──────────────────────────────────────────────────────────────────────────────


def picture(
    scene: Scene,
    zone: tzinfo = ZONE,
    width: int = 120,
    height: int = 40,
    hint: str = "",
    pages: str = "",
) -> RenderableType:
    """Return the whole picture for a terminal of this size."""
    table = len(scene.streets) + 3
    if width < 116:
        room = max(3, height - table - 6)
        return Group(
            _head(scene, zone, pages), _streets(scene), _lines(scene, zone, room, width, hint)
        )
    top = max(min(max(table, len(scene.junctions) + 15), height - 12), 8)
    layout = Layout()
    layout.split_column(
        Layout(_head(scene, zone, pages), size=3),
        Layout(name="middle", size=top),
        Layout(_lines(scene, zone, max(3, height - top - 5), width, hint), name="foot"),
    )
    layout["middle"].split_row(Layout(_streets(scene), ratio=3), Layout(name="right", ratio=2))
    layout["right"].split_column(
        Layout(_avenue(scene), size=min(len(scene.junctions) + 5, top - 6)),
        Layout(_watch(scene), minimum_size=3, ratio=1),
        Layout(_plans(scene), minimum_size=3, ratio=1),
    )
    return layout


def _head(scene: Scene, zone: tzinfo, pages: str) -> RenderableType:
    text = Text()
    text.append(f" {clock(scene.now, zone)} ", "bold black on white")
    text.append(f"  {scene.speed:g} times as fast   ", "dim")
    text.append(f"the engine is {scene.state}", "green" if scene.state == "up" else "bold red")
    for wire in scene.wires:
        text.append("   ● " if wire.is_up else "   ○ ", "green" if wire.is_up else "bold red")
        text.append(wire.protocol)
    for note in scene.notes:
        text.append(f"   {note}", "cyan")
    text.no_wrap, text.overflow = True, "ellipsis"
    where = f"in a browser: {pages}   " if pages else ""
    return Panel(
        text, title="pilotage demo", subtitle=f"{where}Ctrl-C ends it", border_style="blue"
    )


def _streets(scene: Scene) -> RenderableType:
    table = Table(expand=True, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title, justify in (
        ("street", "left"),
        ("light", "left"),
        ("wanted", "right"),
        ("veh/h", "right"),
    ):
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("", width=2)
    table.add_column("decided by", no_wrap=True, ratio=1)
    for street in scene.streets:
        table.add_row(
            street.name[:24],
            bar(street.lamps, street.reported),
            "" if street.wanted is None else _number(street.wanted, " %"),
            _number(street.flow),
            "🚶" if street.people else "",
            Text(street.owner, "dim" if street.owner in ("", "default") else "bold"),
        )
    return Panel(
        table,
        title="streets",
        subtitle="[red]!1[/]: one lamp differs from the others",
        border_style="yellow",
    )


def bar(lamps: Sequence[float | None], reported: float | None) -> Text:
    """Return the light of most lamps of a street as a bar, then its number; lamps that differ are counted in red."""
    known = [level for level in lamps if level is not None]
    level = median(known) if known else reported
    if level is None:
        return Text("?".ljust(BAR + 6), "red")
    whole, part = divmod(max(0.0, min(100.0, level)) / 100 * BAR, 1)
    drawn = "█" * int(whole) + (_EIGHTHS[int(part * 8)] if whole < BAR else "")
    text = Text(drawn.ljust(BAR)[:BAR], "bright_yellow" if level > 60 else "yellow")
    text.append(f" {level:3.0f} %")
    odd = sum(1 for lamp in lamps if lamp is None or abs(lamp - level) > 5)
    text.append(f" !{odd}" if odd else "   ", "red")
    return text


def _avenue(scene: Scene) -> RenderableType:
    table = Table(expand=True, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("junction", no_wrap=True, ratio=1)
    for title in ("asked for", "status", "serves"):
        table.add_column(title, no_wrap=True, min_width=9)
    for junction in scene.junctions:
        style = "green" if junction.asked_for else "dim"
        table.add_row(
            junction.name.rpartition(" / ")[2],  # all of them are on the one avenue
            Text(junction.asked_for or "-", style),
            Text(junction.status if junction.asked_for else "", style),
            Text(junction.held_by, "red" if junction.held_by == "emergency" else ""),
        )
    late = ", ".join(
        f"{bus.name} {round(bus.delay_s / 60):+d} min"
        for bus in scene.buses
        if bus.delay_s is not None
    )
    return Panel(Group(table, Text(late, "dim")), title="avenue", border_style="green")


def _watch(scene: Scene) -> RenderableType:
    busy = [c for c in scene.cameras if c.owner or c.recording == "continuous"]
    rows = [
        Text(f"{c.name}: {c.preset}, {c.recording}" + (f" ({c.owner})" if c.owner else ""))
        for c in busy
    ] or [Text(f"{len(scene.cameras)} cameras at rest", "dim")]
    return Panel(Group(*rows), title="cameras", border_style="magenta")


def _plans(scene: Scene) -> RenderableType:
    rows: list[RenderableType] = []
    for plan in scene.plans:
        if plan.level or plan.asks:
            name = f" ({plan.level_name})" if plan.level_name else ""
            reason = f": {plan.reason}" if plan.reason else ""
            rows.append(Text(f"{plan.name}, level {plan.level}{name}{reason}", "bold"))
        rows += [Text(f"  asks: {question}", "bold yellow") for question in plan.asks]
    if not rows:
        rows.append(Text("no plan is active", "dim"))
    for alarm in scene.alarms:
        rows.append(Text(f"! {alarm.text} ({alarm.state})", _SEVERITY.get(alarm.severity, "")))
    return Panel(Group(*rows), title="plans and alarms", border_style="red")


def _lines(scene: Scene, zone: tzinfo, rows: int, width: int, hint: str = "") -> RenderableType:
    """Return the last lines that fit, with those that are long on several rows."""
    shown: list[Text] = []
    for line in reversed(scene.lines):
        text = Text()
        text.append(f"{datetime.fromtimestamp(line.at, zone):%H:%M:%S}  ", "dim")
        text.append(line.text, _STYLES.get(line.kind, ""))
        rows -= -(-text.cell_len // max(20, width - 8))  # words break early, so a little narrower
        if rows < 0:
            break
        shown.append(text)
    text = Text("\n").join(reversed(shown))
    return Panel(
        text,
        title="what happens",
        subtitle=f"second terminal: {hint}" if hint else None,
        border_style="blue",
    )


_STYLES: Final = {
    "command": "cyan",
    "alarm": "bold red",
    "plan": "bold yellow",
    "rule": "",
    "person": "magenta",
    "followed": "green",
}


def _number(value: float | None, unit: str = "") -> str:
    return "?" if value is None else f"{value:.0f}{unit}"


def names(items: Iterable[str], most: int = 3) -> str:
    """Return some names, and how many more there are."""
    listed = list(items)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
