"""Equipment: what there is, how it is, why, and by whose hand."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from pilotage import api
from pilotage_web import trades
from pilotage_web.problem import Problem
from pilotage_web.request import Visit
from pilotage_web.rights import Right
from pilotage_web.saying import sentence
from pilotage_web.sight import IF_MATCH, matched
from pilotage_web.typed import Page, delete, get, post

Word = Annotated[str, Meta(max_length=100)]
Id = Annotated[str, Meta(max_length=300)]
Limit = Annotated[int, Meta(ge=1, le=500)]
Cursor = Annotated[str, Meta(pattern=r"^[0-9]{0,15}$", description="`next` of the page before")]
Time = Annotated[float, Meta(ge=0, le=4e9, description="seconds since 1970")]


class EquipmentQuery(Struct, forbid_unknown_fields=True):
    """Which equipment; `q` is looked for in id and name, the others filter exactly."""

    domain: Word = ""
    commune: Word = ""
    kind: Word = ""
    state: Annotated[str, Meta(pattern="^(|idle|active|held|unlike|fault|silent|alarm)$")] = ""
    q: Word = ""
    after: Id = ""
    limit: Limit = 50


class MomentQuery(Struct, forbid_unknown_fields=True):
    """At which time; now unless said otherwise."""

    at: Time | None = None


class WhyQuery(Struct, forbid_unknown_fields=True):
    """Of which point (its first one that is commanded unless said otherwise), and at which time."""

    point: Id = ""
    at: Time | None = None


class CommandQuery(Struct, forbid_unknown_fields=True):
    """Of which point, and from where on: `after` is the `next` of the page that came before."""

    point: Id = ""
    after: Cursor = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 20


class EquipmentList(Struct):
    """A page of equipment; `total` counts everything that fits."""

    items: list[api.Equipment]
    total: int
    next: str = ""


class WhyAnswer(Struct):
    """Why a point is as it is: in one sentence of the reader's language, and as data."""

    sentence: str
    why: api.PointWhy


class OverrideOrder(Struct, forbid_unknown_fields=True):
    """Take a point by hand for `for_s` seconds; a text such as `30 %` is read in the point's unit.

    `seen` is the `standing` of its why: when somebody else has taken or released it since, 409.
    """

    point: Annotated[str, Meta(min_length=1, max_length=300)]
    value: Any
    for_s: Annotated[float, Meta(gt=0, le=31 * 86_400)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    seen: Annotated[str, Meta(max_length=300)] = ""


@get("/equipment")
async def list_equipment(visit: Visit, query: EquipmentQuery) -> EquipmentList:
    """The equipment that fits, in order of id."""
    found = await visit.ask(
        api.ListEquipment(
            domain=query.domain,
            zone=query.commune,
            kind=query.kind,
            look=query.state,
            text=query.q,
            after=query.after,
            limit=query.limit,
        )
    )
    return EquipmentList(found.equipment, found.total, found.next)


@get("/equipment/{id}")
async def get_equipment(visit: Visit, id: str, query: MomentQuery) -> api.EquipmentDetail:  # noqa: A002
    """One piece of equipment with all its points, now or at a time gone by."""
    return await visit.ask(api.GetEquipment(id=id, at=query.at))


@get("/equipment/{id}/why", standing=lambda answer: answer.why.standing)
async def why_equipment(visit: Visit, id: str, query: WhyQuery) -> WhyAnswer:  # noqa: A002
    """Why a point is as it is: who wants what, who decides, what would be otherwise, and how far the equipment is."""
    point = await _point(visit, id, query.point)
    why = await visit.ask(api.WhyPoint(point=point, at=query.at))
    return WhyAnswer(sentence(visit.words, why), why)


@get("/equipment/{id}/commands")
async def equipment_commands(visit: Visit, id: str, query: CommandQuery) -> Page[api.CommandShown]:  # noqa: A002
    """What a point was told and what became of it, the newest first."""
    point = await _point(visit, id, query.point)
    found = await visit.ask(
        api.ListCommands(point=point, before=int(query.after or 0), limit=query.limit)
    )
    return Page(found.commands, str(found.next or ""))


@post("/equipment/{id}/overrides", Right.OVERRIDE, status=202, conditional=True)
async def override_equipment(visit: Visit, id: str, body: OverrideOrder) -> api.Receipt:  # noqa: A002
    """Take a point by hand until a time, at a post that has its trade. Answered once the order is on disk."""
    reason = await trades.check(visit, id, body.reason)
    receipt = await visit.ask(
        api.SetOverride(
            point=f"{id}.{body.point}",
            value=body.value,
            for_s=body.for_s,
            person=visit.who.person,
            reason=reason,
            seen=body.seen or await _matched(visit, f"{id}.{body.point}"),
            level=visit.who.hand_level,
        )
    )
    return _taken(receipt)


@delete("/equipment/{id}/overrides/{point}", Right.OVERRIDE, conditional=True)
async def release_equipment(visit: Visit, id: str, point: str) -> api.Receipt:  # noqa: A002
    """Give an override back: the next demand down decides at once."""
    await trades.check(visit, id)
    seen = await _matched(visit, f"{id}.{point}")
    return _taken(
        await visit.ask(
            api.ReleaseOverride(
                point=f"{id}.{point}",
                person=visit.who.person,
                seen=seen,
                level=visit.who.hand_level,
            )
        )
    )


async def _matched(visit: Visit, point: str) -> str:
    """Return who holds a point by hand, when the request says on what it was decided."""
    if IF_MATCH not in visit.request.headers:
        return ""
    return matched(visit, (await visit.ask(api.WhyPoint(point=point))).standing)


def _taken(receipt: api.Receipt) -> api.Receipt:
    if not receipt.taken:
        raise Problem(422, "refused", "The engine says no", receipt.text)
    return receipt


async def _point(visit: Visit, id_: str, name: str) -> str:
    """Return the point that is meant: the named one, or the first that is commanded."""
    if name:
        return f"{id_}.{name}"
    detail = await visit.ask(api.GetEquipment(id=id_))
    commanded = [p.id for p in detail.points if p.is_commandable and not p.is_request]
    moving = [p.id for p in detail.points if p.access != "fixed"]
    found = next(iter([*commanded, *moving, *(p.id for p in detail.points)]), "")
    if not found:
        raise Problem(404, "no-point", "It has no point", f"{id_} has no point at all")
    return found


ROUTES = (
    list_equipment,
    get_equipment,
    why_equipment,
    equipment_commands,
    override_equipment,
    release_equipment,
)
