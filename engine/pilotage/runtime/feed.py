"""The feed of the live pages: what looks otherwise, which lists changed, and that the engine is alive.

While somebody listens a reading costs one insertion into a set, and twenty times a second what was touched is looked at; while
nobody listens nothing is done at all. It reads the core between two ticks and changes nothing.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from pilotage import api
from pilotage.core.store import Cell, Entity
from pilotage.model.entities import Access
from pilotage.model.looks import Look
from pilotage.model.messages import (
    AlarmChanged,
    Command,
    Decision,
    Demanded,
    Followed,
    GlassChanged,
    IncidentChanged,
    Input,
    Noted,
    OrderRefused,
    OrderTaken,
    PlanAsks,
    PlanChanged,
    Reading,
    Relinquished,
    Request,
    RuleChanged,
    RunChanged,
    TargetChanged,
)
from pilotage.model.priorities import BY_HAND
from pilotage.ports import Clock
from pilotage.runtime.faces import Face, face_of, look_of
from pilotage.runtime.health import Health

FRAME_S: Final = 0.05
BEAT_S: Final = 1.0
SLICE: Final = 100
"""So many are looked at in one go while the feed begins, and besides those that were touched at each frame: what grew old
untouched is seen within 20 s in a city of 40,000, and at once in a small one."""
MOST_TOUCHED: Final = 2_000
"""So many are looked at in one frame at most; the others have their turn in the next."""

_OPEN: Final = {"raised": 2, "cleared": 2, "latched": 2, "acknowledged": 1}
"""What an alarm's state says of the equipment that it is about."""
_ABOUT_POINTS: Final = (Command, Demanded, Followed, Relinquished, Request, TargetChanged)
_TOPICS: Final[dict[type[Any], tuple[str, ...]]] = {
    AlarmChanged: ("alarms", "journal"),
    Followed: ("commands",),
    GlassChanged: ("glass", "journal"),
    TargetChanged: ("commands",),
    IncidentChanged: ("incidents", "journal"),
    Noted: ("journal",),
    OrderTaken: ("journal",),
    OrderRefused: ("journal",),
    PlanAsks: ("plans", "journal"),
    PlanChanged: ("plans", "journal"),
    RuleChanged: ("rules",),
    RunChanged: ("rules",),
}
_QUICK: Final = frozenset({"alarms", "glass", "incidents", "journal", "overrides", "plans"})
"""Topics that people wait for: they are told at once, the others with the next frame."""


class FedPump(Protocol):
    """The pump as the feed sees it."""

    on_ticked: Callable[[float, Sequence[Input]], None]

    @property
    def number(self) -> int:
        """Number of the last decision."""
        ...

    def subscribe(self, listener: Callable[[Decision], None]) -> Callable[[], None]:
        """Call a listener with each decision that is on disk; returns what ends it."""
        ...


class Feed:
    """Tells everybody who listens the same news in the same bytes."""

    def __init__(
        self,
        epoch: str,
        engine: Any,
        ids: Iterable[str],
        pump: FedPump,
        clock: Clock,
        health: Health,
    ) -> None:
        """Prepare a feed; nothing happens until somebody listens.

        Args:
            epoch: Names this run of the engine.
            engine: The core (`pilotage.core.engine.Engine`).
            ids: The inventory's entities, in the order in which equipment is numbered.
            pump: Tells of readings and decisions.
            clock: The engine's time.
            health: Its findings are the topic `health`.
        """
        self.epoch = epoch
        self._engine = engine
        self._pump = pump
        self._clock = clock
        self._health = health
        faces: dict[str, Face | None] = {}
        self._faces: list[Face] = []
        self.equipment: list[Entity] = []
        for entity in filter(None, map(engine.entities.get, ids)):
            if entity.kind not in faces:
                faces[entity.kind] = face_of(entity)
            if (face := faces[entity.kind]) is not None:
                self.equipment.append(entity)
                self._faces.append(face)
        self._places: dict[str, int] = {}
        self._looks = bytearray()
        self._alarms: dict[int, dict[str, int]] = {}
        self._lists: dict[str, int] = {}
        self._changed: dict[str, int] = {}
        self._cells: set[Any] = set()
        self._touched: set[int] = set()
        self._next = 0
        self._takers: list[Callable[[bytes], None]] = []
        self._begun: asyncio.Task[None] | None = None
        self._ends: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._beat_due = self._worst_s = 0.0
        self._reading_at: float | None = None
        self._flush_waits = False
        self._findings: tuple[Any, ...] = ()

    def places(self, first: int, limit: int) -> list[api.Place]:
        """Return equipment from a place on, at most `limit`."""
        return [
            _standing(place, self.equipment[place])
            for place in range(first, min(first + limit, len(self.equipment)))
        ]

    # ── who listens ──────────────────────────────────────────────────────────────────────────

    async def listen(self, take: Callable[[bytes], None]) -> tuple[api.CityNow, Callable[[], None]]:
        """Have all news from now on given to a listener, as lines; returns how everything is, and what ends it."""
        if self._begun is None:
            self._begun = asyncio.ensure_future(self._begin())
        self._takers.append(
            take
        )  # it counts already: a feed that begins is not ended by another who leaves
        try:
            await asyncio.shield(self._begun)
        except BaseException:
            self._leave(take)
            raise
        self._tell_lists()
        self._takers.remove(take)
        self._frame()  # what was touched so far is for those who listened before
        self._takers.append(take)
        now = api.CityNow(
            epoch=self.epoch,
            at=self._clock.now(),
            looks=self._looks.decode(),
            lists={topic: self._lists.get(topic, 0) for topic in api.TOPICS},
        )
        return now, lambda: self._leave(take)

    def say_goodbye(self) -> bool:
        """Tell everybody who listens that the engine is being stopped on purpose; False when nobody does."""
        self._tell(api.Leaving())
        return bool(self._takers)

    def close(self) -> None:
        """Tell nobody anything any more."""
        self._takers.clear()
        self._end()

    def _leave(self, take: Callable[[bytes], None]) -> None:
        if take in self._takers:
            self._takers.remove(take)
        if not self._takers:
            self._end()

    async def _begin(self) -> None:
        """Look at everything once, a slice at a time so that no tick waits, and from then on at what is touched."""
        loop = asyncio.get_running_loop()
        self._places = {entity.id: place for place, entity in enumerate(self.equipment)}
        self._looks = bytearray(b"5" * len(self.equipment))
        self._alarms.clear()
        alarms = getattr(self._engine, "alarms", None)
        for alarm in () if alarms is None else alarms.open.values():
            self._alarm(alarm.id, alarm.state)
        before = self._pump.on_ticked

        def ticked(now: float, inputs: Sequence[Input]) -> None:
            before(now, inputs)
            self._cells.update([item[0] for item in inputs if type(item) is Reading])

        self._pump.on_ticked = ticked
        self._ends = [
            lambda: setattr(self._pump, "on_ticked", before),
            self._pump.subscribe(self._decided),
        ]
        self._lists = dict.fromkeys(api.TOPICS, self._pump.number)
        self._findings = self._health.findings
        for first in range(0, len(self.equipment), SLICE):
            self._look_at(range(first, min(first + SLICE, len(self.equipment))))
            await asyncio.sleep(0)
        self._due = loop.time()
        self._beat_due = self._due + BEAT_S
        self._run()

    def _end(self) -> None:
        if self._begun is not None:
            self._begun.cancel()
            self._begun = None
        for end in self._ends:
            end()
        self._ends = []
        if self._timer is not None:
            self._timer.cancel()
        self._cells.clear()
        self._touched.clear()
        self._looks = bytearray()
        self._places = {}

    # ── what is touched ──────────────────────────────────────────────────────────────────────

    def _decided(self, decision: Decision) -> None:
        for event in decision.events:
            kind = type(event)
            for topic in _TOPICS.get(kind, ()):
                self._changed[topic] = decision.number
            if kind in _ABOUT_POINTS:
                if (place := self._place_of(event.point)) is not None:
                    self._touched.add(place)
                if getattr(event, "level", 0) in BY_HAND or kind is Relinquished:
                    self._changed["overrides"] = decision.number
            elif kind is AlarmChanged:
                self._alarm(event.alarm, event.after)
            elif kind is OrderTaken:
                self._changed[f"{event.about.partition(' ')[0]}s"] = decision.number
        if not _QUICK.isdisjoint(self._changed) and not self._flush_waits:
            self._flush_waits = True
            asyncio.get_running_loop().call_soon(self._tell_lists)

    def touch(self, topic: str) -> None:
        """Say that a list changed by something that is no decision."""
        if self._ends:
            self._changed[topic] = max(self._pump.number, self._lists.get(topic, 0) + 1)
            self._tell_lists()

    def _alarm(self, alarm: str, state: str) -> None:
        """Note the state of an alarm with each piece of equipment that its instance names, or a point of it."""
        for name in alarm.partition("[")[2].removesuffix("]").split(", "):
            place = self._place_of(name)
            if place is not None:
                standing = self._alarms.setdefault(place, {})
                standing.pop(alarm, None)
                if (weight := _OPEN.get(state, 0)) > 0:
                    standing[alarm] = weight
                self._touched.add(place)

    def _place_of(self, name: str) -> int | None:
        place = self._places.get(name)
        if place is None and (cell := self._engine.cells.get(name)) is not None:
            return self._place(cell)
        return place

    def _place(self, cell: Cell) -> int | None:
        return None if cell.entity is None else self._places.get(cell.entity.id)

    # ── what is told ─────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._worst_s = max(self._worst_s, now - self._due)
        self._frame()
        if now >= self._beat_due:
            self._beat_due = now + BEAT_S
            self._beat()
        self._due = max(self._due + FRAME_S, now)
        self._timer = loop.call_at(self._due, self._run)

    def _frame(self) -> None:
        """Look at what was touched, and at some that nobody touched."""
        cells, self._cells = self._cells, set()
        if cells:
            self._reading_at = self._clock.now()
            self._touched.update(p for cell in cells if (p := self._place(cell)) is not None)
        size = len(self.equipment)
        if size:
            first = self._next
            self._touched.update(range(first, min(first + SLICE, size)))
            self._next = first + SLICE if first + SLICE < size else 0
        now = list(itertools.islice(self._touched, MOST_TOUCHED))
        self._touched.difference_update(now)
        changed = self._look_at(now)
        if changed:
            self._tell(api.LooksChanged(changed))
        if self._changed:
            self._tell_lists()

    def _look_at(self, places: Iterable[int]) -> list[int]:
        """Look at equipment; return what looks otherwise than before, each with its look."""
        looks, changed = self._looks, []
        reconciler = getattr(self._engine, "reconciler", None)
        pursuit = reconciler.pursuit if reconciler is not None else _nobody
        for place in places:
            standing = self._alarms.get(place)
            alarm = max(standing.values()) if standing else 0
            look = look_of(self.equipment[place], self._faces[place], alarm, pursuit)
            if looks[place] != look + 48:
                looks[place] = look + 48
                changed.append(place * 10 + look)
        return changed

    def _tell_lists(self) -> None:
        self._flush_waits = False
        changed, self._changed = self._changed, {}
        known = {topic: number for topic, number in changed.items() if topic in api.TOPICS}
        if known:
            self._lists.update(known)
            self._tell(api.ListsChanged(known))

    def _beat(self) -> None:
        findings = self._health.findings
        if findings != self._findings:
            self._findings = findings
            self._changed["health"] = max(self._pump.number, self._lists["health"] + 1)
        now, size = self._clock.now(), len(self.equipment)
        heard = round(1 - self._looks.count(48 + Look.SILENT) / size, 5) if size else None
        quiet = None if self._reading_at is None else round(now - self._reading_at, 3)
        self._tell(api.Beat(round(now, 3), round(self._worst_s * 1000), heard, quiet))
        self._worst_s = 0.0

    def _tell(self, news: api.News) -> None:
        line = api.encode_answer(news)
        for take in self._takers:
            take(line)


def _nobody(cell: Cell) -> None:
    """Nothing is wanted of a point: a test's engine has no reconciler."""


def _standing(place: int, entity: Entity) -> api.Place:
    name = "" if entity.name == entity.id else entity.name
    cell = entity.position
    here = entity.place if cell is not None and cell.spec.access is Access.FIXED else None
    if here is None:
        return api.Place(place, entity.id, entity.kind, entity.zone, name)
    return api.Place(
        place,
        entity.id,
        entity.kind,
        entity.zone,
        name,
        round(here.latitude, 6),
        round(here.longitude, 6),
    )
