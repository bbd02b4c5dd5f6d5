"""Lists of the JSON interface in pages: put together they are the whole, nothing twice, nothing missing."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from pilotage import api

MOST_PAGES = 200


async def walk(client: httpx.AsyncClient, path: str, limit: int) -> tuple[list[Any], int]:
    """Return a list as it comes in pages, and how many these are."""
    found: list[Any] = []
    after, place = "", path.partition("?")[0]
    asked = dict(pair.split("=") for pair in path.partition("?")[2].split("&") if pair)
    for pages in range(1, MOST_PAGES):
        more = {"after": after} if after else {}
        answer = await client.get(
            f"/api/v1{place}?{urlencode({**asked, 'limit': str(limit), **more})}"
        )
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["items"]) <= limit
        found += answer.json()["items"]
        after = answer.json()["next"]
        if not after:
            return found, pages
    pytest.fail(f"{path} does not end")


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/points?kind=lamp", "id"),
        ("/equipment", "id"),
        ("/states", "id"),
        ("/plans/snow/points", "point"),
        ("/equipment/L-1/commands?point=level", "id"),
        ("/rules/dim-quiet-streets/instances", "id"),
        ("/journal?kind=log&after=0", "number"),
    ],
)
async def test_pages_join(desk: Any, site: Any, path: str, key: str) -> None:
    """Page by page comes what one large page has, each once and in the same order."""
    client = desk.visitor("operator")
    with api.Client(site.socket) as city:
        city.ask(api.SetPlan(plan="snow", level=1, person="ann", reason="ice"))
        for number in range(5):
            city.ask(api.WriteNote(text=f"line {number}", person="ann", post="control"))
        whole, _ = await walk(client, path, 200)
        parts, pages = await walk(client, path, 2)
        city.ask(api.SetPlan(plan="snow", level=None, person="ann", reason="end"))
    ids = [item[key] for item in whole]
    assert [item[key] for item in parts] == ids
    assert len(ids) == len(set(ids)) > 0
    assert pages >= len(ids) // 2


async def test_a_cursor_that_is_none(desk: Any) -> None:
    """A place that was never given out is refused, or begins where it would stand; nothing fails."""
    client = desk.visitor("operator")
    for path in ("/points", "/equipment", "/states", "/journal", "/plans/snow/points"):
        answer = await client.get(f"/api/v1{path}", params={"after": "☃"})
        assert answer.status_code in (200, 422), (path, answer.text)
