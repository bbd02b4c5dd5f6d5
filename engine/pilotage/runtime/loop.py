"""The pump of a partition: drain the inbox, tick once, journal once, send once the decision is on disk.

It never awaits: a turn is one callback of the event loop. Whatever the engine raises is named, counted and survived.
When the disk refuses for longer than a moment, what runs goes on with its records in memory, and people's orders are
refused: no light stays dark for want of disk space.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from pilotage.model.messages import (
    AlarmChanged,
    CallOut,
    Command,
    CommandResult,
    Decision,
    Input,
    Notice,
    OrderRefused,
    OrderTaken,
    Outcome,
    Reading,
    Request,
)
from pilotage.ports import Clock, DecisionLog, DecisionRecord, Envelope, Fenced, HealthLog, InputLog
from pilotage.runtime.collector import uninterrupted
from pilotage.runtime.envelope import encode_decision, encode_inputs
from pilotage.runtime.histogram import SHORT_S, Histogram
from pilotage.runtime.inbox import Batch, Inbox, Receipt

MOST_INPUTS: Final = 500  # a tick of few milliseconds, so that orders and commands get their turn
LOOK_EVERY_S: Final = 1.0  # the wall clock may jump over a timer that the event loop counts down
SOON_S: Final = 0.001
# So long a decision waits for a disk that refuses; then it is sent although its record is in memory only.
PATIENCE_S: Final = 1.0

_AWAITED: Final = frozenset(
    {Command, Request, CallOut, Notice, AlarmChanged, OrderTaken, OrderRefused}
)
"""Events for which somebody waits: a device, or a person. A decision without any (a lamp has confirmed) goes to disk with the next."""

log = logging.getLogger("pilotage.loop")


class TickEngine(Protocol):
    """The core as the pump sees it."""

    def tick(self, now: float, inputs: Sequence[Input]) -> Decision | None:
        """Take inputs and return what was decided."""
        ...

    def next_due(self) -> float | None:
        """Return when the next timer is due, or None."""
        ...


class TickLog(InputLog, DecisionLog, Protocol):
    """A journal for both what comes in and what was decided."""

    @property
    def is_full(self) -> bool:
        """True when so much waits to be written that the engine should not decide more."""
        ...

    @property
    def refusing_since(self) -> float | None:
        """Since when the disk refuses (of `time.monotonic`), None while it takes everything."""
        ...


class EngineFaultError(Exception):
    """The engine failed while it carried out an order."""


class DiskRefusesError(Exception):
    """An order was refused, or its record is not on disk, because the disk refuses."""


@dataclass(slots=True, eq=False)
class _Unwritten:
    """A decision that the journal has not answered yet."""

    decision: Decision
    batch: Batch
    is_sent: bool = False


class Pump:
    """Runs one partition.

    Attributes:
        on_ticked: Told of the time and the inputs of each tick, after it.
        inputs: How many the core has taken.
        spent: How long it worked on a tick, in seconds.
        on_sent: Told of each decision that was sent, and when the first input that it followed from had arrived.
    """

    def __init__(
        self,
        partition: str,
        engine: TickEngine,
        inbox: Inbox,
        journal: TickLog,
        clock: Clock,
        health: HealthLog,
        send: Callable[[Decision], None],
    ) -> None:
        """Prepare a pump; nothing happens before `start`.

        Args:
            partition: Name under which inputs and decisions are kept.
            engine: The core.
            inbox: What it gets.
            journal: Where both go.
            clock: The time of the ticks.
            health: Where trouble is told.
            send: Gets each decision once it is on disk, in order.
        """
        self.engine = engine
        self.ticks = 0
        self.inputs = 0
        self.spent = Histogram(SHORT_S)
        self.on_ticked: Callable[[float, Sequence[Input]], None] = lambda now, inputs: None
        self.on_sent: Callable[[Decision, float], None] = lambda decision, arrived: None
        self._partition = partition
        self._inbox = inbox
        self._journal = journal
        self._clock = clock
        self._health = health
        self._send = send
        self._number = 0
        self._listeners: list[Callable[[Decision], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turn_waits = False
        self._stopped = True
        self._uncommitted: set[asyncio.Future[int]] = set()
        self._unwritten: deque[_Unwritten] = deque()

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    def start(self, undelivered: Sequence[Decision] = ()) -> None:
        """Begin to tick in the running event loop.

        Args:
            undelivered: What was decided before, and is to be recorded and sent first.
        """
        self._loop = asyncio.get_running_loop()
        self._number = self._journal.last_number(self._partition)
        self._stopped = False
        for decision in undelivered:
            self._keep(decision, Batch([], []))
        self._inbox.call_when_filled(self._wake)
        self._wake()

    def stop(self) -> None:
        """Tick once more for what waits, then never again."""
        if self._stopped:
            return
        while len(self._inbox) and not self._journal.is_full:
            self._turn()
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    async def drained(self) -> None:
        """Wait until every decision so far is on disk."""
        while self._uncommitted:
            await asyncio.wait(self._uncommitted)

    @property
    def number(self) -> int:
        """Number of the last decision, written or on its way."""
        return self._number

    @property
    def position(self) -> int:
        """Position of the inputs of the last tick, written or on their way."""
        return self._journal.position(self._partition)

    @property
    def records_are_in_memory(self) -> bool:
        """True while the disk has refused for longer than a moment.

        What runs goes on: its decisions are sent, and written when the disk is back. Orders of people are refused.
        """
        since = self._journal.refusing_since
        return since is not None and time.monotonic() - since > PATIENCE_S

    def tick_soon(self) -> None:
        """Tick even if nothing arrives: the rules were exchanged."""
        self._wake()

    def subscribe(self, listener: Callable[[Decision], None]) -> Callable[[], None]:
        """Call a listener with each decision that is on disk; returns what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    # ── a turn ───────────────────────────────────────────────────────────────────────────────

    def _wake(self) -> None:
        if self._loop is not None and not self._turn_waits and not self._stopped:
            self._turn_waits = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_waits = False
        if self._stopped:
            return
        if (
            self._journal.is_full
        ):  # readings are conflated in the inbox meanwhile; the journal tells the trouble
            self._health.count("pump.held")
            self._set_timer(self._clock.delay(LOOK_EVERY_S))
            return
        batch = self._inbox.take(MOST_INPUTS)
        if self.records_are_in_memory:
            self._send_unwritten()
            batch = _without_orders(batch)
        self._tick(batch)
        self._plan_next()

    def _tick(self, batch: Batch) -> None:
        now, inputs = self._clock.now(), batch.inputs
        began = time.perf_counter()
        try:
            with uninterrupted():
                decision = self.engine.tick(now, inputs)
        except Exception as error:
            self._fault(error, now, batch)
            return
        self.spent.add(time.perf_counter() - began)
        self.ticks += 1
        self.inputs += len(inputs)
        self._keep_inputs(now, inputs)
        self.on_ticked(now, inputs)
        if decision is None:
            for _, receipt in batch.orders:
                _fail(receipt, EngineFaultError("the engine decided nothing about the order"))
            return
        self._keep(decision, batch)

    def _keep_inputs(self, now: float, inputs: Sequence[Input]) -> None:
        try:
            encoded = encode_inputs(inputs)
        except (TypeError, ValueError) as error:
            self._health.raised(
                "journal.input", f"inputs could not be encoded, a replay will differ: {error}"
            )
            return
        self._journal.put(self._partition, Envelope(now, encoded, self._number))

    def _keep(self, decision: Decision, batch: Batch) -> None:
        """Hand the decision to the journal; it is sent when the journal has it."""
        expect, self._number = self._number, decision.number
        record = DecisionRecord(decision.number, decision.now, encode_decision(decision))
        soon = bool(batch.orders) or any(type(event) in _AWAITED for event in decision.events)
        written = asyncio.ensure_future(
            self._journal.append(self._partition, expect, record, soon=soon)
        )
        waiting = _Unwritten(decision, batch)
        self._unwritten.append(waiting)
        self._uncommitted.add(written)
        written.add_done_callback(lambda done: self._committed(done, waiting))
        if self.records_are_in_memory:
            self._send_unwritten()

    def _committed(self, written: asyncio.Future[int], waiting: _Unwritten) -> None:
        self._uncommitted.discard(written)
        self._unwritten.remove(waiting)  # the journal answers in order: it is the first
        decision, batch = waiting.decision, waiting.batch
        error = None if written.cancelled() else written.exception()
        if written.cancelled() or error is not None:
            self._refuse_to_send(error or asyncio.CancelledError(), batch)
            if waiting.is_sent:
                log.error(
                    "decision %d was carried out, but not recorded: %s",
                    decision.number,
                    error,
                    extra={"event": "decision.unrecorded"},
                )
            return
        if not waiting.is_sent:
            self._pass_on(self._send, decision)
        for listener in self._listeners:
            self._pass_on(listener, decision)
        _answer(batch, decision)
        if batch.arrived is not None and not waiting.is_sent:
            self.on_sent(decision, batch.arrived)

    def _pass_on(self, receive: Callable[[Decision], None], decision: Decision) -> None:
        try:
            receive(decision)
        except Exception:
            log.exception(
                "decision %d could not be passed on",
                decision.number,
                extra={"event": "decision.not_passed_on"},
            )
            self._health.count("pump.pass_on_failed")

    def _send_unwritten(self) -> None:
        """Send what the disk does not take: the city goes on with its records in memory, in order."""
        for waiting in self._unwritten:
            if waiting.is_sent:
                continue
            waiting.is_sent = True
            self._health.count("pump.sent_unwritten")
            self._pass_on(self._send, self._without_pulses(waiting.decision))
            for _, receipt in waiting.batch.orders:
                _fail(
                    receipt,
                    DiskRefusesError("the order was carried out, but the disk refuses its record"),
                )
            if waiting.batch.arrived is not None:
                self.on_sent(waiting.decision, waiting.batch.arrived)

    def _refuse_to_send(self, error: BaseException, batch: Batch) -> None:
        if isinstance(error, Fenced):
            self._stopped = True
            self._health.raised(
                "journal.fenced",
                f"another engine writes to this journal: {error}; this one sends nothing any more",
                "stop this engine, and start one only",
            )
        for _, receipt in batch.orders:
            _fail(receipt, EngineFaultError(f"the order could not be recorded: {error}"))

    def _fault(self, error: Exception, now: float, batch: Batch) -> None:
        """Name what the engine stumbled over, and go on."""
        self._health.count("engine.faults")
        log.error(
            "the engine failed at %.3f on %d inputs, the first of which are %s",
            now,
            len(batch.inputs),
            _named(batch.inputs[:20]),
            exc_info=error,
            extra={"event": "engine.fault"},
        )
        self._health.raised(
            "engine.degraded",
            f"a tick failed ({type(error).__name__}: {error}); some of its inputs may have no effect",
            "see the log for the inputs, report them, and restart the engine when it is quiet",
        )
        self._keep_inputs(now, batch.inputs)
        for _, receipt in batch.orders:
            _fail(
                receipt,
                EngineFaultError(f"the engine failed on it: {type(error).__name__}: {error}"),
            )

    def _without_pulses(self, decision: Decision) -> Decision:
        """Hold back what must not be done twice: after a crash nobody would know that it was told."""
        pulses = [item for item in decision.outgoing if getattr(item, "pulse", False)]
        for pulse in pulses:
            why = "the disk refuses its record, and it may be told once only"
            self._inbox.put(CommandResult(pulse.id, Outcome.NOT_SENT, why))
        if not pulses:
            return decision
        events = tuple(event for event in decision.events if event not in pulses)
        return replace(decision, events=events)

    # ── timers ───────────────────────────────────────────────────────────────────────────────

    def _plan_next(self) -> None:
        due = self._due()
        wait = LOOK_EVERY_S if due is None else self._clock.delay(due - self._clock.now())
        self._set_timer(min(max(wait, SOON_S), LOOK_EVERY_S))

    def _due(self) -> float | None:
        try:
            return self.engine.next_due()
        except Exception as error:
            self._health.raised("engine.degraded", f"the timers failed: {error!r}")
            return None

    def _set_timer(self, wait_s: float) -> None:
        """Look again after a wait, or sooner: a timer that ends before stays, and then it is seen how long to wait on."""
        if self._loop is None:
            return
        when, timer = self._loop.time() + wait_s, self._timer
        if timer is not None and timer.when() <= when:
            return
        if timer is not None:
            timer.cancel()
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """Tick when something is due; else wait on."""
        self._timer = None
        if self.records_are_in_memory:
            self._send_unwritten()
        due = self._due()
        if len(self._inbox) or (due is not None and due <= self._clock.now()):
            self._turn()
        else:
            self._plan_next()


def _without_orders(batch: Batch) -> Batch:
    """Refuse the orders of a batch; returns the rest of it."""
    for _, receipt in batch.orders:
        _fail(receipt, DiskRefusesError("orders are not taken now: the disk refuses their records"))
    return Batch([], batch.others, batch.arrived)


def _named(inputs: Sequence[Input]) -> str:
    """Return what inputs are about, without their values: a log is no place for where somebody's vehicle is."""
    return ", ".join(
        item.point.id if type(item) is Reading else type(item).__name__ for item in inputs
    )


def _answer(batch: Batch, decision: Decision) -> None:
    """Give each order its receipt: the engine answers orders in the order in which it got them."""
    if not batch.orders:
        return
    answers: list[Any] = [e for e in decision.events if isinstance(e, (OrderTaken, OrderRefused))]
    for index, (_, receipt) in enumerate(batch.orders):
        if index >= len(answers):
            _fail(receipt, EngineFaultError("the engine said nothing about the order"))
        elif not receipt.done():
            answer = answers[index]
            taken = isinstance(answer, OrderTaken)
            receipt.set_result(
                Receipt(taken, answer.detail if taken else answer.why, decision.number)
            )


def _fail(receipt: asyncio.Future[Receipt], error: Exception) -> None:
    """Fail a receipt that somebody may still wait for."""
    if not receipt.done():
        receipt.set_exception(error)
