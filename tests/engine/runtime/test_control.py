"""The control socket: typed answers, orders that are on disk, and callers that misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage import api
from pilotage.model.messages import Reading
from pilotage.model.quality import Quality
from pilotage.runtime import control
from pilotage.runtime.journal import sqlite
from pilotage.service import Service

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
async def client(service: Service) -> AsyncIterator[api.AsyncClient]:
    async with api.AsyncClient(service.settings.control.socket) as client:
        yield client


async def raw(service: Service, line: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(service.settings.control.socket)
    writer.write(line)
    try:
        return dict(json.loads(await asyncio.wait_for(reader.readline(), 5)))
    finally:
        writer.close()


def order(**changes: Any) -> api.SetOverride:
    given = {
        "point": "street-1.level",
        "value": "30 %",
        "for_s": 600.0,
        "person": "m.garcia",
        "reason": "works",
    }
    return api.SetOverride(**{**given, **changes})


class TestQuestions:
    async def test_status(
        self, client: api.AsyncClient, service: Service, eventually: Eventually
    ) -> None:
        """The status says what runs, on which loop, and how each connection is."""
        status = await client.ask(api.GetStatus())
        assert (status.site, status.points, status.entities, status.rules) == (
            "Testville",
            12,
            3,
            1,
        )
        assert status.loop in ("asyncio", "uvloop")
        assert [(c.name, c.adapter) for c in status.connections] == [("lamps", "echo")]
        await eventually(lambda: service.status().connections[0].state == "up")

    async def test_health(self, client: api.AsyncClient, service: Service) -> None:
        """Findings come with their mend, counters with their values."""
        service.health.raised("disk", "full", "free space")
        service.health.count("something", 3)
        report = await client.ask(api.GetHealth())
        assert not report.sound
        (finding,) = report.findings
        assert (finding.code, finding.text, finding.mend) == ("disk", "full", "free space")
        assert report.counters["something"] == 3

    async def test_points(self, client: api.AsyncClient) -> None:
        """Points are found by pattern, kind and quality, in order."""
        found = await client.ask(api.ListPoints(match="*.level"))
        assert [p.id for p in found.points] == [f"street-{n}.level" for n in (1, 2, 3)]
        assert found.next == ""
        assert (await client.ask(api.ListPoints(kind="bus"))).points == []
        assert len((await client.ask(api.ListPoints(quality="missing"))).points) == 12

    async def test_pages(self, client: api.AsyncClient) -> None:
        """A long list comes in pages, without a gap."""
        ids: list[str] = []
        page = await client.ask(api.ListPoints(limit=5))
        while True:
            ids += [p.id for p in page.points]
            if not page.next:
                break
            page = await client.ask(api.ListPoints(limit=5, after=page.next))
        assert len(ids) == len(set(ids)) == 12

    async def test_point(
        self, client: api.AsyncClient, service: Service, eventually: Eventually
    ) -> None:
        """A point comes with value, quality, age and its priority array."""
        cell = service.engine.cells["street-1.flow"]
        service.inbox.put(Reading(cell, 41.0, Quality.GOOD, time.time() - 10))
        await eventually(lambda: cell.value == 41.0)
        detail = await client.ask(api.GetPoint(point="street-1.flow"))
        assert (detail.point.value, detail.point.quality, detail.point.unit) == (
            41.0,
            "good",
            "veh/h",
        )
        assert detail.point.age_s == pytest.approx(10.0, abs=1.0)
        assert detail.demands == [api.Demand(owner="echo", level=14, value=30.0)]

    async def test_unknown_point(self, client: api.AsyncClient) -> None:
        """A point that is not there is an error with its mend."""
        with pytest.raises(api.ApiError, match=r'there is no point "street-9\.flow"') as caught:
            await client.ask(api.GetPoint(point="street-9.flow"))
        assert caught.value.code == "unknown-point"

    async def test_rules(self, client: api.AsyncClient) -> None:
        """Rules and their instances are shown; a rule that is not there is an error."""
        assert [r.name for r in await client.ask(api.ListRules())] == ["echo"]
        detail = await client.ask(api.GetRule(rule="echo"))
        assert [i.state for i in detail.instances] == ["idle"]
        with pytest.raises(api.ApiError, match='no rule "x"'):
            await client.ask(api.GetRule(rule="x"))

    async def test_explain(self, client: api.AsyncClient) -> None:
        """An explanation is a text and its parts."""
        found = await client.ask(api.ExplainPoint(point="street-1.level"))
        assert found.text == "street-1.level is at 30 % by echo"
        assert found.details["winner"] == "echo"

    async def test_what_the_engine_lacks(self, client: api.AsyncClient) -> None:
        """A view that the engine does not have is an answer, no failure."""
        with pytest.raises(api.ApiError, match="does not show its plans"):
            await client.ask(api.ListPlans())


class TestOrders:
    async def test_is_on_disk(self, client: api.AsyncClient, service: Service) -> None:
        """An order is answered with its decision's number once that decision is on disk."""
        receipt = await client.ask(order())
        assert receipt.taken
        assert receipt.text == "set to 30.0"
        found = await client.ask(api.ListDecisions(after=receipt.decision - 1, limit=1))
        assert found.decisions[0]["number"] == receipt.decision
        assert found.decisions[0]["events"][0]["person"] == "m.garcia"

    async def test_reaches_the_device(
        self, client: api.AsyncClient, workshop: Any, eventually: Eventually
    ) -> None:
        """What a person orders is sent by the connection that owns the point."""
        await client.ask(order(value=42))
        adapter = workshop.factory.opened["lamps"]
        await eventually(lambda: adapter.sent)
        assert (adapter.sent[0].point, adapter.sent[0].value) == ("street-1.level", 42.0)

    async def test_refused_by_the_engine(self, client: api.AsyncClient) -> None:
        """What the engine refuses is answered with its words, and is on disk too."""
        receipt = await client.ask(order(person="nobody"))
        assert (receipt.taken, receipt.text) == (False, "nobody may not")

    @pytest.mark.parametrize(
        ("changes", "code", "text"),
        [
            ({"point": "street-9.level"}, "unknown-point", 'no point "street-9.level"'),
            ({"point": "street-1.flow"}, "bad-order", "cannot be commanded: it is reported"),
            ({"value": "120 %"}, "bad-value", "120 % is out of range"),
            ({"value": "bright"}, "bad-value", '"bright" is no number'),
            ({"value": "30 km/h"}, "bad-value", "street-1.level"),
            ({"value": None}, "bad-value", "street-1.level"),
            ({"value": {"a": [1]}}, "bad-value", "street-1.level"),
            ({"point": "street-1.mode", "value": "loud"}, "bad-value", "loud"),
            ({"for_s": 0.0}, "bad-order", "longer than nothing"),
            ({"person": " "}, "bad-order", "needs a person"),
            ({"reason": ""}, "bad-order", "needs a reason"),
        ],
    )
    async def test_bad_orders(
        self, client: api.AsyncClient, changes: dict[str, Any], code: str, text: str
    ) -> None:
        """An order that cannot be is refused at the door with what is wrong, and the engine never sees it."""
        with pytest.raises(api.ApiError, match=text) as caught:
            await client.ask(order(**changes))
        assert caught.value.code == code

    async def test_other_orders(self, client: api.AsyncClient) -> None:
        """A plan's level is set by the same way."""
        receipt = await client.ask(
            api.SetPlan(plan="snow", level=2, person="m.garcia", reason="forecast")
        )
        assert (receipt.taken, receipt.text) == (True, "level 2")

    async def test_journal_refuses(
        self, client: api.AsyncClient, service: Service, eventually: Eventually
    ) -> None:
        """While the journal cannot be written an order is refused aloud, with the reason."""
        service.journal._connection.execute("PRAGMA busy_timeout = 10")
        other = sqlite.connect(service.journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        service.inbox.put(
            Reading(service.engine.cells["street-1.flow"], 41.0, Quality.GOOD, time.time())
        )
        await eventually(lambda: service.health.finding("journal.disk"))
        with pytest.raises(api.ApiError, match=r"orders are not taken now.*locked"):
            await client.ask(order())
        other.execute("ROLLBACK")
        other.close()
        await eventually(lambda: not service.health.finding("journal.disk"))
        assert (await client.ask(order())).taken


class TestDecisions:
    async def test_pages(self, client: api.AsyncClient) -> None:
        """Decisions come in pages in order of number."""
        for _ in range(7):
            await client.ask(order())
        first = await client.ask(api.ListDecisions(limit=5))
        rest = await client.ask(api.ListDecisions(limit=5, after=first.next))
        assert [d["number"] for d in (*first.decisions, *rest.decisions)] == list(range(1, 8))
        assert rest.next == 0

    async def test_subscribe(
        self, client: api.AsyncClient, service: Service, eventually: Eventually
    ) -> None:
        """A subscriber gets every decision from now on, as the journal holds it."""
        before = len(service.pump._listeners)
        async with api.AsyncClient(service.settings.control.socket) as second:
            stream = second.decisions()
            next_one = asyncio.ensure_future(anext(stream))
            await eventually(lambda: len(service.pump._listeners) > before)
            receipt = await client.ask(order())
            decision = await next_one
            assert decision["number"] == receipt.decision
            assert decision["events"][0]["event"] == "OrderTaken"

    async def test_subscriber_that_leaves(self, service: Service, eventually: Eventually) -> None:
        """A subscriber that has gone leaves nothing behind, even if nothing was decided since."""
        before = len(service.pump._listeners)
        async with api.AsyncClient(service.settings.control.socket) as second:
            await second.ask(api.Subscribe())
            await eventually(lambda: len(service.pump._listeners) > before)
        await eventually(lambda: len(service.pump._listeners) == before)

    async def test_subscriber_that_breaks_off(
        self,
        service: Service,
        eventually: Eventually,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A subscriber found gone by writing to it is no fault of the engine's."""
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()

        def subscribe(take: Callable[[object], None]) -> Callable[[], None]:
            def pour() -> None:
                if not gone.is_set():
                    take(None)
                    loop.call_soon(pour)

            loop.call_soon(pour)
            return gone.set

        monkeypatch.setattr(service, "subscribe", subscribe)
        monkeypatch.setattr(control, "encode_decision", lambda _: b"0" * 1_000)
        reader, writer = await asyncio.open_unix_connection(service.settings.control.socket)
        writer.write(b'{"method":"subscribe"}\n')
        await reader.readline()
        writer.transport.abort()
        await eventually(gone.is_set)
        assert "could not be answered" not in caplog.text


class TestCallers:
    @pytest.mark.parametrize(
        ("line", "code", "text"),
        [
            (b"hello\n", "bad-question", "malformed"),
            (b"[1,2]\n", "bad-question", "object"),
            (b'{"method":"launch"}\n', "bad-question", "launch"),
            (b'{"method":"point"}\n', "bad-question", "point"),
            (b'{"method":"point","point":7}\n', "bad-question", "str"),
            (b'{"method":"status","x":"' + b"\xff\xfe" + b'"}\n', "bad-question", ""),
            (b"[" * 5_000 + b"\n", "bad-question", ""),
            (b'{"method":"' + b"x" * 100_000 + b'"}\n', "too-large", "65536 bytes"),
        ],
        ids=lambda v: v[:20].decode("latin-1").strip() if isinstance(v, bytes) else "",
    )
    async def test_nonsense(self, service: Service, line: bytes, code: str, text: str) -> None:
        """Whatever is sent, the answer names what is wrong, and the engine goes on."""
        answer = await raw(service, line)
        assert answer["error"]["code"] == code
        assert text in answer["error"]["text"]
        assert "ok" in await raw(service, b'{"method":"health"}\n')

    async def test_half_a_question(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """A question that is begun must be ended soon."""
        monkeypatch.setattr(control, "LINE_S", 0.02)
        answer = await raw(service, b'{"method":')
        assert answer["error"]["code"] == "too-slow"

    async def test_too_many(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """More callers than there are places for are turned away with a word."""
        monkeypatch.setattr(control, "MOST_CONNECTIONS", 3)
        path = service.settings.control.socket
        async with (
            api.AsyncClient(path) as a,
            api.AsyncClient(path) as b,
            api.AsyncClient(path) as c,
        ):
            for client in (a, b, c):
                await client.ask(api.GetHealth())
            assert (await raw(service, b""))["error"]["code"] == "busy"
            await a.ask(api.GetHealth())

    async def test_private(self, service: Service) -> None:
        """Socket and folder belong to the engine's user alone."""
        path = service.settings.control.socket
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    async def test_other_user(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A caller of another user gets no answer, and is named in the log."""
        monkeypatch.setattr("pilotage.runtime.control.os.getuid", lambda: 4242)
        monkeypatch.setattr("pilotage.runtime.control.struct.unpack", lambda *_: (1, 1001, 1001))
        with pytest.raises((json.JSONDecodeError, ConnectionResetError)):
            await raw(service, b'{"method":"health"}\n')
        assert "user 1001 asked at the control socket and was refused" in caplog.text


class TestClient:
    async def test_plain(self, service: Service) -> None:
        """The plain client asks the same questions, several over one connection."""

        def talk() -> tuple[str, int]:
            with api.Client(service.settings.control.socket) as client:
                return client.ask(api.GetStatus()).site, len(client.ask(api.ListPoints()).points)

        assert await asyncio.to_thread(talk) == ("Testville", 12)

    async def test_plain_subscription(self, service: Service, eventually: Eventually) -> None:
        """The plain client waits for decisions too."""

        def first() -> int:
            with api.Client(service.settings.control.socket) as client:
                return int(next(client.decisions())["number"])

        before = len(service.pump._listeners)
        waiting = asyncio.ensure_future(asyncio.to_thread(first))
        await eventually(lambda: len(service.pump._listeners) > before)
        async with api.AsyncClient(service.settings.control.socket) as client:
            receipt = await client.ask(order())
        assert await waiting == receipt.decision

    def test_nobody_answers(self, tmp_path: Path) -> None:
        """Without an engine the error says how to start one."""
        path = tmp_path / "control.sock"
        with pytest.raises(api.NoEngineError, match=f"no engine answers at {path}") as caught:
            api.Client(path).ask(api.GetStatus())
        assert caught.value.mend == "start one with `pilotage run`"

    def test_dead_socket(self, tmp_path: Path) -> None:
        """A socket that a dead engine left is the same."""
        path = tmp_path / "control.sock"
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(path))
        dead.close()
        with pytest.raises(api.NoEngineError, match="refused"):
            api.Client(path).ask(api.GetStatus())

    def test_every_question_has_an_answer(self) -> None:
        """Each question of the interface is one that the socket knows."""
        known = set(control.ControlSocket(Path(), None)._answers)  # type: ignore[arg-type]
        assert known | {api.Subscribe, api.FollowCity} == set(api.AnyQuestion.__args__)
