"""The typed interface: a signature decodes, refuses, encodes and describes."""

from __future__ import annotations

import re
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct

from pilotage_web.problem import Problem
from pilotage_web.request import Visit
from pilotage_web.rights import Right
from pilotage_web.typed import ROOT, get, post

Desk = Any
ORIGIN = "http://127.0.0.1:8080"


class Question(Struct, forbid_unknown_fields=True):
    many: Annotated[int, Meta(ge=1, le=10)] = 1
    share: float | None = None
    loud: bool = False
    names: list[str] = []


class Order(Struct, forbid_unknown_fields=True):
    level: int
    reason: Annotated[str, Meta(min_length=1)]


class Answer(Struct):
    number: int
    what: str


@pytest.fixture
def orders(desk: Desk) -> list[Order]:
    """What the interface was told to do."""
    orders: list[Order] = []

    @get("/things/{number}")
    async def thing(visit: Visit, number: int, query: Question) -> Answer:
        """A thing. It has more to say."""
        return Answer(number, f"{query.many} {query.share} {query.loud} {query.names}")

    @post("/things", Right.PLANS, status=202)
    async def make(visit: Visit, body: Order) -> Answer:
        """Make a thing."""
        if body.reason == "no":
            raise Problem(409, "no-room", "There is no room", "all is full", "wait", room=0)
        orders.append(body)
        return Answer(len(orders), body.reason)

    desk.app.router.routes[:0] = [thing, make]
    return orders


def told(key: str = "k1", **more: str) -> dict[str, str]:
    return {"Authorization": "Bearer operator", "Idempotency-Key": key, **more}


@pytest.fixture
def client(desk: Desk) -> Any:
    """An integration with the token of an operator."""
    desk.visitor("operator", scopes=frozenset({Right.SEE, Right.SELF, Right.PLANS}))
    client = desk.visitor()
    client.headers["Authorization"] = "Bearer operator"
    return client


class TestQuestions:
    async def test_converted(self, client: Any, orders: list[Order]) -> None:
        """Parts of the path and parameters come as what the signature says."""
        answer = await client.get(f"{ROOT}/things/7?many=3&share=0.5&loud=true&names=a&names=b")
        assert answer.json() == {"number": 7, "what": "3 0.5 True ['a', 'b']"}

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("/things/x", "the path's number is not understood"),
            ("/things/7?many=11", "Expected `int` <= 10"),
            ("/things/7?many=1.5", "Expected `int`"),
            ("/things/7?many=1&many=2", "Expected `int`"),
            ("/things/7?loud=1", "Expected `bool`"),
            ("/things/7?share=nan", "Expected `float | null`"),
            ("/things/7?mnay=1", "unknown field `mnay`"),
        ],
    )
    async def test_unfit(self, client: Any, orders: list[Order], url: str, said: str) -> None:
        """What is otherwise is refused, with what there is."""
        answer = await client.get(ROOT + url)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert said in answer.json()["detail"]

    async def test_unchanged(self, client: Any, orders: list[Order]) -> None:
        """Who names the ETag of an answer that has not changed gets no body."""
        first = await client.get(f"{ROOT}/things/7")
        again = await client.get(
            f"{ROOT}/things/7", headers={"If-None-Match": first.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")

    async def test_nobody(self, desk: Desk, orders: list[Order]) -> None:
        """Who has no token is told how to come in, not led to a page."""
        answer = await desk.visitor().get(f"{ROOT}/things/7")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        answer = await desk.visitor().get(
            f"{ROOT}/things/7", headers={"Authorization": "Bearer nonsense"}
        )
        assert answer.status_code == 401

    async def test_unknown_path(self, client: Any, orders: list[Order]) -> None:
        """Below the interface also a wrong address is answered as a problem."""
        answer = await client.get(f"{ROOT}/nothing")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


class TestMethods:
    async def test_all_are_named(self, desk: Desk, client: Any, orders: list[Order]) -> None:
        """Who asks in the wrong way is told every right one, also when several routes share the address."""

        @get("/things")
        async def things(visit: Visit) -> list[Answer]:
            """All things."""
            return []

        desk.app.router.routes[:0] = [things]
        answer = await client.put(f"{ROOT}/things")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


class TestOrders:
    async def test_carried_out_once(self, client: Any, orders: list[Order]) -> None:
        """The same key is carried out once; the second gets the first answer."""
        body = {"level": 2, "reason": "ice"}
        answers = [await client.post(f"{ROOT}/things", json=body, headers=told()) for _ in range(2)]
        assert [a.status_code for a in answers] == [202, 202]
        assert [a.json() for a in answers] == [{"number": 1, "what": "ice"}] * 2
        assert answers[1].headers["idempotency-replayed"] == "true"
        assert len(orders) == 1

    async def test_key_for_something_else(self, client: Any, orders: list[Order]) -> None:
        """A key belongs to one request."""
        for reason, status in (("ice", 202), ("snow", 422)):
            body = {"level": 2, "reason": reason}
            answer = await client.post(f"{ROOT}/things", json=body, headers=told())
            assert answer.status_code == status

    async def test_whole_floats(self, client: Any, orders: list[Order]) -> None:
        """2.0 is an integer in JSON."""
        answer = await client.post(
            f"{ROOT}/things",
            content=b'{"level": 2.0, "reason": "ice"}',
            headers=told(**{"Content-Type": "application/json"}),
        )
        assert (answer.status_code, orders[0].level) == (202, 2)

    @pytest.mark.parametrize(
        ("content", "kind", "status", "said"),
        [
            (b"{", "application/json", 400, "not understood"),
            (b"\xff", "application/json", 400, "not understood"),
            (b"[" * 100_000, "application/json", 400, "not understood"),
            (b'{"level": 1}', "application/json", 422, "missing required field `reason`"),
            (b'{"level": 1.5, "reason": "x"}', "application/json", 422, "Expected `int`"),
            (b'{"level": 1, "reason": ""}', "application/json", 422, "length >= 1"),
            (b'{"level": 1, "reason": "x", "by": 2}', "application/json", 422, "unknown field"),
            (b"level=1", "application/x-www-form-urlencoded", 415, "urlencoded"),
        ],
    )
    async def test_unfit(
        self, client: Any, orders: list[Order], content: bytes, kind: str, status: int, said: str
    ) -> None:
        """What is not as the signature says is refused with what is wrong, and the key stays free."""
        answer = await client.post(
            f"{ROOT}/things", content=content, headers=told(**{"Content-Type": kind})
        )
        assert (answer.status_code, said in answer.json()["detail"]) == (status, True)
        again = await client.post(
            f"{ROOT}/things", json={"level": 1, "reason": "x"}, headers=told()
        )
        assert again.status_code == 202

    async def test_without_a_key(self, client: Any, orders: list[Order]) -> None:
        """An order without a key is refused."""
        answer = await client.post(f"{ROOT}/things", json={"level": 1, "reason": "x"})
        assert (answer.status_code, answer.json()["code"], orders) == (400, "no-key", [])

    async def test_own_problem(self, client: Any, orders: list[Order]) -> None:
        """A refusal has a code that stays, says what to do, and may say more."""
        answer = await client.post(
            f"{ROOT}/things", json={"level": 1, "reason": "no"}, headers=told()
        )
        assert answer.json() == {
            "type": "http://127.0.0.1:8080/api/v1/problems#no-room",
            "title": "There is no room",
            "status": 409,
            "detail": "all is full",
            "code": "no-room",
            "mend": "wait",
            "room": 0,
        }

    async def test_scope(self, desk: Desk, orders: list[Order]) -> None:
        """A token may what its scopes say, and nothing more."""
        desk.visitor("operator", scopes=frozenset({Right.SEE}))
        answer = await desk.visitor().post(
            f"{ROOT}/things", json={"level": 1, "reason": "x"}, headers=told()
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "not-allowed")

    async def test_session_needs_its_secret(self, desk: Desk, orders: list[Order]) -> None:
        """A page of ours may ask too, with the session's secret and from our origin."""
        client = desk.visitor("operator")
        key = {"Idempotency-Key": "k1"}
        body = {"level": 1, "reason": "x"}
        foreign = await client.post(
            f"{ROOT}/things", json=body, headers={**key, "Origin": "http://evil.example"}
        )
        ours = await client.post(f"{ROOT}/things", json=body, headers={**key, "Origin": ORIGIN})
        del client.headers["x-csrf"]
        without = await client.post(
            f"{ROOT}/things", json=body, headers={"Idempotency-Key": "k2", "Origin": ORIGIN}
        )
        assert [a.status_code for a in (foreign, ours, without)] == [403, 202, 403]


def _within(part: Any, name: str) -> list[Any]:
    """Return every value under a name, at any depth."""
    if isinstance(part, list):
        return [found for each in part for found in _within(each, name)]
    if not isinstance(part, dict):
        return []
    mine = [part[name]] if name in part else []
    return mine + [found for each in part.values() for found in _within(each, name)]


class TestDocument:
    async def test_describes_the_signature(self, client: Any, orders: list[Order]) -> None:
        """What a route takes and answers stands in the document."""
        document = (await client.get(f"{ROOT}/openapi.json")).json()
        operation = document["paths"][f"{ROOT}/things"]["post"]
        assert operation["summary"] == "Make a thing"
        assert "operator" in operation["description"]
        assert [p["name"] for p in operation["parameters"]] == ["Idempotency-Key"]
        assert set(operation["responses"]) >= {"202", "400", "401", "403", "409", "422"}
        order = document["components"]["schemas"]["Order"]
        assert order["additionalProperties"] is False
        assert order["properties"]["level"]["maximum"] == 2**63 - 1

    async def test_is_valid(self, desk: Any) -> None:
        """The whole document is OpenAPI 3.1: its parts are there, each reference leads somewhere, each schema is JSON Schema 2020-12."""
        from jsonschema import Draft202012Validator  # builds forty grammars

        document = (await desk.visitor("viewer").get(f"{ROOT}/openapi.json")).json()
        assert document["openapi"] == "3.1.0"
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                where = f"{method} {path}"
                assert operation["operationId"] and operation["responses"], where
                named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
                assert named == set(re.findall(r"\{(\w+)\}", path)), where
                for status, answer in operation["responses"].items():
                    assert re.fullmatch(r"[1-5]\d\d|default", status) and answer["description"], (
                        where
                    )
        ids = [o["operationId"] for each in document["paths"].values() for o in each.values()]
        assert len(ids) == len(set(ids))
        schemas = document["components"]["schemas"]
        for schema in [*schemas.values(), *_within(document["paths"], "schema")]:
            Draft202012Validator.check_schema(schema)
        for reference in _within(document, "$ref"):
            assert reference.removeprefix("#/components/schemas/") in schemas, reference

    async def test_who_am_i(self, client: Any) -> None:
        """An integration can ask what it may."""
        me = (await client.get(f"{ROOT}/me")).json()
        assert (me["person"], me["role"]) == ("operator", "operator")
        assert "plans" in me["rights"] and "override" not in me["rights"]


class TestPoints:
    async def test_pages(self, client: Any) -> None:
        """A list comes in pages, and each says where the next begins."""
        seen: list[str] = []
        after = ""
        while True:
            url = f"{ROOT}/points?limit=30&after={after}"
            page = (await client.get(url)).json()
            seen += [point["id"] for point in page["items"]]
            after = page["next"]
            if not after:
                break
        assert len(seen) > 60 and seen == sorted(set(seen))

    async def test_one(self, client: Any) -> None:
        """A point says what is wanted of it; one that is not there is a problem with its mend."""
        first = (await client.get(f"{ROOT}/points?limit=1")).json()["items"][0]["id"]
        assert (await client.get(f"{ROOT}/points/{first}")).json()["point"]["id"] == first
        missing = await client.get(f"{ROOT}/points/nowhere.level")
        assert (missing.status_code, missing.json()["code"]) == (404, "unknown-point")
        assert missing.json()["mend"]
