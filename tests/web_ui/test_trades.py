"""A post takes by hand what belongs to its trades: on the page and through the JSON interface, and who may is said."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from tests.web_ui.conftest import Desk

from pilotage import api
from pilotage_web.people.posts import DEFAULT_POSTS, room_of
from pilotage_web.site import PostSite, Site
from pilotage_web.trades import holders


async def lamp(desk: Desk) -> Any:
    """Return some lamp of the city."""
    found = await desk.frame.city.ask(api.ListEquipment(kind="lamp"))
    return found.equipment[0]


async def ordered(desk: Desk, client: httpx.AsyncClient, id_: str) -> httpx.Response:
    """Take it by hand through the JSON interface."""
    order = {"point": "level", "value": 40, "for_s": 60, "reason": "test"}
    return await client.post(f"/api/v1/equipment/{id_}/overrides", json=order, headers=KEYS)


ROOM = room_of(())
KEYS = {"Idempotency-Key": "trades-test-1", "Origin": "http://127.0.0.1:8080"}


@pytest.mark.parametrize("post", [post.id for post in DEFAULT_POSTS if not post.domains])
async def test_another_post_is_refused(desk: Desk, post: str) -> None:
    """Nothing is done, and the answer says who can."""
    one = await lamp(desk)
    caller = desk.visitor("operator", post, person="caller")
    answer = await ordered(desk, caller, one.id)
    assert answer.status_code == 403
    names = [held.title("en") for held in holders(ROOM, "lighting")]
    assert all(name in answer.text for name in names)
    page = f"/equipment/lamp/{quote(one.id)}"
    sent = await desk.send(
        caller,
        f"{page}/override",
        point="level",
        value="40",
        for_s="60",
        reason="test",
        confirmed="1",
    )
    assert sent.status_code == 403
    assert names[0] in (await caller.get(page)).text
    assert (await caller.delete(f"/api/v1/equipment/{one.id}/overrides/level", headers=KEYS)).status_code == 403  # fmt: skip


async def test_its_own_post_may(desk: Desk) -> None:
    """What a post's trade has brought, it takes."""
    one = await lamp(desk)
    answer = await ordered(desk, desk.visitor("operator", "traffic", person="ann"), one.id)
    assert answer.status_code == 202, answer.text


def test_every_trade_of_ours_has_a_post() -> None:
    """Otherwise nobody would be refused there."""
    trades = "access buildings emergency fleet lighting parking security signs traffic winter"
    assert [trade for trade in trades.split() if not holders(ROOM, trade)] == []


class TestNamed:
    """A site that names its posts has those, with their trades and areas."""

    @pytest.fixture
    def site(self, site: Site) -> Site:
        posts = [
            PostSite(id="east", titles={"fr": "Est", "en": "East"}, trades=["lighting"], areas=["Est"], phone="03 80"),
            PostSite(id="city", trades=["lighting"]),
        ]  # fmt: skip
        return msgspec.structs.replace(site, posts=posts)

    async def test_areas(self, desk: Desk) -> None:
        """A post takes what is in its areas; the refusal names who may."""
        one = await lamp(desk)
        east = desk.visitor("operator", "east", person="eva")
        refused = await ordered(desk, east, one.id)
        assert (refused.status_code, "city" in refused.json()["detail"]) == (403, True)
        assert (await ordered(desk, desk.visitor("operator", "city"), one.id)).status_code == 202

    async def test_room(self, desk: Desk) -> None:
        """The admins' post is there; the usual posts are not; nobody is left without a name."""
        assert [*desk.frame.room] == ["east", "city", "administration"]
        named = holders(desk.frame.room, "lighting", "Est")
        assert [post.title("fr") for post in named] == ["Est", "city"]
        assert [post.id for post in holders(desk.frame.room, "lighting", "Ouest")] == ["city"]
