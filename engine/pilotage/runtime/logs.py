"""Sets up the log, in one place: a line for people, or a JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TextIO

_SHOWN: Final = {ord(c): repr(c)[1:-1] for c in map(chr, (*range(32), 127, *range(128, 160)))}
"""Control characters: a device's text must not be able to begin a line of its own, or to colour the terminal."""

OTHER: Final = "other"
"""The event of what a library logs."""
FIELDS: Final = ("code", "about", "mend")
"""What some events bring besides their text."""
MOST_LINES: Final = 20
WITHIN_S: Final = 60.0
MOST_PLACES: Final = 1_000


def set_up_logs(level: str = "info", format_: str = "text", stream: TextIO | None = None) -> None:
    """Send every log line from `level` on to a stream, standard error by default.

    Args:
        level: debug, info, warning or error.
        format_: text or json.
        stream: Where the lines go.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.addFilter(Sparing())
    handler.setFormatter(JsonLines() if format_ == "json" else TextLines())
    root = logging.getLogger()
    for old in [h for h in root.handlers if getattr(h, "is_pilotage", False)]:
        root.removeHandler(old)
    handler.is_pilotage = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class Sparing(logging.Filter):
    """Lets so many lines of one place in the code about one thing through in a minute; the next one says how many it held back.

    Whatever flaps or floods, the disk of the log does not fill up with it. Debug lines are not held back: who asks for them
    wants them.
    """

    def __init__(
        self, most: int = MOST_LINES, steady: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with nothing held back.

        Args:
            most: Lines a minute.
            steady: A clock that never goes back.
        """
        super().__init__()
        self._most = most
        self._steady = steady
        self._lock = threading.Lock()
        self._places: dict[tuple[str, int, str], list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is written."""
        if record.levelno <= logging.DEBUG:
            return True
        place = (record.pathname, record.lineno, _topic(record))
        with self._lock:
            return self._counts(place, record)

    def _counts(self, place: tuple[str, int, str], record: logging.LogRecord) -> bool:
        now = self._steady()
        if len(self._places) > MOST_PLACES:
            self._places.clear()
        since, said, held = self._places.get(place, [now, 0, 0])
        if now - since >= WITHIN_S:
            since, said = now, 0
        if said >= self._most:
            self._places[place] = [since, said, held + 1]
            return False
        if held:
            record.more = f" ({held:g} lines like this were held back)"
        self._places[place] = [since, said + 1, 0]
        return True


def _topic(record: logging.LogRecord) -> str:
    return str(getattr(record, "code", "") or getattr(record, "about", ""))


class TextLines(logging.Formatter):
    """`2026-11-23 08:15:02.113 WARNING health: text`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line; a traceback follows on lines of its own, indented."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        text = (record.getMessage() + getattr(record, "more", "")).translate(_SHOWN)
        name = record.name.removeprefix("pilotage.")
        line = f"{moment:%Y-%m-%d %H:%M:%S}.{int(record.msecs):03d} {record.levelname:<7} {name}: {text}"
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            line += "".join(f"\n    {row.translate(_SHOWN)}" for row in trace.splitlines())
        return line


class JsonLines(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, room, event, text, what belongs to the event, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line of JSON."""
        row = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "room": record.name,
            "event": getattr(record, "event", OTHER),
            "text": record.getMessage() + getattr(record, "more", ""),
        }
        row |= {name: record.__dict__[name] for name in FIELDS if record.__dict__.get(name)}
        if record.exc_info:
            row["trace"] = self.formatException(record.exc_info)
        return json.dumps(row, ensure_ascii=False)
