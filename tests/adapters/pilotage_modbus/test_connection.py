"""Reading and writing against real devices."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pilotage.model.entities import EntitySpec, Kind, PointSpec
from pilotage.model.messages import CallOut, Outcome
from pilotage.model.quality import Quality
from pilotage.model.values import number
from pilotage.testing.adapters import FixedSite
from pilotage_modbus.connection import TOGETHER_S

EVERY = {"poll": 0.05, "timeout": 0.5}


def lamps(**points: Any) -> dict[str, Any]:
    return {"points": {"kind": "lamp", "unit_id": "{unit}", "points": points}, **EVERY}


def lamp(**points: Any) -> dict[str, Any]:
    return {"points": {"entity": "lamp-1", "unit_id": 1, "points": points}, **EVERY}


class TestReading:
    async def test_four_tables(
        self, kit: Any, shared_street: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """A unit's four tables become points; the connection says when it is up."""
        options = lamp(
            level={"holding": 40, "write": False},
            power={"input": 300, "scale": 0.1},
            broken={"discrete": 2},
            relay={"coil": 63},
        )
        settings = make_settings(port=shared_street.port, **options)
        async with kit.running(settings, city, door):
            await door.until(lambda: door.last("lamp-1.relay") is not None)
            await door.until(lambda: door.last("lamp-1.broken") is not None)
            await door.until(lambda: door.last("lamp-1.power") is not None)
        assert {r.point: r.raw for r in door.reports} == {
            "lamp-1.level": 40.0,
            "lamp-1.power": 30.0,
            "lamp-1.broken": True,
            "lamp-1.relay": False,
        }
        assert door.ups == [f"127.0.0.1:{shared_street.port}, Modbus TCP, 1 units"]
        assert {r.quality for r in door.reports} == {Quality.GOOD}

    async def test_many_units(
        self, kit: Any, shared_street: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """One connection is shared by many units; each entity says its own."""
        async with kit.probing(shared_street.port) as probe:
            for unit in (1, 2, 3):
                await probe.write_register(20, 10 * unit, device_id=unit)
        settings = make_settings(port=shared_street.port, **lamps(level={"holding": 20}))
        async with kit.running(settings, city, door) as (connection, _):
            await door.until(lambda: door.last("lamp-3.level") is not None)
            assert [door.last(f"lamp-{n}.level") for n in (1, 2, 3)] == [10.0, 20.0, 30.0]
            assert connection.targets() == (["lamp-1.level", "lamp-2.level", "lamp-3.level"], ())

    async def test_coalesced(self, kit: Any, make_settings: Any, city: Any, door: Any) -> None:
        """Neighbours are read in one request, and a poll is one request."""
        seen: list[tuple[int, int, int]] = []

        async def look(code: int, address: int, count: int) -> None:
            seen.append((code, address, count))

        options = lamp(
            level={"holding": 10},
            power={"holding": 12, "type": "float32"},
            broken={"holding": 20, "bit": 3},
        )
        async with (
            kit.acting(look) as port,
            kit.running(make_settings(port=port, **options), city, door),
        ):
            await door.until(lambda: sum(r.point == "lamp-1.broken" for r in door.reports) == 3)
        assert set(seen) == {(3, 10, 11)}

    async def test_rates(self, kit: Any, make_settings: Any, city: Any, door: Any) -> None:
        """Each binding has its own rate."""
        options: dict[str, Any] = {
            "points": [
                {
                    "entity": "lamp-1",
                    "unit_id": 1,
                    "poll": "20 ms",
                    "points": {"level": {"holding": 1}},
                },
                {
                    "entity": "lamp-1",
                    "unit_id": 1,
                    "poll": "1 h",
                    "points": {"power": {"holding": 2}},
                },
            ]
        }

        async def nothing(*_: int) -> None:
            return None

        async with (
            kit.acting(nothing) as port,
            kit.running(make_settings(port=port, **options), city, door),
        ):
            await door.until(lambda: sum(r.point == "lamp-1.level" for r in door.reports) > 5)
        assert sum(r.point == "lamp-1.power" for r in door.reports) == 1

    @pytest.mark.parametrize(("poll", "together"), [("500 ms", True), ("100 ms", False)])
    async def test_together(
        self, kit: Any, make_settings: Any, city: Any, door: Any, poll: str, together: bool
    ) -> None:
        """Unhurried polls of all connections begin at the same moments, so that one waking serves several; fast ones spread."""
        point = {
            "entity": "lamp-1",
            "unit_id": 1,
            "poll": poll,
            "points": {"level": {"holding": 1}},
        }
        loop, moments = asyncio.get_running_loop(), []
        call_at = loop.call_at

        def noted(when: float, callback: Any, *arguments: Any, **more: Any) -> Any:
            if getattr(callback, "__name__", "") == "_wake":
                moments.append(when)
            return call_at(when, callback, *arguments, **more)

        async def nothing(*_: int) -> None:
            return None

        try:
            loop.call_at = noted  # type: ignore[method-assign, assignment]
        except AttributeError:
            pytest.skip("nothing can be noted of this loop")
        async with (
            kit.acting(nothing) as port,
            kit.running(make_settings(port=port, points=[point]), city, door),
            kit.running(make_settings(port=port, points=[point]), city, door),
        ):
            await door.until(lambda: len(moments) >= 6)
        apart = [abs(when / TOGETHER_S - round(when / TOGETHER_S)) for when in moments]
        assert all(share < 1e-3 for share in apart) == together

    async def test_two_thousand_registers(
        self, kit: Any, make_street: Any, make_settings: Any, door: Any
    ) -> None:
        """Twenty units with a hundred scattered registers each are sixty requests."""
        street = make_street("tcp", 20)
        names = [f"p{n}" for n in range(100)]
        points = (*(PointSpec(name, number()) for name in names), PointSpec("unit", number()))
        units = [EntitySpec(f"u{n}", "box", "", {"unit": float(n)}) for n in range(1, 21)]
        city = FixedSite([Kind("box", "Box", points)], units)
        places = {name: {"holding": 3 * n} for n, name in enumerate(names)}
        settings = make_settings(
            port=street.port,
            poll=0.5,
            points={"kind": "box", "unit_id": "{unit}", "points": places},
        )
        async with kit.running(settings, city, door) as (connection, _):
            await door.until(lambda: len(door.reports) >= 6_000)
            figures = connection.figures
            # 100 registers at every third address take 298, which is three requests of at most 125.
            assert figures.readings / figures.reads > 32
            assert (figures.silences, figures.refusals) == (0, 0)
        assert {r.raw for r in door.reports if r.point == "u20.p99"} == {297.0}

    def test_other_event_loop(
        self, kit: Any, shared_street: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """It works on the event loop of the service too."""

        async def scenario() -> None:
            settings = make_settings(port=shared_street.port, **lamp(level={"holding": 33}))
            async with kit.running(settings, city, door) as (connection, _):
                await door.until(lambda: door.last("lamp-1.level") == 33.0)
                assert await kit.command(connection, "lamp-1.level", 34.0) is Outcome.ACKNOWLEDGED
                await door.until(lambda: door.last("lamp-1.level") == 34.0)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(scenario())


class TestRtu:
    async def test_rtu_over_tcp(
        self, kit: Any, make_street: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """Units behind a gateway that passes RTU frames are read and written."""
        street = make_street("rtu", 3)
        options = lamps(level={"holding": 44}, relay={"coil": 5})
        settings = make_settings(port=street.port, framing="rtu", **options)
        async with kit.running(settings, city, door) as (connection, _):
            await door.until(lambda: door.last("lamp-3.relay") is False)
            assert await kit.command(connection, "lamp-3.level", 70.0) is Outcome.ACKNOWLEDGED
            assert await kit.command(connection, "lamp-2.relay", True) is Outcome.ACKNOWLEDGED
            await door.until(lambda: door.last("lamp-3.level") == 70.0)
            await door.until(lambda: door.last("lamp-2.relay") is True)
            assert door.last("lamp-1.level") == 44.0

    async def test_serial_line(self, kit: Any, make_settings: Any, city: Any, door: Any) -> None:
        """Units on a serial line are read and written."""
        async with kit.serial_line(3) as port:
            options = lamps(level={"holding": 44}) | {"quiet": 0.1}
            serial = {"port": port, "parity": "N"}
            settings = make_settings(host=None, serial=serial, **options)
            async with kit.running(settings, city, door) as (connection, _):
                await door.until(lambda: door.last("lamp-3.level") == 44.0)
                assert await kit.command(connection, "lamp-2.level", 70.0) is Outcome.ACKNOWLEDGED
                await door.until(lambda: door.last("lamp-2.level") == 70.0)
        assert door.ups == [f"{port}, Modbus RTU, 3 units"]

    async def test_no_serial_line(self, kit: Any, make_settings: Any, city: Any, door: Any) -> None:
        """A port that does not exist is told."""
        settings = make_settings(
            host=None, serial={"port": "/dev/no-such-port"}, **lamps(level={"holding": 44})
        )
        async with kit.running(settings, city, door) as (_, task):
            assert "cannot connect to /dev/no-such-port: " in await kit.ending(task)


class TestTls:
    @pytest.fixture
    def certificates(self, tmp_path: Path) -> Path:
        """A city's own authority, a device's and an engine's certificate, made with openssl."""

        def openssl(*arguments: str) -> None:
            subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

        new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        for ca in ("ca", "other"):
            openssl(*new, "-x509", "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-days", "2",
                    "-subj", f"/CN={ca}")  # fmt: skip
        (tmp_path / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:cabinet.example")
        for who in ("device", "engine"):
            openssl(*new, "-keyout", f"{who}.key", "-out", f"{who}.csr", "-subj", f"/CN={who}")
            openssl("x509", "-req", "-in", f"{who}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                    "-CAcreateserial", "-out", f"{who}.pem", "-days", "2", "-extfile", "names")  # fmt: skip
        return tmp_path

    @pytest.fixture
    def street(self, make_street: Any, certificates: Path) -> Any:
        return make_street(
            "tcp", 1, tuple(f"{certificates}/{n}" for n in ("device.pem", "device.key", "ca.pem"))
        )

    async def test_both_sides_verified(
        self, kit: Any, street: Any, certificates: Path, make_settings: Any, city: Any, door: Any
    ) -> None:
        """With certificates on both sides values are read and written, long answers too."""
        tls = {
            "ca": f"{certificates}/ca.pem",
            "certificate": f"{certificates}/engine.pem",
            "key": f"{certificates}/engine.key",
            "server_name": "cabinet.example",
        }
        options = lamp(level={"holding": 1}, power={"holding": 120})
        settings = make_settings(port=street.port, tls=tls, gap=125, **options)
        async with kit.running(settings, city, door) as (connection, _):
            await door.until(lambda: door.last("lamp-1.power") == 120.0)
            assert await kit.command(connection, "lamp-1.level", 55.0) is Outcome.ACKNOWLEDGED
            await door.until(lambda: door.last("lamp-1.level") == 55.0)
        assert door.ups[0].endswith("Modbus TCP in TLS, 1 units")

    async def test_wrong_authority(
        self, kit: Any, street: Any, certificates: Path, make_settings: Any, city: Any, door: Any
    ) -> None:
        """A device that another authority vouches for is not talked to."""
        settings = make_settings(
            port=street.port, tls={"ca": f"{certificates}/other.pem"}, **lamp(level={"holding": 1})
        )
        async with kit.running(settings, city, door) as (_, task):
            assert "certificate verify failed" in await kit.ending(task)
        assert (door.ups, door.reports) == ([], [])

    async def test_wrong_name(
        self, kit: Any, street: Any, certificates: Path, make_settings: Any, city: Any, door: Any
    ) -> None:
        """A certificate for another name is refused."""
        tls = {"ca": f"{certificates}/ca.pem", "server_name": "other.example"}
        settings = make_settings(port=street.port, tls=tls, **lamp(level={"holding": 1}))
        async with kit.running(settings, city, door) as (_, task):
            assert "Hostname mismatch" in await kit.ending(task)

    async def test_no_certificate_of_ours(
        self, kit: Any, street: Any, certificates: Path, make_settings: Any, city: Any, door: Any
    ) -> None:
        """A device that asks for our certificate and gets none ends the connection; it never counts as up."""
        settings = make_settings(
            port=street.port, tls={"ca": f"{certificates}/ca.pem"}, **lamp(level={"holding": 1})
        )
        async with kit.running(settings, city, door) as (_, task):
            assert await kit.ending(task)
        assert door.ups == []


class TestWriting:
    async def test_types(
        self, kit: Any, shared_street: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """Registers, several at once, coils, maps and scales are written, and read back."""
        options = lamp(
            level={"holding": 100, "type": "float32", "word_order": "little"},
            relay={"coil": 10},
            state={"holding": 110, "map": {5: "down", 6: "up", 7: "moving"}},
            limit={"holding": 111, "type": "int16", "scale": 0.1},
        )
        settings = make_settings(port=shared_street.port, **options)
        async with kit.running(settings, city, door) as (connection, _):
            await door.until(lambda: door.ups != [])
            orders = {"level": 12.5, "relay": True, "state": "up", "limit": -12.34}
            for name, value in orders.items():
                outcome = await kit.command(connection, f"lamp-1.{name}", value)
                assert outcome is Outcome.ACKNOWLEDGED, name
            await door.until(lambda: door.last("lamp-1.state") == "up")
            await door.until(lambda: door.last("lamp-1.level") == 12.5)
            await door.until(lambda: door.last("lamp-1.relay") is True)
        async with kit.probing(shared_street.port) as probe:
            answer = await probe.read_holding_registers(110, count=2)
            # -12.34 °C in tenths is -123, which is 65536 - 123.
            assert answer.registers == [6, 65_413]
        # What is only commanded is not reported.
        assert door.last("lamp-1.limit") is None

    @pytest.mark.parametrize("how", ["mask", "modify"])
    async def test_bits(
        self, kit: Any, shared_street: Any, make_settings: Any, city: Any, door: Any, how: str
    ) -> None:
        """Setting one bit leaves the others alone."""
        async with kit.probing(shared_street.port) as probe:
            await probe.write_register(150, 0b1000_0000_0000_1111)
            options = lamp(relay={"holding": 150, "bit": 2}, level={"holding": 150, "mask": 0x0FF0})
            settings = make_settings(port=shared_street.port, bit_write=how, **options)
            async with kit.running(settings, city, door) as (connection, _):
                await door.until(lambda: door.last("lamp-1.level") == 0.0)
                assert await kit.command(connection, "lamp-1.relay", False) is Outcome.ACKNOWLEDGED
                assert await kit.command(connection, "lamp-1.level", 3.0) is Outcome.ACKNOWLEDGED
                await door.until(lambda: door.last("lamp-1.level") == 3.0)
            assert (await probe.read_holding_registers(150)).registers == [0b1000_0000_0011_1011]

    async def test_elsewhere(
        self, kit: Any, shared_street: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """A point may be read in one place and written in another, in another form."""
        options = lamp(level={"input": 90, "write": {"holding": 190, "type": "uint32"}})
        settings = make_settings(port=shared_street.port, **options)
        async with kit.running(settings, city, door) as (connection, _):
            await door.until(lambda: door.last("lamp-1.level") == 90.0)
            assert await kit.command(connection, "lamp-1.level", 17.0) is Outcome.ACKNOWLEDGED
        async with kit.probing(shared_street.port) as probe:
            assert (await probe.read_holding_registers(190, count=2)).registers == [0, 17]

    async def test_release(
        self, kit: Any, shared_street: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """No value is written as the release number; without one it is not sent."""
        options = lamp(level={"holding": 195, "release": 255}, limit={"holding": 196})
        settings = make_settings(port=shared_street.port, **options)
        async with kit.running(settings, city, door) as (connection, _):
            await door.until(lambda: door.ups != [])
            assert await kit.command(connection, "lamp-1.level", None) is Outcome.ACKNOWLEDGED
            await door.until(lambda: door.last("lamp-1.level") == 255.0)
            assert await kit.command(connection, "lamp-1.limit", None) is Outcome.NOT_SENT
        assert 'add "release"' in door.refusals[0][1]

    @pytest.mark.parametrize(
        ("point", "value"),
        [
            ("level", float("nan")),
            ("level", float("inf")),
            ("level", 101.0),
            ("level", -0.5),
            ("level", "high"),
            ("level", True),
            ("relay", 1.0),
            ("state", "sideways"),
            ("limit", 80.0),
        ],
    )
    async def test_refused_before_sending(
        self, kit: Any, make_settings: Any, city: Any, door: Any, point: str, value: Any
    ) -> None:
        """What is out of range or of the wrong type never reaches the wire."""
        codes: list[int] = []

        async def look(code: int, *_: int) -> None:
            codes.append(code)

        options = lamp(
            level={"holding": 1},
            relay={"coil": 1},
            state={"holding": 3, "map": {0: "down", 1: "up"}},
            # The register takes up to 7.5 °C: bits 0 and 1 in units of 2.5.
            limit={"holding": 4, "mask": 3, "scale": 2.5},
        )
        async with (
            kit.acting(look) as port,
            kit.running(make_settings(port=port, **options), city, door) as (connection, _),
        ):
            await door.until(lambda: door.last("lamp-1.level") is not None)
            assert await kit.command(connection, f"lamp-1.{point}", value) is Outcome.NOT_SENT
            assert door.refusals[-1][0] == f"street: order for lamp-1.{point}"
        assert set(codes) <= {1, 3}

    async def test_not_for_us(
        self, kit: Any, shared_street: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """Unknown points, calls, late orders, and orders before and after the connection are not sent."""
        settings = make_settings(port=shared_street.port, **lamp(level={"holding": 1}))
        async with kit.running(settings, city, door) as (connection, _):
            assert await kit.command(connection, "lamp-1.level", 1.0) is Outcome.NOT_SENT
            await door.until(lambda: door.ups != [])
            assert await kit.command(connection, "lamp-2.level", 1.0) is Outcome.NOT_SENT
            assert await kit.command(connection, "lamp-1.level", 1.0, 1.0) is Outcome.NOT_SENT
            call = CallOut("c", "fleet.dispatch", {}, 4e9, "test")
            assert await connection.send(call) is Outcome.NOT_SENT
        assert await kit.command(connection, "lamp-1.level", 1.0) is Outcome.NOT_SENT

    async def test_newest_wins(self, kit: Any, make_settings: Any, city: Any, door: Any) -> None:
        """Of the orders for one register that wait, the newest is sent; orders go before polls."""
        seen: list[int] = []
        gate = asyncio.Event()

        async def slow(code: int, *_: int) -> None:
            seen.append(code)
            if seen.count(3) == 2:
                await gate.wait()

        options = lamp(level={"holding": 1}, limit={"holding": 300}) | {"timeout": 5}
        async with (
            kit.acting(slow) as port,
            kit.running(make_settings(port=port, **options), city, door) as (connection, _),
        ):
            await door.until(lambda: door.ups != [])
            while seen.count(3) < 2:
                await asyncio.sleep(0.01)
            orders = [
                asyncio.create_task(kit.command(connection, f"lamp-1.{point}", value))
                for point, value in (("level", 10.0), ("limit", 5.0), ("level", 30.0))
            ]
            await asyncio.sleep(0)
            gate.set()
            outcomes = await asyncio.gather(*orders)
            await door.until(lambda: door.last("lamp-1.level") == 30.0)
            assert 10.0 not in [r.raw for r in door.reports]
        assert outcomes == [Outcome.NOT_SENT, Outcome.ACKNOWLEDGED, Outcome.ACKNOWLEDGED]
        after = seen[[n for n, code in enumerate(seen) if code == 3][1] + 1 :]
        # The simulator looks twice at each write; nothing is read before both are written.
        assert set(after[: after.index(3)]) == {6}

    async def test_read_back_at_once(
        self, kit: Any, shared_street: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """What was written is read back now, not at the next poll in an hour."""
        options = lamp(level={"holding": 210}) | {"poll": "1 h"}
        settings = make_settings(port=shared_street.port, **options)
        async with kit.running(settings, city, door) as (connection, _):
            await door.until(lambda: door.last("lamp-1.level") == 210.0)
            assert await kit.command(connection, "lamp-1.level", 21.0) is Outcome.ACKNOWLEDGED
            await door.until(lambda: door.last("lamp-1.level") == 21.0)

    async def test_cancelled_order(
        self, kit: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """An order that its sender gave up while it waited is not sent."""
        gate = asyncio.Event()
        seen: list[int] = []

        async def slow(code: int, *_: int) -> None:
            seen.append(code)
            if len(seen) > 1:
                await gate.wait()

        options = lamp(level={"holding": 1}) | {"timeout": 5}
        async with (
            kit.acting(slow) as port,
            kit.running(make_settings(port=port, **options), city, door) as (connection, _),
        ):
            await door.until(lambda: door.ups != [])
            while len(seen) < 2:
                await asyncio.sleep(0.01)
            order = asyncio.create_task(kit.command(connection, "lamp-1.level", 10.0))
            await asyncio.sleep(0)
            order.cancel()
            gate.set()
            await door.until(lambda: len(door.reports) > 3)
        assert set(seen) == {3}
