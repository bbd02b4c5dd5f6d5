"""How far a value can be trusted."""

from __future__ import annotations

from enum import Enum


class Quality(Enum):
    """The trust in one value; whatever is neither good nor uncertain counts as unknown in every condition."""

    GOOD = "good"
    UNCERTAIN = (
        "uncertain"  # usable, with a doubt: members of a group differ, an old value replayed
    )
    BAD = "bad"  # the device or the door said so: out of range, of the wrong type, sensor fault
    STALE = "stale"  # older than the point's max_age
    MISSING = "missing"  # never reported, or the connection is lost

    is_usable: bool
    """True when a condition may read the value."""


for _quality in Quality:  # a plain attribute: it is read for every reading of every device
    _quality.is_usable = _quality in (Quality.GOOD, Quality.UNCERTAIN)
