"""Every route of the application against everybody who might ask, and every forged way to ask.

The routes are collected from the application itself: one that is new is tried without being named here, and one that declares no
right fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from starlette.routing import Route
from tests.web_ui.people.house import CLI, NOW, House, make_house

from pilotage_web.people.sessions import IDLE_S, KIOSK, Origin, csrf_of
from pilotage_web.request import GuardedRoute, masked_csrf
from pilotage_web.rights import Right, Role, rights_of

PEOPLE: Final = {
    "vera": ("traffic", Role.VIEWER),
    "nadia": ("traffic", Role.OPERATOR),
    "emil": ("traffic", Role.ENGINEER),
    "ann": ("administration", Role.ADMIN),
    "ida": ("traffic", Role.OPERATOR),
    "walt": ("traffic", Role.OPERATOR),
}
"""Who there is: somebody of each role; ida has gone for coffee, and walt is a screen on the wall."""
UNGUARDED: Final = {"/static/{name:path}"}
"""Style, scripts and pictures, the same for everybody."""
ANSWER_S: Final = 15.0


@pytest.fixture
async def house(engine_socket: Path, tmp_path: Path) -> AsyncIterator[House]:
    """The application in front of a real engine, with somebody of each role."""
    house = make_house(engine_socket, tmp_path / "web")
    for name, (post, role) in PEOPLE.items():
        if house.register.accounts.get(name) is None:
            house.add(name, post, role)
    async with house.app.router.lifespan_context(house.app):
        yield house


def guarded(house: House) -> list[GuardedRoute]:
    """Return the routes that ask for a right."""
    return [route for route in house.app.routes if isinstance(route, GuardedRoute)]


def path_of(route: Route) -> str:
    """Return an address of a route, of a thing that does not exist."""
    return re.sub(r"\{[^}]*\}", "x", re.sub(r"\{\w+:int\}", "1", route.path))


def methods_of(route: Route) -> list[str]:
    return sorted((route.methods or set()) - {"HEAD"})


@dataclass(frozen=True)
class Caller:
    """Somebody who asks: the cookie or the token, and what forms of theirs bring."""

    rights: frozenset[Right]
    headers: Mapping[str, str]
    csrf: str = ""


def session(house: House, person: str, kind: str = "person", at: float = NOW) -> Caller:
    """Return somebody with a session of their own, which the request may end."""
    post, role = PEOPLE[person]
    with house.register.store.writing() as change:
        change.run("DELETE FROM sessions WHERE person = ?", person)
        secret = house.register.sessions.begin(
            change, person, post, Origin("192.0.2.9"), at, kind=kind
        )
    found = house.register.sessions.of(secret, NOW)
    assert found is not None
    cookie = {"cookie": f"pilotage-session={secret}"}
    return Caller(rights_of(role) | {Right.OPEN}, cookie, masked_csrf(csrf_of(secret)))


def callers(house: House, route: GuardedRoute) -> dict[str, Callable[[], Caller]]:
    """Return what makes each caller, anew for each request."""
    shown = frozenset({Right.OPEN, Right.SELF, Right.SEE})
    nobody = Caller(frozenset({Right.OPEN}), {})
    found: dict[str, Callable[[], Caller]] = {
        **{name: partial(session, house, name) for name in ("vera", "nadia", "emil", "ann")},
        "nobody": lambda: nobody,
        "ida": lambda: replace(session(house, "ida", at=NOW - IDLE_S - 60), rights=shown),
        "walt": lambda: replace(session(house, "walt", KIOSK), rights=shown),
    }
    if "/api/" in route.path:
        for scope in (Right.SEE, Right.OVERRIDE, Right.RULES):
            found[f"program that may {scope}"] = partial(program, house, scope)
    return found


def program(house: House, scope: Right) -> Caller:
    """Return an integration with one scope."""
    token = house.register.tokens.add(f"may {scope}", "traffic", {scope}, 3600.0, CLI, NOW)
    return Caller(frozenset({Right.OPEN, scope}), {"authorization": f"Bearer {token}"})


async def ask(
    house: House, method: str, path: str, headers: Mapping[str, str], form: Mapping[str, str]
) -> tuple[int, str]:
    """Return the status of an answer and where it leads; a stream is left as soon as it begins."""
    body = urlencode(form).encode() if method != "GET" else b""
    if "/api/" in path:
        body = b"{}" if method != "GET" else b""
    kind = "application/json" if "/api/" in path else "application/x-www-form-urlencoded"
    told = {"host": "127.0.0.1:8080", "content-type": kind, **headers}
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in told.items()],
        "client": ("192.0.2.9", 50_000),
        "server": ("127.0.0.1", 8080),
    }
    begun: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await asyncio.sleep(3600)
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start" and not begun.done():
            led = {name.lower(): value for name, value in message["headers"]}
            begun.set_result((message["status"], led.get(b"location", b"").decode()))

    task = asyncio.create_task(house.app(scope, receive, send))
    task.add_done_callback(lambda _: begun.cancel())
    try:
        async with asyncio.timeout(ANSWER_S):
            return await begun
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class TestEveryRoute:
    def test_declares_a_right(self, house: House) -> None:
        """A route without a right is a hole; only the static files are everybody's."""
        routes = [
            route for route in house.app.routes if getattr(route, "path", "") not in UNGUARDED
        ]
        bare = [str(route) for route in routes if not isinstance(route, GuardedRoute)]

        assert bare == []
        assert len(routes) > 30

    def test_reads_or_changes(self, house: House) -> None:
        """A route has one method, and what is open to everybody is short and known."""
        assert all(len(methods_of(route)) == 1 for route in guarded(house))
        open_ = sorted({route.path for route in guarded(house) if route.right is Right.OPEN})
        assert [path for path in open_ if not path.startswith(OPEN_PATHS)] == []

    def test_every_form_is_told(self, house: House) -> None:
        """The manual says of every form what it does when somebody else was first, and about nothing."""
        text = (Path(__file__).parents[3] / "docs" / "web.md").read_text(encoding="utf-8")
        table = text.partition("### Sent twice, late, or about nothing")[2].partition("\n## ")[0]
        rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
        told = {path for row in rows for path in re.findall(r"`(/[^`]*)`", row)}
        forms = {
            r.path for r in guarded(house) if "POST" in methods_of(r) and "/api/" not in r.path
        }
        assert told == forms

    async def test_against_everybody(self, house: House) -> None:
        """Who has the right comes in, everybody else is refused, whatever the route."""
        wrong: list[str] = []
        for route in guarded(house):
            for method in methods_of(route):
                for name, make in callers(house, route).items():
                    caller, key = make(), secrets.token_hex(8)
                    headers = {
                        **caller.headers,
                        "origin": house.origin,
                        "x-csrf": caller.csrf,
                        "idempotency-key": key,
                    }
                    form = {"csrf": caller.csrf, "key": key}
                    status, there = await ask(house, method, path_of(route), headers, form)
                    is_in = not is_refusal(status, there)
                    may = route.right in caller.rights
                    if is_in != may and not (may and route.right is Right.OPEN):
                        wrong.append(f"{method} {route.path}: {name} got {status} {there}")
                    if status >= 500 and status != 503:
                        wrong.append(f"{method} {route.path}: {name} broke it ({status})")
        assert not wrong, "\n".join(wrong)

    async def test_forged(self, house: House) -> None:
        """No change is made for another site, for a form of another session, or by a GET (ASVS 3.5.1, 3.5.3)."""
        wrong: list[str] = []
        for route in guarded(house):
            for method in methods_of(route):
                if method == "GET":
                    continue
                for what, headers, form in forgeries(house, route):
                    status, there = await ask(house, method, path_of(route), headers, form)
                    if status not in (401, 403):
                        wrong.append(f"{method} {route.path} with {what}: {status} {there}")
                if not has_page(house, route):
                    caller = session(house, best(route))
                    status, _ = await ask(house, "GET", path_of(route), caller.headers, {})
                    if status not in (403, 404, 405):
                        wrong.append(f"GET {route.path}: {status}")
        assert not wrong, "\n".join(wrong)


OPEN_PATHS: Final = (
    "/sign-in",
    "/accessibility",
    "/api/v1/",
    "/healthz",
    "/readyz",
    "/wall",
    "/live",
)


def is_refusal(status: int, there: str) -> bool:
    """Return whether an answer keeps somebody out; to be led to the password again is a refusal of nobody's role."""
    return status in (401, 403) or (status == 303 and there.startswith("/sign-in?"))


def best(route: GuardedRoute) -> str:
    """Return somebody who has the right of a route."""
    return next(name for name, (_, role) in PEOPLE.items() if route.right in rights_of(role))


def has_page(house: House, route: GuardedRoute) -> bool:
    """Return whether a page has the same address."""
    return any(
        r is not route and r.path == route.path and "GET" in methods_of(r) for r in guarded(house)
    )


def forgeries(
    house: House, route: GuardedRoute
) -> list[tuple[str, dict[str, str], dict[str, str]]]:
    """Return what somebody's browser can be made to send: each with the right cookie, and one thing wrong."""
    caller, other = session(house, best(route)), session(house, "nadia")
    good = {**caller.headers, "origin": house.origin, "idempotency-key": secrets.token_hex(8)}
    bare = {name: value for name, value in good.items() if name != "origin"}
    form = {"csrf": caller.csrf, "key": secrets.token_hex(8)}
    with_csrf = {"x-csrf": caller.csrf}
    found = [
        *(
            (f"origin {origin}", {**good, **with_csrf, "origin": origin}, form)
            for origin in (
                *("https://evil.example", "null", "", "http://127.0.0.1:8080.evil.example"),
                *("https://127.0.0.1:8080", "http://127.0.0.1", "http://user@127.0.0.1:8080"),
            )
        ),
        ("no origin", {**bare, **with_csrf}, form),
        *(
            (f"fetch site {site}", {**bare, **with_csrf, "sec-fetch-site": site}, form)
            for site in ("cross-site", "same-site", "none")
        ),
    ]
    if route.right is not Right.OPEN or route.path == "/sign-in/again":
        without = {name: value for name, value in form.items() if name != "csrf"}
        found += [
            ("no csrf", good, without),
            (
                "another session's csrf",
                {**good, "x-csrf": other.csrf},
                {**form, "csrf": other.csrf},
            ),
            ("an empty csrf", {**good, "x-csrf": ""}, {**form, "csrf": ""}),
        ]
    return found
