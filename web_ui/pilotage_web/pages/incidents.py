"""Incidents: alarms, calls, notes and people under one number, from open to closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pilotage import api
from pilotage_web.alarm_words import alarm_title
from pilotage_web.lines import ACTION_WORDS, Line, line_of
from pilotage_web.numbers import incident_of, number_of
from pilotage_web.pages.alarms import PRIORITIES, STATE_WORDS
from pilotage_web.refusals import why_not
from pilotage_web.request import Visit, action, page
from pilotage_web.rights import Right
from pilotage_web.sight import changed, check_view
from pilotage_web.texts import mark

SEVERITIES: Final = {
    "critical": mark("critical"),
    "high": mark("high"),
    "medium": mark("medium"),
    "low": mark("low"),
}
LONGEST: Final = 500
MOST_ROWS: Final = 500
STEPS: Final = ("note", "attach", "detach", "close")
DECISIVE: Final = ("detach", "close")
"""Steps that are decided on what the incident holds; a note or an attachment adds to it."""


def attached(rows: Sequence[api.AuditRow]) -> dict[str, list[str]]:
    """Return what is attached to an incident by what it is (`alarm`, `report`, `plan`), from its rows, oldest first."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        word, _, which = row.people.get("reason", "").partition(" ")
        if row.action == "attach" and which:
            found.setdefault(word, {})[which] = None
        elif row.action == "detach":
            found.get(word, {}).pop(which, None)
    return {word: list(each) for word, each in found.items()}


def people_of(rows: Sequence[api.AuditRow]) -> list[str]:
    """Return who did something about it, in order."""
    return list(dict.fromkeys(p for row in rows if (p := row.people.get("person", ""))))


def standing_of(rows: Sequence[api.AuditRow]) -> str:
    """Return where an incident stands: the number of the last row about it."""
    return str(rows[-1].number) if rows else ""


def _course(visit: Visit, line: Line, alarms: Sequence[api.Alarm]) -> Line:
    """Return a line of the course; what was attached is called as people call it."""
    if line.action not in ("attach", "detach"):
        return line
    sort, _, which = line.text.partition(" ")
    if sort == "report":
        return replace(line, text=visit.say("Call %(number)s", number=which))
    alarm = next((a for a in alarms if sort == "alarm" and a.id == which), None)
    if alarm is None:
        return line
    return replace(line, text=f"{alarm_title(visit.words, alarm)} {alarm.name}".rstrip())


@page("/incidents", "incidents.html")
async def incidents(visit: Visit) -> dict[str, Any]:
    """Show the open incidents, or all."""
    is_all = visit.query("all") == "yes"
    found = await visit.ask(api.ListIncidents(all=is_all))
    return {
        "incidents": found,
        "is_all": is_all,
        "priorities": PRIORITIES,
        "severities": SEVERITIES,
    }


@page("/incidents/{incident}", "incident.html")
async def incident(visit: Visit) -> dict[str, Any]:
    """Show an incident with everything that belongs to it."""
    id_ = incident_of(visit.path("incident"))
    found, rows, alarms = await asyncio.gather(
        visit.ask(api.ListIncidents(all=True)),
        visit.ask(api.ListAudit(entity=id_, last=MOST_ROWS)),
        visit.ask(api.ListAlarms(all=True)),
    )
    shown = next((i for i in found if i.id == id_), None)
    if shown is None:
        raise HTTPException(404)
    parts = attached(rows)
    mine = set(parts.get("alarm", ()))
    return {
        "incident": shown,
        "priority": PRIORITIES.get(shown.severity, 4),
        "lines": [_course(visit, line_of(row), alarms) for row in rows],
        "alarms": [alarm for alarm in alarms if alarm.id in mine],
        "others": [a for a in alarms if a.id not in mine and a.state != "normal"][:100],
        "reports": parts.get("report", []),
        "plans": parts.get("plan", []),
        "people": people_of(rows),
        "standing": standing_of(rows),
        "states": STATE_WORDS,
        "actions": ACTION_WORDS,
    }


@action("/incidents", Right.REPORTS)
async def open_one(visit: Visit) -> Response:
    """Open an incident."""
    title, severity = visit.field("title")[:LONGEST], visit.field("severity", "medium")
    if severity not in SEVERITIES:
        raise HTTPException(422, mark("There is no such choice."))
    if not title:
        return visit.back("/incidents", visit.say("Give it a title."), "refused")
    receipt = await visit.ask(
        api.ActOnIncident(
            incident="",
            action="open",
            person=visit.who.person,
            text=title,
            severity=severity,
            type=visit.who.post,
        )
    )
    if not receipt.taken:
        return visit.back("/incidents", why_not(visit.words, receipt.text), "refused")
    await settled(visit, receipt)
    number = number_of(receipt.text.split()[-1])
    return visit.back(f"/incidents/{number}", visit.say("An incident was opened."))


@action("/incidents/{incident}", Right.REPORTS)
async def step(visit: Visit) -> Response:
    """Note, attach, detach or close."""
    id_, what = incident_of(visit.path("incident")), visit.field("do")
    if what not in STEPS:
        raise HTTPException(422, mark("There is no such choice."))
    check_view(visit)
    back = f"/incidents/{quote(number_of(id_), safe='')}"
    seen = visit.field("seen")
    if seen and what in DECISIVE:
        rows = await visit.ask(api.ListAudit(entity=id_, last=1))
        if standing_of(rows) != seen:
            raise await changed(visit, id_, back, number_of(id_))
    receipt = await visit.ask(
        api.ActOnIncident(
            incident=id_, action=what, person=visit.who.person, text=visit.field("text")[:LONGEST]
        )
    )
    await settled(visit, receipt)
    return visit.back(
        back, *(("", "done") if receipt.taken else (why_not(visit.words, receipt.text), "refused"))
    )


async def settled(visit: Visit, receipt: api.Receipt) -> None:
    """Wait until the audit has taken a decision up, half a second at most: the page that follows shows it."""
    for _ in range(10):
        rows = await visit.ask(api.ListAudit(last=1, kinds=["incident", "alarm", "plan"]))
        if rows and rows[-1].decision >= receipt.decision:
            return
        await asyncio.sleep(0.05)


ROUTES = (incidents, incident, open_one, step)
