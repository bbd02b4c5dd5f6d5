"""Keeps connections running: starts them, tries again when they end, and knows how each of them is."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from pilotage.adapter import Adapter
from pilotage.model.diagnostics import Severity
from pilotage.ports import Clock, HealthLog
from pilotage.runtime.inbox import ConnectionDoor

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 30.0
STEADY_S: Final = 10.0  # a connection that held for so long is tried again quickly
STOP_S: Final = 5.0

log = logging.getLogger("pilotage.supervisor")


class State(Enum):
    """How a connection is, in a word."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    UP = "up"
    DEGRADED = "degraded"  # up, but some of its points cannot be heard
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """How a connection is now.

    Attributes:
        name: As in config.yaml.
        adapter: Its protocol.
        since: When it came into this state, seconds since 1970.
        next_try: When it is tried again, for one that is down.
        failures: How often it was lost or did not come up, since the start.
        points: How many points it has reported.
        heard_at: When it reported the last time, 0 for never.
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


class Supervisor:
    """All connections of the engine."""

    def __init__(
        self,
        clock: Clock,
        health: HealthLog,
        *,
        first_pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
        spread: Callable[[], float] = random.random,
    ) -> None:
        """Start without connections.

        Args:
            clock: Gives the times that people see.
            health: Where lost connections are told.
            first_pause_s: Before the first new try, in real seconds; it doubles with each.
            longest_pause_s: The pause does not get longer.
            spread: A number from 0 to 1; a pause is that part of its second half, so that
                a hundred engines do not come back at the same instant.
        """
        self._clock = clock
        self._health = health
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._spread = spread
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
            on_up: Called each time that the connection comes up.
        """
        if name in self._runs:
            raise ValueError(f"the connection {name} runs already")
        run = _Run(name, protocol, adapter, door, self._clock, self._health, on_up)
        self._runs[name] = run
        run.task = asyncio.get_running_loop().create_task(
            run.keep(self._first_pause_s, self._longest_pause_s, self._spread),
            name=f"connection-{name}",
        )

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
            )
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
        self._on_up = on_up
        self._state = State.STOPPED
        self._detail = ""
        self._since = clock.now()
        self._next_try: float | None = None
        self._failures = 0
        self._up_at: float | None = None
        self._ending = False
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
        )

    async def keep(self, pause_s: float, longest_s: float, spread: Callable[[], float]) -> None:
        """Run the adapter again and again until cancelled."""
        first = pause_s
        while True:
            self._enter(State.CONNECTING if not self._failures else self._state, self._detail)
            self._up_at = None
            why = await self._once()
            if self._held_long_enough():
                pause_s = first
            wait = pause_s * (0.5 + spread() / 2)
            self._down(why, wait)
            await asyncio.sleep(wait)
            self._next_try = None
            pause_s = min(pause_s * 2, longest_s)

    def end(self) -> None:
        """Make its points unknown: nobody hears them any more, and that is no trouble."""
        self._ending = True
        self.door.lost_all("stopped")
        self._health.cleared(self.code)

    async def _once(self) -> str:
        """Run the adapter until it ends and return why it did."""
        try:
            await self._adapter.run()
        except (OSError, TimeoutError) as error:
            return str(error) or type(error).__name__
        except Exception as error:
            self._health.count(f"faults.{self.name}")
            if self._health_is_new():
                log.error(
                    "connection %s: its adapter %s failed", self.name, self.protocol, exc_info=error
                )
            return f"{type(error).__name__}: {error}"
        return "the adapter ended by itself"

    def _health_is_new(self) -> bool:
        return self._state is not State.DOWN

    def _held_long_enough(self) -> bool:
        return self._up_at is not None and self._clock.monotonic() - self._up_at >= STEADY_S

    def _connected(self, detail: str) -> None:
        self._up_at = self._clock.monotonic()
        self._enter(State.UP, detail)
        self._health.cleared(self.code)
        if self._on_up is not None:
            self._on_up()

    def _lost(self, detail: str) -> None:
        if not self._ending and self._state is State.UP:
            self._enter(State.DEGRADED, detail)
            self._health.raised(
                self.code,
                f"connection {self.name} ({self.protocol}) cannot hear some of its points: {detail}",
                "see the devices behind it; they come back by themselves",
                Severity.WARNING,
            )

    def _down(self, why: str, wait_s: float) -> None:
        self._failures += 1
        self._next_try = self._clock.now() + wait_s
        self._ending = True
        self.door.lost_all(why)
        self._ending = False
        self._enter(State.DOWN, why)
        self._health.raised(
            self.code,
            f"connection {self.name} ({self.protocol}) is down: {why}",
            "see that the other side runs and can be reached; it is tried again by itself",
        )

    def _enter(self, state: State, detail: str) -> None:
        if state is not self._state:
            self._since = self._clock.now()
        self._state, self._detail = state, detail
