"""Now: the map, what is on, what waits for somebody, and how much of the equipment is as it should be; and the wall's copy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from pilotage import api
from pilotage.model.looks import Look
from pilotage_web.live.hub import Hub
from pilotage_web.live.places import NOWHERE, Places
from pilotage_web.pages.alarms import Line, lines_of
from pilotage_web.pages.live import MEANINGS
from pilotage_web.parts import part
from pilotage_web.request import Visit, page
from pilotage_web.texts import mark

PRIORITIES: Final = {"critical": 1, "high": 2, "medium": 3, "low": 4}
WAITING: Final = ("raised", "cleared", "latched")
"""States of an alarm in which somebody has to look at it."""
MOST_ALARMS: Final = 12
MOST_ENDING: Final = 8
SOON_S: Final = 1_800.0
DIJON: Final = (47.322, 5.041)
AROUND: Final = 0.03
"""Degrees that a map shows around a city without any place."""
TOPICS: Final = ("alarms", "overrides", "plans")
VIA: Final = "web"
"""How the engine is asked for what is shown to everybody."""


@page("/", "now.html")
async def now(visit: Visit) -> dict[str, Any]:
    """Show the city as it is."""
    return {**await _lists(visit), **await _map(visit), "bare": False}


@page("/wall", "wall.html")
async def wall(visit: Visit) -> dict[str, Any]:
    """Show the same on a screen that nobody sits at."""
    return {**await _lists(visit), **await _map(visit), "bare": True}


@part("/now/lists", TOPICS)
async def lists(visit: Visit) -> str:
    """The lists beside the map, again."""
    ask, hub = visit.frame.answers.ask, visit.frame.hub
    plans, alarms, held = await asyncio.gather(
        ask("plans", api.ListPlans(via=VIA)),
        ask("alarms", api.ListAlarms(via=VIA)),
        ask("overrides", api.ListOverrides(via=VIA)),
    )
    return visit.text_of("_now_lists.html", **view(plans, alarms, held, hub.city_now))


async def _lists(visit: Visit) -> dict[str, Any]:
    status, plans, alarms, held = await asyncio.gather(
        visit.ask(api.GetStatus()),
        visit.ask(api.ListPlans()),
        visit.ask(api.ListAlarms()),
        visit.ask(api.ListOverrides()),
    )
    return view(plans, alarms, held, status.now)


def view(
    plans: Sequence[api.Plan],
    alarms: Sequence[api.Alarm],
    held: Sequence[api.OverrideShown],
    now: float,
) -> dict[str, Any]:
    """Return what is on and what waits for somebody, the most urgent first; `now` is the engine's time."""
    waiting = [alarm for alarm in alarms if alarm.state in WAITING]
    on = [plan for plan in plans if plan.level]
    return {
        "now": now,
        "plans": on,
        "asking": [plan for plan in plans if plan.asks],
        "ending": sorted(
            (p for p in on if p.until is not None and p.until - now <= SOON_S),
            key=lambda p: p.until or 0.0,
        ),
        "held": len(held),
        "ending_holds": sorted(
            (h for h in held if h.until is not None and h.until - now <= SOON_S),
            key=lambda h: h.until or 0.0,
        )[:MOST_ENDING],
        "waiting": len(waiting),
        "groups": grouped(waiting)[:MOST_ALARMS],
        "by_priority": [
            (number, sum(PRIORITIES.get(a.severity, 4) == number for a in waiting))
            for number in (1, 2, 3, 4)
        ],
    }


def grouped(alarms: Sequence[api.Alarm]) -> list[dict[str, Any]]:
    """Return alarms as lines, as the page of alarms has them: under their cause, or under their name where there are several."""
    return [
        {
            "id": line.head.id,
            "priority": line.priority,
            "alarm": line.head,
            "about": _about(line),
            "since": line.since,
            "count": len(line.members),
        }
        for line in lines_of(alarms, 2)
    ]


def _about(line: Line) -> str:
    """Return what a line is about; nothing for several of one name."""
    head = line.head
    if len(line.members) > 1 and not line.is_cause:
        return ""
    return head.name or head.entity or head.id.partition("[")[2].removesuffix("]")


# ── the map ──────────────────────────────────────────────────────────────────────────────────


async def _map(visit: Visit) -> dict[str, Any]:
    hub = visit.frame.hub
    found = await hub.placed()
    wanted = set(visit.request.query_params.getlist("kind"))
    return {
        "bounds": ",".join(f"{x:.6f}" for x in extent(found, visit.frame.site.position)),
        "legend": [(look, MEANINGS[look]) for look in Look],
        "kinds": [] if found is None else found.kinds,
        "wanted": wanted,
        "park": park(hub),
    }


def extent(
    places: Places | None, position: tuple[float, float] | None
) -> tuple[float, float, float, float]:
    """Return south, west, north and east of what the map shows first."""
    found = None if places is None else places.bounds
    if found is not None and found[0] < found[2] and found[1] < found[3]:
        return found
    latitude, longitude = position or DIJON
    return latitude - AROUND, longitude - AROUND, latitude + AROUND, longitude + AROUND


def park(hub: Hub) -> list[dict[str, Any]]:
    """Return for each kind on the map how many there are, and how many look how."""
    places = hub.places
    if places is None or len(places.all) != len(hub.looks):
        return []
    counted = Counter(zip(places.packed[-len(places.all) :], hub.looks, strict=True))
    return [
        {
            "kind": kind,
            "total": sum(n for (k, _), n in counted.items() if k == number),
            "looks": [counted[number, 48 + look] for look in Look],
        }
        for number, kind in enumerate(places.kinds)
        if number != NOWHERE
    ]


KIND_NAMES: Final = (
    mark("lamp"),
    mark("cabinet"),
    mark("lighting segment"),
    mark("signal junction"),
    mark("detector"),
    mark("camera"),
    mark("bollard"),
    mark("building"),
    mark("road station"),
    mark("car park"),
    mark("message sign"),
    mark("intrusion zone"),
    mark("gate"),
    mark("lift"),
    mark("fire panel"),
    mark("building zone"),
    mark("route"),
)
"""The kinds that come with pilotage, as people say them; a vendor's kind is shown by its name."""

ROUTES = (now, lists, wall)
