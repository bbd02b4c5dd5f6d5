"""Parts that many read alike: made once, handed out before any route is asked, and only to who may read them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.web_ui.conftest import ORIGIN, Desk

from pilotage import api
from pilotage_web.app import Frame
from pilotage_web.live.fragments import AT_MOST_EVERY_S
from pilotage_web.parts import PartRoute
from pilotage_web.shield import WIRE

LISTS = "/now/lists"


@pytest.fixture(autouse=True)
async def followed(desk: Desk) -> None:
    """The pages know the engine's versions before anything is asked."""
    await desk.frame.hub.placed()


@pytest.fixture
def asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the engine is asked from now on."""
    questions: list[Any] = []
    ask = desk.frame.city.ask

    async def counted(question: Any) -> Any:
        questions.append(question)
        return await ask(question)

    monkeypatch.setattr(desk.frame.city, "ask", counted)
    yield questions


def routed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the paths that reach a route from now on."""
    found: list[str] = []
    for route in desk.app.routes:
        if isinstance(route, PartRoute):
            plain = route.app

            async def noted(scope: Any, receive: Any, send: Any, plain: Any = plain) -> None:
                found.append(scope["path"])
                await plain(scope, receive, send)

            monkeypatch.setattr(route, "app", noted)
    return found


class TestKnown:
    async def test_asks_nobody(
        self, desk: Desk, asked: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Once somebody has read it, everybody of that language gets the same without a route or the engine."""
        first = await desk.visitor("operator").get(LISTS)
        assert first.status_code == 200
        reached = routed(desk, monkeypatch)
        asked.clear()
        again = await desk.visitor("viewer", "traffic").get(LISTS)
        assert again.text == first.text
        assert "Content-Security-Policy" in again.headers
        assert again.headers["Cache-Control"] == "no-store"
        assert (asked, reached) == ([], [])

    async def test_packed(self, desk: Desk) -> None:
        """It is sent compressed to who takes that, plain to who does not, and not at all to who has it."""
        desk.frame.fragments._kept.clear()
        client = desk.visitor("operator")
        plain = await client.get(LISTS, headers={"Accept-Encoding": "identity"})
        packed = await client.get(LISTS, headers={"Accept-Encoding": "gzip"})
        assert packed.text == plain.text
        assert "content-encoding" not in plain.headers
        is_worth_it = len(plain.content) >= 1_000
        assert packed.headers.get("content-encoding") == ("gzip" if is_worth_it else None)
        again = await client.get(LISTS, headers={"If-None-Match": plain.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")

    async def test_new_version(self, desk: Desk, asked: list[Any]) -> None:
        """A list that changed is made anew, and the engine is asked for that list alone."""
        client = desk.visitor("operator")
        await client.get(LISTS)
        asked.clear()
        desk.frame.hub.lists = {**desk.frame.hub.lists, "alarms": 999_999}
        await client.get(LISTS)
        assert [type(question) for question in asked] == [api.ListAlarms]

    async def test_before_anybody_asks(self, desk: Desk, asked: list[Any]) -> None:
        """Who reads a list finds the next version ready: it is begun when the change is told. What nobody read waits."""
        client = desk.visitor("operator")
        await client.get(LISTS)
        await asyncio.sleep(AT_MOST_EVERY_S)
        asked.clear()
        for version in (999_001, 999_002):
            desk.frame.hub._tell_lists({"plans": version})
            await asyncio.sleep(AT_MOST_EVERY_S)
        assert [type(question) for question in asked] == [api.ListPlans]
        await client.get(LISTS)
        assert len(asked) == 2

    async def test_own_language(self, desk: Desk) -> None:
        """Each language has its own."""
        english = await desk.visitor("operator").get(LISTS)
        french = await desk.visitor("operator", person="fr", language="fr").get(LISTS)
        assert "Active plans" in english.text
        assert "Plans actifs" in french.text


class TestWhoMayNot:
    @pytest.fixture
    async def known(self, desk: Desk) -> Frame:
        """A part that is known."""
        await desk.visitor("operator", person="known").get(LISTS)
        return desk.frame

    async def test_nobody(self, desk: Desk, known: Frame) -> None:
        """Who is not signed in is led to the sign-in, however well the part is known."""
        answer = await desk.visitor().get(LISTS)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in?")

    @pytest.mark.parametrize("held", ["password", "second"])
    async def test_not_whole(self, desk: Desk, known: Frame, held: str) -> None:
        """A session that waits for a password or a second factor shows nothing yet."""
        answer = await desk.visitor("operator", held=held).get(LISTS)
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")

    async def test_locked(self, desk: Desk, known: Frame) -> None:
        """One that is locked goes on showing the city."""
        assert (await desk.visitor("operator", held="locked").get(LISTS)).status_code == 200

    async def test_another_host(self, desk: Desk, known: Frame) -> None:
        """A name that is not ours gets nothing."""
        client = desk.visitor("operator")
        answer = await client.get(LISTS, headers={"Host": "elsewhere.example"})
        assert answer.status_code == 421


@pytest.mark.parametrize("path", [LISTS, "/accessibility", "/nowhere"])
async def test_no_circle(desk: Desk, path: str) -> None:
    """A request that was answered leads back to itself nowhere: a full collection would have to find it."""
    headers = [(b"host", urlsplit(ORIGIN).netloc.encode()), (b"cookie", b"person=viewer")]
    desk.visitor("viewer")
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "query_string": b""}
    scope |= {"headers": headers, "state": {}, "root_path": "", "client": ("127.0.0.1", 1)}
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await desk.app(scope, receive, send)
    assert sent[0]["status"] in (200, 404)
    assert WIRE not in scope
    assert scope["state"] == {}


async def test_failure_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the part cannot be made everybody who asks is told so."""
    desk.frame.hub.lists = {**desk.frame.hub.lists, "alarms": 888_888}

    async def broken(question: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(desk.frame.city, "ask", broken)
    client: httpx.AsyncClient = desk.visitor("operator")
    for _ in range(2):
        assert (await client.get(LISTS, headers={"Origin": ORIGIN})).status_code == 500
