"""The journal of the room (main courante): who did what, when and why, and lines that people write.

Append only: a correction is a new line that points to the one that was wrong. The relief of a shift is read and signed here.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pilotage import api
from pilotage_web.lines import ACTION_WORDS, Line, line_of
from pilotage_web.numbers import incident_of, is_incident
from pilotage_web.pages.alarms import STATE_WORDS, SUSPENDED, WAITING, lines_of, priority
from pilotage_web.request import Visit, action, page
from pilotage_web.rights import Right
from pilotage_web.texts import mark

PAGE: Final = 50
MOST_EXPORTED: Final = 10_000
LONGEST: Final = 2_000
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "people": ("log", "plan", "override", "alarm", "incident", "notice", "order"),
    "log": ("log",),
    "plan": ("plan",),
    "override": ("override",),
    "alarm": ("alarm",),
    "incident": ("incident",),
    "command": ("command",),
    "access": ("access", "rules", "engine", "audit"),
}
KIND_WORDS: Final = {
    "people": mark("what people did"),
    "log": mark("written lines"),
    "plan": mark("plans"),
    "override": mark("overrides"),
    "alarm": mark("alarms"),
    "incident": mark("incidents"),
    "command": mark("orders to equipment"),
    "access": mark("access, rules, engine"),
}
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")


# ── the journal ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Filters:
    """Which lines are wanted; what is empty does not choose."""

    kind: str = "people"
    person: str = ""
    post: str = ""
    about: str = ""
    before: int = 0

    @property
    def query(self) -> str:
        """The filters as a part of an address, without the place."""
        given = {"kind": self.kind, "person": self.person, "post": self.post, "about": self.about}
        return urlencode({name: text for name, text in given.items() if text})

    def question(self, last: int) -> api.ListAudit:
        """Return what to ask of the engine."""
        return api.ListAudit(
            kinds=list(KINDS[self.kind]) if not self.about else [],
            person=self.person,
            post=self.post,
            entity=self.about,
            before=self.before,
            last=last,
        )


def filters_of(visit: Visit) -> Filters:
    """Return the filters of an address."""
    kind, before = visit.query("kind", "people"), visit.query("before", "0")
    if kind not in KINDS or not (before.isdecimal() and len(before) < 16):
        raise HTTPException(404)
    about = incident_of(visit.query("about")[:200])
    return Filters(kind, visit.query("person")[:100], visit.query("post")[:40], about, int(before))


@page("/journal", "journal.html")
async def journal(visit: Visit) -> dict[str, Any]:
    """Show the journal, the newest line first."""
    return await _journal(visit)


@page("/journal/list", "_journal_list.html")
async def again(visit: Visit) -> dict[str, Any]:
    """Show its lines again."""
    return await _journal(visit)


async def _journal(visit: Visit) -> dict[str, Any]:
    filters = filters_of(visit)
    rows, incidents = await asyncio.gather(
        visit.ask(filters.question(PAGE)), visit.ask(api.ListIncidents())
    )
    return {
        "lines": [line_of(row) for row in reversed(rows)],
        "filters": filters,
        "older": rows[0].number if len(rows) == PAGE else 0,
        "kinds": KIND_WORDS,
        "actions": ACTION_WORDS,
        "incidents": incidents,
        "longest": LONGEST,
    }


@action("/journal", Right.JOURNAL)
async def write(visit: Visit) -> Response:
    """Write a line, or a correction of one."""
    text = visit.field("text")[:LONGEST]
    if not text:
        return visit.back("/journal", visit.say("Write something first."), "refused")
    corrects, about = visit.field("corrects"), incident_of(visit.field("about")[:200])
    is_correction = corrects.isdecimal() and len(corrects) < 16
    if about and not is_incident(about):
        raise HTTPException(422, mark("There is no such choice."))
    if is_correction and not await is_line(visit, int(corrects)):
        said = visit.say("There is no line %(number)s to correct.", number=int(corrects))
        return visit.back("/journal", said, "refused")
    await visit.ask(
        api.WriteNote(
            text=text,
            person=visit.who.person,
            post=visit.who.post,
            action="correction" if is_correction else "note",
            about=f"row {int(corrects)}" if is_correction else about,
        )
    )
    return visit.back(visit.field("back", "/journal"))


async def is_line(visit: Visit, number: int) -> bool:
    """Return whether the journal has a line of this number."""
    rows = await visit.ask(api.ListAudit(before=number + 1, last=1))
    return bool(rows) and rows[-1].number == number


@page("/journal/export", "")
async def export(visit: Visit) -> Response:
    """Hand the lines out as CSV or JSON, the oldest first; at most 10,000, the newest."""
    kind = visit.query("format", "csv")
    rows = await visit.ask(filters_of(visit).question(MOST_EXPORTED))
    lines = [line_of(row) for row in rows]
    if kind == "json":
        content, media = msgspec.json.encode(lines), "application/json"
    elif kind == "csv":
        content, media = as_csv(lines, visit.frame.site.zone), "text/csv; charset=utf-8"
    else:
        raise HTTPException(404)
    headers = {
        "Content-Disposition": f'attachment; filename="journal.{kind}"',
        "Cache-Control": "no-store",
    }
    return Response(content, headers=headers, media_type=media)


def as_csv(lines: Sequence[Line], zone: ZoneInfo) -> bytes:
    """Return lines as CSV that a spreadsheet takes as text: nothing in it is a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("number", "time", "who", "post", "kind", "action", "about", "text"))
    for line in lines:
        time = datetime.fromtimestamp(line.time, zone).isoformat(timespec="seconds")
        cells = (line.who, line.post, line.kind, line.action, line.about, line.text)
        writer.writerow((line.number, time, *(_harmless(cell) for cell in cells)))
    return ("\ufeff" + out.getvalue()).encode()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULAS) else cell


# ── relief ───────────────────────────────────────────────────────────────────────────────────


def relief(
    plans: Sequence[api.Plan],
    overrides: Sequence[api.OverrideShown],
    alarms: Sequence[api.Alarm],
    incidents: Sequence[api.Incident],
    details: Sequence[api.PlanDetail],
) -> dict[str, Any]:
    """Return what the next shift must know: what is on, until when, by whom, and what is open."""
    waiting = [alarm for alarm in alarms if alarm.state in WAITING]
    return {
        "plans": [plan for plan in plans if plan.level or plan.manual],
        "overrides": sorted(overrides, key=lambda o: o.until or 0.0),
        "waiting": sorted(waiting, key=lambda a: (priority(a), a.since or 0.0)),
        "lines": lines_of(waiting, 2),
        "taken": [alarm for alarm in alarms if alarm.taken_by],
        "suspended": [alarm for alarm in alarms if alarm.state in SUSPENDED],
        "incidents": [incident for incident in incidents if not incident.closed],
        "steps": [
            (detail.plan, item)
            for detail in details
            for level in detail.levels
            for item in level.checklist
            if item.due is not None
        ],
        "states": STATE_WORDS,
    }


async def relief_of(visit: Visit) -> dict[str, Any]:
    """Ask for what the next shift must know."""
    plans, overrides, alarms, incidents = await asyncio.gather(
        visit.ask(api.ListPlans()),
        visit.ask(api.ListOverrides()),
        visit.ask(api.ListAlarms()),
        visit.ask(api.ListIncidents()),
    )
    on = [visit.ask(api.GetPlan(plan=plan.name)) for plan in plans if plan.level]
    return relief(plans, overrides, alarms, incidents, await asyncio.gather(*on))


@page("/journal/handover", "handover.html")
async def handover(visit: Visit) -> dict[str, Any]:
    """Show what the next shift must know, and who signed last."""
    return await _handover(visit)


async def _handover(visit: Visit, **more: Any) -> dict[str, Any]:
    signed = await visit.ask(api.ListAudit(kinds=["log"], action="handover", last=3))
    found = await relief_of(visit)
    view = {"seen": seen_of(found), "remark": "", "has_changed": False, **more}
    return {**found, **view, "signed": [line_of(row) for row in reversed(signed)]}


def seen_of(found: Mapping[str, Any]) -> str:
    """Return a word that differs when a plan, an override, an incident or a step is another; alarms come and go too quickly."""
    parts = (
        [(plan.name, plan.standing) for plan in found["plans"]],
        [(hold.point, hold.person, hold.until) for hold in found["overrides"]],
        sorted(incident.id for incident in found["incidents"]),
        [(plan.name, item.question) for plan, item in found["steps"]],
    )
    return hashlib.blake2b(repr(parts).encode(), digest_size=6).hexdigest()


@action("/journal/handover", Right.JOURNAL)
async def sign(visit: Visit) -> Response:
    """Sign that somebody took over, with what stood then."""
    found = await relief_of(visit)
    if visit.field("seen") not in ("", seen_of(found)):
        remark = visit.field("remark")[:LONGEST]
        view = await _handover(visit, remark=remark, has_changed=True)
        return visit.render("handover.html", 409, **view)
    counted = visit.say(
        "%(plans)s plans, %(overrides)s overrides, %(waiting)s alarms to acknowledge, %(suspended)s shelved, %(incidents)s incidents",
        **{
            name: len(found[name])
            for name in ("plans", "overrides", "waiting", "suspended", "incidents")
        },
    )
    remark = visit.field("remark")[:LONGEST]
    text = f"{counted} – {remark}" if remark else counted
    await visit.ask(
        api.WriteNote(text=text, person=visit.who.person, post=visit.who.post, action="handover")
    )
    return visit.back("/journal/handover", visit.say("Signed."))


ROUTES = (journal, again, write, export, handover, sign)
