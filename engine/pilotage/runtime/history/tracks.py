"""What was last seen and last recorded of each point, and which of its values become samples.

Used by the recorder's thread alone; knows no file and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from pilotage.model.entities import PointSpec
from pilotage.model.messages import Reading
from pilotage.model.quality import Quality
from pilotage.runtime.history.codec import CODES, MISSING, STILL, Sample, is_known, plain
from pilotage.runtime.history.policies import Policy

OLDEST_MS: Final = 86_400_000
"""An older source time counts as the time of arrival: from then on the engine held the value."""
SETTLED_S: Final = 1.0
"""A change this young may still have its reading on the way."""


class Track:
    """One point on its way into the history.

    Attributes:
        number: In the file; 0 until it is first written.
        live, quality: As they were last seen.
        last: The last sample, None before the first and after a gap.
        pending: A newer one that waits until `at_most_every` is over.
        fresh: Samples that are not in the file yet.
    """

    __slots__ = ("cell", "fresh", "last", "live", "number", "pending", "policy", "quality")

    def __init__(self, cell: Any, policy: Policy) -> None:
        self.cell = cell
        self.policy = policy
        self.number = 0
        self.live: Any = None
        self.quality = Quality.MISSING
        self.last: Sample | None = None
        self.pending: Sample | None = None
        self.fresh: list[Sample] | tuple[()] = ()

    def is_change(self, sample: Sample) -> bool:
        """Return whether a sample differs from the last one by what the policy asks for."""
        last = self.last
        if last is None or self.policy.record == "readings":
            return True
        if (last[1] ^ sample[1]) & 7:
            return True
        if self.policy.deadband and isinstance(sample[2], float) and isinstance(last[2], float):
            return abs(sample[2] - last[2]) >= self.policy.deadband
        return bool(sample[2] != last[2])

    def must_wait(self, sample: Sample) -> bool:
        """Return whether the last sample is too young for another one; becoming unknown never waits."""
        last = self.last
        return (
            last is not None
            and 0 <= sample[0] - last[0] < self.policy.at_most_every_s * 1000
            and is_known(last[1])
            and is_known(sample[1])
        )


_NEVER: Final = Track(None, Policy("never"))


class Tracks:
    """All points that have been seen."""

    def __init__(self, policy_of: Callable[[str, PointSpec, str, str], Policy]) -> None:
        """Start with none.

        Args:
            policy_of: Finds the policy by point id, spec, kind and zone.
        """
        self.policy_of = policy_of
        self.day_ms = 0
        self.recorded = 0
        self.dirty: dict[Track, None] = {}
        self._waiting: dict[Track, None] = {}
        self._tracks: dict[Any, Track] = {}

    def __len__(self) -> int:
        """Return how many points are recorded."""
        return sum(track is not _NEVER for track in self._tracks.values())

    # ── what comes in ────────────────────────────────────────────────────────────────────────

    def read(self, now: float, inputs: Sequence[Any]) -> int:
        """Take the readings of a tick and return how many there were.

        Long and flat, since it runs for every reading of every device: most of them say what was said before.
        """
        tracks, reading, count = self._tracks, Reading, 0
        for item in inputs:
            if type(item) is not reading:
                continue
            count += 1
            cell, value, quality, time = item
            track = tracks.get(cell)
            if track is None:
                track = self._new(cell)
            if track is _NEVER:
                continue
            if quality is track.quality and track.policy.record != "readings":
                live = track.live
                if value is live or value == live:
                    continue
            track.live = value
            track.quality = quality
            self._see(track, self._time(time, now), quality, value)
        return count

    def look(self, now: float, cells: Sequence[Any]) -> None:
        """Find what changed without a reading: a value grew stale, was worked out, or is the engine's own."""
        for cell in cells:
            if cell.time is None:
                continue
            track = self._tracks.get(cell) or self._new(cell)
            if track is _NEVER:
                continue
            quality, value = cell.quality, cell.value
            if (value is None) is quality.is_usable:
                continue  # caught between two assignments of a tick; the next look sees both
            if quality is not track.quality or value != track.live:
                self._changed(track, cell, quality, value, now)
            elif track.last is not None and track.last[0] < self.day_ms:
                self._begin_day(track)

    def settle(
        self, now: float, one_by_one: Callable[[list[Track]], Iterable[Track]] = iter
    ) -> None:
        """Write what waited until its time was over; `one_by_one` may rest between them."""
        now_ms = now * 1000
        for track in one_by_one(list(self._waiting)):
            last, pending = track.last, track.pending
            if pending is None or last is None:
                del self._waiting[track]
            elif now_ms - last[0] >= track.policy.at_most_every_s * 1000:
                self._record(track, pending)

    def forget(self) -> None:
        """Begin anew: after a gap whatever is known is worth a sample."""
        for track in self._tracks.values():
            if track is not _NEVER:
                track.last = track.pending = track.live = None
                track.quality = Quality.MISSING
        self._waiting.clear()

    def exchange(self, policy_of: Callable[[str, PointSpec, str, str], Policy]) -> None:
        """Go on with other policies; what is fresh must have been written before."""
        self.policy_of = policy_of
        self._tracks.clear()
        self._waiting.clear()
        self.dirty.clear()

    def drop(self, entity: str) -> None:
        """Forget an entity's points altogether, with what is fresh."""
        for cell in [cell for cell in self._tracks if cell.id.partition(".")[0] == entity]:
            track = self._tracks.pop(cell)
            self._waiting.pop(track, None)
            self.dirty.pop(track, None)

    # ── samples ──────────────────────────────────────────────────────────────────────────────

    def _new(self, cell: Any) -> Track:
        entity = cell.entity
        kind, zone = ("", "") if entity is None else (entity.kind, entity.zone)
        policy = self.policy_of(cell.id, cell.spec, kind, zone)
        track = _NEVER if policy.record == "never" else Track(cell, policy)
        self._tracks[cell] = track
        return track

    def _time(self, time: float, now: float) -> int:
        arrived = round(now * 1000)
        source = round(time * 1000)
        return source if source > arrived - OLDEST_MS else arrived

    def _changed(self, track: Track, cell: Any, quality: Quality, value: Any, now: float) -> None:
        if cell.since is not None and now - cell.since < SETTLED_S:
            return
        since = now
        if quality is Quality.STALE and cell.spec.max_age_s is not None:
            since = cell.time + cell.spec.max_age_s
        elif track.last is not None and cell.since is not None:
            since = cell.since
        track.live, track.quality = value, quality
        self._see(track, self._time(min(since, now), now), quality, value, STILL)

    def _see(self, track: Track, ms: int, quality: Quality, value: Any, flag: int = 0) -> None:
        code = CODES[quality] if value is not None or not quality.is_usable else MISSING
        sample = (ms, code | flag, plain(value))
        if not track.is_change(sample):
            self._forget_pending(track)
            return
        if track.must_wait(sample):
            track.pending = sample
            self._waiting[track] = None
            return
        pending = track.pending
        if pending is not None and pending[0] < ms and track.is_change(pending):
            self._record(track, pending)
        self._record(track, sample)

    def _record(self, track: Track, sample: Sample) -> None:
        last = track.last
        if last is not None and last[0] < self.day_ms <= sample[0]:
            self._begin_day(track)
        if last is None or sample[0] >= last[0]:
            track.last = sample
        self._add(track, sample)
        self.recorded += 1
        self._forget_pending(track)

    def _forget_pending(self, track: Track) -> None:
        if track.pending is not None:
            track.pending = None
            self._waiting.pop(track, None)

    def _begin_day(self, track: Track) -> None:
        """Repeat the value at midnight: each day of the file can be read by itself."""
        last = track.last
        if last is not None and is_known(last[1]):
            track.last = (self.day_ms, last[1] | STILL, last[2])
            self._add(track, track.last)

    def _add(self, track: Track, sample: Sample) -> None:
        """Keep a sample for the file; a point that has none has no list either."""
        if isinstance(track.fresh, list):
            track.fresh.append(sample)
        else:
            track.fresh = [sample]
        self.dirty[track] = None
