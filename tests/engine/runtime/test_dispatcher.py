"""The dispatcher: to the right adapter, in order per device, the newest wins, never after the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.model.entities import Rate
from pilotage.model.messages import (
    CallOut,
    Command,
    CommandResult,
    Decision,
    Notice,
    Outcome,
    Request,
)
from pilotage.runtime.clock import SystemClock
from pilotage.runtime.dispatcher import AT_ONCE, SLICE_S, Dispatcher
from pilotage.runtime.health import Health

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


class Gateway:
    """An adapter that records what it sends, and may be held."""

    def __init__(self, points: Sequence[str] = (), calls: Sequence[str] = ()) -> None:
        self.points, self.calls = points, calls
        self.sent: list[Any] = []
        self.begun: list[Any] = []
        self.free = asyncio.Event()
        self.free.set()
        self.error: Exception | None = None

    async def run(self) -> None: ...

    async def send(self, order: Command | Request | CallOut) -> Outcome:
        self.begun.append(order)
        await self.free.wait()
        if self.error is not None:
            raise self.error
        self.sent.append(order)
        return Outcome.ACKNOWLEDGED

    def targets(self) -> tuple[Sequence[str], Sequence[str]]:
        return self.points, self.calls


@pytest.fixture
def results() -> list[CommandResult]:
    return []


@pytest.fixture
async def dispatcher(clock: Any, health: Health, results: list[CommandResult]) -> Any:
    dispatcher = Dispatcher(results.append, clock, health)
    yield dispatcher
    await dispatcher.close()


def command(id_: str, point: str, value: Any = 30.0, deadline: float = 9e9) -> Command:
    return Command(id_, point, value, deadline, "test")


def decision(*events: Any) -> Decision:
    return Decision(1, 0.0, events)


class TestRouting:
    async def test_to_its_owner(
        self, dispatcher: Dispatcher, results: list[CommandResult], eventually: Eventually
    ) -> None:
        """Commands and requests go to the connection of their point, calls to that of their name."""
        lamps, fleet = Gateway(["a.level", "j.hold"]), Gateway([], ["fleet.dispatch"])
        dispatcher.connect("lamps", lamps)
        dispatcher.connect("fleet", fleet)
        hold = Request("2", "j.hold", "request", "bus-1", {}, 9e9, "test")
        call = CallOut("3", "fleet.dispatch", {}, 9e9, "test")
        dispatcher.send(decision(command("1", "a.level"), hold, call))
        await eventually(lambda: len(results) == 3)
        assert [o.id for o in lamps.sent] == ["1", "2"]
        assert fleet.sent == [call]
        assert {r.outcome for r in results} == {Outcome.ACKNOWLEDGED}

    async def test_nobody(
        self, dispatcher: Dispatcher, results: list[CommandResult], caplog: pytest.LogCaptureFixture
    ) -> None:
        """What nobody commands is answered as not sent, with one line that names the point."""
        dispatcher.send(decision(command("1", "x.level"), command("2", "x.level")))
        assert [(r.command, r.outcome) for r in results] == [
            ("1", Outcome.NOT_SENT),
            ("2", Outcome.NOT_SENT),
        ]
        (line,) = (r.message for r in caplog.records)
        assert line.startswith("x.level: no connection commands it")

    async def test_claimed_twice(
        self, dispatcher: Dispatcher, health: Health, eventually: Eventually
    ) -> None:
        """Of two connections that bind a point the first commands it, and a finding names both."""
        first, second = Gateway(["a.level"]), Gateway(["a.level"])
        dispatcher.connect("first", first)
        dispatcher.connect("second", second)
        dispatcher.send(decision(command("1", "a.level")))
        await eventually(lambda: first.sent)
        finding = health.finding("connection.second.targets")
        assert finding is not None
        assert "first and second" in finding.text

    async def test_disconnected(self, dispatcher: Dispatcher, results: list[CommandResult]) -> None:
        """A connection that was taken away gets nothing more."""
        dispatcher.connect("lamps", Gateway(["a.level"]))
        dispatcher.disconnect("lamps")
        dispatcher.send(decision(command("1", "a.level")))
        assert [r.outcome for r in results] == [Outcome.NOT_SENT]


class TestRates:
    """The last line: whatever is handed in, a device and a connection get no more than they may."""

    @pytest.fixture
    def clock(self) -> SystemClock:
        return SystemClock()

    async def test_device(
        self, clock: Any, health: Health, results: list[CommandResult], eventually: Eventually
    ) -> None:
        """Commands in a loop reach the device at its rate, the newest each time; the others are answered."""
        dispatcher = Dispatcher(results.append, clock, health, lambda point: Rate(2, 0.3))
        lamps = Gateway(["a.level"])
        began = clock.monotonic()
        dispatcher.connect("lamps", lamps)
        for n in range(60):
            dispatcher.send(decision(command(str(n), "a.level", float(n))))
            await asyncio.sleep(0.02)
        await eventually(lambda: len(results) == 60)
        await dispatcher.close()
        assert 4 <= len(lamps.sent) <= 2 * ((clock.monotonic() - began) / 0.3 + 1)
        assert lamps.sent[-1].id == "59"
        sent = {r.command for r in results if r.outcome is Outcome.ACKNOWLEDGED}
        assert sent == {o.id for o in lamps.sent}

    async def test_after_its_deadline(
        self, clock: Any, health: Health, results: list[CommandResult], eventually: Eventually
    ) -> None:
        """What may leave only after its deadline is answered at once; giving a request back is never too early."""
        dispatcher = Dispatcher(results.append, clock, health, lambda point: Rate(1, 60.0))
        lamps = Gateway(["a.level", "j.hold"])
        dispatcher.connect("lamps", lamps)
        ask = Request("3", "j.hold", "request", "bus-1", {}, clock.now() + 5, "test")
        dispatcher.send(decision(command("1", "a.level"), ask))
        await eventually(lambda: len(results) == 2)
        late = command("2", "a.level", deadline=clock.now() + 5)
        dispatcher.send(decision(late, ask._replace(id="4", action="cancel")))
        await eventually(lambda: len(results) == 4)
        outcomes = {r.command: r.outcome for r in results}
        assert (outcomes["2"], outcomes["4"]) == (Outcome.NOT_SENT, Outcome.ACKNOWLEDGED)
        await dispatcher.close()

    async def test_connection(
        self, clock: Any, health: Health, results: list[CommandResult], eventually: Eventually
    ) -> None:
        """A hundred orders at once leave in a burst of ten, then one each hundredth of a second."""
        dispatcher = Dispatcher(results.append, clock, health)
        lamps = Gateway([f"l{n}.level" for n in range(100)])
        dispatcher.connect("lamps", lamps, Rate(10, 0.1))
        began = clock.monotonic()
        dispatcher.send(decision(*(command(str(n), f"l{n}.level") for n in range(100))))
        await asyncio.sleep(0.01)
        assert len(lamps.sent) <= 10 + (clock.monotonic() - began) * 100 + 1
        await eventually(lambda: len(results) == 100)
        assert clock.monotonic() - began >= 0.85
        await dispatcher.close()

    async def test_connection_too_slow(
        self, clock: Any, health: Health, results: list[CommandResult], eventually: Eventually
    ) -> None:
        """What would leave after its deadline is answered as not sent, now."""
        dispatcher = Dispatcher(results.append, clock, health)
        lamps = Gateway([f"l{n}.level" for n in range(5)])
        dispatcher.connect("lamps", lamps, Rate(1, 60.0))
        deadline = clock.now() + 5
        dispatcher.send(
            decision(*(command(str(n), f"l{n}.level", deadline=deadline) for n in range(5)))
        )
        await eventually(lambda: len(results) == 5)
        assert len(lamps.sent) == 1
        await dispatcher.close()

    async def test_turns_come_together(
        self, clock: Any, health: Health, results: list[CommandResult], eventually: Eventually
    ) -> None:
        """Two hundred orders at a thousand a second wake the connection some twenty times, and not for each of them."""
        times: list[float] = []

        class Noting(Gateway):
            async def send(self, order: Command | Request | CallOut) -> Outcome:
                times.append(clock.monotonic())
                return await super().send(order)

        dispatcher = Dispatcher(results.append, clock, health)
        lamps = Noting([f"l{n}.level" for n in range(200)])
        dispatcher.connect("lamps", lamps, Rate(10, 0.01))
        dispatcher.send(decision(*(command(str(n), f"l{n}.level") for n in range(200))))
        await eventually(lambda: len(results) == 200)
        flocks = 1 + sum(later - sooner > SLICE_S / 4 for sooner, later in pairwise(times))
        assert flocks <= 60
        assert sorted(int(o.id) for o in lamps.sent) == list(range(200))
        await dispatcher.close()

    async def test_the_engine_ends_before(
        self, clock: Any, health: Health, results: list[CommandResult], eventually: Eventually
    ) -> None:
        """At a stop nobody waits for a turn that comes too late; one that comes in time is waited for."""
        dispatcher = Dispatcher(results.append, clock, health)
        slow = Gateway([f"l{n}.level" for n in range(3)])
        quick = Gateway([f"q{n}.level" for n in range(3)])
        dispatcher.connect("slow", slow, Rate(1, 3600.0))
        dispatcher.connect("quick", quick, Rate(1, 0.05))
        for name in "lq":
            dispatcher.send(
                decision(*(command(f"{name}{n}", f"{name}{n}.level") for n in range(3)))
            )
        await eventually(lambda: len(results) >= 2)
        assert await dispatcher.drained(30.0)
        outcomes = {r.command: (r.outcome, r.detail) for r in results}
        late = (Outcome.NOT_SENT, "the engine ends before its turn")
        assert [outcomes[f"l{n}"] for n in (1, 2)] == [late, late]
        assert [o.id for o in quick.sent] == ["q0", "q1", "q2"]
        await dispatcher.close()


class Model:
    """What the dispatcher owes for one device, said in other words: a line in which a point's newest replaces the older."""

    def __init__(self) -> None:
        self.line: dict[str, Command] = {}
        self.under_way: Command | None = None
        self.superseded: list[str] = []

    def hand_in(self, order: Command) -> None:
        older = self.line.pop(order.point, None)
        if older is not None:
            self.superseded.append(older.id)
        self.line[order.point] = order
        self.next()

    def next(self) -> None:
        if self.under_way is None and self.line:
            self.under_way = self.line.pop(next(iter(self.line)))

    def end(self) -> None:
        self.under_way = None
        self.next()


class Scripted(Gateway):
    """Ends the order under way when it is told to, in the way that it is told."""

    def __init__(self, points: Sequence[str]) -> None:
        super().__init__(points)
        self.busy = 0
        self.end: asyncio.Future[Outcome] | None = None

    async def send(self, order: Command | Request | CallOut) -> Outcome:
        self.busy += 1
        assert self.busy == 1, "two orders under way for one device"
        self.begun.append(order)
        self.end = asyncio.get_running_loop().create_future()
        try:
            return await self.end
        finally:
            self.busy -= 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hand in"), st.sampled_from(["a.level", "a.mode", "a.plan"])),
        st.tuples(st.just("end"), st.sampled_from([*Outcome, None])),
    ),
    max_size=40,
)


class TestModel:
    @given(STEPS, st.booleans())
    @settings(max_examples=150, deadline=None)
    def test_like_the_model(self, steps: list[tuple[str, Any]], cut: bool) -> None:
        """Whatever is handed in and however it ends: commit order per point, one under way, the newest wins, one answer each."""
        asyncio.run(self._follow(steps, cut))

    async def _follow(self, steps: list[tuple[str, Any]], cut: bool) -> None:
        results: list[CommandResult] = []
        clock = SystemClock()
        dispatcher = Dispatcher(results.append, clock, Health(clock.now))
        device, model, count = Scripted(["a.level", "a.mode", "a.plan"]), Model(), 0
        dispatcher.connect("lamps", device)
        for what, how in steps:
            if what == "hand in":
                count += 1
                order = command(str(count), how)
                dispatcher.send(decision(order))
                await _turns()
                model.hand_in(order)
            elif device.end is not None and not device.end.done():
                device.end.set_result(how) if how is not None else device.end.set_exception(
                    OSError("lost")
                )
                await _turns()
                model.end()
            begun = device.begun[-1] if device.busy else None
            assert begun == model.under_way
        assert [r.command for r in results if r.detail.startswith("superseded")] == model.superseded
        if cut:
            dispatcher.disconnect("lamps")
            await _turns()
        while device.busy and not cut:
            assert device.end is not None
            device.end.set_result(Outcome.ACKNOWLEDGED)
            await _turns()
        await dispatcher.close()
        assert sorted(int(r.command) for r in results) == list(range(1, count + 1))
        for point in ("a.level", "a.mode", "a.plan"):
            order_of = [int(o.id) for o in device.begun if o.point == point]
            assert order_of == sorted(order_of)


async def _turns() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


class TestOrder:
    async def test_one_at_a_time(self, dispatcher: Dispatcher, eventually: Eventually) -> None:
        """A device gets its next order when the one before has ended; other devices do not wait for it."""
        lamps = Gateway(["a.level", "a.mode", "b.level"])
        lamps.free.clear()
        dispatcher.connect("lamps", lamps)
        dispatcher.send(
            decision(command("1", "a.level"), command("2", "a.mode"), command("3", "b.level"))
        )
        await eventually(lambda: len(lamps.begun) == 2)
        assert {o.id for o in lamps.begun} == {"1", "3"}
        lamps.free.set()
        await eventually(lambda: len(lamps.sent) == 3)
        assert [o.id for o in lamps.sent if o.point.startswith("a.")] == ["1", "2"]

    async def test_newest_wins(
        self, dispatcher: Dispatcher, results: list[CommandResult], eventually: Eventually
    ) -> None:
        """Of commands for one point that wait, only the newest is sent; the others are answered at once."""
        lamps = Gateway(["a.level"])
        lamps.free.clear()
        dispatcher.connect("lamps", lamps)
        dispatcher.send(decision(command("1", "a.level", 10.0)))
        await eventually(lambda: lamps.begun)
        for n in range(2, 6):
            dispatcher.send(decision(command(str(n), "a.level", 10.0 * n)))
        assert [(r.command, r.detail) for r in results] == [
            (str(n), f"superseded by {n + 1}") for n in range(2, 5)
        ]
        lamps.free.set()
        await eventually(lambda: len(lamps.sent) == 2)
        assert [o.value for o in lamps.sent] == [10.0, 50.0]

    async def test_requests_are_all_sent(
        self, dispatcher: Dispatcher, eventually: Eventually
    ) -> None:
        """A cancel does not swallow the request before it: the device sees both, in order."""
        junction = Gateway(["j.hold"])
        junction.free.clear()
        dispatcher.connect("junctions", junction)
        for n, action in enumerate(("request", "update", "cancel")):
            dispatcher.send(decision(Request(str(n), "j.hold", action, "bus-1", {}, 9e9, "test")))
        junction.free.set()
        await eventually(lambda: len(junction.sent) == 3)
        assert [o.action for o in junction.sent] == ["request", "update", "cancel"]

    async def test_thousands(
        self, dispatcher: Dispatcher, results: list[CommandResult], eventually: Eventually
    ) -> None:
        """Dusk: thousands of lamps get their level through a bounded number of tasks, each is answered once."""
        points = [f"lamp-{n}.level" for n in range(5_000)]
        lamps = Gateway(points)
        dispatcher.connect("lamps", lamps)
        before = len(asyncio.all_tasks())
        dispatcher.send(decision(*(command(str(n), p) for n, p in enumerate(points))))
        assert len(asyncio.all_tasks()) - before <= AT_ONCE
        await eventually(lambda: len(results) == 5_000)
        assert len({r.command for r in results}) == 5_000
        assert await dispatcher.drained(1.0)


class TestDeadline:
    async def test_passed(
        self,
        dispatcher: Dispatcher,
        results: list[CommandResult],
        clock: Any,
        eventually: Eventually,
    ) -> None:
        """What comes too late is never sent."""
        lamps = Gateway(["a.level"])
        dispatcher.connect("lamps", lamps)
        dispatcher.send(decision(command("1", "a.level", deadline=clock.now())))
        await eventually(lambda: results)
        assert lamps.begun == []
        assert results == [CommandResult("1", Outcome.NOT_SENT, "its deadline has passed")]

    async def test_passes_while_it_waits(
        self,
        dispatcher: Dispatcher,
        results: list[CommandResult],
        clock: Any,
        eventually: Eventually,
    ) -> None:
        """An order that waited behind another until its deadline is not sent any more."""
        lamps = Gateway(["a.level", "a.mode"])
        lamps.free.clear()
        dispatcher.connect("lamps", lamps)
        late = command("2", "a.mode", "off", clock.now() + 5.0)
        dispatcher.send(decision(command("1", "a.level"), late))
        await eventually(lambda: lamps.begun)
        clock.time += 6.0
        lamps.free.set()
        await eventually(lambda: len(results) == 2)
        assert results[1] == CommandResult("2", Outcome.NOT_SENT, "its deadline has passed")

    async def test_no_answer(
        self,
        dispatcher: Dispatcher,
        results: list[CommandResult],
        clock: Any,
        eventually: Eventually,
    ) -> None:
        """A device that does not answer before the deadline leaves the outcome unknown, and its line goes on."""
        lamps = Gateway(["a.level"])
        lamps.free.clear()
        dispatcher.connect("lamps", lamps)
        dispatcher.send(decision(command("1", "a.level", deadline=clock.now() + 0.02)))
        await eventually(lambda: results)
        assert results == [CommandResult("1", Outcome.UNKNOWN, "no answer before its deadline")]
        lamps.free.set()
        dispatcher.send(decision(command("2", "a.level")))
        await eventually(lambda: lamps.sent)


class TestFaults:
    async def test_raising_plugin(
        self, dispatcher: Dispatcher, results: list[CommandResult], health: Health,
        caplog: pytest.LogCaptureFixture, eventually: Eventually,
    ) -> None:  # fmt: skip
        """An adapter that raises leaves the outcome unknown, is named, and goes on being asked."""
        lamps = Gateway(["a.level", "b.level"])
        lamps.error = KeyError("codec")
        dispatcher.connect("lamps", lamps)
        dispatcher.send(decision(command("1", "a.level"), command("2", "b.level")))
        await eventually(lambda: len(results) == 2)
        assert {r.outcome for r in results} == {Outcome.UNKNOWN}
        assert health.counters["faults.lamps"] == 2
        assert "connection lamps" in caplog.text
        lamps.error = None
        dispatcher.send(decision(command("3", "a.level")))
        await eventually(lambda: lamps.sent)

    async def test_close(
        self, dispatcher: Dispatcher, results: list[CommandResult], eventually: Eventually
    ) -> None:
        """At the end, what is under way is unknown, and what waits was not sent."""
        lamps = Gateway(["a.level", "a.mode"])
        lamps.free.clear()
        dispatcher.connect("lamps", lamps)
        dispatcher.send(decision(command("1", "a.level"), command("2", "a.mode")))
        await eventually(lambda: lamps.begun)
        assert not await dispatcher.drained(0.01)
        await dispatcher.close()
        assert {(r.command, r.outcome) for r in results} == {
            ("1", Outcome.UNKNOWN),
            ("2", Outcome.NOT_SENT),
        }


class TestNotices:
    async def test_every_sink(
        self, dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A notice reaches every sink, also when one of them fails."""
        caplog.set_level("INFO")
        got: list[Notice] = []

        def broken(_: Notice) -> None:
            raise RuntimeError("no line")

        dispatcher.notify(broken)
        dispatcher.notify(got.append)
        notice = Notice("1", ("duty",), "Intrusion in the town hall", "", "intrusion")
        dispatcher.send(decision(notice))
        assert got == [notice]
        assert "notice 1 to duty" in caplog.text
        assert "Intrusion" not in caplog.text
