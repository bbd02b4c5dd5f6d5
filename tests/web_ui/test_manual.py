"""The examples of the manual's page on the JSON interface, sent to a real engine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pilotage_web.app import rooms
from pilotage_web.rights import Right
from pilotage_web.typed import ROOT, ApiRoute

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
_EXAMPLE = re.compile(
    r"^```http\n(?P<request>.*?)^```\n(?:\n```json\n(?P<answer>.*?)^```$)?", re.S | re.M
)
EXAMPLES = [
    pytest.param(match["request"], match["answer"], id=match["request"].partition("\n")[0])
    for match in _EXAMPLE.finditer(PAGE.read_text(encoding="utf-8"))
]


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


def test_there_are_examples() -> None:
    """Each part of the page shows one."""
    assert len(EXAMPLES) >= 5


def test_every_route_is_there() -> None:
    """The table of the page has a row for each route with the right that it asks for, and no other."""
    operations = [route.operation for route in rooms() if isinstance(route, ApiRoute)]
    routes = {f"{o.method} {o.path.removeprefix(ROOT)} {o.right}" for o in operations}
    rows = re.findall(r"^\| ([A-Z]+) `(/.*?)` \|.*\| (\w+) \|$", PAGE.read_text("utf-8"), re.M)
    assert {" ".join(row) for row in rows} == routes


@pytest.mark.parametrize(("request_text", "answer_text"), EXAMPLES)
async def test_example(desk: Any, request_text: str, answer_text: str) -> None:
    """What the manual shows is what comes back."""
    head, _, body = request_text.partition("\n\n")
    first, *lines = head.strip().splitlines()
    method, path = first.split()
    headers = dict(line.split(": ", 1) for line in lines)
    desk.visitor("operator", scopes=frozenset(Right))
    headers["Authorization"] = headers["Authorization"].replace("TOKEN", "operator")
    answer = await desk.visitor().request(method, path, headers=headers, content=body.strip())
    if answer_text:
        shown = json.loads(answer_text)
        assert differs(shown, answer.json()) == []
        assert answer.json().get("status") in (None, answer.status_code)
        assert shown.get("code") == answer.json().get("code")
    else:
        assert answer.is_success, answer.text
