"""Incidents: what rules and people bundle under one number, from open to closed."""

from __future__ import annotations

import msgspec

from pilotage.api.question import Question, Receipt

__all__ = [
    "ActOnIncident",
    "Incident",
    "ListIncidents",
]


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident; its notes and what was attached to it are rows of the audit with its id as subject."""

    id: str
    title: str = ""
    type: str = ""
    severity: str = ""
    opened_at: float | None = None
    closed: bool = False
    place: tuple[float, float] | None = None


class ListIncidents(Question[list[Incident]], tag="incidents", frozen=True, kw_only=True):
    """The incidents that are open, or all that the engine knows, the newest first."""

    all: bool = False


class ActOnIncident(Question[Receipt], tag="incident", frozen=True, kw_only=True):
    """Open an incident, write a note on it, attach something to it, detach it, or close it.

    `text` is the title, the note, or why; of `attach` and `detach` it is `alarm ID`, `report NUMBER` or `plan NAME`. `open` takes
    no `incident`, but a `severity` (medium unless given) and a `type`; its receipt names the new one.
    """

    incident: str
    action: str
    person: str
    text: str = ""
    severity: str = ""
    type: str = ""


Questions = ListIncidents | ActOnIncident
