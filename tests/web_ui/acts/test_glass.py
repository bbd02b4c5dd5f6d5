"""Break glass: asked for a reason and an end, seen by all, an alarm while it lasts, and looked at afterwards."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.web_ui.acts.test_api import order

from pilotage import api
from pilotage_web.rights import Right

SEG = "/equipment/lighting_segment/seg-1"


@pytest.fixture
def whole(city: api.Client) -> Iterator[api.Client]:
    """The city with whole glass, before and afterwards."""
    yield city
    for each in city.ask(api.ListGlass()):
        city.ask(api.MendGlass(person="test", whose=each.person))


async def broken(desk: Any, client: Any, **fields: str) -> Any:
    return await desk.send(client, "/glass", confirmed="hold", **{"reason": "alone", **fields})


class TestFlow:
    async def test_asked(self, desk: Any, whole: api.Client) -> None:
        """It asks for a reason, and what was not held once more; a time of one's own is refused."""
        client = desk.visitor("operator", post="traffic", person="karim")
        assert (await desk.send(client, "/glass", reason=" ")).status_code == 422
        assert (await desk.send(client, "/glass", reason="x", for_s="86400")).status_code == 422
        first = await desk.send(client, "/glass", reason="<b>alone", for_s="900")
        assert (first.status_code, "&lt;b&gt;alone" in first.text) == (200, True)
        assert whole.ask(api.ListGlass()) == []

    async def test_all_see_it(self, desk: Any, whole: api.Client) -> None:
        """Every page of everybody says who acts for every post, and an alarm stands; until it is mended."""
        client = desk.visitor("operator", post="traffic", person="karim")
        assert (await broken(desk, client)).status_code == 303
        viewer = desk.visitor("viewer", person="eve")
        for path in ("/accessibility", "/glass/bar"):
            assert "karim" in (await viewer.get(path)).text
        alarms = {a.id: a.state for a in whole.ask(api.ListAlarms())}
        assert alarms["break-glass[traffic]"] == "raised"
        assert (await broken(desk, client)).status_code == 303
        assert "broken already" in (await client.get("/glass")).text
        assert (await desk.send(client, "/glass/mend")).status_code == 303
        assert "karim" not in (await viewer.get("/glass/bar")).text
        assert "karim" not in (await viewer.get("/accessibility")).text

    @pytest.mark.parametrize("role", ["viewer", "engineer", "admin"])
    async def test_who_may_not(self, desk: Any, whole: api.Client, role: str) -> None:
        """Only operators break it."""
        client = desk.visitor(role)
        for path in ("/glass", "/glass/mend"):
            assert (await desk.send(client, path, reason="x", confirmed="hold")).status_code == 403
        assert "Only operators may break the glass." in (await client.get("/glass")).text


class TestActs:
    async def test_plans(self, desk: Any, whole: api.Client) -> None:
        """A crisis plan of another post is set without another reason, and the row stands out; other plans stay refused."""
        client = desk.visitor("operator", post="traffic", person="karim")
        await broken(desk, client)
        page = (await client.get("/plans/crisis")).text
        assert "you act for them, with broken glass" in page
        seen = {
            name: re.search(rf'name="{name}" value="([^"]*)"', page)[1]  # type: ignore[index]
            for name in ("seen", "seen_level", "acts")
        }
        fields = {"level": "1", "reason": "flood", "confirmed": "hold", **seen}
        assert (await desk.send(client, "/plans/crisis", **fields)).status_code == 303
        plan = whole.ask(api.GetPlan(plan="crisis")).plan
        assert (plan.level, plan.reason) == (1, "flood [!traffic: alone]")
        assert (await desk.send(client, "/plans/snow", **fields)).status_code == 403

    async def test_second_reason(self, desk: Any, whole: api.Client) -> None:
        """A second reason with the order breaks the glass too: for all to see, and for half an hour."""
        client = desk.visitor("operator", post="traffic", person="karim")
        body: dict[str, Any] = {"level": 1, "reason": "flood", "glass": "nobody there"}
        assert (await order(client, "/plans/crisis/activations", **body)).json()["taken"]
        (found,) = whole.ask(api.ListGlass())
        assert (found.person, found.reason) == ("karim", "nobody there")
        assert found.until - found.since == pytest.approx(1800, abs=1)

    async def test_undo_needs_it(self, desk: Any, whole: api.Client) -> None:
        """Who has whole glass takes back no order of another post's crisis plan."""
        whole.ask(api.SetPlan(plan="crisis", level=1, person="ann", reason="flood"))
        client = desk.visitor("operator", post="traffic", person="karim")
        assert (await desk.send(client, "/plans/crisis/undo")).status_code == 403
        assert (await order(client, "/plans/crisis/undo", reason="no")).status_code == 403

    async def test_equipment(self, desk: Any, whole: api.Client) -> None:
        """Equipment of another trade is taken by hand, and the row stands out."""
        client = desk.visitor("operator", post="video", person="karim")
        fields = {"point": "lights.level", "value": "40", "for_s": "900", "reason": "dark"}
        there, sent = f"{SEG}/override", {**fields, "confirmed": "hold"}
        assert (await desk.send(client, there, **sent)).status_code == 403
        await broken(desk, client)
        assert (await desk.send(client, there, **sent)).status_code == 303
        (found,) = whole.ask(api.ListOverrides())
        assert found.reason == "dark [!video: alone]"


class TestReview:
    async def test_looked_at(self, desk: Any, whole: api.Client) -> None:
        """An admin sees each case with its end, and notes that it was looked at; nobody else does."""
        client = desk.visitor("operator", post="traffic", person="nadia")
        await broken(desk, client, reason="bus on fire")
        await desk.send(client, "/glass/mend")
        admin = desk.visitor("admin", person="root")
        for _ in range(40):
            page = (await admin.get("/glass")).text
            if "bus on fire" in page and "lasts" not in page.partition("bus on fire")[0][-900:]:
                break
            await asyncio.sleep(0.05)  # the audit follows the journal
        row = re.search(r'name="row" value="(\d+)"', page)
        assert row, page
        assert (await desk.send(client, "/glass/review", row=row[1])).status_code == 403
        done = await desk.send(admin, "/glass/review", row=row[1], note="in order")
        assert done.status_code == 303
        page = (await admin.get("/glass")).text
        assert "root · “in order”" in page
        other = desk.visitor("admin", person="eve")
        assert (await desk.send(other, "/glass/review", row=row[1], note="why?")).status_code == 303
        page = (await other.get("/glass")).text
        assert "root has looked at it already" in page
        assert "why?" not in page
        assert (await desk.send(admin, "/glass/review", row="999999")).status_code == 404
        assert "bus on fire" not in (await client.get("/glass")).text


def test_only_operators() -> None:
    """The right is the operators'."""
    from pilotage_web.rights import TABLE

    assert [role.value for role, rights in TABLE.items() if Right.GLASS in rights] == ["operator"]
