"""The guards before every route: who asks, what they may, whence a form comes, and the headers of every answer."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.responses import Response
from starlette.routing import Route

from pilotage_web.city import City
from pilotage_web.request import GuardedRoute, Visit, action, own_path, page
from pilotage_web.rights import Right, Role, rights_of, roles_with
from pilotage_web.shield import HEADERS, MOST_BODY_BYTES

Desk = Any
ORIGIN = "http://127.0.0.1:8080"


@pytest.fixture
def done(desk: Desk) -> list[str]:
    """What a button of the application was pressed for."""
    done: list[str] = []

    @action("/press", Right.PLANS)
    async def press(visit: Visit) -> Response:
        done.append(visit.field("what"))
        return visit.back("/", f"pressed {visit.field('what')}")

    @action("/break", Right.PLANS)
    async def broken(visit: Visit) -> Response:
        raise ZeroDivisionError("secret inside")

    @page("/broken", "accessibility.html")
    async def broken_page(visit: Visit) -> dict[str, Any]:
        raise ZeroDivisionError("secret inside")

    desk.app.router.routes[:0] = [press, broken, broken_page]
    return done


class TestRights:
    def test_admin_has_no_command_over_the_city(self) -> None:
        """Who keeps the users cannot switch a plan or override a lamp."""
        commands = {Right.PLANS, Right.OVERRIDE, Right.ALARMS, Right.JOURNAL, Right.RULES}
        assert not commands & rights_of(Role.ADMIN)

    def test_unknown_role(self) -> None:
        """A role that does not exist may nothing."""
        assert rights_of("root") == frozenset()

    def test_who_can(self) -> None:
        """A refusal can say who may."""
        assert roles_with(Right.PLANS) == [Role.OPERATOR]


class TestPages:
    async def test_nobody_is_led_to_sign_in(self, desk: Desk) -> None:
        """And comes back to where they wanted to go."""
        answer = await desk.visitor().get("/?zone=Dijon")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=%2F%3Fzone%3DDijon"

    async def test_every_page_has_the_headers(self, desk: Desk, done: list[str]) -> None:
        """Whatever the answer: a page, a refusal, a failure, a style sheet."""
        client = desk.visitor("viewer")
        for path in ("/", "/nothing", "/broken", "/sign-in", desk.frame.assets.url("app.css")):
            answer = await client.get(path)
            for name, value in HEADERS.items():
                assert answer.headers[name] == value, path
            assert answer.headers["cache-control"], path
        assert (await client.get("/")).headers["cache-control"] == "no-store"

    async def test_other_names_are_refused(self, desk: Desk) -> None:
        """A name that somebody made point here reaches no page."""
        answer = await desk.visitor("viewer").get("/", headers={"Host": "evil.example"})
        assert answer.status_code == 421
        assert "web.address" in answer.text

    async def test_unchanged(self, desk: Desk) -> None:
        """A page that is the same is not sent again, although its keys differ each time."""
        client = desk.visitor("viewer")
        first = await client.get("/accessibility")
        again = await client.get("/accessibility", headers={"If-None-Match": first.headers["etag"]})
        assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
        second = await client.get("/accessibility")
        keys = [re.findall(r'name="key" value="([^"]+)"', r.text) for r in (first, second)]
        assert keys[0] and keys[0] != keys[1]

    async def test_hostile_text_is_text(self, desk: Desk) -> None:
        """What people are called cannot become part of the page."""
        client = desk.visitor("viewer", person="<script>alert(1)</script>")
        answer = await client.get("/accessibility")
        assert "<script>alert" not in answer.text.lower()

    async def test_failure_says_nothing_of_our_inside(self, desk: Desk, done: list[str]) -> None:
        """A mistake of ours is a page with a number; the log has the rest."""
        answer = await desk.visitor("viewer").get("/broken")
        assert answer.status_code == 500
        assert "secret inside" not in answer.text
        assert re.search(r"<code>[0-9a-f]{8}</code>", answer.text)


class TestActions:
    async def test_carried_out(self, desk: Desk, done: list[str]) -> None:
        """What somebody who may sends from our page is done, and said on the next page once."""
        client = desk.visitor("operator")
        answer = await desk.send(client, "/press", what="snow")
        assert (answer.status_code, answer.headers["location"], done) == (303, "/", ["snow"])
        assert "pressed snow" in (await client.get("/accessibility")).text
        assert "pressed snow" not in (await client.get("/accessibility")).text

    @pytest.mark.parametrize("role", ["viewer", "engineer", "admin"])
    async def test_who_may_not(self, desk: Desk, done: list[str], role: str) -> None:
        """Is refused, and told who can."""
        answer = await desk.send(desk.visitor(role), "/press", what="snow")
        assert answer.status_code == 403
        assert "Who can: operator." in answer.text
        assert done == []

    async def test_nobody(self, desk: Desk, done: list[str]) -> None:
        """Who is not signed in does nothing."""
        answer = await desk.send(desk.visitor(), "/press", what="snow")
        assert (answer.status_code, done) == (401, [])

    @pytest.mark.parametrize(
        ("origin", "fetch"),
        [
            ("http://evil.example", None),
            ("null", None),
            ("", None),
            ("https://127.0.0.1:8080", None),
            ("http://127.0.0.1:8081", "same-origin"),
            (None, None),
            (None, "cross-site"),
            (None, "same-site"),
            (None, "none"),
        ],
    )
    async def test_other_origins(
        self, desk: Desk, done: list[str], origin: str | None, fetch: str | None
    ) -> None:
        """A form that another site has a browser send changes nothing, whatever it brings."""
        client = desk.visitor("operator")
        headers = {"Origin": origin, "Sec-Fetch-Site": fetch}
        told = {name: value for name, value in headers.items() if value is not None}
        answer = await client.post("/press", data={"key": "k1", "what": "snow"}, headers=told)
        assert (answer.status_code, done) == (403, [])

    @pytest.mark.parametrize("csrf", ["", "x", "AAAA", "é", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"])
    async def test_without_the_secret_of_the_session(
        self, desk: Desk, done: list[str], csrf: str
    ) -> None:
        """Nor does one that does not know the session's secret."""
        client = desk.visitor("operator")
        del client.headers["x-csrf"]
        answer = await desk.send(client, "/press", what="snow", csrf=csrf)
        assert (answer.status_code, done) == (403, [])

    async def test_twice(self, desk: Desk, done: list[str]) -> None:
        """A double click is carried out once; the second gets the first answer."""
        import asyncio

        client = desk.visitor("operator")
        answers = await asyncio.gather(
            *(desk.send(client, "/press", key="k1", what="snow") for _ in range(5))
        )
        assert [answer.status_code for answer in answers] == [303] * 5
        assert done == ["snow"]
        await desk.send(client, "/press", key="k1", what="ice")
        assert done == ["snow", "ice"]

    async def test_without_a_key(self, desk: Desk, done: list[str]) -> None:
        """A form without its key is refused: nobody could tell its repetition."""
        client = desk.visitor("operator")
        answer = await client.post("/press", data={"what": "snow"}, headers={"Origin": ORIGIN})
        assert (answer.status_code, done) == (400, [])

    async def test_unknown_end(self, desk: Desk, done: list[str]) -> None:
        """What failed half-way is not tried again under the same key."""
        client = desk.visitor("operator")
        first = await desk.send(client, "/break", key="k2")
        again = await desk.send(client, "/break", key="k2")
        assert (first.status_code, again.status_code) == (500, 409)
        assert "Nobody knows whether this was done" in again.text

    async def test_too_large(self, desk: Desk, done: list[str]) -> None:
        """A form has bounds."""
        client = desk.visitor("operator")
        answer = await desk.send(client, "/press", what="x" * (MOST_BODY_BYTES + 1))
        assert (answer.status_code, done) == (413, [])
        assert "too large" in answer.text

    async def test_too_large_for_programs(self, desk: Desk) -> None:
        """A program is told so as of everything else that is refused: as `application/problem+json`."""
        client = desk.visitor("operator")
        headers = {"Origin": ORIGIN, "Content-Type": "application/json"}
        body = b"x" * (MOST_BODY_BYTES + 1)
        answer = await client.post("/api/v1/rules/check", content=body, headers=headers)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "too-large"

    async def test_get_changes_nothing(self, desk: Desk, done: list[str]) -> None:
        """An action answers no GET."""
        answer = await desk.visitor("operator").get("/press")
        assert (answer.status_code, done) == (405, [])


class TestRoutes:
    def test_all_are_guarded(self, desk: Desk) -> None:
        """Every route says what it asks for; only the static files need nothing."""
        open_ones = [r.path for r in desk.app.routes if not isinstance(r, GuardedRoute)]
        assert open_ones == ["/static/{name:path}"]
        assert all(isinstance(route, Route) for route in desk.app.routes)


class TestPreferences:
    async def test_language_and_theme(self, desk: Desk) -> None:
        """Belong to the person."""
        client = desk.visitor("viewer")
        answer = await desk.send(
            client, "/preferences", language="fr", theme="light", next="/accessibility"
        )
        assert answer.headers["location"] == "/accessibility"
        page = (await client.get("/accessibility")).text
        assert '<html lang="fr" data-theme="light">' in page
        assert "Accessibilité" in page

    async def test_no_such_choice(self, desk: Desk) -> None:
        """A post that one does not have cannot be acted for."""
        answer = await desk.send(desk.visitor("viewer"), "/preferences", post="snow")
        assert answer.status_code == 422

    @pytest.mark.parametrize(
        "to", ["https://evil.example", "//evil.example", "/\\evil.example", "evil", "/a\r\nb"]
    )
    def test_leads_nowhere_else(self, to: str) -> None:
        """Where a form leads on to is always a page of ours."""
        assert own_path(to) == "/"


class TestEngineAway:
    async def test_page(self, desk: Desk) -> None:
        """The page says what to do and tries again by itself."""
        desk.frame.city = City(desk.frame.site.storage / "none.sock")
        answer = await desk.visitor("operator").get("/")
        assert answer.status_code == 503
        assert (answer.headers["refresh"], answer.headers["retry-after"]) == ("3", "3")
        assert "The engine does not answer" in answer.text

    async def test_no_such_page(self, desk: Desk) -> None:
        """A wrong address is a page too."""
        answer = await desk.visitor("viewer").get("/nothing")
        assert (answer.status_code, "There is nothing here" in answer.text) == (404, True)


class TestProblems:
    async def test_each_code_is_explained(self, desk: Desk) -> None:
        """The address that a problem names leads to what its code means, for whoever opens it."""
        client = desk.visitor()
        problem = (await client.get("/api/v1/nothing")).json()
        place, _, code = problem["type"].partition("#")
        page = await client.get(place)
        assert (page.status_code, f'id="{code}"' in page.text) == (200, True)


class TestAccessibility:
    async def test_says_whom_to_tell(self, desk: Desk) -> None:
        """The statement names whom the settings name, and somebody in any case."""
        client = desk.visitor()
        assert "who looks after this service" in (await client.get("/accessibility")).text
        desk.frame.site = replace(desk.frame.site, contact="Ann, 03 80 00 00 00")
        assert "tell Ann, 03 80 00 00 00." in (await client.get("/accessibility")).text
