"""The log of the pages, in the form of the engine's: a line for people, or a JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

_SHOWN: Final = {ord(c): repr(c)[1:-1] for c in map(chr, (*range(32), 127, *range(128, 160)))}
"""What a browser sends must not be able to begin a line of its own, or to colour a terminal."""


def set_up_logs(level: str, format_: str) -> None:
    """Send every line from `level` on to standard error; `format_` is text or json."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if format_ == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for library in ("asyncio", "uvicorn", "httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.WARNING)


class TextLines(logging.Formatter):
    """`2026-11-23 08:15:02.113 WARNING web: text`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line; a traceback follows on lines of its own, indented."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        name = record.name.removeprefix("pilotage.")
        text = record.getMessage().translate(_SHOWN)
        line = f"{moment:%Y-%m-%d %H:%M:%S}.{int(record.msecs):03d} {record.levelname:<7} {name}: {text}"
        return line + "".join(f"\n    {row.translate(_SHOWN)}" for row in self._trace(record))

    def _trace(self, record: logging.LogRecord) -> list[str]:
        return self.formatException(record.exc_info).splitlines() if record.exc_info else []


class JsonLines(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, room, text, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line of JSON."""
        row = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "room": record.name,
            "event": getattr(record, "event", "web"),
            "text": record.getMessage(),
        }
        if record.exc_info:
            row["trace"] = self.formatException(record.exc_info)
        return json.dumps(row, ensure_ascii=False)
