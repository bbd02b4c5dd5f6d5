"""Sets up the log, in one place: a line for people, or a JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

_SHOWN: Final = {ord(c): repr(c)[1:-1] for c in map(chr, (*range(32), 127, *range(128, 160)))}
"""Control characters: a device's text must not be able to begin a line of its own, or to colour the terminal."""


def set_up_logs(level: str = "info", format_: str = "text", stream: TextIO | None = None) -> None:
    """Send every log line from `level` on to a stream, standard error by default.

    Args:
        level: debug, info, warning or error.
        format_: text or json.
        stream: Where the lines go.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonLines() if format_ == "json" else TextLines())
    root = logging.getLogger()
    for old in [h for h in root.handlers if getattr(h, "is_pilotage", False)]:
        root.removeHandler(old)
    handler.is_pilotage = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class TextLines(logging.Formatter):
    """`2026-11-23 08:15:02.113 WARNING health: text`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line; a traceback follows on lines of its own, indented."""
        time = datetime.fromtimestamp(record.created).astimezone()
        text = record.getMessage().translate(_SHOWN)
        name = record.name.removeprefix("pilotage.")
        line = (
            f"{time:%Y-%m-%d %H:%M:%S}.{int(record.msecs):03d} {record.levelname:<7} {name}: {text}"
        )
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            line += "".join(f"\n    {row.translate(_SHOWN)}" for row in trace.splitlines())
        return line


class JsonLines(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, room, text, and the traceback when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line of JSON."""
        row = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "room": record.name,
            "text": record.getMessage(),
        }
        if record.exc_info:
            row["trace"] = self.formatException(record.exc_info)
        return json.dumps(row, ensure_ascii=False)
