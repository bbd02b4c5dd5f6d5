"""Alarms: what stands, how often they come, and what people do about them."""

from __future__ import annotations

from itertools import zip_longest
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException

from pilotage import api
from pilotage_web import trades
from pilotage_web.request import Visit
from pilotage_web.rights import Right
from pilotage_web.sight import IF_MATCH, matched
from pilotage_web.typed import Page, get, post

Id = Annotated[str, Meta(min_length=1, max_length=300)]
Seen = Annotated[str, Meta(max_length=200)]
Act = Literal[
    "acknowledge",
    "take",
    "give_back",
    "comment",
    "reset",
    "shelve",
    "unshelve",
    "out_of_service",
    "return_to_service",
]


class AlarmFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alarms; `all` takes those in their normal state in, `owner` is a trade."""

    all: bool = False
    owner: Annotated[str, Meta(max_length=100)] = ""
    state: Annotated[str, Meta(max_length=30)] = ""


class AlarmAct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do; shelving and taking out of service need `for_s` seconds and a reason, a comment its text as reason.

    `seen` is the `standing` of the alarm when it was looked at: when people have done something about it since, 409.
    """

    action: Act
    for_s: Annotated[float, Meta(gt=0, le=2_592_000)] | None = None
    reason: Annotated[str, Meta(max_length=500)] = ""
    seen: Seen = ""


class AlarmsAct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same for several alarms; `seen` holds the `standing` of each, in their order, or nothing."""

    alarms: Annotated[list[Id], Meta(min_length=1, max_length=500)]
    action: Act
    for_s: Annotated[float, Meta(gt=0, le=2_592_000)] | None = None
    reason: Annotated[str, Meta(max_length=500)] = ""
    seen: Annotated[list[Seen], Meta(max_length=500)] = []


class AlarmReceipt(msgspec.Struct, frozen=True):
    """What became of an order for one alarm."""

    alarm: str
    taken: bool
    text: str


@get("/alarms")
async def list_alarms(visit: Visit, query: AlarmFilter) -> Page[api.Alarm]:
    """The alarms that are not in their normal state, or all."""
    found = await visit.ask(api.ListAlarms(all=query.all))
    fitting = [
        alarm
        for alarm in found
        if query.owner in ("", alarm.owner) and query.state in ("", alarm.state)
    ]
    return Page(fitting)


@get("/alarms/{alarm}", standing=lambda alarm: alarm.standing)
async def get_alarm(visit: Visit, alarm: Id) -> api.Alarm:
    """One alarm, also in its normal state."""
    return await _alarm(visit, alarm)


@get("/alarm-rates")
async def alarm_rates(visit: Visit) -> api.AlarmRates:
    """How often alarms came within 10 minutes, an hour and a day."""
    return await visit.ask(api.GetAlarmRates())


@post("/alarms/{alarm}/acts", Right.ALARMS, conditional=True)
async def act_on_alarm(visit: Visit, alarm: Id, body: AlarmAct) -> api.Receipt:
    """Acknowledge an alarm, take it, shelve it, comment on it."""
    seen = body.seen
    if IF_MATCH in visit.request.headers:
        seen = matched(visit, (await _alarm(visit, alarm)).standing)
    if body.action != "comment" and (why := await trades.alarm_refusals(visit, [alarm])):
        return api.Receipt(False, why[alarm], 0)
    return await _act(visit, alarm, body, seen)


@post("/alarm-acts", Right.ALARMS)
async def act_on_alarms(visit: Visit, body: AlarmsAct) -> list[AlarmReceipt]:
    """Do one thing to several alarms; each has its own receipt."""
    found: list[AlarmReceipt] = []
    others = {} if body.action == "comment" else await trades.alarm_refusals(visit, body.alarms)
    for alarm, seen in dict(zip_longest(body.alarms, body.seen[: len(body.alarms)])).items():
        if alarm in others:
            found.append(AlarmReceipt(alarm, False, others[alarm]))
            continue
        try:
            receipt = await _act(visit, alarm, body, seen or "")
        except api.ApiError as error:
            if error.code != "stale":
                raise
            receipt = api.Receipt(False, error.text, 0)
        found.append(AlarmReceipt(alarm, receipt.taken, receipt.text))
    return found


async def _alarm(visit: Visit, id_: str) -> api.Alarm:
    found = next((a for a in await visit.ask(api.ListAlarms(all=True)) if a.id == id_), None)
    if found is None:
        raise HTTPException(404)
    return found


async def _act(visit: Visit, alarm: str, body: AlarmAct | AlarmsAct, seen: str) -> api.Receipt:
    return await visit.ask(
        api.ActOnAlarm(
            alarm=alarm,
            action=body.action,
            person=visit.who.person,
            for_s=body.for_s,
            reason=body.reason,
            role=visit.who.post,
            seen=seen,
        )
    )


ROUTES = (list_alarms, get_alarm, alarm_rates, act_on_alarm, act_on_alarms)
