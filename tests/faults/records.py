"""What a journal says of the commands: read by the checkers of the suites, from the records alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pilotage.runtime.journal import JournalReader

CITY: Final = "city"


@dataclass
class Commands:
    """Every command of a journal and what became of it.

    Attributes:
        sent: By id, as the decision holds it.
        decided_at: When, seconds since 1970.
        ends: By id, the ends that are recorded.
        ended_at: By id, when the first was.
    """

    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    decided_at: dict[str, float] = field(default_factory=dict)
    ends: dict[str, list[str]] = field(default_factory=dict)
    ended_at: dict[str, float] = field(default_factory=dict)

    @property
    def unclassified(self) -> list[str]:
        """The commands that have not come to exactly one end."""
        return [id_ for id_ in self.sent if len(self.ends.get(id_, ())) != 1]

    @property
    def outcomes(self) -> Counter[str]:
        """How often which end."""
        return Counter(end for ends in self.ends.values() for end in ends)


def commands(journal: Path) -> Commands:
    """Read all commands of a journal."""
    found = Commands()
    for now, event in events(journal):
        if event["event"] == "Command":
            found.sent[event["id"]] = event
            found.decided_at[event["id"]] = now
        elif event["event"] == "Followed" and event["command"]:
            found.ends.setdefault(event["command"], []).append(event["outcome"])
            found.ended_at.setdefault(event["command"], now)
    return found


async def settled(journal: Path, within_s: float) -> Commands:
    """Wait until every command has its end, and return what the journal says then, or after so long."""
    end = time.monotonic() + within_s
    while True:
        found = await asyncio.to_thread(commands, journal)
        if not found.unclassified or time.monotonic() > end:
            return found
        await asyncio.sleep(0.5)


def events(journal: Path) -> Iterator[tuple[float, dict[str, Any]]]:
    """Yield every event of every decision, with its time."""
    for record in JournalReader(journal).decisions(CITY):
        for event in json.loads(record.record)["events"]:
            yield record.now, event


def lines(log: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a device's log."""
    text = log.read_text() if log.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
