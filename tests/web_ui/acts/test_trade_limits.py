"""What a post may order: every route that orders something keeps to it, and none can be added that forgets it."""

from __future__ import annotations

import ast
import re
import secrets
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.web_ui.acts.test_plans import fields
from tests.web_ui.acts.test_sight import by_hand
from tests.web_ui.conftest import ORIGIN, Desk

import pilotage_web
from pilotage import api
from pilotage_web.request import GuardedRoute
from pilotage_web.rights import Right

LIMITED: Final = {Right.ALARMS, Right.OVERRIDE, Right.PLANS}
"""Rights that are kept within the trades and the plans of a post."""
ORDERS: Final = (
    api.ActOnAlarm,
    api.AnswerPlan,
    api.ReleaseOverride,
    api.SetOverride,
    api.SetPlan,
)
ALARM: Final = "dark-street[seg-2]"
SEG: Final = "/equipment/lighting_segment/seg-1"
NAMES: Final = {"kind": "lighting_segment", "id": "seg-1", "point": "lights.level", "alarm": ALARM}
HAND: Final = {"point": "lights.level", "value": "40", "for_s": "1800", "reason": "test"}
JSON_HAND: Final = {"point": "lights.level", "value": 40, "for_s": 60, "reason": "test"}
BODIES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("POST", "/alarms"): {"do": f"take:{ALARM}"},
    ("POST", "/equipment/{kind}/{id}/override"): {**HAND, "confirmed": "page"},
    ("POST", "/equipment/{kind}/{id}/release"): {"point": "lights.level"},
    ("POST", "/plans/{plan}"): {},
    ("POST", "/plans/{plan}/undo"): {},
    ("POST", "/plans/{plan}/answer"): {"question": "confirm", "yes": "yes"},
    ("POST", "/api/v1/alarms/{alarm}/acts"): {"action": "take"},
    ("POST", "/api/v1/alarm-acts"): {"action": "take", "alarms": [ALARM]},
    ("POST", "/api/v1/equipment/{id}/overrides"): JSON_HAND,
    ("DELETE", "/api/v1/equipment/{id}/overrides/{point}"): {},
    ("POST", "/api/v1/plans/{plan}/activations"): {"level": 1, "reason": "test"},
    ("POST", "/api/v1/plans/{plan}/undo"): {"reason": "test"},
    ("POST", "/api/v1/plans/{plan}/answers"): {"question": "confirm", "yes": True},
}
"""What each route is sent; a route that is new has to be added here."""


class Listening:
    """The door to the engine, and the orders that went through it."""

    def __init__(self, city: Any) -> None:
        self._city = city
        self.orders: list[str] = []

    async def ask(self, question: Any) -> Any:
        if isinstance(question, ORDERS):
            self.orders.append(type(question).__name__)
        return await self._city.ask(question)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._city, name)


def limited(desk: Desk) -> list[tuple[str, str]]:
    """Return method and path of every route with one of those rights."""
    return [
        (method, route.path)
        for route in desk.app.routes
        if isinstance(route, GuardedRoute) and route.right in LIMITED
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


async def sent(desk: Desk, client: httpx.AsyncClient, method: str, path: str, plan: str) -> Any:
    """Send a route what it takes."""
    body = BODIES[method, path]
    there = re.sub(r"\{(\w+)\}", lambda m: {**NAMES, "plan": plan}[m[1]], path)
    if path.startswith("/api/"):
        headers = {"Origin": ORIGIN, "Idempotency-Key": secrets.token_urlsafe(9)}
        return await client.request(method, there, json=body or None, headers=headers)
    if path == "/plans/{plan}":
        body = await fields(client, plan)
    return await desk.send(client, there, **body)


@pytest.fixture
def listening(desk: Desk) -> Listening:
    """The door of the pages."""
    desk.frame.city = found = Listening(desk.frame.city)  # type: ignore[assignment]
    return found


class TestEveryOrder:
    def test_none_is_forgotten(self, desk: Desk) -> None:
        """Every route that orders something is tried below."""
        assert sorted(limited(desk)) == sorted(BODIES)

    @pytest.mark.parametrize(("method", "path"), sorted(BODIES))
    async def test_another_post(
        self, desk: Desk, city: api.Client, listening: Listening, method: str, path: str
    ) -> None:
        """An operator of a post without the trade, or without the plan, gives no order; one whose it is does."""
        if (
            "alarm" in path
        ):  # a preview would be of this street for a moment, and kept for the next test
            by_hand(city, "t", 5, "seg-2.lights.level")
        stranger = desk.visitor("operator", "calls", person="stranger")
        answer = await sent(desk, stranger, method, path, "closed")
        assert listening.orders == [], answer.text
        own = desk.visitor("operator", person="own")
        await sent(desk, own, method, path, "snow")
        assert len(listening.orders) == 1

    def test_made_in_few_places(self) -> None:
        """Orders are made in the modules whose routes are tried here, and nowhere else."""
        package = Path(pilotage_web.__file__).parent
        names = {order.__name__ for order in ORDERS}
        found = {
            file.relative_to(package).as_posix()
            for file in package.rglob("*.py")
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in names
        }
        rooms = ("alarms", "equipment", "plans")
        assert found == {f"{floor}/{room}.py" for floor in ("pages", "api") for room in rooms}
