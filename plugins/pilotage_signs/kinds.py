"""The kinds of road-side information: variable message signs."""

from __future__ import annotations

from typing import Final

from pilotage.model.entities import Access, Combine, Kind, OnLoss, PointSpec, Privacy
from pilotage.model.values import BOOLEAN, POSITION, TEXT

MESSAGE_SIGN: Final = Kind(
    name="message_sign",
    title="Variable message sign",
    points=(
        PointSpec(
            "text",
            TEXT,
            Access.BOTH,
            max_age_s=900.0,
            default="",
            on_loss=OnLoss(""),
            combine=Combine.FIRST,
            travel_s=10.0,
            privacy=Privacy.OPEN,
            doc="What drivers read; empty is dark. Of two messages at one level the first stays.",
        ),
        PointSpec("ok", BOOLEAN, max_age_s=900.0, doc="The sign's own verdict on its modules."),
        PointSpec("location", POSITION, Access.FIXED, privacy=Privacy.OPEN),
    ),
    doc="A sign beside or above the road.",
)

KINDS: Final = (MESSAGE_SIGN,)
