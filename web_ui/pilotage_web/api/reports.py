"""Calls from the public."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException

from pilotage_web.intake import Report
from pilotage_web.pages.reports import intake_of, take_down
from pilotage_web.request import Visit
from pilotage_web.rights import Right
from pilotage_web.typed import Page, get, post

Number = Annotated[str, Meta(min_length=1, max_length=30)]


class ReportFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class NewReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call to take down.

    `where` is what the caller said, `place` the id of equipment or a street that is meant. An urgent one opens an incident. The
    telephone number is erased after 30 days.
    """

    where: Annotated[str, Meta(min_length=1, max_length=200)]
    what: Literal["lamp", "signal", "obstacle", "ice", "other"]
    place: Annotated[str, Meta(max_length=200)] = ""
    urgent: bool = False
    phone: Annotated[str, Meta(max_length=30, pattern="^(\\+?[0-9][0-9 .()/-]{3,28})?$")] = ""
    details: Annotated[str, Meta(max_length=2000)] = ""
    alarm: Annotated[str, Meta(max_length=300)] = ""


@get("/reports")
async def list_reports(visit: Visit, query: ReportFilter) -> Page[Report]:
    """The newest calls, without the callers' numbers."""
    return Page(await intake_of(visit).last(query.limit))


@get("/reports/{report}")
async def get_report(visit: Visit, report: Number) -> Report:
    """A call."""
    found = await intake_of(visit).find(report)
    if found is None:
        raise HTTPException(404)
    return found


@post("/reports", Right.REPORTS)
async def add_report(visit: Visit, body: NewReport) -> Report:
    """Take a call down."""
    return await take_down(
        visit,
        where=body.where,
        place=body.place,
        what=body.what,
        is_urgent=body.urgent,
        phone=body.phone,
        details=body.details,
        alarm=body.alarm,
    )


ROUTES = (list_reports, get_report, add_report)
