"""Orders on a sight that no longer holds: refused with what changed, on the pages and over the interface."""

from __future__ import annotations

import asyncio
import html
import re
import secrets
import time
from typing import Any

import httpx
import pytest
from tests.web_ui.acts.test_alarms import state
from tests.web_ui.conftest import ORIGIN

from pilotage import api
from pilotage_web.live.hub import Hub

SEG = "/equipment/lighting_segment/seg-1"


def hidden(text: str, name: str, after: str = "") -> str:
    """Return the first hidden field of a name behind a place in a page."""
    found = re.search(rf'name="{name}" value="([^"]*)"', text[text.find(after) :], re.S)
    assert found, name
    return html.unescape(found[1])


def by_hand(city: api.Client, person: str, value: float, point: str = "seg-1.lights.level") -> None:
    order = api.SetOverride(point=point, value=value, for_s=600, person=person, reason="test")
    assert city.ask(order).taken


@pytest.fixture
def dark(city: api.Client) -> str:
    """A street in the dark, and its alarm."""
    by_hand(city, "t", 5, "seg-2.lights.level")
    return "dark-street[seg-2]"


async def last_page(client: httpx.AsyncClient, path: str, text: str) -> str:
    """Return a page once it says something: the audit follows the journal."""
    for _ in range(400):
        found = (await client.get(path)).text
        if text in found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(text)


async def recorded(city: api.Client, entity: str, person: str) -> None:
    """Wait until the audit has what a person did: it follows the journal."""
    for _ in range(400):
        rows = city.ask(api.ListAudit(entity=entity, last=30))
        if any(row.people.get("person") == person for row in rows):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(person)


class TestAlarms:
    async def test_taken_by_another(self, desk: Any, city: api.Client, dark: str) -> None:
        """An alarm that a colleague took since is not taken from him; the page names him and leads back."""
        karim = desk.visitor("operator", person="karim")
        page = (await karim.get(f"/alarms/{dark}")).text
        nadia = desk.visitor("operator", person="nadia")
        await desk.send(nadia, "/alarms", do=f"take:{dark}")
        await recorded(city, dark, "nadia")
        here = f"/alarms/{dark}"
        seen = {"line-1": hidden(page, "line-1"), "back": here}
        answer = await desk.send(karim, "/alarms", do="take:@1", **seen)
        assert answer.status_code == 409
        assert "<strong>nadia</strong>" in answer.text
        assert f'href="{here}"' in answer.text
        assert state(city, dark).taken_by == "nadia"
        again = {"line-1": hidden((await karim.get(here)).text, "line-1"), "back": here}
        assert (await desk.send(karim, "/alarms", do="take:@1", **again)).status_code == 303
        assert state(city, dark).taken_by == "karim"

    async def test_some_of_a_line(self, desk: Any, city: api.Client, dark: str) -> None:
        """Of several alarms those that stand as they were seen are taken, and the others are named."""
        client = desk.visitor("operator", person="karim")
        seen = [f"{a.id}\t{a.standing}" for a in city.ask(api.ListAlarms()) if a.state == "raised"]
        assert len(seen) == 2
        city.ask(api.ActOnAlarm(alarm=dark, action="take", person="nadia"))
        answer = await desk.send(client, "/alarms", do="acknowledge", alarm="\n".join(seen))
        assert answer.status_code == 303
        assert [state(city, i).state for i in (dark, "dark-lamp[l-3]")] == ["raised", "acknowledged"]  # fmt: skip
        assert "It has changed since you looked" in (await client.get("/alarms")).text

    async def test_interface(self, desk: Any, city: api.Client, dark: str) -> None:
        """`If-Match` with the ETag of before is 412, with that of now it is carried out; `seen` of before is 409."""
        client = desk.visitor("operator", person="ann")
        path = f"/api/v1/alarms/{dark}"

        async def act(tag: str = "", **body: Any) -> Any:
            headers = {"Origin": ORIGIN, "Idempotency-Key": secrets.token_urlsafe(9)}
            headers |= {"If-Match": tag} if tag else {}
            return await client.post(f"{path}/acts", json=body, headers=headers)

        first = await client.get(path)
        city.ask(api.ActOnAlarm(alarm=dark, action="take", person="nadia"))
        old = first.headers["etag"]
        for answer, expected in (
            (await act(old, action="acknowledge"), (412, "changed")),
            (
                await act(action="acknowledge", seen=first.json()["standing"]),
                (409, "stale"),
            ),
            (await act('"nonsense"', action="acknowledge"), (412, "changed")),
        ):
            assert (answer.status_code, answer.json()["code"]) == expected
        now = (await client.get(path)).headers["etag"]
        assert (await act(now, action="acknowledge")).json()["taken"]
        assert (await client.get("/api/v1/alarms/no-such")).status_code == 404


class TestPlans:
    async def test_undo(self, desk: Any, city: api.Client) -> None:
        """`Undo` takes back the order that was shown, never that of a colleague which came after it."""
        client = desk.visitor("operator", person="karim")
        city.ask(api.SetPlan(plan="snow", level=1, person="karim", reason="ice"))
        page = (await client.get("/plans/snow")).text
        city.ask(api.SetPlan(plan="snow", level=2, person="nadia", reason="more ice"))
        seen = hidden(page, "seen", "/undo")
        answer = await desk.send(client, "/plans/snow/undo", seen=seen)
        assert (answer.status_code, "Look again" in answer.text) == (409, True)
        assert city.ask(api.GetPlan(plan="snow")).plan.level == 2

    async def test_second_person(self, desk: Any, city: api.Client) -> None:
        """Who joins, joins the order that was shown."""
        client = desk.visitor("operator", person="ann")
        ask = api.SetPlan(plan="evacuation", level=1, person="karim", reason="fire")
        assert city.ask(ask).taken
        seen = hidden((await client.get("/plans/evacuation")).text, "seen", "/answer")
        no = api.AnswerPlan(plan="evacuation", question="second", yes=False, person="x")
        assert city.ask(no).taken
        other = api.SetPlan(plan="evacuation", level=1, person="nadia", reason="exercise")
        assert city.ask(other).taken
        answer = await desk.send(
            client, "/plans/evacuation/answer", question="second", yes="yes", seen=seen
        )
        assert answer.status_code == 409
        assert city.ask(api.GetPlan(plan="evacuation")).plan.level == 0

    async def test_step(self, desk: Any, city: api.Client) -> None:
        """A step that a colleague ticked since is not ticked again, nor that of a later round; the page says who did it."""
        karim = desk.visitor("operator", person="karim")
        city.ask(api.SetPlan(plan="snow", level=1, person="nadia", reason="ice"))
        page = (await karim.get("/plans/snow")).text
        form = {
            "question": "checklist:1:0",
            "yes": "yes",
            "seen": hidden(page, "seen", 'id="steps"'),
        }
        nadia = desk.visitor("operator", person="nadia")
        assert (await desk.send(nadia, "/plans/snow/answer", **form)).status_code == 303
        await recorded(city, "plan:snow", "nadia")
        answer = await desk.send(karim, "/plans/snow/answer", **form)
        assert (answer.status_code, "<strong>nadia</strong>" in answer.text) == (409, True)
        city.ask(api.SetPlan(plan="snow", level=0, person="nadia", reason="over"))
        city.ask(api.SetPlan(plan="snow", level=1, person="nadia", reason="ice again"))
        assert (await desk.send(karim, "/plans/snow/answer", **form)).status_code == 409
        assert not city.ask(api.GetPlan(plan="snow")).levels[0].checklist[0].done

    async def test_step_over_the_interface(self, desk: Any, city: api.Client) -> None:
        """A step brings its own standing; there is no `no` to it, and one that does not exist is refused."""
        client = desk.visitor("operator")
        city.ask(api.SetPlan(plan="snow", level=1, person="nadia", reason="ice"))
        (step,) = (await client.get("/api/v1/plans/snow")).json()["levels"][0]["checklist"]

        async def answered(question: str, seen: str = "", *, yes: bool = True) -> Any:
            headers = {"Origin": ORIGIN, "Idempotency-Key": secrets.token_urlsafe(9)}
            body = {"question": question, "yes": yes, "seen": seen}
            return await client.post("/api/v1/plans/snow/answers", json=body, headers=headers)

        assert (await answered(step["question"], "1.0")).json()["code"] == "stale"
        assert not (await answered(step["question"], yes=False)).json()["taken"]
        assert not (await answered("checklist:²:0")).json()["taken"]
        assert (await answered(step["question"], step["standing"])).json()["taken"]
        assert (await answered(step["question"], step["standing"])).status_code == 409

    async def test_interface(self, desk: Any, city: api.Client) -> None:
        """The ETag of a plan does for `If-Match` until somebody changes where it stands."""
        client = desk.visitor("operator")
        tag = (await client.get("/api/v1/plans/snow")).headers["etag"]

        async def order(tag: str) -> int:
            headers = {"Origin": ORIGIN, "Idempotency-Key": secrets.token_hex(8), "If-Match": tag}
            path = "/api/v1/plans/snow/activations"
            body = {"level": 1, "reason": "ice"}
            return int((await client.post(path, json=body, headers=headers)).status_code)

        await asyncio.sleep(0.01)  # what else the answer says, such as its time, may differ
        assert [await order(tag), await order(tag)] == [200, 412]


class TestOverrides:
    async def test_given_back(self, desk: Any, city: api.Client) -> None:
        """Giving back is about the override that was shown: one that a colleague gave since stays."""
        client = desk.visitor("operator", post="security", person="karim")
        by_hand(city, "karim", 40)
        page = (await client.get(f"{SEG}?point=lights.level")).text
        by_hand(city, "nadia", 60)
        await recorded(city, "seg-1.lights.level", "nadia")
        seen = hidden(page, "seen", "/release")
        answer = await desk.send(client, f"{SEG}/release", point="lights.level", seen=seen)
        assert (answer.status_code, "nadia" in answer.text) == (409, True)
        assert len(city.ask(api.ListOverrides())) == 1
        fresh = hidden((await client.get(f"{SEG}?point=lights.level")).text, "seen", "/release")
        done = await desk.send(client, f"{SEG}/release", point="lights.level", seen=fresh)
        assert done.status_code == 303
        assert city.ask(api.ListOverrides()) == []

    async def test_interface(self, desk: Any, city: api.Client) -> None:
        """The same over the interface: 412 with an ETag, 409 with `seen`, each of before."""
        client = desk.visitor("operator", post="security")
        why = await client.get("/api/v1/equipment/seg-1/why?point=lights.level")
        by_hand(city, "nadia", 60)
        path, tag = "/api/v1/equipment/seg-1/overrides", why.headers["etag"]
        body: dict[str, Any] = {"point": "lights.level", "value": 30, "for_s": 60, "reason": "r"}

        def headers(**more: str) -> dict[str, str]:
            return {"Origin": ORIGIN, "Idempotency-Key": secrets.token_hex(8), **more}

        found = await client.post(path, json=body, headers=headers(**{"If-Match": tag}))
        assert found.status_code == 412
        body["seen"] = why.json()["why"]["standing"]
        found = await client.post(path, json=body, headers=headers())
        assert (found.status_code, found.json()["code"]) == (409, "stale")
        there = f"{path}/lights.level"
        found = await client.delete(there, headers=headers(**{"If-Match": tag}))
        assert found.status_code == 412
        assert (await client.delete(there, headers=headers())).json()["taken"]


class TestMaintenance:
    async def test_level_7(self, desk: Any, city: api.Client) -> None:
        """What an engineer takes by hand no operator takes or gives back, on the page or over the interface."""
        engineer = desk.visitor("engineer", post="security", person="emil")
        operator = desk.visitor("operator", post="security", person="karim")
        fields = {"point": "lights.level", "for_s": "900", "reason": "wiring", "confirmed": "hold"}
        await desk.send(engineer, f"{SEG}/override", value="0", **fields)
        why = city.ask(api.WhyPoint(point="seg-1.lights.level"))
        assert (why.level, why.who.name) == (7, "emil")
        await desk.send(operator, f"{SEG}/override", value="50", **fields)
        await desk.send(operator, f"{SEG}/release", point="lights.level")
        assert city.ask(api.WhyPoint(point="seg-1.lights.level")).level == 7
        await desk.send(engineer, f"{SEG}/release", point="lights.level")
        assert city.ask(api.ListOverrides()) == []


class TestIncidents:
    async def test_close(self, desk: Any, city: api.Client) -> None:
        """An incident on which somebody wrote since is not closed before it was looked at again; a note may join."""
        client = desk.visitor("operator", person="karim")
        opened = await desk.send(client, "/incidents", title="burst main")
        here = opened.headers["location"]
        seen = hidden((await client.get(here)).text, "seen")
        nadia = desk.visitor("operator", person="nadia")
        assert (await desk.send(nadia, here, do="note", text="still rising")).status_code == 303
        close = await desk.send(client, here, do="close", text="all dry", seen=seen)
        assert (close.status_code, "still rising" in close.text) == (409, True)
        note = await desk.send(client, here, do="note", text="on my way", seen=seen)
        assert note.status_code == 303
        seen = hidden(await last_page(client, here, "on my way"), "seen")
        close = await desk.send(client, here, do="close", text="all dry", seen=seen)
        assert close.status_code == 303


class TestView:
    async def test_stood_still(self, desk: Any, city: api.Client, dark: str) -> None:
        """A form of a live view that stood still for five seconds orders nothing; one that moves does."""
        hub, client = desk.frame.hub, desk.visitor("operator", person="karim")

        async def take(seen: str) -> int:
            sent = await desk.send(client, "/alarms", do=f"take:{dark}", **{"seen-live": seen})
            return int(sent.status_code)

        for seen in (f"{hub.cursor} 5200", "zzz.7 120", "\x00'; drop 1e9", f"{hub.cursor} 1e1"):
            assert await take(seen) == 409, seen
        missed = hub.cursor
        hub.ring.add("t", "{}", now=time.monotonic() - 6.0)
        assert await take(f"{missed} 120") == 409
        assert state(city, dark).taken_by == ""
        assert await take(f"{hub.cursor} 120") == 303
        assert state(city, dark).taken_by == "karim"

    async def test_engine_hangs(
        self, desk: Any, city: api.Client, dark: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No order goes into the socket of an engine that says nothing: it would be carried out when it wakes."""
        client = desk.visitor("operator", person="karim")
        monkeypatch.setattr(Hub, "engine_age_s", property(lambda _: 6.0))
        answer = await desk.send(client, "/alarms", do=f"take:{dark}")
        assert (answer.status_code, "did not reach it" in answer.text) == (503, True)
        path = f"/api/v1/alarms/{dark}/acts"
        headers = {"Origin": ORIGIN, "Idempotency-Key": "hung"}
        sent = await client.post(path, json={"action": "take"}, headers=headers)
        assert sent.status_code == 503
        assert state(city, dark).taken_by == ""
