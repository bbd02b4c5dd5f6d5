"""One Modbus connection: polls its units in turn, lets orders go first, and knows who does not answer.

One question at a time is on the line, because units, gateways and serial lines work so. Orders wait here, not in the
library: each has its deadline, the newest for a register wins, and none is ever sent twice.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any, Final

from pilotage.adapter import ConnectionSettings, Door, Site
from pilotage.model.diagnostics import RuleError
from pilotage.model.messages import CallOut, Command, Outcome, PointHandle, Request
from pilotage.model.quality import Quality
from pilotage_modbus.binding import Plan, Target, bind
from pilotage_modbus.blocks import Block, Part
from pilotage_modbus.client import Client
from pilotage_modbus.codec import Garbage
from pilotage_modbus.heartbeat import Guards
from pilotage_modbus.trouble import BadAnswer, ConnectionLost, Refusal, Silence

JITTER: Final = 0.05
"""A pause between two polls is up to so much shorter or longer, so that connections do not keep step."""

UNHURRIED_S: Final = 0.5
TOGETHER_S: Final = 0.02
"""Polls with a pause from `UNHURRIED_S` on begin at the same moments in all connections, so many a second: one waking of the engine, and one
tick, serve several. Half of a city's wakings were for one answer each."""

FIRST_PAUSE_S: Final = 1.0
"""Before a unit that fell silent is tried again; it doubles with each try."""

SLOWEST_REFUSED: Final = 16
"""A block that is refused again and again is read this many times less often."""

_NARROWS: Final = frozenset({2, 3})  # one register of the block may be the reason
_ONCE_IS_NOTHING: Final = frozenset({5, 6})  # taken, and busy: the next poll will tell
_NO_PATH: Final = frozenset({10, 11})  # a gateway speaks for a unit that it does not hear
_NOT_CARRIED_OUT: Final = frozenset({1, 2, 3, 6, 7, 10})

Clock = Callable[[], float]
"""Returns the city's time now, in seconds since 1970."""


def open_connection(settings: ConnectionSettings, site: Site, door: Door) -> ModbusConnection:
    """Return the connection that these settings describe, not connected yet.

    A site that has a method `now` gives the city's time (a demonstration runs faster than the clock on the wall).

    Raises:
        RuleError: The settings have errors.
    """
    plan, findings = bind(settings, site)
    if any(finding.is_error for finding in findings):
        raise RuleError(findings)
    clock: Clock = getattr(site, "now", time.time)
    return ModbusConnection(plan, door, settings.name, clock)


@dataclass(slots=True)
class Figures:
    """What a connection has done since it was made.

    Attributes:
        reads: Requests that read.
        writes: Orders that were sent.
        late: Polls that were left out because the line was busy.
        silences: Requests that were not answered.
        refusals: Exception codes.
        readings: Values that were handed in.
    """

    reads: int = 0
    writes: int = 0
    late: int = 0
    silences: int = 0
    refusals: int = 0
    readings: int = 0


class ModbusConnection:
    """An adapter: `run` holds one connection until it is lost, `send` uses it while it is up."""

    def __init__(self, plan: Plan, door: Door, name: str, now: Clock = time.time) -> None:
        self.figures = Figures()
        self._plan = plan
        self._door = door
        self._name = name
        self._now = now
        self._poller: _Poller | None = None

    def targets(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the points that can be ordered; Modbus has no calls."""
        return sorted(self._plan.writes), ()

    async def run(self) -> None:
        """Connect, poll and write until cancelled.

        Raises:
            ConnectionLost: Always, unless cancelled; its text says why.
        """
        client = Client(self._plan.line)
        poller = _Poller(client, self._plan, self._door, self._name, self._now, self.figures)
        working: asyncio.Task[None] | None = None
        try:
            await client.open()
            self._poller = poller
            working = asyncio.create_task(poller.work(), name=f"modbus-{self._name}")
            ends: set[asyncio.Future[Any]] = {working, client.down}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            raise ConnectionLost(client.down.result() if client.down.done() else "ended")
        except ConnectionLost as error:
            if poller.is_announced:
                self._door.lost(self._plan.points, str(error))
            raise
        finally:
            self._poller = None
            client.close()
            poller.close()
            if working is not None and not working.done():
                working.cancel()
                await asyncio.wait({working})
            if working is not None and not working.cancelled():
                working.exception()
            await asyncio.sleep(0)  # the socket is closed at the loop's next turn

    async def send(self, order: Command | Request | CallOut) -> Outcome:
        """Send an order before anything else, or not at all, and return what is known of it.

        ACKNOWLEDGED says that the unit has taken it; it is read back at once.
        """
        poller = self._poller
        target = self._plan.writes.get(order.point) if isinstance(order, Command) else None
        if poller is None or target is None or self._now() >= order.deadline:
            return Outcome.NOT_SENT
        assert isinstance(order, Command)
        try:
            words = target.registers(order.value)
        except Garbage as error:
            self._door.refused(f"{self._name}: order for {order.point}", str(error))
            return Outcome.NOT_SENT
        return await poller.order(_Write(target, words, order.deadline))


@dataclass(eq=False, slots=True)
class _Write:
    """An order that waits for its turn."""

    target: Target
    words: list[int]
    deadline: float
    outcome: asyncio.Future[Outcome] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def settle(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


@dataclass(eq=False, slots=True)
class _Turn:
    """One block and when it is read next (on the loop's clock).

    Attributes:
        words, said: What was read last and what that says, when all of it could be understood; else nothing.
    """

    block: Block
    due: float
    refused: int = 0
    is_gone: bool = False
    words: Sequence[int | bool] | None = None
    said: Sequence[tuple[PointHandle, Any]] = ()

    def __lt__(self, other: _Turn) -> bool:
        return self.due < other.due


@dataclass(eq=False, slots=True)
class _Unit:
    """One device behind the connection, and whether it answers.

    Attributes:
        since: When it fell silent; None while it answers.
        next_try: When it is asked again.
    """

    id: int
    points: list[PointHandle] = field(default_factory=list)
    turns: list[_Turn] = field(default_factory=list)
    since: float | None = None
    next_try: float = 0.0
    pause_s: float = FIRST_PAUSE_S


class _Poller:
    """The one task that uses the line, from `work` until the connection is lost; used once.

    Attributes:
        is_announced: True as soon as a unit has answered: only then is the connection up.
    """

    def __init__(
        self, client: Client, plan: Plan, door: Door, name: str, now: Clock, figures: Figures
    ) -> None:
        self.is_announced = False
        self._client = client
        self._plan = plan
        self._line = plan.line
        self._door = door
        self._name = name
        self._now = now
        self._figures = figures
        self._clock = asyncio.get_running_loop().time
        self._waiting: dict[str, _Write] = {}
        self._under_way: _Write | None = None
        self._loop = asyncio.get_running_loop()
        self._sleeping: asyncio.Future[None] | None = None
        self._units: dict[int, _Unit] = {}
        self._turns: list[_Turn] = []
        self._turn_of: dict[str, _Turn] = {}
        self._bad: set[str] = set()
        self._guards = Guards(client, plan.guards, plan.heartbeat_s, door, name)
        for block in plan.blocks:
            self._add(block, 0.0)
        for target in plan.writes.values():
            self._units.setdefault(target.unit, _Unit(target.unit))

    # ── orders ───────────────────────────────────────────────────────────────────────────────

    async def order(self, write: _Write) -> Outcome:
        """Let a write be the next thing on the line, and return what became of it."""
        if not self.is_announced or not self._client.is_up:
            return Outcome.NOT_SENT
        key = write.target.point.id
        older = self._waiting.pop(key, None)
        if older is not None:
            older.settle(Outcome.NOT_SENT)
        self._waiting[key] = write
        self._wake()
        try:
            return await write.outcome
        finally:
            if self._waiting.get(key) is write:
                del self._waiting[key]

    def close(self) -> None:
        """Say of every order what is known: what waited was not sent, what was on the line is not known."""
        for write in self._waiting.values():
            write.settle(Outcome.NOT_SENT)
        self._waiting.clear()
        if self._under_way is not None:
            self._under_way.settle(Outcome.UNKNOWN)

    # ── the line ─────────────────────────────────────────────────────────────────────────────

    async def work(self) -> None:
        """Write what waits, read what is due, sleep; until the connection is lost."""
        if not self._turns:
            self._announce()  # nothing to ask: a connection that only writes
        while self._client.is_up:
            if self._waiting:
                await self._write_all()
            if self._guards and self._guards.due <= self._clock():
                await self._guards.beat(self._clock())
            if self._turns and self._turns[0].due <= self._clock():
                await self._poll(heappop(self._turns))
            else:
                await self._sleep()

    async def _sleep(self) -> None:
        if self._waiting:
            return
        dues = [turn.due for turn in self._turns[:1]] + [self._guards.due] * bool(self._guards)
        self._sleeping = self._loop.create_future()
        timer = self._loop.call_at(min(dues), self._wake) if dues else None
        try:
            await self._sleeping
        finally:
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._sleeping is not None and not self._sleeping.done():
            self._sleeping.set_result(None)

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    async def _write_all(self) -> None:
        while self._waiting and self._client.is_up:
            await self._write(self._waiting.pop(next(iter(self._waiting))))

    async def _write(self, write: _Write) -> None:
        target = write.target
        left_s = write.deadline - self._now()
        # To a unit that does not answer nothing is sent: its wanted values are told again when it is back.
        if write.outcome.done() or left_s <= 0 or self._units[target.unit].since is not None:
            write.settle(Outcome.NOT_SENT)
            return
        self._under_way = write
        self._figures.writes += 1
        try:
            await self._put(target, write.words)
            outcome = Outcome.ACKNOWLEDGED
        except Refusal as error:
            self._figures.refusals += 1
            outcome = _after_refusal(error.code)
            if outcome is not Outcome.ACKNOWLEDGED:
                self._door.refused(f"{self._name}: order for {target.point.id}", str(error))
        except (Silence, BadAnswer) as error:
            self._figures.silences += isinstance(error, Silence)
            outcome = Outcome.UNKNOWN
            self._door.refused(f"{self._name}: order for {target.point.id}", str(error))
            await self._keep_quiet()
        except _NotYetWritten as error:
            outcome = Outcome.NOT_SENT
            self._door.refused(f"{self._name}: order for {target.point.id}", str(error))
        finally:
            self._under_way = None
            if not self._client.is_up:
                write.settle(Outcome.UNKNOWN)
        write.settle(outcome)
        self._read_now(target.point.id)

    async def _put(self, target: Target, words: list[int]) -> None:
        client, mask = self._client, target.layout.mask
        unit, address, timeout_s = target.unit, target.address, target.timeout_s
        if not mask:
            multiple = self._line.write_multiple
            await client.write(unit, target.table, address, words, timeout_s, multiple=multiple)
            return
        if target.layout.little_bytes:
            mask = (mask >> 8 | mask << 8) & 0xFFFF
        if self._line.bit_write == "mask":
            await client.set_bits(unit, address, mask, words[0], timeout_s)
            return
        try:
            (before,) = await client.read(unit, target.table, address, 1, timeout_s)
        except (Refusal, Silence, BadAnswer) as error:
            raise _NotYetWritten(f"its register cannot be read: {error}") from error
        word = before & ~mask | words[0] & mask
        multiple = self._line.write_multiple
        await client.write(unit, target.table, address, [word], timeout_s, multiple=multiple)

    def _read_now(self, point: str) -> None:
        """Read back what was written before anything else is read."""
        turn = self._turn_of.get(point)
        if turn is not None and not turn.is_gone and self._units[turn.block.unit].since is None:
            turn.due = 0.0
            heapify(self._turns)

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def _poll(self, turn: _Turn) -> None:
        if turn.is_gone:
            return
        block, unit = turn.block, self._units[turn.block.unit]
        now = self._clock()
        if unit.since is not None and now < unit.next_try:
            self._again(turn, unit.next_try)
            return
        try:
            values = await self._ask(block, 0 if unit.since is not None else self._line.retries)
        except Silence as error:
            self._fell_silent(unit, str(error))
            self._again(turn, unit.next_try)
            return
        except Refusal as error:
            self._figures.refusals += 1
            if error.code in _NO_PATH:
                self._heard()
                self._fell_silent(unit, str(error), by_gateway=True)
                self._again(turn, unit.next_try)
                return
            self._answered(unit)
            self._refused(turn, error)
            return
        except BadAnswer as error:
            self._answered(unit)
            turn.words = None
            self._spoil(block.parts, str(error))
        else:
            turn.refused = 0
            self._answered(unit)
            self._hand_in(turn, values)
        self._next(turn, now, block.every_s)

    async def _ask(self, block: Block, retries: int) -> Sequence[int | bool]:
        while True:
            self._figures.reads += 1
            try:
                return await self._client.read(
                    block.unit, block.table, block.start, block.count, block.timeout_s
                )
            except Silence:
                self._figures.silences += 1
                await self._keep_quiet()
                if retries <= 0:
                    raise
                retries -= 1
            await self._write_all()

    async def _keep_quiet(self) -> None:
        if self._line.quiet_s:
            await asyncio.sleep(self._line.quiet_s)

    def _hand_in(self, turn: _Turn, words: Sequence[int | bool]) -> None:
        """Report what a block says; the same registers say the same as before, and are heard again, not decoded again."""
        if words != turn.words:
            turn.words = None
            turn.said = self._understood(turn.block, words)
            if len(turn.said) == len(turn.block.parts):
                turn.words = words
        report = self._door.report
        for point, value in turn.said:
            report(point, value)
        self._figures.readings += len(turn.said)

    def _understood(
        self, block: Block, words: Sequence[int | bool]
    ) -> Sequence[tuple[PointHandle, Any]]:
        """Return the points of a block with what it says of them; those that it says no value of are bad."""
        said = []
        for part in block.parts:
            at = part.address - block.start
            try:
                value = _value(part, words[at : at + part.layout.width])
            except Garbage as error:
                self._spoil((part,), str(error))
            else:
                self._bad.discard(part.point.id)
                said.append((part.point, value))
        return said

    def _spoil(self, parts: Sequence[Part], why: str) -> None:
        for part in parts:
            self._door.report(part.point, None, quality=Quality.BAD)
            if part.point.id not in self._bad:
                self._bad.add(part.point.id)
                self._door.refused(f"{part.table.value} {part.address} of unit {part.unit}", why)

    def _refused(self, turn: _Turn, error: Refusal) -> None:
        """Find out which of the registers are refused; the others are read without them from now on."""
        halves = turn.block.split() if error.code in _NARROWS else ()
        if halves:
            turn.is_gone = True
            self._units[turn.block.unit].turns.remove(turn)
            for half in halves:
                self._add(half, 0.0)
            return
        if turn.refused or error.code not in _ONCE_IS_NOTHING:
            turn.words = None
            self._spoil(turn.block.parts, str(error))
        turn.refused += 1
        slower = min(2 ** (turn.refused - 1), SLOWEST_REFUSED)
        self._next(turn, self._clock(), turn.block.every_s * slower)

    # ── turns ────────────────────────────────────────────────────────────────────────────────

    def _add(self, block: Block, due: float) -> None:
        turn = _Turn(block, due)
        unit = self._units.setdefault(block.unit, _Unit(block.unit))
        unit.turns.append(turn)
        heappush(self._turns, turn)
        for part in block.parts:
            if self._turn_of.get(part.point.id) is None:
                unit.points.append(part.point)
            self._turn_of[part.point.id] = turn

    def _again(self, turn: _Turn, due: float) -> None:
        turn.due = due
        heappush(self._turns, turn)

    def _next(self, turn: _Turn, began: float, pause_s: float) -> None:
        """Read again after a pause, counted from when this read was due; what was missed is left out."""
        is_late = began - turn.due >= pause_s
        base = began if is_late else turn.due
        self._figures.late += is_late and turn.due > 0.0
        spread = pause_s * JITTER * (2 * random.random() - 1)
        due = base + pause_s + spread
        self._again(turn, due if pause_s < UNHURRIED_S else round(due / TOGETHER_S) * TOGETHER_S)

    # ── who answers ──────────────────────────────────────────────────────────────────────────

    def _heard(self) -> None:
        if not self.is_announced:
            self._announce()

    def _announce(self) -> None:
        self.is_announced = True
        line = self._line
        frames = "RTU" if line.is_rtu else "TCP"
        wrapped = " in TLS" if line.tls else ""
        self._door.connected(f"{line.address}, Modbus {frames}{wrapped}, {len(self._units)} units")
        self._tell_silent()

    def _answered(self, unit: _Unit) -> None:
        self._heard()
        if unit.since is None:
            return
        unit.since, unit.pause_s = None, FIRST_PAUSE_S
        for turn in unit.turns:
            turn.due = min(turn.due, self._clock())
        heapify(self._turns)
        # The engine tells the wanted values again when a connection says that it is up.
        self._door.connected(f"unit {unit.id} answers again")
        self._tell_silent()

    def _tell_silent(self) -> None:
        for unit in self._units.values():
            if unit.since is not None:
                self._door.lost(unit.points, f"unit {unit.id} does not answer")

    def _fell_silent(self, unit: _Unit, why: str, *, by_gateway: bool = False) -> None:
        """Lose the points of a unit; when all are silent, and no gateway speaks for them, the line is lost."""
        now = self._clock()
        if unit.since is None:
            unit.since = now
            if self.is_announced:
                self._door.lost(unit.points, f"unit {unit.id}: {why}")
        unit.next_try = now + unit.pause_s * (0.75 + random.random() / 2)
        unit.pause_s = min(2 * unit.pause_s, self._line.longest_pause_s)
        asked = [other for other in self._units.values() if other.turns]
        if not by_gateway and all(other.since is not None for other in asked):
            count = "the unit does" if len(asked) == 1 else f"all {len(asked)} units do"
            raise ConnectionLost(f"{self._line.address} is open, but {count} not answer: {why}")


class _NotYetWritten(Exception):
    """What had to be known before writing is not known."""


def _after_refusal(code: int) -> Outcome:
    """Return what an exception code says of an order (V1.1b3, section 7)."""
    if code == 5:
        return Outcome.ACKNOWLEDGED
    if code in _NO_PATH:  # the gateway speaks, not the device
        return Outcome.NOT_SENT if code in _NOT_CARRIED_OUT else Outcome.UNKNOWN
    return Outcome.REFUSED if code in _NOT_CARRIED_OUT else Outcome.UNKNOWN


def _value(part: Part, words: Sequence[int | bool]) -> Any:
    raw = part.layout.decode(words)
    if raw in part.invalid:
        raise Garbage(f"{raw:g} stands for no value")
    return raw if part.convert is None else part.convert(raw)
