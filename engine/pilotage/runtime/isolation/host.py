"""An isolated adapter as the engine sees it: like any other, but what it does happens in a process of its own.

When that process dies, hangs, grows or talks nonsense it is ended, what was under way is answered as unknown, and the supervisor
tries again: at once the first time, after pauses then, and after too many deaths not before a reload.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from pilotage.adapter import ConnectionSettings, Site
from pilotage.model.messages import Outcome
from pilotage.runtime.clock import reading_of
from pilotage.runtime.inbox import ConnectionDoor
from pilotage.runtime.isolation import wire
from pilotage.runtime.isolation.child_link import ChildLink, Order
from pilotage.runtime.isolation.city import describe
from pilotage.runtime.isolation.intake import Intake
from pilotage.runtime.isolation.keeper_link import Died, KeeperLink
from pilotage.runtime.isolation.limits import resident
from pilotage.runtime.supervisor import AdapterDied, AdapterDisabled, Process

MOST_DEATHS: Final = 5
DEATHS_WITHIN_S: Final = 60.0

Targets = tuple[Sequence[str], Sequence[str]]
"""The points and the calls that an adapter can be sent orders for."""

NO_TARGETS: Final[Targets] = ((), ())

log = logging.getLogger("pilotage.isolation")


class IsolatedAdapter:
    """`pilotage.adapter.Adapter` for a plugin in another process."""

    def __init__(
        self,
        settings: ConnectionSettings,
        entry: str,
        site: Site,
        door: ConnectionDoor,
        lock: str = "",
        targets: Targets = NO_TARGETS,
    ) -> None:
        """Prepare an adapter; no process is started before `run`.

        Args:
            settings: Of the connection; `memory` bounds the process.
            entry: Name of the plugin's entry point.
            site: The city; what of it crosses is read once, here.
            door: Where readings go.
            lock: File with the plugins that may be imported; empty when all may.
            targets: What it can command, as far as that is known before its process has started.
        """
        self.on_targets: Callable[[], None] = lambda: None
        """Called when `targets` has changed."""
        self._lock = lock
        self._settings = settings
        self._entry = entry
        self._site = site
        self._description = describe(site)
        self._door = door
        self._keeper: KeeperLink | None = None
        self._child: ChildLink | None = None
        self._targets = targets
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS + 1)
        self._starts = 0

    @property
    def process(self) -> Process:
        """The child and its memory."""
        pid = self._child.pid if self._child is not None else 0
        memory = resident(pid) if pid else 0
        return Process(pid, memory, self._settings.memory, max(0, self._starts - 1))

    def targets(self) -> Targets:
        """Return what the adapter said that it can command, when it was checked or opened."""
        return self._targets

    async def run(self) -> None:
        """Start what is needed, and run the adapter until its link is lost or its process ends.

        Raises:
            ConnectionError: The adapter says that its link is lost.
            RuntimeError: The adapter made a mistake; its process goes on.
            AdapterDied: Its process is gone.
            AdapterDisabled: Its processes died too often.
        """
        try:
            child = self._child or await self._start()
            ended = await child.run()
        except Died as error:
            await self._end_child()
            raise await self._death(str(error)) from None
        except asyncio.CancelledError:
            await self.close()
            raise
        raise RuntimeError(ended.why) if ended.mistake else ConnectionError(ended.why)

    async def send(self, order: Order) -> Outcome:
        """Have the child send an order; UNKNOWN when its process ends meanwhile."""
        return Outcome.NOT_SENT if self._child is None else await self._child.send(order)

    async def close(self) -> None:
        """Stop the child in order, then end what is left."""
        child, self._child = self._child, None
        try:
            if child is not None:
                await child.stop()
        finally:  # also when nobody waits for the stop any more
            await self._end_keeper()

    # ── starting ─────────────────────────────────────────────────────────────────────────────

    async def _start(self) -> ChildLink:
        self._starts += 1
        if self._keeper is None:
            self._keeper = keeper = await KeeperLink.start()
            await keeper.load(self._keep())
        intake = Intake(self._door, self._site)
        self._child = child = ChildLink(intake, self._time, self._settings.memory)
        await child.start(self._keeper)
        bound = await child.bound()
        if bound != (list(self._targets[0]), list(self._targets[1])):
            self._targets = bound
            self.on_targets()
        self._keeper.warm(child.modules)
        return child

    def _keep(self) -> wire.Keep:
        root = logging.getLogger()
        handler = next((h for h in root.handlers if getattr(h, "is_pilotage", False)), None)
        return wire.Keep(
            self._entry,
            wire.search_path(),
            self._settings.memory,
            wire.freeze(self._settings),
            self._description,
            self._time(),
            self._lock,
            logging.getLevelName(root.level).lower(),
            "json" if type(getattr(handler, "formatter", None)).__name__ == "JsonLines" else "text",
        )

    def _time(self) -> wire.Time:
        return wire.Time(*reading_of(getattr(self._site, "clock", self._site)))

    # ── ending ───────────────────────────────────────────────────────────────────────────────

    async def _death(self, why: str) -> AdapterDied | AdapterDisabled:
        now = time.monotonic()
        self._deaths.append(now)
        recent = [at for at in self._deaths if now - at < DEATHS_WITHIN_S]
        log.error(
            "connection %s: the process of its plugin %s",
            self._settings.name,
            why,
            extra={"event": "plugin.died", "about": self._settings.name},
        )
        if len(recent) > MOST_DEATHS:
            await self._end_keeper()
            self._deaths.clear()
            return AdapterDisabled(
                f"its process ended {len(recent)} times within a minute; the last time it {why}"
            )
        return AdapterDied(f"its process {why}", at_once=len(recent) == 1)

    async def _end_child(self) -> None:
        child, self._child = self._child, None
        try:
            if child is not None:
                await child.end()
        finally:
            if self._keeper is not None and not self._keeper.is_sound:
                await self._end_keeper()

    async def _end_keeper(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            await keeper.end()
