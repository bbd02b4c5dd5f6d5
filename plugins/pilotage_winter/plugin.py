"""The hooks of the winter domain: they hand over objects and do nothing else."""

from __future__ import annotations

from pathlib import Path

from pilotage.hookspecs import hookimpl
from pilotage.model.entities import Function, Kind
from pilotage_winter.functions import FUNCTIONS
from pilotage_winter.kinds import KINDS

PILOTAGE_INTERFACE = "1"


@hookimpl
def pilotage_kinds() -> list[Kind]:
    """Return the kinds for road stations, forecasts, routes and ploughs."""
    return list(KINDS)


@hookimpl
def pilotage_functions() -> list[Function]:
    """Return the functions that the domain adds to the rule language."""
    return list(FUNCTIONS)


@hookimpl
def pilotage_rules() -> list[Path]:
    """Return the files of the rule pack, in order of name."""
    return sorted(Path(__file__).parent.joinpath("rules").glob("*.yaml"))
