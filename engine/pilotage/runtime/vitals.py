"""Looks whether the threads live without which the engine is deaf or dumb, and escalates when one does not.

Nothing of ours ends them but a stop; a plugin that runs in this process can, and so can an interpreter that is out of memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from pilotage.ports import HealthLog

LOOK_S: Final = 1.0

IsAlive = Callable[[], bool]


class Vitals:
    """Looks every second; lives in the event loop."""

    def __init__(
        self,
        journal: IsAlive,
        others: Mapping[str, IsAlive],
        health: HealthLog,
        end: Callable[[str], object],
    ) -> None:
        """Prepare; nothing is looked at before `start`.

        Args:
            journal: Whether the thread lives that writes the journal: without it nothing is decided any more.
            others: The same of threads without which the city is piloted, by name.
            health: Where it is told.
            end: Ends the process, and says why: a service manager starts it again.
        """
        self._journal = journal
        self._others = others
        self._health = health
        self._end = end
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look."""
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self.start()
        if not self._journal():
            self._end("the thread that writes the journal has died, and nothing can be decided")
        for name, is_alive in self._others.items():
            if not is_alive():
                self._health.raised(
                    f"thread.{name}",
                    f"the thread of the {name} has died; what it should write is missing from now on",
                    "restart the engine when the moment is quiet, and report the traceback in its log",
                )
