"""Alarms, notifications, and how often alarms come."""

from __future__ import annotations

import msgspec

from pilotage.api.question import Question, Receipt

__all__ = [
    "AcknowledgeNotice",
    "ActOnAlarm",
    "Alarm",
    "AlarmRate",
    "AlarmRates",
    "GetAlarmRates",
    "ListAlarms",
]


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm in one of the states of ISA-18.2.

    `since` is when it was raised, `changed` since when it is in its state; `person` has acknowledged it, `taken_by` sees to it,
    `suspended_by` shelved it or took it out of service until `until`, for `reason`. `title` is the name of its declaration, `titles` its
    title per language; without an `owner` it belongs to the trade of its equipment. It is about `entity`, of a kind, called `name`, in a zone, at `place` (latitude, longitude). `cause` is the id
    of an alarm that stands at what the entity belongs to. `standing` is a word that differs when people have done something about
    it: give it back as `seen` of an order. What the engine says of its own accord has a `code` (`pilotage.model.sentences`) and
    its `values`, for those who say it in another language; `restarted` when it is about what a restart interrupted.
    """

    id: str
    title: str = ""
    severity: str = ""
    state: str = ""
    since: float | None = None
    until: float | None = None
    person: str = ""
    text: str = ""
    titles: dict[str, str] = {}
    owner: str = ""
    changed: float | None = None
    taken_by: str = ""
    taken_at: float | None = None
    suspended_by: str = ""
    reason: str = ""
    entity: str = ""
    kind: str = ""
    name: str = ""
    zone: str = ""
    place: tuple[float, float] | None = None
    cause: str = ""
    latched: bool = False
    standing: str = ""
    code: str = ""
    values: dict[str, str] = {}
    restarted: bool = False


class ListAlarms(Question[list[Alarm]], tag="alarms", frozen=True, kw_only=True):
    """The alarms that are not in their normal state, or all."""

    all: bool = False


class AlarmRate(msgspec.Struct, frozen=True, kw_only=True):
    """How often an alarm came in the last 10 minutes, hour and day; `owner` is who it belongs to, empty for the engine's own.

    `title` is its name, `titles` its title per language.
    """

    title: str
    titles: dict[str, str] = {}
    owner: str = ""
    last_10_min: int = 0
    last_hour: int = 0
    last_day: int = 0


class AlarmRates(msgspec.Struct, frozen=True, kw_only=True):
    """How often alarms came, the most frequent of the day first; counted from `since` on, seconds since 1970."""

    since: float
    at: float
    rates: list[AlarmRate] = []


class GetAlarmRates(Question[AlarmRates], tag="alarm_rates", frozen=True, kw_only=True):
    """How often do alarms come?"""


class ActOnAlarm(Question[Receipt], tag="alarm", frozen=True, kw_only=True):
    """Acknowledge, take, give_back, comment, reset, shelve, unshelve, out_of_service or return_to_service.

    What suspends takes `for_s` and a reason; the reason of a comment is its text. With `seen` the order is refused (`stale`) when
    people have done something about the alarm since.
    """

    alarm: str
    action: str
    person: str
    for_s: float | None = None
    reason: str = ""
    role: str = ""
    seen: str = ""


class AcknowledgeNotice(Question[Receipt], tag="acknowledge_notice", frozen=True, kw_only=True):
    """Say that a notification was seen."""

    notice: str
    person: str


Questions = ListAlarms | GetAlarmRates | ActOnAlarm | AcknowledgeNotice
