"""What the journal costs between a reading and its command: `python -m benchmarks.journal [--quick]`.

One engine, 5,000 readings a second, one in fifty of which makes a lamp change. The same load runs with the journal on
disk and with one that answers at once, in turns in one process, so that both see the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pilotage
from pilotage.model.messages import Command, Decision, Reading
from pilotage.model.quality import Quality
from pilotage.ports import DecisionRecord, Envelope
from pilotage.runtime.clock import SystemClock
from pilotage.runtime.health import Health
from pilotage.runtime.inbox import Inbox
from pilotage.runtime.journal import SqliteJournal
from pilotage.runtime.loop import Pump

CITY: Final = "city"
SEGMENTS: Final = 500
READINGS_PER_S: Final = 5_000
STEP_S: Final = 0.002  # what a socket gives in one read
ACTING_EVERY: Final = 50

RULES: Final = """\
version: 1
rules:
  light-for-people:
    title: Light where people are
    owner: lighting
    for_each: {segment: {kind: lighting_segment}}
    while: segment.pedestrian_detected
    hold:
      - {set: segment.lights.level, to: 80 %, priority: people}
"""


class NoJournal:
    """Answers at once, and keeps nothing."""

    is_full = False
    refusing_since: float | None = None

    def __init__(self) -> None:
        self._position = 0

    def last_number(self, partition: str) -> int:
        """Return that there is none."""
        return 0

    def put(self, partition: str, envelope: Envelope) -> int:
        """Count."""
        self._position += 1
        return self._position

    def position(self, partition: str) -> int:
        """Return the count."""
        return self._position

    def append(
        self, partition: str, expect: int, record: DecisionRecord, *, soon: bool = True
    ) -> asyncio.Future[int]:
        """Answer at once."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        answer.set_result(record.number)
        return answer

    def close(self) -> None:
        """Do nothing."""


class City:
    """An engine under load, and how long its commands took."""

    def __init__(self, journal: Any) -> None:
        inventory = [
            {"id": f"s-{n}", "kind": "lighting_segment", "dimmable": True} for n in range(SEGMENTS)
        ]
        self.clock = SystemClock()
        engine = pilotage.open_city(RULES, inventory, now=self.clock.now()).engine
        self.cells = engine.cells
        self.inbox = Inbox(Health())
        self.pump = Pump(CITY, engine, self.inbox, journal, self.clock, Health(), self._send)
        self.waits: list[float] = []
        self._asked: dict[str, float] = {}
        self._there = [False] * SEGMENTS
        self._count = 0

    def read(self) -> None:
        """Take the next reading: a brightness that nobody asks for, or somebody who comes or goes."""
        self._count += 1
        segment = self._count * 7 % SEGMENTS
        if self._count % ACTING_EVERY:
            self._put(f"s-{segment}.lights.level", None)
            return
        there = self._there[segment] = not self._there[segment]
        self._asked[f"s-{segment}.lights.level"] = time.perf_counter()
        self._put(f"s-{segment}.pedestrian_detected", there)

    def _put(self, point: str, value: Any) -> None:
        cell = self.cells[point]
        if value is None:
            value = cell.value if cell.value is not None else 0.0
        self.inbox.put(Reading(cell, value, Quality.GOOD, self.clock.now()))

    def _send(self, decision: Decision) -> None:
        for command in decision.outgoing:
            if not isinstance(command, Command):
                continue
            asked = self._asked.pop(command.point, None)
            if asked is not None:
                self.waits.append(time.perf_counter() - asked)
            self._put(command.point, 0.0 if command.value is None else command.value)


async def run(journal: Any, seconds: float) -> list[float]:
    """Load a city for some seconds; returns how long each command took, in seconds."""
    city = City(journal)
    city.pump.start()
    began, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        while done < elapsed * READINGS_PER_S:
            city.read()
            done += 1
        await asyncio.sleep(STEP_S)
    city.pump.stop()
    await city.pump.drained()
    return city.waits


def turns(seconds: float, count: int, folder: Path | None) -> Iterator[tuple[bool, list[float]]]:
    """Run without and with the journal in turns."""
    for _ in range(count):
        for with_journal in (False, True):
            if not with_journal:
                yield False, asyncio.run(run(NoJournal(), seconds))
                continue
            with tempfile.TemporaryDirectory(dir=folder) as place:
                journal = SqliteJournal(Path(place, "journal.db"), Health())
                journal.open(CITY)
                try:
                    yield True, asyncio.run(run(journal, seconds))
                finally:
                    journal.close()


def percentile(waits: list[float], share: float) -> float:
    """Return a percentile in milliseconds."""
    return sorted(waits)[min(len(waits) - 1, int(share * len(waits)))] * 1e3


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.journal", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds")
    parser.add_argument("--folder", type=Path, help="where the journal is, for another disk")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(argv)
    waits: dict[bool, list[float]] = {False: [], True: []}
    seconds, count = (3.0, 1) if options.quick else (10.0, 3)
    for with_journal, found in turns(seconds, count, options.folder):
        waits[with_journal] += found
    print(
        f"reading to command, {READINGS_PER_S:,} readings/s, {READINGS_PER_S // ACTING_EVERY} changes/s"
    )
    print("journal | commands |  p50 ms |  p90 ms |  p99 ms")
    for with_journal, name in ((False, "off"), (True, "on")):
        of = waits[with_journal]
        shares = " | ".join(f"{percentile(of, share):7.2f}" for share in (0.5, 0.9, 0.99))
        print(f"{name:7} | {len(of):8,} | {shares}")
    more = [percentile(waits[True], s) - percentile(waits[False], s) for s in (0.5, 0.99)]
    print(f"the journal costs {more[0]:.2f} ms at p50, {more[1]:.2f} ms at p99")
    if options.json is not None:
        figures = {"readings_per_s": READINGS_PER_S, "more_p50_ms": more[0], "more_p99_ms": more[1]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
