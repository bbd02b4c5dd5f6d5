"""City time: the time of day, the sun, holidays, and when a daily moment comes next.

A pure function of the time that is passed in, the place and the calendar. Twice a year a local time comes
twice (the first one counts) or not at all (the moment of the change counts).
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache, partial
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

from astral import Observer
from astral import sun as astral_sun

from pilotage.core.graph import Graph
from pilotage.core.store import Cell
from pilotage.language.resolver import GLOBALS, WEEKDAYS
from pilotage.model.entities import PointSpec
from pilotage.model.quality import Quality
from pilotage.model.values import Position

SUN_EVERY_S: Final = 60.0


DIJON: Final = Position(47.3220, 5.0415)


@dataclass(frozen=True, slots=True)
class SiteTime:
    """Where and when the city is.

    Attributes:
        time_zone: IANA name.
        country, subdivision: ISO 3166 codes for public holidays.
        night_below: The sun's elevation in degrees under which it is night: 0 is sunset with refraction left out.
    """

    time_zone: str = "Europe/Paris"
    position: Position | None = DIJON
    country: str = "FR"
    subdivision: str | None = None
    night_below: float = -0.833

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)


class Schedule:
    """Makes the city-wide values that change with time."""

    MADE: ClassVar = ("_zone", "_observer", "_makers")

    def __init__(self, graph: Graph, site: SiteTime) -> None:
        self._graph = graph
        self._site = site
        self.remake()

    def remake(self) -> None:
        """Work out what follows from the site."""
        site = self._site
        self._zone = site.zone
        place = site.position
        self._observer = Observer(place.latitude, place.longitude) if place is not None else None
        self._makers: dict[str, tuple[Callable[[float], Any], Callable[[float], float]]] = {
            "time": (self._minutes, self._next_minute),
            "weekday": (lambda now: WEEKDAYS[self.local(now).weekday()], self._next_midnight),
            "month": (lambda now: float(self.local(now).month), self._next_midnight),
            "holiday": (self._is_holiday, self._next_midnight),
            "is_night": (self.is_night, self._next_twilight),
            "sunrise": (lambda now: self._sun_minutes("sunrise", now), self._next_midnight),
            "sunset": (lambda now: self._sun_minutes("sunset", now), self._next_midnight),
            "sun.elevation": (self.elevation, lambda now: now + SUN_EVERY_S),
            "sun.azimuth": (
                self.azimuth,
                lambda now: now + SUN_EVERY_S,
            ),
        }
        if "holiday" in self._graph.globals:
            _holidays_of(site.country, site.subdivision)  # now, and not at midnight

    def _is_holiday(self, now: float) -> bool:
        site = self._site
        return self.local(now).date() in _holidays_of(site.country, site.subdivision)

    def make(self, key: str) -> Cell | None:
        """Return a new cell that keeps a value of the city, or None when there is no such value."""
        maker = self._makers.get(key)
        if maker is None:
            return None
        cell = Cell(f"={key}", PointSpec(key, GLOBALS[key]))
        now = self._graph.clock.now
        cell.put(maker[0](now), Quality.GOOD, now, now)
        self._plan_next(cell, key)
        return cell

    def _plan_next(self, cell: Cell, key: str) -> None:
        now = self._graph.clock.now
        _, next_moment = self._makers[key]
        self._graph.timers.at(max(next_moment(now), now + 0.001), partial(self._look, cell, key))

    def _look(self, cell: Cell, key: str) -> None:
        value_of, _ = self._makers[key]
        self._graph.put(cell, value_of(self._graph.clock.now))
        self._plan_next(cell, key)

    # ── moments ──────────────────────────────────────────────────────────────────────────────

    def local(self, now: float) -> datetime:
        """Return city time."""
        return datetime.fromtimestamp(now, self._zone)

    def next_daily(self, minutes: float, after: float) -> float:
        """Return when the clock next shows a time of day (minutes since midnight), strictly after a moment."""
        day = self.local(after).date()
        for ahead in range(3):
            moment = self.moment(day + timedelta(days=ahead), minutes)
            if moment > after:
                return moment
        raise AssertionError("three days always hold every time of day")

    def moment(self, day: date, minutes: float) -> float:
        """Return the moment of a time of day on a day; one that does not exist is the moment of the clock change."""
        whole = datetime(day.year, day.month, day.day, tzinfo=self._zone) + timedelta(
            minutes=minutes
        )
        moment = whole.replace(fold=0).timestamp()
        shown = datetime.fromtimestamp(moment, self._zone)
        if shown.replace(tzinfo=None) == whole.replace(tzinfo=None):
            return moment
        return _clock_change(moment, self._zone)

    def _minutes(self, now: float) -> float:
        local = self.local(now)
        return float(local.hour * 60 + local.minute)

    def _next_minute(self, now: float) -> float:
        return (now // 60.0 + 1.0) * 60.0

    def _next_midnight(self, now: float) -> float:
        return self.next_daily(0.0, now)

    # ── the sun ──────────────────────────────────────────────────────────────────────────────

    def elevation(self, now: float) -> float | None:
        """Return the sun's height above the horizon in degrees, without refraction; unknown without a place."""
        if self._observer is None:
            return None
        return float(astral_sun.elevation(self._observer, _utc(now), with_refraction=False))

    def is_night(self, now: float) -> bool | None:
        """Return whether the sun is down."""
        elevation = self.elevation(now)
        return None if elevation is None else elevation < self._site.night_below

    def azimuth(self, now: float) -> float | None:
        """Return where the sun stands, degrees from north; unknown without a place."""
        return (
            None if self._observer is None else float(astral_sun.azimuth(self._observer, _utc(now)))
        )

    def _next_twilight(self, now: float) -> float:
        """Return the next moment at which day and night change, to the second; at most a day ahead."""
        dark = self.is_night(now)
        low, step = now, 600.0
        while self.is_night(low + step) is dark:
            low += step
            if low > now + 86_400.0:
                return low
        high = low + step
        while high - low > 0.5:
            middle = (low + high) / 2
            low, high = (middle, high) if self.is_night(middle) is dark else (low, middle)
        return high

    def _sun_minutes(self, what: str, now: float) -> float | None:
        """Return the time of sunrise or sunset in minutes, or None on a day without one."""
        if self._observer is None:
            return None
        try:
            moment = getattr(astral_sun, what)(
                self._observer, self.local(now).date(), tzinfo=self._zone
            )
        except ValueError:
            return None
        return float(moment.hour * 60 + moment.minute)


def _utc(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)


def _clock_change(near: float, zone: ZoneInfo) -> float:
    """Return the moment of the change of the clock around a moment, by halving a day."""
    low, high = near - 43_200.0, near + 43_200.0
    before = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 0.5:
        middle = (low + high) / 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return float(round(high))


@lru_cache(maxsize=8)
def _holidays_of(country: str, subdivision: str | None) -> Container[date]:
    """Return the public holidays of a place; none where no country is given."""
    if not country:
        return ()
    import holidays  # the calendars of all countries: only a city that asks for them waits for it

    return holidays.country_holidays(country, subdiv=subdivision)
