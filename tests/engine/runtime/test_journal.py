"""The journal: durable before it answers, in order, fenced, and honest when the disk refuses."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage.ports import (
    ConfigSwitch,
    DecisionRecord,
    Envelope,
    Fenced,
    LogClosedError,
    LogUnusableError,
)
from pilotage.runtime.health import Health
from pilotage.runtime.journal import JournalReader, SqliteJournal, check_sqlite, sqlite, thread
from pilotage.runtime.journal import reader as reader_room

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


def record(number: int, now: float | None = None) -> DecisionRecord:
    return DecisionRecord(number, float(number) if now is None else now, b'{"number":%d}' % number)


def open_sqlite(folder: Path) -> SqliteJournal:
    journal = SqliteJournal(folder / "journal.db", Health(), lazy_s=0.01)
    journal.open("city", "north")
    return journal


class TestWriter:
    async def test_survives_the_process(self, tmp_path: Path) -> None:
        """A journal that was closed and opened again goes on where it was, in a later epoch."""
        first = open_sqlite(tmp_path)
        await first.append("city", 0, record(1))
        epoch = first.epoch("city")
        first.close()
        second = open_sqlite(tmp_path)
        assert second.last_number("city") == 1
        assert second.epoch("city") == epoch + 1
        assert await second.append("city", 1, record(2)) == 2
        second.close()

    async def test_second_writer_fences_the_first(self, tmp_path: Path) -> None:
        """When another engine has taken the partition over, the first one can append nothing any more."""
        first, second = open_sqlite(tmp_path), open_sqlite(tmp_path)
        first.put("city", Envelope(1.0, b"[1]", 0))
        with pytest.raises(Fenced, match="epoch 1"):
            await first.append("city", 0, record(1))
        second.put("city", Envelope(2.0, b"[1]", 0))
        assert await second.append("city", 0, record(1)) == 1
        assert [e.now for e in second.inputs("city")] == [2.0]
        first.close()
        second.close()

    async def test_closed(self, journal: SqliteJournal) -> None:
        """Closing writes what waits, and refuses what comes later."""
        waiting = journal.append("city", 0, record(1))
        journal.close()
        assert await waiting == 1
        with pytest.raises(LogClosedError):
            await journal.append("city", 1, record(2))

    async def test_what_is_not_hurried_waits_for_company(
        self, tmp_path: Path, health: Health
    ) -> None:
        """A record that nobody waits for is written with the next that somebody waits for, in one transaction and in order."""
        journal = SqliteJournal(tmp_path / "lazy.db", health, lazy_s=60.0)
        journal.open("city")
        alone = journal.append("city", 0, record(1), soon=False)
        await asyncio.sleep(0.05)
        assert not alone.done()
        assert await journal.append("city", 1, record(2)) == 2
        assert alone.result() == 1
        assert journal.commits.count == 1
        journal.close()

    async def test_switches(self, journal: SqliteJournal) -> None:
        """The journal says which rules were in force, and after which inputs they came."""
        for now in (3.0, 4.0):
            journal.put("city", Envelope(now, b"[1]", 0))
        journal.switch("city", ConfigSwitch(5.0, "abc", "12 rules"))
        await journal.append("city", 0, record(1))
        assert list(JournalReader(journal.path).switches("city")) == [
            ConfigSwitch(5.0, "abc", "12 rules", 2)
        ]

    async def test_forget(self, journal: SqliteJournal) -> None:
        """What is older than its time is deleted, inputs and decisions each after their own."""
        for number in range(10):
            journal.put("city", Envelope(float(number), b"[1]", number))
            await journal.append("city", number, record(number + 1, float(number)))
        journal.forget(inputs_before=8.0, decisions_before=5.0)
        await journal.append("city", 10, record(11, 10.0))
        assert [r.now for r in journal.decisions("city")] == [5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
        assert [e.now for e in journal.inputs("city")] == [8.0, 9.0]
        assert journal.last_number("city") == 11

    def test_file_is_private(self, journal: SqliteJournal) -> None:
        """Only the engine's user can read the journal."""
        assert journal.path.stat().st_mode & 0o077 == 0

    def test_settings_of_the_file(self, journal: SqliteJournal) -> None:
        """The file is in WAL mode, every commit is synced, and its tables are strict."""
        connection = journal._connection
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
        tables = connection.execute("PRAGMA table_list").fetchall()
        strict = {t[1]: t[5] for t in tables if t[0] == "main" and not t[1].startswith("sqlite_")}
        assert strict == {
            "partitions": 1,
            "decisions": 1,
            "inputs": 1,
            "switches": 1,
            "archive": 1,
            "texts": 1,
        }


class TestTrouble:
    async def test_locked(self, tmp_path: Path, health: Health, eventually: Eventually) -> None:
        """While another program holds the file nothing is answered; the trouble is told, and ends by itself."""
        journal = SqliteJournal(tmp_path / "journal.db", health)
        journal.open("city")
        journal._connection.execute("PRAGMA busy_timeout = 20")
        other = sqlite.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = [journal.append("city", n, record(n + 1)) for n in range(3)]
        await eventually(lambda: health.finding("journal.disk"))
        assert not any(one.done() for one in waiting)
        other.execute("ROLLBACK")
        other.close()
        assert [await one for one in waiting] == [1, 2, 3]
        assert health.finding("journal.disk") is None
        journal.close()

    async def test_disk_full(
        self, journal: SqliteJournal, health: Health, eventually: Eventually
    ) -> None:
        """A full disk loses nothing that was answered, and what waits is written when there is room again."""
        assert await journal.append("city", 0, record(1)) == 1
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count = {pages}")
        big = DecisionRecord(2, 2.0, b"x" * 100_000)
        waiting = [journal.append("city", 1, big), journal.append("city", 2, record(3))]
        await eventually(lambda: health.finding("journal.disk"))
        assert [r.number for r in journal.decisions("city")] == [1]
        journal._connection.execute("PRAGMA max_page_count = 1000000")
        assert [await one for one in waiting] == [2, 3]

    async def test_is_full(self, tmp_path: Path, health: Health) -> None:
        """A journal that cannot write says when so much waits that no more should be decided."""
        journal = SqliteJournal(tmp_path / "journal.db", health, most_waiting_bytes=1_000)
        journal.open("city")
        other = sqlite.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = journal.append("city", 0, DecisionRecord(1, 1.0, b"x" * 2_000))
        was_full = journal.is_full
        other.execute("ROLLBACK")
        other.close()
        await waiting
        assert (was_full, journal.is_full) == (True, False)
        journal.close()

    async def test_decisions_go_first(self, tmp_path: Path, health: Health) -> None:
        """While the disk refuses, inputs leave the second half of the memory to decisions; their place stays empty."""
        journal = SqliteJournal(tmp_path / "journal.db", health, most_waiting_bytes=4_000)
        journal.open("city")
        journal._connection.execute("PRAGMA busy_timeout = 20")
        other = sqlite.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        told: list[str] = []
        journal.call_on_gap(lambda: told.append("a snapshot is due"))
        first = journal.append("city", 0, record(1))
        while journal.refusing_since is None:
            await asyncio.sleep(0.005)
        for _ in range(10):
            journal.put("city", Envelope(1.0, b"x" * 500, 0))
        second = journal.append("city", 1, record(2))
        assert not journal.is_full
        other.execute("ROLLBACK")
        other.close()
        assert [await first, await second] == [1, 2]
        journal.put("city", Envelope(2.0, b"[1]", 2))
        await journal.flushed("city")
        assert [e.position for e in journal.inputs("city")] == [1, 2, 3, 4, 11]
        assert health.counters["journal.inputs_left_out"] == 6
        assert told == ["a snapshot is due"]
        journal.close()

    async def test_whatever_it_meets(self, journal: SqliteJournal, health: Health) -> None:
        """An error that nobody thought of is told, and the thread goes on with the next try."""
        connection = journal._connection
        journal._thread.connection = None
        waiting = journal.append("city", 0, record(1))
        while health.finding("journal.disk") is None:
            await asyncio.sleep(0.005)
        if journal._thread.connection is None:
            journal._thread.connection = connection
        assert await waiting == 1

    async def test_file_that_was_deleted(
        self,
        tmp_path: Path,
        health: Health,
        eventually: Eventually,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A journal that was taken away under the engine is told: what is written then is lost."""
        monkeypatch.setattr(thread, "LOOK_S", 0.02)
        journal = open_sqlite(tmp_path)
        journal._thread._health = health
        journal.path.unlink()
        await eventually(lambda: health.finding("journal.gone"))
        journal.close()

    async def test_reader_that_does_not_end(
        self,
        tmp_path: Path,
        health: Health,
        eventually: Eventually,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A log that cannot be emptied because a program reads is told, and right again when the program ends."""
        monkeypatch.setattr(thread, "LOOK_S", 0.02)
        monkeypatch.setattr(thread, "WAL_LIMIT", 6_000_000)
        journal = SqliteJournal(tmp_path / "journal.db", health)
        journal.open("city")
        await journal.append("city", 0, record(1))
        reader = sqlite.connect(journal.path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM decisions").fetchall()
        number = 1
        while health.finding("journal.wal") is None:
            number = await journal.append(
                "city", number, DecisionRecord(number + 1, 1.0, b"x" * 500_000)
            )
        reader.execute("COMMIT")
        reader.close()
        journal._connection.execute("PRAGMA journal_size_limit = 1000000")

        async def goes_on() -> None:
            nonlocal number
            while health.finding("journal.wal") is not None:
                number = await journal.append("city", number, record(number + 1))
                await asyncio.sleep(0.005)

        async with asyncio.timeout(10):
            await goes_on()
        journal.close()

    async def test_tight_disk_gets_the_log(
        self, tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While the ballast cannot be held back, the log gives the disk back what it does not need."""
        monkeypatch.setattr(thread, "LOOK_S", 0.02)
        journal = SqliteJournal(tmp_path / "journal.db", Health(), ballast_bytes=2**60)
        journal.open("city")
        await journal.append("city", 0, DecisionRecord(1, 1.0, b"x" * 1_000_000))
        log = tmp_path / "journal.db-wal"
        await eventually(lambda: log.stat().st_size == 0)
        journal.close()

    async def test_closing_does_not_wait_for_the_disk(self, tmp_path: Path, health: Health) -> None:
        """An engine that is stopped while the disk refuses stops; whoever waits is told."""
        journal = SqliteJournal(tmp_path / "journal.db", health)
        journal.open("city")
        journal._connection.execute("PRAGMA busy_timeout = 20")
        other = sqlite.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = journal.append("city", 0, record(1))
        await asyncio.to_thread(journal.close)
        with pytest.raises(LogClosedError):
            await waiting
        other.close()


class TestOpen:
    def test_newer_version_is_refused(self, tmp_path: Path, health: Health) -> None:
        """A journal that a newer pilotage wrote is left alone, with the mend."""
        open_sqlite(tmp_path).close()
        path = tmp_path / "journal.db"
        with sqlite.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(
            LogUnusableError, match=r"version 99.*up to 2[\s\S]*mend: run the version"
        ):
            SqliteJournal(path, health).open("city")
        with pytest.raises(LogUnusableError, match="version 99"):
            JournalReader(path)

    def test_other_database_is_refused(self, tmp_path: Path, health: Health) -> None:
        """The database of another program is not taken for a journal."""
        path = tmp_path / "journal.db"
        with sqlite.connect(path) as connection:
            connection.execute("CREATE TABLE customers (id INTEGER)")
        connection.close()
        with pytest.raises(LogUnusableError, match="another program"):
            SqliteJournal(path, health).open("city")

    def test_no_database_is_refused(self, tmp_path: Path, health: Health) -> None:
        """A file that is no database is left as it is."""
        path = tmp_path / "journal.db"
        path.write_text("this is a letter, and a long one\n" * 100)
        with pytest.raises(LogUnusableError, match="no journal"):
            SqliteJournal(path, health).open("city")
        assert path.read_text().startswith("this is a letter")

    def test_place_that_cannot_be_written(self, tmp_path: Path, health: Health) -> None:
        """A folder that cannot be made is an error with its mend."""
        (tmp_path / "var").write_text("a file, no folder")
        with pytest.raises(LogUnusableError, match="mend: give the engine's user"):
            SqliteJournal(tmp_path / "var" / "journal.db", health).open("city")

    async def test_question_that_does_not_end(
        self, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A question that takes too long is given up: it would keep the log from being emptied."""
        waiting = [journal.append("city", n, record(n + 1)) for n in range(3_000)]
        await waiting[-1]
        reader = JournalReader(journal.path)
        assert len(list(reader.decisions("city", since=2_990.0))) == 11
        monkeypatch.setattr(reader_room, "LONGEST_S", -1.0)
        monkeypatch.setattr(reader_room, "_LOOK_EVERY", 100)
        with pytest.raises(LogUnusableError, match=r"took longer[\s\S]*mend: ask for less"):
            list(reader.decisions("city", since=2_990.0))

    def test_reader_without_a_journal(self, tmp_path: Path) -> None:
        """Who reads before the first run is told what makes a journal."""
        with pytest.raises(LogUnusableError, match="pilotage run"):
            JournalReader(tmp_path / "journal.db")


class TestSqliteVersion:
    @pytest.mark.parametrize(
        "version", [(3, 40, 1), (3, 44, 5), (3, 45, 9), (3, 50, 6), (3, 51, 2), (3, 52, 0)]
    )
    def test_old(self, health: Health, version: tuple[int, ...]) -> None:
        """A SQLite that can corrupt a journal is refused with its mend."""
        with pytest.raises(LogUnusableError, match="mend: pip install pysqlite3"):
            check_sqlite(health, version)

    def test_old_and_allowed(self, health: Health) -> None:
        """Where the site takes the risk, it is told as long as the engine runs."""
        check_sqlite(health, (3, 40, 1), allow_old=True)
        finding = health.finding("journal.sqlite")
        assert finding is not None
        assert "pysqlite3" in finding.mend
        assert health.is_sound

    @pytest.mark.parametrize("version", [(3, 44, 6), (3, 50, 7), (3, 51, 3), (3, 53, 4)])
    def test_mended(self, health: Health, version: tuple[int, ...]) -> None:
        """The version that has the mend, the older ones that got it too, and all newer ones are taken."""
        check_sqlite(health, version)
        assert health.findings == ()

    def test_ours(self, health: Health) -> None:
        """The SQLite that comes with the engine is safe."""
        check_sqlite(health)
        assert health.findings == ()
        assert sqlite.sqlite_version_info >= (3, 51, 3)


APPENDS_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from pilotage.ports import DecisionRecord
from pilotage.runtime.health import Health
from pilotage.runtime.journal import SqliteJournal

async def main():
    journal = SqliteJournal(Path(sys.argv[1]), Health())
    journal.open("city")
    number = journal.last_number("city")
    while True:
        waiting = [
            journal.append("city", number + i, DecisionRecord(number + i + 1, 1.0, b"x" * 200))
            for i in range(10)
        ]
        for one in waiting:
            number = await one
            print(number, flush=True)

asyncio.run(main())
"""


class TestKill:
    def test_answered_appends_survive(self, tmp_path: Path) -> None:
        """After kill -9 at any moment every append that was answered is there, without a gap, time after time."""
        path = tmp_path / "journal.db"
        answered = 0
        for round_ in range(4):
            process = subprocess.Popen(
                [sys.executable, "-c", APPENDS_FOR_EVER, str(path)],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            assert process.stdout is not None
            for _ in range(50 + 37 * round_):
                answered = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            answered = max([answered, *map(int, process.stdout.read().split("\n")[:-1])])
            process.wait()
            process.stdout.close()
            numbers = [r.number for r in JournalReader(path).decisions("city")]
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) >= answered


VERSION_1 = """
CREATE TABLE partitions (
   partition TEXT PRIMARY KEY, number INTEGER NOT NULL, epoch INTEGER NOT NULL) STRICT;
CREATE TABLE decisions (
   partition TEXT, number INTEGER, time REAL NOT NULL, record BLOB NOT NULL,
   PRIMARY KEY (partition, number)) STRICT;
CREATE INDEX idx_decisions_time ON decisions (time);
CREATE TABLE inputs (
   id INTEGER PRIMARY KEY, partition TEXT NOT NULL, time REAL NOT NULL, after INTEGER NOT NULL,
   version INTEGER NOT NULL, envelope BLOB NOT NULL) STRICT;
CREATE INDEX idx_inputs_time ON inputs (time);
CREATE TABLE switches (
   id INTEGER PRIMARY KEY, partition TEXT NOT NULL, time REAL NOT NULL, digest TEXT NOT NULL,
   detail TEXT NOT NULL) STRICT;
CREATE INDEX idx_switches_time ON switches (time);
INSERT INTO partitions VALUES ('city', 2, 7), ('north', 0, 1);
INSERT INTO decisions VALUES ('city', 1, 11.0, x'7b7d'), ('city', 2, 12.0, x'7b7d');
INSERT INTO inputs VALUES
   (5, 'city', 10.5, 0, 1, x'5b315d'), (6, 'north', 10.6, 0, 1, x'5b315d'),
   (8, 'city', 11.5, 1, 1, x'5b315d');
INSERT INTO switches VALUES (1, 'city', 10.0, 'abc', 'started with 3 rules'), (2, 'city', 11.0, 'def', '');
PRAGMA user_version = 1;
PRAGMA application_id = 1885957231;
"""
"""What pilotage wrote before positions, as `sqlite3 journal.db .dump` showed it."""


class TestVersion1:
    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        path = tmp_path / "journal.db"
        connection = sqlite.connect(path)
        connection.executescript(VERSION_1)
        connection.close()
        return path

    async def test_goes_on(self, old: Path) -> None:
        """A journal of version 1 keeps all that it had, and everything in it has its position now."""
        journal = open_sqlite(old.parent)
        reader = JournalReader(old)
        assert [r.number for r in reader.decisions("city")] == [1, 2]
        assert [(e.now, e.after, e.position) for e in reader.inputs("city")] == [
            (10.5, 0, 1),
            (11.5, 1, 2),
        ]
        assert [e.position for e in reader.inputs("north")] == [1]
        assert [(s.digest, s.position) for s in reader.switches("city")] == [("abc", 0), ("def", 1)]
        assert journal.epoch("city") == 8
        assert journal.put("city", Envelope(13.0, b"[1]", 2)) == 3
        assert await journal.append("city", 2, record(3)) == 3
        journal.close()

    def test_copy_first(self, old: Path) -> None:
        """The file is copied as it was before it is changed; the copy is whole and private."""
        open_sqlite(old.parent).close()
        copy = old.with_name("journal.db.version-1")
        assert copy.stat().st_mode & 0o077 == 0
        connection = sqlite.connect(copy)
        assert connection.execute("PRAGMA user_version").fetchone()[0] == 1
        assert connection.execute("SELECT count(*) FROM inputs").fetchone()[0] == 3
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        connection.close()

    def test_same_tables_as_a_new_one(self, old: Path, tmp_path: Path) -> None:
        """What was brought to this version has the tables, columns and indices of a new file, and gives back free pages."""

        def shape(path: Path) -> dict[str, Any]:
            connection = sqlite.connect(path)
            tables = [
                name for (name,) in connection.execute("SELECT name FROM sqlite_master ORDER BY 1")
            ]
            columns = {
                t: connection.execute(f"SELECT name, type, [notnull] FROM pragma_table_info('{t}')")
                .fetchall()
                for t in tables
            }  # fmt: skip
            vacuum = connection.execute("PRAGMA auto_vacuum").fetchone()[0]
            connection.close()
            return {**{t: sorted(c) for t, c in columns.items()}, "vacuum": vacuum}

        open_sqlite(old.parent).close()
        open_sqlite(tmp_path / "new").close()
        assert shape(old) == shape(tmp_path / "new" / "journal.db")

    def test_reader_asks_for_a_start(self, old: Path) -> None:
        """Who reads before the engine has brought it to this version is told what does."""
        with pytest.raises(LogUnusableError, match=r"version 1[\s\S]*mend: start the engine once"):
            JournalReader(old)
