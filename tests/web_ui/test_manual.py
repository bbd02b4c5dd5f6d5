"""The examples of the manual's page on the JSON interface, sent to a real engine."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import httpx

from pilotage_web.app import rooms
from pilotage_web.rights import Right
from pilotage_web.typed import ROOT, ApiRoute

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
_EXAMPLE = re.compile(
    r"^```http\n(?P<request>.*?)^```\n(?:\n```json\n(?P<answer>.*?)^```$)?", re.S | re.M
)
EXAMPLES = [
    (match["request"], match["answer"] or "")
    for match in _EXAMPLE.finditer(PAGE.read_text("utf-8"))
]
TOKENS: Final = {
    "Bearer TOKEN": "Bearer operator",
    "Bearer TOKEN_OF_AN_ENGINEER": "Bearer engineer",
}
WRITTEN: Final = "2026"
"""The year of the manual; numbers of incidents and calls have that of today."""


def differs(shown: Any, given: Any, at: str = "$") -> list[str]:
    """Return where an answer is not as the manual shows it: each member that is shown is there, with a value of that type."""
    if isinstance(shown, dict):
        if not isinstance(given, dict):
            return [f"{at} is no object"]
        found = [f"{at}.{name} is missing" for name in shown if name not in given]
        return found + [
            line
            for name in shown
            if name in given
            for line in differs(shown[name], given[name], f"{at}.{name}")
        ]
    if isinstance(shown, list):
        if not isinstance(given, list) or (shown and not given):
            return [f"{at} is no list, or empty"]
        return differs(shown[0], given[0], f"{at}[0]") if shown else []
    if shown is None or given is None:
        return []
    return [] if type(shown) is type(given) else [f"{at}: {shown!r}, {given!r}"]


def test_every_route_has_an_example() -> None:
    """Each route of the interface is shown once at least."""
    shown = [request.split("\n", 1)[0].split() for request, _ in EXAMPLES]
    operations = [route.operation for route in rooms() if isinstance(route, ApiRoute)]
    patterns = {
        f"{o.method} {o.path}": re.compile(
            re.sub(r"\\{\w+\\}", "[^/?]+", re.escape(o.path)) + r"(\?.*)?"
        )
        for o in operations
    }
    without = [
        name
        for name, pattern in patterns.items()
        if not any(m == name.split()[0] and pattern.fullmatch(path) for m, path in shown)
    ]
    assert without == []


def test_every_route_is_there() -> None:
    """The table of the page has a row for each route with the right that it asks for, and no other."""
    operations = [route.operation for route in rooms() if isinstance(route, ApiRoute)]
    routes = {f"{o.method} {o.path.removeprefix(ROOT)} {o.right}" for o in operations}
    rows = re.findall(r"^\| ([A-Z]+) `(/.*?)` \|.*\| (\w+) \|$", PAGE.read_text("utf-8"), re.M)
    assert {" ".join(row) for row in rows} == routes


async def test_examples(desk: Any) -> None:
    """What the manual shows is what comes back, example after example in the order of the page."""
    for role in TOKENS.values():
        desk.visitor(role.partition(" ")[2], scopes=frozenset(Right))
    year = str(datetime.now(ZoneInfo("Europe/Paris")).year)
    client, wrong = desk.visitor(), []
    for request, answer in EXAMPLES:
        found = await _sent(client, request.replace(f"/{WRITTEN}-", f"/{year}-"))
        problems = _problems(found, answer)
        wrong += [f"{request.splitlines()[0]}: {problem}" for problem in problems]
    assert wrong == []


async def _sent(client: httpx.AsyncClient, request: str) -> httpx.Response:
    head, _, body = request.partition("\n\n")
    first, *lines = head.strip().splitlines()
    method, path = first.split()
    headers = dict(line.split(": ", 1) for line in lines)
    headers["Authorization"] = TOKENS[headers["Authorization"]]
    return await client.request(method, path, headers=headers, content=body.strip())


def _problems(found: httpx.Response, answer: str) -> list[str]:
    """Return what of an answer is not as it is shown; one that is not shown must be a success."""
    if not answer:
        return [] if found.is_success else [found.text]
    shown, given = json.loads(answer), found.json()
    problems = differs(shown, given)
    if isinstance(shown, dict) and isinstance(given, dict):
        status, code = given.get("status"), given.get("code")
        if "status" in shown and (shown["status"], shown.get("code")) != (found.status_code, code):
            problems.append(f"{found.status_code}, {status} {code}")
        if shown.get("taken") is True and not given.get("taken"):
            problems.append(str(given))
    return problems or ([] if found.is_success or "status" in (shown or {}) else [found.text])
