"""Privacy: years go by, and nothing is older than its class allows; who is erased is nowhere in the files (G19)."""

from __future__ import annotations

import asyncio
import random
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock
from zoneinfo import ZoneInfo

from tests.faults.figures import Figure, Size

from pilotage.core.store import Cell, Entity
from pilotage.model.diagnostics import Span
from pilotage.model.entities import PointSpec, Privacy
from pilotage.model.messages import Reading
from pilotage.model.quality import Quality
from pilotage.model.values import POSITION, Position, number, reference
from pilotage.ports import DecisionRecord, Envelope
from pilotage.runtime.health import Health
from pilotage.runtime.history import upkeep
from pilotage.runtime.history.codec import decode_block, decode_segment
from pilotage.runtime.history.file import SHARD
from pilotage.runtime.history.recorder import Recorder
from pilotage.runtime.history.rollups import decode_pack
from pilotage.runtime.history.settings import HistoryEntry, HistorySettings
from pilotage.runtime.journal import SqliteJournal, sqlite

GOALS: tuple[str, ...] = ("G19",)

DAY_S: Final = 86_400.0
DAYS: Final = {Size.SHORT: 120, Size.LONG: 3_652}
STEP_S: Final = {Size.SHORT: DAY_S / 2, Size.LONG: DAY_S / 4}
ERASED: Final = {Size.SHORT: 4, Size.LONG: 100}
START: Final = 1_764_543_600.0  # 2025-12-01 00:00 in Paris
FORGET_DAYS: Final = {Size.SHORT: 4, Size.LONG: 20}
PARIS: Final = ZoneInfo("Europe/Paris")
SEED: Final = 19
KEEP_DAYS: Final = {
    Privacy.OPEN: 90.0,
    Privacy.INTERNAL: 90.0,
    Privacy.PERSONAL: 60.0,
    Privacy.SENSITIVE: 7.0,
}
ROLLS_DAYS: Final = {"1min": 100.0, "15min": 400.0, "1h": 1_100.0, "1d": 3_700.0}
SAMPLE_LEVEL: Final = "samples"
JOURNAL_CITY: Final = "city"


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Let years go by, then erase one after the other."""
    with tempfile.TemporaryDirectory(prefix="pilotage-privacy-") as folder:
        return [
            _years(Path(folder) / "years.db", size, say),
            _journal_years(Path(folder) / "journal.db", size, say),
            _deleted(Path(folder) / "deleted.db", FORGET_DAYS[size], say),
            *_erasures(Path(folder), ERASED[size], say),
        ]


# ── a city whose time is moved by hand ───────────────────────────────────────────────────────


@dataclass(slots=True)
class City:
    """A recorder with a point of each class and some vans."""

    path: Path
    vans: int = 1
    keep_days: Mapping[Privacy, float] = field(default_factory=lambda: KEEP_DAYS)
    now: float = START
    cells: dict[str, Cell] = field(default_factory=dict)
    recorder: Any = None
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))

    def __post_init__(self) -> None:
        for privacy in Privacy:
            self.add(f"s-{privacy.value}", PointSpec("level", number("lx"), privacy=privacy))
        for index in range(self.vans):
            self.add(f"van-{index}", PointSpec("position", POSITION, privacy=Privacy.PERSONAL))
        self.add("gate", PointSpec("opened_by", reference("van")))

    def add(self, entity: str, spec: PointSpec) -> None:
        """Add an entity with one point."""
        id_ = f"{entity}.{spec.name}"
        self.cells[id_] = Cell(id_, spec, Entity(entity, "thing"))

    def start(self) -> None:
        """Start the recorder, at the time that it is now."""
        entry = HistoryEntry(
            Span("config.yaml", 1, 1), match="*", record="readings", purpose="test", basis="consent"
        )
        settings = HistorySettings(
            True,
            {privacy: days * DAY_S for privacy, days in self.keep_days.items()},
            {level: days * DAY_S for level, days in ROLLS_DAYS.items()},
            (entry,),
        )
        self.recorder = Recorder(self.path, settings, PARIS, Health(), speed=0.0, pause_s=0.0)
        self.recorder.open(self.cells.values, self.now)

    def read(self, point: str, value: Any, at: float) -> None:
        """Have a device report."""
        self.recorder.take(self.now, [Reading(self.cells[point], value, Quality.GOOD, at)])

    def drive(self) -> None:
        """Have each van report three times in the hour that is over."""
        for van in range(self.vans):
            for _ in range(3):
                place = Position(47 + self.dice.random(), 5 + self.dice.random())
                self.read(f"van-{van}.position", place, self.now - self.dice.uniform(0, 3_000))

    def settle(self) -> None:
        """Have everything that is due done."""
        self.recorder.keep_up()


# ── years ────────────────────────────────────────────────────────────────────────────────────


def _years(path: Path, size: Size, say: Callable[[str], None]) -> Figure:
    """Run, with a stop now and then, and look before each round of retention what has grown too old."""
    rng = random.Random(SEED)
    city = City(path)
    city.start()
    step_s, end = STEP_S[size], START + DAYS[size] * DAY_S
    too_old = looks = 0
    while city.now < end:
        city.now += step_s
        for point in ("s-open", "s-internal", "s-personal", "s-sensitive"):
            city.read(
                f"{point}.level", rng.uniform(0, 9_000), city.now - rng.uniform(0, step_s / 2)
            )
        if rng.random() < step_s / DAY_S / 40:  # a stop every forty days, of up to three days
            city.recorder.close()
            city.now += rng.uniform(0, 3 * DAY_S)
            city.start()
        city.settle()
        if looks % 50 == 0:
            # The next round comes within the hour: until then nothing may grow too old either.
            too_old += sum(_older(path, city.now + 3_599.0).values())
        looks += 1
        if looks % max(1, int(DAYS[size] * DAY_S / step_s / 8)) == 0:
            say(f"day {(city.now - START) / DAY_S:.0f}: {path.stat().st_size / 1e6:.1f} MB")
    city.recorder.close()
    too_old += sum(_older(path, city.now).values())
    kept = _count(path)
    proofs, shown = _proofs(path)
    return Figure(
        "G19",
        f"{DAYS[size] / 365.25:.3g} virtual years, {looks:,} rounds of retention, a stop every 40 days",
        "0 rows older than the class limit",
        f"{too_old} too old, {kept:,} rows kept; {proofs:,} proofs, {shown} of them show a row",
        too_old == 0 and shown == 0 and kept > 0 and proofs > 0,
    )


def _older(path: Path, now: float) -> dict[str, int]:
    """Return how many samples and roll-ups are older than their limit, by class: every one is decoded."""
    found: dict[str, int] = {}
    for class_, level, begins in _begins(path):
        limit = KEEP_DAYS[Privacy(class_)]
        if level != SAMPLE_LEVEL and class_ not in ("personal", "sensitive"):
            limit = ROLLS_DAYS[level]
        if now - begins > limit * DAY_S:
            found[class_] = found.get(class_, 0) + 1
    return found


def _begins(path: Path) -> Iterator[tuple[str, str, float]]:
    """Yield of every row its class, its level and the time of its first sample or bucket."""
    connection = sqlite.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN")
        classes = dict(connection.execute("SELECT number, class FROM limits").fetchall())
        points = dict(connection.execute("SELECT number, keep FROM points").fetchall())
        for keep, blob in connection.execute("SELECT keep, blob FROM blocks"):
            yield classes[keep], SAMPLE_LEVEL, decode_block(blob)[0][0] / 1000
        for keep, level, blob in connection.execute("SELECT keep, level, blob FROM rolls"):
            yield classes[keep], level, decode_pack(blob)[0].start
        for (blob,) in connection.execute("SELECT blob FROM segments"):
            for number_, samples in decode_segment(blob).items():
                yield classes[points[number_]], SAMPLE_LEVEL, samples[0][0] / 1000
    finally:
        connection.close()


def _count(path: Path) -> int:
    return sum(1 for _ in _begins(path))


def _proofs(path: Path) -> tuple[int, int]:
    """Return how many proofs there are, and how many of them found a row that is too old."""
    connection = sqlite.connect(path)
    try:
        count, shown = connection.execute(
            "SELECT count(*), coalesce(sum(older > 0), 0) FROM proofs"
        ).fetchone()
        return int(count), int(shown)
    finally:
        connection.close()


# ── the journal ──────────────────────────────────────────────────────────────────────────────


def _journal_years(path: Path, size: Size, say: Callable[[str], None]) -> Figure:
    return asyncio.run(_run_journal(path, size, say))


async def _run_journal(path: Path, size: Size, say: Callable[[str], None]) -> Figure:
    """Run a journal for years with its retention, and look each time at what is left: inputs of a day, decisions of thirty."""
    inputs_s, decisions_s, step_s = DAY_S, 30 * DAY_S, DAY_S / 2
    # Retention comes every few minutes: what a limit lets grow old in between is as long.
    journal = SqliteJournal(path, Health(), lazy_s=0.0, sync="normal", ballast_bytes=0)
    journal.open(JOURNAL_CITY)
    too_old = looks = kept = number_ = 0
    now = START
    try:
        while now < START + DAYS[size] * DAY_S:
            now += step_s
            number_ += 1
            journal.put(JOURNAL_CITY, Envelope(now - 60.0, b"[1]", number_))
            await journal.append(
                JOURNAL_CITY, number_ - 1, DecisionRecord(number_, now - 30.0, b"{}")
            )
            gone = threading.Event()
            journal.needed_after(JOURNAL_CITY, journal.position(JOURNAL_CITY) - 1)
            while not journal.forget(now - inputs_s, now - decisions_s, gone.set):
                await asyncio.sleep(0.001)
            assert await asyncio.to_thread(gone.wait, 30.0), "the journal does not forget"
            if number_ % 20 == 0:
                inputs = [e.now for e in journal.inputs(JOURNAL_CITY)]
                decisions = [d.now for d in journal.decisions(JOURNAL_CITY)]
                too_old += sum(t < now - inputs_s for t in inputs)
                too_old += sum(t < now - decisions_s for t in decisions)
                looks, kept = looks + 1, len(inputs) + len(decisions)
    finally:
        journal.close()
    say(f"journal: {number_:,} rounds of retention, {kept} rows kept at the end")
    return Figure(
        "G19",
        f"{DAYS[size] / 365.25:.3g} virtual years of a journal, {number_:,} rounds of retention, {looks:,} looks",
        "0 inputs older than a day, 0 decisions older than thirty",
        f"{too_old} too old, {kept} rows kept",
        too_old == 0 and kept > 30,
    )


# ── what retention deleted ───────────────────────────────────────────────────────────────────


def _deleted(path: Path, days: int, say: Callable[[str], None]) -> Figure:
    """Look for the bytes of what was deleted by its age, in the file and in its log."""
    short = {privacy: 1.0 if privacy is Privacy.PERSONAL else 2.0 for privacy in Privacy}
    city = City(path, vans=4, keep_days=short)
    city.start()
    seen: set[bytes] = set()
    for _ in range(days * 24):
        city.now += 3_600.0
        city.drive()
        city.settle()
        seen |= _personal(path)
    left = path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()
    gone = seen - _personal(path)
    found = sum(blob in left for blob in gone)
    city.recorder.close()
    say(f"{len(gone):,} deleted pieces looked for, {found} found")
    return Figure(
        "G19",
        f"{days} days of positions, kept for one; the files searched for what was deleted",
        "0 pieces found",
        f"{found} of {len(gone):,}",
        found == 0 and len(gone) > 50,
    )


def _personal(path: Path) -> set[bytes]:
    """Return every block of the vans."""
    connection = sqlite.connect(path)
    try:
        rows = connection.execute(
            "SELECT b.blob FROM blocks b JOIN limits l ON l.number = b.keep WHERE l.class = 'personal'"
        )
        return {blob for (blob,) in rows}
    finally:
        connection.close()


# ── erasures ─────────────────────────────────────────────────────────────────────────────────


def _erasures(folder: Path, count: int, say: Callable[[str], None]) -> list[Figure]:
    """Erase vans one by one, and look for each of their bytes in the files."""
    safe = _erase_all(folder / "erased.db", count)
    say(f"{count} erased, {safe.blobs:,} pieces looked for in {safe.searched / 1e6:.0f} MB")
    # The control: without overwriting the same search must find what was deleted.
    with mock.patch.object(upkeep, "write_anew"):
        control = _erase_all(folder / "control.db", min(count, 6), overwrite=False)
    return [
        Figure(
            "G19",
            f"{count} vans erased from a history in use; the files searched for their bytes",
            "0 found, all else unchanged",
            f"{safe.found} of {safe.blobs:,} pieces found, {safe.names} ids, {safe.harmed} others changed",
            safe.found + safe.names + safe.harmed == 0 and safe.blobs > count,
        ),
        Figure(
            "G19",
            "the control: the same without overwriting",
            "the search finds them",
            f"{control.found} of {control.blobs:,} pieces found",
            control.found > 0,
        ),
    ]


@dataclass(slots=True)
class Search:
    """What was looked for after erasures, and what was found."""

    blobs: int = 0
    found: int = 0
    names: int = 0
    harmed: int = 0
    searched: int = 0


def _erase_all(path: Path, count: int, *, overwrite: bool = True) -> Search:
    rng = random.Random(SEED)
    city = City(path, vans=count)
    city.start()
    if not overwrite:
        city.recorder.ask(lambda c: c.execute("PRAGMA secure_delete = OFF").fetchall())
    search = Search()
    for hour in range(12 * max(1, min(8, count // 10)) + 30):
        city.now += 3_600.0
        city.drive()
        driver = city.cells[f"van-{hour % count}.position"].entity
        city.read("gate.opened_by", driver, city.now - 60)
    city.settle()
    for van in rng.sample(range(count), count):
        city.now += 60.0
        other = (van + 1) % count
        place = Position(47 + rng.random(), 5 + rng.random())
        city.read(f"van-{van}.position", place, city.now)
        city.recorder.ask(lambda connection: None)
        blobs = _blobs(path, f"van-{van}.position")
        before = _samples(path, f"van-{other}.position")
        city.recorder.erase(f"van-{van}")
        left = path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()
        search.blobs += len(blobs)
        search.searched += len(left)
        search.found += sum(blob in left for blob in blobs)
        search.names += f"van-{van}.position".encode() in left
        search.harmed += _samples(path, f"van-{other}.position") != before
    city.recorder.close()
    return search


def _blobs(path: Path, point: str) -> list[bytes]:
    """Return every piece of the file that holds something of a point."""
    connection = sqlite.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN")
        (number_,) = connection.execute(
            "SELECT number FROM points WHERE id = ?", (point,)
        ).fetchone()
        found = [
            blob
            for table in ("blocks", "rolls")
            for (blob,) in connection.execute(
                f"SELECT blob FROM {table} WHERE point = ?", (number_,)
            )
        ]
        segments = connection.execute(
            "SELECT blob FROM segments WHERE shard = ?", (number_ // SHARD,)
        ).fetchall()
        return found + [blob for (blob,) in segments if number_ in decode_segment(blob)]
    finally:
        connection.close()


def _samples(path: Path, point: str) -> list[Any]:
    """Return every sample of a point, in order of time; nothing of one that is not there any more."""
    connection = sqlite.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN")  # an hour may be packed between two questions
        row = connection.execute("SELECT number FROM points WHERE id = ?", (point,)).fetchone()
        if row is None:
            return []
        samples = [
            sample
            for (blob,) in connection.execute("SELECT blob FROM blocks WHERE point = ?", row)
            for sample in decode_block(blob)
        ]
        for (blob,) in connection.execute("SELECT blob FROM segments"):
            samples += decode_segment(blob, row[0]).get(row[0], [])
        return sorted(samples, key=lambda sample: sample[0])
    finally:
        connection.close()
