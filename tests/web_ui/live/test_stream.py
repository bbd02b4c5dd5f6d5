"""The stream, whole: a real engine behind its socket, the hub, uvicorn on a port, and a client that reads bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from pilotage.model.looks import Look
from pilotage.model.messages import Reading
from pilotage.model.quality import Quality
from pilotage.runtime.config import Settings, load_settings
from pilotage.runtime.plugins import Catalogue, load_plugins
from pilotage.runtime.workshop import CityPlan, CityWorkshop
from pilotage.service import Service
from pilotage_web.live import stream
from pilotage_web.live.hub import Hub
from pilotage_web.live.stream import LiveStream

CONFIG = """\
site: {name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04], country: FR}
inventory: [city.yaml]
history: {enabled: false}
"""
CITY = "".join(f"lamp-{n}: {{kind: lamp, position: [47.32{n}, 5.04]}}\n" for n in range(5))


class Workshop(CityWorkshop):
    """Loads the plugins once for all tests."""

    catalogue = load_plugins()

    def read(self, settings: Settings, catalogue: Catalogue | None) -> CityPlan:
        return super().read(settings, catalogue or self.catalogue)


async def until(true: Callable[[], object], timeout_s: float = 8.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.005)


async def start(folder: Path) -> Service:
    service = Service(load_settings(folder / "config.yaml", {}), Workshop())
    await service.start()
    return service


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[list[Service]]:
    """The engine that runs; a test may put another in its place."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "city.yaml").write_text(CITY)
    (tmp_path / "config.yaml").write_text(CONFIG)
    running = [await start(tmp_path)]
    yield running
    await running[0].stop()


@pytest.fixture
async def hub(engine: list[Service]) -> AsyncIterator[Hub]:
    hub = Hub(engine[0].settings.control.socket)
    await hub.open()
    await until(lambda: hub.places)
    yield hub
    await hub.close()


class Door:
    """Whether sessions stand, and where the stream is."""

    def __init__(self) -> None:
        self.is_open = True
        self.url = ""

    async def is_allowed(self) -> bool:
        return self.is_open


@pytest.fixture
async def door(hub: Hub) -> AsyncIterator[Door]:
    door = Door()

    async def live(request: Request) -> LiveStream:
        after = request.query_params.get("after", "")
        return LiveStream(hub, after, door.is_allowed, look_every_s=0.1)

    app = Starlette(routes=[Route("/live", live)])
    config = uvicorn.Config(
        app, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    door.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/live"
    yield door
    hub.end()
    server.should_exit = True
    await serving


class Browser:
    """Reads a stream as a browser does."""

    def __init__(self, url: str) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.ended = False
        self._url = url
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("GET", self._url) as answer,
        ):
            fields: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "event" in fields:
                    self.events.append((fields["event"], fields["data"], fields.get("id", "")))
                    fields = {}
        self.ended = True

    def of(self, kind: str) -> list[str]:
        return [data for event, data, _ in self.events if event == kind]

    @property
    def last_id(self) -> str:
        return next(id_ for _, _, id_ in reversed(self.events) if id_)

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


@pytest.fixture
async def browser(door: Door) -> AsyncIterator[Browser]:
    browser = Browser(door.url)
    await until(lambda: browser.of("hb"))
    yield browser
    await browser.leave()


def report(service: Service, point: str, value: Any) -> None:
    cell = service.engine.cells[point]
    service.inbox.put(Reading(cell, value, Quality.GOOD, service.clock.now()))


class TestStream:
    async def test_begins(self, browser: Browser, hub: Hub) -> None:
        """A browser that comes is told the versions of all lists, and how old the news are."""
        kinds = [kind for kind, _, _ in browser.events[:2]]
        assert kinds == ["t", "hb"]
        assert json.loads(browser.of("t")[0]) == dict(hub.lists)
        pulse = json.loads(browser.of("hb")[0])
        assert pulse["away"] is False
        assert pulse["engine_s"] < 2.0

    async def test_frames(self, browser: Browser, hub: Hub, engine: list[Service]) -> None:
        """What looks otherwise comes as number and look, and the snapshot has it too."""
        report(engine[0], "lamp-3.level", 50.0)
        await until(lambda: browser.of("s"))
        frame, _, at = browser.of("s")[0].partition("|")
        assert frame == f"3{Look.ACTIVE}"
        assert float(at) > 1.6e12
        assert hub.looks == b"55515"

    async def test_crowd(self, browser: Browser, hub: Hub, engine: list[Service]) -> None:
        """A room full of browsers gets fewer frames, and each thing once in each."""
        await until(lambda: browser.of("hb"))
        hub.streams = 500
        hub._tell_looks([31, 42])
        hub._tell_looks([30, 12])
        assert not browser.of("s")
        await until(lambda: browser.of("s"))
        assert [frame.partition("|")[0] for frame in browser.of("s")] == ["30,42,12"]
        hub.streams = 1

    async def test_crowd_lists(self, browser: Browser, hub: Hub, engine: list[Service]) -> None:
        """A room full of browsers is told at once of a list that people wait for, of the others with the next frame."""
        hub.streams, before = 500, len(browser.events)
        hub._tell_lists({"rules": 70_001})
        hub._tell_looks([31])
        assert hub.lists["rules"] == 70_001
        number = hub.ring.last
        hub._tell_lists({"alarms": 70_002})
        assert hub.ring.last == number + 1
        hub._tell_lists({"commands": 70_003})
        await until(lambda: browser.of("s"))
        told = [(kind, data) for kind, data, _ in browser.events[before:] if kind in ("s", "t")]
        assert [kind for kind, _ in told] == ["t", "t", "s"]
        assert json.loads(told[0][1]) == {"rules": 70_001, "alarms": 70_002}
        assert json.loads(told[1][1]) == {"commands": 70_003}
        hub.streams = 1

    async def test_comes_back(self, browser: Browser, door: Door, engine: list[Service]) -> None:
        """A browser that comes back gets exactly what it missed."""
        report(engine[0], "lamp-3.level", 50.0)
        await until(lambda: browser.of("s"))
        seen = browser.last_id
        await browser.leave()
        report(engine[0], "lamp-4.level", 50.0)
        report(engine[0], "lamp-3.level", 0.0)
        await asyncio.sleep(0.25)
        again = Browser(f"{door.url}?after={seen}")
        await until(lambda: again.of("s"))
        assert "reset" not in [kind for kind, _, _ in again.events]
        changes = ",".join(data.partition("|")[0] for data in again.of("s")).split(",")
        assert sorted(changes) == ["30", "41"]
        await again.leave()

    async def test_too_late(self, door: Door, hub: Hub) -> None:
        """Whose place is gone starts anew."""
        late = Browser(f"{door.url}?after=other.7")
        await until(lambda: late.of("hb"))
        assert [kind for kind, _, _ in late.events] == ["reset", "t", "hb"]
        assert late.last_id == hub.cursor
        await late.leave()

    async def test_session_ends(self, browser: Browser, door: Door, engine: list[Service]) -> None:
        """When the session ends the stream says so, and ends."""
        door.is_open = False
        await until(lambda: browser.ended)
        assert browser.events[-1][0] == "auth"

    async def test_bye(self, browser: Browser, hub: Hub) -> None:
        """A planned stop is announced, and the stream ends at once."""
        began = asyncio.get_running_loop().time()
        hub.end()
        await until(lambda: browser.ended)
        assert browser.events[-1][0] == "bye"
        assert asyncio.get_running_loop().time() - began < 1.0

    async def test_leaves(self, door: Door, hub: Hub) -> None:
        """A browser that goes leaves nothing behind."""
        guest = Browser(door.url)
        await until(lambda: hub.streams == 1)
        await guest.leave()
        await until(lambda: hub.streams == 0)


class TestEngineAway:
    async def test_said_at_once(self, browser: Browser, engine: list[Service]) -> None:
        """The end of the engine is told in the same moment; the age of its news goes on growing."""
        await engine[0].stop()
        await until(lambda: json.loads(browser.of("hb")[-1])["away"])
        await until(lambda: json.loads(browser.of("hb")[-1])["engine_s"] > 1.0)

    async def test_planned(self, browser: Browser, engine: list[Service]) -> None:
        """A stop on purpose is announced before the engine goes; the stream itself stays."""
        await engine[0].stop()
        await until(lambda: json.loads(browser.of("hb")[-1])["away"])
        kinds = [kind for kind, _, _ in browser.events]
        away = next(
            place
            for place, (kind, data, _) in enumerate(browser.events)
            if kind == "hb" and json.loads(data)["away"]
        )
        assert kinds.index("bye") < away
        assert not browser.ended

    async def test_another_engine(
        self, browser: Browser, hub: Hub, engine: list[Service], tmp_path: Path
    ) -> None:
        """After a restart everything is anew: browsers read a snapshot, numbers count in a new epoch."""
        before = hub.ring.epoch
        report(engine[0], "lamp-3.level", 50.0)
        await until(lambda: browser.of("s"))
        await engine[0].stop()
        engine[0] = await start(tmp_path)
        await until(lambda: browser.of("reset"))
        await until(lambda: not json.loads(browser.of("hb")[-1])["away"])
        assert hub.ring.epoch != before
        await until(lambda: hub.places and hub.places.epoch == hub.looks_of)

    async def test_the_same_engine_again(
        self, browser: Browser, hub: Hub, engine: list[Service]
    ) -> None:
        """A link that broke while the engine lived costs no snapshot: what differs comes as a frame."""
        before = hub.ring.epoch
        feed = engine[0].feed
        feed.close()  # the hub hears nothing more
        report(engine[0], "lamp-1.level", 50.0)
        hub._tasks[0].cancel()
        hub._tasks[0] = asyncio.create_task(hub._follow())
        await until(lambda: browser.of("s"))
        assert browser.of("s")[0].startswith("11|")
        assert hub.ring.epoch == before
        assert "reset" not in [kind for kind, _, _ in browser.events]


def test_intervals() -> None:
    """A session that ended is noticed within seconds."""
    assert stream.LOOK_EVERY_S <= 30.0
