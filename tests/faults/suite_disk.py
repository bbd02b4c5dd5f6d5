"""The disk is full, read-only or broken: what runs goes on, orders are refused aloud, and the record is whole when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

import apsw
import msgspec
from tests.faults.city import City, until
from tests.faults.crash_disk import Connection
from tests.faults.figures import Figure, Size

import pilotage
from pilotage import api
from pilotage.model.messages import Command, Decision, Override, Reading
from pilotage.model.quality import Quality
from pilotage.runtime import loop
from pilotage.runtime.clock import SystemClock
from pilotage.runtime.health import Health
from pilotage.runtime.inbox import Inbox
from pilotage.runtime.journal import JournalReader, SqliteJournal, connect, sqlite, thread
from pilotage.runtime.verification import verify

GOALS = ("G12",)
CITY: Final = "city"
CYCLES: Final = {Size.SHORT: 2, Size.LONG: 70}  # of each of the three kinds
DISK_BYTES: Final = 40_000_000  # room for the record of all cycles, and twice the ballast
BALLAST_BYTES: Final = 2_000_000
WAIT_S: Final = 20.0

UNREACHABLE: Final = "  field: {adapter: mqtt, host: 127.0.0.1, port: 1}"
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


@dataclass
class Outcome:
    """What was found after some cycles."""

    cycles: int = 0
    commands: int = 0
    in_memory: int = 0
    wrong: list[str] = field(default_factory=list)


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Fill, break and write-protect the disk of a running engine, and mend it again."""
    figures = []
    for what, fault in (("full", full_disk), ("EIO", broken_disk), ("read-only", read_only_disk)):
        outcome = Outcome()
        try:
            with quick(), fault() as disk:
                asyncio.run(_cycles(disk, CYCLES[size], random.Random(what), outcome))
        except PermissionError as error:
            say(f"{what}: left out, {error}")
            figures.append(Figure("G12", f"disk {what}", "a disk of its own", "left out", True))
            continue
        say(f"{what}: {outcome.cycles} cycles, {outcome.commands} commands, {outcome.wrong[:3]}")
        figures.append(
            Figure(
                "G12",
                f"{outcome.cycles} cycles of a disk that is {what}",
                "0 corrupt, 0 lost, every command of a rule sent once, orders refused, right again",
                f"{len(outcome.wrong)} wrong; {outcome.commands} commands; {outcome.in_memory} decisions were"
                " carried out while nothing could be written",
                outcome.cycles == CYCLES[size] and outcome.in_memory > 0 and not outcome.wrong,
            )
        )
    return [*figures, _process_figure(say)]


def _process_figure(say: Callable[[str], None]) -> Figure:
    """Fill the disk of a real engine process, kill it there, start it on its ballast, and free the disk."""
    what = "an engine process whose disk is full, killed and started again there"
    wanted = "orders on the ballast taken, later ones refused, a start on the ballast, right again"
    try:
        wrong = _fill_under_a_process()
    except PermissionError as error:
        say(f"process: left out, {error}")
        return Figure("G12", what, "a disk of its own", "left out", True)
    return Figure("G12", what, wanted, "; ".join(wrong) or "as wanted", not wrong)


def _fill_under_a_process() -> list[str]:
    wrong = []
    with tempfile.TemporaryDirectory() as place:
        city = City(Path(place), UNREACHABLE, 1)
        config = city.folder / "config.yaml"
        config.write_text(config.read_text() + "storage: {ballast: 4 MB}\n")
        with mounted(city.folder / "var", 40_000_000) as var:
            try:
                city.start()
                _fill(var / "filler")
                if (answer := _override(city)) != "taken":
                    wrong.append(f"on the ballast: {answer}")
                city.kill()
                _free(var / "filler")  # a moment, long enough to hold the space back again
                city.start()
                until((var / "ballast").exists, "no ballast again")
                _fill(var / "filler")
                city.kill()
                city.start()  # on the ballast: nothing else is left
                _fill(var / "filler")
                until(lambda: _override(city) != "taken", "orders are still taken")
                (var / "filler").unlink()
                until(lambda: _override(city) == "taken", "orders are not taken again")
                city.stop()
            finally:
                city.kill()
            wrong += [p for one in verify(var, lambda *_: None) for p in one.problems]
    return wrong


def _free(filler: Path) -> None:
    filler.unlink(missing_ok=True)


def _override(city: City) -> str:
    order = api.SetOverride(
        point="s-0.level", value=50.0, for_s=60.0, person="m.garcia", reason="works"
    )
    try:
        return "taken" if city.ask(order).taken else "not taken"
    except api.ApiError as error:
        return error.code


# ── disks that fail ──────────────────────────────────────────────────────────────────────────


@dataclass
class FailingDisk:
    """A folder whose disk can be made to refuse.

    Attributes:
        spends_ballast: Whether the engine can go on for a while on what was held back.
    """

    folder: Path
    connect: Callable[[str], Any]
    fail: Callable[[], None]
    mend: Callable[[], None]
    spends_ballast: bool


@contextlib.contextmanager
def quick() -> Iterator[None]:
    """Shorten the waits of the engine: what is promised does not hang on their length."""
    with (
        mock.patch.object(thread, "RETRY_S", (0.01, 0.05)),
        mock.patch.object(thread, "LOOK_S", 0.05),
        mock.patch.object(loop, "PATIENCE_S", 0.05),
        mock.patch.object(loop, "LOOK_EVERY_S", 0.05),
    ):
        yield


@contextlib.contextmanager
def mounted(folder: Path, size: int) -> Iterator[Path]:
    """A real file system of so many bytes, in a folder.

    Raises:
        PermissionError: Only root may mount.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    options = f"size={size},mode=700"
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        raise PermissionError("a file system can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def full_disk() -> Iterator[FailingDisk]:
    """A file system of a few megabytes, and a file that fills it to the last byte."""
    with tempfile.TemporaryDirectory() as place, mounted(Path(place), DISK_BYTES) as folder:
        filler = folder / "filler"
        yield FailingDisk(folder, connect, lambda: _fill(filler), filler.unlink, True)


def _fill(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass


class _RefusingVfs(apsw.VFS):
    """SQLite's own file system; while `error` is set, nothing can be written."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.error: Callable[[], Exception] | None = None

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        """Open a file."""
        return _RefusingFile(self, name, flags)

    def check(self) -> None:
        if self.error is not None:
            raise self.error()


class _RefusingFile(apsw.VFSFile):
    def __init__(self, vfs: _RefusingVfs, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._vfs = vfs

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self._vfs.check()
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._vfs.check()
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._vfs.check()
        super().xSync(flags)


@contextlib.contextmanager
def _refusing(error: Callable[[], Exception]) -> Iterator[FailingDisk]:
    name = f"refusing-{time.monotonic_ns()}"
    vfs = _RefusingVfs(name)

    def switch(to: Callable[[], Exception] | None) -> None:
        vfs.error = to

    with tempfile.TemporaryDirectory() as place:
        yield FailingDisk(
            Path(place),
            lambda file: Connection(file, name, lambda sql: sql),
            lambda: switch(error),
            lambda: switch(None),
            False,
        )
    vfs.unregister()


def broken_disk() -> contextlib.AbstractContextManager[FailingDisk]:
    """Every write and sync ends with EIO."""
    return _refusing(lambda: apsw.IOError("disk I/O error"))


def read_only_disk() -> contextlib.AbstractContextManager[FailingDisk]:
    """Every write is refused as on a file system that was remounted read-only."""
    return _refusing(lambda: apsw.ReadOnlyError("attempt to write a readonly database"))


# ── a city on it ─────────────────────────────────────────────────────────────────────────────


class _NewJournal(SqliteJournal):
    """A journal that is not asked through a second SQLite library while the first has it open.

    POSIX locks belong to a process: closing a file in one library gives up the locks of the other.
    """

    def last_number(self, partition: str) -> int:
        return 0


class Street:
    """A running engine with one rule, its journal on the disk, and the lamp that it commands."""

    def __init__(self, disk: FailingDisk) -> None:
        inventory = [{"id": "seg-1", "kind": "lighting_segment", "dimmable": True}]
        self.health = Health()
        self.clock = SystemClock()
        engine = pilotage.open_city(RULES, inventory, now=self.clock.now()).engine
        self.cells = engine.cells
        self.journal = _NewJournal(
            disk.folder / "journal.db",
            self.health,
            lazy_s=0.01,
            ballast_bytes=BALLAST_BYTES if disk.spends_ballast else 0,
            connect=disk.connect,
        )
        self.journal.open(CITY)
        self.journal._connection.execute("PRAGMA busy_timeout = 20")
        self.inbox = Inbox(self.health)
        self.sent: list[tuple[str, Any]] = []
        self.pump = loop.Pump(
            CITY, engine, self.inbox, self.journal, self.clock, self.health, self._send
        )
        self.pump.start()
        self.report("lights.level", 0.0)

    def report(self, point: str, value: Any) -> None:
        """Have the equipment report."""
        self.inbox.put(Reading(self.cells[f"seg-1.{point}"], value, Quality.GOOD, self.clock.now()))

    def _send(self, decision: Decision) -> None:
        for command in (item for item in decision.outgoing if isinstance(item, Command)):
            self.sent.append((command.id, command.value))
            self.report("lights.level", 0.0 if command.value is None else command.value)

    async def passes(self) -> bool:
        """Have somebody come and go; returns whether the lamp was told both times."""
        told = True
        for there in (True, False):
            before = len(self.sent)
            self.report("pedestrian_detected", there)
            told = await self._was_told(before) and told
            await asyncio.sleep(0.01)  # the lamp answers
        return told

    async def _was_told(self, before: int) -> bool:
        return await _until(lambda: len(self.sent) > before)

    async def pass_often(self, count: int, when: str, wrong: list[str]) -> None:
        """Have people come and go, and note each time that the lamp was not told."""
        told = [await self.passes() for _ in range(count)]
        wrong += [f"no command {when}"] * told.count(False)

    async def order(self) -> str:
        """Give an order, as a person would; returns what came of it."""
        until = self.clock.now() + 0.05
        order = Override("seg-1.lights.level", 50.0, "m.garcia", "works", until)
        try:
            async with asyncio.timeout(WAIT_S):
                receipt = await self.inbox.order(order)
        except loop.DiskRefusesError:
            return "refused"
        except TimeoutError:
            return "no answer"
        return "taken" if receipt.taken else receipt.text

    async def close(self) -> None:
        self.pump.stop()
        await self.pump.drained()
        self.journal.close()


async def _cycles(disk: FailingDisk, count: int, rng: random.Random, outcome: Outcome) -> None:
    """Let the disk fail again and again under the same engine; judge its record after each time."""
    street = Street(disk)
    for cycle in range(count):
        for wrong in await _cycle(disk, street, rng):
            outcome.wrong.append(f"cycle {cycle}: {wrong}")
        outcome.cycles += 1
    await street.close()
    outcome.commands = len(street.sent)
    outcome.in_memory = street.health.counters["pump.sent_unwritten"]
    outcome.wrong += _judge(disk.folder / "journal.db", street.sent)


async def _cycle(disk: FailingDisk, street: Street, rng: random.Random) -> list[str]:
    wrong: list[str] = []
    await street.pass_often(1, "with a sound disk", wrong)
    disk.fail()
    await street.pass_often(rng.randrange(1, 4), "on the ballast", wrong)
    if disk.spends_ballast:
        await _until(lambda: not street.journal.path.with_name("ballast").exists(), 1.0)
        disk.fail()  # somebody else takes that room too
        while not street.pump.records_are_in_memory:
            await street.pass_often(1, "while the ballast is used up", wrong)
            disk.fail()
    await street.pass_often(rng.randrange(1, 5), "while nothing can be written", wrong)
    if not await _until(lambda: street.pump.records_are_in_memory, 5.0):
        wrong.append("the trouble was not seen")
    if (answer := await street.order()) != "refused":
        wrong.append(f"an order that cannot be recorded: {answer}")
    if street.health.finding("journal.disk") is None:
        wrong.append("the trouble was not told")
    disk.mend()
    if not await _until(lambda: street.health.finding("journal.disk") is None):
        wrong.append("not right again")
    if (answer := await street.order()) != "taken":
        wrong.append(f"an order after the trouble: {answer}")
    await asyncio.sleep(0.1)  # the override ends
    if disk.spends_ballast and not await _until(
        lambda: street.journal.path.with_name("ballast").exists()
    ):
        wrong.append("no ballast again")
    return wrong


def _judge(path: Path, sent: list[tuple[str, Any]]) -> list[str]:
    """Compare the record with what the lamp got."""
    wrong = []
    connection = sqlite.connect(path)
    said = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    if said != "ok":
        wrong.append(f"corrupt: {said}")
    reader = JournalReader(path)
    records = list(reader.decisions(CITY))
    if [record.number for record in records] != list(range(1, len(records) + 1)):
        wrong.append("decisions with a gap")
    positions = [envelope.position for envelope in reader.inputs(CITY)]
    if positions != list(range(1, len(positions) + 1)):
        wrong.append("inputs with a gap")
    recorded = [
        event["id"]
        for record in records
        for event in msgspec.json.decode(record.record)["events"]
        if event.get("event") == "Command"
    ]
    if recorded != [id_ for id_, _ in sent]:
        wrong.append(f"{len(recorded)} commands recorded, {len(sent)} sent")
    return wrong


async def _until(true: Callable[[], bool], wait_s: float = WAIT_S) -> bool:
    """Wait until something is true; returns whether it came."""
    end = time.monotonic() + wait_s
    while not true():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.005)
    return True
