"""Readings, orders and calls, against a real server in another process."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from pilotage.model.messages import CallOut, Command, Outcome, Request
from pilotage.model.quality import Quality

NODE = "ns=2;s=City.{id}"
LAMP: dict[str, Any] = {
    "kind": "lamp",
    "read": {"point": "level", "node": f"{NODE}.Level"},
    "write": {"point": "level", "node": f"{NODE}.Level"},
}
CALL: dict[str, Any] = {
    "call": "fleet.dispatch",
    "object": "ns=2;s=City",
    "method": "ns=2;s=City.Dispatch",
    "arguments": ["{arguments.vehicle}", "{attempt}"],
    "output": 0,
    "detail": 1,
    "map": {0: "accepted", 7: "refused"},
}


def command(
    value: Any, point: str = "lamp-1.level", seconds: float = 60.0, id_: str = "1"
) -> Command:
    return Command(id_, point, value, time.time() + seconds, "test")


def call(vehicle: str) -> CallOut:
    return CallOut("c1", "fleet.dispatch", {"vehicle": vehicle}, time.time() + 60, "test")


class TestReading:
    async def test_all_values_after_connect(self, plc: Any, running: Any) -> None:
        """When the connection is up, every value has been read once."""
        async with running(plc, points=LAMP) as city:
            await city.up()
            assert [city.door.last(f"lamp-{n}.level") for n in (1, 2, 3)] == [10, 10, 10]

    async def test_change(self, plc: Any, running: Any) -> None:
        """A change comes with the source time of the server."""
        async with running(plc, points=LAMP) as city:
            await city.up()
            before = time.time()
            await plc.do("set", "City.lamp-2.Level", value=42)
            await city.door.until(lambda: city.door.last("lamp-2.level") == 42)
            report = next(r for r in city.door.reports if r.raw == 42)
            assert before - 0.1 <= report.source_time <= time.time()
            await plc.do("set", "City.lamp-2.Level", value=10)

    async def test_by_browse_path_and_uri(self, plc: Any, running: Any) -> None:
        """A node is found by the way to it, and by the URI of its namespace."""
        points = {
            "kind": "lamp",
            "read": {
                "points": {
                    "level": "/Objects/2:City/2:{id}/2:Level",
                    "power": "nsu=urn:city:plc;s=City.{id}.Power",
                }
            },
        }
        async with running(plc, points=points) as city:
            await city.up()
            assert (city.door.last("lamp-3.level"), city.door.last("lamp-3.power")) == (10, 1.5)

    async def test_conversion(self, plc: Any, running: Any) -> None:
        """Numbers are scaled and converted, codes become words."""
        points = {
            "kind": "lamp",
            "read": {
                "points": {
                    "power": {"node": f"{NODE}.Power", "unit": "kW"},
                    "level": {"node": f"{NODE}.Level", "scale": 0.5, "offset": 1},
                    "state": {"node": f"{NODE}.State", "map": {0: "off", 1: "on"}},
                    "broken": f"{NODE}.Broken",
                }
            },
        }
        async with running(plc, points=points) as city:
            await city.up()
            found = [city.door.last(f"lamp-1.{n}") for n in ("power", "level", "state", "broken")]
            assert found == [1500.0, 6.0, "on", False]

    @pytest.mark.parametrize(
        ("status", "quality", "value"),
        [
            (0x40900000, Quality.UNCERTAIN, 20),  # UncertainLastUsableValue
            (0x80310000, Quality.BAD, None),  # BadNoCommunication
            (0x80000000, Quality.BAD, None),  # Bad
        ],
    )
    async def test_quality(
        self, plc: Any, running: Any, status: int, quality: Quality, value: Any
    ) -> None:
        """The quality of a reading is the severity of its status."""
        async with running(plc, points=LAMP) as city:
            await city.up()
            await plc.do("set", "City.lamp-1.Level", value=20, status=status)
            await city.door.until(lambda: any(r.quality is quality for r in city.door.reports))
            report = next(r for r in city.door.reports if r.quality is quality)
            assert report[:2] == ("lamp-1.level", value)
            await plc.do("set", "City.lamp-1.Level", value=10)
            await city.door.until(lambda: city.door.last("lamp-1.level") == 10)

    @pytest.mark.parametrize(
        ("type_", "value"),
        [("String", "full"), ("Double", float("nan")), ("Boolean", True), ("Int16", [1, 2])],
    )
    async def test_wrong_type(
        self, plc: Any, running: Any, type_: str, value: Any, request: pytest.FixtureRequest
    ) -> None:
        """A value that is no number makes its point bad, and no other."""
        node = request.node.name
        await plc.do("add", node, value=value, type=type_)
        points = [LAMP, {"entity": "lamp-1", "read": {"point": "power", "node": f"ns=2;s={node}"}}]
        async with running(plc, points=points) as city:
            await city.up()
            assert {source for source, _ in city.door.refusals} == {"street: lamp-1.power"}
            bad = [r[:3] for r in city.door.reports if r.quality is not Quality.GOOD]
            assert set(bad) == {("lamp-1.power", None, Quality.BAD)}
            assert city.door.last("lamp-2.level") == 10
            assert city.errors == []

    async def test_refresh(self, plc: Any, running: Any) -> None:
        """A value that does not change is read again, and is known to be so now."""
        async with running(plc, points=LAMP, refresh=1) as city:
            await city.up()
            count, now = len(city.door.reports), time.time()
            await city.door.until(lambda: len(city.door.reports) >= count + 3)
            assert all(r.source_time >= now for r in city.door.reports[count + 3 :])

    async def test_server_behind_in_time(self, plc: Any, running: Any) -> None:
        """A change that a slow clock dates before the last reading still counts."""
        async with running(plc, points=LAMP) as city:
            await city.up()
            await asyncio.sleep(1.3)  # later than what a read could have overtaken
            await plc.do("set", "City.lamp-1.Level", value=33, age=0.9)
            await city.door.until(lambda: city.door.last("lamp-1.level") == 33)
            times = [r.source_time for r in city.door.reports if r.point == "lamp-1.level"]
            assert times == sorted(times)
            await plc.do("set", "City.lamp-1.Level", value=10)

    @pytest.mark.parametrize(("stamps", "told"), [("changes", 1), ("never", 0)])
    async def test_clock(self, plc: Any, running: Any, caplog: Any, stamps: str, told: int) -> None:
        """A server whose clock is not the city's is told once; where its time never counts, it is not."""
        read = {"point": "level", "node": "ns=2;s=City.{id}.Level", "source_time": stamps}
        city = running(plc, points={"kind": "lamp", "read": read})
        city.adapter._now = lambda: 1e9
        async with city:
            await city.up()
            await asyncio.sleep(1.2)
        assert sum("the server's clock is" in line for line in caplog.messages) == told

    async def test_agreed(self, plc: Any, running: Any) -> None:
        """What was agreed with the server is told."""
        async with running(plc, points=LAMP) as city:
            await city.up()
            assert "3 items, published every 0.05 s, sampled every 0.05 s" in city.door.ups[0]

    async def test_longer_interval_given(
        self, make_plc: Any, running: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A longer interval than was asked for is told, with the points that need news sooner."""
        plc = make_plc(slowest_ms=20_000)
        points = {"kind": "lamp", "read": {"point": "power", "node": f"{NODE}.Power"}}
        async with running(plc, points=points, publishing=1) as city:
            await city.up()
            assert "published every 20 s (asked 1 s)" in city.door.ups[0]
            assert "3 points slower than they must be" in city.door.ups[0]
        assert "3 points need news sooner: lamp-1.power, lamp-2.power, lamp-3.power" in caplog.text

    async def test_small_batches(self, plc: Any, running: Any) -> None:
        """A server that takes one node at a time is asked one at a time."""
        async with running(plc, points=LAMP, batch=1) as city:
            await city.up()
            assert "3 items" in city.door.ups[0]
            assert {r.point for r in city.door.reports} == {f"lamp-{n}.level" for n in (1, 2, 3)}

    async def test_thousands(self, make_plc: Any, running_meters: Any) -> None:
        """Thousands of nodes are watched over one connection, and a change of each is heard."""
        plc = make_plc(many=2000)
        async with running_meters(plc, 2000) as city:
            await city.up()
            assert "2000 items" in city.door.ups[0]
            await plc.do("storm", rounds=1, pause=0)

            def changed() -> int:
                return len({r.point for r in city.door.reports if r.raw == 0.5})

            await city.door.until(lambda: len(city.door.reports) >= 4000 and changed() == 2000)


class TestVanished:
    async def test_missing_from_the_start(self, plc: Any, running: Any) -> None:
        """A node that is not there makes its point bad; the others are read."""
        points = [LAMP, {"entity": "lamp-1", "read": {"point": "power", "node": "ns=2;s=no"}}]
        async with running(plc, points=points) as city:
            await city.up()
            assert ("street: lamp-1.power", "ns=2;s=no: BadNodeIdUnknown") in city.door.refusals
            assert [r.quality for r in city.door.reports if r.point == "lamp-1.power"] == [
                Quality.BAD
            ]
            assert city.door.last("lamp-1.level") == 10
            assert "(1 nodes missing)" in city.door.ups[0]

    @pytest.mark.parametrize("path", [f"{NODE}.Level", "/Objects/2:City/2:City.{id}.Level"])
    async def test_goes_and_comes_back(self, make_plc: Any, running: Any, path: str) -> None:
        """A node that vanishes is bad within a refresh, and good when it is there again."""
        plc = make_plc()
        points = {"kind": "lamp", "read": {"point": "level", "node": path}}
        if path.startswith("/"):
            for number in (1, 2, 3):
                await plc.do("delete", f"City.lamp-{number}.Level")
                await plc.do("add", f"City.lamp-{number}.Level", value=10)
        async with running(plc, points=points, refresh=1) as city:
            await city.up()
            await plc.do("delete", "City.lamp-1.Level")
            await city.door.until(lambda: any(r.quality is Quality.BAD for r in city.door.reports))
            assert {r.point for r in city.door.reports if r.quality is Quality.BAD} == {
                "lamp-1.level"
            }
            await plc.do("add", "City.lamp-1.Level", value=55)
            await city.door.until(lambda: city.door.last("lamp-1.level") == 55)
            await plc.do("set", "City.lamp-1.Level", value=56)
            await city.door.until(lambda: city.door.last("lamp-1.level") == 56)
            assert city.errors == []


class TestOrders:
    async def test_written_with_its_type_and_read_back(self, make_plc: Any, running: Any) -> None:
        """A write has the node's type, and the value that is read back is handed in before it returns."""
        plc = make_plc()
        async with running(plc, points=LAMP, publishing=5) as city:
            await city.up()
            assert await city.adapter.send(command(30.0)) is Outcome.ACKNOWLEDGED
            assert city.door.last("lamp-1.level") == 30
            assert await plc.do("get", "City.lamp-1.Level") == [30, "UInt16"]

    @pytest.mark.parametrize(("value", "why"), [(70000.0, "does not fit"), (-1.0, "does not fit")])
    async def test_does_not_fit(self, plc: Any, running: Any, value: float, why: str) -> None:
        """A number that the node cannot hold is never sent."""
        async with running(plc, points=LAMP) as city:
            await city.up()
            assert await city.adapter.send(command(value)) is Outcome.NOT_SENT
            assert why in city.door.refusals[-1][1]

    async def test_refused(self, make_plc: Any, running: Any) -> None:
        """A write that the server refuses is known not to be done, and told with the server's reason."""
        plc = make_plc()
        async with running(plc, points=LAMP) as city:
            await city.up()
            await plc.do("lock", "City.lamp-1.Level")
            assert await city.adapter.send(command(30.0)) is Outcome.REFUSED
            source, why = city.door.refusals[-1]
            assert source == "street: order for lamp-1.level"
            assert why in (
                "ns=2;s=City.lamp-1.Level: BadUserAccessDenied",
                "ns=2;s=City.lamp-1.Level: BadNotWritable",
            )
            assert await city.adapter.send(command(30.0, "lamp-2.level")) is Outcome.ACKNOWLEDGED

    async def test_missing_node(self, make_plc: Any, running: Any) -> None:
        """An order for a node that is not there is not sent."""
        plc = make_plc()
        write = {"entity": "lamp-1", "write": {"point": "goal", "node": "ns=2;s=no"}}
        async with running(plc, points=write) as city:
            await city.up()
            assert await city.adapter.send(command(30.0, "lamp-1.goal")) is Outcome.NOT_SENT

    async def test_late_or_unbound(self, plc: Any, running: Any) -> None:
        """What is past its deadline or not bound is not sent."""
        async with running(plc, points=LAMP) as city:
            assert await city.adapter.send(command(30.0)) is Outcome.NOT_SENT  # no link yet
            await city.up()
            assert await city.adapter.send(command(30.0, seconds=-1)) is Outcome.NOT_SENT
            assert await city.adapter.send(command(30.0, "lamp-1.power")) is Outcome.NOT_SENT
            assert await city.adapter.send(command(None)) is Outcome.NOT_SENT
            assert city.adapter.targets()[0] == [f"lamp-{n}.level" for n in (1, 2, 3)]

    async def test_newest_wins(self, make_plc: Any, running: Any) -> None:
        """Of orders for one point that wait, only the newest is sent."""
        plc = make_plc()
        async with running(plc, points=LAMP) as city:
            await city.up()
            orders = [command(float(n), id_=str(n)) for n in range(1, 21)]
            outcomes = await asyncio.gather(*(city.adapter.send(order) for order in orders))
            assert outcomes[-1] is Outcome.ACKNOWLEDGED
            assert set(outcomes[1:-1]) == {Outcome.NOT_SENT}
            assert await plc.do("get", "City.lamp-1.Level") == [20, "UInt16"]

    async def test_map_and_release(self, make_plc: Any, running: Any) -> None:
        """Words become the device's codes; a point is given back with its own word."""
        plc = make_plc()
        write = {
            "point": "state",
            "node": f"{NODE}.State",
            "map": {"off": 0, "on": 1, "fault": 9},
            "release": 5,
        }
        async with running(plc, points={"kind": "lamp", "write": write}) as city:
            await city.up()
            await city.adapter.send(command("fault", "lamp-1.state"))
            assert await plc.do("get", "City.lamp-1.State") == [9, "Int32"]
            await city.adapter.send(command(None, "lamp-1.state"))
            assert await plc.do("get", "City.lamp-1.State") == [5, "Int32"]


class TestCalls:
    @pytest.mark.parametrize(
        ("vehicle", "answer"),
        [
            ("bus-7", ("c1", "accepted", "on its way")),
            ("nobody", ("c1", "refused", "no driver")),
            ("broken", ("c1", "refused", "BadInvalidArgument")),
        ],
    )
    async def test_answer(
        self, make_plc: Any, running: Any, vehicle: str, answer: tuple[str, str, str]
    ) -> None:
        """A call is a method with typed arguments; its status comes from the result."""
        plc = make_plc()
        async with running(plc, calls=CALL) as city:
            await city.up()
            assert await city.adapter.send(call(vehicle)) is Outcome.ACKNOWLEDGED
            assert city.door.answers == [answer]
            assert await plc.do("calls") == [[vehicle, 1]]
            assert city.adapter.targets() == ([], ["fleet.dispatch"])

    async def test_held_request(self, make_plc: Any, running: Any) -> None:
        """A held request is a method too; what it does not declare to take is not sent."""
        plc = make_plc()
        ask = {"point": "priority", "object": "ns=2;s=City", "method": "ns=2;s=City.Dispatch"}
        request = {**ask, "arguments": ["{entity}", "{with.eta}"]}
        points = {"kind": "signal_junction", "request": request}
        late = time.time() + 60
        async with running(plc, points=points) as city:
            await city.up()
            order = Request("r1", "J-12.priority", "request", "bus-7", {"eta": 12.0}, late, "test")
            assert await city.adapter.send(order) is Outcome.ACKNOWLEDGED
            assert await plc.do("calls") == [["bus-7", 12]]
            other = Request("r2", "J-12.priority", "request", "bus-7", {"eta": "soon"}, late, "t")
            assert await city.adapter.send(other) is Outcome.NOT_SENT
            assert city.door.refusals[-1][1] == '"soon" is no number'

    async def test_slow(self, make_plc: Any, running: Any) -> None:
        """A method that does not answer in time may have been done; the connection stays up."""
        plc = make_plc(slow=2)
        async with running(plc, calls=CALL, points=LAMP, timeout=1) as city:
            await city.up()
            assert await city.adapter.send(call("bus-7")) is Outcome.UNKNOWN
            await plc.do("set", "City.lamp-1.Level", value=77)
            await city.door.until(lambda: city.door.last("lamp-1.level") == 77)
            assert (city.errors, city.door.answers) == ([], [])
