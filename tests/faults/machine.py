"""A machine whose two times are moved by hand, an engine on it, and what survives of the engine when it is killed."""

from __future__ import annotations

import random
from typing import Any, Final

from pilotage.core.engine import Engine
from pilotage.core.image import dump, load
from pilotage.model.messages import Decision, Reading
from pilotage.runtime.clock import SystemClock

CODE: Final = "fault suite"
SNAPSHOT_EVERY: Final = 40  # ticks


class Machine:
    """One engine after the other, under the runtime's clock.

    Attributes:
        wall: The machine's time, as its hands show it.
        steady: Its time since it was switched on.
    """

    def __init__(self, engine: Engine, now: float, snapshot_every: int = SNAPSHOT_EVERY) -> None:
        self.wall = now
        self.steady = 1_000.0
        self.engine = engine
        self._every = snapshot_every
        self._clock = self._made()
        self._image = dump(engine, CODE)
        self._since: list[tuple[float, list[Any], str]] = []

    def _made(self) -> SystemClock:
        return SystemClock(wall=lambda: self.wall, steady=lambda: self.steady)

    def now(self) -> float:
        """The engine's time."""
        return self._clock.now()

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.steady += seconds

    def tick(self, inputs: list[Any]) -> Decision | None:
        """Tick, and keep what a journal would keep."""
        now = self.now()
        decision = self.engine.tick(now, inputs)
        self._since.append((now, inputs, repr(decision)))
        if len(self._since) >= self._every:
            self._keep()
        return decision

    def restart(self, off_s: float) -> None:
        """Kill the engine, let time pass, and start another from its image and its inputs since then."""
        self.pass_(off_s)
        self.steady = random.Random(self.steady).uniform(0.0, 1e6)  # a machine counts anew
        self.engine = load(self._image, {}, CODE)
        for now, inputs, decided in self._since:
            again = [self._bound(item) for item in inputs]
            assert repr(self.engine.tick(now, again)) == decided, f"the replay of {now} differs"
        self._clock = self._made()
        self._clock.go_on_from(self.engine.now)
        self.engine.resume(self.now())
        self._keep()

    def _keep(self) -> None:
        self._image, self._since = dump(self.engine, CODE), []

    def _bound(self, item: Any) -> Any:
        """Return a reading of the same point of the new engine."""
        if isinstance(item, Reading):
            return item._replace(point=self.engine.cells[item.point.id])
        return item
