"""Incidents as people name them: `2026-0042`, of the engine's `incident-2026-0042`. Both are understood."""

from __future__ import annotations

import re
from typing import Final

SORT: Final = "incident-"
PATTERN: Final = r"(incident-)?[0-9]{4}-[0-9]{4,9}"
_NUMBER: Final = re.compile(PATTERN, re.ASCII)


def number_of(incident: str) -> str:
    """Return the number of an incident's id."""
    return incident.removeprefix(SORT)


def incident_of(text: str) -> str:
    """Return the id of an incident that somebody named; what is no number stays, and no incident is called so."""
    return SORT + text.removeprefix(SORT) if _NUMBER.fullmatch(text) else text


def is_incident(subject: str) -> bool:
    """True for the id of an incident, as rows of the audit have it as their subject."""
    return subject.startswith(SORT) and bool(_NUMBER.fullmatch(subject))
