"""The JSON interface of what people act on."""

from __future__ import annotations

import secrets
from typing import Any

import httpx
import pytest
from tests.web_ui.conftest import ORIGIN

from pilotage import api


async def order(client: httpx.AsyncClient, path: str, key: str = "", **body: Any) -> httpx.Response:
    headers = {"Origin": ORIGIN, "Idempotency-Key": key or secrets.token_urlsafe(9)}
    return await client.post(f"/api/v1{path}", json=body, headers=headers)


def level(city: api.Client, name: str = "snow") -> int:
    return next(p.level for p in city.ask(api.ListPlans()) if p.name == name)


class TestPlans:
    async def test_preview_and_order(self, desk: Any, city: api.Client) -> None:
        """A plan is looked at and set on what was seen; the same key is one order; what was seen before is refused then."""
        client = desk.visitor("operator")
        seen = (await client.get("/api/v1/plans/snow/preview?level=1")).json()
        assert sum(e["acts"] for e in seen["effects"]) == 6
        body: dict[str, Any] = {"level": 1, "reason": "ice", "seen": seen["standing"]}
        for _ in range(2):
            found = await order(client, "/plans/snow/activations", key="once", **body)
            assert (found.status_code, found.json()["taken"]) == (200, True)
        stale = await order(client, "/plans/snow/activations", **body)
        assert (stale.status_code, stale.json()["code"]) == (409, "stale")
        assert (await order(client, "/plans/snow/undo", reason="mistake")).json()["taken"]
        assert level(city) == 0

    async def test_posts(self, desk: Any, city: api.Client) -> None:
        """The plan of another post is refused; a crisis plan asks for the second reason."""
        client = desk.visitor("operator")
        body: dict[str, Any] = {"level": 1, "reason": "ice"}
        assert (await order(client, "/plans/closed/activations", **body)).status_code == 403
        assert (await order(client, "/plans/crisis/activations", **body)).status_code == 403
        found = await order(client, "/plans/crisis/activations", **body, glass="nobody there")
        assert found.json()["taken"]
        assert level(city, "crisis") == 1

    async def test_second(self, desk: Any, city: api.Client) -> None:
        """The second person joins over the interface as well."""
        ann, bob = desk.visitor("operator", person="ann"), desk.visitor("operator", person="bob")
        await order(ann, "/plans/evacuation/activations", level=1, reason="fire")
        yes: dict[str, Any] = {"question": "second", "yes": True}
        assert not (await order(ann, "/plans/evacuation/answers", **yes)).json()["taken"]
        assert (await order(bob, "/plans/evacuation/answers", **yes)).json()["taken"]
        detail = (await bob.get("/api/v1/plans/evacuation")).json()
        assert detail["plan"]["level"] == 1

    @pytest.mark.parametrize(
        "path", ["/plans/frost", "/plans/frost/preview?level=1", "/plans/snow/preview?level=9"]
    )
    async def test_unknown(self, desk: Any, path: str) -> None:
        """What does not exist is 404, as a problem."""
        found = await desk.visitor("viewer").get(f"/api/v1{path}")
        assert (found.status_code, found.headers["content-type"]) == (
            404,
            "application/problem+json",
        )


class TestTheOthers:
    async def test_alarms(self, desk: Any, city: api.Client) -> None:
        """Alarms are listed and acted on, several at once with a receipt each."""
        city.ask(
            api.SetOverride(point="seg-2.lights.level", value=5, for_s=600, person="t", reason="t")
        )
        client = desk.visitor("operator", person="ann")
        listed = (await client.get("/api/v1/alarms?owner=lighting")).json()["items"]
        assert "dark-street[seg-2]" in [a["id"] for a in listed]
        ids = ["dark-street[seg-2]", "no-such[x]"]
        found = (await order(client, "/alarm-acts", alarms=ids, action="take")).json()
        assert [receipt["taken"] for receipt in found] == [True, False]
        one = await order(
            client, "/alarms/dark-street[seg-2]/acts", action="comment", reason="seen"
        )
        assert one.json()["taken"]
        rates = (await client.get("/api/v1/alarm-rates")).json()["rates"]
        assert "dark-street" in [rate["title"] for rate in rates]

    async def test_incidents(self, desk: Any, city: api.Client) -> None:
        """An incident is opened, stepped and read back."""
        client = desk.visitor("operator", person="ann")
        opened = (await order(client, "/incidents", title="Tree", severity="high")).json()
        number = opened["text"].split()[-1]
        await order(client, f"/incidents/{number}/steps", action="close", text="gone")
        found = (await client.get(f"/api/v1/incidents/{number}")).json()
        assert (found["incident"]["title"], found["incident"]["closed"]) == ("Tree", True)
        assert number not in [
            i["id"] for i in (await client.get("/api/v1/incidents")).json()["items"]
        ]

    async def test_journal(self, desk: Any, city: api.Client) -> None:
        """Lines are written, and read on from where one was."""
        client = desk.visitor("operator", person="reader")
        rows = [(await order(client, "/journal", text=f"n{n}")).json()["row"] for n in range(3)]
        found = (await client.get(f"/api/v1/journal?kind=log&after={rows[0]}&person=reader")).json()
        assert [line["text"] for line in found["items"]] == ["n1", "n2"]
        assert found["next"] == ""
        path = "/api/v1/journal?kind=log&person=reader&limit=2&after="
        first = (await client.get(f"{path}0")).json()
        assert [line["number"] for line in first["items"]] == rows[:2]
        then = (await client.get(path + first["next"])).json()
        assert [line["number"] for line in then["items"]] == rows[2:]

    @pytest.mark.parametrize("role", ["viewer", "admin"])
    async def test_refused(self, desk: Any, city: api.Client, role: str) -> None:
        """Who may not orders nothing."""
        client = desk.visitor(role)
        for path, body in (
            ("/plans/snow/activations", {"level": 1, "reason": "x"}),
            ("/alarm-acts", {"alarms": ["x"], "action": "take"}),
            ("/incidents", {"title": "x"}),
            ("/journal", {"text": "x"}),
            ("/reports", {"where": "x", "what": "lamp"}),
        ):
            assert (await order(client, path, **body)).status_code == 403, path
        assert level(city) == 0
