"""Alarms: grouped under their causes, counted against targets, acknowledged by one click, shelved with an end."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest

from pilotage import api
from pilotage_web.pages.alarms import lines_of, view


def alarm(id_: str, **more: Any) -> api.Alarm:
    title = id_.partition("[")[0]
    given = {
        "title": title,
        "severity": "low",
        "state": "raised",
        "since": 100.0,
        "owner": "lighting",
    }
    return api.Alarm(**{"id": id_, **given, **more})


def rates(*counts: int, title: str = "dark") -> api.AlarmRates:
    ten, hour, day = counts
    rate = api.AlarmRate(
        title=title, owner="lighting", last_10_min=ten, last_hour=hour, last_day=day
    )
    return api.AlarmRates(since=0.0, at=200_000.0, rates=[rate])


class TestLines:
    def test_under_their_cause(self) -> None:
        """What another alarm caused stands under it, however far the chain goes."""
        found = lines_of(
            [
                alarm("cabinet[A]", severity="critical"),
                alarm("street[s]", cause="cabinet[A]"),
                alarm("lamp[l]", cause="street[s]"),
            ]
        )
        (line,) = found
        assert (line.head.id, line.priority, line.is_cause) == ("cabinet[A]", 1, True)
        assert [a.id for a in line.members] == ["cabinet[A]", "street[s]", "lamp[l]"]

    def test_causes_in_a_circle(self) -> None:
        """Two alarms that name each other as their cause end nowhere."""
        found = lines_of([alarm("a[1]", cause="b[1]"), alarm("b[1]", cause="a[1]")])
        assert sorted(a.id for line in found for a in line.members)[:1] == ["a[1]"]

    def test_many_of_one_name(self) -> None:
        """Four of one name are one line, three are not; the oldest of the most urgent stands for it."""
        many = [alarm(f"dark[{n}]", since=100.0 - n) for n in range(4)]
        assert [line.head.id for line in lines_of(many)] == ["dark[3]"]
        assert len(lines_of(many[:3])) == 3

    def test_order(self) -> None:
        """The most urgent come first, then the oldest."""
        found = lines_of(
            [alarm("a[1]"), alarm("b[1]", since=50.0), alarm("c[1]", severity="high", since=150.0)]
        )
        assert [line.head.id for line in found] == ["c[1]", "b[1]", "a[1]"]


class TestFigures:
    def test_flood(self) -> None:
        """More than ten new ones in ten minutes are a flood: pairs become lines already."""
        pair = [alarm("dark[1]"), alarm("dark[2]")]
        calm, flood = view(pair, rates(10, 10, 10)), view(pair, rates(11, 11, 11))
        assert (calm["is_flood"], len(calm["lines"])) == (False, 2)
        assert (flood["is_flood"], len(flood["lines"])) == (True, 1)

    def test_of_a_trade(self) -> None:
        """Figures are those of the trade that is asked for."""
        shown = view(
            [alarm("dark[1]"), alarm("x[1]", owner="roads")], rates(11, 11, 11), trade="roads"
        )
        assert (shown["counts"]["waiting"], shown["new"]) == (1, 0)
        assert shown["trades"] == ["lighting", "roads"]

    def test_stale_and_worst(self) -> None:
        """What stands for more than a day is counted, and who comes most often is named with its share."""
        shown = view([alarm("dark[1]", since=200_000.0 - 90_000.0)], rates(0, 0, 7))
        assert shown["stale"] == 1
        assert [(rate.title, share) for rate, share in shown["worst"]] == [("dark", 1.0)]
        assert dict(shown["shares"])[4] == 1.0

    @pytest.mark.parametrize(
        ("wanted", "states"),
        [
            ("waiting", {"raised", "cleared", "latched"}),
            ("standing", {"acknowledged"}),
            ("suspended", {"shelved", "suppressed", "out_of_service"}),
        ],
    )
    def test_views(self, wanted: str, states: set[str]) -> None:
        """Each state of ISA-18.2 is in one view."""
        every = (
            "raised",
            "acknowledged",
            "cleared",
            "latched",
            "shelved",
            "suppressed",
            "out_of_service",
        )
        shown = view([alarm(f"{s}[1]", state=s) for s in every], rates(0, 0, 0), wanted)
        assert {line.head.state for line in shown["lines"]} == states


def state(city: api.Client, id_: str) -> api.Alarm:
    return next(a for a in city.ask(api.ListAlarms(all=True)) if a.id == id_)


@pytest.fixture
def dark(city: api.Client) -> str:
    """A street in the dark with its two lamps: three alarms, the street's the cause."""
    order = api.SetOverride(
        point="seg-1.lights.level", value=5, for_s=600, person="t", reason="test"
    )
    assert city.ask(order).taken
    return "dark-street[seg-1]"


def hidden(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text, re.S)
    assert found, name
    return found[1]


class TestPage:
    async def test_acknowledge(self, desk: Any, city: api.Client, dark: str) -> None:
        """One click acknowledges a line with all that it shows; the list says who has what."""
        client = desk.visitor("operator", person="karim")
        text = (await client.get("/alarms")).text
        assert "Dark street" in text
        assert "because of it" in text
        index = re.search(r'value="acknowledge:@(\d+)"', text)
        assert index
        seen = hidden(text, f"line-{index[1]}")
        ids = "\n".join(row.partition("\t")[0] for row in seen.splitlines())
        assert ids.splitlines()[0] == dark
        await desk.send(
            client, "/alarms", do=f"acknowledge:@{index[1]}", **{f"line-{index[1]}": seen}
        )
        assert {state(city, id_).state for id_ in ids.splitlines()} == {"acknowledged"}
        assert state(city, dark).person == "karim"

    async def test_take_and_give_back(self, desk: Any, city: api.Client, dark: str) -> None:
        """Who takes an alarm is shown to the others, until it is given back."""
        client = desk.visitor("operator", person="karim")
        await desk.send(client, "/alarms", do=f"take:{dark}")
        assert "taken by karim" in (await desk.visitor("viewer").get("/alarms?state=all")).text
        await desk.send(client, "/alarms", do=f"give_back:{dark}")
        assert state(city, dark).taken_by == ""

    async def test_shelve(self, desk: Any, city: api.Client, dark: str) -> None:
        """Shelving needs a reason and an end; the page shows both."""
        client = desk.visitor("operator")
        refused = await desk.send(client, "/alarms", do=f"shelve:{dark}", for_s="3600")
        assert refused.status_code == 303
        assert state(city, dark).state != "shelved"
        await desk.send(client, "/alarms", do=f"shelve:{dark}", for_s="3600", reason="works <b>")
        shelved = state(city, dark)
        assert shelved.until is not None
        assert shelved.until - time.time() == pytest.approx(3600, abs=10)
        assert "works &lt;b&gt;" in (await client.get("/alarms?state=suspended")).text
        await desk.send(client, "/alarms", do=f"unshelve:{dark}")

    async def test_ticked(self, desk: Any, city: api.Client, dark: str) -> None:
        """Those that are ticked are taken together; without any the page says so."""
        client = desk.visitor("operator", person="nadia")
        await desk.send(client, "/alarms", do="take", alarm=f"{dark}\ndark-lamp[l-1]")
        assert {state(city, i).taken_by for i in (dark, "dark-lamp[l-1]")} == {"nadia"}
        nothing = await desk.send(client, "/alarms", do="take")
        assert nothing.status_code == 303

    async def test_refused_in_french(self, desk: Any, city: api.Client, dark: str) -> None:
        """What the engine does not take is told in the reader's language, and its own alarms belong to their equipment's trade."""
        client = desk.visitor("operator", person="lea", language="fr")
        await desk.send(client, "/alarms", do=f"take:{dark}")
        answer = await desk.send(client, "/alarms", do=f"take:{dark}")
        client.cookies.update(answer.cookies)
        assert "vous l&#39;avez déjà" in (await client.get("/alarms")).text
        assert (
            "il n&#39;y a pas de plan «\u00a0frost\u00a0»"
            in (await client.get("/plans/frost")).text
        )
        await desk.send(client, "/alarms", do=f"give_back:{dark}")

    async def test_incident(self, desk: Any, city: api.Client, dark: str) -> None:
        """An incident of alarms has them attached, and its page shows them."""
        client = desk.visitor("operator", person="karim")
        sent = await desk.send(client, "/alarms", do=f"incident:{dark}")
        where = sent.headers["location"]
        assert re.fullmatch(r"/incidents/\d{4}-\d{4}", where)
        for _ in range(40):
            text = (await client.get(where)).text
            if "attached" in text:
                break
            await asyncio.sleep(0.05)  # the audit follows the journal
        assert dark in text.replace("%5B", "[").replace("%5D", "]")
        assert "attached “Dark street Rue" in text
        await desk.send(client, where, do="note", text="crew on its way <i>")
        assert "crew on its way &lt;i&gt;" in (await client.get(where)).text
        await desk.send(client, where, do="close", text="light is back")
        assert "light is back" in (await client.get(where)).text
        assert where.rpartition("/")[2] not in (await client.get("/incidents")).text
        assert where.rpartition("/")[2] in (await client.get("/incidents?all=yes")).text

    async def test_one(self, desk: Any, city: api.Client, dark: str) -> None:
        """An alarm has a page of its own, with what people wrote."""
        client = desk.visitor("operator", person="karim")
        await desk.send(client, "/alarms", do=f"comment:{dark}", reason="called the works")
        for _ in range(40):
            text = (await client.get(f"/alarms/{dark}")).text
            if "called the works" in text:
                break
            await asyncio.sleep(0.05)  # the audit follows the journal
        assert "called the works" in text
        assert (await client.get("/alarms/no-such[x]")).status_code == 404

    @pytest.mark.parametrize("role", ["viewer", "admin"])
    async def test_refused(self, desk: Any, city: api.Client, dark: str, role: str) -> None:
        """Who may not does nothing, and sees refused buttons with who can."""
        client = desk.visitor(role)
        for path in ("/alarms", "/incidents", "/incidents/incident-1"):
            assert (await desk.send(client, path, do=f"take:{dark}")).status_code == 403
        assert state(city, dark).taken_by != role
        assert "Operators and engineers may act on alarms." in (await client.get("/alarms")).text

    @pytest.mark.parametrize("what", ["explode", "", "shelve_all"])
    async def test_no_such_act(self, desk: Any, city: api.Client, what: str) -> None:
        """An act that does not exist is refused."""
        assert (await desk.send(desk.visitor("operator"), "/alarms", do=what)).status_code == 422


class TestTrades:
    async def test_of_another_post(self, desk: Any, city: api.Client, dark: str) -> None:
        """An alarm of a trade is acted on at the posts of that trade; others may comment, and act with broken glass."""
        client = desk.visitor("operator", post="video", person="karim")
        path = f"/api/v1/alarms/{dark}/acts"

        async def take(key: str) -> dict[str, Any]:
            headers = {"Origin": "http://127.0.0.1:8080", "Idempotency-Key": key}
            found = await client.post(path, json={"action": "take"}, headers=headers)
            return dict(found.json())

        refused = await take("a")
        assert (refused["taken"], "Traffic" in refused["text"]) == (False, True)
        await desk.send(client, "/alarms", do=f"take:{dark}", back=f"/alarms/{dark}")
        assert "acted on at: Security, Traffic" in (await client.get(f"/alarms/{dark}")).text
        assert state(city, dark).taken_by == ""
        await desk.send(client, "/alarms", do=f"comment:{dark}", reason="seen on camera 6")
        assert "Written." in (await client.get(f"/alarms/{dark}")).text
        await desk.send(client, "/glass", reason="alone", confirmed="hold")
        assert (await take("b"))["taken"]
        assert state(city, dark).taken_by == "karim"
