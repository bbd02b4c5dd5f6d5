"""Judges an audit: whether every row is as it was written, none is missing, and the anchors say the same.

Reads one moment of the file, also while an engine writes it. Four witnesses are compared: the hashes of the rows, the head
of each chain, the anchors beside and elsewhere, and the journal, of which the rows after the last anchor are derived anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import msgspec

from pilotage.ports import LogUnusableError
from pilotage.runtime.audit.anchors import FOLDER, AnchorLine, read_anchors
from pilotage.runtime.audit.derive import derive
from pilotage.runtime.audit.entries import EMPTY, canonical, chained, from_json, salted
from pilotage.runtime.audit.store import COLUMNS, Head, read_head, reading, seal_of
from pilotage.runtime.journal import JournalReader, sqlite

PAGE: Final = 2_000
MOST_FLAWS: Final = 20

Say = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is not as it was written.

    Attributes:
        partition: Whose chain; empty for the file itself.
        number: The row, 0 when it is none in particular.
        what: What is wrong.
        meaning: What that means.
    """

    partition: str
    number: int
    what: str
    meaning: str


@dataclass(slots=True)
class ChainVerified:
    """What was found of one chain; `journal` counts the decisions that were compared with the journal."""

    partition: str
    first: int = 0
    last: int = 0
    rows: int = 0
    erased: int = 0
    anchors: int = 0
    anchored: int = 0
    journal: int = 0


@dataclass(slots=True)
class Verified:
    """The judgement: sound when there is no flaw; `notes` say what could not be looked at."""

    chains: list[ChainVerified] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: int = 0

    @property
    def is_sound(self) -> bool:
        """True when nothing was found."""
        return not self.flaws

    def add(self, partition: str, number: int, what: str, meaning: str) -> None:
        """Note a flaw; of very many only the first of a chain."""
        if sum(flaw.partition == partition for flaw in self.flaws) >= MOST_FLAWS:
            self.left_out += 1
        else:
            self.flaws.append(Flaw(partition, number, what, meaning))


def verify(
    path: Path,
    *,
    anchor_folder: Path | None = None,
    journal: Path | None = None,
    whole_journal: bool = False,
    say: Say = lambda rows: None,
) -> Verified:
    """Judge an audit.

    Args:
        path: The file; the folder `anchors` stands beside it.
        anchor_folder: The second folder of anchors.
        journal: The journal, whose decisions are derived anew; None leaves it out.
        whole_journal: Derive everything that the journal holds, not only what came after the last anchor.
        say: Called now and then with the number of rows that were read.

    Raises:
        LogUnusableError: There is no audit, or it is of a newer version.
    """
    report = Verified()
    # Anchors first: what an engine adds meanwhile is in the chain before it is in a file that is read later.
    lines = list(read_anchors(path.parent / FOLDER))
    copies = _copies(anchor_folder, report)
    connection = reading(path)
    try:
        connection.execute("BEGIN")
        names = _partitions(connection, report)
        for name in names:
            chain = _Chain(connection, name, report)
            chain.check(say)
            chain.check_anchors(lines, str(Path(FOLDER)), is_copy=False)
            if anchor_folder is not None and copies:
                chain.check_anchors(copies, str(anchor_folder), is_copy=True)
            if journal is not None:
                _check_journal(chain, journal, whole=whole_journal)
            report.chains.append(chain.found)
        _check_strangers([*lines, *copies], names, report)
        _check_memory(connection, report)
        _check_file(connection, report)
    except sqlite.DatabaseError as error:
        report.add("", 0, f"the file is damaged: {error}", _DAMAGED)
    finally:
        connection.close()
    return report


_DAMAGED: Final = (
    "bytes of it were changed, or the disk lost them; restore a backup and keep this file"
)
_EDITED: Final = "it was changed after it was written, or another row stands in its place"
_CUT: Final = "rows were removed"
_REWRITTEN: Final = "the chain was rewritten after it was anchored"


# ── a chain ──────────────────────────────────────────────────────────────────────────────────


class _Chain:
    """One chain while it is judged."""

    def __init__(self, connection: Any, partition: str, report: Verified) -> None:
        self.connection = connection
        self.partition = partition
        self.report = report
        self.head = self._head()
        self.found = ChainVerified(partition, self.head.first, self.head.number)
        self.found.anchored = self.head.anchored
        self._anchored: list[dict[str, Any]] = []
        self._sealed: list[dict[str, Any]] = []
        self._erased: dict[str, list[tuple[int, int, int]]] = {}
        self._missing: list[tuple[int, str]] = []

    def add(self, number: int, what: str, meaning: str) -> None:
        """Note a flaw of this chain."""
        self.report.add(self.partition, number, what, meaning)

    def _head(self) -> Head:
        found = self.connection.execute(
            "SELECT seal FROM heads WHERE partition = ?", (self.partition,)
        ).fetchone()
        head = read_head(self.connection, self.partition)
        if found is None:
            self.add(0, "the chain has no head", "the line that says where it stands was removed")
        elif found[0] != head.seal:
            self.add(0, "the head does not match its own checksum", "it was edited")
        return head

    def check(self, say: Say) -> None:
        """Judge the rows, from the first that is kept to the head."""
        before, expected = self.head.before, self.head.first
        for row in self._rows(say):
            number = row[1]
            if number > expected:
                self.add(expected, f"rows {expected} to {number - 1} are missing", _CUT)
            elif number < expected:
                self.add(number, f"row {number} stands before the first kept row", "it was added")
            self._check_row(row, before)
            before, expected = row[13], number + 1
            self.found.rows += 1
        if expected != self.head.number + 1:
            self.add(
                expected,
                f"the chain ends with row {expected - 1}, its head says {self.head.number}",
                _CUT if expected <= self.head.number else "rows were added",
            )
        elif before != self.head.hash:
            self.add(self.head.number, "the last row's hash is not the head's", _EDITED)
        self._check_start()
        self._check_erased()
        self._check_strays()

    def _rows(self, say: Say) -> Iterator[tuple[Any, ...]]:
        after = -(1 << 62)
        while True:
            page = self._page(after)
            yield from page
            say(self.found.rows)
            if not page:
                return
            after = page[-1][1]

    def _page(self, after: int) -> list[tuple[Any, ...]]:
        ask = f"SELECT {COLUMNS} FROM entries WHERE partition = ? AND number > ? ORDER BY number LIMIT ?"
        try:
            page: list[tuple[Any, ...]] = self.connection.execute(
                ask, (self.partition, after, PAGE)
            ).fetchall()
        except sqlite.OperationalError:  # a text that is no UTF-8: find whose
            page = [
                row
                for (number,) in self.connection.execute(
                    "SELECT number FROM entries WHERE partition = ? AND number > ? ORDER BY number LIMIT ?",
                    (self.partition, after, PAGE),
                ).fetchall()
                for row in self._one(number)
            ]
        if page:
            self._read_persons(page[0][1], page[-1][1])
        return page

    def _one(self, number: int) -> list[tuple[Any, ...]]:
        try:
            return list(
                self.connection.execute(
                    f"SELECT {COLUMNS} FROM entries WHERE partition = ? AND number = ?",
                    (self.partition, number),
                ).fetchall()
            )
        except sqlite.OperationalError as error:
            self.add(number, f"row {number} holds text that is none: {error}", _EDITED)
            return []

    def _read_persons(self, first: int, last: int) -> None:
        self._persons: dict[int, dict[str, tuple[bytes, str]]] = {}
        for number, name, salt, value in self.connection.execute(
            "SELECT number, field, salt, CAST(value AS BLOB) FROM persons"
            " WHERE partition = ? AND number BETWEEN ? AND ?",
            (self.partition, first, last),
        ):
            text = value.decode("utf-8", "replace")
            self._persons.setdefault(number, {})[name] = (salt, text)

    def _check_row(self, row: tuple[Any, ...], before: bytes) -> None:
        number, private = row[1], row[12]
        if chained(before, canonical(row[0], number, row[2:12], private)) != row[13]:
            self.add(number, f"row {number} does not match its hash", _EDITED)
        if private or number in self._persons:
            self._check_private(number, private)
        if row[3] == "audit":
            self._note_own(number, row[4], row[11])

    def _check_private(self, number: int, private: str) -> None:
        persons = self._persons.get(number, {})
        digests = _as_map(private)
        if digests is None:
            self.add(number, f"row {number} holds no digests of what is told of people", _EDITED)
            return
        for name, digest in digests.items():
            kept = persons.pop(name, None)
            if kept is None:
                self._missing.append((number, name))
            elif salted(kept[0], name, kept[1]) != digest:
                self.add(
                    number, f"the {name} of row {number} is not the one that was written", _EDITED
                )
        for name in persons:
            self.add(number, f"row {number} never had a {name}", "it was added")

    def _note_own(self, number: int, action: str, detail: str) -> None:
        """Keep what the audit says of itself: anchors, erasures, seals."""
        told = _as_map(detail)
        try:
            if told is None:
                raise ValueError
            match action:
                case "anchored":
                    self._anchored.append(told)
                case "sealed":
                    self._sealed.append(told)
                case "erased":
                    for name, rows in told["fields"].items():
                        self._erased.setdefault(name, []).extend((a, b, number) for a, b in rows)
        except (TypeError, KeyError, ValueError, AttributeError):
            self.add(number, f"row {number} says nothing that can be understood", _EDITED)

    def _check_start(self) -> None:
        head = self.head
        if head.first == 1:
            if head.before != EMPTY:
                self.add(1, "the chain does not begin with its first row", "its head was edited")
            return
        last = self._sealed[-1] if self._sealed else {}
        if (last.get("last"), last.get("hash")) != (head.first - 1, head.before.hex()):
            self.add(
                head.first,
                f"rows before {head.first} are gone, and no row says that they were sealed",
                _CUT,
            )

    def _check_erased(self) -> None:
        for number, name in self._missing:
            spans = self._erased.get(name, ())
            if any(a <= number <= b and number < by for a, b, by in spans):
                self.found.erased += 1
            else:
                self.add(
                    number,
                    f"the {name} of row {number} is gone, and no row says that it was erased",
                    "what is told of a person was removed without a trace",
                )

    def _check_strays(self) -> None:
        for number, name in self.connection.execute(
            "SELECT number, field FROM persons p WHERE partition = ? AND NOT EXISTS"
            " (SELECT 1 FROM entries e WHERE e.partition = p.partition AND e.number = p.number) LIMIT ?",
            (self.partition, MOST_FLAWS),
        ).fetchall():
            self.add(
                number, f"a {name} stands for row {number}, which is not there", "it was added"
            )

    # anchors

    def check_anchors(self, lines: Sequence[AnchorLine], folder: str, *, is_copy: bool) -> None:
        """Compare the anchors of a folder with the chain, both ways."""
        mine = [
            line
            for line in lines
            if line.anchor is not None
            and line.anchor.partition == self.partition
            and line.anchor.last >= self.head.first - 1
        ]
        hashes = self._hashes([line.anchor.last for line in mine if line.anchor is not None])
        for line in mine:
            self._check_anchor(line, folder, hashes)
        wanted = [(a.get("last"), a.get("digest"), a.get("file")) for a in self._anchored]
        found = [(x.last, x.digest, x.file) for line in mine if (x := line.anchor) is not None]
        if not is_copy:
            self.found.anchors = len(wanted)
        if is_copy and found == wanted[: len(found)] and len(found) < len(wanted):
            missing = len(wanted) - len(found)
            self.report.notes.append(
                f"{folder} lacks the last {missing} anchors of {self.partition}: it was not reached then"
            )
            return
        # One line more is there when the engine ended between the file and the chain.
        extra_is_fine = len(found) == len(wanted) + 1 and (
            not wanted or found[-1][0] > (wanted[-1][0] or 0)
        )
        for index, (own, there) in enumerate(zip_longest(wanted, found)):
            if own == there or (extra_is_fine and index == len(wanted)):
                continue
            number = (own or there)[0]
            self.add(
                number if isinstance(number, int) else 0,
                f"{folder}: the anchor of row {number} is not there as the chain has it",
                "an anchor was removed, changed, added or moved",
            )
            return

    def _check_anchor(self, line: AnchorLine, folder: str, hashes: Mapping[int, bytes]) -> None:
        anchor = line.anchor
        if anchor is None:
            return
        place = f"{folder}/{line.file}:{line.number}"
        if anchor.last > self.head.number:
            self.add(
                self.head.number,
                f"{place} knows row {anchor.last}, the chain ends with {self.head.number}",
                "rows at the end were removed, or an older file was put in place",
            )
        elif hashes.get(anchor.last) != anchor.hash:
            self.add(
                anchor.last, f"row {anchor.last} is not the one that {place} knows", _REWRITTEN
            )

    def _hashes(self, numbers: Iterable[int]) -> dict[int, bytes]:
        found = {self.head.first - 1: self.head.before}
        for number in numbers:
            row = self.connection.execute(
                "SELECT hash FROM entries WHERE partition = ? AND number = ?",
                (self.partition, number),
            ).fetchone()
            if row is not None:
                found[number] = row[0]
        return found


def _as_map(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a text, empty for an empty one; None when it is anything else."""
    try:
        found = from_json(text) if text else {}
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return found if isinstance(found, dict) else None


# ── the whole file ───────────────────────────────────────────────────────────────────────────


def _copies(folder: Path | None, report: Verified) -> list[AnchorLine]:
    if folder is None:
        return []
    if not folder.is_dir():
        report.notes.append(f"{folder} is not there: the anchors in it were not compared")
        return []
    return list(read_anchors(folder))


def _partitions(connection: Any, report: Verified) -> list[str]:
    """Return the names of all chains, also of those that should not be there."""
    names: set[str] = set()
    for table in ("heads", "entries", "persons", "memory"):
        found = connection.execute(
            f"SELECT DISTINCT CAST(partition AS BLOB) FROM {table}"
        ).fetchall()
        names |= {name.decode("utf-8", "replace") for (name,) in found}
    return sorted(names)


def _check_strangers(lines: Iterable[AnchorLine], names: Sequence[str], report: Verified) -> None:
    for line in lines:
        place = f"{line.file}:{line.number}"
        if line.anchor is None:
            report.add("", 0, f"{place} is no anchor: {line.text[:80]!r}", "the file was edited")
        elif line.anchor.partition not in names:
            what = f"{place} knows a chain {line.anchor.partition} that is not in the file"
            report.add("", 0, what, "the chain was removed, or another file was put in place")


def _check_memory(connection: Any, report: Verified) -> None:
    """Judge what is remembered for rows to come: a wrong reason would become a wrong row."""
    for partition, topic, name, value, seal in connection.execute(
        "SELECT CAST(partition AS BLOB), CAST(topic AS BLOB), CAST(name AS BLOB),"
        " CAST(value AS BLOB), seal FROM memory"
    ):
        texts = [raw.decode("utf-8", "replace") for raw in (partition, topic, name, value)]
        if seal_of(*texts) != seal:
            what = f"what is remembered of the {texts[1]} {texts[2]} does not match its checksum"
            report.add(texts[0], 0, what, "it was edited; rows to come would be wrong")


def _check_file(connection: Any, report: Verified) -> None:
    for (text,) in connection.execute(f"PRAGMA integrity_check({MOST_FLAWS})").fetchall():
        if text != "ok":
            report.add("", 0, f"the file is damaged: {text}", _DAMAGED)


# ── the journal ──────────────────────────────────────────────────────────────────────────────

_Told = tuple[int, str, str, str, str]
"""What the journal alone tells of a row: decision, kind, action, subject, value."""


def _check_journal(chain: _Chain, path: Path, *, whole: bool) -> None:
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


def _first_decision(chain: _Chain, row: int) -> int:
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
    start = (_as_map(begun[0]) or {}).get("after", 0) if begun is not None else 0
    return start if isinstance(start, int) else 0


def _derived(chain: _Chain, journal: JournalReader, after: int) -> Iterator[_Told]:
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


def _compare(chain: _Chain, first: int, derived: Iterator[_Told]) -> None:
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
