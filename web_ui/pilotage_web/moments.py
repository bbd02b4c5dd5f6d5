"""Times as people write them into an address: `03:00:00`, `2026-01-15 23:40`, seconds since 1970."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_SECONDS: Final = re.compile(r"\d{9,11}(\.\d{1,6})?")
LONGEST: Final = 40


def read_moment(text: str, now: float, zone: ZoneInfo) -> float | None:
    """Return the time that is meant, seconds since 1970; None when it is none, or lies ahead.

    A time of day is the last one before `now`; a time without a zone is the city's.
    """
    written = text.strip()[:LONGEST]
    clock = _CLOCK.fullmatch(written)
    if clock is not None:
        today = datetime.fromtimestamp(now, zone)
        hour, minute, second = (int(part or 0) for part in clock.groups())
        moment = today.replace(hour=hour, minute=minute, second=second, microsecond=0)
        return (moment if moment <= today else moment - timedelta(days=1)).timestamp()
    if _SECONDS.fullmatch(written):
        found = float(written)
    else:
        try:
            moment = datetime.fromisoformat(written)
        except ValueError:
            return None
        found = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    return found if 0.0 < found <= now else None


def write_moment(time: float, zone: ZoneInfo) -> str:
    """Return a time as an address carries it and a field shows it: the city's, to the second."""
    return f"{datetime.fromtimestamp(time, zone):%Y-%m-%dT%H:%M:%S}"
