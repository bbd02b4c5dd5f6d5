"""Calls from the public: where, what, how urgent; kept in a file of the pages' own, since no rule asks for them.

The number of who called stands in a table of its own and is erased after 30 days; nothing else here names a caller.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from math import cos, hypot, radians
from pathlib import Path
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import msgspec

PHONE_S: Final = 30 * 86_400.0
"""A caller's number is kept so long."""
METRES_PER_DEGREE: Final = 111_320.0

T = TypeVar("T")

_TABLES: Final = """
create table if not exists reports (
  id text primary key, year integer not null, number integer not null, time real not null, person text not null, post text not null,
  what text not null, urgent integer not null, place text not null, spot text not null, zone text not null,
  latitude real, longitude real, details text not null, alarm text not null, incident text not null
);
create unique index if not exists reports_number on reports (year, number);
create index if not exists reports_alarm on reports (alarm);
create table if not exists phones (report text primary key, phone text not null, until real not null);
"""
_COLUMNS: Final = "id, time, person, post, what, urgent, place, spot, zone, latitude, longitude, details, alarm, incident"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A call.

    Attributes:
        id: Year and number: `2026-18233`.
        time: When it was taken down, seconds since 1970.
        person: Who took it down, at which post.
        what: A word of `pages.reports.WHAT`.
        place: Id of the equipment or street that it is about, or nothing; `spot` is what the caller said.
        alarm: The alarm that it was attached to, or nothing; `incident` likewise.
    """

    id: str
    time: float
    person: str
    post: str
    what: str
    urgent: bool
    place: str
    spot: str
    zone: str
    latitude: float | None
    longitude: float | None
    details: str
    alarm: str
    incident: str


class Intake:
    """The calls; one thread reads and writes the file."""

    def __init__(self, path: Path, zone: ZoneInfo, now: Callable[[], float] = time.time) -> None:
        """Name the file; it is made when it is first needed."""
        self._path = path
        self._zone = zone
        self._now = now
        self._thread = ThreadPoolExecutor(1, "intake")
        self._db: sqlite3.Connection | None = None

    async def add(self, phone: str = "", **fields: Any) -> Report:
        """Take a call down, on disk when this returns, and return it with its number."""
        return await self._do(lambda: self._add(phone, fields))

    async def attach(self, report: str, incident: str) -> None:
        """Say to which incident a call belongs."""
        await self._do(
            lambda: self._file.execute(
                "update reports set incident = ? where id = ?", (incident, report)
            )
        )

    async def find(self, report: str) -> Report | None:
        """Return a call by its number."""
        rows = await self._do(lambda: self._read("where id = ?", (report,)))
        return rows[0] if rows else None

    async def last(self, count: int) -> list[Report]:
        """Return the newest calls, the newest first."""
        return await self._do(
            lambda: self._read("order by time desc, number desc limit ?", (count,))
        )

    async def calls_of(self, alarms: list[str]) -> dict[str, int]:
        """Return how many calls were attached to each of these alarms within a day."""
        since = self._now() - 86_400.0
        marks = ", ".join("?" * len(alarms))
        return await self._do(
            lambda: dict(
                self._file.execute(
                    f"select alarm, count(*) from reports where time > ? and alarm in ({marks}) group by alarm",
                    (since, *alarms),
                ).fetchall()
            )
        )

    async def phone(self, report: str) -> tuple[str, float] | None:
        """Return the number of who called and when it is erased, or None."""
        rows = await self._do(
            lambda: self._file.execute(
                "select phone, until from phones where report = ? and until > ?",
                (report, self._now()),
            ).fetchall()
        )
        return rows[0] if rows else None

    async def close(self) -> None:
        """Close the file."""
        await self._do(self._close)
        self._thread.shutdown()

    # ── in the thread ────────────────────────────────────────────────────────────────────────

    async def _do(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    @property
    def _file(self) -> sqlite3.Connection:
        if self._db is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            db.execute("pragma journal_mode = delete")
            db.execute("pragma synchronous = full")
            db.execute("pragma secure_delete = on")  # an erased number does not stay in a free page
            db.executescript(_TABLES)
            self._path.chmod(0o600)
            self._db = db
        self._db.execute("delete from phones where until <= ?", (self._now(),))
        return self._db

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _add(self, phone: str, fields: dict[str, Any]) -> Report:
        now, db = self._now(), self._file
        year = datetime.fromtimestamp(now, self._zone).year
        db.execute("begin immediate")
        try:
            number = db.execute(
                "select coalesce(max(number), 0) + 1 from reports where year = ?", (year,)
            ).fetchone()[0]
            report = Report(id=f"{year}-{number}", time=now, **fields)
            row = msgspec.structs.asdict(report)
            db.execute(
                f"insert into reports ({_COLUMNS}, year, number) values ({', '.join('?' * 16)})",
                (*(row[name] for name in _COLUMNS.split(", ")), year, number),
            )
            if phone:
                db.execute("insert into phones values (?, ?, ?)", (report.id, phone, now + PHONE_S))
            db.execute("commit")
        except BaseException:
            db.execute("rollback")
            raise
        return report

    def _read(self, rest: str, values: tuple[Any, ...]) -> list[Report]:
        rows = self._file.execute(f"select {_COLUMNS} from reports {rest}", values).fetchall()
        names = _COLUMNS.split(", ")
        return [
            msgspec.convert(dict(zip(names, row, strict=True)), Report, strict=False)
            for row in rows
        ]


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return the distance of two places in degrees, in metres; good for some kilometres."""
    east = (b[1] - a[1]) * cos(radians((a[0] + b[0]) / 2))
    return METRES_PER_DEGREE * hypot(b[0] - a[0], east)
