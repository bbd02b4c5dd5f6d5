"""A city and a door for the tests of an adapter, without an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.messages import PointHandle
from pilotage.model.quality import Quality
from pilotage.model.values import TEXT, enum, set_of


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """A point of a `FixedSite`."""

    id: str
    spec: PointSpec


class FixedSite:
    """A city that is given once: kinds and entities; every point of every entity has a handle."""

    def __init__(
        self, kinds: Iterable[Kind], entities: Iterable[EntitySpec], name: str = "testville"
    ) -> None:
        self._name = name
        self._kinds = {kind.name: kind for kind in kinds}
        self._entities = sorted(entities, key=lambda entity: entity.id)
        self._points = {
            point.id: point for entity in self._entities for point in self._points_of(entity)
        }

    @property
    def name(self) -> str:
        """The site's name."""
        return self._name

    def entities(self, kind: str = "") -> Sequence[EntitySpec]:
        """Return the entities of a kind, or all, in order of id."""
        return [entity for entity in self._entities if kind in ("", entity.kind)]

    def kind(self, name: str) -> Kind | None:
        """Return a kind by name, or None."""
        return self._kinds.get(name)

    def point(self, id: str) -> PointHandle | None:  # noqa: A002
        """Return the handle of `ENTITY.POINT`, or None when there is no such point."""
        return self._points.get(id)

    def _points_of(self, entity: EntitySpec) -> Iterable[FixedPoint]:
        kind = self._kinds[entity.kind]
        relations = (PointSpec(name, set_of(of)) for name, of in kind.relations.items())
        for spec in (
            PointSpec("name", TEXT, Access.FIXED),
            *map(entity.point, kind.points),
            *relations,
        ):
            yield FixedPoint(f"{entity.id}.{spec.name}", spec)
            if spec.is_request:
                status = PointSpec(f"{spec.name}.status", enum(*spec.statuses))
                yield FixedPoint(f"{entity.id}.{status.name}", status)


class Report(NamedTuple):
    """What an adapter handed in for a point."""

    point: str
    raw: Any
    quality: Quality
    source_time: float | None


class RecordingDoor:
    """A door that keeps everything it gets, in order, and wakes the test that waits for it.

    Attributes:
        reports: Every reading.
        answers: (call, status, detail) of every answer to a call.
        ups: Details of every `connected`.
        losses: (ids of the points, detail) of every `lost`.
        refusals: (source, why) of every `refused`.
    """

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.answers: list[tuple[str, str, str]] = []
        self.ups: list[str] = []
        self.losses: list[tuple[tuple[str, ...], str]] = []
        self.refusals: list[tuple[str, str]] = []
        self._news = asyncio.Event()

    def report(
        self,
        point: PointHandle,
        raw: Any,
        *,
        quality: Quality = Quality.GOOD,
        source_time: float | None = None,
    ) -> bool:
        """Keep a reading."""
        self.reports.append(Report(point.id, raw, quality, source_time))
        self._news.set()
        return True

    def call_result(self, call: str, status: str, detail: str = "") -> None:
        """Keep an answer to a call."""
        self.answers.append((call, status, detail))
        self._news.set()

    def connected(self, detail: str = "") -> None:
        """Keep that the connection is up."""
        self.ups.append(detail)
        self._news.set()

    def lost(self, points: Sequence[PointHandle], detail: str) -> None:
        """Keep that points cannot be heard."""
        self.losses.append((tuple(point.id for point in points), detail))
        self._news.set()

    def refused(self, source: str, why: str) -> None:
        """Keep that a message was not understood."""
        self.refusals.append((source, why))
        self._news.set()

    def last(self, point: str) -> Any:
        """Return the last reported value of a point, or None."""
        return next((r.raw for r in reversed(self.reports) if r.point == point), None)

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait until something that this door heard makes a condition true.

        Raises:
            AssertionError: It did not become true in time; the text tells what was heard last.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            heard = f"{self.reports[-5:]} {self.answers[-3:]} {self.ups} {self.losses[-2:]} {self.refusals[-5:]}"
            raise AssertionError(f"not within {timeout_s:g} s; heard {heard}") from None
