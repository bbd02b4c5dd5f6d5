"""Alarms, notifications and incidents."""

from __future__ import annotations

import msgspec

from pilotage.api.question import Question, Receipt

__all__ = [
    "AcknowledgeNotice",
    "ActOnAlarm",
    "ActOnIncident",
    "Alarm",
    "ListAlarms",
]


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm in one of the states of ISA-18.2."""

    id: str
    title: str = ""
    severity: str = ""
    state: str = ""
    since: float | None = None
    until: float | None = None
    person: str = ""
    text: str = ""


class ListAlarms(Question[list[Alarm]], tag="alarms", frozen=True, kw_only=True):
    """The alarms that are not in their normal state, or all."""

    all: bool = False


class ActOnAlarm(Question[Receipt], tag="alarm", frozen=True, kw_only=True):
    """Acknowledge, reset, shelve, unshelve, out_of_service or return_to_service; suspending takes `for_s`."""

    alarm: str
    action: str
    person: str
    for_s: float | None = None
    reason: str = ""
    role: str = ""


class AcknowledgeNotice(Question[Receipt], tag="acknowledge_notice", frozen=True, kw_only=True):
    """Say that a notification was seen."""

    notice: str
    person: str


class ActOnIncident(Question[Receipt], tag="incident", frozen=True, kw_only=True):
    """Close an incident, or write a note on it."""

    incident: str
    action: str
    person: str
    text: str = ""


Questions = ListAlarms | ActOnAlarm | AcknowledgeNotice | ActOnIncident
