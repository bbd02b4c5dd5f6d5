"""The audit's writer: nothing lost, nothing twice, people erased, old rows sealed, anchors, and a chain that proves it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pilotage.model.messages import (
    Command,
    Decision,
    Demanded,
    Followed,
    OrderTaken,
    RuleChanged,
)
from pilotage.ports import ConfigSwitch, DecisionRecord, LogUnusableError
from pilotage.runtime.audit import log
from pilotage.runtime.audit import verify as verify_room
from pilotage.runtime.audit.anchors import FOLDER, read_anchors
from pilotage.runtime.audit.entries import Entry, spans
from pilotage.runtime.audit.log import AuditLog, erase_alone
from pilotage.runtime.audit.reader import AuditReader, Shown, Wanted
from pilotage.runtime.audit.verify import verify
from pilotage.runtime.envelope import encode_decision
from pilotage.runtime.health import Health
from pilotage.runtime.journal import SqliteJournal, sqlite

START = 1_800_000_000.0
PARTITIONS = ("city", "north", "south", "west")


class Desk:
    """A journal, and an audit that follows it, in a folder."""

    def __init__(self, folder: Path, clock: Any, partitions: tuple[str, ...] = ("city",)) -> None:
        self.folder, self.clock, self.partitions = folder, clock, partitions
        self.health = Health()
        self.journal = SqliteJournal(folder / "journal.db", self.health, lazy_s=0.001)
        self.journal.open(*partitions)
        self.log = self.opened()
        self.numbers = dict.fromkeys(partitions, 0)

    @property
    def file(self) -> Path:
        return self.folder / "audit.db"

    def opened(self) -> AuditLog:
        log = AuditLog(
            self.file,
            self.journal.path,
            self.clock,
            self.health,
            anchor_folder=self.folder / "elsewhere",
            lazy_s=0.001,
        )
        log.open(*self.partitions)
        return log

    async def decide(self, *events: Any, partition: str = "city") -> None:
        number = self.numbers[partition] = self.numbers[partition] + 1
        self.clock.time += 1.0
        decision = Decision(number, self.clock.time, events)
        record = DecisionRecord(number, decision.now, encode_decision(decision))
        await self.journal.append(partition, number - 1, record)

    def rows(self, **wanted: Any) -> list[Shown]:
        return list(AuditReader(self.file).rows(Wanted(**wanted)))

    def acts(self, **wanted: Any) -> list[str]:
        return [f"{row.kind} {row.action}" for row in self.rows(**wanted)]

    def is_sound(self) -> bool:
        found = verify(
            self.file, anchor_folder=self.folder / "elsewhere", journal=self.journal.path,
            whole_journal=True,
        )  # fmt: skip
        assert [f.what for f in found.flaws] == []
        return found.is_sound

    def close(self) -> None:
        self.log.close()
        self.journal.close()


@pytest.fixture
def desk(tmp_path: Path, clock: Any) -> Iterator[Desk]:
    clock.time = START
    desk = Desk(tmp_path / "var", clock)
    yield desk
    desk.close()


def command(number: int, street: str = "s-1") -> Command:
    return Command(f"{number}-1", f"{street}.level", 30.0, START, f"dim[{street}]")


def override(person: str = "m.garcia", reason: str = "road works") -> tuple[Any, ...]:
    return (
        Demanded("s-1.level", f"operator {person}", 8, 80.0, reason, START + 60),
        OrderTaken("override", person, "", "override s-1.level", reason, "cli maria"),
    )


class TestFollowing:
    async def test_taken_up(self, desk: Desk) -> None:
        """Every decision in the journal is taken up, with what led to it, soon after it is committed."""
        read = (("s-1.flow", 41.0),)
        await desk.decide(RuleChanged("dim", "s-1", "idle", "holding", "", read), command(1))
        desk.log.committed(Decision(1, START, ()))
        async with asyncio.timeout(5):
            while "command sent" not in desk.acts():
                await asyncio.sleep(0.005)
        (row,) = desk.rows(kind="command")
        assert (row.rule, row.subject, row.value, row.decision) == ("dim", "s-1.level", 30.0, 1)
        assert row.detail["because"]["read"] == {"s-1.flow": 41.0}
        assert desk.is_sound()

    async def test_exactly_once(self, desk: Desk) -> None:
        """However often it is opened and closed, each decision is there once, and the reason of an old one is remembered."""
        read = (("s-1.flow", 41.0),)
        await desk.decide(RuleChanged("dim", "s-1", "idle", "holding", "", read))
        for number in range(2, 6):
            await desk.decide(command(number))
            desk.log.close()
            desk.log = desk.opened()
            desk.log.catch_up()
        rows = desk.rows(kind="command")
        assert [row.decision for row in rows] == [2, 3, 4, 5]
        assert {str(row.detail["because"]["read"]) for row in rows} == {"{'s-1.flow': 41.0}"}
        assert desk.is_sound()

    async def test_meaning_of_its_time(self, desk: Desk) -> None:
        """A decision carries the meaning that its rule had then, also when it is taken up after a reload."""
        for digest, meaning in (("d1", "m1"), ("d2", "m2")):
            desk.clock.time += 1
            entry = Entry(desk.clock.time, "rules", "reload")
            desk.log.rules(digest, {"dim": meaning}, entry).result(5)
            desk.journal.switch("city", ConfigSwitch(desk.clock.time, digest))
            await desk.decide(command(1 if digest == "d1" else 2))
        desk.log.catch_up()
        assert [row.identity for row in desk.rows(kind="command")] == ["m1", "m2"]
        (_, second) = desk.rows(kind="rules")
        assert second.detail["rules changed"] == {"changed": ["dim"]}

    async def test_a_hundred_reloads(self, desk: Desk) -> None:
        """What rules meant is in memory for the last two rule sets alone; older ones that decisions ask for are on disk."""
        assert desk.log._follower is not None
        for number in range(5):
            desk.log.rules(f"d{number}", {"dim": f"m{number}"}, Entry(START, "rules", "reload"))
        desk.log.catch_up()
        assert [digest for _, digest in desk.log._follower._identities] == ["d3", "d4"]

    async def test_gap(self, desk: Desk) -> None:
        """Decisions that the journal forgot before they could be taken up leave a row that says which."""
        for number in range(1, 5):
            await desk.decide(command(number))
        desk.journal.forget(0.0, desk.clock.time - 1.5)
        await desk.decide(command(5))
        desk.log.catch_up()
        (gap,) = desk.rows(action="gap")
        assert gap.detail == {"from": 1, "to": 2}
        assert [row.decision for row in desk.rows(kind="command")] == [3, 4, 5]

    async def test_damaged_decision(self, desk: Desk) -> None:
        """A decision that cannot be read is named, and those behind it do not wait."""
        await desk.journal.append("city", 0, DecisionRecord(1, START, b"{nonsense"))
        desk.numbers["city"] = 1
        await desk.decide(command(2))
        desk.log.catch_up()
        assert desk.acts() == ["audit begun", "audit unread", "command sent"]

    async def test_end_of_a_command(self, desk: Desk) -> None:
        """The end of a command carries the rule that sent it, across a restart too."""
        await desk.decide(command(1))
        desk.log.close()
        desk.log = desk.opened()
        await desk.decide(Followed("s-1.level", "1-1", "done"))
        desk.log.catch_up()
        assert [(r.action, r.rule) for r in desk.rows(kind="command")] == [
            ("sent", "dim"),
            ("done", "dim"),
        ]


class TestPartitions:
    async def test_four(self, tmp_path: Path, clock: Any) -> None:
        """Each partition has a chain of its own; a person is erased in all of them."""
        desk = Desk(tmp_path / "var", clock, PARTITIONS)
        for partition in PARTITIONS:
            for number in range(1, 4):
                await desk.decide(command(number), *override(), partition=partition)
        desk.log.catch_up()
        desk.log.anchor().result(5)
        found = verify(desk.file, journal=desk.journal.path, whole_journal=True)
        assert [(c.partition, c.rows, c.anchors) for c in found.chains] == [
            (name, 1 + 6 + 1, 1) for name in sorted(PARTITIONS)
        ]
        assert desk.log.erase("m.garcia", {"person": "dpo"}, "cli").result(5) == 12
        assert desk.is_sound()
        desk.close()
        assert desk.is_sound()


class TestPeople:
    async def test_erased(self, desk: Desk) -> None:
        """A person is erased out of every byte of the file, the rows and the chain stay, and the erasure is a row."""
        await desk.decide(*override("zebulon.quux", "for aunt Petronella"))
        desk.log.catch_up()
        entry = Entry(START, "access", "user_removed")
        desk.log.record(entry, {"person": "admin", "about": "zebulon.quux"}).result(5)
        assert desk.log.erase("zebulon.quux", {"person": "dpo", "reason": "asked"}, "cli").result(5)
        desk.log.scrub().result(5)
        raw = b"".join(p.read_bytes() for p in desk.folder.glob("audit.db*"))
        assert b"quux" not in raw
        assert b"Petronella" not in raw
        assert desk.is_sound()
        (set_,) = desk.rows(kind="override")
        assert (set_.value, set_.people, set_.erased) == (
            80.0,
            {},
            ("person", "account", "reason"),
        )
        (removed,) = desk.rows(kind="access")
        assert (removed.people, removed.erased) == ({"person": "admin"}, ("about",))
        (done,) = desk.rows(action="erased")
        assert (done.detail["rows"], done.people["person"]) == (2, "dpo")

    async def test_unknown(self, desk: Desk) -> None:
        """Who is not named is not erased, and nothing is written."""
        before = desk.acts()
        assert desk.log.erase("nobody", {"person": "dpo"}, "cli").result(5) == 0
        assert desk.acts() == before

    async def test_alone(self, desk: Desk) -> None:
        """Without an engine the same is done directly."""
        await desk.decide(*override())
        desk.log.catch_up()
        desk.log.close()
        assert erase_alone(desk.file, "m.garcia", {"person": "dpo"}) == 1
        assert desk.is_sound()
        assert desk.rows(person="m.garcia") == []

    async def test_removed_by_hand(self, desk: Desk) -> None:
        """A name that is gone without a row about it is found, and one that was changed too."""
        await desk.decide(*override())
        desk.log.catch_up()
        with closing(sqlite.connect(str(desk.file), isolation_level=None)) as connection:
            connection.execute("UPDATE persons SET value = 'a.martin' WHERE field = 'person'")
            connection.execute("DELETE FROM persons WHERE field = 'reason'")
        assert [flaw.what for flaw in verify(desk.file).flaws] == [
            "the person of row 2 is not the one that was written",
            "the reason of row 2 is gone, and no row says that it was erased",
        ]


class TestRetention:
    async def test_sealed(self, desk: Desk) -> None:
        """Old rows go up to an anchor, with a row that says so, and the chain verifies from there on."""
        for number in range(1, 10):
            desk.clock.time = START + number * 86_400
            await desk.decide(command(number), *override())
            desk.log.catch_up()
            desk.log.anchor().result(5)
        before = len(desk.rows())
        gone = desk.log.forget(START + 5 * 86_400).result(5)
        assert gone > 0
        assert len(desk.rows()) == before - gone + 1
        (sealed,) = desk.rows(action="sealed")
        assert sealed.detail["last"] == desk.rows()[0].number - 1
        assert desk.is_sound()
        assert desk.log.forget(START).result(5) == 0
        assert desk.log.forget(START + 8 * 86_400).result(5) > 0
        assert desk.is_sound()


class TestAnchors:
    async def test_both_folders(self, desk: Desk) -> None:
        """An anchor stands beside the file and in the second folder; without news there is none."""
        await desk.decide(command(1))
        desk.log.catch_up()
        desk.log.anchor().result(5)
        desk.log.anchor().result(5)
        own, copy = (
            [line.anchor for line in read_anchors(folder)]
            for folder in (desk.folder / FOLDER, desk.folder / "elsewhere")
        )
        assert own == copy
        (anchor,) = own
        assert anchor is not None
        assert (anchor.partition, anchor.first, anchor.last) == ("city", 1, 2)
        assert anchor.file == "2027-01-15.anchor"

    async def test_folder_that_is_away(self, desk: Desk) -> None:
        """While the second folder is away health says so, and it gets what it lacks when it is back."""
        blocked = desk.folder / "elsewhere"
        blocked.write_text("in the way")
        await desk.decide(command(1))
        desk.log.catch_up()
        desk.log.anchor().result(5)
        assert desk.health.finding("audit.anchor_folder") is not None
        blocked.unlink()
        await desk.decide(command(2))
        desk.log.catch_up()
        desk.log.anchor().result(5)
        assert desk.health.finding("audit.anchor_folder") is None
        assert len(list(read_anchors(blocked))) == 2
        assert desk.is_sound()

    @pytest.mark.parametrize("door", ["reading", "_partitions"])
    async def test_verified_meanwhile(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, door: str
    ) -> None:
        """An anchor that is written just before or just after the moment that is judged makes no difference."""
        await desk.decide(command(1))
        desk.log.catch_up()
        desk.log.anchor().result(5)
        real = getattr(verify_room, door)

        def slowly(*arguments: Any) -> Any:
            found = real(*arguments) if door == "_partitions" else None
            desk.log.record(Entry(START, "access", "login")).result(5)
            desk.log.anchor().result(5)
            return real(*arguments) if found is None else found

        monkeypatch.setattr(verify_room, door, slowly)
        assert desk.is_sound()
        assert len(desk.acts(action="anchored")) == 2

    async def test_copy_that_says_something_else(self, desk: Desk) -> None:
        """Two folders that contradict each other are told while the engine runs."""
        await desk.decide(command(1))
        desk.log.catch_up()
        desk.log.anchor().result(5)
        (path,) = (desk.folder / "elsewhere").glob("*.anchor")
        path.write_text(path.read_text().replace("city 1 2", "city 1 3"))
        await desk.decide(command(2))
        desk.log.catch_up()
        desk.log.anchor().result(5)
        finding = desk.health.finding("audit.anchor_folder")
        assert finding is not None
        assert "holds other anchors" in finding.text

    async def test_ended_between_file_and_chain(self, desk: Desk) -> None:
        """An anchor whose row did not reach the disk is taken up by the next one."""
        await desk.decide(command(1))
        desk.log.catch_up()
        with closing(sqlite.connect(str(desk.file), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # the disk refuses the row, not the file
            waiting = desk.log.anchor()
            async with asyncio.timeout(20):
                while desk.health.finding("audit.disk") is None:
                    await asyncio.sleep(0.05)
            other.execute("ROLLBACK")
        waiting.result(10)
        assert desk.health.finding("audit.disk") is None
        assert len(list(read_anchors(desk.folder / FOLDER))) == 1
        assert desk.is_sound()


class TestTrouble:
    async def test_disk_refuses(self, desk: Desk) -> None:
        """While the disk refuses, rows wait in order and health says so; then everything is there, once."""
        with closing(sqlite.connect(str(desk.file), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await desk.decide(command(1))
            desk.log.committed(Decision(1, START, ()))
            row = desk.log.record(Entry(START, "access", "login"), {"person": "m.garcia"})
            async with asyncio.timeout(20):
                while desk.health.finding("audit.disk") is None:
                    await asyncio.sleep(0.05)
            assert not row.done()
            other.execute("ROLLBACK")
        assert row.result(10) > 0
        desk.log.catch_up()
        assert sorted(desk.acts()) == ["access login", "audit begun", "command sent"]
        assert desk.health.finding("audit.disk") is None
        assert desk.is_sound()

    async def test_too_much_waits(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """While the disk refuses, only so many rows wait; more are refused, and the waiting ones are written later."""
        monkeypatch.setattr(log, "MOST_WAITING", 3)
        with closing(sqlite.connect(str(desk.file), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            rows = [desk.log.record(Entry(START, "access", "login")) for _ in range(20)]
            assert desk.health.counters["audit.dropped"] > 0
            other.execute("ROLLBACK")
        written = [row for row in rows if row.exception(10) is None]
        assert len(desk.rows(kind="access")) == len(written) > 0

    async def test_broken_chain_goes_on(self, desk: Desk) -> None:
        """A chain that was cut while no engine ran is told at the start, goes on, and stays provably broken."""
        await desk.decide(command(1))
        desk.log.catch_up()
        desk.log.close()
        with closing(sqlite.connect(str(desk.file), isolation_level=None)) as connection:
            connection.execute("DELETE FROM entries WHERE number = 3")
        desk.log = desk.opened()
        assert desk.health.finding("audit.chain") is not None
        assert desk.acts(action="broken") == ["audit broken"]
        assert not verify(desk.file).is_sound

    def test_no_audit(self, tmp_path: Path) -> None:
        """A file that is none is refused with its mend, and a missing one says what makes one."""
        with pytest.raises(LogUnusableError, match="there is no audit yet"):
            AuditReader(tmp_path / "audit.db")
        (tmp_path / "audit.db").write_bytes(b"no database at all, but long enough to be read" * 50)
        with pytest.raises(LogUnusableError, match="this is no audit"):
            AuditReader(tmp_path / "audit.db")

    def test_newer(self, desk: Desk) -> None:
        """The file of a newer version is refused."""
        desk.log.close()
        with closing(sqlite.connect(str(desk.file), isolation_level=None)) as connection:
            connection.execute("PRAGMA user_version = 99")
        with pytest.raises(LogUnusableError, match="knows versions up to 1"):
            verify(desk.file)


_WRITER = """\
import asyncio, sys, time
from pathlib import Path
from pilotage.model.messages import Command, Decision
from pilotage.ports import DecisionRecord
from pilotage.runtime.audit.entries import Entry
from pilotage.runtime.audit.log import AuditLog
from pilotage.runtime.clock import SystemClock
from pilotage.runtime.health import Health
from pilotage.runtime.journal import SqliteJournal

async def main(folder):
    health, clock = Health(), SystemClock()
    journal = SqliteJournal(folder / "journal.db", health)
    journal.open("city")
    number = journal.last_number("city")
    log = AuditLog(folder / "audit.db", journal.path, clock, health, lazy_s=0.002)
    log.open("city")
    log.catch_up()
    print("ready", flush=True)
    while True:
        number += 1
        decision = Decision(number, clock.now(), (Command(f"{number}-1", "s-1.level", 30.0, 0.0, "dim[s-1]"),))
        await journal.append("city", number - 1, DecisionRecord(number, decision.now, encode_decision(decision)))
        log.committed(decision)
        if number % 10 == 0:
            row = await asyncio.wrap_future(log.record(Entry(clock.now(), "access", "login"), {"person": str(number)}))
            print(number, flush=True)
        if number % 200 == 0:
            log.anchor()

asyncio.run(main(Path(sys.argv[1])))
"""


class TestKill:
    def test_kill_9(self, tmp_path: Path, clock: Any) -> None:
        """After kill -9 at any moment, each decision is in the audit once, and each login that was answered is there."""
        answered: set[str] = set()
        for kill in range(4):
            with subprocess.Popen(
                [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
            ) as writer:
                assert writer.stdout is not None
                for line in writer.stdout:
                    if line.strip().isdigit():
                        answered.add(line.strip())
                    if len(answered) >= 7 * (kill + 1):
                        writer.kill()
                        break
        health = Health()
        journal = SqliteJournal(tmp_path / "journal.db", health)
        journal.open("city")
        log = AuditLog(tmp_path / "audit.db", journal.path, clock, health)
        log.open("city")
        log.catch_up()
        rows = list(AuditReader(tmp_path / "audit.db").rows(Wanted(kind="command")))
        assert [row.decision for row in rows] == list(range(1, journal.last_number("city") + 1))
        logins = AuditReader(tmp_path / "audit.db").rows(Wanted(kind="access"))
        assert answered <= {row.people["person"] for row in logins}
        found = verify(tmp_path / "audit.db", journal=journal.path, whole_journal=True)
        assert found.flaws == []
        log.close()
        journal.close()


class TestEntries:
    def test_spans(self) -> None:
        """Numbers are written as spans."""
        assert spans([7, 1, 2, 3]) == [[1, 3], [7, 7]]
        assert spans([]) == []

    def test_file_is_private(self, desk: Desk) -> None:
        """The file belongs to the engine's user alone."""
        assert desk.file.stat().st_mode & 0o077 == 0
