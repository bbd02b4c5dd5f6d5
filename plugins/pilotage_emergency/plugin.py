"""The hooks of the emergency domain: they hand over objects and do nothing else."""

from __future__ import annotations

from pilotage.hookspecs import hookimpl
from pilotage.model.entities import Kind
from pilotage_emergency.kinds import KINDS

PILOTAGE_INTERFACE = "1"


@hookimpl
def pilotage_kinds() -> list[Kind]:
    """Return the kinds for emergency vehicles."""
    return list(KINDS)
