"""The event loop's wait for the world: under load it rests a moment first, so that what comes meanwhile is taken together.

Far from saturation each message would wake the process by itself, and pay for a turn of the loop, a tick, a record and the
threads that write. After a quiet moment nothing rests: who comes alone is served at once.
"""

from __future__ import annotations

import selectors
import time
from typing import Final

REST_S: Final = 0.001
"""The shortest time between two waits that end; what is added to a latency at most, for each thing that is waited for."""


class RestingSelector(selectors.DefaultSelector):
    """Ends its waits no more often than once in `REST_S`; a look without a wait is never held up."""

    def __init__(self) -> None:
        """Wait for nothing yet."""
        super().__init__()
        self._rested_at = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, as the selector of the system does."""
        if timeout is not None and timeout <= 0.0:
            return super().select(timeout)
        rest_s = self._rested_at + REST_S - time.monotonic()
        if rest_s > 0.0:
            time.sleep(rest_s if timeout is None else min(rest_s, timeout))
            timeout = None if timeout is None else max(0.0, timeout - rest_s)
        found = super().select(timeout)
        self._rested_at = time.monotonic()
        return found
