"""Compares a chain with the journal: derives the rows that decisions gave anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec

from pilotage.ports import LogUnusableError
from pilotage.runtime.audit.chain_check import ChainCheck, as_map
from pilotage.runtime.audit.derive import derive
from pilotage.runtime.journal import JournalReader, sqlite

_Told = tuple[int, str, str, str, str]
"""What the journal alone tells of a row: decision, kind, action, subject, value."""


def check_journal(chain: ChainCheck, path: Path, *, whole: bool) -> None:
    """Derive the rows that decisions gave anew, and compare them with the chain."""
    head = chain.head
    try:
        journal = JournalReader(path)
        last = journal.last_number(chain.partition)
    except (LogUnusableError, sqlite.Error) as error:
        note = str(error).splitlines()[0]
        chain.report.notes.append(f"the journal was not compared: {note}")
        return
    if last < head.decision:
        chain.add(
            0,
            f"the journal ends with decision {last}, the audit has taken up {head.decision}",
            "decisions were removed from the journal, or an older journal was put in place",
        )
        return
    if last > head.decision:
        chain.report.notes.append(
            f"{last - head.decision} decisions of {chain.partition} are not taken up yet;"
            " the engine does it within a second, or when it starts"
        )
    after = _first_decision(chain, 0 if whole else head.anchored)
    derived = _derived(chain, journal, after)
    first = next(derived, None)
    if first is None:
        return
    _compare(chain, first[0], derived)


def _first_decision(chain: ChainCheck, row: int) -> int:
    """Return the decision after which the comparison begins: the last whose rows stand up to a row."""
    ask = "SELECT decision FROM entries WHERE partition = ? AND decision > 0 AND kind != 'audit'"
    found = chain.connection.execute(
        f"{ask} AND number <= ? ORDER BY number DESC LIMIT 1", (chain.partition, row)
    ).fetchone()
    if found is not None:
        return int(found[0])
    if chain.head.first > 1:  # the rows of older decisions are sealed
        found = chain.connection.execute(
            f"{ask} ORDER BY number LIMIT 1", (chain.partition,)
        ).fetchone()
        return int(found[0]) - 1 if found is not None else chain.head.decision
    begun = chain.connection.execute(
        "SELECT detail FROM entries WHERE partition = ? AND number = 1 AND action = 'begun'",
        (chain.partition,),
    ).fetchone()
    start = (as_map(begun[0]) or {}).get("after", 0) if begun is not None else 0
    return start if isinstance(start, int) else 0


def _derived(chain: ChainCheck, journal: JournalReader, after: int) -> Iterator[_Told]:
    """Yield a line with the first decision that was found, then what each decision tells."""
    memory = _NoMemory()
    for record in journal.decisions(chain.partition, after=after):
        if record.number > chain.head.decision:
            return
        if not chain.found.journal:
            yield (record.number, "", "", "", "")
        chain.found.journal += 1
        for entry, _ in derive(msgspec.json.decode(record.record), memory):
            yield (record.number, entry.kind, entry.action, entry.subject, entry.value)


def _compare(chain: ChainCheck, first: int, derived: Iterator[_Told]) -> None:
    kept = chain.connection.execute(
        "SELECT decision, kind, action, subject, value, number FROM entries"
        " WHERE partition = ? AND decision >= ? AND kind != 'audit' ORDER BY number",
        (chain.partition, first),
    )
    for told, row in zip_longest(derived, kept):
        if told == (row[:5] if row is not None else None):
            continue
        number = row[5] if row is not None else chain.head.number
        chain.add(
            number,
            f"the journal has {_shown(told)} where the audit has {_shown(row)}",
            "rows were removed, added or rewritten after the last anchor, or the journal was changed",
        )
        return


def _shown(told: Sequence[Any] | None) -> str:
    if told is None:
        return "nothing"
    return f'"{told[1]} {told[2]} {told[3]} {told[4]}" (decision {told[0]})'.replace("  ", " ")


class _NoMemory:
    """Derives without a past: what is compared does not depend on it."""

    def identity(self, rule: str, now: float) -> str:
        return ""

    def reason(self, owner: str) -> None:
        return None

    def remember(self, owner: str, reason: Mapping[str, Any]) -> None:
        pass

    def sender(self, command: str) -> str:
        return ""

    def sent(self, command: str, rule: str) -> None:
        pass
