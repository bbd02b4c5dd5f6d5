"""Servers that die, freeze, are slow and come back; a real process that gets real signals."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from contextlib import closing
from typing import Any

import pytest

from pilotage.model.messages import Command, Outcome
from pilotage.model.quality import Quality
from pilotage_opcua.link import ConnectionLost, Link

NODE = "ns=2;s=City.{id}"
LAMP: dict[str, Any] = {
    "kind": "lamp",
    "read": {"point": "level", "node": f"{NODE}.Level"},
    "write": {"point": "level", "node": f"{NODE}.Level"},
}
POINTS = ("lamp-1.level", "lamp-2.level", "lamp-3.level")
ROUNDS = 3


def command(value: float, seconds: float = 60.0) -> Command:
    return Command(f"{value:g}", "lamp-1.level", value, time.time() + seconds, "test")


class TestLoss:
    async def test_killed_and_back(self, make_plc: Any, running: Any) -> None:
        """A server that dies is noticed at once; each time that it returns, values come and orders go again."""
        plc = make_plc()
        async with running(plc, points=LAMP) as city:
            for number in range(1, ROUNDS + 1):
                await city.up(number)
                assert await city.adapter.send(command(10.0 + number)) is Outcome.ACKNOWLEDGED
                since = time.monotonic()
                plc.signal(signal.SIGKILL)
                await city.door.until(lambda n=number: len(city.door.losses) == n)
                assert time.monotonic() - since < 1.0
                assert city.door.losses[-1][0] == POINTS
                assert await city.adapter.send(command(99.0)) is Outcome.NOT_SENT
                plc.stop()
                plc.start()
            await city.up(ROUNDS + 1)
            assert city.door.last("lamp-1.level") == 10
            await plc.do("set", "City.lamp-1.Level", value=20)
            await city.door.until(lambda: city.door.last("lamp-1.level") == 20)

    async def test_frozen(self, make_plc: Any, running: Any) -> None:
        """A server that stands still is lost after the silence; an order meanwhile is unknown and never sent again."""
        plc = make_plc()
        async with running(plc, points=LAMP, silence=2, timeout=1) as city:
            await city.up()
            plc.signal(signal.SIGSTOP)
            since = time.monotonic()
            assert await city.adapter.send(command(50.0)) is Outcome.UNKNOWN
            await city.door.until(lambda: bool(city.door.losses))
            assert 1.0 < time.monotonic() - since < 5.0
            assert await city.adapter.send(command(60.0)) is Outcome.NOT_SENT
            plc.signal(signal.SIGCONT)
            since = time.monotonic()
            await city.up(2)
            assert time.monotonic() - since < 5.0
            await plc.do("set", "City.lamp-2.Level", value=21)
            await city.door.until(lambda: city.door.last("lamp-2.level") == 21)

    async def test_frozen_then_restarted(self, make_plc: Any, running: Any) -> None:
        """After a freeze, a thaw and a restart the connection is not deaf."""
        plc = make_plc()
        async with running(plc, points=LAMP, silence=2) as city:
            await city.up()
            plc.signal(signal.SIGSTOP)
            await city.door.until(lambda: bool(city.door.losses))
            plc.signal(signal.SIGCONT)
            await city.up(2)
            plc.stop()
            plc.start()
            await city.up(3)
            await plc.do("set", "City.lamp-3.Level", value=22)
            await city.door.until(lambda: city.door.last("lamp-3.level") == 22)

    async def test_quality_after_return(self, make_plc: Any, running: Any) -> None:
        """What is old at the server is of now when it says so again: no reading lies before the loss."""
        plc = make_plc()
        async with running(plc, points=LAMP) as city:
            await city.up()
            plc.stop()
            await city.door.until(lambda: bool(city.door.losses))
            lost, count = time.time(), len(city.door.reports)
            plc.start()
            await city.up(2)
            again = city.door.reports[count:]
            assert {r.point for r in again} == set(POINTS)
            assert all(r.quality is Quality.GOOD and r.source_time > lost for r in again)

    async def test_nothing_is_left(self, make_plc: Any, running: Any) -> None:
        """A connection that is cancelled leaves no task behind."""
        plc = make_plc()
        before = asyncio.all_tasks()
        async with running(plc, points=LAMP) as city:
            await city.up()
        for _ in range(3):
            await asyncio.sleep(0)  # cancelled tasks end in the next turns of the loop
        assert asyncio.all_tasks() == before


class TestStranger:
    async def test_nobody_there(self, plc: Any, running: Any, make_settings: Any) -> None:
        """Without a server the reason names the address."""
        async with running(plc, points=LAMP, url="opc.tcp://127.0.0.1:1") as city:
            await city.door.until(lambda: bool(city.errors))
            assert city.errors[0].startswith("cannot connect to opc.tcp://127.0.0.1:1: ")
            assert (city.door.ups, city.door.losses) == ([], [])

    async def test_never_answers(self, plc: Any, running: Any) -> None:
        """A gateway that accepts and never answers is given up after the timeout."""
        with closing(socket.create_server(("127.0.0.1", 0))) as mute:
            url = f"opc.tcp://127.0.0.1:{mute.getsockname()[1]}"
            async with running(plc, points=LAMP, url=url, timeout=0.5) as city:
                await city.door.until(lambda: bool(city.errors), 5)
                assert city.errors[0] == f"cannot connect to {url}: no answer in time"

    @pytest.mark.parametrize("noise", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64, b"ACKF"])
    async def test_speaks_something_else(self, plc: Any, running: Any, noise: bytes) -> None:
        """Something that is no OPC UA ends the try, and nothing else."""

        async def answer(_reader: Any, writer: asyncio.StreamWriter) -> None:
            writer.write(noise)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"opc.tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with running(plc, points=LAMP, url=url, timeout=0.5) as city:
            await city.door.until(lambda: len(city.errors) >= 2, 10)
            assert city.errors[0].startswith(f"cannot connect to {url}: ")
        server.close()

    async def test_cancelled_while_it_tidies_up(
        self, plc: Any, running: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The library takes a cancellation that comes while it ends its own tasks for one of theirs; the run ends all the same."""

        async def open_it(_link: Link) -> str:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise ConnectionLost("the socket was closed") from None
            return ""

        monkeypatch.setattr(Link, "open", open_it)
        task = asyncio.ensure_future(running(plc, points=LAMP).adapter.run())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
