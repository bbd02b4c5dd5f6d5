"""Which devices are there: their last wills and births decide whether what is heard of them counts.

While a device is away its points are unknown; what the broker has kept of it waits, and counts again when it is back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pilotage.adapter import Door
from pilotage.adapter.payloads import Garbage, Path, text_of
from pilotage.model.messages import PointHandle
from pilotage.model.quality import Quality

TELL_S: Final = 0.2
"""Devices that are back within so long are told together: each telling has the engine look at all wanted values."""

Later = Callable[[float, Callable[[], None]], Any]
"""Calls something after some seconds."""


@dataclass(frozen=True, slots=True)
class Availability:
    """A payload that says whether an entity's device is there."""

    entity: str
    points: tuple[PointHandle, ...]
    path: Path | None
    online: str
    offline: str

    @property
    def is_json(self) -> bool:
        """True when something must be looked up in it."""
        return self.path is not None

    def is_there(self, document: Any, payload: bytes) -> bool:
        """Return what a payload says.

        Raises:
            Garbage: It is neither of the two words.
        """
        if self.path is not None:
            word = text_of(self.path(document))
        else:
            word = payload.decode("utf-8", "replace").strip()
        if word not in (self.online, self.offline):
            raise Garbage(f'"{word[:40]}" is neither "{self.online}" nor "{self.offline}"')
        return word == self.online


class Attendance:
    """A door in front of the engine's: what is heard of a device that is away waits here.

    Attributes:
        away: Ids of the entities that are not there.
    """

    def __init__(self, door: Door, later: Later) -> None:
        self.away: dict[str, tuple[PointHandle, ...]] = {}
        self._door = door
        self._later = later
        self._hidden: dict[str, tuple[PointHandle, Any, Quality, float | None] | None] = {}
        self._back: list[str] = []

    def reset(self) -> None:
        """Forget who was away: the connection is new, and the broker tells it again."""
        self.away.clear()
        self._hidden.clear()
        self._back.clear()

    def hear(self, source: Availability, *, is_there: bool) -> None:
        """Take in that a device is there, or that it is not."""
        if is_there == (source.entity not in self.away):
            return
        if is_there:
            self._come_back(source)
            return
        self.away[source.entity] = source.points
        for point in source.points:
            self._hidden.setdefault(point.id, None)
        self._door.lost(source.points, f"{source.entity} says that it is {source.offline}")

    def _come_back(self, source: Availability) -> None:
        points = self.away.pop(source.entity)
        for point in points:
            kept = self._hidden.pop(point.id, None)
            if kept is not None:
                handle, raw, quality, time = kept
                self._door.report(handle, raw, quality=quality, source_time=time)
        if not self._back:
            self._later(TELL_S, self._tell)
        self._back.append(source.entity)

    def _tell(self) -> None:
        """Have wanted values told again; those that are away are lost again, since "connected" is said of all."""
        back = [entity for entity in self._back if entity not in self.away]
        self._back.clear()
        if not back:
            return
        more = f" and {len(back) - 1} more" if len(back) > 1 else ""
        self._door.connected(f"{back[0]}{more} is there again")
        for entity, points in self.away.items():
            self._door.lost(points, f"{entity} is away")

    # ── what a reader needs of a door ────────────────────────────────────────────────────────

    def report(
        self,
        point: PointHandle,
        raw: Any,
        *,
        quality: Quality = Quality.GOOD,
        source_time: float | None = None,
    ) -> bool:
        """Hand a reading in, or keep it while its device is away."""
        if point.id in self._hidden:
            self._hidden[point.id] = (point, raw, quality, source_time)
            return True
        return self._door.report(point, raw, quality=quality, source_time=source_time)

    def call_result(self, call: str, status: str, detail: str = "") -> None:
        """Hand in an answer."""
        self._door.call_result(call, status, detail)

    def connected(self, detail: str = "") -> None:
        """Say that the connection is up."""
        self._door.connected(detail)

    def lost(self, points: Sequence[PointHandle], detail: str) -> None:
        """Say that points cannot be heard."""
        self._door.lost(points, detail)

    def refused(self, source: str, why: str) -> None:
        """Count a message that nobody understands."""
        self._door.refused(source, why)
