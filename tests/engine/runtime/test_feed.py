"""The feed of the live pages, from a whole engine's socket: looks, lists, heartbeats; and nothing while nobody listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage import api
from pilotage.model.looks import Look
from pilotage.model.messages import Reading
from pilotage.model.quality import Quality
from pilotage.runtime import feed
from pilotage.runtime.config import Settings, load_settings
from pilotage.runtime.plugins import Catalogue, load_plugins
from pilotage.runtime.workshop import CityPlan, CityWorkshop
from pilotage.service import Service

Eventually = Callable[[Callable[[], object]], Awaitable[None]]

CONFIG = """\
site: {name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04], country: FR}
inventory: [city.yaml]
history: {enabled: false}
"""
CITY = """\
lamp-1: {kind: lamp, name: Rue de la Liberté 1, position: [47.3212345, 5.04], zone: Dijon}
lamp-2: {kind: lamp, position: [47.322, 5.041]}
lamp-3: {kind: lamp}
bus-1: {kind: bus}
"""
RULES = """\
version: 1
alarms:
  broken-lamp:
    title: Broken lamp
    owner: lighting
    severity: high
    for_each: {lamp: {kind: lamp}}
    raise_while: lamp.lamp_fail

"""


class Workshop(CityWorkshop):
    """Loads the plugins once for all tests."""

    catalogue = load_plugins()

    def read(self, settings: Settings, catalogue: Catalogue | None) -> CityPlan:
        return super().read(settings, catalogue or self.catalogue)


@pytest.fixture
async def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    monkeypatch.setattr(feed, "BEAT_S", 0.2)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "rules.yaml").write_text(RULES)
    (tmp_path / "city.yaml").write_text(CITY)
    (tmp_path / "config.yaml").write_text(CONFIG)
    service = Service(load_settings(tmp_path / "config.yaml", {}), Workshop())
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


class Listener:
    """Someone who follows the city through the socket, and keeps what was told."""

    def __init__(self, service: Service) -> None:
        self.now: api.CityNow | None = None
        self.looks: list[Look] = []
        self.lists: dict[str, int] = {}
        self.beats: list[api.Beat] = []
        self.frames = 0
        self._client = api.AsyncClient(service.settings.control.socket)
        self._task = asyncio.ensure_future(self._follow())

    async def _follow(self) -> None:
        async for news in self._client.follow(self._begin):
            if isinstance(news, api.LooksChanged):
                self.frames += 1
                for changed in news.changed:
                    self.looks[changed // 10] = Look(changed % 10)
            elif isinstance(news, api.ListsChanged):
                self.lists.update(news.lists)
            elif isinstance(news, api.Beat):
                self.beats.append(news)

    def _begin(self, now: api.CityNow) -> None:
        self.now = now
        self.looks = [Look(int(digit)) for digit in now.looks]
        self.lists = dict(now.lists)

    async def leave(self) -> None:
        self._client.close()
        self._task.cancel()
        await asyncio.wait({self._task})


@pytest.fixture
async def listener(city: Service, eventually: Eventually) -> AsyncIterator[Listener]:
    listener = Listener(city)
    await eventually(lambda: listener.now)
    yield listener
    await listener.leave()


def report(city: Service, point: str, value: Any, quality: Quality = Quality.GOOD) -> None:
    city.inbox.put(Reading(city.engine.cells[point], value, quality, city.clock.now()))


BUS, ONE, TWO, THREE = range(4)


class TestLooks:
    async def test_begins_silent(self, listener: Listener) -> None:
        """Equipment that was never heard is silent."""
        assert listener.looks == [Look.SILENT] * 4

    async def test_works_and_rests(
        self, city: Service, listener: Listener, eventually: Eventually
    ) -> None:
        """A lamp that burns is at work, one at nothing at rest."""
        report(city, "lamp-1.level", 60.0)
        report(city, "lamp-2.level", 0.0)
        await eventually(lambda: listener.looks[ONE] is Look.ACTIVE)
        await eventually(lambda: listener.looks[TWO] is Look.IDLE)
        assert listener.looks[THREE] is Look.SILENT

    async def test_alarm_then_fault(
        self, city: Service, listener: Listener, eventually: Eventually
    ) -> None:
        """An alarm stands over the fault that it tells of until somebody has seen it."""
        report(city, "lamp-1.level", 60.0)
        report(city, "lamp-1.lamp_fail", True)
        await eventually(lambda: listener.looks[ONE] is Look.ALARM)
        async with api.AsyncClient(city.settings.control.socket) as client:
            order = api.ActOnAlarm(alarm="broken-lamp[lamp-1]", action="acknowledge", person="Ada")
            assert (await client.ask(order)).taken
        await eventually(lambda: listener.looks[ONE] is Look.FAULT)
        report(city, "lamp-1.lamp_fail", False)
        await eventually(lambda: listener.looks[ONE] is Look.ACTIVE)

    async def test_held(self, city: Service, listener: Listener, eventually: Eventually) -> None:
        """What a person has taken shows as held while it follows."""
        report(city, "lamp-1.level", 60.0)
        async with api.AsyncClient(city.settings.control.socket) as client:
            await client.ask(
                api.SetOverride(
                    point="lamp-1.level", value=60.0, for_s=60.0, person="Ada", reason="works"
                )
            )
            await eventually(lambda: listener.looks[ONE] is Look.HELD)
            await client.ask(api.ReleaseOverride(point="lamp-1.level", person="Ada"))
        await eventually(lambda: listener.looks[ONE] is not Look.HELD)

    async def test_lost(self, city: Service, listener: Listener, eventually: Eventually) -> None:
        """A lamp whose value is lost, or that its gateway does not hear, is silent."""
        report(city, "lamp-1.level", 60.0)
        report(city, "lamp-2.level", 60.0)
        await eventually(lambda: listener.looks[TWO] is Look.ACTIVE)
        report(city, "lamp-1.level", None, Quality.STALE)
        report(city, "lamp-2.comm_ok", False)
        await eventually(lambda: listener.looks[ONE] is listener.looks[TWO] is Look.SILENT)

    async def test_what_nobody_touches(
        self, city: Service, listener: Listener, eventually: Eventually
    ) -> None:
        """What changes without a reading and without a decision, as growing old does, is seen too."""
        city.engine.cells["lamp-3.level"].put(0.0, Quality.GOOD, 0.0, 0.0)
        await eventually(lambda: listener.looks[THREE] is Look.IDLE)

    async def test_frames(self, city: Service, listener: Listener, eventually: Eventually) -> None:
        """Whatever happens within a tenth of a second is one frame, and the last of it counts."""
        await eventually(lambda: listener.beats)
        before = listener.frames
        for level in range(50):
            report(city, "lamp-1.level", float(level % 2))
            report(city, "lamp-2.level", float(level % 2))
            await asyncio.sleep(0)
        await eventually(lambda: listener.looks[TWO] is Look.ACTIVE)
        assert listener.frames - before <= 2
        assert listener.looks[ONE] is Look.ACTIVE


class TestLists:
    async def test_at_once(self, city: Service, listener: Listener, eventually: Eventually) -> None:
        """A list's version is the number of the decision that changed it, and says so at once."""
        before = dict(listener.lists)
        report(city, "lamp-1.lamp_fail", True)
        await eventually(lambda: listener.lists["alarms"] > before["alarms"])
        assert listener.lists["alarms"] == listener.lists["journal"] == city.pump.number
        assert listener.lists["plans"] == before["plans"]

    async def test_overrides(
        self, city: Service, listener: Listener, eventually: Eventually
    ) -> None:
        """An override and its end are news."""
        async with api.AsyncClient(city.settings.control.socket) as client:
            taken = await client.ask(
                api.SetOverride(
                    point="lamp-1.level", value=10.0, for_s=60.0, person="Ada", reason="works"
                )
            )
            await eventually(lambda: listener.lists["overrides"] >= taken.decision)
            given = await client.ask(api.ReleaseOverride(point="lamp-1.level", person="Ada"))
            await eventually(lambda: listener.lists["overrides"] >= given.decision)

    async def test_health(self, city: Service, listener: Listener, eventually: Eventually) -> None:
        """A finding that comes or goes is news with the next heartbeat."""
        before = listener.lists["health"]
        city.health.raised("disk", "full", "free space")
        await eventually(lambda: listener.lists["health"] > before)


class TestBeat:
    async def test_goes_on(self, city: Service, listener: Listener, eventually: Eventually) -> None:
        """A heartbeat has the engine's time, how much of the field is heard, and how quiet it is."""
        await eventually(lambda: listener.beats)
        first = listener.beats[-1]
        assert (first.heard, first.quiet_s) == (0.0, None)
        assert abs(city.clock.now() - first.at) < 2.0
        report(city, "lamp-1.level", 60.0)
        await eventually(lambda: listener.beats[-1].heard == 0.25)
        quiet_s = listener.beats[-1].quiet_s
        assert quiet_s is not None
        assert 0.0 <= quiet_s < 2.0


class TestNobody:
    async def test_costs_nothing(self, city: Service, eventually: Eventually) -> None:
        """Before the first listener and after the last one, no reading is looked at."""
        plain = city.pump.on_ticked
        listener = Listener(city)
        await eventually(lambda: listener.now)
        assert city.pump.on_ticked is not plain
        await listener.leave()
        await eventually(lambda: city.pump.on_ticked is plain)
        assert city.feed._timer is None or city.feed._timer.cancelled()
        assert not city.feed._looks

    async def test_two(self, city: Service, listener: Listener, eventually: Eventually) -> None:
        """A second listener gets the same news; when it leaves, the first goes on."""
        second = Listener(city)
        await eventually(lambda: second.now)
        report(city, "lamp-1.level", 60.0)
        await eventually(lambda: listener.looks[ONE] is second.looks[ONE] is Look.ACTIVE)
        await second.leave()
        report(city, "lamp-1.level", 0.0)
        await eventually(lambda: listener.looks[ONE] is Look.IDLE)

    async def test_leaves_while_it_begins(
        self, city: Service, monkeypatch: Any, eventually: Eventually
    ) -> None:
        """A listener that goes before everything was looked at leaves nothing behind."""
        monkeypatch.setattr(feed, "SLICE", 1)
        plain = city.pump.on_ticked
        impatient = asyncio.ensure_future(city.feed.listen(lambda line: None))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait({impatient})
        assert city.pump.on_ticked is plain
        listener = Listener(city)
        await eventually(lambda: listener.now)
        await listener.leave()


class TestPlaces:
    async def test_all(self, city: Service, listener: Listener) -> None:
        """Places come in pages, numbered as the news number them; what moves has no fixed place."""
        async with api.AsyncClient(city.settings.control.socket) as client:
            first = await client.ask(api.ListPlaces(limit=3))
            rest = await client.ask(api.ListPlaces(after=first.next))
        assert listener.now is not None
        assert (first.epoch, first.count) == (listener.now.epoch, 4)
        assert [p.id for p in first.places + rest.places] == ["bus-1", "lamp-1", "lamp-2", "lamp-3"]
        assert rest.next == -1
        assert first.places[1] == api.Place(
            1, "lamp-1", "lamp", "Dijon", "Rue de la Liberté 1", 47.321235, 5.04
        )
        assert first.places[0].latitude is None
