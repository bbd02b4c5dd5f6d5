"""How all equipment looks now: one word each, as the map shows it."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.exceptions import HTTPException

from pilotage.model.looks import Look
from pilotage_web.request import Visit
from pilotage_web.typed import Page, get

Word = Literal["idle", "active", "held", "unlike", "fault", "silent", "alarm"]


class StateQuery(Struct, forbid_unknown_fields=True):
    """Which equipment: of a kind, with a look, after a number."""

    kind: Annotated[str, Meta(max_length=100)] = ""
    look: Word | Literal[""] = ""
    after: Annotated[str, Meta(pattern="^[0-9]{0,9}$")] = ""
    limit: Annotated[int, Meta(ge=1, le=5_000)] = 1_000


class State(Struct, frozen=True):
    """A piece of equipment, and how it looks now."""

    id: str
    kind: str
    name: str
    zone: str
    look: Word


@get("/states")
async def states(visit: Visit, query: StateQuery) -> Page[State]:
    """How equipment looks now, in order of id; the same as the map shows."""
    hub = visit.frame.hub
    places = await hub.placed()
    if places is None:
        raise HTTPException(503)
    looks = [Look(digit - 48).word for digit in hub.looks]
    first = int(query.after) + 1 if query.after else 0
    fitting = (
        place
        for place in itertools.islice(places.all, first, None)
        if query.kind in ("", place.kind) and query.look in ("", looks[place.place])
    )
    found = list(itertools.islice(fitting, query.limit + 1))
    page = found[: query.limit]
    items = [
        State(p.id, p.kind, p.name or p.id, p.zone, looks[p.place])  # type: ignore[arg-type]
        for p in page
    ]
    return Page(items, str(page[-1].place) if len(found) > query.limit else "")


ROUTES = (states,)
