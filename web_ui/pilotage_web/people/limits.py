"""How often somebody may try: buckets that fill with time, in a bounded table.

Counts what untrusted tries cost, never what a person is: nobody is locked out, a bucket only says *not so fast*. In memory
alone; a restart forgets them, and a flood writes nothing to disk.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

MOST_KEYS: Final = 50_000


class Buckets:
    """One bucket a key: `burst` tries at once, then one each `every_s` seconds."""

    def __init__(self, burst: int, every_s: float, most: int = MOST_KEYS) -> None:
        self._burst = burst
        self._every_s = every_s
        self._most = most
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> bool:
        """Take a try; False when none is left."""
        left = self.left(key, now)
        is_there = left >= 1.0
        self._put(key, left - 1.0 if is_there else left, now)
        return is_there

    def give_back(self, key: str, now: float) -> None:
        """Give a try back that turned out right."""
        self._put(key, min(float(self._burst), self.left(key, now) + 1.0), now)

    def left(self, key: str, now: float) -> float:
        """Return how many tries are left."""
        level, then = self._levels.get(key, (float(self._burst), now))
        return min(float(self._burst), level + max(0.0, now - then) / self._every_s)

    def wait_s(self, key: str, now: float) -> float:
        """Return after how many seconds the next try is there."""
        return max(0.0, 1.0 - self.left(key, now)) * self._every_s

    def __len__(self) -> int:
        return len(self._levels)

    def _put(self, key: str, level: float, now: float) -> None:
        self._levels[key] = (level, now)
        self._levels.move_to_end(key)
        while len(self._levels) > self._most:
            # What was touched longest ago is the fullest: to forget it gives away least.
            self._levels.popitem(last=False)


def network_of(address: str) -> str:
    """Return what counts as one sender: an IPv4 address, or the /64 of an IPv6 one, which one machine has to itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
