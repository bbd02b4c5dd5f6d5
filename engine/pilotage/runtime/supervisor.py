"""Keeps connections running: starts them, tries again when they end, and knows how each of them is."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, runtime_checkable

from pilotage.adapter import Adapter
from pilotage.model.diagnostics import Severity
from pilotage.model.messages import PointHandle
from pilotage.model.values import format_value
from pilotage.ports import Clock, HealthLog
from pilotage.runtime.inbox import ConnectionDoor
from pilotage.runtime.loop_watch import CONNECTION, TASK_PREFIX

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 1.5  # with the connecting and the first values, two seconds
LONG_PAUSE_S: Final = 30.0
FLAPS: Final = 4  # as many failures make the pause as long as it gets while somebody is there
MANY: Final = 100  # failures in a row after which nobody waits at the other side's door any more
STEADY_S: Final = 10.0  # a connection that held for so long is tried again quickly
TELL_WITHIN_S: Final = 0.25
STOP_S: Final = 2.5  # of the five seconds in which the engine stops

log = logging.getLogger("pilotage.supervisor")


class State(Enum):
    """How a connection is, in a word."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    UP = "up"
    DEGRADED = "degraded"  # up, but some of its points cannot be heard
    DOWN = "down"
    DISABLED = "disabled"  # given up; a reload tries again


class AdapterDied(Exception):
    """What runs an adapter is gone, and not only its link; `at_once` asks for a new try without a pause."""

    def __init__(self, why: str, *, at_once: bool = False) -> None:
        super().__init__(why)
        self.at_once = at_once


class AdapterDisabled(Exception):
    """An adapter failed too often to be tried again before somebody has looked."""


@dataclass(frozen=True, slots=True)
class Process:
    """The process of an isolated adapter.

    Attributes:
        pid: 0 while there is none.
        memory: Resident bytes.
        limit: Bytes that it may have.
        restarts: How often it was started again.
    """

    pid: int
    memory: int
    limit: int
    restarts: int


@runtime_checkable
class HasProcess(Protocol):
    """An adapter that runs in a process of its own."""

    @property
    def process(self) -> Process:
        """The process, as it is now."""
        ...

    async def close(self) -> None:
        """End the process."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """How a connection is now.

    Attributes:
        name: As in config.yaml.
        adapter: Its protocol.
        since: When it came into this state, seconds since 1970.
        next_try: When it is tried again, for one that is down; None while it is being tried.
        failures: How often it was lost or did not come up, since the start.
        points: How many points it has reported.
        heard_at: When it reported the last time, 0 for never.
        process: Where it runs, when it is isolated.
    """

    name: str
    adapter: str
    state: State
    detail: str
    since: float
    next_try: float | None
    failures: int
    points: int
    heard_at: float
    process: Process | None = None


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long is waited before a connection is tried again, in real seconds.

    Attributes:
        first: Before the first new try; it doubles with each.
        longest: It does not get longer while the other side may come back any moment.
        long: For one that has failed many times in a row, and for a plugin that makes mistakes.
        spread: A number from 0 to 1; a pause is that part of its second half, so that
            a hundred engines do not come back at the same instant.
    """

    first: float = FIRST_PAUSE_S
    longest: float = LONGEST_PAUSE_S
    long: float = LONG_PAUSE_S
    spread: Callable[[], float] = random.random

    def after(self, in_a_row: int, *, mistake: bool) -> float:
        """Return the pause after so many failures in a row."""
        most = self.long if mistake or in_a_row > MANY else self.longest
        whole = min(self.first * 2.0 ** min(in_a_row - 1, 30), most)
        return whole * (0.5 + self.spread() / 2)


class Supervisor:
    """All connections of the engine."""

    def __init__(
        self,
        clock: Clock,
        health: HealthLog,
        *,
        first_pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
        long_pause_s: float = LONG_PAUSE_S,
        spread: Callable[[], float] = random.random,
    ) -> None:
        """Start without connections.

        Args:
            clock: Gives the times that people see.
            health: Where lost connections are told.
            first_pause_s: `Pauses.first`.
            longest_pause_s: `Pauses.longest`.
            long_pause_s: `Pauses.long`.
            spread: `Pauses.spread`.
        """
        self._clock = clock
        self._health = health
        longest = max(longest_pause_s, first_pause_s)
        self._pauses = Pauses(first_pause_s, longest, max(long_pause_s, longest), spread)
        self._runs: dict[str, _Run] = {}

    @property
    def statuses(self) -> tuple[ConnectionStatus, ...]:
        """How every connection is, in the order in which they were added."""
        return tuple(run.status for run in self._runs.values())

    def start(
        self,
        name: str,
        protocol: str,
        adapter: Adapter,
        door: ConnectionDoor,
        on_up: Callable[[], None] | None = None,
    ) -> None:
        """Run a connection until it is stopped.

        Args:
            name: As in config.yaml.
            protocol: The adapter's name.
            adapter: What is run.
            door: The door that the adapter was opened with.
            on_up: Called when the connection comes up; a moment later when that is not the first time, so that
                connections which come back together do not all tell their devices at once.
        """
        if name in self._runs:
            raise ValueError(f"the connection {name} runs already")
        run = _Run(name, protocol, adapter, door, self._clock, self._health, self._pauses, on_up)
        self._runs[name] = run
        run.task = asyncio.get_running_loop().create_task(run.keep(), name=TASK_PREFIX + name)

    def is_disabled(self, name: str) -> bool:
        """Whether a connection was given up."""
        run = self._runs.get(name)
        return run is not None and run.status.state is State.DISABLED

    async def stop(self, name: str) -> None:
        """Stop a connection and wait for its end, not for ever."""
        run = self._runs.pop(name, None)
        if run is None or run.task is None:
            return
        run.task.cancel()
        _, running = await asyncio.wait([run.task], timeout=STOP_S)
        if running:
            log.error(
                "connection %s does not end when it is cancelled; its adapter %s was left behind",
                name,
                run.protocol,
                extra={"event": "connection.left_behind", "about": name},
            )
        await run.close()
        run.end()

    async def stop_all(self) -> None:
        """Stop every connection."""
        await asyncio.gather(*(self.stop(name) for name in list(self._runs)))


class _Run:
    """One connection and its tries."""

    def __init__(
        self,
        name: str,
        protocol: str,
        adapter: Adapter,
        door: ConnectionDoor,
        clock: Clock,
        health: HealthLog,
        pauses: Pauses,
        on_up: Callable[[], None] | None,
    ) -> None:
        self.name = name
        self.protocol = protocol
        self.door = door
        self.task: asyncio.Task[None] | None = None
        self.code = f"connection.{name}"
        self._adapter = adapter
        self._clock = clock
        self._health = health
        self._pauses = pauses
        self._on_up = on_up
        self._state = State.STOPPED
        self._detail = ""
        self._since = clock.now()
        self._next_try: float | None = None
        self._failures = 0
        self._in_a_row = 0
        self._up_at: float | None = None
        self._ending = False
        self._telling: asyncio.TimerHandle | None = None
        self._was_told = False
        door.call_on_change(self._connected, self._lost)

    @property
    def status(self) -> ConnectionStatus:
        return ConnectionStatus(
            self.name,
            self.protocol,
            self._state,
            self._detail,
            self._since,
            self._next_try,
            self._failures,
            len(self.door.heard),
            self.door.heard_at,
            self._adapter.process if isinstance(self._adapter, HasProcess) else None,
        )

    async def keep(self) -> None:
        """Run the adapter again and again until cancelled, or until it must not be tried any more."""
        CONNECTION.set(self.name)
        while True:
            self._enter(State.CONNECTING if not self._failures else self._state, self._detail)
            self._up_at = None
            ended = await self._once()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError  # a library beneath the adapter took it for its own
            self._in_a_row = self._count_on(ended)
            if isinstance(ended, AdapterDisabled):
                self._disable(str(ended))
                return
            wait = self._pause(ended)
            self._down(_words(ended), wait)
            await asyncio.sleep(wait)
            self._next_try = None

    def _count_on(self, ended: Exception) -> int:
        """Return how many tries have failed in a row; one that came up, if only for a moment, found somebody there."""
        if self._held_long_enough():
            return 1
        found_somebody = self._up_at is not None and not _is_mistake(ended)
        return min(self._in_a_row + 1, FLAPS) if found_somebody else self._in_a_row + 1

    async def close(self) -> None:
        """End its process, when it has one."""
        if isinstance(self._adapter, HasProcess):
            await self._adapter.close()

    def end(self) -> None:
        """Make its points unknown: nobody hears them any more, and that is no trouble."""
        self._ending = True
        self._stop_telling()
        self.door.lost_all("stopped")
        self._health.cleared(self.code)

    async def _once(self) -> Exception:
        """Run the adapter until it ends and return what ended it."""
        try:
            await self._adapter.run()
        except (AdapterDied, AdapterDisabled) as error:
            self._health.count(f"faults.{self.name}")
            return error
        except (OSError, TimeoutError) as error:
            return error
        except Exception as error:
            self._health.count(f"faults.{self.name}")
            if self._state is not State.DOWN:
                log.error(
                    "connection %s: its adapter %s failed",
                    self.name,
                    self.protocol,
                    exc_info=error,
                    extra={"event": "plugin.failed", "about": self.name},
                )
            return error
        return ConnectionError("the adapter ended by itself")

    def _pause(self, ended: Exception) -> float:
        if isinstance(ended, AdapterDied) and ended.at_once:
            return 0.0
        return self._pauses.after(self._in_a_row, mistake=_is_mistake(ended))

    def _held_long_enough(self) -> bool:
        return self._up_at is not None and self._clock.monotonic() - self._up_at >= STEADY_S

    # ── what the door says ───────────────────────────────────────────────────────────────────

    def _connected(self, detail: str) -> None:
        self._up_at = self._clock.monotonic()
        self._enter(State.UP, detail)
        self._health.cleared(self.code)
        if not self._was_told:
            self._tell()
        elif self._telling is None:
            wait = self._pauses.spread() * TELL_WITHIN_S
            self._telling = asyncio.get_running_loop().call_later(wait, self._tell)

    def _tell(self) -> None:
        self._telling, self._was_told = None, True
        if self._on_up is not None and self._state in (State.UP, State.DEGRADED):
            self._on_up()

    def _stop_telling(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    def _lost(self, detail: str) -> None:
        if not self._ending and self._state is State.UP:
            self._enter(State.DEGRADED, detail)
            self._health.raised(
                self.code,
                f"connection {self.name} ({self.protocol}) cannot hear some of its points: {detail}",
                "see the devices behind it; they come back by themselves",
                Severity.WARNING,
            )

    # ── the end of a try ─────────────────────────────────────────────────────────────────────

    def _down(self, why: str, wait_s: float) -> None:
        self._failures += 1
        self._next_try = self._clock.now() + wait_s
        self._lose_all(why)
        self._enter(State.DOWN, why)
        self._health.raised(
            self.code,
            f"connection {self.name} ({self.protocol}) is down: {why}",
            "see that the other side runs and can be reached; it is tried again by itself",
        )

    def _disable(self, why: str) -> None:
        self._failures += 1
        points = self.door.heard
        self._lose_all(why)
        self._enter(State.DISABLED, why)
        self._health.cleared(self.code)  # a new finding, which is logged anew
        self._health.raised(
            self.code,
            f"connection {self.name} ({self.protocol}) is disabled: {why}; its {len(points)} points are"
            f" unknown{_safe_states(points)}",
            "see the log, mend or exchange the plugin, then `pilotage reload` tries it again",
        )

    def _lose_all(self, why: str) -> None:
        self._ending = True
        self._stop_telling()
        self.door.lost_all(why)
        self._ending = False

    def _enter(self, state: State, detail: str) -> None:
        if state is not self._state:
            self._since = self._clock.now()
        self._state, self._detail = state, detail


def _words(ended: Exception) -> str:
    """Return what ended a try: a lost link in its own words, a mistake with its type."""
    if isinstance(ended, (OSError, TimeoutError, AdapterDied)):
        return str(ended) or type(ended).__name__
    return f"{type(ended).__name__}: {ended}"


def _safe_states(points: Iterable[PointHandle]) -> str:
    """Return what the devices should do by themselves now, as their kinds declare it."""
    specs = {point.spec.name: point.spec for point in points if point.spec.on_loss is not None}
    if not specs:
        return ""
    safe = [
        f"{name} {format_value(spec.value_on_loss, spec.type)}"
        for name, spec in sorted(specs.items())
    ]
    return f", and its devices should be in their safe state ({', '.join(safe)})"


def _is_mistake(ended: Exception) -> bool:
    """Whether a connection ended by its plugin's fault, and not by the other side's."""
    return not isinstance(ended, (OSError, TimeoutError, AdapterDied))
