"""Rows of the audit as people read them: who did what, to what, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from pilotage import api
from pilotage_web.numbers import is_incident, number_of
from pilotage_web.texts import mark

ACTION_WORDS: Final = {
    "note": mark("note"),
    "correction": mark("correction"),
    "handover": mark("handover"),
    "report": mark("call"),
    "level": mark("level"),
    "ordered": mark("ordered"),
    "undo": mark("taken back"),
    "refused": mark("refused"),
    "set": mark("set"),
    "released": mark("released"),
    "ended": mark("ended"),
    "acknowledge": mark("acknowledged"),
    "take": mark("taken in charge"),
    "give_back": mark("given back"),
    "comment": mark("comment"),
    "shelve": mark("shelved"),
    "unshelve": mark("unshelved"),
    "reset": mark("reset"),
    "open": mark("opened"),
    "attach": mark("attached"),
    "detach": mark("detached"),
    "close": mark("closed"),
    "confirm": mark("confirmed"),
    "second": mark("second person"),
    "sent": mark("sent"),
    "done": mark("done"),
    "failed": mark("failed"),
    "superseded": mark("superseded"),
    "enable": mark("put live"),
    "shadow": mark("put into shadow"),
    "disable": mark("put off"),
    "restore": mark("given back to its file"),
    "break": mark("glass broken"),
    "mend": mark("glass mended"),
    "login": mark("signed in"),
    "logout": mark("signed out"),
}
GLASS: Final = "[!"
"""In a reason: somebody acted for another post (`pages.plans`)."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line as people read it.

    Attributes:
        who: The person, or the rule, or nothing for the engine itself.
        kind: Its kind and what happened, as the audit calls them.
        about: What it is about.
        link: A page of that, or nothing.
        text: What was said, or what it was set to.
        is_urgent: It must be seen: somebody acted for another post.
    """

    number: int
    time: float
    who: str
    post: str
    kind: str
    action: str
    about: str
    link: str
    text: str
    is_urgent: bool = False


def line_of(row: api.AuditRow) -> Line:
    """Return a row of the audit as a line."""
    people = row.people
    reason = people.get("reason", "")
    parts = [reason, _value(row), str(row.detail.get("why", ""))]
    about = (
        number_of(row.subject) if is_incident(row.subject) else row.subject.removeprefix("plan:")
    )
    return Line(
        row.number,
        row.time,
        people.get("person", "")
        or ("…" if "person" in row.erased else row.rule.removeprefix("plan:")),
        people.get("post", "") or str(row.detail.get("post", "")),
        row.kind,
        row.action,
        about,
        _link(row.kind, row.subject),
        " · ".join(part for part in parts if part),
        GLASS in reason,
    )


def _value(row: api.AuditRow) -> str:
    if row.value is None:
        return ""
    return row.value if isinstance(row.value, str) else msgspec.json.encode(row.value).decode()


def _link(kind: str, subject: str) -> str:
    """Return the page of what a line is about."""
    word, _, rest = subject.partition(" ")
    if subject.startswith("plan:"):
        return f"/plans/{subject.removeprefix('plan:')}"
    if is_incident(subject):
        return f"/incidents/{number_of(subject)}"
    if word == "row" and rest.isdecimal():
        return f"/journal?before={int(rest) + 1}#n{rest}"
    if word == "report":
        return f"/reports/{rest}"
    if kind == "alarm":
        return f"/alarms/{subject}"
    if kind in ("override", "command") and "." in subject:
        return f"/equipment/{subject.partition('.')[0]}"
    return ""
