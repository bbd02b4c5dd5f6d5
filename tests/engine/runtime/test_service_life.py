"""The life of a service: started in order, reloaded or not at all, stopped in order, alone on its storage."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage import api
from pilotage.model.diagnostics import Finding, RuleError, Severity, Span
from pilotage.model.messages import Reading
from pilotage.model.quality import Quality
from pilotage.ports import OwnedElsewhereError
from pilotage.runtime.clock import ScaledClock
from pilotage.runtime.config import load_settings
from pilotage.runtime.journal import JournalReader, sqlite
from pilotage.service import WORKERS, Service, loop_factory, workers

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


def mistake() -> RuleError:
    at = Span("rules/lighting.yaml", 9, 33, 6)
    return RuleError(
        [Finding("E201", Severity.ERROR, at, 'no point "trafic"', mend='write "traffic"')]
    )


def low_flow(service: Service) -> Reading:
    return Reading(service.engine.cells["street-1.flow"], 41.0, Quality.GOOD, time.time())


class TestStart:
    async def test_wire_to_wire(
        self, service: Service, workshop: Any, eventually: Eventually
    ) -> None:
        """A reading at a connection's door becomes a command at its adapter, and its result comes back in."""
        await eventually(lambda: "lamps" in workshop.factory.opened)
        adapter = workshop.factory.opened["lamps"]
        adapter.door.report(adapter.site.point("street-2.flow"), 12)
        await eventually(lambda: adapter.sent)
        (command,) = adapter.sent
        assert (command.point, command.value) == ("street-2.level", 30.0)
        engine: Any = service.engine
        await eventually(
            lambda: any(getattr(i, "command", "") == command.id for b in engine.batches for i in b)
        )

    async def test_told_again(self, service: Service, eventually: Eventually) -> None:
        """When a connection comes up, the engine is asked to tell its points again what is wanted."""
        engine: Any = service.engine
        await eventually(lambda: engine.told_again)
        assert engine.told_again == [("street-1.level", "street-2.level", "street-3.level")]

    async def test_without_connections(self, config: Path, workshop: Any) -> None:
        """An engine without any connection is in service."""
        config.write_text("site: {name: Quiet, position: [47.32, 5.04]}\n")
        service = Service(load_settings(config, {}), workshop)
        await service.start()
        assert service.status().connections == []
        await service.stop()

    async def test_broken_plugin(self, config: Path, workshop: Any, eventually: Eventually) -> None:
        """A connection whose plugin fails is named, and the others are in service."""
        config.write_text(config.read_text() + "  gates: {adapter: echo, broken: true}\n")
        service = Service(load_settings(config, {}), workshop)
        await service.start()
        finding = service.health.finding("connection.gates")
        assert finding is not None
        assert "its adapter echo failed with KeyError: 'topic'" in finding.text
        await eventually(lambda: service.status().connections[0].state == "up")
        await service.stop()

    async def test_alone(self, service: Service, config: Path, workshop: Any) -> None:
        """A second engine on the same storage does not start, and harms nothing of the first."""
        second = Service(load_settings(config, {}), workshop)
        with pytest.raises(OwnedElsewhereError, match="an engine runs already"):
            await second.start()
        async with api.AsyncClient(service.settings.control.socket) as client:
            assert (await client.ask(api.GetStatus())).pid == os.getpid()

    async def test_mistake_in_the_rules(self, config: Path, workshop: Any) -> None:
        """With a mistake in its rules an engine does not start, and leaves nothing that runs."""
        workshop.mistake = mistake()
        service = Service(load_settings(config, {}), workshop)
        tasks = asyncio.all_tasks()
        with pytest.raises(RuleError, match="E201"):
            await service.start()
        assert asyncio.all_tasks() == tasks
        workshop.mistake = None
        again = Service(load_settings(config, {}), workshop)
        await again.start()
        await again.stop()

    async def test_no_collection(
        self, config: Path, workshop: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While a city is read the garbage collector rests, and what stays of it is never looked at again."""
        at_work: list[bool] = []
        read = workshop.read

        def noting(*what: Any) -> Any:
            at_work.append(gc.isenabled())
            return read(*what)

        monkeypatch.setattr(workshop, "read", noting)
        service = Service(load_settings(config, {}), workshop)
        await service.start()
        assert (at_work, gc.isenabled(), gc.get_freeze_count() > 0) == ([False], True, True)
        await service.stop()
        assert gc.get_freeze_count() == 0

    async def test_goes_on_counting(
        self, config: Path, workshop: Any, eventually: Eventually
    ) -> None:
        """After a restart decisions go on with the next number."""
        for expected in (1, 2):
            service = Service(load_settings(config, {}), workshop)
            await service.start()
            service.inbox.put(low_flow(service))
            await eventually(lambda: service.pump.number == expected)  # noqa: B023
            await service.stop()
        path = load_settings(config, {}).storage.path / "journal.db"
        assert [r.number for r in JournalReader(path).decisions("city")] == [1, 2]

    async def test_scaled(self, config: Path, workshop: Any) -> None:
        """A service can run on a clock that is faster."""
        service = Service(load_settings(config, {}), workshop, clock=ScaledClock(60.0, 1e9))
        await service.start()
        assert service.status().speed == 60.0
        assert service.status().now == pytest.approx(1e9, abs=600)
        await service.stop()


class TestStop:
    async def test_what_was_decided_is_sent(self, service: Service, workshop: Any) -> None:
        """What arrived before the end is decided, written and sent; nothing is decided about the end itself."""
        adapter = workshop.factory.opened["lamps"]
        await asyncio.sleep(0)
        service.inbox.put(low_flow(service))
        await service.stop()
        assert [c.point for c in adapter.sent] == ["street-1.level"]
        engine: Any = service.engine
        assert not [
            i for b in engine.batches for i in b
            if isinstance(i, Reading) and i.quality is Quality.MISSING
        ]  # fmt: skip

    async def test_nothing_is_left(self, config: Path, workshop: Any) -> None:
        """After a stop no task, no socket and no lock is left."""
        tasks = asyncio.all_tasks()
        service = Service(load_settings(config, {}), workshop)
        await service.start()
        await service.stop()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == tasks
        assert not service.settings.control.socket.exists()
        again = Service(load_settings(config, {}), workshop)
        await again.start()
        await again.stop()

    async def test_by_order(self, config: Path, workshop: Any, eventually: Eventually) -> None:
        """The stop order ends `run`."""
        service = Service(load_settings(config, {}), workshop)
        running = asyncio.ensure_future(service.run())
        await eventually(service.settings.control.socket.exists)
        async with api.AsyncClient(service.settings.control.socket) as client:
            await client.ask(api.Stop())
        await asyncio.wait_for(running, 5)

    async def test_by_signal(self, config: Path, workshop: Any, eventually: Eventually) -> None:
        """SIGTERM ends `run` in order."""
        service = Service(load_settings(config, {}), workshop)
        running = asyncio.ensure_future(service.run())
        await eventually(service.settings.control.socket.exists)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 5)


class TestReload:
    async def test_adopted(self, service: Service, workshop: Any) -> None:
        """A reload reads everything anew, swaps once, and the journal says so."""
        async with api.AsyncClient(service.settings.control.socket) as client:
            answer = await client.ask(api.Reload())
            assert (answer.adopted, answer.findings) == (True, [])
            assert (await client.ask(api.GetStatus())).program == "digest-2"
        assert workshop.adopted == ["digest-2"]
        await service.stop()
        switches = list(JournalReader(service.journal.path).switches("city"))
        assert [(s.digest, s.is_start) for s in switches] == [
            ("digest-1", True),
            ("digest-2", False),
        ]

    async def test_refused(self, service: Service, workshop: Any) -> None:
        """With a mistake the old rules go on, the findings are returned, and health says so until it is mended."""
        workshop.mistake = mistake()
        async with api.AsyncClient(service.settings.control.socket) as client:
            answer = await client.ask(api.Reload())
            assert not answer.adopted
            assert answer.findings == [
                'rules/lighting.yaml:9:33: E201 no point "trafic"\n   mend: write "traffic"'
            ]
            assert service.health.finding("reload.refused") is not None
            assert (await client.ask(api.GetStatus())).program == "digest-1"
            workshop.mistake = None
            assert (await client.ask(api.Reload())).adopted
        assert service.health.finding("reload.refused") is None
        assert workshop.adopted == ["digest-3"]

    async def test_any_error(self, service: Service, workshop: Any) -> None:
        """Whatever a reload stumbles over, the old rules go on."""
        workshop.mistake = MemoryError("too large")
        answer = await service.reload()
        assert answer.findings == ["the reload failed: MemoryError: too large"]
        assert service.plan.digest == "digest-1"

    async def test_disk_refuses(self, service: Service, eventually: Eventually) -> None:
        """New rules are refused aloud while the journal cannot record that they came into force."""
        service.journal._connection.execute("PRAGMA busy_timeout = 10")
        other = sqlite.connect(service.journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        service.inbox.put(low_flow(service))
        await eventually(lambda: service.health.finding("journal.disk"))
        answer = await service.reload()
        assert not answer.adopted
        assert "new rules are not taken now" in answer.findings[0]
        other.execute("ROLLBACK")
        other.close()
        await eventually(lambda: service.health.finding("journal.disk") is None)
        assert (await service.reload()).adopted

    async def test_bad_configuration(self, service: Service, config: Path) -> None:
        """A mistake in config.yaml is shown with its place."""
        config.write_text("sight: {}\n")
        answer = await service.reload()
        assert not answer.adopted
        assert "config.yaml:1:1" in answer.findings[0]

    async def test_connections(
        self, service: Service, config: Path, workshop: Any, eventually: Eventually
    ) -> None:
        """Connections that are new or changed are opened, those that are gone are stopped, the others stay."""
        opened = workshop.factory.opened
        await eventually(lambda: service.status().connections[0].state == "up")
        lamps = opened["lamps"]
        head, tail = config.read_text().split("connections:\n")
        config.write_text(f"{head}connections:\n{tail}  gates: {{adapter: echo}}\n")
        assert (await service.reload()).adopted
        assert [c.name for c in service.status().connections] == ["lamps", "gates"]
        assert (opened["lamps"] is lamps, lamps.cancelled) == (True, 0)
        config.write_text(f"{head}connections:\n  lamps: {{adapter: echo, port: 2}}\n")
        assert (await service.reload()).adopted
        assert [c.name for c in service.status().connections] == ["lamps"]
        assert lamps.cancelled == 1
        assert opened["lamps"].settings.options == {"port": 2}

    async def test_by_signal(self, config: Path, workshop: Any, eventually: Eventually) -> None:
        """SIGHUP reloads."""
        service = Service(load_settings(config, {}), workshop)
        running = asyncio.ensure_future(service.run())
        await eventually(lambda: service.settings.control.socket.exists())
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: workshop.adopted)
        service.stop_soon()
        await running

    async def test_loop_is_free(self, service: Service, workshop: Any) -> None:
        """While rules are compiled the engine goes on."""
        compiling = asyncio.Event()
        loop = asyncio.get_running_loop()
        read = workshop.read

        def slow(*given: Any) -> Any:
            loop.call_soon_threadsafe(compiling.set)
            time.sleep(0.1)
            return read(*given)

        workshop.read = slow
        reload = asyncio.ensure_future(service.reload())
        await compiling.wait()
        began = time.monotonic()
        async with api.AsyncClient(service.settings.control.socket) as client:
            await client.ask(
                api.SetOverride(point="street-1.level", value=1, for_s=9, person="m", reason="r")
            )
        assert time.monotonic() - began < 0.09
        assert not reload.done()
        assert (await reload).adopted


class TestWorkers:
    def test_all_there(self) -> None:
        """The threads for what blocks are begun at once: their number does not rise while the engine runs."""
        pool = workers()
        try:
            assert len(pool._threads) == WORKERS
            assert pool.submit(lambda: 7).result(5) == 7
            assert len(pool._threads) == WORKERS
        finally:
            pool.shutdown()


class TestLoops:
    def test_switch(self) -> None:
        """The loop is the standard one unless uvloop is asked for."""
        for fast, name in ((False, "asyncio"), (True, "uvloop")):
            loop = loop_factory(fast)()
            assert type(loop).__module__.partition(".")[0] == name
            loop.close()


class TestSlowPlugin:
    async def test_is_named(
        self, service: Service, eventually: Eventually, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Code that holds the event loop is named with its place."""

        def vendor_callback() -> None:
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                pass

        asyncio.get_running_loop().call_soon(vendor_callback)
        # Other code may hold the loop too, on a machine that is busy.
        await eventually(lambda: "in vendor_callback holds the event loop" in caplog.text)
        assert service.health.counters["loop.slow"]
