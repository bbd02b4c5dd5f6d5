"""Alarms: what came, how urgent it is, who has it, by what it was caused, and how often alarms come.

States and words follow ANSI/ISA-18.2. Acknowledging is one plain click: it changes nothing in the city.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pilotage import api
from pilotage_web import trades
from pilotage_web.alarm_words import alarm_title
from pilotage_web.lines import ACTION_WORDS, line_of
from pilotage_web.numbers import number_of
from pilotage_web.refusals import why_not
from pilotage_web.request import Visit, action, page
from pilotage_web.rights import Right
from pilotage_web.saying import DOMAINS
from pilotage_web.sight import changed
from pilotage_web.texts import mark

PRIORITIES: Final = {"critical": 1, "high": 2, "medium": 3, "low": 4}
WAITING: Final = ("raised", "cleared", "latched")
"""States in which somebody has to look at it."""
SUSPENDED: Final = ("shelved", "out_of_service", "suppressed")
STATE_WORDS: Final = {
    "raised": mark("new"),
    "acknowledged": mark("acknowledged"),
    "cleared": mark("returned, not acknowledged"),
    "latched": mark("returned, to be reset"),
    "shelved": mark("shelved"),
    "suppressed": mark("suppressed by its cause"),
    "out_of_service": mark("out of service"),
    "normal": mark("normal"),
}
VIEWS: Final = {
    "waiting": mark("to acknowledge"),
    "standing": mark("acknowledged"),
    "suspended": mark("shelved"),
    "all": mark("all"),
}
FLOOD: Final = 10
"""More new alarms than this within 10 minutes are a flood (ISA-18.2, EEMUA 191)."""
STALE_S: Final = 86_400.0
STALE_TARGET: Final = 5
WORST_SHARE: Final = 0.05
GROUP_FROM: Final = 4
"""So many alarms of one name become one line."""
SHELVE_S: Final = {
    "900": mark("15 min"),
    "3600": mark("1 h"),
    "14400": mark("4 h"),
    "28800": mark("8 h"),
}
ACTIONS: Final = {
    "acknowledge": mark("Acknowledged."),
    "take": mark("You have it."),
    "give_back": mark("Given back."),
    "reset": mark("Reset."),
    "shelve": mark("Shelved."),
    "unshelve": mark("Back from the shelf."),
    "comment": mark("Written."),
    "out_of_service": mark("Out of service."),
    "return_to_service": mark("Back in service."),
}
MOST_AT_ONCE: Final = 500
LONGEST_REASON: Final = 500


# ── what is shown ────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Line:
    """A line of the list: an alarm, with those that it caused or that are called like it.

    Attributes:
        head: The alarm that stands for the line.
        members: All of them, the head first.
        is_cause: Whether the others are there because of the head.
    """

    head: api.Alarm
    members: list[api.Alarm] = field(default_factory=list)
    is_cause: bool = False

    @property
    def priority(self) -> int:
        """The most urgent of its members."""
        return min(priority(alarm) for alarm in self.members)

    @property
    def since(self) -> float:
        """When its first member came."""
        return min(alarm.since or 0.0 for alarm in self.members)

    @property
    def waiting(self) -> list[str]:
        """Ids of its members that wait to be acknowledged."""
        return [alarm.id for alarm in self.members if alarm.state in ("raised", "cleared")]

    @property
    def seen(self) -> str:
        """Its members as a form brings them: a line each, the id and where it stands."""
        return "\n".join(f"{alarm.id}\t{alarm.standing}" for alarm in self.members)


def priority(alarm: api.Alarm) -> int:
    """Return how urgent an alarm is, 1 to 4."""
    return PRIORITIES.get(alarm.severity, 4)


def lines_of(alarms: Sequence[api.Alarm], group_from: int = GROUP_FROM) -> list[Line]:
    """Return alarms as lines: under their cause where it is in the list, else under their name where there are many."""
    by_id = {alarm.id: alarm for alarm in alarms}
    lines: dict[str, Line] = {}
    rest: dict[str, list[api.Alarm]] = {}
    for alarm in alarms:
        root = _root(alarm, by_id)
        if root is alarm:
            rest.setdefault(alarm.title, []).append(alarm)
        else:
            lines.setdefault(root.id, Line(root, [root], is_cause=True)).members.append(alarm)
    for name, same in rest.items():
        alone = [alarm for alarm in same if alarm.id not in lines]
        if len(alone) >= group_from:
            head = min(alone, key=lambda a: (priority(a), a.since or 0.0))
            lines[f"={name}"] = Line(head, [head, *(a for a in alone if a is not head)])
        else:
            lines.update({alarm.id: Line(alarm, [alarm]) for alarm in alone})
    return sorted(lines.values(), key=lambda line: (line.priority, line.since, line.head.id))


def _root(alarm: api.Alarm, known: Mapping[str, api.Alarm]) -> api.Alarm:
    """Return the first cause that is in the list."""
    seen = {alarm.id}
    while (cause := known.get(alarm.cause)) is not None and cause.id not in seen:
        alarm = cause
        seen.add(alarm.id)
    return alarm


def view(
    alarms: Sequence[api.Alarm], rates: api.AlarmRates, wanted: str = "waiting", trade: str = ""
) -> dict[str, Any]:
    """Return what the page shows of alarms: a view (`VIEWS`) of those of a trade, or of all."""
    mine = [alarm for alarm in alarms if not trade or alarm.owner == trade]
    own_rates = [rate for rate in rates.rates if not trade or rate.owner == trade]
    new = sum(rate.last_10_min for rate in own_rates)
    is_flood = new > FLOOD
    shown = [alarm for alarm in mine if _is_in(alarm, wanted)]
    lines = lines_of(shown, 2 if is_flood else GROUP_FROM)
    day = sum(rate.last_day for rate in own_rates)
    return {
        "at": rates.at,
        "lines": lines,
        "wanted": wanted,
        "trade": trade,
        "trades": sorted({alarm.owner for alarm in alarms if alarm.owner}),
        "counts": {key: sum(_is_in(alarm, key) for alarm in mine) for key in VIEWS},
        "taken": sum(1 for alarm in mine if alarm.taken_by),
        "new": new,
        "is_flood": is_flood,
        "folded": is_flood,
        "stale": sum(
            1 for a in mine if _is_standing(a) and rates.at - (a.since or rates.at) > STALE_S
        ),
        "shares": _shares(alarms, own_rates),
        "worst": [(rate, rate.last_day / day) for rate in own_rates[:10] if day],
        "since": rates.since,
    }


def _is_in(alarm: api.Alarm, wanted: str) -> bool:
    if wanted == "waiting":
        return alarm.state in WAITING
    if wanted == "standing":
        return alarm.state == "acknowledged"
    if wanted == "suspended":
        return alarm.state in SUSPENDED
    return alarm.state != "normal"


def _is_standing(alarm: api.Alarm) -> bool:
    return alarm.state in ("raised", "acknowledged")


def _shares(alarms: Iterable[api.Alarm], rates: Iterable[api.AlarmRate]) -> list[tuple[int, float]]:
    """Return the share of each priority in what came within a day; a priority is known from the alarms that stand."""
    urgency = {alarm.title: priority(alarm) for alarm in alarms}
    counted = {1: 0, 2: 0, 3: 0, 4: 0}
    for rate in rates:
        if rate.title in urgency:
            counted[urgency[rate.title]] += rate.last_day
    whole = sum(counted.values())
    return [(number, count / whole) for number, count in counted.items()] if whole else []


# ── pages ────────────────────────────────────────────────────────────────────────────────────


@page("/alarms", "alarms.html")
async def alarms(visit: Visit) -> dict[str, Any]:
    """Show the alarms."""
    return await _list(visit)


@page("/alarms/list", "_alarm_list.html")
async def again(visit: Visit) -> dict[str, Any]:
    """Show the list again."""
    return await _list(visit)


async def _list(visit: Visit) -> dict[str, Any]:
    wanted = visit.query("state", "waiting")
    if wanted not in VIEWS:
        raise HTTPException(404)
    found, rates = await asyncio.gather(visit.ask(api.ListAlarms()), visit.ask(api.GetAlarmRates()))
    trade = visit.query("trade")[:100]
    query = urlencode({"state": wanted, **({"trade": trade} if trade else {})})
    return {
        **view(found, rates, wanted, trade),
        "states": STATE_WORDS,
        "trade_words": DOMAINS,
        "views": VIEWS,
        "shelve_for": SHELVE_S,
        "query": query,
        "target": FLOOD,
        "stale_target": STALE_TARGET,
    }


@page("/alarms/{alarm:path}", "alarm.html")
async def alarm(visit: Visit) -> dict[str, Any]:
    """Show one alarm with what people did about it."""
    id_ = visit.path("alarm")
    found = next((a for a in await visit.ask(api.ListAlarms(all=True)) if a.id == id_), None)
    if found is None:
        raise HTTPException(404)
    rows = await visit.ask(api.ListAudit(entity=id_, last=50))
    return {
        "alarm": found,
        "line": Line(found, [found]),
        "lines": [line_of(row) for row in reversed(rows)],
        "actions": ACTION_WORDS,
        "states": STATE_WORDS,
        "shelve_for": SHELVE_S,
    }


# ── orders ───────────────────────────────────────────────────────────────────────────────────


@action("/alarms", Right.ALARMS)
async def act(visit: Visit) -> Response:
    """Do one thing to the alarms that the form names: one, a line of them, or those that are ticked."""
    what, _, which = visit.field("do").partition(":")
    seen = _named(visit, which)
    ids = list(seen)
    back = visit.field("back", "/alarms")
    if what == "incident":
        return await _open_incident(visit, ids, back)
    if what not in ACTIONS:
        raise HTTPException(422, mark("There is no such choice."))
    if not ids:
        return visit.back(back, visit.say("Tick an alarm first."), "refused")
    done, refused, stale = await act_on(visit, what, seen)
    if not refused and not stale:
        return visit.back(back, visit.say(ACTIONS[what]))
    if stale and not done and not refused:
        raise await changed(visit, stale[0], back, ", ".join(stale[:3]))
    told = visit.say("It has changed since you looked")
    refused += [(id_, told) for id_ in stale]
    text = "; ".join(f"{id_}: {why}" for id_, why in refused[:3])
    if done:
        said = visit.say("%(done)s done, %(refused)s refused:", done=done, refused=len(refused))
        return visit.back(back, f"{said} {text}", "warning")
    return visit.back(back, text, "refused")


async def act_on(
    visit: Visit, what: str, seen: Mapping[str, str]
) -> tuple[int, list[tuple[str, str]], list[str]]:
    """Do something to alarms, each with where it stood when it was seen.

    Returns:
        How many took it, which did not and why, and which stand elsewhere by now.
    """
    seconds = visit.field("for_s")
    if seconds and seconds not in SHELVE_S:
        raise HTTPException(422, mark("There is no such choice."))
    others = {} if what == "comment" else await trades.alarm_refusals(visit, seen)
    refused: list[tuple[str, str]] = list(others.items())
    stale: list[str] = []
    for id_, standing in seen.items():
        if id_ in others:
            continue
        try:
            receipt = await visit.ask(
                api.ActOnAlarm(
                    alarm=id_,
                    action=what,
                    person=visit.who.person,
                    for_s=float(seconds) if seconds else None,
                    reason=visit.field("reason")[:LONGEST_REASON],
                    role=visit.who.post,
                    seen=standing,
                )
            )
        except api.ApiError as error:
            if error.code != "stale":
                raise
            stale.append(id_)
            continue
        if not receipt.taken:
            refused.append((id_, why_not(visit.words, receipt.text)))
    return len(seen) - len(refused) - len(stale), refused, stale


def _named(visit: Visit, which: str) -> dict[str, str]:
    """Return the alarms that a button means, with where each stood: its own, those of its line (`@`), or those that are ticked."""
    if which.startswith("@"):
        found = visit.field(f"line-{which[1:]}").splitlines()
    elif which:
        found = [which]
    else:
        found = [str(value) for value in visit.form.getlist("alarm")]
        found = [id_ for value in found for id_ in value.splitlines()]
    rows = [row.partition("\t") for row in found if row.strip()]
    return dict([(id_.strip(), standing.strip()) for id_, _, standing in rows][:MOST_AT_ONCE])


async def _open_incident(visit: Visit, ids: Sequence[str], back: str) -> Response:
    """Open an incident of alarms, named like the first of them."""
    if not visit.who.may(Right.REPORTS):
        raise HTTPException(403, f"right:{Right.REPORTS.value}")
    known = {alarm.id: alarm for alarm in await visit.ask(api.ListAlarms(all=True))}
    found = [known[id_] for id_ in ids if id_ in known]
    if not found:
        return visit.back(back, visit.say("Tick an alarm first."), "refused")
    first = min(found, key=lambda a: (priority(a), a.since or 0.0))
    title = alarm_title(visit.words, first)
    receipt = await visit.ask(
        api.ActOnIncident(
            incident="",
            action="open",
            person=visit.who.person,
            text=f"{title} – {first.name}" if first.name else title,
            severity=first.severity,
            type=first.owner or "alarm",
        )
    )
    if not receipt.taken:
        return visit.back(back, why_not(visit.words, receipt.text), "refused")
    number = receipt.text.split()[-1]
    for each in found:
        await visit.ask(
            api.ActOnIncident(
                incident=number, action="attach", person=visit.who.person, text=f"alarm {each.id}"
            )
        )
    return visit.back(f"/incidents/{number_of(number)}", visit.say("An incident was opened."))


ROUTES = (alarms, again, act, alarm)
