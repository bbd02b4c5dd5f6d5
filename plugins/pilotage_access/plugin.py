"""The hooks of the access domain: they hand over objects and do nothing else."""

from __future__ import annotations

from pathlib import Path

from pilotage.hookspecs import hookimpl
from pilotage.model.entities import Kind
from pilotage_access.kinds import KINDS

PILOTAGE_INTERFACE = "1"


@hookimpl
def pilotage_kinds() -> list[Kind]:
    """Return the kinds for bollards."""
    return list(KINDS)


@hookimpl
def pilotage_rules() -> list[Path]:
    """Return the files of the rule pack, in order of name."""
    return sorted(Path(__file__).parent.joinpath("rules").glob("*.yaml"))
