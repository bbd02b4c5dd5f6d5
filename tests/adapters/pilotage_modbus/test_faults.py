"""Devices and gateways that die, freeze, lie or keep silent: a clear state, and nothing else suffers."""

from __future__ import annotations

import asyncio
import signal
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pymodbus.framer.rtu import FramerRTU

from pilotage.model.messages import Outcome
from pilotage.model.quality import Quality
from pilotage_modbus import connection

EVERY = {"poll": 0.05, "timeout": 0.2, "retries": 0, "longest_pause": 0.2}


def lamps(**points: Any) -> dict[str, Any]:
    return {"points": {"kind": "lamp", "unit_id": "{unit}", "points": points}, **EVERY}


def lamp(**points: Any) -> dict[str, Any]:
    return {"points": {"entity": "lamp-1", "unit_id": 1, "points": points}, **EVERY}


def registers(*values: int) -> bytes:
    """Return the PDU of an answer to function 3 (V1.1b3, 6.3)."""
    return struct.pack(f">BB{len(values)}H", 3, 2 * len(values), *values)


async def nothing(*_: int) -> None:
    return None


class TestLoss:
    async def test_nobody_there(self, kit: Any, make_settings: Any, city: Any, door: Any) -> None:
        """A port where nobody listens is told with its reason; nothing was up, so nothing is lost."""
        settings = make_settings(port=kit.free_port(), **lamp(level={"holding": 1}))
        async with kit.running(settings, city, door) as (_, task):
            assert "Connect call failed" in await kit.ending(task)
        assert (door.ups, door.losses) == ([], [])

    async def test_no_such_host(self, kit: Any, make_settings: Any, city: Any, door: Any) -> None:
        """A name that nobody knows is told."""
        settings = make_settings(host="no.such.host.invalid", **lamp(level={"holding": 1}))
        async with kit.running(settings, city, door) as (_, task):
            assert "no.such.host.invalid:502" in await kit.ending(task)

    async def test_killed_ten_times(
        self, kit: Any, make_street: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """After kill -9 all points are lost; after the return all is read and written again. No descriptor is left."""
        street = make_street("tcp", 2)
        settings = make_settings(
            port=street.port,
            points={
                "kind": "lamp",
                "zone": "centre",
                "unit_id": "{unit}",
                "points": {"level": {"holding": 1}},
            },
            **EVERY,
        )
        before = 0
        for round_ in range(10):
            door.reports.clear()
            async with kit.running(settings, city, door) as (connection, task):
                await door.until(lambda: door.last("lamp-2.level") is not None)
                value = 50.0 + round_
                outcome = await kit.command(connection, "lamp-1.level", value)
                assert outcome is Outcome.ACKNOWLEDGED
                await door.until(lambda value=value: door.last("lamp-1.level") == value)
                street.kill()
                assert "closed the connection" in await kit.ending(task)
                assert await kit.command(connection, "lamp-1.level", 1.0) is Outcome.NOT_SENT
            street.start()
            if round_ == 1:
                before = len(list(Path("/proc/self/fd").iterdir()))
        assert [points for points, _ in door.losses] == [("lamp-1.level", "lamp-2.level")] * 10
        assert len(door.ups) == 10
        assert len(list(Path("/proc/self/fd").iterdir())) <= before

    async def test_frozen(
        self, kit: Any, make_street: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """A street that is frozen is lost; the order that was on its way is not known; thawed it is read again."""
        street = make_street("tcp", 1)
        settings = make_settings(port=street.port, **lamp(level={"holding": 1}))
        async with kit.running(settings, city, door) as (connection, task):
            await door.until(lambda: door.reports != [])
            street.signal(signal.SIGSTOP)
            outcome = await kit.command(connection, "lamp-1.level", 44.0)
            assert "open, but the unit does not answer" in await kit.ending(task)
        assert outcome is Outcome.UNKNOWN
        assert door.losses[0][0] == ("lamp-1.level",)
        street.signal(signal.SIGCONT)
        async with kit.running(settings, city, door):
            await door.until(lambda: door.last("lamp-1.level") == 44.0)

    async def test_never_answers(self, kit: Any, make_settings: Any, city: Any, door: Any) -> None:
        """A gateway that accepts and never answers is never up."""
        async with (
            kit.answering(lambda *_: None) as port,
            kit.running(make_settings(port=port, **lamps(level={"holding": 1})), city, door) as (
                connection,
                task,
            ),
        ):
            assert await kit.command(connection, "lamp-1.level", 1.0) is Outcome.NOT_SENT
            assert "open, but all 3 units do not answer" in await kit.ending(task)
        assert (door.ups, door.losses, door.reports) == ([], [], [])

    async def test_lost_with_an_order_under_way(
        self, kit: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """When the connection goes while an order is on the line nobody knows; what waited was not sent."""
        stop: list[Callable[[], Any]] = []

        async def closing(code: int, *_: int) -> None:
            if code == 6:
                stop[0]()
                await asyncio.sleep(0.05)

        options = lamp(level={"holding": 1}, limit={"holding": 2}) | {"timeout": 5}
        async with kit.acting(closing) as port:
            settings = make_settings(port=port, **options)
            async with kit.running(settings, city, door) as (connection, task):
                await door.until(lambda: door.ups != [])
                stop.append(task.cancel)
                outcomes = await asyncio.gather(
                    kit.command(connection, "lamp-1.level", 1.0),
                    kit.command(connection, "lamp-1.limit", 1.0),
                )
        assert list(outcomes) == [Outcome.UNKNOWN, Outcome.NOT_SENT]


class TestOneUnit:
    async def test_silent(self, kit: Any, make_settings: Any, city: Any, door: Any) -> None:
        """A unit that keeps silent loses its points only, gets no orders, and is back by itself."""
        silent = False

        async def maybe(*_: int) -> None:
            if silent:
                await asyncio.sleep(0.3)

        options = lamps(level={"holding": 1}, power={"input": 5})
        async with (
            kit.acting(nothing, maybe, nothing) as port,
            kit.running(make_settings(port=port, **options), city, door) as (connection, _),
        ):
            await door.until(lambda: door.last("lamp-2.power") is not None)
            await door.until(lambda: door.last("lamp-3.power") is not None)
            silent = True
            await door.until(lambda: door.losses != [])
            assert door.losses[0][0] == ("lamp-2.level", "lamp-2.power")
            assert "unit 2: no answer within 0.2 s" in door.losses[0][1]
            assert await kit.command(connection, "lamp-2.level", 9.0) is Outcome.NOT_SENT
            assert await kit.command(connection, "lamp-3.level", 9.0) is Outcome.ACKNOWLEDGED
            await door.until(lambda: door.last("lamp-3.level") == 9.0)
            silent = False
            door.reports.clear()
            await door.until(lambda: door.last("lamp-2.power") is not None)
            assert door.ups[1:] == ["unit 2 answers again"]

    async def test_absent_from_the_start(
        self, kit: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """A wrong unit id behind a gateway is told when the connection is up; the others are read."""

        def gateway(transaction: int, unit: int, _pdu: bytes) -> bytes | None:
            return None if unit == 1 else kit.frame(transaction, unit, registers(unit))

        async with (
            kit.answering(gateway) as port,
            kit.running(make_settings(port=port, **lamps(level={"holding": 1})), city, door),
        ):
            await door.until(lambda: door.last("lamp-3.level") == 3.0)
        assert door.losses[0] == (("lamp-1.level",), "unit 1 does not answer")

    @pytest.mark.parametrize("code", [10, 11])
    async def test_gateway_says_so(
        self, kit: Any, make_settings: Any, city: Any, door: Any, code: int
    ) -> None:
        """A gateway that says that it cannot reach a unit is itself up."""

        def gateway(transaction: int, unit: int, _pdu: bytes) -> bytes:
            return kit.frame(transaction, unit, bytes([0x83, code]))  # type: ignore[no-any-return]

        async with (
            kit.answering(gateway) as port,
            kit.running(make_settings(port=port, **lamps(level={"holding": 1})), city, door) as (
                _,
                task,
            ),
        ):
            await door.until(lambda: len(door.losses) >= 3)
            assert not task.done()
        assert len(door.ups) == 1
        assert f"exception {code} (gateway" in door.losses[0][1]


class TestRefusals:
    async def test_exactly_those_points(
        self, kit: Any, make_street: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """Of a block that is refused, only the points whose registers are missing become bad."""
        street = make_street("tcp", 1)
        options = lamp(
            level={"holding": 590},
            power={"holding": 598},
            temperature={"holding": 600},  # the street ends at 599
            broken={"holding": 592, "bit": 15},
        )
        settings = make_settings(port=street.port, **options)
        async with kit.running(settings, city, door) as (connection, task):
            await door.until(
                lambda: len([r for r in door.reports if r.point == "lamp-1.power"]) > 3
            )
            assert not task.done()
            # Four good ones are read in one or two requests from now on.
            assert connection.figures.refusals >= 2
        qualities = {r.point: r.quality for r in door.reports}
        assert qualities == {
            "lamp-1.level": Quality.GOOD,
            "lamp-1.power": Quality.GOOD,
            "lamp-1.broken": Quality.GOOD,
            "lamp-1.temperature": Quality.BAD,
        }
        assert door.refusals == [("holding 600 of unit 1", "exception 2 (illegal data address)")]

    async def test_wrong_unit_at_a_device(
        self, kit: Any, make_street: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """A unit that the device refuses has bad points; its neighbours are good."""
        street = make_street("tcp", 2)
        settings = make_settings(port=street.port, **lamps(level={"holding": 1}))
        async with kit.running(settings, city, door):
            await door.until(lambda: door.last("lamp-2.level") == 1.0)
            await door.until(lambda: any(r.point == "lamp-3.level" for r in door.reports))
        assert {r.quality for r in door.reports if r.point == "lamp-3.level"} == {Quality.BAD}
        assert "exception 4 (device failure)" in door.refusals[0][1]

    @pytest.mark.parametrize(("answers", "is_bad"), [(1, False), (3, True)])
    async def test_busy(
        self, kit: Any, make_settings: Any, city: Any, door: Any, answers: int, is_bad: bool
    ) -> None:
        """A device that is busy once is asked again; one that stays busy has bad points."""
        count = 0

        def device(transaction: int, unit: int, _pdu: bytes) -> bytes:
            nonlocal count
            count += 1
            busy = 3 < count <= 3 + answers
            answer = bytes([0x83, 6]) if busy else registers(7)
            return kit.frame(transaction, unit, answer)  # type: ignore[no-any-return]

        async with (
            kit.answering(device) as port,
            kit.running(make_settings(port=port, **lamp(level={"holding": 1})), city, door),
        ):
            await door.until(lambda: count > 7 and door.reports[-1].raw == 7.0)
        assert (Quality.BAD in {r.quality for r in door.reports}) is is_bad

    @pytest.mark.parametrize(
        ("code", "outcome"),
        [
            (1, Outcome.REFUSED),
            (2, Outcome.REFUSED),
            (3, Outcome.REFUSED),
            (4, Outcome.UNKNOWN),
            (5, Outcome.ACKNOWLEDGED),
            (6, Outcome.REFUSED),
            (11, Outcome.UNKNOWN),
        ],
    )
    async def test_order(
        self, kit: Any, make_settings: Any, city: Any, door: Any, code: int, outcome: Outcome
    ) -> None:
        """What an exception code says of an order: not carried out, taken, or nobody knows."""

        def device(transaction: int, unit: int, pdu: bytes) -> bytes:
            answer = registers(7) if pdu[0] == 3 else bytes([pdu[0] | 0x80, code])
            return kit.frame(transaction, unit, answer)  # type: ignore[no-any-return]

        async with (
            kit.answering(device) as port,
            kit.running(make_settings(port=port, **lamp(level={"holding": 1})), city, door) as (
                connection,
                task,
            ),
        ):
            await door.until(lambda: door.ups != [])
            assert await kit.command(connection, "lamp-1.level", 5.0) is outcome
            count = len(door.reports)
            await door.until(lambda: len(door.reports) > count)
            assert not task.done()
        assert len(door.refusals) == (outcome is not Outcome.ACKNOWLEDGED)

    async def test_slow_write_is_carried_out_once(
        self, kit: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """A write that is not answered in time is not known, never repeated, and read back."""
        writes: list[bytes] = []
        held = 7

        def device(transaction: int, unit: int, pdu: bytes) -> bytes | None:
            nonlocal held
            if pdu[0] == 6:
                writes.append(pdu)
                held = pdu[4]
                return None
            return kit.frame(transaction, unit, registers(held))  # type: ignore[no-any-return]

        options = lamp(level={"holding": 1}) | {"retries": 3}
        async with (
            kit.answering(device) as port,
            kit.running(make_settings(port=port, **options), city, door) as (connection, _),
        ):
            await door.until(lambda: door.ups != [])
            assert await kit.command(connection, "lamp-1.level", 63.0) is Outcome.UNKNOWN
            await door.until(lambda: door.last("lamp-1.level") == 63.0)
        # Function 6, address 1, value 63 (V1.1b3, 6.6).
        assert writes == [bytes([6, 0, 1, 0, 63])]

    async def test_retries_of_a_read(
        self, kit: Any, make_settings: Any, city: Any, door: Any
    ) -> None:
        """A read that gets lost now and then is asked again, and nothing is lost."""
        count = 0

        def device(transaction: int, unit: int, _pdu: bytes) -> bytes | None:
            nonlocal count
            count += 1
            return None if count % 2 else kit.frame(transaction, unit, registers(7))

        options = lamp(level={"holding": 1}) | {"retries": 1, "timeout": 0.05}
        async with (
            kit.answering(device) as port,
            kit.running(make_settings(port=port, **options), city, door),
        ):
            await door.until(lambda: len(door.reports) > 3)
        assert door.losses == []


class TestGarbage:
    LIES: dict[str, tuple[Callable[[Any, int, int], bytes], bool]] = {  # noqa: RUF012
        # name: what is sent, and whether it counts as an answer
        "half a frame": (lambda kit, t, u: kit.frame(t, u, registers(7))[:9], False),
        "half a header": (lambda kit, t, u: b"\x00\x01\x00", False),
        "noise": (lambda kit, t, u: bytes(range(200, 256)), False),
        "another protocol": (lambda kit, t, u: b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        "another unit": (lambda kit, t, u: kit.frame(t, u + 1, registers(7)), False),
        "another transaction": (lambda kit, t, u: kit.frame(t + 1, u, registers(7)), False),
        "flood": (lambda kit, t, u: b"\xff" * 100_000, False),
        "too few": (lambda kit, t, u: kit.frame(t, u, registers()), True),
        "too many": (lambda kit, t, u: kit.frame(t, u, registers(1, 2)), True),
        "short of its own count": (
            lambda kit, t, u: kit.frame(t, u, registers(1)[:-1]),
            True,
        ),
        "a function nobody asked for": (
            lambda kit, t, u: kit.frame(t, u, bytes([16, 0, 1, 0, 1])),
            True,
        ),
        "a function that does not exist": (
            lambda kit, t, u: kit.frame(t, u, bytes([77, 1, 2, 3])),
            True,
        ),
        "no function": (lambda kit, t, u: kit.frame(t, u, b""), False),
    }

    @pytest.mark.parametrize("lie", sorted(LIES))
    async def test_of_one_unit(
        self, kit: Any, make_settings: Any, city: Any, door: Any, lie: str
    ) -> None:
        """Garbage from one unit never becomes a value, ends nothing, and the other units are read on."""
        make, is_answer = self.LIES[lie]
        is_lying = True

        def gateway(transaction: int, unit: int, pdu: bytes) -> bytes:
            if unit == 2 and is_lying:
                return make(kit, transaction, unit)
            count = pdu[4]
            return kit.frame(transaction, unit, registers(*[unit] * count))  # type: ignore[no-any-return]

        options = lamps(level={"holding": 1})
        async with (
            kit.answering(gateway) as port,
            kit.running(make_settings(port=port, **options), city, door) as (_, task),
        ):
            await door.until(lambda: door.last("lamp-3.level") == 3.0)
            count = len(door.reports)
            await door.until(lambda: len([r for r in door.reports[count:] if r.raw == 3.0]) > 3)
            about_it = [r for r in door.reports if r.point == "lamp-2.level"]
            assert {(r.raw, r.quality) for r in about_it} <= {(None, Quality.BAD)}
            if is_answer:
                assert about_it
            else:
                assert ("lamp-2.level",) in [points for points, _ in door.losses]
            assert not task.done()
            is_lying = False
            await door.until(lambda: door.last("lamp-2.level") == 2.0)

    @pytest.mark.parametrize(
        ("layout", "words", "why"),
        [
            ({"type": "float32"}, (0x7FC0, 0), "nan is no number"),
            ({"type": "float32"}, (0x7F80, 0), "inf is no number"),
            ({"invalid": 0x8000}, (0x8000,), "32768 stands for no value"),
        ],
    )
    async def test_no_value(
        self,
        kit: Any,
        make_settings: Any,
        city: Any,
        door: Any,
        layout: dict[str, Any],
        words: tuple[int, ...],
        why: str,
    ) -> None:
        """NaN, infinity and a device's own sign for nothing are bad quality, told once."""

        def device(transaction: int, unit: int, _pdu: bytes) -> bytes:
            return kit.frame(transaction, unit, registers(*words))  # type: ignore[no-any-return]

        options = lamp(power={"holding": 1, **layout})
        async with (
            kit.answering(device) as port,
            kit.running(make_settings(port=port, **options), city, door),
        ):
            await door.until(lambda: len(door.reports) > 2)
        assert {(r.raw, r.quality) for r in door.reports} == {(None, Quality.BAD)}
        assert door.refusals == [("holding 1 of unit 1", why)]

    @pytest.mark.parametrize("between", ["another value", "no value", "too short", "refused"])
    async def test_same_again(
        self,
        kit: Any,
        make_settings: Any,
        city: Any,
        door: Any,
        monkeypatch: pytest.MonkeyPatch,
        between: str,
    ) -> None:
        """The same registers are heard at each poll and decoded once; after anything else they are decoded again."""
        decoded: list[Any] = []
        decode = connection._value

        def noted(part: Any, words: Any) -> Any:
            decoded.append(tuple(words))
            return decode(part, words)

        monkeypatch.setattr(connection, "_value", noted)
        other = {
            "another value": registers(8),
            "no value": registers(0x8000),
            "too short": bytes([3, 1, 0]),
            "refused": bytes([0x83, 4]),
        }[between]
        answer = registers(7)

        def device(transaction: int, unit: int, _pdu: bytes) -> bytes:
            return kit.frame(transaction, unit, answer)  # type: ignore[no-any-return]

        options = lamp(power={"holding": 1, "invalid": 0x8000})
        async with (
            kit.answering(device) as port,
            kit.running(make_settings(port=port, **options), city, door),
        ):
            await door.until(lambda: len(door.reports) >= 4)
            assert decoded == [(7,)]
            assert {(r.raw, r.quality) for r in door.reports} == {(7.0, Quality.GOOD)}
            answer = other
            said = 8.0 if between == "another value" else None
            await door.until(lambda: door.last("lamp-1.power") == said)
            answer, heard = registers(7), len(door.reports)
            await door.until(lambda: door.last("lamp-1.power") == 7.0)
            await door.until(lambda: len(door.reports) >= heard + 4)
        assert decoded[-1] == (7,)
        assert decoded.count((7,)) == 2
        assert door.reports[-1].quality is Quality.GOOD

    @pytest.mark.parametrize(("quiet", "mixed"), [("300 ms", False), (0, True)])
    async def test_late_answer(
        self, make_settings: Any, city: Any, door: Any, kit: Any, quiet: Any, mixed: bool
    ) -> None:
        """With RTU frames, which have no number, only quiet keeps a late answer from passing for the next."""
        tries = 5 if mixed else 1  # the control needs a moment that a busy machine may miss
        for _ in range(tries):
            values = await self._heard(make_settings, city, door, kit, quiet)
            assert values >= {("lamp-1.level", 1.0), ("lamp-1.power", 500.0)}
            if len(values) > 2:
                break
        assert (len(values) > 2) is mixed

    async def _heard(
        self, make_settings: Any, city: Any, door: Any, kit: Any, quiet: Any
    ) -> set[tuple[str, Any]]:
        """Return the values that came of two registers whose first answers are late."""
        asked: list[int] = []
        before = len(door.reports)
        loop = asyncio.get_running_loop()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError):
                while True:
                    request = await reader.readexactly(8)
                    (address,) = struct.unpack(">H", request[2:4])
                    asked.append(address)
                    frame = request[:1] + registers(address)
                    frame += FramerRTU.compute_CRC(frame).to_bytes(2, "big")
                    # The first answer comes after the time-out of 150 ms, the next but one a little late too.
                    delay = {1: 0.2, 3: 0.1}.get(len(asked), 0.0)
                    loop.call_later(delay, writer.write, frame)
            writer.close()

        options = lamp(level={"holding": 1}, power={"holding": 500}) | {
            "retries": 5, "timeout": 0.15, "quiet": quiet, "framing": "rtu",
        }  # fmt: skip
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            settings = make_settings(port=server.sockets[0].getsockname()[1], **options)
            async with kit.running(settings, city, door):
                await door.until(lambda: len(door.reports) > before + 6)
        return {(r.point, r.raw) for r in door.reports[before:]}


class TestStopping:
    async def test_stops_at_once(self, kit: Any, make_settings: Any, city: Any, door: Any) -> None:
        """A connection that waits for an answer ends when it is cancelled, and leaves no task behind."""
        before = asyncio.all_tasks()
        async with kit.answering(lambda *_: None) as port:
            options = lamp(level={"holding": 1}) | {"timeout": 60}
            async with kit.running(make_settings(port=port, **options), city, door) as (_, task):
                await asyncio.sleep(0.1)
                task.cancel()
                async with asyncio.timeout(1):
                    with suppress(asyncio.CancelledError):
                        await task
            assert {
                t for t in asyncio.all_tasks() - before if t.get_name().startswith("modbus")
            } == set()
