"""Upkeep and reading: hours packed, days rolled up, limits kept, persons erased; each step may be cut off anywhere."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pilotage.model.entities import Privacy
from pilotage.model.quality import Quality
from pilotage.runtime.health import Health
from pilotage.runtime.history.codec import MISSING, Sample, encode_segment
from pilotage.runtime.history.file import HOUR, SHARD, PointRow, open_history, register_point
from pilotage.runtime.history.reader import HistoryReader, HistoryValue, UnknownPointError, thin
from pilotage.runtime.history.rollups import day_start, next_day
from pilotage.runtime.history.settings import HistorySettings
from pilotage.runtime.history.upkeep import Upkeep, rows_older

PARIS = ZoneInfo("Europe/Paris")
NOON = 1_795_172_400.0
MIDNIGHT = NOON - 12 * 3600
DAY_S = 86_400.0


def limits(**days: float) -> HistorySettings:
    standard = {"open": 90.0, "internal": 90.0, "personal": 60.0, "sensitive": 7.0}
    return HistorySettings(
        True,
        {each: days.get(each.value, standard[each.value]) * DAY_S for each in Privacy},
        {"1min": 100 * DAY_S, "15min": 400 * DAY_S, "1h": 1100 * DAY_S, "1d": 3700 * DAY_S},
    )


class File:
    """A history's file that is written by hand."""

    def __init__(self, path: Path, settings: HistorySettings | None = None) -> None:
        self.path = path
        self.connection = open_history(path)
        self.health = Health()
        self.upkeep = Upkeep(PARIS, settings or limits(), self.health)
        self.sequence = 0

    @property
    def reader(self) -> HistoryReader:
        return HistoryReader(self.path, PARIS)

    def point(
        self, id_: str, privacy: str = "internal", base: str = "number", days: float = 90
    ) -> int:
        row = PointRow(0, id_, "k", base, "", 0, "changes", "", "", privacy, days * DAY_S)
        return register_point(self.connection, row)

    def write(self, number: int, *samples: Sample) -> None:
        """Write samples as the recorder does: a segment for each hour."""
        hours: dict[int, list[Sample]] = {}
        for sample in samples:
            hours.setdefault(sample[0] // 3_600_000, []).append(sample)
        for hour, part in hours.items():
            self.sequence += 1
            self.connection.execute(
                "INSERT INTO segments VALUES (?, ?, ?, ?)",
                (hour, number // SHARD, self.sequence, encode_segment({number: part})),
            )
        self.alive(max(sample[0] for sample in samples) / 1000 + 1)

    def alive(self, now: float) -> None:
        self.connection.execute(
            "INSERT OR REPLACE INTO state SELECT 'alive', max(?, coalesce((SELECT value FROM state WHERE key = 'alive'), 0))",
            (now,),
        )

    def gap(self, since: float, until: float) -> None:
        self.connection.execute("INSERT INTO gaps VALUES (?, ?, 'test')", (since, until))

    def count(self, table: str) -> int:
        return int(self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    file = File(tmp_path / "history.db")
    yield file
    file.connection.close()


def at(seconds: float, value: Any, code: int = 0) -> Sample:
    return (round((NOON + seconds) * 1000), code, value)


class TestHours:
    def test_packed_when_over(self, file: File) -> None:
        """Ten minutes after its end an hour's segments become one block, and the samples are the same."""
        number = file.point("a.x")
        file.write(number, at(10, 1.0), at(20, 2.0))
        file.write(number, at(30, 3.0))
        assert not file.upkeep.pack_hour(file.connection, NOON + 3600 + 500)
        before = list(file.reader.samples("a.x", NOON, NOON + 3600))
        assert file.upkeep.pack_hour(file.connection, NOON + 2 * 3600 + 601)
        assert (file.count("segments"), file.count("blocks")) == (0, 1)
        assert list(file.reader.samples("a.x", NOON, NOON + 3600)) == before

    def test_late_samples_join(self, file: File) -> None:
        """What comes after an hour was packed is packed into it, in order of time."""
        number = file.point("a.x")
        file.write(number, at(10, 1.0), at(30, 3.0))
        file.upkeep.finish(file.connection, NOON + 3 * 3600)
        file.write(number, at(20, 2.0))
        file.upkeep.finish(file.connection, NOON + 4 * 3600)
        found = [v.value for v in file.reader.samples("a.x", NOON, NOON + 60)]
        assert found == [1.0, 2.0, 3.0]
        assert file.count("blocks") == 1

    def test_again_changes_nothing(self, file: File) -> None:
        """A segment that is packed a second time, after a restore for instance, adds nothing."""
        number = file.point("a.x")
        for _ in range(2):
            file.write(number, at(10, 1.0), at(20, 2.0))
            file.upkeep.finish(file.connection, NOON + 3 * 3600)
        assert [v.value for v in file.reader.samples("a.x", NOON, NOON + 60)] == [1.0, 2.0]

    def test_takes_little_memory(self, file: File) -> None:
        """A busy hour of a shard is packed in a fraction of what its samples take: the engine would keep that for ever."""
        points = [file.point(f"meter-{n}.flow") for n in range(100)]
        for second in range(0, 900, 3):
            some = {n: [at(second, n + second / 7)] for n in points}
            file.sequence += 1
            file.connection.execute(
                "INSERT INTO segments (hour, shard, seq, blob) VALUES (?, ?, ?, ?)",
                (int(NOON // HOUR), 0, file.sequence, encode_segment(some)),
            )
        tracemalloc.start()
        try:
            assert file.upkeep.pack_hour(file.connection, NOON + 2 * HOUR)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 2_000_000  # of 30,000 samples, which are 4 MB
        values = file.reader.values("meter-7.flow", NOON, NOON + HOUR)
        assert [v.value for v in values][:3] == [8.0, 8.0 + 3 / 7, 8.0 + 6 / 7]
        assert len(values) == 300

    def test_damage(self, file: File) -> None:
        """A segment that cannot be read is left out and named; the others are packed."""
        number = file.point("a.x")
        file.write(number, at(10, 1.0))
        file.connection.execute("UPDATE segments SET blob = X'00112233'")
        file.write(number, at(20, 2.0))
        file.upkeep.finish(file.connection, NOON + 3 * 3600)
        assert file.health.finding("history.damaged")
        assert [v.value for v in file.reader.samples("a.x", NOON, NOON + 60)] == [2.0]


class TestReading:
    def test_value_at(self, file: File) -> None:
        """A value holds from its sample on, until the next one or a gap."""
        number = file.point("a.x")
        file.write(number, at(0, 1.0), at(100, 2.0), at(4000, 3.0))
        file.gap(NOON + 200, NOON + 3000)

        def value(seconds: float) -> Any:
            found = file.reader.value_at("a.x", NOON + seconds)
            return None if found is None else found.value

        assert [value(s) for s in (-10, 0, 99, 100, 199, 250, 3500, 4000)] == [
            None, 1.0, 1.0, 2.0, 2.0, None, None, 3.0,
        ]  # fmt: skip

    def test_after_the_engine_died(self, file: File) -> None:
        """Long after the last write nothing is known, although nobody wrote that down."""
        file.write(file.point("a.x"), at(0, 1.0))
        found = file.reader.value_at("a.x", NOON + 600)
        assert found is not None
        assert (found.value, found.quality) == (None, Quality.MISSING)

    def test_values_begin_with_what_held(self, file: File) -> None:
        """A chart begins with the value that held at its left edge."""
        file.write(file.point("a.x"), at(0, 1.0), at(500, 2.0))
        file.alive(NOON + 600)
        found = file.reader.values("a.x", NOON + 100, NOON + 600)
        assert [(v.time - NOON, v.value, v.is_still) for v in found] == [
            (100.0, 1.0, True), (500.0, 2.0, False),
        ]  # fmt: skip

    def test_unknown_point(self, file: File) -> None:
        """A point that was never recorded is said to be so."""
        with pytest.raises(UnknownPointError, match="nothing was ever recorded"):
            file.reader.value_at("a.y", NOON)

    @pytest.mark.parametrize("most", [10, 100, 1_000])
    def test_thinned(self, most: int) -> None:
        """However few values a chart gets, its extremes, its ends and what is unknown are among them."""
        rng = random.Random(most)
        values = [HistoryValue(float(t), rng.gauss(50, 5), Quality.GOOD) for t in range(20_000)]
        values[7_000] = HistoryValue(7_000.0, 500.0, Quality.GOOD)
        values[7_001] = HistoryValue(7_001.0, None, Quality.STALE)
        values[13_333] = HistoryValue(13_333.0, -500.0, Quality.GOOD)
        thinned = list(thin(values, 0.0, 20_000.0, most))
        assert len(thinned) <= most
        assert {values[i] for i in (0, 7_000, 7_001, 13_333, 19_999)} <= set(thinned)
        assert thinned == sorted(thinned, key=lambda value: value.time)

    def test_few_are_not_thinned(self) -> None:
        """Fewer values than asked for are given as they are."""
        values = [HistoryValue(float(t), "up", Quality.GOOD) for t in range(10)]
        assert list(thin(values, 0.0, 10.0, 10)) == values


class TestWhilePacked:
    def test_nothing_is_missed_or_twice(self, file: File) -> None:
        """Whoever reads while hours are packed sees every sample once."""
        number = file.point("a.x")
        hours = 80
        file.write(number, at(0, 0.0))
        file.alive(NOON + hours * HOUR)
        seen: list[tuple[int, list[Any]]] = []
        written = 1
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                before = written
                found = file.reader.samples("a.x", NOON, NOON + hours * HOUR)
                seen.append((before, [value.value for value in found]))

        reading = threading.Thread(target=read)
        reading.start()
        try:
            for hour in range(hours):
                file.write(number, at(hour * HOUR + 60, float(hour + 1)))
                written = hour + 2
                time.sleep(0.003)
                file.upkeep.pack_hour(file.connection, NOON + (hour + 3) * HOUR)
        finally:
            done.set()
            reading.join()
        assert len(seen) > 20
        for before, values in seen:  # what is written while somebody reads may be seen or not
            assert values[:before] == [float(n) for n in range(before)]
            assert values == sorted(set(values))


class TestRollups:
    def write_days(self, file: File, count: int = 3) -> int:
        """Write days of a wave, a sample each 30 s; each day begins with one, as the recorder has it."""
        number = file.point("a.x")
        start = MIDNIGHT
        for _ in range(count):
            end = next_day(start, PARIS)
            samples = [
                (round(t * 1000), 0, float(int(t) % 977)) for t in range(int(start), int(end), 30)
            ]
            file.write(number, *samples)
            start = end
        return number

    def test_before_and_after_the_day_is_rolled(self, file: File) -> None:
        """Roll-ups that were worked out when they were asked for are those that are stored later."""
        self.write_days(file, 2)
        end = MIDNIGHT + 2 * DAY_S
        file.alive(end + 1)
        levels = ("1min", "15min", "1h", "1d")
        before = {level: file.reader.rollups("a.x", MIDNIGHT, end, level) for level in levels}
        assert [len(before[level]) for level in levels] == [2880, 192, 48, 2]
        file.upkeep.finish(file.connection, end + 3 * 3600)
        assert file.count("rolls") == 8
        after = {level: file.reader.rollups("a.x", MIDNIGHT, end, level) for level in levels}
        for level in levels:
            for one, other in zip(before[level], after[level], strict=True):
                assert (one.start, one.count, one.low, one.high) == (other.start, other.count, other.low, other.high)  # fmt: skip
                assert one.mean == pytest.approx(other.mean, abs=1e-9)

    def test_they_outlive_the_samples(self, file: File) -> None:
        """When the samples are gone the roll-ups still say what was."""
        self.write_days(file, 1)
        file.upkeep.finish(file.connection, MIDNIGHT + 2 * DAY_S)
        file.upkeep.retain(file.connection, MIDNIGHT + 95 * DAY_S)
        assert file.count("blocks") == 0
        (day,) = file.reader.rollups("a.x", MIDNIGHT, MIDNIGHT + DAY_S, "1d")
        assert (day.count, day.known) == (2880, 1.0)

    def test_a_late_sample_rolls_the_day_again(self, file: File) -> None:
        """A sample that comes after its day was rolled up is in the roll-up in the end."""
        number = self.write_days(file, 1)
        file.upkeep.finish(file.connection, MIDNIGHT + 2 * DAY_S)
        file.write(number, at(15, 5_000.0))
        file.upkeep.finish(file.connection, MIDNIGHT + 2 * DAY_S)
        (day,) = file.reader.rollups("a.x", MIDNIGHT, MIDNIGHT + DAY_S, "1d")
        assert (day.high, day.count) == (5_000.0, 2881)

    def test_shares(self, file: File) -> None:
        """Of an enumeration it is known how long it had which value."""
        number = file.point("a.mode", base="enum")
        file.write(number, (round(MIDNIGHT * 1000), 0, "auto"), at(0, "off"), at(6 * 3600, "auto"))
        file.alive(MIDNIGHT + DAY_S + 1)
        (day,) = file.reader.rollups("a.mode", MIDNIGHT, MIDNIGHT + DAY_S, "1d")
        assert day.spent == {"auto": 18 * 3600.0, "off": 6 * 3600.0}

    def test_the_future_is_left_out(self, file: File) -> None:
        """The hour that runs is as long as it has run, and later ones are not there."""
        file.write(file.point("a.x"), (round(MIDNIGHT * 1000), 0, 1.0), at(60, 2.0))
        hours = file.reader.rollups("a.x", MIDNIGHT, MIDNIGHT + DAY_S, "1h")
        assert len(hours) == 13
        assert hours[-1].width_s == pytest.approx(61.0)


class TestRetention:
    def test_nothing_is_older(self, tmp_path: Path) -> None:
        """Whenever one looks in the hour after a round, nothing is older than its limit, in any class."""
        file = File(tmp_path / "h.db", limits(personal=2.0, sensitive=0.5, internal=4.0))
        points = {
            "internal": file.point("a.x", "internal", days=4),
            "personal": file.point("b.x", "personal", days=2),
            "sensitive": file.point("c.x", "sensitive", days=0.5),
        }
        now = NOON
        for step in range(24 * 6):
            now = NOON + step * HOUR
            for number in points.values():
                file.write(number, (round(now * 1000), 0, float(step)))
            file.upkeep.finish(file.connection, now)
            for keep, class_, keep_s in file.connection.execute("SELECT * FROM limits").fetchall():
                for minutes in (0, 59):
                    assert rows_older(file.connection, keep, "", now + minutes * 60 - keep_s) == (
                        0, rows_older(file.connection, keep, "", 0)[1],
                    ), class_  # fmt: skip
        assert file.count("blocks") > 24 * 5
        proofs = file.connection.execute("SELECT count(*), sum(older) FROM proofs").fetchone()
        assert proofs[0] > 24 * 6
        assert proofs[1] == 0

    def test_rollups_of_persons_go_with_their_samples(self, tmp_path: Path) -> None:
        """The roll-ups of a personal point are not kept longer than its samples."""
        file = File(tmp_path / "h.db", limits(personal=3.0))
        number = file.point("b.x", "personal", days=3)
        for day in range(8):
            start = MIDNIGHT + day * DAY_S
            file.write(
                number, *((round((start + s) * 1000), 0, 1.0) for s in range(0, 86_000, 600))
            )
            file.upkeep.finish(file.connection, start + DAY_S + 3 * 3600)
        (oldest,) = file.connection.execute("SELECT min(day) FROM rolls").fetchone()
        assert file.count("rolls") > 0
        assert oldest >= MIDNIGHT + 8 * DAY_S + 3 * 3600 - 3 * DAY_S

    def test_shorter_limit(self, file: File) -> None:
        """A point that is to be kept for a shorter time is deleted by its new limit, what lies there already too."""
        number = file.point("a.x", "personal", days=60)
        file.write(number, at(0, 1.0))
        file.upkeep.finish(file.connection, NOON + 3 * HOUR)
        assert file.point("a.x", "personal", days=2) == number
        file.upkeep.retain(file.connection, NOON + 3 * DAY_S)
        assert file.count("blocks") == 0


class TestErase:
    def test_nothing_is_left(self, file: File) -> None:
        """After an erasure no byte of it is in the file or in its log, and everything else is as it was."""
        mine = file.point("van-1.position", "personal", "position")
        other = file.point("van-10.position", "personal", "position")
        names = file.point("gate.driver", "internal", "text")
        places = [[47.3 + n / 1000, 5.0] for n in range(40)]
        for number, later in ((mine, 0), (other, 7)):
            file.write(number, *(at(n * 60 + later, place) for n, place in enumerate(places)))
        file.write(names, at(0, "van-1"), at(60, "van-2"), at(120, "van-1"))
        file.upkeep.finish(file.connection, NOON + 5 * HOUR)
        file.write(mine, at(5 * HOUR, [47.5, 5.5]))
        file.write(names, at(5 * HOUR, "van-1"))
        kept = list(file.reader.samples("van-10.position", NOON, NOON + HOUR))
        blobs = self.blobs(file, mine)
        assert len(blobs) == 2
        assert all(blob in self.bytes_of(file) for blob in blobs)
        assert b"van-1.position" in self.bytes_of(file)

        assert file.upkeep.erase(file.connection, "van-1", NOON + 6 * HOUR) == 4

        left = self.bytes_of(file)
        assert not any(blob in left for blob in blobs)
        assert b"van-1.position" not in left
        assert list(file.reader.samples("van-10.position", NOON, NOON + HOUR)) == kept
        found = list(file.reader.samples("gate.driver", NOON, NOON + 5 * HOUR + 2))
        assert [v.value for v in found] == [None, "van-2", None, None]
        with pytest.raises(UnknownPointError):
            file.reader.value_at("van-1.position", NOON)
        (what,) = file.connection.execute(
            "SELECT what FROM proofs WHERE what = 'erased'"
        ).fetchone()
        assert what == "erased"

    def test_rollups_that_name_somebody(self, file: File) -> None:
        """The share of time for which somebody was named is erased from the roll-ups."""
        number = file.point("gate.driver", "internal", "text")
        file.write(number, (round(MIDNIGHT * 1000), 0, "van-1"), at(0, "van-2"))
        file.upkeep.finish(file.connection, MIDNIGHT + DAY_S + 3 * HOUR)
        file.upkeep.erase(file.connection, "van-1", MIDNIGHT + 2 * DAY_S)
        (day,) = file.reader.rollups("gate.driver", MIDNIGHT, MIDNIGHT + DAY_S, "1d")
        assert list(day.spent) == ["van-2"]
        assert day.known_s == pytest.approx(day.spent["van-2"])

    @staticmethod
    def blobs(file: File, number: int) -> list[bytes]:
        file.connection.execute("PRAGMA wal_checkpoint").fetchall()
        rows = file.connection.execute(
            "SELECT blob FROM blocks WHERE point = ?", (number,)
        ).fetchall()
        from pilotage.runtime.history.codec import decode_segment

        segments = file.connection.execute("SELECT blob FROM segments").fetchall()
        return [b for (b,) in rows] + [b for (b,) in segments if number in decode_segment(b)]

    @staticmethod
    def bytes_of(file: File) -> bytes:
        wal = file.path.with_name(file.path.name + "-wal")
        return file.path.read_bytes() + (wal.read_bytes() if wal.exists() else b"")


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_history_upkeep import File, NOON, HOUR
file = File(Path(sys.argv[1]))
number = file.point("a.x")
start = file.count("blocks") * HOUR
print("ready", flush=True)
for hour in range(100_000):
    base = NOON + start + hour * HOUR
    file.write(number, *((round((base + s) * 1000), 0, float(s)) for s in range(0, 3600, 300)))
    file.upkeep.pack_hour(file.connection, base + HOUR + 700)
    file.upkeep.roll_days(file.connection, base + HOUR)
"""


class TestKilled:
    def test_at_any_moment(self, tmp_path: Path) -> None:
        """A process that is killed while it packs and rolls up leaves a file in which nothing is lost or twice."""
        path = tmp_path / "history.db"
        for pause in (0.15, 0.3, 0.2):
            command = [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
                assert writer.stdout is not None
                assert writer.stdout.readline() == b"ready\n"
                time.sleep(pause)
                os.kill(writer.pid, signal.SIGKILL)
            file = File(path)
            assert file.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            until = file.reader.alive() + 1
            file.upkeep.finish(file.connection, until + 2 * DAY_S)
            found = [(v.time, v.value) for v in file.reader.samples("a.x", NOON, until)]
            assert [value for _, value in found] == [
                float(s) for _ in range(len(found) // 12) for s in range(0, 3600, 300)
            ]
            assert file.count("days") == 0
            whole = next_day(day_start(NOON, PARIS), PARIS)
            for bucket in file.reader.rollups("a.x", whole, until, "1h"):
                assert bucket.count == 12
            file.connection.close()


def test_code_of_unknown() -> None:
    """The code of an unknown value is no known one: segments of the tests above hold both."""
    assert MISSING == 4
