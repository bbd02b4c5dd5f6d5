"""What every adapter must keep, as tests: a vendor's test class says which adapter and which equipment, and inherits them.

    class TestAcme(AdapterContract):
        @pytest.fixture
        def bench(self) -> Bench:
            return Bench(factory=AcmeFactory(), ...)

The equipment is real (`pilotage.testing.peers`): a process that is killed, not a mock.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from pilotage.adapter import Adapter, AdapterFactory, ConnectionSettings
from pilotage.model.entities import EntitySpec, Kind
from pilotage.model.messages import Command, Outcome
from pilotage.testing.adapters import FixedSite, RecordingDoor, Report
from pilotage.testing.peers import CannotError, Peer

__all__ = ["AdapterContract", "Bench", "Running"]

KILLS: Final = 10
PAUSE_S: Final = 0.05
STOP_S: Final = 5.0
FLOOD: Final = 500


@dataclass(frozen=True)
class Bench:
    """An adapter, the equipment that it speaks with, and one point to try it on.

    Attributes:
        factory: What the plugin's `pilotage_adapters` hook returns.
        options: Of the connection, as they would stand in config.yaml.
        kinds, entities: A small city that the options bind.
        peer: The equipment.
        point: A point that is reported and commanded (`Access.BOTH`).
        values: Three or more different values that the point can hold; none is what the equipment starts with.
        patience_s: Longest time that the adapter may take to notice a loss, to come back, or to hear a value.
        flooded: How many values a flood has.
        kills: How often the equipment dies beneath a whole engine.
    """

    factory: AdapterFactory
    options: Mapping[str, Any]
    kinds: Sequence[Kind]
    entities: Sequence[EntitySpec]
    peer: Peer
    point: str
    values: Sequence[Any]
    patience_s: float = 10.0
    flooded: int = FLOOD
    kills: int = KILLS
    site: FixedSite = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "site", FixedSite(self.kinds, self.entities))

    @property
    def settings(self) -> ConnectionSettings:
        """The connection, as the engine would hand it to the factory."""
        return self.settings_with()

    def settings_with(self, **more: Any) -> ConnectionSettings:
        """Return the connection with more options."""
        options = {**self.options, **more}
        return ConnectionSettings("bench", self.factory.name, options, "config.yaml:1:1")


class Running:
    """An adapter that is kept running as the engine's supervisor does it, with a short pause.

    Attributes:
        door: Everything that it handed in.
        endings: Why each of its runs ended.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.door = RecordingDoor()
        self.adapter: Adapter = bench.factory.open(bench.settings, bench.site, self.door)
        self.endings: list[str] = []
        self._count = 0

    async def keep(self) -> None:
        """Run again and again until cancelled."""
        while True:
            try:
                await self.adapter.run()
                why = "it returned"
            except (
                Exception
            ) as error:  # an adapter says by any exception that the connection is lost
                why = f"{type(error).__name__}: {error}"
            self.endings.append(why)
            self.door.refused("run", why)  # wakes who waits at the door
            await asyncio.sleep(PAUSE_S)

    async def send(self, value: Any, *, within_s: float = 60.0) -> Outcome:
        """Send a command for the bench's point."""
        self._count += 1
        deadline = time.time() + within_s
        command = Command(f"c{self._count}", self.bench.point, value, deadline, "contract")
        return await self.adapter.send(command)

    async def up(self, times: int = 1) -> None:
        """Return when the connection has come up so often."""
        await self.door.until(lambda: len(self.door.ups) >= times, self.bench.patience_s)

    async def hears(self, value: Any, since: int = 0) -> Report:
        """Return the first good report of a value since a number of reports.

        Raises:
            AssertionError: It did not come in time.
        """
        found: list[Report] = []

        def heard() -> bool:
            news = self.door.reports[since:]
            found[:] = [r for r in news if r.point == self.bench.point and _is(r.raw, value)]
            return any(r.quality.is_usable for r in found)

        await self.door.until(heard, self.bench.patience_s)
        return next(report for report in found if report.quality.is_usable)

    def is_lost(self, since: int = 0) -> bool:
        """Return whether the point was said to be lost, or the run ended, since a number of endings."""
        ended = len(self.endings) > since
        return ended or any(self.bench.point in points for points, _ in self.door.losses)


class AdapterContract:
    """The tests; a class that inherits them needs a fixture `bench`.

    Attributes:
        keeps_peer: True for equipment that is slow to start: it serves on from one test to the next, and whoever made
            it (a fixture for the whole module) kills it at the end.
    """

    keeps_peer: ClassVar[bool] = False

    @pytest.fixture
    def bench(self) -> Bench:
        """Return the adapter and its equipment; every vendor writes this one."""
        raise NotImplementedError(
            "write a fixture `bench` that returns a pilotage.testing.contract.Bench"
        )

    @pytest.fixture
    def served(self, bench: Bench) -> Iterator[Bench]:
        """The bench with its equipment at work."""
        bench.peer.start()
        yield bench
        if not self.keeps_peer:
            bench.peer.kill()

    # ── before anything is connected ─────────────────────────────────────────────────────────

    def test_good_settings_have_no_error(self, bench: Bench) -> None:
        """The settings of the bench are accepted, and `check` does not connect."""
        found = bench.factory.check(bench.settings, bench.site)
        assert [finding.render() for finding in found if finding.is_error] == []

    def test_an_unknown_option_is_found(self, bench: Bench) -> None:
        """An option that does not exist is an error, with what to do instead, and no exception."""
        found = bench.factory.check(bench.settings_with(no_such_option=1), bench.site)
        named = [finding for finding in found if "no_such_option" in finding.message]
        assert named, "check says nothing of the option no_such_option"
        assert named[0].is_error

    def test_empty_settings_are_no_accident(self, bench: Bench) -> None:
        """A connection without any option gives findings, no exception."""
        empty = ConnectionSettings("bench", bench.factory.name, {}, "config.yaml:1:1")
        found = bench.factory.check(empty, bench.site)
        assert all(finding.message for finding in found)

    def test_targets_name_the_point(self, bench: Bench) -> None:
        """The engine routes by what an adapter says it can command."""
        adapter = bench.factory.open(bench.settings, bench.site, RecordingDoor())
        assert bench.point in adapter.targets()[0]

    # ── readings and orders ──────────────────────────────────────────────────────────────────

    def test_connects_and_reports(self, served: Bench) -> None:
        """It comes up, and what the equipment says arrives with good quality, again and again."""

        async def scenario(line: Running) -> None:
            await line.up()
            for value in served.values:
                await served.peer.tell(served.point, value)
                await line.hears(value)

        run(served, scenario)

    def test_an_order_arrives_and_is_read_back(self, served: Bench) -> None:
        """What is acknowledged, the equipment holds; what it holds is reported."""

        async def scenario(line: Running) -> None:
            await line.up()
            for value in served.values[:3]:
                since = len(line.door.reports)
                assert await line.send(value) is Outcome.ACKNOWLEDGED
                await holds(served, value)
                await line.hears(value, since)

        run(served, scenario)

    def test_nothing_leaves_after_its_deadline(self, served: Bench) -> None:
        """An order whose deadline has passed is not sent, and the equipment never hears of it."""

        async def scenario(line: Running) -> None:
            await line.up()
            assert await line.send(served.values[0]) is Outcome.ACKNOWLEDGED
            await holds(served, served.values[0])
            assert await line.send(served.values[1], within_s=-0.1) is Outcome.NOT_SENT
            assert await line.send(served.values[2]) is Outcome.ACKNOWLEDGED
            await holds(served, served.values[2])

        run(served, scenario)

    def test_nothing_leaves_before_it_runs(self, served: Bench) -> None:
        """Without a connection an order is not sent, and not kept for later."""

        async def scenario() -> None:
            line = Running(served)
            await served.peer.tell(served.point, served.values[1])
            assert await line.send(served.values[0]) is Outcome.NOT_SENT
            async with kept(line):
                await line.up()
                await asyncio.sleep(0.2)
                assert not _is(await served.peer.held(served.point), served.values[0])

        _run(scenario())

    def test_distrust_is_passed_on(self, served: Bench) -> None:
        """A value that the equipment itself does not trust is not reported as good."""

        async def scenario(line: Running) -> None:
            await line.up()
            await served.peer.tell(served.point, served.values[0])
            await line.hears(served.values[0])
            since = len(line.door.reports)
            await or_skip(served.peer.distrust(served.point))

            def distrusted() -> bool:
                news = [r for r in line.door.reports[since:] if r.point == served.point]
                return any(not r.quality.is_usable for r in news) or line.is_lost()

            await line.door.until(distrusted, served.patience_s)
            await served.peer.tell(served.point, served.values[1])
            await line.hears(served.values[1], since)

        run(served, scenario)

    def test_a_flood_ends_with_the_last_value(self, served: Bench) -> None:
        """However many values come at once, the last one stands at the end, and orders still go out."""

        async def scenario(line: Running) -> None:
            await line.up()
            values = [served.values[turn % 2] for turn in range(served.flooded)]
            await served.peer.flood(served.point, [*values, served.values[2]])
            await line.hears(served.values[2])
            await asyncio.sleep(0.2)
            mine = [r for r in line.door.reports if r.point == served.point]
            assert _is(mine[-1].raw, served.values[2]), "an older value came after the last one"
            assert await line.send(served.values[0]) is Outcome.ACKNOWLEDGED

        run(served, scenario)

    def test_garbage_is_refused_and_forgotten(self, served: Bench) -> None:
        """What no binding understands is no reading and no crash; the next good value arrives."""

        async def scenario(line: Running) -> None:
            await line.up()
            await or_skip(served.peer.garbage())
            await asyncio.sleep(0.2)
            heard = [
                r.raw for r in line.door.reports if r.quality.is_usable and r.point == served.point
            ]
            assert not [raw for raw in heard if not _is_like(raw, served.values[0])]
            await served.peer.tell(served.point, served.values[1])
            await line.hears(served.values[1])

        run(served, scenario)

    # ── loss and return ──────────────────────────────────────────────────────────────────────

    def test_a_loss_is_noticed_and_healed(self, served: Bench) -> None:
        """Equipment that dies is noticed, nothing is sent to it meanwhile, and it is found again."""

        async def scenario(line: Running) -> None:
            await line.up()
            await served.peer.tell(served.point, served.values[0])
            await line.hears(served.values[0])
            await asyncio.to_thread(served.peer.kill)
            await line.door.until(line.is_lost, served.patience_s)
            assert await line.send(served.values[1]) is not Outcome.ACKNOWLEDGED
            ups, since = len(line.door.ups), len(line.door.reports)
            await asyncio.to_thread(served.peer.start)
            await line.up(ups + 1)
            await served.peer.tell(served.point, served.values[2])
            await line.hears(served.values[2], since)
            assert await line.send(served.values[0]) is Outcome.ACKNOWLEDGED
            await holds(served, served.values[0])

        run(served, scenario)

    def test_kills_under_an_engine(self, served: Bench, tmp_path: Path) -> None:
        """Through all kills no point keeps a wrong quality, and no order is lost, doubled or left unverified."""
        from pilotage.testing.city import under_an_engine

        _run(under_an_engine(served, tmp_path))

    # ── the end ──────────────────────────────────────────────────────────────────────────────

    def test_it_ends_when_it_is_cancelled(self, served: Bench) -> None:
        """Cancelling ends a run at once: while it works, with an order on its way, and while nobody is there."""

        async def scenario() -> None:
            line = Running(served)
            async with kept(line):
                await line.up()
                order = asyncio.ensure_future(line.send(served.values[0]))
                await asyncio.sleep(0)
            order.cancel()
            with suppress(asyncio.CancelledError):
                await order
            await asyncio.to_thread(served.peer.kill)
            async with kept(line):
                await asyncio.sleep(0.3)

        _run(scenario())

    def test_it_leaves_nothing_behind(self, served: Bench) -> None:
        """Runs that were started and stopped leave no task, no open file and no thread."""

        async def scenario() -> None:
            line = Running(served)
            for turn in range(4):
                async with kept(line):
                    await line.up(turn + 1)
                await asyncio.sleep(0.05)
                assert others() == set(), f"run {turn} left a task behind"

        _run(scenario())  # what a library opens once and keeps is not counted
        before = open_files(), threading.active_count()
        _run(scenario())
        assert (open_files(), threading.active_count()) <= before, (
            "open files or threads have grown"
        )


# ── what the tests are made of ───────────────────────────────────────────────────────────────


def run(bench: Bench, scenario: Callable[[Running], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario with an adapter that is kept running, and see that it ends."""

    async def whole() -> None:
        line = Running(bench)
        async with kept(line):
            await scenario(line)

    _run(whole())


@asynccontextmanager
async def kept(line: Running) -> AsyncIterator[None]:
    """Keep an adapter running; at the end it is cancelled, and must end soon."""
    task = asyncio.create_task(line.keep())
    try:
        yield
    finally:
        task.cancel()
        _, running = await asyncio.wait([task], timeout=STOP_S)
        assert not running, f"run() does not end within {STOP_S:g} s of being cancelled"


async def holds(bench: Bench, value: Any) -> None:
    """Wait until the equipment holds a value.

    Raises:
        AssertionError: It did not come to it in time.
    """
    end = time.monotonic() + bench.patience_s
    while not _is(held := await bench.peer.held(bench.point), value):
        assert time.monotonic() < end, f"the equipment holds {held!r}, not {value!r}"
        await asyncio.sleep(0.02)


async def or_skip(doing: Coroutine[Any, Any, None]) -> None:
    """Do something that not every equipment can."""
    try:
        await doing
    except CannotError as error:
        pytest.skip(str(error))


def others() -> set[str]:
    """Return the names of all tasks but the one that asks."""
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def open_files() -> int:
    """Return how many files this process has open; 0 where the system does not tell."""
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        return 0


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner() as runner:
        runner.run(coroutine)


def _is(found: Any, value: Any) -> bool:
    if isinstance(found, (int, float)) and isinstance(value, (int, float)):
        return abs(found - value) < 1e-6 + 1e-6 * abs(value)
    return bool(found == value)


def _is_like(found: Any, value: Any) -> bool:
    numeric = (int, float)
    return isinstance(found, type(value)) or (
        isinstance(found, numeric) and isinstance(value, numeric)
    )
