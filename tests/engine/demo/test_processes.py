"""The demo's parts as real processes, and the adapters between them and the city."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from tests.processes import still_run

from pilotage.adapter import ConnectionSettings
from pilotage.demo.broker import BrokerProcess
from pilotage.demo.child import Peer, free_port
from pilotage.demo.clock import DemoClock
from pilotage.demo.equipment import EquipmentProcess
from pilotage.demo.parts import CabinetsProcess, ControllersProcess
from pilotage.demo.sight import look
from pilotage.model.messages import Command, Outcome, Request
from pilotage.runtime.plugins import load_plugins
from pilotage.testing.adapters import RecordingDoor


def opened(demo_settings: Any, demo_site: Any, name: str, door: RecordingDoor, **ends: Any) -> Any:
    """Return an adapter of the demo's own settings, with the ports of this test."""
    (found,) = [s for s in demo_settings.connections if s.adapter == name]
    settings = ConnectionSettings(found.name, name, {**found.options, **ends}, found.place)
    return load_plugins().adapters[name].open(settings, demo_site, door)


@asynccontextmanager
async def running(adapter: Any) -> AsyncIterator[None]:
    task = asyncio.ensure_future(adapter.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_streets_over_mqtt(demo_settings: Any, demo_site: Any) -> None:
    """Over the broker sensors and vehicles are reported, and a street obeys."""

    async def scenario(port: int, clock: DemoClock, equipment: EquipmentProcess) -> None:
        door = RecordingDoor()
        demo_site.now = clock.now
        adapter = opened(demo_settings, demo_site, "mqtt", door, port=port)
        lamps = [f"lamp-monge-{n}.level" for n in (1, 2, 4, 5)]
        async with running(adapter):
            # The demo's broker does not take clients well while another one subscribes: one after the other.
            await door.until(lambda: bool(door.ups))
            try:
                equipment.__enter__()
                await door.until(
                    lambda: (
                        {"bus-301.delay", "R-1.blocked", "P-1.free", "cam-08.online", *lamps}
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
                assert not door.refusals
            finally:
                equipment.stop()

    with BrokerProcess() as broker:
        clock = DemoClock.begin(speed=60)
        asyncio.run(scenario(broker.port, clock, EquipmentProcess(broker.port, clock)))


def test_cabinets_over_modbus(demo_settings: Any, demo_site: Any) -> None:
    """Over Modbus each cabinet says that its door is shut, that it feeds its lamps, and what its meter counts."""

    async def scenario(port: int) -> None:
        door = RecordingDoor()
        async with running(opened(demo_settings, demo_site, "modbus", door, port=port)):
            await door.until(lambda: door.last("CAB-3.energy") is not None)
            assert (door.last("CAB-1.door_open"), door.last("CAB-1.contactor")) == (False, "closed")
            assert 3.0 < float(door.last("CAB-2.phase_current")) < 9.0
            first = float(door.last("CAB-3.energy"))
            assert 8_000 < first < 30_000
            await door.until(lambda: float(door.last("CAB-3.energy")) > first)
            assert not door.refusals

    clock = DemoClock.begin(speed=120)
    with CabinetsProcess(options=clock.options) as cabinets:
        asyncio.run(scenario(cabinets.port))


def test_junctions_over_opcua(demo_settings: Any, demo_site: Any) -> None:
    """A junction is asked by a method, answers, turns green, and those who look at it see that."""

    async def scenario(port: int, eyes: int) -> None:
        door, seen = RecordingDoor(), dict[str, str]()
        demo_site.now = clock.now
        url = f"opc.tcp://127.0.0.1:{port}"
        adapter = opened(demo_settings, demo_site, "opcua", door, url=url)
        looking = await look(eyes, seen.update)
        async with running(adapter):
            await door.until(lambda: door.last("J-02.held_by") == "nobody")
            assert (door.last("J-01.mode"), door.last("J-01.cycle")) == ("normal", 90.0)
            ask = Request(
                "r1", "J-02.priority", "request", "bus-301", {"eta": 9.0}, clock.now() + 60, "test"
            )
            assert await adapter.send(ask) is Outcome.ACKNOWLEDGED
            await door.until(lambda: door.last("J-02.priority.status") == "activated")
            await door.until(lambda: door.last("J-02.held_by") == "bus")
            await door.until(lambda: seen.get("J-02") == "bus")
            assert not door.refusals
        looking.close()

    clock, eyes = DemoClock.begin(speed=20), free_port(socket.SOCK_DGRAM)
    with ControllersProcess(options=[*clock.options, "--eyes", str(eyes)]) as controllers:
        asyncio.run(scenario(controllers.port, eyes))


class TestEnd:
    def test_port_in_use(self) -> None:
        """A broker that cannot listen says so."""
        with BrokerProcess() as first, pytest.raises(RuntimeError, match=f"port {first.port}"):
            BrokerProcess(first.port).__enter__()

    @pytest.mark.parametrize(
        ("make", "options"), [(CabinetsProcess, ()), (ControllersProcess, ("--eyes", "9"))]
    )
    def test_port_in_use_by_another(self, make: type[Peer], options: tuple[str, ...]) -> None:
        """Devices that cannot listen say so too."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(RuntimeError, match=f"does not start on port {port}"):
                make(port, options).__enter__()

    def test_children_end_with_their_parent(self) -> None:
        """When the parent is killed, its parts end by themselves."""
        code = (
            "from pilotage.demo.broker import BrokerProcess\n"
            "from pilotage.demo.clock import DemoClock\n"
            "from pilotage.demo.parts import CabinetsProcess, ControllersProcess\n"
            "from pilotage.demo.equipment import EquipmentProcess\n"
            "with BrokerProcess() as b, CabinetsProcess(), ControllersProcess(options=['--eyes', '9']), \\\n"
            "  EquipmentProcess(b.port, DemoClock.begin(1.0)):\n"
            "    print('up', flush=True)\n"
            "    import time; time.sleep(60)\n"
        )
        parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        with parent:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "up\n"
            children = psutil.Process(parent.pid).children(recursive=True)
            assert len(children) == 4
            os.kill(parent.pid, signal.SIGKILL)
        assert still_run(children) == []
