"""What the journal forgets, what it never forgets, and the texts that it keeps with it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from pilotage.ports import ConfigSwitch, DecisionRecord, Envelope
from pilotage.runtime.health import Health
from pilotage.runtime.journal import JournalReader, SqliteJournal, archive, sqlite

Eventually = Callable[[Callable[[], object]], Awaitable[None]]
PARTITIONS = ("city", "north")


def open_journal(path: Path, health: Health, most_bytes: int | None = None) -> SqliteJournal:
    journal = SqliteJournal(path, health, lazy_s=0.005, most_bytes=most_bytes)
    journal.open(*PARTITIONS)
    return journal


@pytest.fixture
def journal(tmp_path: Path, health: Health) -> Iterator[SqliteJournal]:
    journal = open_journal(tmp_path / "journal.db", health)
    yield journal
    journal.close()


async def fill(journal: SqliteJournal, count: int, size: int = 10, partition: str = "city") -> None:
    """Write an envelope and a decision a second."""
    last = None
    for number in range(count):
        journal.put(partition, Envelope(float(number), b"[1]" + os.urandom(size), number))
        record = DecisionRecord(number + 1, float(number), os.urandom(size))
        last = journal.append(partition, number, record)
    assert last is not None
    await last


def times(journal: SqliteJournal, partition: str = "city") -> tuple[list[float], list[float]]:
    """Return the times of the envelopes and the decisions that are kept."""
    inputs = [envelope.now for envelope in journal.inputs(partition)]
    return inputs, [record.now for record in journal.decisions(partition)]


def megabytes(journal: SqliteJournal) -> float:
    """Return the size of the database, free pages included."""
    connection = sqlite.connect(journal.path)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.close()
    return float(pages * 4096 / 1e6)


class TestAge:
    async def test_many_steps(self, journal: SqliteJournal, eventually: Eventually) -> None:
        """Thousands of rows go in steps, each kind after its own time, and in every partition."""
        for partition in PARTITIONS:
            await fill(journal, 3_500, partition=partition)
        journal.forget(inputs_before=3_400.0, decisions_before=3_300.0)
        await eventually(lambda: [len(times(journal, p)[0]) for p in PARTITIONS] == [100, 100])
        await eventually(lambda: [len(times(journal, p)[1]) for p in PARTITIONS] == [200, 200])
        assert times(journal)[1][0] == 3_300.0

    async def test_large_rows(self, journal: SqliteJournal, eventually: Eventually) -> None:
        """A step is small also when each row is large, so that a command is not held for long."""
        await fill(journal, 20, size=1_000_000)
        journal.forget(1e9, 1e9)
        await eventually(lambda: times(journal) == ([], []))

    async def test_what_a_snapshot_needs(
        self, journal: SqliteJournal, eventually: Eventually
    ) -> None:
        """Envelopes after the oldest snapshot stay however old they are; other partitions are apart."""
        for partition in PARTITIONS:
            await fill(journal, 100, partition=partition)
        journal.needed_after("city", 60)
        journal.forget(1e9, 1e9)
        await eventually(lambda: times(journal, "north") == ([], []))
        await eventually(lambda: times(journal)[0] == [float(n) for n in range(60, 100)])

    async def test_place_is_kept(self, journal: SqliteJournal, health: Health) -> None:
        """When everything is forgotten, numbers and positions go on where they were, also after a start."""
        await fill(journal, 5)
        journal.forget(1e9, 1e9)
        journal.close()
        again = open_journal(journal.path, health)
        assert times(again) == ([], [])
        assert (again.last_number("city"), again.last_position("city")) == (5, 5)
        assert again.put("city", Envelope(9.0, b"[1]", 5)) == 6
        again.close()

    async def test_nothing_is_left_in_free_pages(
        self, journal: SqliteJournal, eventually: Eventually
    ) -> None:
        """What was forgotten is overwritten: readings can be personal data."""
        secret = b"bus-7 was at the depot"
        for number in range(200):
            journal.put("city", Envelope(1.0, b"[1]" + secret, number))
        await journal.flushed("city")
        journal.forget(2.0, 2.0)
        await eventually(lambda: times(journal) == ([], []))
        journal.close()
        assert secret not in journal.path.read_bytes()

    async def test_space_goes_back(self, journal: SqliteJournal, eventually: Eventually) -> None:
        """When most of the file is free, the disk gets it back."""
        await fill(journal, 30, size=500_000)

        assert megabytes(journal) > 25
        journal.forget(1e9, 1e9)
        await eventually(lambda: megabytes(journal) < 10)


class TestSwitches:
    async def test_the_one_in_force_stays(
        self, journal: SqliteJournal, eventually: Eventually
    ) -> None:
        """The rules that were in force at the oldest time that is kept are known, however long they are in force."""
        for now in (10.0, 20.0, 30.0, 40.0):
            journal.switch("city", ConfigSwitch(now, f"digest-{now:.0f}"))
        journal.forget(35.0, 35.0)
        reader = JournalReader(journal.path)
        await eventually(
            lambda: [s.digest for s in reader.switches("city")] == ["digest-30", "digest-40"]
        )


class TestArchive:
    FILES: Final[dict[str, bytes]] = {
        "rules/a.yaml": b"version: 1\n" * 100,
        "inventory.csv": b"id\n1\n",
    }

    async def test_same_texts(self, journal: SqliteJournal) -> None:
        """The texts of a configuration come back byte for byte under the digest that a switch names."""
        journal.archive("abc", self.FILES, 5.0)
        journal.switch("city", ConfigSwitch(6.0, "abc"))
        await journal.flushed("city")
        reader = JournalReader(journal.path)
        (switch,) = reader.switches("city")
        assert reader.archived(switch.digest) == self.FILES
        assert reader.archived("def") is None

    async def test_each_text_once(self, journal: SqliteJournal) -> None:
        """A file that did not change is kept once, whatever number of configurations holds it."""
        for n in range(20):
            journal.archive(f"digest-{n}", {**self.FILES, "rules/b.yaml": b"# %d" % n}, 5.0)
        journal.archive("digest-0", {"rules/b.yaml": b"another"}, 6.0)
        await journal.flushed("city")
        connection = sqlite.connect(journal.path)
        assert connection.execute("SELECT count(*) FROM texts").fetchone()[0] == 23
        assert connection.execute("SELECT count(*) FROM archive").fetchone()[0] == 20
        connection.close()
        found = JournalReader(journal.path).archived("digest-7")
        assert found == {**self.FILES, "rules/b.yaml": b"# 7"}

    async def test_forgotten_while_it_is_read(self, journal: SqliteJournal) -> None:
        """Who reads a configuration gets all of its texts, also when it is forgotten in the middle."""
        journal.archive("old", self.FILES, 5.0)
        await journal.flushed("city")
        connection, other = sqlite.connect(journal.path), sqlite.connect(journal.path)

        class Interrupted:
            def execute(self, statement: str, *values: object) -> Any:
                found = connection.execute(statement, *values)
                if "FROM archive" in statement:
                    other.execute("DELETE FROM texts")
                    other.commit()
                return found

        assert archive.read(Interrupted(), "old") == self.FILES
        connection.close()
        other.close()

    async def test_forgotten_with_its_switch(
        self, journal: SqliteJournal, eventually: Eventually
    ) -> None:
        """A configuration goes with the last switch that names it, and its texts with the last that holds them."""
        for now, digest in ((10.0, "old"), (20.0, "used"), (30.0, "new")):
            journal.archive(digest, {"a": b"same", "b": digest.encode()}, now)
            journal.switch("city", ConfigSwitch(now, digest))
        await journal.flushed("city")
        journal.forget(25.0, 25.0)
        reader = JournalReader(journal.path)
        await eventually(lambda: reader.archived("old") is None)
        assert [reader.archived(d) for d in ("used", "new")] == [
            {"a": b"same", "b": b"used"},
            {"a": b"same", "b": b"new"},
        ]
        connection = sqlite.connect(journal.path)
        assert connection.execute("SELECT count(*) FROM texts").fetchone()[0] == 3
        connection.close()


class TestSize:
    async def test_oldest_go_first(
        self, tmp_path: Path, health: Health, eventually: Eventually
    ) -> None:
        """A journal that would grow beyond its size gives up the oldest, says since when it is kept, and no hole is left."""
        journal = open_journal(tmp_path / "journal.db", health, most_bytes=6_000_000)
        await fill(journal, 200, size=50_000)
        journal.forget(0.0, 0.0)
        await eventually(lambda: health.finding("journal.size"))
        await eventually(lambda: len(times(journal)[1]) < 100)
        kept = times(journal)[1]
        assert kept == [float(n) for n in range(200 - len(kept), 200)]
        finding: Any = health.finding("journal.size")
        assert "6 MB" in finding.text
        assert "storage.journal.most" in finding.mend
        await eventually(lambda: 4 < megabytes(journal) < 12)
        journal.close()

    async def test_told_until_it_fits(
        self, tmp_path: Path, health: Health, eventually: Eventually
    ) -> None:
        """When a later sweep finds the file small enough, the finding goes."""
        journal = open_journal(tmp_path / "journal.db", health, most_bytes=1_000_000)
        await fill(journal, 100, size=20_000)
        journal.forget(0.0, 0.0)
        await eventually(lambda: health.finding("journal.size"))

        def small_enough() -> bool:
            journal.forget(1e9, 1e9)
            return health.finding("journal.size") is None

        await eventually(small_enough)
        assert times(journal) == ([], [])
        journal.close()
