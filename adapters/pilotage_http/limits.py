"""How much one source may say: a bucket per address, with a bound on the number of addresses; pure, with the time passed in."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MOST_ADDRESSES: Final = 10_000


class Rate:
    """Lets each source say `per_s` messages a second, and `burst` at once."""

    def __init__(self, per_s: float, burst: int, most: int = MOST_ADDRESSES) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, source: str, now: float) -> bool:
        """Return whether a source may say one more thing; `now` is of a steady clock."""
        left, at = self._buckets.pop(source, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_s)
        is_admitted = left >= 1.0
        self._buckets[source] = (left - 1.0 if is_admitted else left, now)
        if len(self._buckets) > self._most:
            # The one that was silent longest has a full bucket by now, or nearly so.
            self._buckets.popitem(last=False)
        return is_admitted
