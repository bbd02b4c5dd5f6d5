"""The audit of a running service: starts and stops, reloads, orders with their way, refusals at the door, logins."""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pilotage import api
from pilotage.model.diagnostics import Finding, RuleError, Severity, Span
from pilotage.runtime import control
from pilotage.runtime.audit import desk
from pilotage.runtime.audit.reader import AuditReader, Shown, Wanted
from pilotage.runtime.audit.verify import verify
from pilotage.runtime.config import load_settings
from pilotage.runtime.journal import sqlite
from pilotage.service import Service

Eventually = Callable[[Callable[[], object]], Awaitable[None]]
ME = getpass.getuser()


@pytest.fixture
async def client(service: Service) -> AsyncIterator[api.AsyncClient]:
    async with api.AsyncClient(service.settings.control.socket, via="cli") as client:
        yield client


def rows(service: Service, **wanted: Any) -> list[Shown]:
    path = service.settings.storage.path / "audit.db"
    return list(AuditReader(path).rows(Wanted(**wanted)))


def override(**changes: Any) -> api.SetOverride:
    given = {"point": "street-1.level", "value": 30.0, "for_s": 600.0, "person": "m.garcia"}
    return api.SetOverride(**{**given, "reason": "works", **changes})


class TestLife:
    async def test_start_and_stop(self, config: Path, workshop: Any) -> None:
        """A start says who and with which rules, a stop that it was in order; the next start knows how it ended."""
        for expected in ("", "stopped"):
            service = Service(load_settings(config, {}), workshop)
            await service.start()
            started = rows(service, action="started")[-1]
            assert started.people == {"account": ME}
            assert started.detail.get("before", "") == expected
            assert started.subject.startswith("digest-")
            assert len(started.detail["config"]) == 16
            service.stop_soon("cli alice")
            await service.stop()
            stopped = rows(service, action="stopped")[-1]
            assert (stopped.origin, stopped.people) == ("cli", {"account": "alice"})
        found = verify(service.settings.storage.path / "audit.db", journal=service.journal.path)
        assert found.flaws == []
        assert found.chains[0].anchored == found.chains[0].last - 1

    async def test_by_signal(self, config: Path, workshop: Any, eventually: Eventually) -> None:
        """A stop by a signal says so."""
        service = Service(load_settings(config, {}), workshop)
        running = asyncio.ensure_future(service.run())
        await eventually(service.settings.control.socket.exists)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 5)
        assert rows(service, action="stopped")[0].origin == "signal"


class TestOrders:
    async def test_command(
        self, client: api.AsyncClient, service: Service, eventually: Eventually
    ) -> None:
        """A command of an order is in the audit soon after it."""
        receipt = await client.ask(override())
        await eventually(lambda: rows(service, kind="command"))
        (row,) = rows(service, kind="command")
        assert (row.subject, row.value, row.decision) == ("street-1.level", 30.0, receipt.decision)

    async def test_origin(self, service: Service) -> None:
        """An order carries into the engine by which way it came and from which account."""
        async with api.AsyncClient(service.settings.control.socket, via="web 192.0.2.7") as web:
            await web.ask(override())
            await web.ask(override(via="web 192.0.2.7 traffic desk"))
            await web.ask(override(via="web - traffic"))
        async with api.AsyncClient(service.settings.control.socket) as other:
            await other.ask(override(via="NONSENSE;"))
        engine: Any = service.engine
        origins = [i.origin for b in engine.batches for i in b if hasattr(i, "origin")]
        assert origins == [
            f"web {ME} 192.0.2.7",
            f"web {ME} 192.0.2.7 traffic_desk",
            f"web {ME} - traffic",
            f"socket {ME}",
        ]

    @pytest.mark.parametrize(
        ("order", "kind", "subject", "code"),
        [
            (override(point="street-9.level"), "override", "street-9.level", "unknown-point"),
            (override(value="bright"), "override", "street-1.level", "bad-value"),
            (override(reason=" "), "override", "street-1.level", "bad-order"),
            (
                api.SetPlan(plan="storm", level=1, person="m.garcia", reason=""),
                *("plan", "plan:storm", "bad-order"),
            ),
        ],
    )
    async def test_refused_at_the_door(
        self,
        client: api.AsyncClient,
        service: Service,
        eventually: Eventually,
        order: Any,
        kind: str,
        subject: str,
        code: str,
    ) -> None:
        """An order that the engine never saw is a row too: who wanted what, and why not."""
        with pytest.raises(api.ApiError):
            await client.ask(order)
        await eventually(lambda: rows(service, action="refused"))
        (row,) = rows(service, action="refused")
        assert (row.kind, row.subject, row.origin, row.detail["code"]) == (
            kind,
            subject,
            "cli",
            code,
        )
        assert row.people["person"] == "m.garcia"
        assert row.people["account"] == ME


class TestReload:
    async def test_adopted(self, client: api.AsyncClient, service: Service) -> None:
        """A reload is a row with who asked and both digests, on disk before it is answered."""
        await client.ask(api.Reload())
        (row,) = rows(service, kind="rules")
        assert (row.action, row.subject, row.detail["before"]) == ("reload", "digest-2", "digest-1")
        assert (row.origin, row.people) == ("cli", {"account": ME})

    async def test_refused(
        self, client: api.AsyncClient, service: Service, workshop: Any, eventually: Eventually
    ) -> None:
        """A reload that is refused is a row with the first finding."""
        at = Span("rules/lighting.yaml", 9, 33, 6)
        workshop.mistake = RuleError([Finding("E201", Severity.ERROR, at, 'no point "trafic"')])
        await client.ask(api.Reload())
        await eventually(lambda: rows(service, kind="rules"))
        (row,) = rows(service, kind="rules")
        assert (row.action, row.detail["findings"]) == ("refused", 1)
        assert "trafic" in row.detail["first"]

    async def test_disk_refuses(
        self,
        client: api.AsyncClient,
        service: Service,
        workshop: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """While the audit cannot be written no rules come into force: the reload is refused and says why."""
        monkeypatch.setattr(desk, "WAIT_S", 0.3)
        path = service.settings.storage.path / "audit.db"
        with closing(sqlite.connect(str(path), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = await client.ask(api.Reload())
            with pytest.raises(api.ApiError, match="the audit did not take it") as caught:
                await client.ask(api.RecordAudit(action="login", person="m.garcia"))
            other.execute("ROLLBACK")
        assert (answer.adopted, workshop.adopted) == (False, [])
        assert "NotRecordedError" in answer.findings[0]
        assert caught.value.code == "not-recorded"

    async def test_by_signal(self, service: Service, eventually: Eventually) -> None:
        """A reload by a signal says so."""
        service._reload_by_signal()
        await eventually(lambda: rows(service, kind="rules"))
        assert rows(service, kind="rules")[0].origin == "signal"


class TestAccess:
    async def test_recorded(self, client: api.AsyncClient, service: Service) -> None:
        """A login is on disk when it is answered."""
        ask = api.RecordAudit(action="login", person="m.garcia", via="web 192.0.2.7")
        recorded = await client.ask(ask)
        (row,) = rows(service, kind="access")
        assert (row.number, row.action, row.origin) == (recorded.row, "login", "web")
        assert row.people == {"person": "m.garcia", "account": ME, "address": "192.0.2.7"}

    async def test_unknown_action(self, client: api.AsyncClient, service: Service) -> None:
        """Only what is listed may be told."""
        with pytest.raises(api.ApiError, match='"launch" is none of login'):
            await client.ask(api.RecordAudit(action="launch", person="m.garcia"))
        assert rows(service, kind="access") == []

    @pytest.mark.parametrize(
        "ask",
        [
            api.RecordAudit(action="login", person="m.garcia"),
            api.EraseFromAudit(erase="m.garcia", person="x", reason="y"),
        ],
    )
    async def test_of_others(
        self, client: api.AsyncClient, monkeypatch: pytest.MonkeyPatch, ask: Any
    ) -> None:
        """A member of the socket's group may order, and may not write into the audit or erase."""
        await client.ask(api.GetStatus())  # connected, as a member of the group would be
        monkeypatch.setattr(control, "_is_own", lambda user: False)
        with pytest.raises(api.ApiError, match="only the engine's own user may") as caught:
            await client.ask(ask)
        assert caught.value.code == "not-allowed"

    async def test_erased(self, client: api.AsyncClient, service: Service) -> None:
        """A person is erased while the engine runs, and the list shows it."""
        await client.ask(api.RecordAudit(action="login", person="m.garcia"))
        ask = api.EraseFromAudit(erase="m.garcia", person="dpo", reason="request")
        assert (await client.ask(ask)).rows == 1
        (row,) = await client.ask(api.ListAudit(kind="access"))
        assert (row.people, row.erased) == ({}, ["person", "account"])
        path = service.settings.storage.path
        assert b"m.garcia" not in b"".join(p.read_bytes() for p in path.glob("audit.db*"))

    async def test_listed(self, client: api.AsyncClient, service: Service) -> None:
        """The newest rows come first to be chosen, and stand in order."""
        for person in ("a", "b", "c"):
            await client.ask(api.RecordAudit(action="login", person=person))
        found = await client.ask(api.ListAudit(kind="access", last=2))
        assert [row.people["person"] for row in found] == ["b", "c"]
