"""Answers what equipment there is and how it is: lists by slices, so that no tick waits, and one piece with all its points."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from pilotage import api
from pilotage.api import ApiError
from pilotage.core.store import Cell, Entity, to_value
from pilotage.core.why import shown, why_point
from pilotage.model.entities import Access
from pilotage.model.values import Base, as_plain
from pilotage.ports import Clock
from pilotage.runtime.desks.why import in_thread
from pilotage.runtime.faces import Face, face_of, look_of
from pilotage.runtime.history.reader import HistoryValue, UnknownPointError
from pilotage.runtime.history.recorder import Recorder

SLICE_S: Final = 0.002
"""So long a list looks at equipment before it lets a tick go first."""
MOST_ROWS: Final = 500
MOST_RELATED: Final = 200
_OPEN: Final = {"raised": 2, "latched": 2, "acknowledged": 1}
"""What an alarm's state says of the equipment that it is about, as in the feed."""


class EquippedService(Protocol):
    """The service as this desk sees it."""

    @property
    def engine(self) -> Any:
        """The core (`pilotage.core.engine.Engine`)."""
        ...

    @property
    def clock(self) -> Clock:
        """The engine's time."""
        ...

    @property
    def plan(self) -> Any:
        """What was read and compiled last (`pilotage.runtime.workshop.CityPlan`)."""
        ...

    @property
    def history(self) -> Recorder | None:
        """What records values; None when nothing does."""
        ...


class EquipmentDesk:
    """The questions of `pilotage.api.equipment`."""

    def __init__(self, service: EquippedService) -> None:
        self._service = service
        self._ids: list[str] = []
        self._faces: dict[str, Face | None] = {}
        self._known_filters: api.EquipmentFilters | None = None
        self.answers: dict[type[Any], Callable[[Any], Awaitable[Any]]] = {
            api.ListEquipment: self._list,
            api.ListEquipmentFilters: self._filters,
            api.GetEquipment: self._detail,
        }

    # ── lists ────────────────────────────────────────────────────────────────────────────────

    async def _list(self, ask: api.ListEquipment) -> api.EquipmentPage:
        limit = max(1, min(ask.limit, MOST_ROWS))
        alarms, fits = self._alarms(), self._fitting(ask)
        found: list[Entity] = []
        total = 0
        end = time.perf_counter() + SLICE_S
        for entity in self._all():
            if time.perf_counter() > end:
                await asyncio.sleep(0)
                end = time.perf_counter() + SLICE_S
            if not fits(entity) or (ask.look and self._look(entity, alarms) != ask.look):
                continue
            total += 1
            if entity.id > ask.after and len(found) <= limit:
                found.append(entity)
        now = self._service.clock.now()
        rows = [self._row(entity, alarms, now) for entity in found[:limit]]
        return api.EquipmentPage(rows, total, rows[-1].id if len(found) > limit else "")

    def _all(self) -> Iterator[Entity]:
        """Return the inventory's entities in order of id."""
        engine = self._service.engine
        if len(self._ids) != len(engine.inventory):
            self._ids = sorted(spec.id for spec in engine.inventory)
        return (engine.entities[id_] for id_ in self._ids if id_ in engine.entities)

    def _fitting(self, ask: api.ListEquipment) -> Callable[[Entity], bool]:
        text = ask.text.strip().lower()
        kinds = {ask.kind} if ask.kind else None
        if ask.domain:
            kinds = {k for k in self._kinds() if self._domain(k) == ask.domain and ask.kind in ("", k)}  # fmt: skip

        def fits(entity: Entity) -> bool:
            return (
                (kinds is None or entity.kind in kinds)
                and (not ask.zone or entity.zone == ask.zone)
                and (not text or text in entity.id.lower() or text in entity.name.lower())
            )

        return fits

    def _kinds(self) -> Mapping[str, Any]:
        kinds: Mapping[str, Any] = self._service.plan.catalogue.kinds
        return kinds

    def _domain(self, kind: str) -> str:
        return str(self._service.plan.catalogue.origins.get(f"kind {kind}", ""))

    def _row(self, entity: Entity, alarms: Mapping[str, int], now: float) -> api.Equipment:
        cell = self._main(entity)
        return api.Equipment(
            id=entity.id,
            kind=entity.kind,
            domain=self._domain(entity.kind),
            name="" if entity.name == entity.id else entity.name,
            zone=entity.zone,
            look=self._look(entity, alarms),
            main="" if cell is None else cell.spec.name,
            value=None if cell is None else as_plain(cell.last),
            unit="" if cell is None else cell.spec.type.unit.symbol,
            text="" if cell is None else shown(cell.spec, cell.last),
            quality="" if cell is None else cell.quality.value,
            age_s=None if cell is None else _age(cell.time, now),
        )

    def _main(self, entity: Entity) -> Cell | None:
        face = self._face(entity)
        if face is None:
            return None
        name = face.main or next(iter(face.vital), "")
        return entity.cells.peek(name) if name else None

    def _face(self, entity: Entity) -> Face | None:
        if entity.kind not in self._faces:
            self._faces[entity.kind] = face_of(entity)
        return self._faces[entity.kind]

    def _look(self, entity: Entity, alarms: Mapping[str, int]) -> str:
        face = self._face(entity)
        if face is None:
            return ""
        pursuit = self._service.engine.reconciler.pursuit
        return look_of(entity, face, alarms.get(entity.id, 0), pursuit).word

    def _alarms(self) -> dict[str, int]:
        """Return the weight of the alarms that stand, by entity."""
        found: dict[str, int] = {}
        for alarm in self._service.engine.alarms.open.values():
            weight = _OPEN.get(alarm.state, 0)
            for name in alarm.instance.split(", ") if weight else ():
                entity = self._entity_of(name)
                found[entity] = max(weight, found.get(entity, 0))
        return found

    def _entity_of(self, name: str) -> str:
        """Return the entity that an alarm's instance names, itself or by one of its points."""
        cell = self._service.engine.cells.get(name)
        return cell.entity.id if cell is not None and cell.entity is not None else name

    async def _filters(self, _: api.ListEquipmentFilters) -> api.EquipmentFilters:
        """Say by what can be filtered; counted once, since the inventory stays as long as the engine."""
        if self._known_filters is None:
            entities = list(self._all())
            kinds = Counter(entity.kind for entity in entities)
            zones = {entity.zone for entity in entities if entity.zone}
            found = [self._kind_shown(kind, count) for kind, count in kinds.items()]
            found.sort(key=lambda kind: (kind.domain, kind.name))
            self._known_filters = api.EquipmentFilters(found, sorted(zones))
        return self._known_filters

    def _kind_shown(self, kind: str, count: int) -> api.KindShown:
        known = self._kinds().get(kind)
        title = known.title if known is not None else kind
        return api.KindShown(name=kind, title=title, domain=self._domain(kind), count=count)

    # ── one piece ────────────────────────────────────────────────────────────────────────────

    async def _detail(self, ask: api.GetEquipment) -> api.EquipmentDetail:
        engine, now = self._service.engine, self._service.clock.now()
        entity = engine.entities.get(ask.id)
        if entity is None or entity.id.startswith("plan:"):
            raise ApiError(
                "unknown-equipment",
                f'there is no equipment "{ask.id}"',
                "look for it in the list; ids are those of the inventory",
            )
        if ask.at is not None and ask.at < now:
            then = await in_thread(lambda: self._then(entity.cells.every(), ask.at or 0.0))
            points = [self._past_point(cell, then[cell.id], ask.at) for cell in _shown(entity)]
            return self._whole(entity, ask.at, points, is_past=True)
        points = [self._point(cell, now) for cell in _shown(entity)]
        return self._whole(entity, now, points, is_past=False)

    def _whole(
        self, entity: Entity, at: float, points: list[api.EquipmentPoint], *, is_past: bool
    ) -> api.EquipmentDetail:
        kind, here = self._kinds().get(entity.kind), entity.place
        heard = [p.time for p in points if p.time is not None and p.access != "fixed"]
        return api.EquipmentDetail(
            id=entity.id,
            at=at,
            is_past=is_past,
            kind=entity.kind,
            kind_title=kind.title if kind is not None else entity.kind,
            domain=self._domain(entity.kind),
            name="" if entity.name == entity.id else entity.name,
            zone=entity.zone,
            look="" if is_past else self._look(entity, self._alarms()),
            latitude=None if here is None or is_past else here.latitude,
            longitude=None if here is None or is_past else here.longitude,
            heard=max(heard, default=None),
            points=points,
            relations={
                name: [e.id for e in (cell.value or ())][:MOST_RELATED]
                for name, cell in entity.relations.items()
            },
            belongs_to=self._belongs_to(entity),
        )

    def _belongs_to(self, entity: Entity) -> dict[str, list[str]]:
        """Return who names an entity in its relations, by kind."""
        found: dict[str, list[str]] = {}
        kinds = [k for k in self._kinds().values() if entity.kind in k.relations.values()]
        for kind in kinds:
            for other in self._service.engine.graph.entities_of(kind.name):
                if any(entity in (cell.value or ()) for cell in other.relations.values()):
                    found.setdefault(kind.name, []).append(other.id)
        return {name: ids[:MOST_RELATED] for name, ids in found.items()}

    def _point(self, cell: Cell, now: float) -> api.EquipmentPoint:
        why = why_point(self._service.engine, cell.id) if cell.spec.access.is_commandable else None
        is_decided = why is not None and why.is_decided
        return api.EquipmentPoint(
            **_spec(cell),
            value=as_plain(cell.value),
            text=shown(cell.spec, cell.value),
            quality=cell.quality.value,
            time=cell.time,
            age_s=_age(cell.time, now),
            last_text="" if cell.last is None else shown(cell.spec, cell.last),
            wanted=why.text if why is not None and is_decided else "",
            by=why.who.name or why.who.sort if why is not None and is_decided else "",
            level=why.level if why is not None else 17,
            way="" if why is None or why.way is None else why.way.state,
        )

    def _past_point(self, cell: Cell, then: HistoryValue | None, at: float) -> api.EquipmentPoint:
        if cell.spec.access is Access.FIXED:
            return self._point(cell, at)
        if then is None:
            return api.EquipmentPoint(**_spec(cell), text=shown(cell.spec, None))
        live = to_value(cell.spec, then.value, self._service.engine.entities)
        return api.EquipmentPoint(
            **_spec(cell),
            value=then.value,
            text=shown(cell.spec, then.value if live is None else live),
            quality=then.quality.value,
            time=then.time,
            age_s=_age(then.time, at),
        )

    def _then(self, cells: Sequence[Cell], at: float) -> dict[str, HistoryValue | None]:
        recorder = self._service.history
        found: dict[str, HistoryValue | None] = dict.fromkeys((cell.id for cell in cells), None)
        if recorder is None:
            return found
        reader = recorder.reader()
        for cell in cells:
            if cell.spec.access is Access.FIXED:
                continue
            try:
                found[cell.id] = reader.value_at(cell.id, at)
            except UnknownPointError:
                continue
        return found


def _shown(entity: Entity) -> list[Cell]:
    """Return the points of an entity in the order of its kind: those that are commanded first."""
    return sorted(entity.cells.every(), key=lambda cell: not cell.spec.access.is_commandable)


def _spec(cell: Cell) -> dict[str, Any]:
    spec = cell.spec
    return {
        "id": cell.id,
        "name": spec.name,
        "type": str(spec.type),
        "unit": spec.type.unit.symbol,
        "access": spec.access.value,
        "privacy": spec.privacy.value,
        "doc": spec.doc,
        "choices": ["true", "false"] if spec.type.base is Base.BOOLEAN else list(spec.type.members),
        "low": spec.low,
        "high": spec.high,
        "max_age_s": spec.max_age_s,
        "is_commandable": spec.access.is_commandable,
        "is_request": spec.is_request,
        "override_max_s": spec.override_max_s if spec.access.is_commandable else 0.0,
    }


def _age(time: float | None, now: float) -> float | None:
    return None if time is None else max(0.0, now - time)
