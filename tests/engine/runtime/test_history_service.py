"""A whole service with its history: from an adapter's report to an answer at the control socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage.api import (
    ApiError,
    AsyncClient,
    EraseHistory,
    GetHistoryStatus,
    HistoryOf,
    ValueAt,
)
from pilotage.model.messages import Reading
from pilotage.runtime.config import load_settings
from pilotage.service import Service

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


async def report(service: Any, workshop: Any, eventually: Eventually, *flows: float) -> None:
    """Have the connection report flows, and wait until each was evaluated."""
    await eventually(lambda: "lamps" in workshop.factory.opened)
    door = workshop.factory.opened["lamps"].door
    cell = service.engine.cells["street-1.flow"]
    for flow in flows:
        assert door.report(cell, flow)
        await eventually(lambda wanted=flow: cell.value == wanted)  # type: ignore[misc]


class TestRecorded:
    async def test_from_device_to_answer(
        self, service: Service, workshop: Any, eventually: Eventually
    ) -> None:
        """What a device reports is in the history at once when somebody asks for it."""
        await report(service, workshop, eventually, 800.0, 900.0)
        now = service.clock.now()
        async with AsyncClient(service.settings.control.socket) as client:
            found = await client.ask(HistoryOf(point="street-1.flow", since=now - 60))
            status = await client.ask(GetHistoryStatus())
        # 900 waits: a number is recorded at most every 10 s unless the site says otherwise.
        assert [(v.value, v.quality) for v in found.values] == [(800.0, "good")]
        assert (found.unit, found.policy) == ("veh/h", "changes, at most every 10 s")
        assert status.readings == 2
        assert [(g.kind, g.point, g.points) for g in status.groups] == [("street", "flow", 1)]

    async def test_value_at(self, service: Service, workshop: Any, eventually: Eventually) -> None:
        """The value at a moment, and none before the first."""
        before = service.clock.now()
        await asyncio.sleep(0.05)
        await report(service, workshop, eventually, 800.0)
        async with AsyncClient(service.settings.control.socket) as client:
            now = await client.ask(ValueAt(point="street-1.flow", time=service.clock.now()))
            past = await client.ask(ValueAt(point="street-1.flow", time=before))
        assert (now.value, past.value, past.quality) == (800.0, None, "missing")

    async def test_erase(self, service: Service, workshop: Any, eventually: Eventually) -> None:
        """An order at the socket erases an entity, with who ordered it and why."""
        await report(service, workshop, eventually, 800.0)
        async with AsyncClient(service.settings.control.socket) as client:
            with pytest.raises(ApiError, match="reason"):
                await client.ask(EraseHistory(entity="street-1", person="Ada", reason=""))
            done = await client.ask(EraseHistory(entity="street-1", person="Ada", reason="asked"))
            with pytest.raises(ApiError, match="nothing was ever recorded"):
                await client.ask(HistoryOf(point="street-1.flow"))
        assert "1 rows" in done.text

    @pytest.mark.parametrize(
        ("question", "why"),
        [
            (HistoryOf(point="street-9.flow"), "nothing was ever recorded"),
            (HistoryOf(point="street-1.flow", since=10.0, until=5.0), "not before"),
            (HistoryOf(point="street-1.flow", every="2h"), 'no roll-ups of "2h"'),
            (HistoryOf(point="street-1.flow", since=0.0, until=1e9), "400 days"),
        ],
    )
    async def test_refused(self, service: Service, question: HistoryOf, why: str) -> None:
        """A question that makes no sense is answered with what is wrong, and with the mend."""
        async with AsyncClient(service.settings.control.socket) as client:
            with pytest.raises(ApiError, match=why) as caught:
                await client.ask(question)
        assert caught.value.mend


class TestWithout:
    async def test_switched_off(self, config: Path, workshop: Any) -> None:
        """With `history.enabled: false` there is no file, and a question is answered with the mend."""
        config.write_text(config.read_text() + "history: {enabled: false}\n")
        service = Service(load_settings(config, {}), workshop)
        await service.start()
        try:
            async with AsyncClient(service.settings.control.socket) as client:
                with pytest.raises(ApiError, match="records no history"):
                    await client.ask(GetHistoryStatus())
            assert not (service.settings.storage.path / "history.db").exists()
        finally:
            await service.stop()

    async def test_a_file_that_is_none(self, config: Path, workshop: Any) -> None:
        """A broken history stops nothing: the engine runs, and says what is wrong."""
        (config.parent / "var").mkdir()
        (config.parent / "var" / "history.db").write_bytes(b"no database at all " * 100)
        service = Service(load_settings(config, {}), workshop)
        await service.start()
        try:
            finding = service.health.finding("history.unusable")
            assert finding is not None
            assert finding.mend
        finally:
            await service.stop()


class TestLoop:
    async def test_one_append_a_tick(self, service: Service) -> None:
        """The loop hands over the list of a tick's inputs as it is, and looks at no reading."""
        history = service.history
        assert history is not None
        cell = service.engine.cells["street-1.flow"]
        inputs = [Reading(cell, float(n), cell.quality, 0.0) for n in range(1000)]
        history._inputs.clear()
        history.take(service.clock.now(), inputs)
        assert history._inputs[-1][1] is inputs
