"""The hooks of the fleet domain: they hand over objects and do nothing else."""

from __future__ import annotations

from pilotage.hookspecs import hookimpl
from pilotage.model.entities import CallSpec, Kind
from pilotage_fleet.calls import CALLS
from pilotage_fleet.kinds import KINDS

PILOTAGE_INTERFACE = "1"


@hookimpl
def pilotage_kinds() -> list[Kind]:
    """Return the kinds for service vehicles."""
    return list(KINDS)


@hookimpl
def pilotage_calls() -> list[CallSpec]:
    """Return what a step may ask of the domain's service."""
    return list(CALLS)
