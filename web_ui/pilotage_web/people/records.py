"""What the audit is to know of who came in: written with the change itself, then handed to the engine.

A row stands in the file of people until the engine has it on disk, so that a change made while the engine is away is not
forgotten. After a crash at the wrong moment the engine can hear of a row twice; its `row` is the same then.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pilotage.api import ApiError, RecordAudit
from pilotage_web.people.store import Store, Transaction

Detail = dict[str, str | int | float | bool]
Tell = Callable[[RecordAudit], Awaitable[object]]
"""Gives a row to the engine's audit; raises `ApiError` when it did not take it."""

MOST_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class By:
    """Who does something, and by which way: `cli`, or `web ADDRESS`."""

    person: str
    via: str
    reason: str = ""
    post: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A row for the audit; `about` is another person, and `detail` names nobody."""

    action: str
    by: By
    about: str = ""
    detail: Detail = field(default_factory=dict)


class Records:
    """The rows that the engine does not have yet."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, change: Transaction, record: Record, now: float) -> None:
        """Write a row as part of the change that it tells of."""
        by = record.by
        via = f"{by.via} {by.post}" if by.post and " " in by.via else by.via
        change.run(
            "INSERT INTO records (time, action, person, about, reason, via, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(
                now,
                record.action,
                by.person,
                record.about,
                by.reason,
                via,
                json.dumps(record.detail),
            ),
        )

    def note(self, record: Record, now: float) -> None:
        """Write a row of something that changed nothing here."""
        with self._store.writing() as change:
            self.write(change, record, now)

    def waiting(self) -> list[tuple[int, RecordAudit]]:
        """Return the oldest rows that wait, each with its number."""
        rows = self._store.read(
            "SELECT number, time, action, person, about, reason, via, detail FROM records ORDER BY number LIMIT ?",
            MOST_AT_ONCE,
        )
        return [
            (
                number,
                RecordAudit(
                    action=action,
                    person=person,
                    about=about,
                    reason=reason,
                    via=via,
                    detail={**json.loads(detail), "row": number, "time": round(time, 3)},
                ),
            )
            for number, time, action, person, about, reason, via, detail in rows
        ]

    def handed_over(self, number: int) -> None:
        """Forget a row that the engine has on disk."""
        with self._store.writing() as change:
            change.run("DELETE FROM records WHERE number = ?", number)


async def hand_over(records: Records, tell: Tell) -> int:
    """Give every waiting row to the engine, in order, and return how many it took; the others wait on."""
    count = 0
    for number, row in records.waiting():
        try:
            await tell(row)
        except ApiError:
            break
        records.handed_over(number)
        count += 1
    return count
