"""Which partition of the city an entity belongs to: all of them to one, or each zone to its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from pilotage.runtime.ownership import THE_CITY

_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")  # it names files, and stands in journals


class OnePartition:
    """Placement on a single machine: the whole city is one partition."""

    @property
    def partitions(self) -> Sequence[str]:
        """The one."""
        return (THE_CITY,)

    def partition_of(self, zone: str) -> str:
        """Return the one, whatever the zone."""
        return THE_CITY


class ZonePlacement:
    """Placement by a table of zones; what stands in none of its lines belongs to the default partition."""

    def __init__(self, zones: Mapping[str, str], default: str = THE_CITY) -> None:
        """Take the table.

        Args:
            zones: The partition of each zone.
            default: The partition of all other zones, and of entities without one.

        Raises:
            ValueError: A partition's name is none: letters, digits and `-` only, a letter first.
        """
        self._zones = dict(zones)
        self._default = default
        self._partitions = tuple(sorted({default, *self._zones.values()}))
        for name in self._partitions:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f'"{name}" is no name for a partition; write small letters, digits and -, a letter first'
                )

    @property
    def partitions(self) -> Sequence[str]:
        """All partitions, in order of name."""
        return self._partitions

    def partition_of(self, zone: str) -> str:
        """Return the partition of a zone."""
        return self._zones.get(zone, self._default)
