"""Who had what done, when and why."""

from __future__ import annotations

from typing import Any

import msgspec

from pilotage.api.question import Question

__all__ = [
    "AuditRow",
    "EraseFromAudit",
    "Erased",
    "ListAudit",
    "RecordAudit",
    "Recorded",
    "WriteNote",
]


class Recorded(msgspec.Struct, frozen=True):
    """The audit has it, on disk, in a row of this number."""

    row: int


class Erased(msgspec.Struct, frozen=True):
    """So many rows of the audit named the person, and do so no more."""

    rows: int


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """Who had what done, when and why; `people` is what is told of people, `erased` what was."""

    partition: str
    number: int
    time: float
    kind: str
    action: str
    subject: str = ""
    rule: str = ""
    identity: str = ""
    decision: int = 0
    origin: str = ""
    value: Any = None
    detail: dict[str, Any] = {}
    people: dict[str, str] = {}
    erased: list[str] = []


class ListAudit(Question[list[AuditRow]], tag="audit", frozen=True, kw_only=True):
    """The newest rows of the audit that fit, oldest first; `entity` takes its points in, times are seconds since 1970.

    `kinds` are several kinds at once, `post` the post at which somebody acted. `before` and `after` are numbers of rows that were seen:
    only rows before, or after, are wanted; with `after` and without `before` the oldest that fit come.
    """

    person: str = ""
    entity: str = ""
    rule: str = ""
    kind: str = ""
    since: float | None = None
    until: float | None = None
    last: int = 100
    kinds: list[str] = msgspec.field(default_factory=list)
    action: str = ""
    post: str = ""
    before: int = 0
    after: int = 0


class RecordAudit(Question[Recorded], tag="record_audit", frozen=True, kw_only=True):
    """Somebody came in, went, or was let in: a row of the audit, answered once it is on disk.

    Only the engine's own user may. `action` is one of `pilotage.runtime.audit.desk.ACCESS`; `about` is another person, and
    `detail` names nobody.
    """

    action: str
    person: str
    about: str = ""
    reason: str = ""
    detail: dict[str, str | int | float | bool] = msgspec.field(default_factory=dict)


class WriteNote(Question[Recorded], tag="write_note", frozen=True, kw_only=True):
    """Write a line into the log of the room, answered once it is on disk.

    `action` is note, correction, handover or report. `about` is what the line is about: an alarm, an incident, a point; of a correction it is
    `row NUMBER`, the line that was wrong and stays.
    """

    text: str
    person: str
    post: str = ""
    action: str = "note"
    about: str = ""


class EraseFromAudit(Question[Erased], tag="erase_from_audit", frozen=True, kw_only=True):
    """Erase what the audit tells of a person; the chain of rows stays whole. Only the engine's own user may."""

    erase: str
    person: str
    reason: str


Questions = ListAudit | RecordAudit | WriteNote | EraseFromAudit
