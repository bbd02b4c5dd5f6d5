"""Equipment: the list with its filters, and one piece with why each of its points is as it is, now or at a time gone by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from pilotage import api
from pilotage.api import ApiError
from pilotage.model.looks import Look
from pilotage_web import glass, trades
from pilotage_web.alarm_words import ending_text
from pilotage_web.lines import ACTION_WORDS
from pilotage_web.moments import read_moment, write_moment
from pilotage_web.refusals import mend_of, why_not
from pilotage_web.request import Visit, action, page
from pilotage_web.rights import Right
from pilotage_web.saying import (
    ACTIONS,
    DOMAINS,
    LEVELS,
    LOOKS,
    OUTCOMES,
    QUALITIES,
    RESULTS,
    WAYS,
    kind_in_words,
    levels_in_words,
    sentence,
    value_in_words,
    who_in_words,
    word,
)
from pilotage_web.sight import changed, last_lines
from pilotage_web.texts import Words, mark

ROWS: Final = 50
DAY_S: Final = 86_400.0
PERSONAL: Final = ("personal", "sensitive")
"""Privacy of points whose course tells what a person did: pages show how they are now, and no track."""
MOST_VALUES: Final = 300
COMMANDS: Final = 20
DURATIONS_S: Final = (900.0, 1_800.0, 7_200.0, 28_800.0, 86_400.0)
USUAL_S: Final = 1_800.0
OPERATOR: Final = 8
MOST_REASON: Final = 500
NOT_A_TIME: Final = mark("This is no time gone by. Write 03:00:00, or 2026-01-15 23:40.")


def path_of(kind: str, id_: str, **query: str) -> str:
    """Return where the page of a piece of equipment is."""
    asked = urlencode({key: value for key, value in query.items() if value})
    return f"/equipment/{quote(kind)}/{quote(id_, safe='')}" + (f"?{asked}" if asked else "")


# ── the list ─────────────────────────────────────────────────────────────────────────────────


@page("/equipment", "equipment_list.html")
async def equipment_list(visit: Visit) -> dict[str, Any]:
    """Show the equipment that fits what the address asks for."""
    asked = {
        key: visit.query(key)[:100] for key in ("domain", "commune", "kind", "state", "q", "after")
    }
    found = await visit.ask(
        api.ListEquipment(
            domain=asked["domain"],
            zone=asked["commune"],
            kind=asked["kind"],
            look=asked["state"],
            text=asked["q"],
            after=asked["after"],
            limit=ROWS,
        )
    )
    return list_view(found, await visit.ask(api.ListEquipmentFilters()), asked, visit.words)


def list_view(
    found: api.EquipmentPage,
    filters: api.EquipmentFilters,
    asked: Mapping[str, str],
    words: Words,
) -> dict[str, Any]:
    """Return what the list shows."""
    kept = {key: value for key, value in asked.items() if value and key != "after"}
    return {
        "rows": [_row(e, filters, words) for e in found.equipment],
        "total": found.total,
        "asked": asked,
        "is_filtered": bool(kept),
        "next": f"/equipment?{urlencode({**kept, 'after': found.next})}" if found.next else "",
        "again": f"/equipment?{urlencode({k: v for k, v in asked.items() if v})}",
        "first": f"/equipment?{urlencode(kept)}" if asked.get("after") else "",
        "domains": [
            (name, word(words, DOMAINS, name)) for name in sorted({k.domain for k in filters.kinds})
        ],
        "kinds": sorted(
            ((k.name, kind_in_words(words, k.name, k.title)) for k in filters.kinds),
            key=lambda pair: pair[1],
        ),
        "communes": filters.zones,
        "looks": [(look.word, words.say(LOOKS[look.word])) for look in Look],
    }


def _row(e: api.Equipment, filters: api.EquipmentFilters, words: Words) -> dict[str, Any]:
    titles = {k.name: k.title for k in filters.kinds}
    return {
        "href": path_of(e.kind, e.id),
        "id": e.id,
        "name": e.name,
        "kind": kind_in_words(words, e.kind, titles.get(e.kind, "")),
        "commune": e.zone,
        "look": e.look,
        "look_text": word(words, LOOKS, e.look),
        "shape": Look[e.look.upper()].shape if e.look else "",
        "main": e.main,
        "text": value_in_words(words, e.value, e.unit, e.text) if e.main else "",
        "is_old": e.quality not in ("good", "uncertain"),
        "quality": word(words, QUALITIES, e.quality),
        "age": words.words(e.age_s),
    }


@page("/equipment/{kind}", "equipment_list.html")
async def equipment_of_kind(visit: Visit) -> Response:
    """Lead to the list of a kind."""
    return RedirectResponse(f"/equipment?{urlencode({'kind': visit.path('kind')})}", 303)


# ── one piece ────────────────────────────────────────────────────────────────────────────────


@page("/equipment/{kind}/{id}", "equipment.html")
async def equipment(visit: Visit) -> dict[str, Any] | Response:
    """Show one piece of equipment, and why the point that the address names is as it is."""
    status = await visit.ask(api.GetStatus())
    written = visit.query("at")
    at = read_moment(written, status.now, visit.words.zone) if written else None
    detail = await visit.ask(api.GetEquipment(id=visit.path("id"), at=at))
    if detail.kind != visit.path("kind"):
        return RedirectResponse(path_of(detail.kind, detail.id), 303)
    point = _chosen(detail, visit.query("point"))
    why: api.PointWhy | None = None
    if point is not None:
        why = await visit.ask(api.WhyPoint(point=point.id, at=at))
    history = await _history(visit, point, detail.at)
    commands: list[api.CommandShown] = []
    if point is not None and point.is_commandable:
        commands = await _commands(visit, point.id, detail.at)
    alarms = [a for a in await visit.ask(api.ListAlarms()) if _is_about(a.id, detail.id)]
    rows = await visit.ask(api.ListAudit(entity=detail.id, until=at, last=20))
    view = detail_view(detail, point, why, visit.words)
    return {
        **view,
        "not_ours": ""
        if glass.known(visit) is not None
        else trades.refusal(visit, detail.domain, detail.zone),
        "at_written": written,
        "at_wrong": visit.say(NOT_A_TIME) if written and at is None else "",
        "now": status.now,
        "history": None if history is None else history_view(history, visit.words),
        "further": ""
        if visit.query("back")
        else path_of(
            detail.kind, detail.id, point=point.name if point else "", at=written, back="1"
        ),
        "commands": [command_view(c, detail.at, visit.words) for c in commands],
        "alarms": [] if detail.is_past else alarms,
        "journal": [journal_view(row, detail.at, visit.words) for row in reversed(rows)],
        "durations": [
            (s, visit.words.words(s))
            for s in DURATIONS_S
            if point is not None and s <= max(point.override_max_s, DURATIONS_S[0])
        ],
        "usual_s": USUAL_S,
    }


async def _commands(visit: Visit, point: str, at: float) -> list[api.CommandShown]:
    """Return what a point was told last: within a day, or, when the address asks for it, as far back as the journal goes."""
    since = None if visit.query("back") else at - DAY_S
    asked = api.ListCommands(point=point, since=since, until=at, limit=COMMANDS)
    return (await visit.ask(asked)).commands


@page("/equipment/{kind}/{id}/why", "_why.html")
async def equipment_why(visit: Visit) -> dict[str, Any]:
    """Show the part of the page that changes by itself."""
    detail = await visit.ask(api.GetEquipment(id=visit.path("id")))
    point = _chosen(detail, visit.query("point"))
    if point is None:
        raise HTTPException(404)
    why = await visit.ask(api.WhyPoint(point=point.id))
    return detail_view(detail, point, why, visit.words)


def _chosen(detail: api.EquipmentDetail, name: str) -> api.EquipmentPoint | None:
    """Return the point that the page explains: the one that is named, else the first that is commanded, else the first."""
    named = [p for p in detail.points if name and name in (p.name, p.id)]
    moving = [p for p in detail.points if p.access != "fixed"]
    values = [p for p in moving if p.is_commandable and not p.is_request]
    return next(iter([*named, *values, *moving, *detail.points]), None)


async def _history(
    visit: Visit, point: api.EquipmentPoint | None, at: float
) -> api.PointHistory | None:
    if point is None or point.access == "fixed" or point.privacy in PERSONAL:
        return None
    try:
        return await visit.ask(
            api.HistoryOf(point=point.id, since=at - DAY_S, until=at, most=MOST_VALUES)
        )
    except ApiError as error:
        if error.code in ("never-recorded", "no-history"):
            return None
        raise


def _is_about(alarm: str, entity: str) -> bool:
    names = alarm.partition("[")[2].removesuffix("]").split(", ")
    return any(name == entity or name.startswith(f"{entity}.") for name in names)


def detail_view(
    detail: api.EquipmentDetail,
    point: api.EquipmentPoint | None,
    why: api.PointWhy | None,
    words: Words,
) -> dict[str, Any]:
    """Return what the page shows of a piece of equipment and of the point that it explains."""
    at = detail.at if detail.is_past else None
    here = path_of(detail.kind, detail.id, at=write_moment(at, words.zone) if at else "")
    return {
        "e": detail,
        "fragment": _fragment(detail, point),
        "here_now": path_of(detail.kind, detail.id, point=point.name if point else ""),
        "domain": word(words, DOMAINS, detail.domain),
        "kind": kind_in_words(words, detail.kind, detail.kind_title),
        "belongs": [
            (kind, ids, kind_in_words(words, kind, "")) for kind, ids in detail.belongs_to.items()
        ],
        "look": word(words, LOOKS, detail.look),
        "look_word": detail.look,
        "shape": Look[detail.look.upper()].shape if detail.look else "",
        "heard": None if detail.heard is None else words.words(max(0.0, detail.at - detail.heard)),
        "moment": words.moment(detail.at) if detail.is_past else "",
        "all_levels": levels_in_words(words),
        "point": point,
        "is_personal": point is not None and point.privacy in PERSONAL,
        "points": [_point(p, point, here, words) for p in detail.points],
        "why": None if why is None else why_view(why, words),
    }


def _fragment(detail: api.EquipmentDetail, point: api.EquipmentPoint | None) -> str:
    """Return whence the part that changes is read again; a time gone by does not change."""
    if detail.is_past or point is None:
        return ""
    return f"{path_of(detail.kind, detail.id)}/why?{urlencode({'point': point.name})}"


def _point(
    p: api.EquipmentPoint, chosen: api.EquipmentPoint | None, here: str, words: Words
) -> dict[str, Any]:
    joint = "&" if "?" in here else "?"
    is_old = p.quality not in ("good", "uncertain") and p.access not in ("fixed", "commandable")
    return {
        "name": p.name,
        "href": f"{here}{joint}{urlencode({'point': p.name})}",
        "is_chosen": chosen is not None and chosen.id == p.id,
        "value": value_in_words(words, p.value, p.unit, p.text),
        "last": p.last_text if p.value is None and p.last_text else "",
        "quality": word(words, QUALITIES, p.quality) if p.access != "fixed" else "",
        "is_old": is_old,
        "age": words.words(p.age_s) if p.age_s is not None and p.access != "fixed" else "",
        "wanted": value_in_words(words, None, "", p.wanted) if p.wanted == "unknown" else p.wanted,
        "by": p.by,
        "doc": p.doc,
        "is_commandable": p.is_commandable,
    }


def why_view(why: api.PointWhy, words: Words) -> dict[str, Any]:
    """Return why a point is as it is: the sentence, the levels, and how far the equipment is."""
    way = why.way
    return {
        "sentence": sentence(words, why),
        "wanted": value_in_words(words, why.wanted, why.unit, why.text)
        if why.is_commandable
        else "",
        "reported": value_in_words(words, why.value, why.unit, why.value_text),
        "age": words.words(why.age_s) if why.age_s is not None else "",
        "quality": word(words, QUALITIES, why.quality),
        "is_decided": why.is_decided,
        "is_commandable": why.is_commandable,
        "is_complete": why.complete,
        "seen": _sight(why),
        "hand": why.standing,
        "is_overridden": any(d.who.sort == "person" for d in why.demands),
        "state": word(words, WAYS, way.state) if way is not None else "",
        "is_bad": way is not None and way.state in ("failed", "local", "unheard"),
        "sent": words.moment(way.sent_at, why.at) if way is not None and way.sent_at else "",
        "confirmed": words.moment(way.confirmed_at, why.at)
        if way is not None and way.confirmed_at
        else "",
        "attempt": way.attempt if way is not None else 0,
        "detail": ending_text(words, way.detail) if way is not None else "",
        "above": _above(why, words),
        "levels": [_level(d, why, words) for d in why.demands],
    }


def _above(why: api.PointWhy, words: Words) -> dict[str, Any] | None:
    """Return the line of what stands above all demands."""
    if why.who.sort not in ("invariant", "minimum_time"):
        return None
    return {
        "level": why.level,
        "word": word(words, LEVELS, why.level_word),
        "who": who_in_words(words, why.who),
        "wants": value_in_words(words, why.wanted, why.unit, why.text),
        "since": words.moment(why.since, why.at),
    }


def _level(demand: api.Wanting, why: api.PointWhy, words: Words) -> dict[str, Any]:
    who = demand.who
    return {
        "level": demand.level,
        "word": word(words, LEVELS, demand.level_word),
        "who": who_in_words(words, who),
        "instance": who.instance,
        "through": who.through,
        "href": f"/rules/{quote(who.name)}?{urlencode({'instance': who.instance})}"
        if who.sort == "rule"
        else f"/plans/{quote(who.name)}"
        if who.sort == "plan"
        else "",
        "wants": value_in_words(words, demand.value, why.unit, demand.text),
        "reason": demand.reason if who.sort == "person" else "",
        "since": words.moment(demand.since, why.at),
        "until": words.moment(demand.until, why.at) if demand.until is not None else "",
        "result": word(words, RESULTS, demand.result),
        "wins": demand.result == "wins",
    }


def history_view(history: api.PointHistory, words: Words) -> dict[str, Any]:
    """Return the values of a chart and of the table beside it, oldest first."""
    return {
        "unit": history.unit,
        "type": history.type,
        "since": history.since,
        "until": history.until,
        "values": [
            {
                "time": v.time,
                "moment": words.moment(v.time, history.until),
                "value": v.value,
                "text": value_in_words(words, v.value, history.unit, str(v.value)),
                "quality": word(words, QUALITIES, v.quality),
            }
            for v in history.values
        ],
    }


def command_view(c: api.CommandShown, now: float, words: Words) -> dict[str, Any]:
    """Return one order to the equipment and its end."""
    return {
        "time": words.moment(c.time, now),
        "text": words.say(c.text) if c.text in ("unknown", "nothing") else c.text,
        "who": who_in_words(words, c.who),
        "outcome": word(words, OUTCOMES, c.outcome),
        "is_bad": c.outcome in ("refused", "expired", "failed", "unknown"),
        "took": words.words(c.ended - c.time) if c.ended is not None else "",
        "attempt": c.attempt,
        "detail": ending_text(words, c.detail),
    }


def journal_view(row: api.AuditRow, now: float, words: Words) -> dict[str, Any]:
    """Return one row of the audit."""
    who = row.people.get("person", "") or row.rule or row.identity
    is_number = isinstance(row.value, (int, float)) and not isinstance(row.value, bool)
    value = words.number(row.value) if is_number else row.value
    return {
        "time": words.moment(row.time, now),
        "action": word(words, ACTIONS, row.action),
        "subject": row.subject.partition(".")[2] or row.subject,
        "who": words.say("default") if who == "default" else who,
        "reason": row.people.get("reason", ""),
        "value": "" if value is None else str(value),
    }


# ── overrides ────────────────────────────────────────────────────────────────────────────────


@action("/equipment/{kind}/{id}/override", Right.OVERRIDE)
async def override(visit: Visit) -> Response:
    """Take a point by hand until a time, for a reason."""
    point, here = _named(visit)
    marked = await trades.check(visit, visit.path("id"), visit.field("reason")[:MOST_REASON])
    reason, value = visit.field("reason"), visit.field("value")
    missing = [
        name for name, given in ((mark("a value"), value), (mark("a reason"), reason)) if not given
    ]
    if missing:
        names = ", ".join(visit.say(name) for name in missing)
        return visit.back(
            here, visit.say("Nothing was done: %(names)s is missing.", names=names), "refused"
        )
    for_s = _seconds(visit.field("for_s"))
    try:
        why = await visit.ask(api.WhyPoint(point=point))
    except ApiError as error:
        return _refused(visit, error, here)
    has_changed = visit.field("seen") not in ("", _sight(why))
    if not visit.field("confirmed") or has_changed:
        sent = {"value": value, "for_s": for_s, "reason": reason[:MOST_REASON], "here": here}
        level = visit.who.hand_level
        view = confirm_view(why, sent, visit.words, has_changed=has_changed, level=level)
        view["lines"] = await last_lines(visit, point) if has_changed else ()
        view["actions"] = ACTION_WORDS
        return visit.render(
            "override_confirm.html", 409 if visit.field("confirmed") else 200, **view
        )
    order = api.SetOverride(
        point=point,
        value=_as_value(value),
        for_s=for_s,
        person=visit.who.person,
        reason=marked,
        seen=why.standing,
        level=visit.who.hand_level,
    )
    return await _ordered(visit, order, here)


def confirm_view(
    why: api.PointWhy,
    sent: Mapping[str, Any],
    words: Words,
    *,
    has_changed: bool,
    level: int = OPERATOR,
) -> dict[str, Any]:
    """Return what is asked before an override is given: what it would be, until when, and what it would dominate."""
    below = next((d for d in why.demands if d.level >= level), None)
    above = next((d for d in why.demands if d.level < level), None)
    return {
        "sent": sent,
        "point": why.point.partition(".")[2],
        "action": sent["here"].partition("?")[0] + "/override",
        "sentence": sentence(words, why),
        "seen": _sight(why),
        "value": _value_asked(str(sent["value"]), why.unit, words),
        "until": words.moment(why.at + sent["for_s"], why.at),
        "has_changed": has_changed,
        "dominates": who_in_words(words, below.who) if below is not None else "",
        "dominated_by": who_in_words(words, above.who) if above is not None else "",
    }


def _value_asked(value: str, unit: str, words: Words) -> str:
    if value in _YES_NO:
        return word(words, _YES_NO, value)
    return f"{value} {unit}" if unit and value[-1:].isdigit() else value


_YES_NO: Final = {"true": mark("yes"), "false": mark("no")}


def _sight(why: api.PointWhy) -> str:
    """Return what an operator saw of a point: who decides, and what, and who holds it by hand."""
    return f"{why.level} {why.who.sort} {why.who.name} {why.text} {why.standing}"


@action("/equipment/{kind}/{id}/release", Right.OVERRIDE)
async def release(visit: Visit) -> Response:
    """Give an override back."""
    point, here = _named(visit)
    await trades.check(visit, visit.path("id"))
    who, seen = visit.who, visit.field("seen")
    order = api.ReleaseOverride(point=point, person=who.person, seen=seen, level=who.hand_level)
    return await _ordered(visit, order, here)


async def _ordered(
    visit: Visit, order: api.SetOverride | api.ReleaseOverride, here: str
) -> Response:
    try:
        receipt = await visit.ask(order)
    except ApiError as error:
        if error.code == "stale":
            raise await changed(visit, order.point, here) from error
        return _refused(visit, error, here)
    if not receipt.taken:
        return visit.back(
            here,
            visit.say("Nothing was done: %(why)s", why=why_not(visit.words, receipt.text)),
            "refused",
        )
    return visit.back(here, visit.say("Done: %(what)s", what=receipt.text))


def _refused(visit: Visit, error: ApiError, here: str) -> Response:
    text, mend = why_not(visit.words, error.text), mend_of(visit.words, error.mend)
    text = f"{text}. {mend}" if mend else text
    return visit.back(here, visit.say("Nothing was done: %(why)s", why=text), "refused")


def _named(visit: Visit) -> tuple[str, str]:
    """Return the point that a form means, and the page to go back to."""
    id_, name = visit.path("id"), visit.field("point")
    if not name:
        raise HTTPException(422, mark("No point was named."))
    return f"{id_}.{name}", path_of(visit.path("kind"), id_, point=name)


def _as_value(written: str) -> Any:
    """Return what was written; a choice of yes or no as the truth it is, all else is read in the point's unit."""
    return {"true": True, "false": False}.get(written, written)


def _seconds(written: str) -> float:
    try:
        found = float(written)
    except ValueError:
        return USUAL_S
    return found if 0.0 < found <= DURATIONS_S[-1] else USUAL_S


ROUTES: Sequence[Any] = (
    equipment_list,
    equipment_of_kind,
    equipment,
    equipment_why,
    override,
    release,
)
