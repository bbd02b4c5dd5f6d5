"""Judges one chain: its rows by their hashes, its head, what it tells of people, and its anchors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

import msgspec

from pilotage.runtime.audit.anchors import AnchorLine
from pilotage.runtime.audit.entries import EMPTY, canonical, chained, from_json, salted
from pilotage.runtime.audit.store import COLUMNS, Head, read_head
from pilotage.runtime.audit.verified import MOST_FLAWS, ChainVerified, Say, Verified
from pilotage.runtime.journal import sqlite

PAGE: Final = 2_000

_EDITED: Final = "it was changed after it was written, or another row stands in its place"
_CUT: Final = "rows were removed"
_REWRITTEN: Final = "the chain was rewritten after it was anchored"


class ChainCheck:
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
        digests = as_map(private)
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
        told = as_map(detail)
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


def as_map(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a text, empty for an empty one; None when it is anything else."""
    try:
        found = from_json(text) if text else {}
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return found if isinstance(found, dict) else None
