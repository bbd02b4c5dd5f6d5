"""The journal of the room: read it from where you were, write a line."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pilotage import api
from pilotage_web.lines import Line, line_of
from pilotage_web.numbers import PATTERN, incident_of
from pilotage_web.pages.journal import Filters, is_line
from pilotage_web.problem import Problem
from pilotage_web.request import Visit
from pilotage_web.rights import Right
from pilotage_web.texts import mark
from pilotage_web.typed import Page, get, post

Number = Annotated[int, Meta(ge=0, le=2**53)]
Kind = Literal["people", "log", "plan", "override", "alarm", "incident", "command", "access"]


class JournalFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines: with `after` (0 for the beginning) the oldest after a number, else the newest (before `before`)."""

    kind: Kind = "people"
    person: Annotated[str, Meta(max_length=100)] = ""
    post: Annotated[str, Meta(max_length=40)] = ""
    about: Annotated[str, Meta(max_length=200)] = ""
    after: Number | None = None
    before: Number = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class NewLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line to write; `about` is an incident, `corrects` the number of a line that was wrong and stays."""

    text: Annotated[str, Meta(min_length=1, max_length=2000)]
    about: Annotated[str, Meta(max_length=60, pattern=f"^({PATTERN})?$")] = ""
    corrects: Number = 0


@get("/journal")
async def read_journal(visit: Visit, query: JournalFilter) -> Page[Line]:
    """Lines of the journal, oldest first."""
    filters = Filters(query.kind, query.person, query.post, query.about, query.before)
    question = filters.question(query.limit)
    if query.after is not None:  # the first row of an audit says that it begins, and is no line
        question = msgspec.structs.replace(question, after=max(1, query.after))
    rows = await visit.ask(question)
    has_more = query.after is not None and len(rows) == query.limit
    return Page([line_of(row) for row in rows], str(rows[-1].number) if has_more else "")


@post("/journal", Right.JOURNAL)
async def write_journal(visit: Visit, body: NewLine) -> api.Recorded:
    """Write a line; the answer comes when it is on disk."""
    if body.corrects and not await is_line(visit, body.corrects):
        text = visit.say("There is no line %(number)s to correct.", number=body.corrects)
        raise Problem(404, "no-line", mark("This cannot be done"), text)
    return await visit.ask(
        api.WriteNote(
            text=body.text,
            person=visit.who.person,
            post=visit.who.post,
            action="correction" if body.corrects else "note",
            about=f"row {body.corrects}" if body.corrects else incident_of(body.about),
        )
    )


ROUTES = (read_journal, write_journal)
