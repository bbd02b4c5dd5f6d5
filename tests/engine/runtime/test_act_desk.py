"""What the pages for acting ask of the engine, over its real socket: plans, alarms, incidents, the log of the room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage import api
from pilotage.model.messages import Reading
from pilotage.model.quality import Quality
from pilotage.model.sentences import NOT_TOLD_WHY
from pilotage.runtime.config import load_settings
from pilotage.runtime.workshop import CityWorkshop
from pilotage.service import Service

Eventually = Callable[[Callable[[], object]], Awaitable[None]]

CONFIG = """\
site: {name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04]}
inventory:
  - seg-1: {kind: lighting_segment, name: Rue Verte, zone: Dijon, location: [47.32, 5.04], lamps: [l-1, l-2]}
    l-1: {kind: lamp, name: Lamp 1}
    l-2: {kind: lamp, name: Lamp 2}
"""
RULES = """\
plans:
  storm:
    title: {fr: Plan tempête, en: Storm plan}
    owner: roads
    parameters:
      light: {type: percent, default: 80 %, min: 50 %, max: 100 %}
    activation: {operators: [snow, traffic], manual_expires: 6 h}
    levels:
      - level: 1
        name: watch
        hold:
          - {each: {segment: {kind: lighting_segment}}, set: segment.lights.level, to: plan.light}
        checklist:
          - {text: Gates are shut, by: police, within: 30 min}
      - {level: 2, name: storm}
  evacuation:
    title: Evacuation
    owner: security
    activation: {two_people: true}
    levels:
      - {level: 1, name: leave}
alarms:
  dark-street:
    title: {fr: Rue sans lumière, en: Dark street}
    owner: lighting
    for_each: {segment: {kind: lighting_segment}}
    raise_while: segment.pedestrian_detected
    severity: high
  dead-lamp:
    title: A lamp is dead
    owner: lighting
    for_each: {lamp: {kind: lamp}}
    raise_while: lamp.power < 1 W
"""


@pytest.fixture
async def city(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "acts.yaml").write_text(RULES)
    (tmp_path / "config.yaml").write_text(CONFIG)
    service = Service(load_settings(tmp_path / "config.yaml", {}), CityWorkshop())
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def desk(city: Service) -> AsyncIterator[api.AsyncClient]:
    async with api.AsyncClient(city.settings.control.socket, via="web 192.0.2.7") as client:
        yield client


def told(city: Service, point: str, value: Any) -> None:
    cell = city.engine.cells[point]
    city.inbox.put(Reading(cell, value, Quality.GOOD, city.clock.now()))


def setting(level: int | None = 1, **more: Any) -> api.SetPlan:
    given = {"plan": "storm", "level": level, "person": "ann", "reason": "gale", "role": "snow"}
    return api.SetPlan(**{**given, **more})


def states(city: Service) -> dict[str, str]:
    """Return the state of each alarm that was ever made."""
    alarms: dict[str, Any] = city.views._engine.alarms.all
    return {id_: found.state for id_, found in alarms.items()}


async def plan(desk: api.AsyncClient, name: str = "storm") -> api.Plan:
    return next(p for p in await desk.ask(api.ListPlans()) if p.name == name)


async def alarm(desk: api.AsyncClient, id_: str) -> api.Alarm:
    return next(a for a in await desk.ask(api.ListAlarms(all=True)) if a.id == id_)


class TestPlans:
    async def test_preview(self, desk: api.AsyncClient) -> None:
        """The look ahead names what would act, who is notified, and where the plan stood."""
        found = await desk.ask(api.PreviewPlan(plan="storm", level=1))
        acts = {f"{e.kind}.{e.point}": (e.held, e.acts) for e in found.effects}
        assert acts["lighting_segment.lights.level"] == (1, 1)
        assert found.standing == (await plan(desk)).standing

    async def test_no_such_level(self, desk: api.AsyncClient) -> None:
        """A level that the plan does not have is refused by name."""
        with pytest.raises(api.ApiError, match="storm has no level 7"):
            await desk.ask(api.PreviewPlan(plan="storm", level=7))

    async def test_detail(self, desk: api.AsyncClient) -> None:
        """A plan that stands tells its levels, its open checklist, its parameters and what is not confirmed."""
        await desk.ask(setting(parameters={"light": 90.0}))
        detail = await desk.ask(api.GetPlan(plan="storm"))
        assert detail.plan.titles == {"fr": "Plan tempête", "en": "Storm plan"}
        (item,) = detail.levels[0].checklist
        assert (item.text, item.by, item.done, item.due is not None) == (
            "Gates are shut",
            "police",
            False,
            True,
        )
        assert [(p.name, p.value, p.low) for p in detail.parameters] == [("light", 90.0, 50.0)]
        assert sum(t.held for t in detail.progress) == len(detail.open) > 0
        await desk.ask(api.AnswerPlan(plan="storm", question=item.question, yes=True, person="bob"))
        detail = await desk.ask(api.GetPlan(plan="storm"))
        assert detail.levels[0].checklist[0].done

    async def test_points(self, desk: api.AsyncClient, city: Service) -> None:
        """What a plan holds is listed point by point, in pages: the lamps of a street, not the street."""
        await desk.ask(setting(parameters={"light": 90.0}))
        first = await desk.ask(api.ListPlanPoints(plan="storm", limit=1))
        (lamp,) = first.points
        assert (lamp.point, lamp.name, lamp.standing, lamp.wanted) == (
            *("l-1.level", "Lamp 1"),
            *("waiting", "90 %"),
        )
        assert first.counts == {"confirmed": 0, "waiting": 2, "failed": 0, "dominated": 0}
        rest = await desk.ask(api.ListPlanPoints(plan="storm", after=first.next))
        assert ([p.point for p in rest.points], rest.next) == (["l-2.level"], "")
        told(city, "l-1.level", 90.0)
        override = api.SetOverride(point="l-2.level", value=5, for_s=600, person="bob", reason="x")
        await desk.ask(override)
        found = await desk.ask(api.ListPlanPoints(plan="storm"))
        assert [(p.standing, p.reported, p.by.name) for p in found.points] == [
            ("confirmed", "90 %", "storm"),
            ("dominated", "", "bob"),
        ]
        only = await desk.ask(api.ListPlanPoints(plan="storm", standing="dominated"))
        assert [p.point for p in only.points] == ["l-2.level"]

    async def test_no_such_points(self, desk: api.AsyncClient) -> None:
        """A plan that is not there, and a standing that is none, are refused by name."""
        with pytest.raises(api.ApiError, match='no plan "nowhere"'):
            await desk.ask(api.ListPlanPoints(plan="nowhere"))
        with pytest.raises(api.ApiError, match='"odd" is none of confirmed'):
            await desk.ask(api.ListPlanPoints(plan="storm", standing="odd"))

    async def test_end(self, desk: api.AsyncClient, city: Service) -> None:
        """An order may say when it ends; without that the plan's own time counts."""
        until = city.clock.now() + 1_800.0
        await desk.ask(setting(until=until))
        assert (await plan(desk)).until == pytest.approx(until)
        await desk.ask(setting(2))
        assert (await plan(desk)).until == pytest.approx(city.clock.now() + 6 * 3600.0, abs=60.0)

    async def test_stale(self, desk: api.AsyncClient) -> None:
        """Who decided on what stands no more is refused, and nothing happens."""
        seen = (await plan(desk)).standing
        await desk.ask(setting(2, seen=seen))
        with pytest.raises(api.ApiError) as refused:
            await desk.ask(setting(0, seen=seen))
        assert refused.value.code == "stale"
        assert (await plan(desk)).level == 2

    async def test_undo(self, desk: api.AsyncClient) -> None:
        """An order is taken back as long as its half minute lasts, once."""
        await desk.ask(setting(1))
        await desk.ask(setting(2))
        assert (await plan(desk)).undo_until is not None
        assert (await desk.ask(setting(None, undo=True))).taken
        assert (await plan(desk)).level == 1
        refused = await desk.ask(setting(None, undo=True))
        assert not refused.taken
        assert "within 30 s" in refused.text

    async def test_two_people(self, desk: api.AsyncClient) -> None:
        """Where a plan asks for two people, the first order waits for another person's yes."""
        order = setting(plan="evacuation", role="")
        receipt = await desk.ask(order)
        assert receipt.taken
        assert "second person" in receipt.text
        waiting = await plan(desk, "evacuation")
        assert (waiting.level, waiting.second and waiting.second.person) == (0, "ann")
        yes = api.AnswerPlan(plan="evacuation", question="second", yes=True, person="Ann")
        assert "another" in (await desk.ask(yes)).text
        yes = api.AnswerPlan(plan="evacuation", question="second", yes=True, person="bob")
        assert (await desk.ask(yes)).taken
        assert (await plan(desk, "evacuation")).level == 1


class TestAlarms:
    async def test_taken_and_shelved(
        self, desk: api.AsyncClient, city: Service, eventually: Eventually
    ) -> None:
        """Who sees to an alarm, who acknowledged it, and who shelved it, why and until when are shown."""
        id_ = "dark-street[seg-1]"
        told(city, "seg-1.pedestrian_detected", True)
        await eventually(lambda: states(city).get(id_) == "raised")
        for action, more in (
            ("take", {}),
            ("acknowledge", {}),
            ("shelve", {"for_s": 600.0, "reason": "known"}),
            ("comment", {"reason": "called the works"}),
        ):
            order = api.ActOnAlarm(alarm=id_, action=action, person="ann", **more)
            assert (await desk.ask(order)).taken, action
        shown = await alarm(desk, id_)
        assert (shown.taken_by, shown.person, shown.suspended_by, shown.reason) == (
            *("ann", "ann", "ann"),
            "known",
        )
        assert (shown.entity, shown.name, shown.zone, shown.place) == (
            *("seg-1", "Rue Verte", "Dijon"),
            (47.32, 5.04),
        )
        assert (shown.owner, shown.titles["fr"]) == ("lighting", "Rue sans lumière")

    async def test_own(self, desk: api.AsyncClient, city: Service) -> None:
        """An alarm of the engine's own speaks by code and values, and belongs to the trade of its equipment."""
        said = NOT_TOLD_WHY.say(point="l-1.level", value="5 %", why="the line is down")
        city.views._engine.alarms.raise_own("not-following", "l-1.level", "medium", said)
        shown = await alarm(desk, "not-following[l-1.level]")
        assert (shown.text, shown.code, shown.owner) == (said, "not-told-why", "lighting")
        assert shown.values == {"point": "l-1.level", "value": "5 %", "why": "the line is down"}

    async def test_cause(
        self, desk: api.AsyncClient, city: Service, eventually: Eventually
    ) -> None:
        """The alarm of a lamp has the one of its street as its cause, while that one stands."""
        told(city, "l-1.power", 0.0)
        told(city, "seg-1.pedestrian_detected", True)
        await eventually(lambda: "dark-street[seg-1]" in states(city))
        assert (await alarm(desk, "dead-lamp[l-1]")).cause == "dark-street[seg-1]"
        assert (await alarm(desk, "dark-street[seg-1]")).cause == ""
        told(city, "seg-1.pedestrian_detected", False)
        await eventually(lambda: states(city)["dark-street[seg-1]"] == "cleared")
        assert (await alarm(desk, "dead-lamp[l-1]")).cause == ""

    async def test_rates(
        self, desk: api.AsyncClient, city: Service, eventually: Eventually
    ) -> None:
        """Each time an alarm comes is counted, by its declaration and its owner."""
        told(city, "l-1.power", 0.0)
        told(city, "l-2.power", 0.0)
        await eventually(lambda: "dead-lamp[l-2]" in states(city))
        while not (rates := (await desk.ask(api.GetAlarmRates())).rates):
            await asyncio.sleep(0.01)  # counted once it is on disk
        (rate,) = rates
        assert (rate.title, rate.owner, rate.last_10_min, rate.last_day) == (
            *("dead-lamp", "lighting"),
            *(2, 2),
        )


class TestIncidents:
    async def test_life(self, desk: api.AsyncClient) -> None:
        """A person opens an incident, attaches an alarm, notes, closes it; the audit has each step."""
        opened = await desk.ask(
            api.ActOnIncident(
                incident="", action="open", person="ann", text="Tree on the road", severity="high"
            )
        )
        (incident,) = await desk.ask(api.ListIncidents())
        assert incident.id in opened.text
        assert (incident.title, incident.severity, incident.closed) == (
            "Tree on the road",
            "high",
            False,
        )
        for action, text in (
            ("attach", "alarm dark-street[seg-1]"),
            ("note", "crew is on its way"),
            ("close", "removed"),
        ):
            step = api.ActOnIncident(incident=incident.id, action=action, person="ann", text=text)
            assert (await desk.ask(step)).taken, action
        assert await desk.ask(api.ListIncidents()) == []
        assert [i.closed for i in await desk.ask(api.ListIncidents(all=True))] == [True]
        again = api.ActOnIncident(incident=incident.id, action="close", person="ann")
        assert "closed already" in (await desk.ask(again)).text
        for _ in range(100):
            rows = await desk.ask(api.ListAudit(entity=incident.id))
            if len(rows) >= 5:
                break
            await asyncio.sleep(0.05)  # the audit follows the journal
        assert [r.action for r in rows] == ["open", "attach", "note", "close", "refused"]
        assert rows[1].people["reason"] == "alarm dark-street[seg-1]"

    @pytest.mark.parametrize(
        ("action", "more", "why"),
        [
            ("open", {"text": " "}, "title"),
            ("open", {"text": "x", "severity": "dire"}, "dire"),
            ("note", {"incident": "incident-9", "text": "x"}, "incident-9"),
            ("paint", {"incident": "incident-9", "text": "x"}, "incident-9"),
        ],
    )
    async def test_refused(
        self, desk: api.AsyncClient, action: str, more: dict[str, str], why: str
    ) -> None:
        """What cannot be is refused with what is wrong."""
        asked = api.ActOnIncident(**{"incident": "", "action": action, "person": "ann", **more})
        receipt = await desk.ask(asked)
        assert (receipt.taken, why in receipt.text) == (False, True)


class TestLog:
    async def test_lines(self, desk: api.AsyncClient) -> None:
        """A line is on disk when it is answered; a correction points to the line that it mends."""
        first = await desk.ask(api.WriteNote(text="ice on the bridge", person="ann", post="snow"))
        about = f"row {first.row}"
        await desk.ask(
            api.WriteNote(
                text="the other bridge",
                person="bob",
                post="traffic",
                action="correction",
                about=about,
            )
        )
        rows = await desk.ask(api.ListAudit(kinds=["log"]))
        assert [(r.action, r.subject, r.people["reason"]) for r in rows] == [
            ("note", "", "ice on the bridge"),
            ("correction", about, "the other bridge"),
        ]
        (mine,) = await desk.ask(api.ListAudit(post="snow"))
        assert (mine.number, mine.detail, mine.origin) == (first.row, {"post": "snow"}, "web")

    async def test_pages(self, desk: api.AsyncClient) -> None:
        """Rows are read backwards from the newest, or forwards from one that was seen, with none twice."""
        rows = [
            (await desk.ask(api.WriteNote(text=f"line {n}", person="ann"))).row for n in range(5)
        ]

        async def read(**more: Any) -> list[int]:
            found = await desk.ask(api.ListAudit(kinds=["log"], last=2, **more))
            return [r.number for r in found]

        assert await read() == rows[3:]
        assert await read(before=rows[3]) == rows[1:3]
        assert await read(after=rows[1]) == rows[2:4]

    @pytest.mark.parametrize(
        "wrong", [{"text": " "}, {"person": ""}, {"action": "sing"}, {"text": "x" * 4_001}]
    )
    async def test_refused(self, desk: api.AsyncClient, wrong: dict[str, str]) -> None:
        """A line without text or person, of another kind or too long is refused."""
        with pytest.raises(api.ApiError):
            await desk.ask(api.WriteNote(**{"text": "x", "person": "ann", **wrong}))


MANY = 6_000


async def test_the_loop_goes_on(tmp_path: Path) -> None:
    """While a plan over thousands of lamps is looked at, the loop is never held for long."""
    (tmp_path / "rules").mkdir()
    rules = RULES.replace(
        "kind: lighting_segment}}, set: segment.lights.level", "kind: lamp}}, set: segment.level"
    )
    (tmp_path / "rules" / "acts.yaml").write_text(rules)
    lamps = "".join(f"    l-{n}: {{kind: lamp}}\n" for n in range(3, MANY + 1))
    (tmp_path / "config.yaml").write_text(CONFIG + lamps)
    service = Service(load_settings(tmp_path / "config.yaml", {}), CityWorkshop())
    await service.start()
    turns = 0
    try:
        async with api.AsyncClient(service.settings.control.socket) as desk:

            async def turn() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            turning = asyncio.ensure_future(turn())
            await asyncio.sleep(0)
            before, began = turns, time.process_time()
            found = await desk.ask(api.PreviewPlan(plan="storm", level=1))
            took = time.process_time() - began
            turning.cancel()
        assert {e.kind: e.held for e in found.effects}["lamp"] == MANY
        assert (
            turns - before > took / 0.1
        )  # the loop came round at least ten times a second of work
    finally:
        await service.stop()


async def test_a_line_is_news(city: Service, desk: api.AsyncClient) -> None:
    """Who follows the city hears of a line that somebody wrote, and reads the journal again."""
    began: list[api.CityNow] = []
    async with api.AsyncClient(city.settings.control.socket) as follower:
        news = follower.follow(began.append)
        first = asyncio.ensure_future(anext(news))
        while not began:
            await asyncio.sleep(0.01)
        await desk.ask(api.WriteNote(text="ice on the bridge", person="ann"))
        async with asyncio.timeout(5):
            found = await first
            while not isinstance(found, api.ListsChanged):
                found = await anext(news)
    assert found.lists["journal"] > began[0].lists["journal"]
