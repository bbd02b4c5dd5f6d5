"""The recorder: what becomes a sample, what the file holds, and what happens to it under trouble."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pilotage.core.store import Cell, Entity
from pilotage.model.diagnostics import Span
from pilotage.model.entities import Access, PointSpec, Privacy
from pilotage.model.messages import CallResult, Reading
from pilotage.model.quality import Quality
from pilotage.model.values import POSITION, TEXT, Position, enum, number, reference
from pilotage.ports import LogUnusableError
from pilotage.runtime.health import Health
from pilotage.runtime.history import recorder as module
from pilotage.runtime.history.file import open_history
from pilotage.runtime.history.reader import HistoryReader, UnknownPointError
from pilotage.runtime.history.recorder import Recorder
from pilotage.runtime.history.settings import HistoryEntry, HistorySettings
from pilotage.runtime.journal import sqlite

PARIS = ZoneInfo("Europe/Paris")
NOON = 1_795_172_400.0  # 2026-11-20 12:00 in Paris
DAY_S = 86_400.0
AT = Span("config.yaml", 1, 1)

FLOW = PointSpec("flow", number("veh/h"), low=0.0, high=9_000.0, max_age_s=300.0)
STATE = PointSpec("state", enum("up", "down"))
PLACE = PointSpec("position", POSITION, privacy=Privacy.PERSONAL)
PLATE = PointSpec("plate", TEXT, Access.FIXED)
DRIVER = PointSpec("driver", reference(""))


def settings(*entries: HistoryEntry, **keep_d: float) -> HistorySettings:
    days = {
        Privacy.OPEN: 90.0,
        Privacy.INTERNAL: 90.0,
        Privacy.PERSONAL: 60.0,
        Privacy.SENSITIVE: 7.0,
    }
    keep = {each: keep_d.get(each.value, d) * DAY_S for each, d in days.items()}
    rolls = {"1min": 100.0, "15min": 400.0, "1h": 1100.0, "1d": 3700.0}
    return HistorySettings(True, keep, {level: d * DAY_S for level, d in rolls.items()}, entries)


EVERY = HistoryEntry(AT, kind="street", record="changes")


class City:
    """A street and a van with a recorder behind them, and a clock that is moved by hand."""

    def __init__(self, path: Path, health: Health, *entries: HistoryEntry) -> None:
        self.path, self.health = path, health
        self.entries = entries
        self.now = NOON
        self.cells: dict[str, Cell] = {}
        for name, kind, specs in (
            ("s-1", "street", (FLOW, STATE, PLATE)), ("van-1", "van", (PLACE, DRIVER)),
        ):  # fmt: skip
            entity = Entity(name, kind, zone="Dijon")
            for spec in specs:
                self.cells[f"{name}.{spec.name}"] = Cell(f"{name}.{spec.name}", spec, entity)
        self.recorder: Any = None

    def start(self) -> None:
        self.recorder = Recorder(self.path, settings(*self.entries), PARIS, self.health, speed=0.0)
        self.recorder.open(self.cells.values, self.now)

    def stop(self) -> None:
        self.recorder.take(self.now, [CallResult("clock", "moves")])
        self.recorder.close()

    def read(self, point: str, *steps: tuple[float, Any], quality: Quality = Quality.GOOD) -> None:
        """Have a device report values, each some seconds after the one before."""
        for seconds, value in steps:
            self.now += seconds
            cell = self.cells[point]
            reading = Reading(cell, value, quality, self.now)
            cell.put(value, quality, self.now, self.now)
            self.recorder.take(self.now, [reading])

    def wait(self, seconds: float) -> None:
        """Let time pass in which nothing is reported."""
        self.now += seconds
        self.recorder.take(self.now, [CallResult("clock", "moves")])

    def values(self, point: str, seconds: float = DAY_S) -> list[Any]:
        found = self.recorder.reader().samples(point, self.now - seconds, self.now + 1)
        return [value.value for value in found]


@pytest.fixture
def city(tmp_path: Path, health: Health) -> Iterator[City]:
    city = City(tmp_path / "var" / "history.db", health, EVERY)
    city.start()
    yield city
    city.stop()


@pytest.fixture
def make(tmp_path: Path, health: Health) -> Iterator[Callable[..., City]]:
    made: list[City] = []

    def build(*entries: HistoryEntry) -> City:
        city = City(tmp_path / "var" / "history.db", health, *entries)
        city.start()
        made.append(city)
        return city

    yield build
    for city in made:
        city.stop()


class TestSamples:
    def test_changes_only(self, city: City) -> None:
        """A value that is said again is no sample."""
        city.read("s-1.flow", (0, 40.0), (60, 40.0), (60, 41.0), (60, 41.0))
        assert city.values("s-1.flow") == [40.0, 41.0]

    def test_each_reading(self, make: Callable[..., City]) -> None:
        """With `record: readings` it is."""
        city = make(HistoryEntry(AT, kind="street", record="readings"))
        city.read("s-1.flow", (0, 40.0), (60, 40.0), (60, 41.0))
        assert city.values("s-1.flow") == [40.0, 40.0, 41.0]

    def test_deadband(self, make: Callable[..., City]) -> None:
        """A change counts against the last sample, so that a slow drift is seen too."""
        city = make(HistoryEntry(AT, kind="street", point="flow", deadband="5 veh/h"))
        city.read("s-1.flow", (0, 40.0), (9, 43.0), (9, 46.0), (9, 44.0), (9, 39.0))
        assert city.values("s-1.flow") == [40.0, 46.0, 39.0]

    def test_at_most_every(self, make: Callable[..., City]) -> None:
        """What comes too soon waits; when the time is over, the last of it is a sample."""
        city = make(HistoryEntry(AT, kind="street", point="flow", at_most_every_s=30.0))
        city.read("s-1.flow", (0, 1.0), (5, 2.0), (5, 3.0), (50, 4.0), (2, 5.0), (2, 4.0))
        assert city.values("s-1.flow") == [1.0, 3.0, 4.0]

    def test_the_last_that_waits_is_written(
        self, make: Callable[..., City], eventually: Any
    ) -> None:
        """A point that falls silent leaves its last value in the history."""
        city = make(HistoryEntry(AT, kind="street", point="flow", at_most_every_s=30.0))
        city.read("s-1.flow", (0, 1.0), (5, 2.0))
        city.recorder._next["write"] = 0.0
        city.wait(60)
        for _ in range(200):
            if city.values("s-1.flow") == [1.0, 2.0]:
                return
            city.recorder._next["write"] = 0.0
            city.recorder._wake.wait(0.02)
        assert city.values("s-1.flow") == [1.0, 2.0]

    def test_quality_never_waits(self, make: Callable[..., City]) -> None:
        """A value that becomes unknown ends the one before at once."""
        city = make(HistoryEntry(AT, kind="street", point="flow", at_most_every_s=30.0))
        city.read("s-1.flow", (0, 1.0))
        city.read("s-1.flow", (5, None), quality=Quality.BAD)
        found = list(city.recorder.reader().samples("s-1.flow", NOON - 1, city.now + 1))
        assert [(v.time - NOON, v.value, v.quality) for v in found] == [
            (0.0, 1.0, Quality.GOOD), (5.0, None, Quality.BAD),
        ]  # fmt: skip

    def test_a_value_that_grows_stale(self, city: City) -> None:
        """The moment at which a value became too old is recorded, though no reading says it."""
        city.read("s-1.flow", (0, 40.0))
        cell = city.cells["s-1.flow"]
        city.wait(400)
        cell.put(None, Quality.STALE, NOON, city.now - 10)
        self.until_seen(city, "s-1.flow", [40.0, None])
        *_, last = city.recorder.reader().samples("s-1.flow", NOON - 1, city.now)
        assert (last.time, last.quality, last.is_still) == (NOON + 300.0, Quality.STALE, True)

    def test_what_the_engine_worked_out(self, city: City) -> None:
        """A value that no device reports, such as a derived one, is seen when it changes."""
        city.cells["s-1.flow"].put(12.0, Quality.GOOD, city.now, city.now)
        city.wait(30)
        self.until_seen(city, "s-1.flow", [12.0])

    @staticmethod
    def until_seen(city: City, point: str, wanted: list[Any]) -> None:
        for _ in range(300):
            city.recorder._next["quick"] = 0.0
            try:
                if city.values(point) == wanted:
                    return
            except UnknownPointError:
                pass
            city.recorder._wake.wait(0.02)
        assert city.values(point) == wanted

    def test_old_source_time(self, city: City) -> None:
        """What a device says of three months ago is held from now on, and recorded so."""
        cell = city.cells["s-1.state"]
        city.recorder.take(city.now, [Reading(cell, "up", Quality.GOOD, NOON - 90 * DAY_S)])
        (only,) = city.recorder.reader().samples("s-1.state", NOON - 100 * DAY_S, NOON + 1)
        assert only.time == NOON

    def test_late_reading(self, city: City) -> None:
        """A reading that comes after a younger one takes its place in time."""
        cell = city.cells["s-1.flow"]
        for time, value in ((20.0, 2.0), (10.0, 1.0), (30.0, 3.0)):
            city.recorder.take(NOON + 40, [Reading(cell, value, Quality.GOOD, NOON + time)])
        city.now = NOON + 60
        assert city.values("s-1.flow") == [1.0, 2.0, 3.0]


class TestPolicies:
    def test_personal_needs_a_purpose(self, city: City) -> None:
        """Where a van is is not recorded, unless the site says what for."""
        city.read("van-1.position", (0, Position(47.3, 5.0)))
        with pytest.raises(UnknownPointError):
            city.values("van-1.position")

    def test_with_a_purpose(self, make: Callable[..., City]) -> None:
        """With a purpose and its basis it is, and both stand beside it."""
        city = make(HistoryEntry(AT, kind="van", point="position", purpose="proof of gritting", basis="public task"))  # fmt: skip
        city.read("van-1.position", (0, Position(47.3, 5.0)), (60, Position(47.4, 5.1)))
        assert city.values("van-1.position") == [[47.3, 5.0], [47.4, 5.1]]
        (point,) = city.recorder.reader().points("van-1.*")
        assert (point.purpose, point.basis, point.privacy) == ("proof of gritting", "public task", "personal")  # fmt: skip
        assert point.keep_s == 60 * DAY_S

    def test_fixed_points(self, city: City) -> None:
        """What stands in the inventory is not history."""
        city.read("s-1.plate", (0, "AA-1"))
        with pytest.raises(UnknownPointError):
            city.values("s-1.plate")

    def test_never(self, make: Callable[..., City]) -> None:
        """The first entry that fits decides, and it may say never."""
        city = make(HistoryEntry(AT, match="s-1.fl*", record="never"), EVERY)
        city.read("s-1.flow", (0, 1.0))
        city.read("s-1.state", (0, "up"))
        assert city.values("s-1.state") == ["up"]
        with pytest.raises(UnknownPointError):
            city.values("s-1.flow")

    def test_other_settings(self, city: City) -> None:
        """A reload exchanges the policies; what was recorded stays."""
        city.read("s-1.flow", (0, 1.0))
        city.recorder.exchange(settings(HistoryEntry(AT, kind="street", record="never")))
        city.recorder.reader()
        city.read("s-1.flow", (60, 2.0))
        assert city.values("s-1.flow") == [1.0]

    def test_the_same_settings(self, city: City) -> None:
        """A reload that changes nothing here begins nothing anew: what is said again is no sample."""
        city.read("s-1.flow", (0, 1.0))
        city.recorder.exchange(settings(EVERY))
        city.recorder.reader()
        city.read("s-1.flow", (60, 1.0), (60, 2.0))
        assert city.values("s-1.flow") == [1.0, 2.0]


class TestFile:
    def test_a_gap_between_two_runs(self, city: City) -> None:
        """Between two runs of the engine nothing is known, however the first one ended."""
        city.read("s-1.flow", (0, 40.0), (60, 50.0))
        city.stop()
        city.now += 3600
        city.start()
        city.read("s-1.flow", (60, 60.0))
        found = list(city.recorder.reader().samples("s-1.flow", NOON - 1, city.now + 1))
        assert [(v.value, v.time - NOON) for v in found] == [
            (40.0, 0.0), (50.0, 60.0), (None, 60.0), (60.0, 3720.0),
        ]  # fmt: skip

    def test_a_midnight(self, city: City) -> None:
        """A day begins with the value that held at midnight, so that each day can be read by itself."""
        city.read("s-1.flow", (0, 40.0))
        city.read("s-1.flow", (13 * 3600, 50.0))
        found = list(city.recorder.reader().samples("s-1.flow", NOON - 1, city.now + 1))
        assert [(v.value, v.time - NOON, v.is_still) for v in found] == [
            (40.0, 0.0, False), (40.0, 12 * 3600.0, True), (50.0, 13 * 3600.0, False),
        ]  # fmt: skip

    def test_private_to_the_service(self, city: City) -> None:
        """Nobody else may read the file."""
        assert city.path.stat().st_mode & 0o077 == 0

    def test_no_history(self, tmp_path: Path, health: Health) -> None:
        """A file of something else is left alone, with the mend."""
        path = tmp_path / "history.db"
        other = sqlite.connect(path)
        other.execute("CREATE TABLE t (x)")
        other.commit()
        other.close()
        with pytest.raises(LogUnusableError, match="mend"):
            open_history(path)
        with pytest.raises(LogUnusableError, match="no history yet"):
            HistoryReader(tmp_path / "nothing.db", PARIS)


class TestTrouble:
    def test_the_disk_refuses(self, city: City, health: Health) -> None:
        """While the file is locked values wait in memory; when it is free again all are there."""
        city.read("s-1.flow", (0, 1.0))
        city.recorder.reader()
        city.recorder._connection.execute("PRAGMA busy_timeout = 10")
        other = sqlite.connect(city.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        city.read("s-1.flow", (60, 2.0))
        with pytest.raises(LogUnusableError, match="locked"):
            city.recorder.reader()
        other.execute("ROLLBACK")
        other.close()
        assert city.values("s-1.flow") == [1.0, 2.0]

    def test_too_much_at_once(
        self, city: City, health: Health, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is too much is dropped and counted; the gap is written down, and then it goes on."""
        city.read("s-1.flow", (0, 1.0))
        city.recorder.reader()
        monkeypatch.setattr(module, "MOST_WAITING", -1)
        city.read("s-1.flow", (60, 2.0))
        monkeypatch.undo()
        assert health.counters["history.dropped"] == 1
        city.wait(1)
        city.recorder.reader()
        city.read("s-1.flow", (60, 2.0))
        assert city.values("s-1.flow") == [1.0, None, 2.0]

    def test_nothing_escapes(self, city: City, health: Health) -> None:
        """A fault of the recorder is told and ends nothing."""
        city.recorder.take(city.now, [Reading(object(), 1.0, Quality.GOOD, city.now)])  # type: ignore[arg-type]
        for _ in range(200):
            if health.finding("history.fault"):
                break
            city.recorder._wake.wait(0.02)
        assert health.finding("history.fault")
        city.read("s-1.flow", (60, 2.0))
        assert city.values("s-1.flow") == [2.0]

    def test_the_last_of_a_disk_is_the_journals(
        self, city: City, health: Health, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With little room left nothing is written and the trouble is told; values wait, and come when there is room."""
        city.read("s-1.flow", (0, 1.0))
        city.recorder.reader()
        monkeypatch.setattr(module, "LEAST_FREE_BYTES", 1 << 62)
        city.read("s-1.flow", (60, 2.0))
        with pytest.raises(LogUnusableError, match="these are the journal's"):
            city.recorder.reader()
        city.recorder._next["write"] = 0.0
        for _ in range(200):
            if health.finding("history.disk"):
                break
            city.recorder._wake.wait(0.02)
        assert health.finding("history.disk")
        cleared: list[str] = []
        monkeypatch.setattr(health, "cleared", cleared.append)
        for _ in range(2):  # turns in which nothing is to be written
            done = threading.Event()
            city.recorder._hand_over(done.set)
            assert done.wait(5)
        assert "history.disk" not in cleared
        monkeypatch.undo()
        city.recorder._next["write"] = 0.0
        assert city.values("s-1.flow") == [1.0, 2.0]
        for _ in range(200):
            if not health.finding("history.disk"):
                break
            city.recorder._wake.wait(0.02)
        assert health.finding("history.disk") is None
        assert health.is_sound
