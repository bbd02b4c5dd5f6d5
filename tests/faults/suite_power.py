"""Power cuts at any moment while the journal is written, made new, checkpointed and cut back: nothing answered is lost."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import multiprocessing
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.crash_disk import Recording, cuts, recorded, sqlite
from tests.faults.figures import Figure, Size

from pilotage.ports import DecisionRecord, Envelope
from pilotage.runtime.health import Health
from pilotage.runtime.journal import JournalReader, SqliteJournal

GOALS = ("G2",)
CITY: Final = "city"
FILE: Final = "journal.db"
KEEP: Final = 60.0  # decisions that are kept, in seconds; one is decided each second
CUTS_OF_A_DAY: Final = 150
SIZES: Final = {
    Size.SHORT: (300, 2),
    Size.LONG: (20_000, 40),
}  # cuts of the journal, days of controls


class Answered(NamedTuple):
    """What the journal had promised at a moment."""

    number: int = 0  # the last decision that was answered
    epoch: int = 0
    forgotten: float = 0.0  # what is older may be gone


@dataclass
class Day:
    """A journal's work, recorded, and what it was given."""

    recording: Recording = field(default_factory=Recording)
    records: dict[int, DecisionRecord] = field(default_factory=dict)
    envelopes: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Outcome:
    """What was found after some power cuts."""

    cuts: int = 0
    lost: int = 0
    corrupt: int = 0
    first: str = ""

    def blame(self, kind: str, what: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        self.first = self.first or what

    @property
    def is_bad(self) -> bool:
        return bool(self.lost or self.corrupt)


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Cut the power of the journal, and of two journals that sync too little."""
    count, controls = SIZES[size]
    days = [("full", seed, CUTS_OF_A_DAY) for seed in range(-(-count // CUTS_OF_A_DAY))]
    outcomes = _all(size, days)
    total = functools.reduce(_sum, outcomes)
    say(f"{total.cuts} power cuts in {len(days)} days: {total.lost} lost, {total.corrupt} corrupt")
    if total.first:
        say(f"first: {total.first}")
    figures = [
        Figure(
            "G2",
            f"{total.cuts} power cuts of the journal",
            "0 lost, 0 corrupt",
            f"{total.lost} lost, {total.corrupt} corrupt",
            total.cuts >= count and not total.is_bad,
        )
    ]
    for sync in ("normal", "off"):
        found = _all(size, [(sync, seed, CUTS_OF_A_DAY) for seed in range(controls)])
        detected = sum(outcome.is_bad for outcome in found)
        figures.append(
            Figure(
                "G2",
                f"control: {controls} days with synchronous={sync.upper()}",
                "100 % detected",
                f"{detected / controls:.0%} detected",
                detected == controls,
            )
        )
    return figures


def _all(size: Size, days: list[tuple[str, int, int]]) -> list[Outcome]:
    """Run the days, on all cores in the long form."""
    if size is Size.SHORT:
        return [_day(day) for day in days]
    with multiprocessing.get_context("spawn").Pool() as pool:
        return pool.map(_day, days, chunksize=4)


def _sum(one: Outcome, other: Outcome) -> Outcome:
    return Outcome(
        one.cuts + other.cuts,
        one.lost + other.lost,
        one.corrupt + other.corrupt,
        one.first or other.first,
    )


def _day(what: tuple[str, int, int]) -> Outcome:
    """Record a day of the journal and cut the power at random moments of it."""
    sync, seed, count = what
    outcome = Outcome()
    rng = random.Random(f"power {sync} {seed}")
    with _folder() as folder:
        day = asyncio.run(_work(folder, sync, rng))
    moments = cuts(day.recording.operations, count, rng)
    for index, (disk, marks) in enumerate(moments):
        answered = marks[-1] if marks else Answered()
        with _folder() as folder:
            disk.cut(folder, rng)
            outcome.cuts += 1
            found = _judge(folder, day, answered, reopen=index % 5 == 0)
        if found is not None:
            outcome.blame(found[0], f"sync {sync}, seed {seed}, cut {index}: {found[1]}")
    return outcome


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder in memory where there is one: the disk that is tested is simulated."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


# ── a day of the journal ─────────────────────────────────────────────────────────────────────


async def _work(folder: Path, sync: str, rng: random.Random) -> Day:
    """Write decisions one by one and in bursts, forget old ones, and start anew some times."""
    day = Day()
    # Small checkpoints: the log is begun anew often, which is where a journal is in danger. Each of them syncs, so
    # that a control with small ones would be hardly weaker than what it is compared with.
    pages = rng.choice([4, 15, 60, 1000] if sync == "full" else [60, 1000])
    checkpoint = f"PRAGMA wal_autocheckpoint = {pages}"

    def replace(sql: str) -> str:
        if "synchronous" not in sql:
            return sql
        return f"{checkpoint}; {'PRAGMA synchronous = OFF' if sync == 'off' else sql}"

    number, epoch, forgotten = 0, 0, 0.0
    with recorded(folder, day.recording, replace) as connect:
        for _ in range(rng.randrange(1, 4)):
            journal = SqliteJournal(
                folder / FILE,
                Health(),
                sync="normal" if sync == "normal" else "full",
                lazy_s=0.001,
                connect=connect,
            )
            journal.open(CITY)
            epoch = journal.epoch(CITY)
            day.recording.mark(Answered(number, epoch, forgotten))
            for _ in range(rng.randrange(10, 40)):
                number = await _burst(journal, day, number, rng)
                if rng.random() < 0.1 and number > KEEP:
                    forgotten = number - KEEP
                    # From here on: the rows go when the writer comes to it.
                    day.recording.mark(Answered(number, epoch, forgotten))
                    journal.forget(forgotten, forgotten)
                else:
                    day.recording.mark(Answered(number, epoch, forgotten))
            journal.close()
    return day


async def _burst(journal: SqliteJournal, day: Day, number: int, rng: random.Random) -> int:
    """Decide some things, wait until they are answered, and return the number of the last."""
    waiting = []
    for _ in range(rng.choice([1, 1, 1, 2, 5, 20])):
        envelope = rng.randbytes(rng.choice([20, 200, 900]))
        journal.put(CITY, Envelope(float(number + 1), envelope, number))
        record = DecisionRecord(
            number + 1, float(number + 1), rng.randbytes(rng.choice([50, 300, 5000]))
        )
        day.envelopes[number] = envelope
        waiting.append(asyncio.ensure_future(journal.append(CITY, number, record)))
        number += 1
        day.records[number] = record
    await asyncio.gather(*waiting)
    return number


# ── the day after ────────────────────────────────────────────────────────────────────────────


def _judge(folder: Path, day: Day, answered: Answered, *, reopen: bool) -> tuple[str, str] | None:
    """Return what is wrong with what a power cut left, None when everything answered is there and sound."""
    path = folder / FILE
    try:
        if not _is_a_journal(path):
            if answered.number or answered.epoch:
                return "lost", "the journal is not there"
        elif (wrong := _integrity(path) or _contents(path, day, answered)) is not None:
            return wrong
        if reopen:
            return _next_start(path, answered)
    except (sqlite.DatabaseError, OSError, RuntimeError) as error:
        return "corrupt", f"{type(error).__name__}: {error}"
    return None


def _is_a_journal(path: Path) -> bool:
    """False while the file was not made whole; nothing has been answered from it then."""
    if not path.exists():
        return False
    with contextlib.closing(sqlite.connect(str(path))) as connection:
        return bool(connection.execute("PRAGMA user_version").fetchone()[0])


def _integrity(path: Path) -> tuple[str, str] | None:
    with contextlib.closing(sqlite.connect(str(path))) as connection:
        said = connection.execute("PRAGMA integrity_check").fetchone()[0]
    return None if said == "ok" else ("corrupt", str(said))


def _contents(path: Path, day: Day, answered: Answered) -> tuple[str, str] | None:
    """Compare what is there with what was answered."""
    reader = JournalReader(path)
    found = list(reader.decisions(CITY))
    numbers = [record.number for record in found]
    last = reader.last_number(CITY)
    if numbers != list(range(last - len(found) + 1, last + 1)):
        return "corrupt", f"decisions {numbers[:3]}…{numbers[-3:]}, the last should be {last}"
    if last < answered.number:
        return "lost", f"decision {answered.number} was answered, the journal ends at {last}"
    kept = [number for number in day.records if answered.forgotten <= number <= last]
    if kept and (not numbers or numbers[0] > kept[0]):
        return "lost", f"decisions begin at {numbers[:1]}, {kept[0]} was to be kept"
    if any(record != day.records[record.number] for record in found):
        return "corrupt", "a decision has other bytes"
    return _inputs(reader, day, last, answered)


def _inputs(
    reader: JournalReader, day: Day, last: int, answered: Answered
) -> tuple[str, str] | None:
    """Compare the inputs: all before the last decision are there, in order."""
    found = {envelope.after: envelope.inputs for envelope in reader.inputs(CITY)}
    for after in range(last):
        if after + 1 >= answered.forgotten and found.get(after) != day.envelopes[after]:
            return "lost", f"the inputs after decision {after} are gone, decision {last} is there"
    return None


def _next_start(path: Path, answered: Answered) -> tuple[str, str] | None:
    """The engine starts on what is left, in a higher epoch, and goes on from the last decision."""

    async def start() -> tuple[str, str] | None:
        journal = SqliteJournal(path, Health(), lazy_s=0.001)
        journal.open(CITY)
        try:
            if journal.epoch(CITY) <= answered.epoch:
                return "lost", f"epoch {journal.epoch(CITY)} after epoch {answered.epoch}"
            last = journal.last_number(CITY)
            await journal.append(CITY, last, DecisionRecord(last + 1, last + 1.0, b"next"))
        finally:
            journal.close()
        return None

    return asyncio.run(start())
