"""Call intake: a form by keyboard, the address first; what is known already nearby is proposed."""

from __future__ import annotations

import asyncio
import re
import time
import unicodedata
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pilotage import api
from pilotage_web.intake import Intake, Report, metres
from pilotage_web.numbers import incident_of
from pilotage_web.pages.alarms import priority
from pilotage_web.refusals import why_not
from pilotage_web.request import Visit, action, page
from pilotage_web.rights import Right
from pilotage_web.sight import stale
from pilotage_web.texts import mark

WHAT: Final = {
    "lamp": mark("lamp out"),
    "signal": mark("traffic light broken"),
    "obstacle": mark("obstacle"),
    "ice": mark("snow or ice"),
    "other": mark("something else"),
}
NEAR_M: Final = 300.0
MOST_PLACES: Final = 8
MOST_KNOWN: Final = 5
PLACES_S: Final = 600.0
"""The list of places is read again after so long."""
LONGEST: Final = 2_000
KEPT: Final = "intake"
PLACES: Final = "intake-places"
_PHONE: Final = re.compile(r"\+?[0-9][0-9 .()/-]{3,28}")


# ── finding ──────────────────────────────────────────────────────────────────────────────────


def folded(text: str) -> str:
    """Return a text without accents and case, as people on the phone spell it."""
    plain = unicodedata.normalize("NFKD", text)
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold()


def matching(places: Iterable[api.Place], text: str, most: int = MOST_PLACES) -> list[api.Place]:
    """Return the places whose name and zone have a word that begins with each word of a text; one per name and zone."""
    wanted = re.findall(r"\w+", folded(text))
    if not wanted:
        return []
    found: dict[tuple[str, str], api.Place] = {}
    for place in places:
        words = re.findall(r"\w+", folded(f"{place.name} {place.zone}"))
        if all(any(word.startswith(start) for word in words) for start in wanted):
            found.setdefault((place.name, place.zone), place)
            if len(found) == most:
                break
    return list(found.values())


def known_near(
    alarms: Iterable[api.Alarm], where: tuple[float, float] | None, within_m: float = NEAR_M
) -> list[tuple[api.Alarm, float]]:
    """Return the alarms that stand near a place and how far each is, the most urgent first."""
    if where is None:
        return []
    near = [
        (alarm, metres(where, alarm.place))
        for alarm in alarms
        if alarm.place is not None and alarm.state != "normal"
    ]
    fitting = [(alarm, far) for alarm, far in near if far <= within_m]
    return sorted(fitting, key=lambda pair: (priority(pair[0]), pair[1]))[:MOST_KNOWN]


async def _places(visit: Visit) -> list[api.Place]:
    """Return the city's own list of names, read once in ten minutes."""
    kept = visit.frame.more.get(PLACES)
    if kept is None or time.monotonic() - kept[0] > PLACES_S:
        found: list[api.Place] = []
        after = -1
        while True:
            part = await visit.ask(api.ListPlaces(after=after))
            found.extend(p for p in part.places if p.name and p.latitude is not None)
            after = part.next
            if after < 0:
                break
        kept = visit.frame.more[PLACES] = (time.monotonic(), found)
    places: list[api.Place] = kept[1]
    return places


def intake_of(visit: Visit) -> Intake:
    """Return the calls of this site."""
    site = visit.frame.site
    kept = visit.frame.more.get(KEPT)
    if kept is None:
        kept = visit.frame.more[KEPT] = Intake(site.storage / "reports.db", site.zone)
    intake: Intake = kept
    return intake


# ── pages ────────────────────────────────────────────────────────────────────────────────────


@page("/reports/new", "report_new.html")
async def new(visit: Visit) -> dict[str, Any]:
    """Show the form; with `where` what is known there."""
    return {**await _near(visit, visit.query("where")[:200], visit.query("place")), **_form()}


@page("/reports/near", "_report_near.html")
async def near(visit: Visit) -> dict[str, Any]:
    """Show which places are meant, and what is known there already."""
    return await _near(visit, visit.query("where")[:200], visit.query("place"))


def _form(**written: str) -> dict[str, Any]:
    blank = dict.fromkeys(("what", "phone", "details", "urgent"), "")
    return {"what": WHAT, "written": {**blank, **written}, "wrong": {}}


async def _near(visit: Visit, where: str, place: str) -> dict[str, Any]:
    places, alarms = await asyncio.gather(_places(visit), visit.ask(api.ListAlarms()))
    found = matching(places, where)
    chosen = next((p for p in found if p.id == place), found[0] if found else None)
    known = known_near(alarms, _spot(chosen))
    calls = await intake_of(visit).calls_of([alarm.id for alarm, _ in known])
    return {
        "where": where,
        "places": found,
        "chosen": chosen.id if chosen is not None else "",
        "known": [(alarm, far, calls.get(alarm.id, 0)) for alarm, far in known],
    }


def _spot(place: api.Place | None) -> tuple[float, float] | None:
    if place is None or place.latitude is None or place.longitude is None:
        return None
    return place.latitude, place.longitude


@page("/reports", "reports.html")
async def reports(visit: Visit) -> dict[str, Any]:
    """Show the last calls."""
    return {"reports": await intake_of(visit).last(100), "what": WHAT}


@page("/reports/{report}", "report.html")
async def report(visit: Visit) -> dict[str, Any]:
    """Show a call; the number of who called only to those who take calls."""
    found = await intake_of(visit).find(visit.path("report"))
    if found is None:
        raise HTTPException(404)
    phone = await intake_of(visit).phone(found.id) if visit.who.may(Right.REPORTS) else None
    incidents = [] if found.incident else await visit.ask(api.ListIncidents())
    return {"report": found, "what": WHAT, "phone": phone, "incidents": incidents}


# ── taking a call down ───────────────────────────────────────────────────────────────────────


def mistakes(where: str, what: str, phone: str) -> dict[str, str]:
    """Return what is wrong with a form, by field."""
    found: dict[str, str] = {}
    if not where:
        found["where"] = mark("Where is it? A street, a square, a number on a lamp post.")
    if what not in WHAT:
        found["what"] = mark("What is it? Choose one.")
    if phone and not _PHONE.fullmatch(phone):
        found["phone"] = mark("A telephone number has digits, like 03 80 12 34 56.")
    return found


@action("/reports", Right.REPORTS)
async def take(visit: Visit) -> Response:
    """Take a call down; attach it to what is known, or open an incident when somebody is in danger."""
    where, what, phone = visit.field("where")[:200], visit.field("what"), visit.field("phone")[:40]
    wrong = mistakes(where, what, phone)
    if wrong:
        shown = await _near(visit, where, visit.field("place"))
        written = {name: visit.field(name) for name in ("what", "phone", "details", "urgent")}
        said = {name: visit.say(text) for name, text in wrong.items()}
        more = {**_form(**written), "wrong": said}
        return visit.render("report_new.html", 422, **shown, **more)
    found = await take_down(
        visit,
        where=where,
        place=visit.field("place"),
        what=what,
        is_urgent=visit.field("urgent") == "yes",
        phone=phone,
        details=visit.field("details")[:LONGEST],
        alarm=visit.field("alarm")[:300],
    )
    noted = visit.say("Call %(number)s is written down.", number=found.id)
    return visit.back("/reports/new", noted)


async def take_down(
    visit: Visit,
    *,
    where: str,
    place: str,
    what: str,
    is_urgent: bool,
    phone: str,
    details: str,
    alarm: str,
) -> Report:
    """Write a call down, in the file and in the journal of the room, and return it with its number."""
    chosen = next((p for p in await _places(visit) if place and p.id == place), None)
    spot = _spot(chosen)
    found = await intake_of(visit).add(
        phone,
        person=visit.who.person,
        post=visit.who.post,
        what=what,
        urgent=is_urgent,
        place=chosen.id if chosen is not None else "",
        spot=chosen.name if chosen is not None else where,
        zone=chosen.zone if chosen is not None else "",
        latitude=spot[0] if spot else None,
        longitude=spot[1] if spot else None,
        details=details,
        alarm=alarm,
        incident="",
    )
    await _told(visit, found)
    return await intake_of(visit).find(found.id) or found


async def _told(visit: Visit, found: Report) -> None:
    """Write a call into the journal of the room, and open an incident when it is urgent."""
    what = visit.say(WHAT[found.what])
    text = f"{what} – {found.spot}{f', {found.zone}' if found.zone else ''}"
    if found.alarm:
        text += f" → {found.alarm}"
    who = visit.who
    await visit.ask(
        api.WriteNote(
            text=text, person=who.person, post=who.post, action="report", about=f"report {found.id}"
        )
    )
    if not found.urgent:
        return
    opened = await visit.ask(
        api.ActOnIncident(
            incident="",
            action="open",
            person=who.person,
            text=text,
            severity="critical",
            type="security",
        )
    )
    if opened.taken:
        number = opened.text.split()[-1]
        await intake_of(visit).attach(found.id, number)
        await visit.ask(
            api.ActOnIncident(
                incident=number, action="attach", person=who.person, text=f"report {found.id}"
            )
        )


@action("/reports/{report}", Right.REPORTS)
async def attach(visit: Visit) -> Response:
    """Attach a call to an incident."""
    found = await intake_of(visit).find(visit.path("report"))
    if found is None:
        raise HTTPException(404)
    incident = incident_of(visit.field("incident")[:60])
    if found.incident and found.incident != incident:
        called = visit.say("Call %(number)s", number=found.id)
        raise stale(visit, f"/reports/{quote(found.id)}", called)
    receipt = await visit.ask(
        api.ActOnIncident(
            incident=incident,
            action="attach",
            person=visit.who.person,
            text=f"report {found.id}",
        )
    )
    back = f"/reports/{quote(found.id)}"
    if not receipt.taken:
        return visit.back(back, why_not(visit.words, receipt.text), "refused")
    await intake_of(visit).attach(found.id, incident)
    return visit.back(back, visit.say("Attached."))


ROUTES = (new, near, reports, take, report, attach)
