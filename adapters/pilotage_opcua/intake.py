"""What the server says of a watched node becomes a reading: with its quality and its place in time, and nothing ever raised."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from pilotage.adapter import Door
from pilotage.model.quality import Quality
from pilotage_opcua.binding import Item
from pilotage_opcua.codec import GONE, Garbage, quality_of

Clock = Callable[[], float]
"""Returns the city's time now, in seconds since 1970."""

SLACK_S: Final = 1.0
"""How much later than its publishing interval a notification may come that was sampled before a read."""


class Watched:
    """A node that is watched on one connection.

    Attributes:
        node_id: Its id on this server; None while the way to it leads nowhere.
        handle: What notifications call it; 0 while the server does not watch it.
        reported: Time of the newest reading, seconds since 1970.
        heard: When the server last said something of it, on the monotonic clock.
        refresh_s: It is read again after so long without news.
        is_gone: The server has no such node now.
    """

    __slots__ = (
        "handle", "heard", "is_gone", "is_new", "item", "node_id", "read_at", "read_source",
        "refresh_s", "reported",
    )  # fmt: skip

    def __init__(self, item: Item, refresh_s: float) -> None:
        self.item = item
        self.node_id: Any = None
        self.handle = 0
        self.reported = 0.0
        self.heard = 0.0
        self.refresh_s = refresh_s
        self.is_gone = False
        self.is_new = True
        self.read_at = 0.0
        self.read_source = 0.0


class Intake:
    """Hands the values of one connection in at the door.

    Attributes:
        taken: Values that became readings.
        refused: Values that nothing could be made of.
    """

    def __init__(self, door: Door, name: str, now: Clock, monotonic: Clock) -> None:
        self.taken = 0
        self.refused = 0
        self._door = door
        self._name = name
        self._now = now
        self._monotonic = monotonic

    def notified(self, watched: Watched, data: Any) -> None:
        """Hand in a change that the server published."""
        watched.heard = self._monotonic()
        source = _seconds(data)
        # What was sampled before we read is older than what we know, though it comes later.
        late_s = watched.item.publishing_s * 2 + SLACK_S
        if source < watched.read_source and watched.heard - watched.read_at < late_s:
            return
        is_first, watched.is_new = watched.is_new, False
        self._take(watched, data, source, is_confirmed=is_first)

    def read(self, watched: Watched, data: Any) -> None:
        """Hand in what the server answered to a read: it knows the value to be so now."""
        watched.heard = watched.read_at = self._monotonic()
        source = _seconds(data)
        watched.read_source = max(watched.read_source, source)
        self._take(watched, data, source, is_confirmed=True)

    def gone(self, watched: Watched, why: str) -> None:
        """Say that the server has no such node: its point is bad, and no other."""
        watched.heard = self._monotonic()
        if not watched.is_gone:
            watched.is_gone = True
            self._refuse(watched, f"{watched.item.address.text}: {why}")
        self._report(watched, None, Quality.BAD, self._now())

    def _take(self, watched: Watched, data: Any, source: float, *, is_confirmed: bool) -> None:
        status = 0 if data.StatusCode is None else data.StatusCode.value
        if (status & 0xFFFF_0000) in GONE:
            self.gone(watched, data.StatusCode.name)
            return
        watched.is_gone = False
        time = self._time(watched, source, is_confirmed=is_confirmed)
        quality = quality_of(status)
        if not quality.is_usable:
            self._report(watched, None, quality, time)
            return
        try:
            raw = None if data.Value is None else data.Value.Value
            value = watched.item.convert(raw)
        except Exception as error:  # a value must never end the connection
            known = isinstance(error, Garbage)
            self._refuse(watched, str(error) if known else f"{type(error).__name__}: {error}")
            self._report(watched, None, Quality.BAD, time)
            return
        self._report(watched, value, quality, time)

    def _report(self, watched: Watched, value: Any, quality: Quality, time: float) -> None:
        if self._door.report(watched.item.point, value, quality=quality, source_time=time):
            self.taken += 1
            watched.reported = max(watched.reported, time)

    def _time(self, watched: Watched, source: float, *, is_confirmed: bool) -> float:
        """Return when the value was so; never before the last reading, since the server's clock is not ours."""
        now = self._now()
        stamps = watched.item.stamps
        if stamps == "always" and source:
            return source
        if stamps == "never" or is_confirmed or not source:
            return now
        return max(min(source, now), watched.reported)

    def _refuse(self, watched: Watched, why: str) -> None:
        self.refused += 1
        self._door.refused(f"{self._name}: {watched.item.point.id}", why)


def _seconds(data: Any) -> float:
    """Return the source time in seconds since 1970, the server's when there is none, 0 for neither."""
    moment = data.SourceTimestamp or data.ServerTimestamp
    return 0.0 if moment is None else seconds_of(moment)


def seconds_of(moment: datetime) -> float:
    """Return seconds since 1970 of a time as the protocol library gives it, in UTC with or without saying so."""
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return 0.0
