"""A post takes by hand what belongs to its trades: on the page and through the JSON interface, and who may is said."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from tests.web_ui.conftest import Desk

from pilotage import api
from pilotage_web.people.posts import DEFAULT_POSTS
from pilotage_web.trades import holders


async def lamp(desk: Desk) -> Any:
    """Return some lamp of the city."""
    found = await desk.frame.city.ask(api.ListEquipment(kind="lamp"))
    return found.equipment[0]


async def ordered(desk: Desk, client: httpx.AsyncClient, id_: str) -> httpx.Response:
    """Take it by hand through the JSON interface."""
    order = {"point": "level", "value": 40, "for_s": 60, "reason": "test"}
    return await client.post(f"/api/v1/equipment/{id_}/overrides", json=order, headers=KEYS)


KEYS = {"Idempotency-Key": "trades-test-1", "Origin": "http://127.0.0.1:8080"}


@pytest.mark.parametrize("post", [post.id for post in DEFAULT_POSTS if not post.domains])
async def test_another_post_is_refused(desk: Desk, post: str) -> None:
    """Nothing is done, and the answer says who can."""
    one = await lamp(desk)
    caller = desk.visitor("operator", post, person="caller")
    answer = await ordered(desk, caller, one.id)
    assert answer.status_code == 403
    names = [held.title("en") for held in holders("lighting")]
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
    assert [trade for trade in trades.split() if not holders(trade)] == []
