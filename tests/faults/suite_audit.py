"""The audit: whether every tampering is found, and how long a large chain takes to verify (G17)."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.faults.figures import Figure, Size

from pilotage.model.messages import (
    Command,
    Decision,
    Demanded,
    Followed,
    OrderRefused,
    OrderTaken,
    RuleChanged,
)
from pilotage.ports import DecisionRecord
from pilotage.runtime.audit.anchors import FOLDER
from pilotage.runtime.audit.entries import EMPTY, Entry, canonical, chained
from pilotage.runtime.audit.log import AuditLog
from pilotage.runtime.audit.store import COLUMNS, Book, Head, read_head
from pilotage.runtime.audit.verify import verify
from pilotage.runtime.envelope import encode_decision
from pilotage.runtime.health import Health
from pilotage.runtime.journal import SqliteJournal, sqlite

GOALS: tuple[str, ...] = ("G17",)

ROWS: Final = {Size.SHORT: 20_000, Size.LONG: 1_000_000}
TAMPERINGS: Final = {Size.SHORT: 200, Size.LONG: 10_000}
VERIFIED_WITHIN_S: Final = 30.0
SEED: Final = 17
CITY: Final = "city"
START: Final = 1_768_500_000.0


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Verify a long chain, and tamper with a short one in every way."""
    with tempfile.TemporaryDirectory(prefix="pilotage-audit-") as folder:
        return [
            _speed(Path(folder) / "long", ROWS[size], size, say),
            *_tampering(Path(folder) / "short", TAMPERINGS[size], say),
        ]


# ── a long chain ─────────────────────────────────────────────────────────────────────────────


def _speed(folder: Path, rows: int, size: Size, say: Callable[[str], None]) -> Figure:
    book = Book(folder / "audit.db")
    detail = '{"attempt":1,"because":{"decision":1,"read":{"seg-1.traffic.flow":41.0},"state":"holding"},"command":"1-1"}'
    for begin in range(0, rows, 10_000):
        with book.writing():
            for number in range(begin, min(rows, begin + 10_000)):
                subject = f"seg-{number % 5000}.lights.level"
                identity = "a1b2c3d4e5f60718"
                entry = Entry(
                    START + number,
                    "command",
                    "sent",
                    subject,
                    "dim",
                    identity,
                    number,
                    value="30.0",
                    detail=detail,
                )
                book.append(CITY, entry, {"person": "m.garcia"} if number % 100 == 0 else {})
    book.close()
    say(f"{rows:,} rows written")
    began = time.perf_counter()
    found = verify(folder / "audit.db")
    took = time.perf_counter() - began
    say(f"{rows:,} rows verified in {took:.1f} s")
    within = size is Size.SHORT or took < VERIFIED_WITHIN_S
    return Figure(
        "G17",
        f"{rows:,} rows of the audit verified",
        f"sound, in {VERIFIED_WITHIN_S:g} s" if size is Size.LONG else "sound",
        f"{'sound' if found.is_sound else 'not sound'}, {found.chains[0].rows:,} rows in {took:.1f} s",
        found.is_sound and found.chains[0].rows == rows and within,
    )


# ── a city's days, small ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Storage:
    """The files of an audit and of what stands beside it."""

    folder: Path

    @property
    def audit(self) -> Path:
        """The audit's file."""
        return self.folder / "audit.db"

    @property
    def journal(self) -> Path:
        """The journal that it follows."""
        return self.folder / "journal.db"

    @property
    def anchors(self) -> Path:
        """The anchors beside it."""
        return self.folder / FOLDER

    @property
    def copy(self) -> Path:
        """The second folder of anchors."""
        return self.folder / "elsewhere"

    def is_sound(self) -> bool:
        """Judge it."""
        found = verify(self.audit, anchor_folder=self.copy, journal=self.journal)
        return found.is_sound


class _Days:
    """A clock that goes on by hand."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def delay(self, seconds: float) -> float:
        return seconds


async def make_storage(folder: Path) -> Storage:
    """Return an audit of some days: commands, overrides, refusals, logins, an erasure, a seal, anchors, and a tail.

    It is copied while its writer stands: as a kill would leave it, with rows that no anchor covers.
    """
    storage, clock, health = Storage(folder / "running"), _Days(), Health()
    journal = SqliteJournal(storage.journal, health, lazy_s=0.001)
    journal.open(CITY)
    log = AuditLog(
        storage.audit, storage.journal, clock, health, anchor_folder=storage.copy, lazy_s=0.001
    )
    log.open(CITY)
    numbers = iter(range(1, 1 << 30))
    for day in range(5):
        clock.time = START + day * 86_400
        await _decide(journal, numbers, clock, 12)
        log.catch_up()
        for person in ("m.garcia", "a.martin"):
            entry = Entry(clock.time, "access", "login", origin="web")
            log.record(entry, {"person": person, "address": "192.0.2.7"}).result()
        if day == 3:
            log.erase("a.martin", {"person": "dpo", "reason": "request"}, "cli").result()
        log.anchor().result()
        if day == 1:
            log.forget(START + 86_000).result()
    await _decide(journal, numbers, clock, 6)
    log.catch_up()
    shutil.copytree(storage.folder, folder / "clean")
    log.close()
    journal.close()
    return Storage(folder / "clean")


async def _decide(journal: SqliteJournal, numbers: Iterator[int], clock: _Days, count: int) -> None:
    for _ in range(count):
        number = next(numbers)
        clock.time += 10.0
        decision = Decision(number, clock.time, tuple(_events(number, clock.time)))
        record = DecisionRecord(number, clock.time, encode_decision(decision))
        await journal.append(CITY, number - 1, record)


def _events(number: int, now: float) -> Iterator[Any]:
    street = f"seg-{number % 7}"
    point, owner = f"{street}.lights.level", f"dim[{street}]"
    read = ((f"{street}.traffic.flow", float(number)),)
    yield RuleChanged("dim", street, "idle", "holding", "", read)
    yield Command(f"{number}-1", point, 30.0, now + 5, owner)
    if number > 1:
        yield Followed(f"seg-{(number - 1) % 7}.lights.level", f"{number - 1}-1", "done")
    if number % 3 == 0:
        yield Demanded(point, "operator m.garcia", 8, 80.0, "road works", now + 600)
        yield OrderTaken("override", "m.garcia", "", f"override {point}", "road works", "cli maria")
    if number % 5 == 0:
        yield OrderRefused("override", "a.martin", "too long", f"override {point}", "", "web www")


# ── tampering ────────────────────────────────────────────────────────────────────────────────


def _tampering(folder: Path, count: int, say: Callable[[str], None]) -> list[Figure]:
    clean = asyncio.run(make_storage(folder))
    sound = clean.is_sound()
    dice = random.Random(SEED)
    missed: dict[str, list[int]] = {}
    tried: dict[str, int] = {}
    work = Storage(folder / "work")
    for index in range(count):
        name = list(WAYS)[index % len(WAYS)]
        shutil.rmtree(work.folder, ignore_errors=True)
        shutil.copytree(clean.folder, work.folder)
        WAYS[name](work, dice)
        tried[name] = tried.get(name, 0) + 1
        if work.is_sound():
            missed.setdefault(name, []).append(index)
        if index % 1_000 == 999:
            say(f"{index + 1:,} tamperings, {sum(map(len, missed.values()))} not found")
    found = count - sum(map(len, missed.values()))
    say(f"{len(tried)} ways; not found: {missed or 'none'}")
    return [
        Figure("G17", "an audit that nobody touched", "sound", "sound" if sound else "not", sound),
        Figure(
            "G17",
            f"random tamperings in {len(WAYS)} ways (seed {SEED})",
            f"{count:,} of {count:,} found",
            f"{found:,} of {count:,} found",
            found == count,
        ),
    ]


@contextmanager
def _opened(storage: Storage) -> Iterator[Any]:
    with closing(sqlite.connect(str(storage.audit), isolation_level=None)) as connection:
        yield connection


def _rows(connection: Any) -> list[tuple[Any, ...]]:
    return list(connection.execute(f"SELECT {COLUMNS} FROM entries ORDER BY number").fetchall())


def _other(value: Any, dice: random.Random) -> Any:
    """Return another value of the same type."""
    match value:
        case bytes():
            place = dice.randrange(len(value)) if value else 0
            changed = bytearray(value or b"\0")
            changed[place] ^= 1 << dice.randrange(8)
            return bytes(changed) if value else b"\1"
        case str():
            place = dice.randrange(len(value) + 1)
            return value[:place] + dice.choice("abcXYZ019{}") + value[place:]
        case float():
            return value + dice.choice([-1.0, 1e-3, 86_400.0])
        case _:
            return value + dice.choice([-1, 1, 1_000])


def _edit_row(storage: Storage, dice: random.Random) -> None:
    """Change one column of one row."""
    columns = [name.strip() for name in COLUMNS.split(",")]
    with _opened(storage) as connection:
        row = dice.choice(_rows(connection))
        index = dice.randrange(len(columns))
        connection.execute(
            f"UPDATE OR REPLACE entries SET {columns[index]} = ? WHERE number = ?",
            (_other(row[index], dice), row[1]),
        )


def _remove_rows(storage: Storage, dice: random.Random) -> None:
    """Remove one row or some, also at the end."""
    with _opened(storage) as connection:
        first = dice.choice(_rows(connection))[1]
        connection.execute(
            "DELETE FROM entries WHERE number BETWEEN ? AND ?", (first, first + dice.randrange(4))
        )


def _insert_row(storage: Storage, dice: random.Random) -> None:
    """Add a row at the end, or in another chain."""
    with _opened(storage) as connection:
        rows = _rows(connection)
        row = list(dice.choice(rows))
        row[1] = rows[-1][1] + 1
        if dice.random() < 0.3:
            row[0] = "other"
        connection.execute(f"INSERT INTO entries VALUES ({','.join('?' * len(row))})", row)


def _swap_rows(storage: Storage, dice: random.Random) -> None:
    """Exchange the contents of two rows, with or without their hashes."""
    with _opened(storage) as connection:
        rows = _rows(connection)
        one, two = dice.sample(rows, 2)
        last = 14 if dice.random() < 0.5 else 12
        names = [name.strip() for name in COLUMNS.split(",")][2:last]
        while one[2:last] == two[2:last]:
            one, two = dice.sample(rows, 2)
        setting = ", ".join(f"{name} = ?" for name in names)
        for target, source in ((one, two), (two, one)):
            connection.execute(
                f"UPDATE entries SET {setting} WHERE number = ?", (*source[2:last], target[1])
            )


def _edit_person(storage: Storage, dice: random.Random) -> None:
    """Change, add or remove what is told of a person."""
    with _opened(storage) as connection:
        people = connection.execute("SELECT number, field, salt, value FROM persons").fetchall()
        number, field, salt, value = dice.choice(people)
        match dice.randrange(4):
            case 0:
                change, given = "value = ?", _other(value, dice)
            case 1:
                change, given = "salt = ?", _other(salt, dice)
            case 2:
                connection.execute(
                    "DELETE FROM persons WHERE number = ? AND field = ?", (number, field)
                )
                return
            case _:
                connection.execute(
                    "INSERT INTO persons VALUES (?,?,?,?,?)",
                    (CITY, number + dice.choice([0, 10_000]), "friend", salt, value),
                )
                return
        connection.execute(
            f"UPDATE persons SET {change} WHERE number = ? AND field = ?", (given, number, field)
        )


def _edit_head(storage: Storage, dice: random.Random) -> None:
    """Change one column of the head, or remove it."""
    columns = ["partition", "number", "hash", "first", "before", "decision", "anchored", "seal"]
    with _opened(storage) as connection:
        name = dice.choice(columns)
        (value,) = connection.execute(f"SELECT {name} FROM heads").fetchone()
        if dice.random() < 0.1:
            connection.execute("DELETE FROM heads")
        else:
            connection.execute(f"UPDATE heads SET {name} = ?", (_other(value, dice),))


def _edit_memory(storage: Storage, dice: random.Random) -> None:
    """Change why a rule holds, as it is remembered for the rows to come."""
    with _opened(storage) as connection:
        topic, name, value = dice.choice(
            connection.execute("SELECT topic, name, value FROM memory").fetchall()
        )
        connection.execute(
            "UPDATE memory SET value = ? WHERE topic = ? AND name = ?",
            (_other(value, dice), topic, name),
        )


def _rewrite(storage: Storage, first: int, dice: random.Random, *, drop: bool) -> None:
    """Change or drop a row that came from a decision, and make every later hash and the head fit."""
    with _opened(storage) as connection:
        head = read_head(connection, CITY)
        rows = _rows(connection)
        decided = [row for row in rows if row[1] >= first and row[8] > 0]
        chosen = dice.choice(decided)
        kept = []
        for row in rows:
            if row == chosen:
                if drop:
                    continue
                row = (*row[:5], f"{row[5]}x", *row[6:])  # the subject
            kept.append(row)
        before, number = head.before, head.first - 1
        connection.execute("DELETE FROM entries")
        for row in kept:
            number += 1
            before = chained(before, canonical(CITY, number, row[2:12], row[12]))
            connection.execute(
                f"INSERT INTO entries VALUES ({','.join('?' * len(row))})",
                (row[0], number, *row[2:13], before),
            )
        if drop:
            connection.execute("DELETE FROM persons WHERE number = ?", (chosen[1],))
            connection.execute("UPDATE persons SET number = -number WHERE number > ?", (chosen[1],))
            connection.execute("UPDATE persons SET number = -number - 1 WHERE number < 0")
        _set_head(connection, head._replace(number=number, hash=before))


def _set_head(connection: Any, head: Head) -> None:
    connection.execute(
        "UPDATE heads SET number = ?, hash = ?, first = ?, before = ?, decision = ?, seal = ?",
        (head.number, head.hash, head.first, head.before, head.decision, head.seal),
    )


def _rewrite_chain(storage: Storage, dice: random.Random) -> None:
    """Rewrite the chain from a row that an anchor covers."""
    _rewrite(storage, 0, dice, drop=dice.random() < 0.5)


def _rewrite_tail(storage: Storage, dice: random.Random) -> None:
    """Rewrite what came after the last anchor: only the journal knows it then."""
    with _opened(storage) as connection:
        anchored = read_head(connection, CITY).anchored
    _rewrite(storage, anchored + 2, dice, drop=dice.random() < 0.5)


def _cut_tail(storage: Storage, dice: random.Random) -> None:
    """Remove decided rows at the end and set the head back, with or without its place in the journal."""
    with _opened(storage) as connection:
        head = read_head(connection, CITY)
        rows = _rows(connection)
        count = dice.randrange(1, head.number - head.anchored - 1)
        last = rows[-count - 1]
        connection.execute("DELETE FROM entries WHERE number > ?", (last[1],))
        connection.execute("DELETE FROM persons WHERE number > ?", (last[1],))
        _set_head(connection, head._replace(number=last[1], hash=last[13]))


def _forget_start(storage: Storage, dice: random.Random) -> None:
    """Remove the oldest rows and set the head as if they had been sealed."""
    with _opened(storage) as connection:
        head = read_head(connection, CITY)
        row = dice.choice(_rows(connection)[:-1])
        connection.execute("DELETE FROM entries WHERE number <= ?", (row[1],))
        connection.execute("DELETE FROM persons WHERE number <= ?", (row[1],))
        _set_head(connection, head._replace(first=row[1] + 1, before=row[13]))


def _new_chain(storage: Storage, dice: random.Random) -> None:
    """Write a whole new chain of the same rows from number 1, and the anchors beside it too."""
    shutil.rmtree(storage.anchors)
    with _opened(storage) as connection:
        rows = _rows(connection)
        connection.execute("DELETE FROM entries")
        before = EMPTY
        for number, row in enumerate(rows, 1):
            private = "" if dice.random() < 0.5 else row[12]
            before = chained(before, canonical(CITY, number, row[2:12], private))
            connection.execute(
                f"INSERT INTO entries VALUES ({','.join('?' * len(row))})",
                (row[0], number, *row[2:12], private, before),
            )
        connection.execute("DELETE FROM persons")
        head = Head(CITY, len(rows), before, decision=read_head(connection, CITY).decision)
        _set_head(connection, head)


def _edit_anchor(storage: Storage, dice: random.Random) -> None:
    """Change a byte of an anchor, remove or repeat a line, remove a file."""
    folder = dice.choice([storage.anchors, storage.anchors, storage.copy])
    path = dice.choice(sorted(folder.glob("*.anchor"))[1:])  # the first is of rows that are sealed
    raw = bytearray(path.read_bytes())
    match dice.randrange(4):
        case 0 | 1:
            place = dice.randrange(len(raw))
            raw[place] ^= 1 << dice.randrange(8)
            path.write_bytes(raw)
        case 2:
            path.write_bytes(bytes(raw) + bytes(raw))
        case _:
            storage_file = storage.anchors / path.name  # a copy that lags behind is no tampering
            storage_file.unlink()


def _older_file(storage: Storage, dice: random.Random) -> None:
    """Put a journal in place that is behind the audit."""
    cut = dice.randrange(1, 30)
    with closing(sqlite.connect(str(storage.journal), isolation_level=None)) as connection:
        (number,) = connection.execute("SELECT max(number) FROM decisions").fetchone()
        connection.execute("DELETE FROM decisions WHERE number > ?", (number - cut,))
        connection.execute("UPDATE partitions SET number = ?", (number - cut,))


def _flip_bytes(storage: Storage, dice: random.Random) -> None:
    """Change a byte of a row where it lies in the file."""
    with _opened(storage) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        row = dice.choice(_rows(connection))
    raw = bytearray(storage.audit.read_bytes())
    place = raw.find(row[13])
    assert place > 0
    raw[place + dice.randrange(32)] ^= 1 << dice.randrange(8)
    storage.audit.write_bytes(raw)


WAYS: Final[dict[str, Callable[[Storage, random.Random], None]]] = {
    way.__name__.strip("_"): way
    for way in (
        *(_edit_row, _remove_rows, _insert_row, _swap_rows, _edit_person, _edit_head, _edit_memory),
        *(_rewrite_chain, _rewrite_tail, _cut_tail, _forget_start, _new_chain, _edit_anchor),
        *(_older_file, _flip_bytes),
    )
}
