"""Records values behind the engine's back: the loop hands over each tick's inputs, a thread of its own does the rest.

The loop pays one append per tick. The thread works in slices of about a millisecond and rests between them: the loop gives
the interpreter away at each call of the system, and would wait for a thread that goes on and on each time anew. What the disk does not take waits in memory up to a bound, then it is dropped
and the gap is written down.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from pilotage.model.diagnostics import Severity
from pilotage.model.entities import PointSpec
from pilotage.ports import HealthLog, LogUnusableError
from pilotage.runtime.history.codec import Sample, encode_segment
from pilotage.runtime.history.file import (
    HOUR,
    SHARD,
    PointRow,
    bytes_on_disk,
    open_history,
    register_point,
)
from pilotage.runtime.history.policies import Policies
from pilotage.runtime.history.reader import HistoryReader
from pilotage.runtime.history.rollups import day_start, next_day
from pilotage.runtime.history.settings import HistorySettings
from pilotage.runtime.history.tracks import Track, Tracks
from pilotage.runtime.history.upkeep import Upkeep
from pilotage.runtime.journal import sqlite

LOOK_S: Final = 0.25
WRITE_S: Final = 5.0
QUICK_S: Final = 1.0
ROUND_S: Final = 30.0
"""All points are looked at in so long; when a value grew stale is known to the second, however late it is seen."""
LEAST_CELLS: Final = 2_000
SLICE: Final = 400
READINGS: Final = 100
"""Of a slice: each takes some microseconds."""
PAUSE_S: Final = 0.0005
MOST_BESIDE: Final = 1_000
"""So many readings may wait while an hour is packed."""
MOST_WAITING: Final = 300_000
MOST_FRESH: Final = 500_000
UPKEEP_S: Final = 600.0
LEAST_FREE_BYTES: Final = 64 * 1024 * 1024
"""The last of a disk is the journal's: with less free the history writes nothing."""

T = TypeVar("T")


class _StoppedError(Exception):
    """Upkeep was left because the history is being closed."""


class Recorder:
    """The history of a running engine; `take` belongs to the event loop."""

    def __init__(
        self,
        path: Path,
        settings: HistorySettings,
        zone: ZoneInfo,
        health: HealthLog,
        *,
        speed: float = 1.0,
        pause_s: float = PAUSE_S,
    ) -> None:
        """Name a history; `open` makes or opens the file and starts the thread.

        Args:
            path: The file.
            settings: What is recorded, and how long it is kept.
            zone: Where the days of the roll-ups begin.
            health: Where trouble with the disk is told.
            speed: Seconds of the engine's clock in a real one.
            pause_s: Between two slices of work, for the loop to have the interpreter.
        """
        self.path = path
        self._zone = zone
        self._health = health
        self._speed = speed
        self._pause_s = pause_s
        self._settings = settings
        self._tracks = Tracks(Policies(settings).of)
        self._upkeep = Upkeep(zone, settings, health, self._breathe_or_stop)
        self._connection: Any = None
        self._cells: Callable[[], Iterable[Any]] = tuple
        self._inputs: deque[tuple[float, Sequence[Any]]] = deque()
        self._waiting = 0
        self._lost_since: float | None = None
        self._wake = threading.Event()
        self._jobs: deque[Callable[[], None]] = deque()
        self._jobs_lock = threading.Lock()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._anchor = (0.0, 0.0)
        self._midnight = 0.0
        self._sequence = 0
        self._next = {"write": 0.0, "quick": 0.0}
        self._round: Iterator[Any] = iter(())
        self._most = LEAST_CELLS
        self._derived: list[Any] = []
        self.readings = 0

    # ── the event loop's side ────────────────────────────────────────────────────────────────

    def open(self, cells: Callable[[], Iterable[Any]], now: float) -> None:
        """Open the file and begin to record; what lay between the last run and now is a gap.

        Args:
            cells: Gives the engine's points, for what changes without a reading; called in the recorder's thread.
            now: Of the engine's clock.

        Raises:
            LogUnusableError: The file cannot be used.
        """
        self._cells = cells
        self._anchor = (now, time.monotonic())
        self._connection = open_history(self.path)
        self._sequence = int(now * 1000)
        self._note_gap(now)
        self._thread = threading.Thread(target=self._run, name="pilotage-history", daemon=True)
        self._thread.start()

    def take(self, now: float, inputs: Sequence[Any]) -> None:
        """Take the inputs of a tick; the sequence must not change any more."""
        if inputs:
            if self._waiting > MOST_WAITING:
                self._lost_since = self._lost_since or now
                self._health.count("history.dropped", len(inputs))
                return
            self._waiting += len(inputs)
            self._inputs.append((now, inputs))

    def close(self) -> None:
        """Write what is there, and end."""
        if self._thread is None:
            return
        self._closing = True
        self._wake.set()
        self._thread.join()
        self._thread = None

    def exchange(self, settings: HistorySettings) -> None:
        """Go on with other settings, from the thread's next look; with the same ones nothing begins anew.

        Exchanged policies cost a new track and a sample for each point, some MB at once in a large city.
        """
        if settings == self._settings:
            return

        def change() -> None:
            try:
                self._write(self._now())
            except (sqlite.Error, OSError):
                self._jobs.append(change)  # once the disk takes what the old policies recorded
                raise
            self._upkeep.settings = settings
            self._tracks.exchange(Policies(settings).of)

        self._hand_over(change)
        self._settings = settings

    def ask(self, job: Callable[[Any], T], timeout_s: float = 60.0) -> T:
        """Run something on the writing connection, after everything so far is written; called from another thread.

        Raises:
            LogUnusableError: The history is closed, does not answer, or the job failed on its file.
        """
        done = threading.Event()
        result: list[T] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                self._drain()
                self._write(self._now())
                result.append(job(self._connection))
            except Exception as error:
                errors.append(error)
            done.set()

        self._hand_over(run)
        if not done.wait(timeout_s):
            raise LogUnusableError(f"{self.path}: no answer within {timeout_s:g} s")
        if errors:
            raise LogUnusableError(f"{self.path}: {errors[0]}") from errors[0]
        return result[0]

    def erase(self, id_: str) -> int:
        """Erase an entity's points and every value that names it; returns how many rows were changed."""

        def run(connection: Any) -> int:
            self._tracks.drop(id_)
            return self._upkeep.erase(connection, id_, self._now())

        return self.ask(run, UPKEEP_S)

    def reader(self) -> HistoryReader:
        """Return what reads this history, with everything so far on disk; called from another thread.

        Raises:
            LogUnusableError: The history is closed, or its disk refuses.
        """
        self.ask(lambda connection: None)
        return HistoryReader(self.path, self._zone)

    def keep_up(self) -> None:
        """Pack, roll up and delete everything that is due now; called from another thread.

        Raises:
            LogUnusableError: The history is closed, or its disk refuses.
        """
        self.ask(lambda connection: self._upkeep.finish(connection, self._now()), UPKEEP_S)

    def status(self) -> dict[str, Any]:
        """Return what goes on: readings taken, samples recorded, bytes, points."""
        return {
            "readings": self.readings,
            "samples": self._tracks.recorded,
            "bytes": bytes_on_disk(self.path),
            "points": len(self._tracks),
            "waiting": self._waiting,
        }

    @property
    def is_alive(self) -> bool:
        """Whether its thread records."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How many readings wait to be taken up."""
        return self._waiting

    def _hand_over(self, job: Callable[[], None]) -> None:
        with self._jobs_lock:
            if self._thread is None or self._closing:
                raise LogUnusableError(f"{self.path}: the history is not open")
            self._jobs.append(job)
        self._wake.set()

    # ── the thread ───────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            while not self._closing:
                self._wake.wait(LOOK_S)
                self._wake.clear()
                self._turn()
            self._finish()
        finally:
            with contextlib.suppress(sqlite.Error):
                self._connection.close()

    def _turn(self) -> None:
        """Do what is due; whatever fails is told, and the next turn comes."""
        try:
            self._drain()
            now = self._now()
            self._look(now)
            while self._jobs:
                self._jobs.popleft()()
            steady = time.monotonic()
            wrote = steady >= self._next["write"]
            if wrote:
                self._next["write"] = steady + WRITE_S
                self._tracks.settle(now, self._with_rests)
                self._write(now)
            self._upkeep.step(self._connection, now)
            if wrote:  # a turn without anything to write says nothing of the disk
                self._health.cleared("history.disk")
        except _StoppedError:
            return
        except (sqlite.Error, OSError) as error:
            self._trouble(error)
        except Exception as error:
            self._health.count("history.faults")
            self._health.raised(
                "history.fault",
                f"the history failed on something: {type(error).__name__}: {error}; it goes on without it",
                "report this with the engine's log",
                Severity.WARNING,
            )

    def _finish(self) -> None:
        """Write the rest, at the end."""
        with contextlib.suppress(sqlite.Error, OSError):
            self._drain()
            self._tracks.settle(float("inf"))
            self._write(self._now())
        for _ in range(len(self._jobs)):
            with contextlib.suppress(sqlite.Error, OSError):
                self._jobs.popleft()()

    def _drain(self) -> None:
        """Take what the loop has handed over."""
        since = 0
        while self._inputs:
            now, inputs = self._inputs.popleft()
            self._anchor = (now, time.monotonic())
            self._keep_day(now)
            for start in range(0, len(inputs), READINGS):
                part = inputs if len(inputs) <= READINGS else inputs[start : start + READINGS]
                self.readings += self._tracks.read(now, part)
                since += len(part)
                if since >= READINGS:
                    since = 0
                    self._breathe()
            self._waiting -= len(inputs)

    def _breathe(self) -> None:
        """Let the loop have the interpreter."""
        time.sleep(self._pause_s)

    def _breathe_or_stop(self) -> None:
        """Let the loop have the interpreter; at the end, leave the work: it is done again at the next start.

        What comes in meanwhile is taken up: the readings of half a minute would take some MB, which Python keeps from then on.
        """
        self._breathe()
        if self._closing:
            raise _StoppedError
        if self._waiting > MOST_BESIDE:
            self._drain()

    def _now(self) -> float:
        """Return the engine's time: the last tick's, and what has passed since."""
        now, at = self._anchor
        return now + (time.monotonic() - at) * self._speed

    def _keep_day(self, now: float) -> None:
        if now >= self._midnight:
            start = day_start(now, self._zone)
            self._midnight = next_day(start, self._zone)
            self._tracks.day_ms = round(start * 1000)

    def _look(self, now: float) -> None:
        """Look at the derived points each second, and at all others in turn."""
        steady = time.monotonic()
        if steady < self._next["quick"]:
            return
        self._next["quick"] = steady + QUICK_S
        self._keep_day(now)
        part = list(islice(self._round, self._most))
        if not part:
            cells = list(self._cells())
            self._most = max(LEAST_CELLS, round(len(cells) * QUICK_S / ROUND_S))
            self._round = iter(cells)
            self._derived = [cell for cell in cells if cell.source is not None]
            part = list(islice(self._round, self._most))
        self._look_at(now, self._derived)
        self._look_at(now, part)

    def _look_at(self, now: float, cells: Sequence[Any]) -> None:
        for start in range(0, len(cells), SLICE):
            self._tracks.look(now, cells[start : start + SLICE])
            self._breathe()

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    def _write(self, now: float) -> None:
        """Write what is fresh in one transaction; on any error all of it stays fresh."""
        tracks = self._tracks.dirty
        connection = self._connection
        self._check_room()
        connection.execute("BEGIN IMMEDIATE")
        try:
            numbers = self._numbered(tracks)
            for (hour, shard), points in self._sorted_out(numbers).items():
                sorted_points = sorted(points.items())
                for start in range(0, len(sorted_points), SLICE):
                    part = dict(sorted_points[start : start + SLICE])
                    self._sequence += 1
                    connection.execute(
                        "INSERT INTO segments (hour, shard, seq, blob) VALUES (?, ?, ?, ?)",
                        (hour, shard, self._sequence, encode_segment(part)),
                    )
                    self._breathe()
            if self._lost_since is not None:
                _insert_gap(connection, self._lost_since, now, "too much at once")
            _set(connection, "alive", now)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raise
        for track, number in self._with_rests(numbers.items()):
            track.number = number
            track.fresh = ()
        tracks.clear()
        if self._lost_since is not None:
            self._lost_since = None
            self._tracks.forget()

    def _check_room(self) -> None:
        """Leave the last of the disk to the journal.

        Raises:
            OSError: There is little left.
        """
        disk = os.statvfs(self.path.parent)
        free = disk.f_bavail * disk.f_frsize
        if free < LEAST_FREE_BYTES:
            raise OSError(
                errno.ENOSPC,
                f"only {free / 1e6:.0f} MB are free on its disk, and these are the journal's",
            )

    def _numbered(self, tracks: Mapping[Track, None]) -> dict[Track, int]:
        """Return the tracks with their numbers in the file; new ones are entered."""
        numbers: dict[Track, int] = {}
        for track in self._with_rests(tracks):
            numbers[track] = track.number or self._register(track)
            if not track.number and len(numbers) % 32 == 0:
                self._breathe()
        return numbers

    def _sorted_out(
        self, numbers: Mapping[Track, int]
    ) -> dict[tuple[int, int], dict[int, list[Sample]]]:
        """Return fresh samples by hour and shard, then by point."""
        found: dict[tuple[int, int], dict[int, list[Sample]]] = {}
        for track, number in self._with_rests(numbers.items()):
            for sample in track.fresh:
                key = (sample[0] // (HOUR * 1000), number // SHARD)
                found.setdefault(key, {}).setdefault(number, []).append(sample)
        return found

    def _with_rests(self, things: Iterable[T]) -> Iterator[T]:
        """Yield things, and let the loop have the interpreter after some."""
        for count, thing in enumerate(things, 1):
            yield thing
            if count % SLICE == 0:
                self._breathe()

    def _register(self, track: Track) -> int:
        spec: PointSpec = track.cell.spec
        policy, entity = track.policy, track.cell.entity
        row = PointRow(
            number=0,
            id=track.cell.id,
            kind="" if entity is None else entity.kind,
            base=spec.type.base.value,
            unit=spec.type.unit.symbol,
            keep=0,
            policy=policy.text,
            purpose=policy.purpose,
            basis=policy.basis,
            privacy=spec.privacy.value,
            keep_s=policy.keep_s,
        )
        return register_point(self._connection, row)

    def _note_gap(self, now: float) -> None:
        found = self._connection.execute("SELECT value FROM state WHERE key = 'alive'").fetchone()
        if found is not None and found[0] < now:
            _insert_gap(self._connection, found[0], now, "the engine did not run")

    def _trouble(self, error: Exception) -> None:
        """Tell it, and drop what is too much: the history may have holes, the engine's memory may not grow."""
        self._health.count("history.refused")
        self._health.raised(
            "history.disk",
            f"{self.path} cannot be written: {getattr(error, 'strerror', None) or error}; values are kept in memory for a while, then dropped",
            "free space on the disk, or give the file back its rights; the history goes on by itself",
            Severity.WARNING,
        )
        fresh = sum(len(track.fresh) for track in self._tracks.dirty)
        if fresh > MOST_FRESH:
            self._health.count("history.dropped", fresh)
            oldest = min(track.fresh[0][0] for track in self._tracks.dirty if track.fresh)
            for track in self._tracks.dirty:
                track.fresh = ()
            self._tracks.dirty.clear()
            self._lost_since = min(self._lost_since or oldest / 1000, oldest / 1000)


def _insert_gap(connection: Any, since: float, until: float, why: str) -> None:
    connection.execute("INSERT INTO gaps (since, until, why) VALUES (?, ?, ?)", (since, until, why))


def _set(connection: Any, key: str, value: float) -> None:
    connection.execute(
        "INSERT INTO state (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
