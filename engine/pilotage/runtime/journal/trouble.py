"""What the journal says in health, one function each, with the mend."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pilotage.model.diagnostics import Severity
from pilotage.ports import HealthLog

_MB: Final = 1_000_000


def cannot_be_written(health: HealthLog, path: Path, error: Exception) -> None:
    """Say that the disk refuses."""
    health.raised(
        "journal.disk",
        f"{path} cannot be written: {error}; orders of people and new rules are refused, and what is decided"
        " is kept in memory",
        "free space on the disk, or give the file back its rights; the engine goes on by itself",
    )


def no_ballast(health: HealthLog, path: Path, size: int, free: int | None) -> None:
    """Say that the space that is held back for the journal is not there."""
    left = "an unknown rest is" if free is None else f"{free / _MB:.0f} MB are"
    health.raised(
        "journal.ballast",
        f"the disk of {path} is full, or nearly: {left} left, and the {size / _MB:.0f} MB that are held back for the"
        " journal are not there",
        "free space on the disk; the engine goes on, and holds the space back again by itself",
    )


def log_too_large(health: HealthLog, path: Path, size: int) -> None:
    """Say that the write-ahead log cannot be emptied."""
    health.raised(
        "journal.wal",
        f"{path}-wal has {size / _MB:.0f} MB: a program that reads the journal keeps it from being emptied",
        f"end the program that has {path} open beside the engine (`fuser -v {path}` names it)",
        Severity.WARNING,
    )


def file_is_gone(health: HealthLog, path: Path) -> None:
    """Say that what is written goes into a file that nobody will find again."""
    health.raised(
        "journal.gone",
        f"{path} was moved, replaced or deleted while the engine writes it; what is written now is lost",
        "stop the engine, put the file back, with its -wal beside it, and start again",
    )


def size_reached(health: HealthLog, path: Path, most_bytes: int, oldest: float | None) -> None:
    """Say that decisions are kept for a shorter time than the site wants."""
    since = (
        "" if oldest is None else f" since {datetime.fromtimestamp(oldest, UTC):%Y-%m-%d %H:%M} UTC"
    )
    health.raised(
        "journal.size",
        f"{path} has reached {most_bytes / _MB:.0f} MB: decisions are kept{since} only, the oldest go first",
        "raise storage.journal.most, or lower storage.journal.keep and storage.journal.keep_inputs",
        Severity.WARNING,
    )
