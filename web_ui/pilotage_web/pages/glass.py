"""Break glass: act for every post for a while, because nobody else is there; who does so now, and what admins have looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pilotage import api
from pilotage_web import glass
from pilotage_web.refusals import why_not
from pilotage_web.request import Visit, action, page
from pilotage_web.rights import Right
from pilotage_web.texts import mark

HERE: Final = "/glass"
FOR_S: Final = {"900": mark("15 min"), "1800": mark("30 min"), "3600": mark("1 h")}
USUAL: Final = "1800"
LONGEST_REASON: Final = 500
ROWS: Final = 500
ENDS: Final = ("mend", "ended")


@dataclass(frozen=True, slots=True)
class Case:
    """One time that the glass was broken.

    Attributes:
        row: Number of its row in the audit.
        ended: When it was whole again; None while it lasts.
        reviewed_by: The admin who has looked at it, and what they wrote.
        journal: What the person did, in the journal.
    """

    row: int
    time: float
    person: str
    post: str
    reason: str
    ended: float | None
    reviewed_by: str
    review: str
    journal: str


def cases_of(rows: Sequence[api.AuditRow], reviews: Sequence[api.AuditRow]) -> list[Case]:
    """Return each time that the glass was broken, the newest first; both kinds of rows are oldest first."""
    seen = {row.detail.get("row"): row.people for row in reviews}
    found: list[Case] = []
    for index, row in enumerate(rows):
        if row.action != "break":
            continue
        person, review = row.people.get("person", "…"), seen.get(row.number, {})
        ended = next(
            (
                other.time
                for other in rows[index + 1 :]
                if other.action in ENDS and _whose(other) == person
            ),
            None,
        )
        found.append(
            Case(
                row.number,
                row.time,
                person,
                row.people.get("post", "") or row.subject,
                row.people.get("reason", ""),
                ended,
                review.get("person", ""),
                review.get("reason", ""),
                f"/journal?person={quote(person)}",
            )
        )
    return found[::-1]


def _whose(row: api.AuditRow) -> str:
    return row.people.get("about", "") or row.people.get("person", "")


# ── pages ────────────────────────────────────────────────────────────────────────────────────


@page("/glass", "glass.html")
async def shown(visit: Visit) -> dict[str, Any]:
    """Show who acts for every post now, the way to do so, and to admins what is to be looked at."""
    return await _view(visit)


@page("/glass/bar", "_glass_bar.html")
async def bar(visit: Visit) -> dict[str, Any]:
    """Show the line of every page again."""
    await glass.again(visit)
    return {}


async def _view(visit: Visit, **more: Any) -> dict[str, Any]:
    found = await glass.again(visit)
    own = next((b for b in found if b.person == visit.who.person), None)
    cases: list[Case] = []
    if visit.who.may(Right.PEOPLE):
        rows = await visit.ask(api.ListAudit(kind="glass", last=ROWS))
        reviews = await visit.ask(api.ListAudit(action="glass_reviewed", last=ROWS))
        cases = cases_of(rows, reviews)
    return {
        "own": own,
        "durations": FOR_S,
        "chosen": USUAL,
        "cases": cases,
        "ask": None,
        "wrong": "",
        **more,
    }


# ── orders ───────────────────────────────────────────────────────────────────────────────────


@action("/glass", Right.GLASS)
async def broken(visit: Visit) -> Response:
    """Break the glass; what was not held is asked once more."""
    reason, for_s = visit.field("reason")[:LONGEST_REASON], visit.field("for_s") or USUAL
    if for_s not in FOR_S:
        raise HTTPException(422, mark("There is no such choice."))
    ask = {"reason": reason, "for_s": for_s}
    if not reason:
        wrong = visit.say("Say why: it stands in the journal.")
        return visit.render("glass.html", 422, **await _view(visit, wrong=wrong))
    if not visit.field("confirmed"):
        return visit.render("glass.html", **await _view(visit, ask=ask))
    who = visit.who
    order = api.BreakGlass(person=who.person, reason=reason, post=who.post, for_s=float(for_s))
    receipt = await visit.ask(order)
    await glass.again(visit)
    if not receipt.taken:
        return visit.back(HERE, why_not(visit.words, receipt.text), "refused")
    return visit.back(HERE, visit.say("You act for every post now. Everybody sees it."), "warning")


@action("/glass/mend", Right.GLASS)
async def mended(visit: Visit) -> Response:
    """End it before its time."""
    receipt = await visit.ask(api.MendGlass(person=visit.who.person, post=visit.who.post))
    await glass.again(visit)
    if not receipt.taken:
        return visit.back(HERE, why_not(visit.words, receipt.text), "refused")
    return visit.back(HERE, visit.say("You act for your own post again."))


@action("/glass/review", Right.PEOPLE)
async def reviewed(visit: Visit) -> Response:
    """Note that an admin has looked at a case."""
    row = visit.field("row")
    rows = await visit.ask(api.ListAudit(kind="glass", last=ROWS))
    reviews = await visit.ask(api.ListAudit(action="glass_reviewed", last=ROWS))
    case = next((c for c in cases_of(rows, reviews) if str(c.row) == row), None)
    if case is None:
        raise HTTPException(404)
    if case.reviewed_by:
        said = visit.say("%(person)s has looked at it already.", person=case.reviewed_by)
        return visit.back(HERE, said, "refused")
    await visit.ask(
        api.RecordAudit(
            action="glass_reviewed",
            person=visit.who.person,
            about=case.person,
            reason=visit.field("note")[:LONGEST_REASON],
            detail={"row": case.row},
        )
    )
    return visit.back(HERE, visit.say("Noted: you have looked at it."))


ROUTES = (shown, bar, broken, mended, reviewed)
