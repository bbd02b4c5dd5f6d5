"""Answers why things are as they are: from the running engine, or from journal and history for a time gone by.

What reads files does so in another thread; what looks at the live state does it between two ticks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeVar

import msgspec

from pilotage import api
from pilotage.api import ApiError
from pilotage.core.orders import hand_of
from pilotage.core.replayed import PastPoint, point_at
from pilotage.core.store import Cell, to_value
from pilotage.core.why import PointWhy, Wanter, shown, wanter_of, why_past, why_point
from pilotage.model.values import as_plain
from pilotage.ports import Clock, DecisionRecord, LogUnusableError
from pilotage.runtime.history.reader import UnknownPointError
from pilotage.runtime.history.recorder import Recorder
from pilotage.runtime.journal import JournalReader
from pilotage.runtime.ownership import THE_CITY

MOST_COMMANDS: Final = 200

T = TypeVar("T")


class AskedService(Protocol):
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
    def history(self) -> Recorder | None:
        """What records values; None when nothing does."""
        ...

    def journal_reader(self) -> JournalReader:
        """Return a reader of the journal; called in another thread.

        Raises:
            LogUnusableError: There is none yet.
        """
        ...


class WhyDesk:
    """The questions of `pilotage.api.why`."""

    def __init__(self, service: AskedService) -> None:
        self._service = service
        self.answers: dict[type[Any], Callable[[Any], Awaitable[Any]]] = {
            api.WhyPoint: self._why_point,
            api.ListCommands: self._commands,
        }

    # ── a point ──────────────────────────────────────────────────────────────────────────────

    async def _why_point(self, ask: api.WhyPoint) -> api.PointWhy:
        cell = self._cell(ask.point)
        now = self._service.clock.now()
        if ask.at is not None and ask.at < now:
            return await self._why_then(cell, ask.at)
        found = why_point(self._service.engine, cell.id)
        assert found is not None
        said = {
            **_head(cell, now),
            "value": as_plain(cell.value),
            "value_text": shown(cell.spec, cell.value),
            "quality": cell.quality.value,
            "time": cell.time,
            "age_s": None if cell.time is None else max(0.0, now - cell.time),
            "standing": hand_of(cell),
        }
        return _answer(found, said)

    async def _why_then(self, cell: Cell, at: float) -> api.PointWhy:
        past, complete, value = await in_thread(lambda: self._then(cell.id, at))
        found = why_past(self._service.engine, past)
        assert found is not None
        said = {**_head(cell, at), **value, "is_past": True, "complete": complete}
        said["value_text"] = shown(cell.spec, self._live(cell, said["value"]))
        return _answer(found, said)

    def _then(self, point: str, at: float) -> tuple[PastPoint, bool, dict[str, Any]]:
        """Return a point as journal and history have it, and whether the journal goes back far enough."""
        journal = self._service.journal_reader()
        starts = [s.now for s in journal.switches(THE_CITY) if s.is_start and s.now <= at]
        oldest, since = journal.oldest(THE_CITY), max(starts, default=None)
        records = _decoded(journal.mentioning(THE_CITY, mention("point", point), since, at))
        complete = oldest is None or oldest[0] == 1 or (since is not None and since >= oldest[1])
        return point_at(records, point, at, starts), complete, self._value_then(point, at)

    def _value_then(self, point: str, at: float) -> dict[str, Any]:
        recorder = self._service.history
        if recorder is None:
            return {"value": None}
        try:
            found = recorder.reader().value_at(point, at)
        except UnknownPointError:
            found = None
        if found is None:
            return {"value": None}
        return {
            "value": found.value,
            "quality": found.quality.value,
            "time": found.time,
            "age_s": max(0.0, at - found.time),
        }

    def _live(self, cell: Cell, value: Any) -> Any:
        live = to_value(cell.spec, value, self._service.engine.entities)
        return value if live is None else live

    def _cell(self, point: str) -> Cell:
        cell: Cell | None = self._service.engine.cells.get(point)
        if cell is None:
            raise ApiError(
                "unknown-point",
                f'there is no point "{point}"',
                "a point is ENTITY.POINT; `pilotage status --points` lists them",
            )
        return cell

    # ── commands ─────────────────────────────────────────────────────────────────────────────

    async def _commands(self, ask: api.ListCommands) -> api.CommandList:
        cell = self._cell(ask.point)
        limit = max(1, min(ask.limit, MOST_COMMANDS))
        rows, following = await in_thread(lambda: self._told(ask, limit))
        return api.CommandList([self._command(cell, row) for row in rows], following)

    def _told(self, ask: api.ListCommands, limit: int) -> tuple[list[dict[str, Any]], int]:
        """Return what a point was told, newest first, and the number before which there is more."""
        ends: dict[str, tuple[float, Mapping[str, Any]]] = {}
        told: list[dict[str, Any]] = []
        text = mention("point", ask.point)
        found = self._service.journal_reader().last_mentioning(
            THE_CITY, text, ask.since, ask.until, ask.before
        )
        for record in _decoded(found):
            for event in reversed(record["events"]):
                if event.get("point") != ask.point:
                    continue
                if event["event"] == "Followed" and event["command"]:
                    ends[event["command"]] = (record["now"], event)
                elif event["event"] in ("Command", "Request"):
                    told.append({**event, "time": record["now"], "decision": record["number"]})
            if len(told) >= limit:
                return self._ended(told, ends), record["number"]
        return self._ended(told, ends), 0

    @staticmethod
    def _ended(
        told: list[dict[str, Any]], ends: dict[str, tuple[float, Mapping[str, Any]]]
    ) -> list[dict[str, Any]]:
        for row in told:
            if row["id"] in ends:
                time, event = ends[row["id"]]
                row |= {"outcome": event["outcome"], "ended": time, "detail": event["detail"]}
        return told

    def _command(self, cell: Cell, row: Mapping[str, Any]) -> api.CommandShown:
        value = row.get("value", row.get("entity"))
        text = shown(cell.spec, self._live(cell, value))
        if row["event"] == "Request" and row["action"] == "cancel":
            text = shown(cell.spec, None)
        return api.CommandShown(
            id=row["id"],
            time=row["time"],
            decision=row["decision"],
            text=text,
            who=as_wanter(wanter_of(self._service.engine, row["because"])),
            attempt=row["attempt"],
            outcome=row.get("outcome", ""),
            ended=row.get("ended"),
            detail=row.get("detail", ""),
        )


async def in_thread(call: Callable[[], T]) -> T:
    """Return what a call gives that reads files, made in another thread."""
    try:
        return await asyncio.to_thread(call)
    except LogUnusableError as error:
        text, _, mend = str(error).partition("\n   mend: ")
        raise ApiError("no-journal", text, mend) from error


def mention(key: str, value: str) -> str:
    """Return how a record of the journal writes a key with its value."""
    return f'"{key}":{json.dumps(value, ensure_ascii=False)}'


def as_wanter(who: Wanter) -> api.Wanter:
    """Return who wants something as the interface says it."""
    return msgspec.convert(who, api.Wanter, from_attributes=True)


def _decoded(records: Iterator[DecisionRecord]) -> Iterator[dict[str, Any]]:
    for record in records:
        yield msgspec.json.decode(record.record)


def _head(cell: Cell, at: float) -> dict[str, Any]:
    spec = cell.spec
    return {
        "at": at,
        "type": str(spec.type),
        "unit": spec.type.unit.symbol,
        "access": spec.access.value,
    }


def _answer(found: PointWhy, said: Mapping[str, Any]) -> api.PointWhy:
    told = msgspec.convert(found, _Core, from_attributes=True)
    fields = {name: getattr(told, name) for name in told.__struct_fields__}
    return api.PointWhy(**fields, **said)


class _Core(msgspec.Struct, frozen=True, kw_only=True):
    """The part of `api.PointWhy` that the core says."""

    point: str
    is_commandable: bool
    is_decided: bool
    wanted: Any
    text: str
    level: int
    level_word: str
    who: api.Wanter
    since: float | None
    winner: api.Wanting | None
    demands: list[api.Wanting]
    otherwise: api.Otherwise | None
    way: api.Way | None
