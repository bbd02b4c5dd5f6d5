"""City time: clock changes both ways, the sun, holidays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.core.graph import Graph
from pilotage.core.schedule import Schedule, SiteTime
from pilotage.core.timers import Timers
from pilotage.model.values import Position

PARIS = ZoneInfo("Europe/Paris")
HALF_HOURS = range(0, 1440, 30)


def schedule(site: SiteTime | None = None) -> Schedule:
    return Schedule(Graph({}, Timers(), lambda call: call), site or SiteTime())


def change_days() -> Iterator[tuple[date, bool]]:
    """The last Sundays of March (forward) and October (back), by the directive 2000/84/EC."""
    for year in range(2020, 2041):
        for month in (3, 10):
            day = date(year, month, 31)
            while day.weekday() != 6:
                day -= timedelta(days=1)
            yield day, month == 3


def shows(moment: float) -> float:
    """Return the time of day that a clock in Paris shows, in minutes."""
    local = datetime.fromtimestamp(moment, PARIS)
    return local.hour * 60 + local.minute + local.second / 60


def brute_next(minutes: float, after: float) -> float:
    """Go through the minutes that follow, as a person with a watch would."""
    moment = (after // 60 + 1) * 60
    day_before = datetime.fromtimestamp(after, PARIS).date()
    seen_today = {shows(m) for m in range(int(after // 60 * 60) - 7200, int(after) + 1, 60)}
    while True:
        shown, last = shows(moment), shows(moment - 60)
        today = datetime.fromtimestamp(moment, PARIS).date()
        again = today == day_before and minutes in seen_today
        if shown == minutes and not again:
            return moment
        if last < minutes < shown and shown - last > 1:  # the clock jumped over it
            return moment
        seen_today.add(shown)
        moment += 60


class TestDaily:
    @pytest.mark.parametrize(("day", "forward"), list(change_days()))
    def test_once_a_day(self, day: date, forward: bool) -> None:
        """Around each clock change until 2040 every half hour comes exactly once a day."""
        times = schedule()
        start = datetime(day.year, day.month, day.day, 12, 15, tzinfo=PARIS) - timedelta(days=2)
        end = (start + timedelta(days=4)).timestamp()
        for minutes in HALF_HOURS:
            moment, found = times.next_daily(minutes, start.timestamp()), []
            while moment < end:
                found.append(moment)
                moment = times.next_daily(minutes, moment)
            days = [datetime.fromtimestamp(m, PARIS).date() for m in found]
            assert len(days) == len(set(days)) == 4
            missing = forward and 120 <= minutes < 180
            for at, its_day in zip(found, days, strict=True):
                assert shows(at) == (180 if missing and its_day == day else minutes)

    @pytest.mark.parametrize(("day", "forward"), [d for d in change_days() if d[0].year < 2023])
    def test_against_a_watch(self, day: date, forward: bool) -> None:
        """From any moment of the day of the change, the next one is what a person with a watch finds."""
        times = schedule()
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=PARIS).timestamp())
        for after in range(midnight, midnight + 5 * 3600, 1500):
            for minutes in (0, 60, 119, 120, 150, 179, 180, 240):
                assert times.next_daily(minutes, after) == brute_next(minutes, after)

    def test_spring_2026(self) -> None:
        """On 29 March 2026 the clock goes from 2:00 to 3:00 at 01:00 UTC; 2:30 is then."""
        moment = schedule().moment(date(2026, 3, 29), 150)
        assert datetime.fromtimestamp(moment, UTC) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)

    def test_autumn_2026(self) -> None:
        """On 25 October 2026 there are two 2:30: the first one, in summer time, is 00:30 UTC."""
        moment = schedule().moment(date(2026, 10, 25), 150)
        assert datetime.fromtimestamp(moment, UTC) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)

    @settings(max_examples=300, deadline=None)
    @given(st.integers(1_577_836_800, 2_240_000_000), st.integers(0, 1439))
    def test_ordinary_days(self, after: int, minutes: int) -> None:
        """The next one comes strictly later, within 25 h, and the clock shows it (or jumps over it)."""
        moment = schedule().next_daily(minutes, after)
        assert after < moment <= after + 25 * 3600
        assert shows(moment) == minutes or 120 <= minutes < 180

    @pytest.mark.parametrize(
        "zone", ["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
    )
    def test_elsewhere(self, zone: str) -> None:
        """Other cities change at other hours, one by half an hour, some never."""
        times = schedule(SiteTime(time_zone=zone))
        moment = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
        days = []
        for _ in range(365):
            moment = times.next_daily(130, moment)
            days.append(datetime.fromtimestamp(moment, ZoneInfo(zone)).date())
        assert len(set(days)) == 365


class TestSun:
    @pytest.mark.parametrize("month", [1, 3, 6, 9, 12])
    def test_night_is_below(self, month: int) -> None:
        """It is night exactly while the sun stands lower than 0.833 degrees under the horizon."""
        times = schedule()
        start = datetime(2026, month, 15, tzinfo=UTC).timestamp()
        moment = start
        for _ in range(4):
            dark = times.is_night(moment)
            turn = times._next_twilight(moment)
            for share in (0.1, 0.5, 0.9):
                height = times.elevation(moment + (turn - moment) * share)
                assert height is not None and (height < -0.833) is dark
            assert times.elevation(turn) == pytest.approx(-0.833, abs=0.01)
            assert times.is_night(turn) is not dark
            moment = turn
        assert 24 * 3600 < moment - start < 72 * 3600

    def test_winter_solstice_in_dijon(self) -> None:
        """21 December 2026 in Dijon: published sunset is 16:51, give or take two minutes."""
        times = schedule()
        noon = datetime(2026, 12, 21, 12, tzinfo=PARIS).timestamp()
        sunset = datetime.fromtimestamp(times._next_twilight(noon), PARIS)
        assert abs((sunset - datetime(2026, 12, 21, 16, 51, tzinfo=PARIS)).total_seconds()) < 150

    def test_polar_night(self) -> None:
        """Where the sun stays down, nothing flips and nothing loops."""
        times = schedule(SiteTime("Arctic/Longyearbyen", Position(78.22, 15.65), "NO"))
        moment = datetime(2026, 12, 21, tzinfo=UTC).timestamp()
        assert times.is_night(moment)
        assert times._next_twilight(moment) >= moment + 86_000
        assert times._sun_minutes("sunrise", moment) is None


class TestInTheTown:
    RULES: ClassVar[dict[str, Any]] = {
        "r": {
            "while": "CONDITION",
            "hold": [
                {
                    "set": "lamp.level",
                    "to": "30 %",
                    "each": {"lamp": {"kind": "lamp"}},
                    "priority": "schedule",
                }
            ],
        }
    }

    def rules(self, condition: str) -> dict[str, Any]:
        return {"r": {**self.RULES["r"], "while": condition}}

    def turns(
        self, town: Callable[..., Any], condition: str, start: datetime, hours: float
    ) -> list[str]:
        """Return when the rule began and ended, by the clock in Paris."""
        from pilotage.model.messages import TargetChanged

        city = town({"L": {"kind": "lamp"}}, rules=self.rules(condition), start=start.timestamp())
        city.at(hours * 3600)
        return [
            datetime.fromtimestamp(decision.now, PARIS).strftime("%a %H:%M")
            for decision in city.decisions
            if any(isinstance(e, TargetChanged) for e in decision.events)
        ]

    def test_through_midnight(self, town: Callable[..., Any]) -> None:
        """`22:30 <= time < 05:00` is the night, through midnight."""
        start = datetime(2026, 1, 14, 12, tzinfo=PARIS)
        assert self.turns(town, "22:30 <= time < 05:00", start, 30) == ["Wed 22:30", "Thu 05:00"]

    def test_in_the_night_of_the_change(self, town: Callable[..., Any]) -> None:
        """In the short night of 29 March 2026 2:30 never comes, but 3:00 does."""
        start = datetime(2026, 3, 28, 12, tzinfo=PARIS)
        assert self.turns(town, "02:30 <= time < 04:00", start, 24) == ["Sun 03:00", "Sun 04:00"]

    def test_weekend(self, town: Callable[..., Any]) -> None:
        """Days begin at midnight of the city; 16 January 2026 is a Friday."""
        start = datetime(2026, 1, 16, 12, tzinfo=PARIS)
        found = self.turns(town, 'weekday in ["saturday", "sunday"]', start, 84)
        assert found == ["Sat 00:00", "Mon 00:00"]

    def test_holiday(self, town: Callable[..., Any]) -> None:
        """1 May 2026, a Friday, is a holiday in France."""
        start = datetime(2026, 4, 30, 12, tzinfo=PARIS)
        assert self.turns(town, "holiday", start, 60) == ["Fri 00:00", "Sat 00:00"]

    def test_time_moves_around_midnight(self, town: Callable[..., Any]) -> None:
        """`sunset - 30 min` and the like stay a time of day: 23:50 + 20 min is 0:10."""
        start = datetime(2026, 1, 16, 23, 30, tzinfo=PARIS)
        assert self.turns(town, "time - 20 min >= 23:30", start, 2) == ["Fri 23:50", "Sat 00:20"]
