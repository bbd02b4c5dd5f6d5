"""Broker and equipment as real processes, and the MQTT adapter between them and the city."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from pilotage.adapter import ConnectionSettings
from pilotage.demo.broker import BrokerProcess, free_port
from pilotage.demo.equipment import DemoClock, EquipmentProcess
from pilotage.model.messages import Command, Outcome, Request
from pilotage.runtime.plugins import load_plugins
from pilotage.testing.adapters import RecordingDoor


def test_the_city_lives(demo_settings: Any, demo_site: Any) -> None:
    """Over the broker every point is reported, a street obeys, and a junction answers."""
    (found,) = demo_settings.connections

    async def scenario(port: int, clock: DemoClock, equipment: EquipmentProcess) -> None:
        door = RecordingDoor()
        options = {**found.options, "port": port}
        settings = ConnectionSettings(found.name, found.adapter, options, found.place)
        demo_site.now = clock.now
        adapter = load_plugins().adapters["mqtt"].open(settings, demo_site, door)
        task = asyncio.ensure_future(adapter.run())
        lamps = [f"lamp-monge-{n}.level" for n in (1, 2, 4, 5)]
        try:
            # The demo's broker does not take clients well while another one subscribes: one after the other.
            await door.until(lambda: bool(door.ups))
            equipment.__enter__()
            await door.until(
                lambda: (
                    {"J-01.held_by", "R-1.blocked", "P-1.free", "cam-08.online", *lamps}
                    <= {r.point for r in door.reports}
                )
            )
            for attempt in (1, 2, 3):
                orders = [
                    Command(f"c{attempt}", lamp, 30.0, clock.now() + 600, "test", 5.0)
                    for lamp in lamps
                ]
                sent = await asyncio.gather(*(adapter.send(order) for order in orders))
                assert set(sent) == {Outcome.ACKNOWLEDGED}
                with suppress(AssertionError):
                    await door.until(lambda: {door.last(lamp) for lamp in lamps} == {30.0}, 1.0)
            assert {door.last(lamp) for lamp in lamps} == {30.0}
            ask = Request(
                "r1", "J-02.priority", "request", "bus-301", {"eta": 9.0}, clock.now() + 60, "test"
            )
            assert await adapter.send(ask) is Outcome.ACKNOWLEDGED
            await door.until(lambda: door.last("J-02.priority.status") == "activated")
            assert not door.refusals
        finally:
            equipment.stop()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    with BrokerProcess() as broker:
        clock = DemoClock.begin(speed=60)
        asyncio.run(scenario(broker.port, clock, EquipmentProcess(broker.port, clock)))


class TestEnd:
    def test_port_in_use(self) -> None:
        """A broker that cannot listen says so."""
        with BrokerProcess() as first, pytest.raises(RuntimeError, match=f"port {first.port}"):
            BrokerProcess(first.port).__enter__()

    def test_children_end_with_their_parent(self) -> None:
        """When the parent is killed, broker and equipment end by themselves."""
        code = (
            "from pilotage.demo.broker import BrokerProcess\n"
            "from pilotage.demo.equipment import DemoClock, EquipmentProcess\n"
            f"with BrokerProcess({free_port()}) as b, EquipmentProcess(b.port, DemoClock.begin(1.0)):\n"
            "    print('up', flush=True)\n"
            "    import time; time.sleep(60)\n"
        )
        parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        with parent:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "up\n"
            children = psutil.Process(parent.pid).children(recursive=True)
            assert len(children) == 2
            os.kill(parent.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=10)
        with suppress(psutil.NoSuchProcess):  # one that nobody has reaped yet has ended too
            assert {p.status() for p in alive} <= {psutil.STATUS_ZOMBIE}
