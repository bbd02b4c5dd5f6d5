"""What runs: its state, its health, and the orders to read anew and to stop."""

from __future__ import annotations

import msgspec

from pilotage.api.question import Done, Question

__all__ = [
    "Connection",
    "EngineStatus",
    "GetHealth",
    "GetStatus",
    "HealthFinding",
    "HealthReport",
    "Process",
    "Reload",
    "Reloaded",
    "Stop",
    "Subscribe",
]


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """The process of an isolated adapter: its id (0 for none), resident and allowed bytes, how often it was started again."""

    pid: int = 0
    memory: int = 0
    limit: int = 0
    restarts: int = 0


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection to devices is; `state` is stopped, connecting, up, degraded, down or disabled."""

    name: str
    adapter: str
    state: str
    detail: str = ""
    since: float = 0.0
    next_try: float | None = None
    failures: int = 0
    points: int = 0
    heard_at: float = 0.0
    process: Process | None = None


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What runs, since when, and how much of it; times are seconds since 1970."""

    api: int
    version: str
    site: str
    pid: int
    started: float
    now: float
    speed: float
    loop: str
    rules: int
    entities: int
    points: int
    ticks: int
    decisions: int
    waiting: int
    sound: bool
    program: str = ""
    connections: list[Connection] = []


class HealthFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong now, and what to do about it."""

    code: str
    severity: str
    text: str
    mend: str = ""
    since: float = 0.0


class HealthReport(msgspec.Struct, frozen=True):
    """Everything that is wrong now, oldest first, and the counters."""

    sound: bool
    findings: list[HealthFinding]
    counters: dict[str, int]


class Reloaded(msgspec.Struct, frozen=True):
    """What came of a reload: when `adopted` is false, the old rules go on and `findings` say why."""

    adopted: bool
    findings: list[str]
    rules: int = 0
    took_s: float = 0.0


class GetStatus(Question[EngineStatus], tag="status", frozen=True):
    """What runs?"""


class GetHealth(Question[HealthReport], tag="health", frozen=True):
    """What is wrong?"""


class Reload(Question[Reloaded], tag="reload", frozen=True):
    """Read configuration and rules anew; all of them, or the old ones go on."""


class Stop(Question[Done], tag="stop", frozen=True):
    """Stop the engine."""


class Subscribe(Question[Done], tag="subscribe", frozen=True):
    """Send every decision from now on."""


Questions = GetStatus | GetHealth | Reload | Stop | Subscribe
