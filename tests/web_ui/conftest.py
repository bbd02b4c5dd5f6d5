"""The application in front of a real engine, and people of every role to visit it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute
from tests.web_ui.city import make_city, running

from pilotage_web.app import Frame, create_app
from pilotage_web.city import City
from pilotage_web.people import People
from pilotage_web.request import NOBODY, Who, masked_csrf
from pilotage_web.site import Site

ORIGIN = "http://127.0.0.1:8080"
POST = "control"


class Roles(People):
    """People for tests: who asks is the person that the cookie `person` names; each role has one, `viewer` to `admin`."""

    def __init__(self) -> None:
        self.known: dict[str, Who] = {}

    def add(self, who: Who) -> Who:
        self.known[who.person] = who
        return who

    sign_in = "/sign-in"

    @property
    def routes(self) -> Sequence[BaseRoute]:
        return ()

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def who(self, request: HTTPConnection) -> Who:
        return self.known.get(request.cookies.get("person", ""), NOBODY)

    async def bearer(self, request: HTTPConnection) -> Who:
        word, _, token = request.headers.get("authorization", "").partition(" ")
        return self.known.get(token, NOBODY) if word == "Bearer" else NOBODY

    async def prefer(
        self, who: Who, *, language: str = "", theme: str = "", post: str = ""
    ) -> None:
        from dataclasses import replace

        changed = {"language": language, "theme": theme, "post": post}
        self.known[who.person] = replace(who, **{k: v for k, v in changed.items() if v})  # type: ignore[arg-type]


class Desk:
    """An application and its visitors."""

    def __init__(self, site: Site) -> None:
        self.people = Roles()
        self.site = site
        self.app = create_app(site, City(Path(site.socket)), self.people)
        self.frame: Frame = self.app.state.frame
        self._clients: list[httpx.AsyncClient] = []

    def visitor(self, role: str = "", post: str = POST, **more: Any) -> httpx.AsyncClient:
        """Return a browser of somebody with a role at a post, `control` unless given; of nobody without one."""
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url=ORIGIN,
        )
        self._clients.append(client)
        if role:
            person = more.pop("person", role)
            csrf = secrets.token_urlsafe(24)
            who = Who(person, person.title(), {post: role}, post, csrf=csrf, session=person, **more)
            self.people.add(who)
            client.cookies.set("person", person)
            client.headers["x-csrf"] = masked_csrf(csrf)
        return client

    async def send(
        self, client: httpx.AsyncClient, path: str, key: str = "", **fields: str
    ) -> httpx.Response:
        """Send a form as a page of ours would."""
        data = {"key": key or secrets.token_urlsafe(9), **fields}
        return await client.post(path, data=data, headers={"Origin": ORIGIN})

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


@pytest.fixture(scope="session")
def engine_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small city with a real engine in another process; its control socket."""
    folder = tmp_path_factory.mktemp("city") / "c"
    with running(make_city(folder)) as socket:
        yield socket


@pytest.fixture
def site(engine_socket: Path, tmp_path: Path) -> Site:
    """The site of that city."""
    return Site(
        name="Dijon",
        socket=str(engine_socket),
        folder=str(tmp_path / "web"),
        time_zone="Europe/Paris",
    )


@pytest.fixture
async def desk(site: Site) -> AsyncIterator[Desk]:
    """The application, ready to be visited."""
    desk = Desk(site)
    async with desk.app.router.lifespan_context(desk.app):
        yield desk
        await desk.close()
