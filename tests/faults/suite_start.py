"""How long a city of 10,000 rules and 200,000 points takes to start: the first time, after a stop, after kill -9; and a reload."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from tests.faults.broker import Broker
from tests.faults.city import City, install, temporary_folder, until
from tests.faults.figures import Figure, Size

from pilotage import api

GOALS = ("G11",)
STREETS: Final = {Size.SHORT: 500, Size.LONG: 33_333}
RULES: Final = {Size.SHORT: 200, Size.LONG: 10_000}
STARTS: Final = {Size.SHORT: 1, Size.LONG: 3}
PER_FILE: Final = 500
SLOW: Final = 600.0

KINDS: Final = """
from pilotage.hookspecs import hookimpl
from pilotage.model.entities import Access, Kind, PointSpec
from pilotage.model.values import BOOLEAN, number

BOULEVARD = Kind(
    "boulevard", "Boulevard",
    (
        PointSpec("flow", number("veh/h"), Access.REPORTED, low=0.0, high=10_000.0, max_age_s=900.0),
        PointSpec("speed", number("km/h"), Access.REPORTED, low=0.0, high=300.0, max_age_s=900.0),
        PointSpec("lux", number("lx"), Access.REPORTED, low=0.0, max_age_s=900.0),
        PointSpec("wet", BOOLEAN, Access.REPORTED, max_age_s=900.0),
        PointSpec("level", number("%"), Access.BOTH, low=0.0, high=100.0, default=100.0, max_age_s=900.0),
        PointSpec("power", number("kW"), Access.REPORTED, low=0.0, max_age_s=900.0),
    ),
)


@hookimpl
def pilotage_kinds():
    return [BOULEVARD]
"""

RULE: Final = """\
  dim-{n}:
    title: Dim boulevard {n}
    owner: lighting
    for_each: {{street: {{kind: boulevard, where: street.id == "b-{n}"}}}}
    while: street.flow < {limit} veh/h
    hold:
      - {{set: street.level, to: 30 %, priority: saving}}
"""
CONNECTION: Final = """\
  field:
    adapter: mqtt
    host: 127.0.0.1
    port: {port}
    points:
      - kind: boulevard
        read:
          - {{topic: "city/{{id}}/flow", point: flow, path: $.flow}}
          - {{topic: "city/{{id}}/level", point: level, path: $.level}}
        write:
          topic: city/{{id}}/level/set
          point: level
          payload: {{level: "{{value}}", id: "{{command}}", until: "{{deadline}}"}}
"""


def connection(port: int) -> str:
    """Return the connection of the large city."""
    return CONNECTION.format(port=port)


def rule_files(rules: int) -> dict[str, str]:
    """Return the rules of the large city, some hundred in a file."""
    files = {}
    for first in range(0, rules, PER_FILE):
        some = range(first, min(first + PER_FILE, rules))
        text = "".join(RULE.format(n=n, limit=40 + n % 50) for n in some)
        files[f"rules/part-{first:05}.yaml"] = f"version: 1\nrules:\n{text}"
    return files


def large_city(folder: Path, port: int, streets: int, rules: int) -> City:
    """Write the large city."""
    table = "id\n" + "".join(f"b-{n}\n" for n in range(streets))
    inventory = '[{file: boulevards.csv, kind: boulevard, id: "{id}"}]'
    config = (
        "site: {name: Largeville, time_zone: Europe/Paris, position: [47.32, 5.04], country: FR}\n"
        f"inventory: {inventory}\nconnections:\n{connection(port)}"
    )
    more = {**rule_files(rules), "boulevards.csv": table, "config.yaml": config}
    city = City(folder, "", 1, "version: 1\n", more=more)
    install(folder / "site", "boulevards", KINDS)
    return city


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of each thing that was timed."""

    cold: float
    cached: float
    killed: float
    reload: float
    longest_answer: float
    reloaded: float


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Start the city in every way, and exchange one file of its rules."""
    with temporary_folder() as folder:
        broker = Broker(folder)
        try:
            city = large_city(folder, broker.port, STREETS[size], RULES[size])
            times = _times(city, STARTS[size], say)
            city.kill()
        finally:
            broker.stop()
        taken = "taken from the snapshot" in city.log.read_text()
    return _figures(size, times, taken)


def _figures(size: Size, times: Times, taken: bool) -> list[Figure]:
    long = size is Size.LONG  # a short run has nothing to hurry for
    what = f"{RULES[size]:,} rules, {6 * STREETS[size]:,} points: "
    return [
        Figure(
            "G11", f"{what}first start", "< 8 s", f"{times.cold:.1f} s", not long or times.cold < 8
        ),
        Figure(
            "G11",
            f"{what}start after a stop in order",
            "< 2 s, nothing read again",
            f"{times.cached:.1f} s",
            taken and (not long or times.cached < 2),
        ),
        Figure(
            "G11",
            f"{what}start after kill -9",
            "< 5 s",
            f"{times.killed:.1f} s",
            not long or times.killed < 5,
        ),
        Figure(
            "G11",
            f"{what}one file of the rules exchanged",
            "< 0.2 s",
            f"{times.reload:.2f} s",
            not long or times.reload < 0.2,
        ),
        Figure(
            "G11",
            f"{what}start after kill -9 right after that",
            "< 5 s",
            f"{times.reloaded:.1f} s",
            not long or times.reloaded < 5,
        ),
        Figure(
            "G11",
            f"{what}longest answer of the engine meanwhile",
            "< 20 ms",
            f"{times.longest_answer * 1e3:.0f} ms",
            not long or times.longest_answer < 0.020,
        ),
    ]


def _times(city: City, starts: int, say: Callable[[str], None]) -> Times:
    cold = _timed(city.start)
    say(f"first start {cold:.1f} s")
    _wait_for_snapshot(city)
    cached, killed = [], []
    for _ in range(starts):
        city.stop()
        cached.append(_timed(city.start))
        _wait_for_snapshot(city)
        city.kill()
        killed.append(_timed(city.start))
        say(f"after a stop {cached[-1]:.1f} s, after kill -9 {killed[-1]:.1f} s")
    _wait_for_snapshot(city)
    with _asking(city) as answers:
        part = city.folder / "rules" / "part-00000.yaml"
        part.write_text(part.read_text().replace("to: 30 %", "to: 20 %", 1))
        with api.Client(city.socket, SLOW) as client:
            reload = _timed(lambda: client.ask(api.Reload()))
    city.kill()  # mostly before the snapshot that follows a reload
    reloaded = _timed(city.start)
    say(
        f"reload {reload:.2f} s, longest answer {max(answers) * 1e3:.0f} ms, start {reloaded:.1f} s"
    )
    return Times(cold, median(cached), median(killed), reload, max(answers), reloaded)


def _wait_for_snapshot(city: City) -> None:
    """Wait until what the engine read is in a snapshot."""
    folder = city.folder / "var" / "snapshots"
    before = set(folder.glob("*.snapshot"))
    until(lambda: before or set(folder.glob("*.snapshot")), "no snapshot", SLOW)


@contextmanager
def _asking(city: City) -> Iterator[list[float]]:
    """Ask the engine something small over and over; gives how long each answer took, in seconds."""
    answers: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        with api.Client(city.socket, SLOW) as client:
            while not stop.is_set():
                answers.append(_timed(lambda: client.ask(api.GetPoint(point="b-1.flow"))))
                time.sleep(0.005)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answers
    finally:
        stop.set()
        asking.join()


def _timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began
