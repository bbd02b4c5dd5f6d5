"""Incidents: open, note, attach, close."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException

from pilotage import api
from pilotage_web.lines import Line, line_of
from pilotage_web.numbers import incident_of
from pilotage_web.pages.incidents import MOST_ROWS, attached, people_of, standing_of
from pilotage_web.request import Visit
from pilotage_web.rights import Right
from pilotage_web.sight import IF_MATCH, matched
from pilotage_web.typed import Page, get, post

Id = Annotated[str, Meta(min_length=1, max_length=60)]
Text = Annotated[str, Meta(min_length=1, max_length=500)]


class IncidentFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether closed ones are wanted too."""

    all: bool = False


class IncidentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """An incident with its course, what is attached to it by kind (`alarm`, `report`, `plan`), and who took part."""

    incident: api.Incident
    lines: list[Line]
    attached: dict[str, list[str]]
    people: list[str]
    standing: str


class NewIncident(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An incident to open."""

    title: Text
    severity: Literal["low", "medium", "high", "critical"] = "medium"
    type: Annotated[str, Meta(max_length=60)] = ""


class IncidentStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step: `attach` and `detach` name `alarm ID`, `report NUMBER` or `plan NAME`."""

    action: Literal["note", "attach", "detach", "close"]
    text: Text


@get("/incidents")
async def list_incidents(visit: Visit, query: IncidentFilter) -> Page[api.Incident]:
    """The incidents that are open, or all, the newest first."""
    return Page(await visit.ask(api.ListIncidents(all=query.all)))


@get("/incidents/{incident}", standing=lambda found: found.standing)
async def get_incident(visit: Visit, incident: Id) -> IncidentDetail:
    """An incident with everything that belongs to it."""
    found, rows = await asyncio.gather(
        visit.ask(api.ListIncidents(all=True)),
        visit.ask(api.ListAudit(entity=incident_of(incident), last=MOST_ROWS)),
    )
    shown = next((i for i in found if i.id == incident_of(incident)), None)
    if shown is None:
        raise HTTPException(404)
    return IncidentDetail(
        incident=shown,
        lines=[line_of(row) for row in rows],
        attached=attached(rows),
        people=people_of(rows),
        standing=standing_of(rows),
    )


@post("/incidents", Right.REPORTS)
async def open_incident(visit: Visit, body: NewIncident) -> api.Receipt:
    """Open an incident; the receipt's text names it."""
    return await visit.ask(
        api.ActOnIncident(
            incident="",
            action="open",
            person=visit.who.person,
            text=body.title,
            severity=body.severity,
            type=body.type or visit.who.post,
        )
    )


@post("/incidents/{incident}/steps", Right.REPORTS, conditional=True)
async def step_incident(visit: Visit, incident: Id, body: IncidentStep) -> api.Receipt:
    """Note on an incident, attach something, or close it."""
    if IF_MATCH in visit.request.headers:
        rows = await visit.ask(api.ListAudit(entity=incident_of(incident), last=1))
        matched(visit, standing_of(rows))
    return await visit.ask(
        api.ActOnIncident(
            incident=incident_of(incident),
            action=body.action,
            person=visit.who.person,
            text=body.text,
        )
    )


ROUTES = (list_incidents, get_incident, open_incident, step_incident)
