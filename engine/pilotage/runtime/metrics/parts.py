"""The parts of a running engine that are measured, and when it counts as dead or not ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pilotage.runtime.audit.writer import AuditWriter
from pilotage.runtime.dispatcher import Dispatcher
from pilotage.runtime.health import Health
from pilotage.runtime.history.recorder import Recorder
from pilotage.runtime.inbox import ConnectionDoor, Inbox
from pilotage.runtime.journal import SqliteJournal
from pilotage.runtime.limits import Limits
from pilotage.runtime.loop import Pump
from pilotage.runtime.loop_watch import LoopWatch
from pilotage.runtime.metrics.instruments import Instruments
from pilotage.runtime.snapshots import FileSnapshots
from pilotage.runtime.supervisor import Supervisor

FATAL: Final = ("journal.fenced", "engine.degraded")
"""Findings with which the engine should be restarted."""

ENGINE: Final = "engine"
"""The component of what holds the loop and is no connection's."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running engine that are read.

    Attributes:
        partition: The name of the engine's partition.
        version: Of pilotage.
        started: Seconds since 1970.
        engine: The core.
        history: None when nothing is recorded.
        doors: The doors of the open connections, by name.
        rules: How many are in force.
        is_ready: Whether the engine is in service.
    """

    partition: str
    version: str
    started: float
    engine: Any
    health: Health
    instruments: Instruments
    watch: LoopWatch
    limits: Limits
    pump: Pump
    inbox: Inbox
    dispatcher: Dispatcher
    supervisor: Supervisor
    journal: SqliteJournal
    snapshots: FileSnapshots
    audit: AuditWriter
    history: Recorder | None
    doors: Callable[[], Mapping[str, ConnectionDoor]]
    rules: Callable[[], int]
    is_ready: Callable[[], bool]


def dead(parts: Parts) -> list[str]:
    """Return what only a restart of the engine would mend."""
    return [f.text for code in FATAL if (f := parts.health.finding(code)) is not None]


def unready(parts: Parts) -> list[str]:
    """Return why the engine is not in service."""
    wrong = dead(parts)
    if not parts.is_ready():
        wrong.append("the engine starts or stops")
    if parts.pump.records_are_in_memory:
        wrong.append("the disk refuses records: orders are refused, what runs goes on")
    return wrong
