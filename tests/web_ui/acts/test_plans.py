"""Plans: seen before they are set, set once and on purpose, taken back, and by whom they may be."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from pilotage import api
from pilotage_web.pages.plans import Order, end_of, has_drifted, mistakes, permission, usual_level
from pilotage_web.request import Who
from pilotage_web.rights import Right

PARIS = ZoneInfo("Europe/Paris")
THREE_AM = 1_768_528_800.0
"""2026-01-16 03:00:00 in Paris."""


def who(role: str = "operator", post: str = "snow") -> Who:
    return Who("ann", "Ann", {post: role}, post)


def plan_of(**more: Any) -> api.Plan:
    return api.Plan(**{"name": "snow", "operators": ["snow"], "levels": ["a", "b"], **more})


class TestPermission:
    def test_own_post(self) -> None:
        """An operator of a post that the plan names may set it; a viewer may not."""
        assert permission(plan_of(), who()).is_given
        assert not permission(plan_of(), who("viewer")).is_given

    def test_other_post(self) -> None:
        """Another post may not, and is told which can."""
        found = permission(plan_of(), who(post="traffic"))
        assert (found.is_given, found.posts) == (False, ("snow",))

    def test_no_post_named(self) -> None:
        """A plan that names none may be set from every post."""
        assert permission(plan_of(operators=[]), who(post="traffic")).is_given

    def test_glass(self) -> None:
        """A crisis plan may be set from another post, with a second reason; by an engineer it may not."""
        crisis = plan_of(priority=4)
        assert permission(crisis, who(post="traffic")).by_glass
        assert not permission(crisis, who("engineer", "traffic")).is_given


class TestWorkedOut:
    def test_usual_level(self) -> None:
        """What is offered first is the next level, the highest at most, or what is proposed."""
        assert [usual_level(plan_of(level=n)) for n in (0, 1, 2)] == [1, 2, 2]
        assert usual_level(plan_of(proposed=2)) == 2

    @pytest.mark.parametrize(
        ("choice", "ahead"),
        [("plan", None), ("in:7200", 7200.0), ("at:06:00", 10_800.0), ("at:02:00", 82_800.0)],
    )
    def test_end(self, choice: str, ahead: float | None) -> None:
        """An end is some time ahead or the next such time of day."""
        found = end_of(choice, THREE_AM, PARIS)
        assert (None if found is None else found - THREE_AM) == ahead

    @pytest.mark.parametrize(
        "choice", ["in:", "in:-5", "in:9999999", "at:25:00", "never", "plan:x"]
    )
    def test_no_end(self, choice: str) -> None:
        """Anything else is no end."""
        with pytest.raises(ValueError):
            end_of(choice, THREE_AM, PARIS)

    def test_drift(self) -> None:
        """More than 5 % between look and hold asks again."""
        assert [has_drifted(100, n) for n in (95, 100, 105, 94, 107)] == [False] * 3 + [True] * 2
        assert has_drifted(0, 1)

    def test_mistakes(self) -> None:
        """All mistakes of an order are told at once."""
        order = Order("7", "", "never", "", "", "", 0, "")
        assert set(mistakes(order, plan_of(), permission(plan_of(), who()))) == {
            *("level", "reason", "until"),
        }


def hidden(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found, name
    return found[1]


async def fields(
    client: httpx.AsyncClient, plan: str, level: int = 1, **more: str
) -> dict[str, str]:
    """Return what the form of a plan would send after it was held."""
    text = (await client.get(f"/plans/{plan}?level={level}")).text
    seen = {name: hidden(text, name) for name in ("seen", "seen_level", "acts")}
    return {
        **seen,
        "level": str(level),
        "reason": "ice",
        "until": "in:7200",
        "confirmed": "hold",
        **more,
    }


def standing(city: api.Client, plan: str) -> api.Plan:
    return next(p for p in city.ask(api.ListPlans()) if p.name == plan)


class TestPages:
    async def test_all(self, desk: Any, city: api.Client) -> None:
        """The page names each plan, what it would do, and who may set those that are not ours."""
        text = (await desk.visitor("operator").get("/plans")).text
        assert "Snow plan" in text
        assert "act on 3 × lighting segment (lights.level)" in text
        assert "Only these posts may set it: traffic." in text
        assert text.count(' aria-disabled="true" data-refused') == 1

    async def test_viewer(self, desk: Any, city: api.Client) -> None:
        """Who may not sees every button, refused, with who can."""
        text = (await desk.visitor("viewer").get("/plans")).text
        assert text.count(' aria-disabled="true" data-refused') == 4
        assert "Operators of these posts may set it: control, snow." in text

    async def test_french(self, desk: Any, city: api.Client) -> None:
        """Names of plans come from the rules, in the reader's language."""
        text = (await desk.visitor("operator", language="fr").get("/plans")).text
        assert "Plan neige" in text
        assert "Maintenir pour activer" in text

    async def test_hostile_text(self, desk: Any, city: api.Client) -> None:
        """A text from the rules is text and no markup."""
        text = (await desk.visitor("operator").get("/plans/snow")).text
        assert "Schools &lt;b&gt;informed&lt;/b&gt;" in text

    async def test_points(self, desk: Any, city: api.Client) -> None:
        """What a plan holds is listed with wanted, sent and confirmed; what stands above it is named."""
        city.ask(api.SetPlan(plan="snow", level=1, person="nadia", reason="ice"))
        order = api.SetOverride(
            point="seg-3.lights.level", value=5, for_s=60, person="<i>x</i>", reason="x"
        )
        city.ask(order)
        client = desk.visitor("operator")
        assert "/plans/snow/points" in (await client.get("/plans/snow")).text
        text = (await client.get("/plans/snow/points")).text
        rows = dict(re.findall(r'data-point="(.*?)" data-standing="(.*?)"', text))
        assert rows == {
            **dict.fromkeys(("l-1.level", "l-2.level", "l-3.level"), "waiting"),
            "seg-3.lights.level": "dominated",
        }
        assert "&lt;i&gt;x&lt;/i&gt;" in text, text
        only = (await client.get("/plans/snow/points?standing=dominated")).text
        assert re.findall(r'data-point="(.*?)"', only) == ["seg-3.lights.level"]
        assert (await client.get("/plans/snow/points?standing=odd")).status_code == 404
        assert (await client.get("/plans/frost/points")).status_code == 404
        answer = await desk.visitor("operator", scopes=frozenset(Right)).get(
            "/api/v1/plans/snow/points?limit=2", headers={"authorization": "Bearer operator"}
        )
        assert [p["point"] for p in answer.json()["items"]] == ["l-1.level", "l-2.level"]
        assert answer.json()["next"] == "l-2.level"

    async def test_unknown(self, desk: Any) -> None:
        """A plan that does not exist is a clear page."""
        assert (await desk.visitor("operator").get("/plans/frost")).status_code == 404


class TestOrders:
    async def test_held(self, desk: Any, city: api.Client) -> None:
        """A held order on what was seen is carried out, with its reason, its end, and the person."""
        client = desk.visitor("operator", person="karim")
        sent = await desk.send(client, "/plans/snow", **await fields(client, "snow"))
        assert (sent.status_code, sent.headers["location"]) == (303, "/plans/snow")
        plan = standing(city, "snow")
        assert (plan.level, plan.reason) == (1, "ice")
        assert plan.until is not None and plan.since is not None
        assert plan.until - plan.since == pytest.approx(7200.0, abs=5.0)
        text = (await client.get("/plans/snow")).text
        assert "can be undone until" in text
        assert "confirmed by the equipment" in text

    async def test_twice(self, desk: Any, city: api.Client) -> None:
        """The same form sent twice is one order."""
        client = desk.visitor("operator")
        form = await fields(client, "snow")
        first = await desk.send(client, "/plans/snow", key="same", **form)
        city.ask(api.SetPlan(plan="snow", level=None, person="x", reason="x"))
        again = await desk.send(client, "/plans/snow", key="same", **form)
        assert (first.status_code, again.status_code) == (303, 303)
        assert standing(city, "snow").level == 0

    async def test_not_held(self, desk: Any, city: api.Client) -> None:
        """A form that comes without having been held is asked once more; the second step acts."""
        client = desk.visitor("operator")
        form = {**await fields(client, "snow"), "confirmed": ""}
        asked = await desk.send(client, "/plans/snow", **form)
        assert asked.status_code == 200
        assert "Yes, order it" in asked.text
        assert standing(city, "snow").level == 0
        again = {n: hidden(asked.text, n) for n in (*form,) if n != "confirmed"}
        await desk.send(client, "/plans/snow", **again, confirmed="page")
        assert standing(city, "snow").level == 1

    async def test_stale(self, desk: Any, city: api.Client) -> None:
        """What was decided on another state is refused with 409 and shows the new one; nothing happens."""
        client = desk.visitor("operator")
        form = await fields(client, "snow")
        city.ask(api.SetPlan(plan="snow", level=2, person="nadia", reason="first"))
        sent = await desk.send(client, "/plans/snow", **form)
        assert sent.status_code == 409
        assert "Nothing was done" in sent.text
        assert "“first”" in sent.text
        assert standing(city, "snow").level == 2

    async def test_drifted(self, desk: Any, city: api.Client) -> None:
        """When more than 5 % of what would act has changed, it is asked again."""
        client = desk.visitor("operator")
        form = await fields(client, "snow")
        city.ask(
            api.SetOverride(
                point="seg-1.lights.level", value=80.0, for_s=60, person="x", reason="x"
            )
        )
        sent = await desk.send(client, "/plans/snow", **form)
        assert sent.status_code == 409
        assert standing(city, "snow").level == 0

    async def test_mistakes(self, desk: Any, city: api.Client) -> None:
        """A form with a mistake comes back with what is wrong and what was written."""
        client = desk.visitor("operator")
        form = {**await fields(client, "snow"), "reason": "", "until": "never"}
        sent = await desk.send(client, "/plans/snow", **form)
        assert sent.status_code == 422
        assert "Say why" in sent.text
        assert "Choose when it ends" in sent.text

    async def test_undo(self, desk: Any, city: api.Client) -> None:
        """An order is taken back from the page."""
        client = desk.visitor("operator")
        await desk.send(client, "/plans/snow", **await fields(client, "snow"))
        await desk.send(client, "/plans/snow/undo")
        assert standing(city, "snow").level == 0

    async def test_given_back(self, desk: Any, city: api.Client) -> None:
        """A plan that was set by hand is given back to its conditions, or switched off until an end."""
        client = desk.visitor("operator")
        await desk.send(client, "/plans/snow", **await fields(client, "snow"))
        form = {**await fields(client, "snow", 0), "level": "auto"}
        await desk.send(client, "/plans/snow", **form)
        assert (standing(city, "snow").level, standing(city, "snow").manual) == (0, False)
        await desk.send(client, "/plans/snow", **await fields(client, "snow"))
        await desk.send(client, "/plans/snow", **await fields(client, "snow", 0))
        assert (standing(city, "snow").level, standing(city, "snow").manual) == (0, True)

    async def test_two_people(self, desk: Any, city: api.Client) -> None:
        """A plan for two people waits for the other person, who joins from another session."""
        karim = desk.visitor("operator", person="karim")
        nadia = desk.visitor("operator", person="nadia")
        await desk.send(karim, "/plans/evacuation", **await fields(karim, "evacuation"))
        assert standing(city, "evacuation").level == 0
        assert "karim wants level 1" in (await nadia.get("/plans/evacuation")).text
        buttons = [
            re.findall(
                r'name="yes" value="(?:yes|no)">(\w+)</button>',
                (await who.get("/plans/evacuation")).text,
            )
            for who in (karim, nadia)
        ]
        assert buttons == [["Undo"], ["Join", "Refuse"]]
        await desk.send(karim, "/plans/evacuation/answer", question="second", yes="yes")
        assert standing(city, "evacuation").level == 0
        await desk.send(nadia, "/plans/evacuation/answer", question="second", yes="yes")
        assert standing(city, "evacuation").level == 1

    async def test_checklist(self, desk: Any, city: api.Client) -> None:
        """A step for people is ticked off."""
        client = desk.visitor("operator")
        await desk.send(client, "/plans/snow", **await fields(client, "snow"))
        await desk.send(client, "/plans/snow/answer", question="checklist:1:0", yes="yes")
        assert city.ask(api.GetPlan(plan="snow")).levels[0].checklist[0].done

    async def test_glass(self, desk: Any, city: api.Client) -> None:
        """A crisis plan from another post needs a second reason, which stands in the record."""
        client = desk.visitor("operator")
        form = await fields(client, "crisis")
        assert (await desk.send(client, "/plans/crisis", **form)).status_code == 422
        await desk.send(client, "/plans/crisis", **form, glass="nobody answers there")
        plan = standing(city, "crisis")
        assert (plan.level, plan.reason) == (1, "ice [!control: nobody answers there]")

    @pytest.mark.parametrize("role", ["viewer", "engineer", "admin"])
    async def test_refused_roles(self, desk: Any, city: api.Client, role: str) -> None:
        """Other roles order nothing, whatever they send."""
        client = desk.visitor(role)
        for path in ("/plans/snow", "/plans/snow/undo", "/plans/snow/answer"):
            sent = await desk.send(client, path, level="1", reason="x", confirmed="hold")
            assert sent.status_code == 403
        assert standing(city, "snow").level == 0

    async def test_refused_post(self, desk: Any, city: api.Client) -> None:
        """An operator of another post orders nothing."""
        sent = await desk.send(
            desk.visitor("operator"), "/plans/closed", level="1", reason="x", confirmed="hold"
        )
        assert sent.status_code == 403
