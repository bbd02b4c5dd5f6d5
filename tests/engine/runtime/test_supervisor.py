"""The supervisor: tries again with pauses, knows how each connection is, isolates plugins that fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from pilotage.model.messages import Outcome, Reading
from pilotage.runtime.health import Health
from pilotage.runtime.inbox import ConnectionDoor, Inbox
from pilotage.runtime.supervisor import (
    MANY,
    AdapterDied,
    AdapterDisabled,
    ConnectionStatus,
    Pauses,
    State,
    Supervisor,
)

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


class Link:
    """An adapter whose life a test writes: each `run` takes the next act."""

    def __init__(self, door: ConnectionDoor, *acts: Callable[[ConnectionDoor], Any]) -> None:
        self.door = door
        self.acts = list(acts)
        self.runs = 0
        self.end = asyncio.Event()

    async def run(self) -> None:
        self.runs += 1
        if self.acts:
            self.acts.pop(0)(self.door)
        else:
            self.door.connected()
        await self.end.wait()

    async def send(self, order: Any) -> Outcome:
        return Outcome.ACKNOWLEDGED

    def targets(self) -> tuple[Sequence[str], Sequence[str]]:
        return (), ()


def refuse(_: ConnectionDoor) -> None:
    raise ConnectionRefusedError("connection refused by 127.0.0.1:1883")


@pytest.fixture
def inbox(health: Health) -> Inbox:
    return Inbox(health)


@pytest.fixture
def door(inbox: Inbox, clock: Any, health: Health, engine: Any) -> ConnectionDoor:
    return ConnectionDoor("lamps", inbox, clock, health, engine.entities)


@pytest.fixture
async def supervisor(clock: Any, health: Health) -> Any:
    supervisor = Supervisor(
        clock, health, first_pause_s=0.001, longest_pause_s=0.004, spread=lambda: 1.0
    )
    yield supervisor
    await supervisor.stop_all()


def only(supervisor: Supervisor) -> ConnectionStatus:
    (status,) = supervisor.statuses
    return status


class TestStates:
    async def test_connecting_then_up(
        self, supervisor: Supervisor, door: ConnectionDoor, eventually: Eventually
    ) -> None:
        """A connection is connecting until its adapter says that it is connected."""
        link = Link(door, lambda _: None)
        supervisor.start("lamps", "mqtt", link, door)
        await eventually(lambda: link.runs)
        assert only(supervisor).state is State.CONNECTING
        door.connected("broker 2.0")
        assert (only(supervisor).state, only(supervisor).detail) == (State.UP, "broker 2.0")

    async def test_down(
        self, clock: Any, health: Health, door: ConnectionDoor, eventually: Eventually
    ) -> None:
        """One that cannot connect is down, with the reason, since when, and the time of the next try."""
        supervisor = Supervisor(clock, health, first_pause_s=10.0, spread=lambda: 0.0)
        supervisor.start("lamps", "mqtt", Link(door, refuse), door)
        await eventually(lambda: only(supervisor).state is State.DOWN)
        status = only(supervisor)
        assert "connection refused" in status.detail
        assert status.next_try == clock.now() + 5.0
        assert status.failures == 1
        finding = health.finding("connection.lamps")
        assert finding is not None
        assert finding.text.startswith("connection lamps (mqtt) is down: connection refused")
        await supervisor.stop_all()

    async def test_degraded(
        self,
        supervisor: Supervisor,
        door: ConnectionDoor,
        engine: Any,
        health: Health,
        eventually: Eventually,
    ) -> None:
        """One that is up but has lost points is degraded, until it is connected again."""
        supervisor.start("lamps", "mqtt", Link(door), door)
        await eventually(lambda: only(supervisor).state is State.UP)
        door.lost([engine.cells["street-1.flow"]], "gateway 7 is silent")
        assert (only(supervisor).state, only(supervisor).detail) == (
            State.DEGRADED,
            "gateway 7 is silent",
        )
        assert health.is_sound
        door.connected()
        assert only(supervisor).state is State.UP
        assert health.findings == ()


class TestRetries:
    async def test_again_until_it_works(
        self, supervisor: Supervisor, door: ConnectionDoor, caplog: pytest.LogCaptureFixture,
        eventually: Eventually,
    ) -> None:  # fmt: skip
        """Whatever ends a run, it is tried again; lost and back are logged once each."""
        caplog.set_level(logging.INFO)
        link = Link(door, refuse, refuse, refuse)
        supervisor.start("lamps", "mqtt", link, door)
        await eventually(lambda: only(supervisor).state is State.UP)
        assert link.runs == 4
        assert [r.levelname for r in caplog.records] == ["ERROR", "INFO"]

    async def test_ends_by_itself(
        self, supervisor: Supervisor, door: ConnectionDoor, eventually: Eventually
    ) -> None:
        """An adapter that returns is run again."""
        link = Link(door)
        link.end.set()
        supervisor.start("lamps", "mqtt", link, door)
        await eventually(lambda: link.runs >= 3)
        assert only(supervisor).failures >= 2

    async def test_pauses_double(
        self, clock: Any, health: Health, door: ConnectionDoor, eventually: Eventually
    ) -> None:
        """Pauses double from try to try and stay below the longest."""
        supervisor = Supervisor(
            clock, health, first_pause_s=0.002, longest_pause_s=0.01, spread=lambda: 1.0
        )
        seen: list[float] = []
        link = Link(door, *[refuse] * 5)
        supervisor.start("lamps", "mqtt", link, door)
        last = None
        async with asyncio.timeout(5):
            while link.runs < 6:
                status = only(supervisor)
                if status.failures != last and status.next_try:
                    seen.append(round(status.next_try - clock.now(), 6))
                    last = status.failures
                await asyncio.sleep(0)
        assert seen == [0.002, 0.004, 0.008, 0.01, 0.01]
        await supervisor.stop_all()

    def test_pauses_have_three_lengths(self) -> None:
        """A lost link is tried every 1.5 s at most; after many failures, or for a mistake, every thirty."""
        pauses = Pauses(spread=lambda: 1.0)
        assert [pauses.after(n, mistake=False) for n in (1, 2, 5, 100, 101)] == [
            0.2, 0.4, 1.5, 1.5, 30.0
        ]  # fmt: skip
        assert [pauses.after(n, mistake=True) for n in (1, 5, 9)] == [0.2, 3.2, 30.0]

    async def test_flapping(self, clock: Any, health: Health, door: ConnectionDoor) -> None:
        """One that comes up for a moment each time found somebody there: it never counts as dead."""
        supervisor = Supervisor(
            clock, health, first_pause_s=1e-6, longest_pause_s=2e-6, long_pause_s=60.0
        )

        def flap(door: ConnectionDoor) -> None:
            door.connected()
            raise ConnectionResetError("reset by the other side")

        link = Link(door, *[flap] * (MANY + 20))
        supervisor.start("lamps", "mqtt", link, door)
        async with asyncio.timeout(20):
            while link.runs <= MANY + 20:
                await asyncio.sleep(0)
        await supervisor.stop_all()

    def test_pauses_are_spread(self) -> None:
        """The second half of a pause is left to chance: who was lost together does not come back together."""
        assert Pauses(spread=lambda: 0.0).after(1, mistake=False) == 0.1

    async def test_at_once(
        self, clock: Any, health: Health, door: ConnectionDoor, eventually: Eventually
    ) -> None:
        """What runs an adapter may ask for a new try without a pause."""
        supervisor = Supervisor(clock, health, first_pause_s=60.0)

        def died(_: ConnectionDoor) -> None:
            raise AdapterDied("killed by signal 9", at_once=True)

        supervisor.start("lamps", "vendor", Link(door, died), door)
        await eventually(lambda: only(supervisor).state is State.UP)
        assert only(supervisor).failures == 1
        await supervisor.stop_all()

    async def test_disabled(
        self,
        supervisor: Supervisor,
        door: ConnectionDoor,
        engine: Any,
        health: Health,
        inbox: Inbox,
        eventually: Eventually,
    ) -> None:
        """One that is given up is not tried again; its points are unknown, and an error says what to do."""

        def give_up(door: ConnectionDoor) -> None:
            door.connected()
            door.report(engine.cells["street-1.flow"], 41)
            raise AdapterDisabled("6 deaths within a minute, the last: it hung")

        link = Link(door, give_up)
        supervisor.start("lamps", "vendor", link, door)
        await eventually(lambda: only(supervisor).state is State.DISABLED)
        assert only(supervisor).next_try is None
        values = [r.value for r in inbox.take(9).inputs if isinstance(r, Reading)]
        assert values == [41.0, None]
        finding = health.finding("connection.lamps")
        assert finding is not None
        assert (
            "is disabled: 6 deaths within a minute, the last: it hung; its 1 points are unknown"
            in finding.text
        )
        assert "`pilotage reload` tries it again" in finding.mend
        await asyncio.sleep(0.02)
        assert link.runs == 1


class TestTellingAgain:
    async def test_first_at_once_later_spread(
        self, clock: Any, health: Health, door: ConnectionDoor, eventually: Eventually
    ) -> None:
        """The first time devices are told at once; after a loss within a moment that chance chooses, and only if it is up."""
        supervisor = Supervisor(clock, health, first_pause_s=0.001, spread=lambda: 0.5)
        told: list[float] = []
        loop = asyncio.get_running_loop()
        link = Link(door)
        link.end.set()
        supervisor.start("lamps", "mqtt", link, door, lambda: told.append(loop.time()))
        await eventually(lambda: told)
        link.end.clear()
        await eventually(lambda: only(supervisor).failures)
        await eventually(lambda: len(told) == 2)
        assert told[1] - told[0] > 0.1
        await supervisor.stop_all()


class TestLoss:
    async def test_points_become_unknown(
        self,
        supervisor: Supervisor,
        door: ConnectionDoor,
        inbox: Inbox,
        engine: Any,
        eventually: Eventually,
    ) -> None:
        """When a connection is lost, every point that it has reported becomes unknown, and no other."""

        def report_and_die(door: ConnectionDoor) -> None:
            door.connected()
            door.report(engine.cells["street-1.flow"], 41)
            raise ConnectionResetError("reset")

        supervisor.start("lamps", "mqtt", Link(door, report_and_die), door)
        await eventually(lambda: len(inbox) == 2)
        values = [(r.point.id, r.value) for r in inbox.take(9).inputs if isinstance(r, Reading)]
        assert values == [("street-1.flow", 41.0), ("street-1.flow", None)]


class TestPlugins:
    async def test_mistake_is_named(
        self, supervisor: Supervisor, door: ConnectionDoor, health: Health,
        caplog: pytest.LogCaptureFixture, eventually: Eventually,
    ) -> None:  # fmt: skip
        """A plugin's mistake is logged once with its traceback and its name, counted, and tried again."""

        def mistake(_: ConnectionDoor) -> None:
            raise KeyError("topic")

        link = Link(door, mistake, mistake)
        supervisor.start("lamps", "vendor", link, door)
        await eventually(lambda: only(supervisor).state is State.UP)
        assert health.counters["faults.lamps"] == 2
        traces = [r for r in caplog.records if r.exc_info]
        assert [r.message for r in traces] == ["connection lamps: its adapter vendor failed"]

    async def test_others_go_on(
        self,
        supervisor: Supervisor,
        inbox: Inbox,
        clock: Any,
        health: Health,
        engine: Any,
        eventually: Eventually,
    ) -> None:
        """One connection that fails all the time leaves the others up."""
        doors = [ConnectionDoor(n, inbox, clock, health, engine.entities) for n in ("bad", "good")]
        bad, good = Link(doors[0], *[refuse] * 50), Link(doors[1])
        supervisor.start("bad", "mqtt", bad, doors[0])
        supervisor.start("good", "mqtt", good, doors[1])
        await eventually(lambda: bad.runs > 5)
        assert [s.state for s in supervisor.statuses] == [State.DOWN, State.UP]
        assert good.runs == 1

    async def test_cancellation_is_lost(
        self, supervisor: Supervisor, door: ConnectionDoor, eventually: Eventually
    ) -> None:
        """A library that takes the cancellation of a stop for its own does not keep the adapter going."""

        class Deaf(Link):
            async def run(self) -> None:
                try:
                    await super().run()
                except asyncio.CancelledError:
                    if self.runs == 1:
                        raise ConnectionError("it has gone") from None
                    raise

        adapter = Deaf(door)
        supervisor.start("lamps", "mqtt", adapter, door)
        await eventually(lambda: adapter.runs)
        await supervisor.stop("lamps")
        assert adapter.runs == 1

    async def test_stop_is_clean(
        self, supervisor: Supervisor, door: ConnectionDoor, eventually: Eventually
    ) -> None:
        """Stopping cancels the adapter and waits for its end."""
        closed: list[bool] = []

        class Tidy(Link):
            async def run(self) -> None:
                try:
                    await super().run()
                finally:
                    await asyncio.sleep(0.001)
                    closed.append(True)

        link = Tidy(door)
        supervisor.start("lamps", "mqtt", link, door)
        await eventually(lambda: link.runs)
        await supervisor.stop("lamps")
        assert closed == [True]
        assert supervisor.statuses == ()
