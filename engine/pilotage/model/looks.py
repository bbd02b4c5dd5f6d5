"""The looks of equipment: what one digit on a map, in a list or in the live stream says of a lamp or a junction.

The one place that gives each its meaning, its shape and its order; the pages give the colours (`--look-0` and up). At most five
have a filled shape of their own colour, a fault is a square and silence a ring, so that nobody needs to tell colours apart.
"""

from __future__ import annotations

from enum import IntEnum


class Look(IntEnum):
    """How a piece of equipment is; of two that hold, the one that asks more of an operator is shown."""

    IDLE = 0
    ACTIVE = 1
    HELD = 2
    UNLIKE = 3
    FAULT = 4
    SILENT = 5
    ALARM = 6

    @property
    def word(self) -> str:
        """The name in the API and in style sheets."""
        return self.name.lower()

    @property
    def shape(self) -> str:
        """What is drawn: `dot`, `diamond`, `half` (half a dot), `square`, `ring` or `triangle`."""
        return _SHAPES[self]

    @property
    def meaning(self) -> str:
        """What it says, in English; the pages translate it."""
        return _MEANINGS[self]


_SHAPES = {
    Look.IDLE: "dot",
    Look.ACTIVE: "dot",
    Look.HELD: "diamond",
    Look.UNLIKE: "half",
    Look.FAULT: "square",
    Look.SILENT: "ring",
    Look.ALARM: "triangle",
}

_MEANINGS = {
    Look.IDLE: "at rest",
    Look.ACTIVE: "at work",
    Look.HELD: "held by a person",
    Look.UNLIKE: "not as wanted",
    Look.FAULT: "fault",
    Look.SILENT: "silent",
    Look.ALARM: "alarm, not acknowledged",
}
