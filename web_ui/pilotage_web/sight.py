"""What somebody saw when they decided: an order on a sight that no longer holds is refused, and told what changed since.

Three things are asked. Is the engine heard, so that no order lies in its socket until it wakes? Did the browser's live view still
move? And does the thing itself still stand where it stood (`standing`)? Without scripts only the last can be asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.exceptions import HTTPException

from pilotage import api
from pilotage_web.city import EngineAway
from pilotage_web.lines import Line, line_of
from pilotage_web.problem import Problem
from pilotage_web.texts import mark

if TYPE_CHECKING:
    from pilotage_web.request import Visit

FROZEN_S: Final = 5.0
"""The view says `data frozen` from this age on, and orders are refused."""
FIELD: Final = "seen-live"
IF_MATCH: Final = "if-match"
LINES: Final = 3
ROWS: Final = 30
MOST_S: Final = 1e6


def check_engine(visit: Visit) -> None:
    """See that the engine was heard lately: an order would wait in the socket of one that hangs, and be carried out later.

    Raises:
        EngineAway: It was not; nothing was sent.
    """
    age = visit.frame.hub.engine_age_s
    if age is not None and age >= FROZEN_S:
        raise EngineAway(f"nothing was heard of it for {age:.0f} s", is_sent=False)


def check_view(visit: Visit) -> None:
    """See that the live view on which a form was sent still moved; one without scripts says nothing of it.

    Raises:
        HTTPException: 409: it stood still, or belongs to another run of the engine.
    """
    cursor, _, age = visit.field(FIELD).partition(" ")
    if not cursor:
        return
    missed_s = visit.frame.hub.missed_s(cursor)
    if missed_s is None or max(missed_s, _seconds(age)) >= FROZEN_S:
        raise HTTPException(409, "view")


def _seconds(written: str) -> float:
    """Return an age that a browser says; one that is no number is that of a view that stands still."""
    return int(written) / 1000.0 if written.isascii() and written.isdigit() else MOST_S


# ── where a thing stands ─────────────────────────────────────────────────────────────────────


def tag_of(standing: str) -> str:
    """Return the part of an ETag that says where a thing stands."""
    return hashlib.blake2b(standing.encode(), digest_size=6).hexdigest()


def matched(visit: Visit, standing: str) -> str:
    """Return what an order of a program was decided on: where the thing stands now, or nothing when the request does not say.

    Raises:
        Problem: 412: `If-Match` names another standing than the present one.
    """
    asked = visit.request.headers.get(IF_MATCH, "").strip()
    if not asked or asked == "*":
        return ""
    tags = [part.strip().strip('"') for part in asked.split(",")]
    if tag_of(standing) not in [tag.partition("-")[0] for tag in tags]:
        raise Problem(
            412,
            "changed",
            mark("It has changed since you looked"),
            visit.say("It stands elsewhere than the `If-Match` of this request says."),
            visit.say("Read it again, and decide on what it says now."),
        )
    return standing


async def changed(visit: Visit, entity: str, look: str, what: str = "") -> Problem:
    """Return the refusal of an order that was decided on another sight, with what people did last.

    Args:
        visit: The request.
        entity: What it is about, as the audit calls it.
        look: The page that shows it.
        what: Its name, for people; the entity's unless given.
    """
    return stale(visit, look, what or entity, await last_lines(visit, entity))


def stale(visit: Visit, look: str, what: str, lines: Sequence[Line] = ()) -> Problem:
    """Return the refusal of what was decided on another sight; `look` and `what` as in `changed`."""
    return Problem(
        409,
        "stale",
        mark("It has changed since you looked"),
        visit.say("%(what)s stands elsewhere by now. Nothing was done.", what=what),
        visit.say("Look at it as it is now, and decide again."),
        changes=[msgspec.to_builtins(line) for line in lines],
        look=look,
    )


async def last_lines(visit: Visit, entity: str) -> list[Line]:
    """Return what people did last about a thing, the newest first; nothing when the engine does not say."""
    try:
        rows = await visit.ask(api.ListAudit(entity=entity, last=ROWS))
    except api.ApiError:
        return []
    done = [row for row in reversed(rows) if row.people and row.action != "refused"]
    return [line_of(row) for row in done[:LINES]]


def shown(more: dict[str, Any]) -> list[Line]:
    """Return the lines that a refusal carries."""
    return [Line(**line) for line in more.get("changes", ())]
