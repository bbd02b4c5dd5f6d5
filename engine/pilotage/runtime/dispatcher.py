"""Brings what a decision sends to the adapter that owns the target, and what became of it back to the inbox.

It is called with decisions that are on disk. Each device has at most one order under way; of the commands for a point
that still wait, the newest wins; nothing is sent after its deadline, and nothing is kept for later. What a device or a
connection may carry is kept here once more, whatever mistake the floors above make.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Container
from typing import Final

from pilotage.adapter import Adapter
from pilotage.core.paces import Pace
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
from pilotage.ports import Clock, HealthLog

AT_ONCE: Final = 64
"""Orders that one connection may have under way, each for another device."""
SLICE_S: Final = 0.01
"""Those whose turn comes within a slice leave together at its end: to wake for each of them costs as much as to send it."""

log = logging.getLogger("pilotage.dispatcher")

Order = Command | Request | CallOut
Answer = Callable[[CommandResult], None]
Sink = Callable[[Notice], None]
RateOf = Callable[[str], Rate | None]


class Dispatcher:
    """Routes orders to connections and notices to sinks; used from the event loop only."""

    def __init__(
        self,
        answer: Answer,
        clock: Clock,
        health: HealthLog,
        rate_of: RateOf = lambda point: None,
    ) -> None:
        """Start without any connection.

        Args:
            answer: Gets one result for each command, request and call.
            clock: Tells whether a deadline has passed.
            health: Where unroutable orders and failing plugins are told.
            rate_of: Says how often a point may be told.
        """
        self._answer = answer
        self._clock = clock
        self._health = health
        self._rate_of = rate_of
        self._links: dict[str, _Link] = {}
        self._points: dict[str, _Link] = {}
        self._calls: dict[str, _Link] = {}
        self._sinks: list[Sink] = [_log_notice]

    def connect(self, name: str, adapter: Adapter, rate: Rate | None = None) -> None:
        """Route to an adapter whatever it says it can command, at the rate that its connection may carry."""
        self.disconnect(name)
        link = _Link(name, adapter, self._answer, self._clock, self._health)
        link.rate_of = self._rate_of
        link.bucket = _Bucket(rate, self._clock.monotonic()) if rate is not None else None
        points, calls = adapter.targets()
        self._claim(self._points, points, link, "the point")
        self._claim(self._calls, calls, link, "the call")
        self._links[name] = link

    def disconnect(self, name: str) -> None:
        """Route nothing to a connection any more; what waits for it is answered."""
        link = self._links.pop(name, None)
        if link is None:
            return
        for routes in (self._points, self._calls):
            for target in [t for t, owner in routes.items() if owner is link]:
                del routes[target]
        link.close()
        self._health.cleared(f"connection.{name}.targets")

    @property
    def points(self) -> Container[str]:
        """The points that some connection commands, as they are at any time."""
        return self._points.keys()

    def targets_of(self, name: str) -> list[str]:
        """Return the points that are routed to a connection."""
        return [point for point, link in self._points.items() if link.name == name]

    @property
    def waiting(self) -> dict[str, int]:
        """How many orders wait or are under way, by connection."""
        return {name: link.waiting for name, link in self._links.items()}

    def notify(self, sink: Sink) -> None:
        """Give every notice to a sink too."""
        self._sinks.append(sink)

    def send(self, decision: Decision) -> None:
        """Send everything that leaves with a decision."""
        for event in decision.events:
            if isinstance(event, (Command, Request)):
                self._route(self._points.get(event.point), event, event.point)
            elif isinstance(event, CallOut):
                self._route(self._calls.get(event.name), event, event.name)
            elif isinstance(event, Notice):
                self._tell(event)

    async def drained(self, timeout_s: float) -> bool:
        """Wait until nothing is under way; False when that takes longer.

        What has to wait for its turn for longer than that is answered at once: it was not sent, and the next engine tells
        what is wanted then.
        """
        links = list(self._links.values())
        for link in links:
            link.end_within(timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                for link in links:
                    await link.idle.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Stop sending; what is under way is cancelled and answered as unknown."""
        links = list(self._links.values())
        for link in links:
            self.disconnect(link.name)
        await asyncio.gather(*(link.closed() for link in links))

    def _claim(self, routes: dict[str, _Link], targets: object, link: _Link, what: str) -> None:
        for target in targets if isinstance(targets, (list, tuple, set, frozenset)) else ():
            owner = routes.setdefault(target, link)
            if owner is not link:
                self._health.raised(
                    f"connection.{link.name}.targets",
                    f"{what} {target} is bound by the connections {owner.name} and {link.name};"
                    f" {owner.name} commands it",
                    "bind it in one of them only, in config.yaml",
                )

    def _route(self, link: _Link | None, order: Order, target: str) -> None:
        if link is not None:
            link.submit(order)
            return
        self._health.count("dispatcher.no_route")
        self._health.remark(
            f"dispatcher.no_route.{target}",
            f"{target}: no connection commands it, so {order.id} was not sent"
            " (mend: bind it in a connection in config.yaml)",
        )
        self._answer(CommandResult(order.id, Outcome.NOT_SENT, "no connection commands it"))

    def _tell(self, notice: Notice) -> None:
        for sink in self._sinks:
            try:
                sink(notice)
            except Exception:
                self._health.count("dispatcher.sink_failed")
                log.exception(
                    "notice %s could not be given to %r",
                    notice.id,
                    sink,
                    extra={"event": "notice.failed"},
                )


class _Bucket:
    """What one connection may carry: `rate.count` orders at once, and again after `rate.per_s`."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._free_at = now - rate.per_s

    def wait_s(self, now: float) -> float:
        """Return how long the next order has to wait."""
        each_s = self._rate.per_s / self._rate.count
        return max(0.0, self._free_at + each_s - now)

    def take(self, now: float) -> None:
        """An order takes its place, now or at the end of its wait."""
        each_s = self._rate.per_s / self._rate.count
        self._free_at = max(self._free_at, now - self._rate.per_s) + each_s


class _Link:
    """The orders of one connection: a line per device, and some workers that serve the lines."""

    def __init__(
        self, name: str, adapter: Adapter, answer: Answer, clock: Clock, health: HealthLog
    ) -> None:
        self.name = name
        self._adapter = adapter
        self._answer = answer
        self._clock = clock
        self._health = health
        self._lines: dict[str, dict[str, Order]] = {}
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._waiting_workers = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._closing = False
        self._paces: dict[str, Pace] = {}
        self._naps: dict[str, asyncio.TimerHandle] = {}
        self._turns: dict[float, asyncio.Event] = {}
        self._ends_at = float("inf")
        self.rate_of: RateOf = lambda point: None
        self.bucket: _Bucket | None = None
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def waiting(self) -> int:
        """How many orders wait; a line that is empty has one under way."""
        return sum(max(1, len(line)) for line in self._lines.values())

    def submit(self, order: Order) -> None:
        """Put an order into its device's line; a command replaces an older one for its point."""
        device = _device(order)
        line = self._lines.get(device)
        if line is None:
            line = self._lines[device] = {}
            self.idle.clear()
            self._ready.put_nowait(device)
            self._have_worker()
        key = _key(order)
        older = line.pop(key, None)
        line[key] = order
        if older is not None:
            self._say(older, Outcome.NOT_SENT, f"superseded by {order.id}")

    def close(self) -> None:
        """Answer what waits and cancel what is under way."""
        self._closing = True
        for line in self._lines.values():
            for order in line.values():
                self._say(order, Outcome.NOT_SENT, "the connection was closed")
            line.clear()
        for nap in self._naps.values():
            nap.cancel()
        for worker in self._workers:
            worker.cancel()

    def end_within(self, seconds: float) -> None:
        """Keep nobody waiting for a turn that comes later than that: it is answered now that it was not sent."""
        self._ends_at = self._clock.monotonic() + seconds
        for due, turn in self._turns.items():
            if due > self._ends_at:
                turn.set()
        for device in list(self._naps):
            self._wake(device)

    async def closed(self) -> None:
        """Wait until the workers have ended."""
        await asyncio.gather(*self._workers, return_exceptions=True)

    def _have_worker(self) -> None:
        """Start a worker when all are busy and the connection may carry more."""
        if self._waiting_workers or len(self._workers) >= AT_ONCE:
            self._waiting_workers = max(0, self._waiting_workers - 1)
            return
        worker = asyncio.get_running_loop().create_task(self._work(), name=f"send-{self.name}")
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        while not self._closing:
            if self._ready.empty():
                self._waiting_workers += 1
            device = await self._ready.get()
            line = self._lines[device]
            while line:
                order = next(iter(line.values()))
                pace, now = self._pace_of(order), self._clock.monotonic()
                wait_s = 0.0 if pace is None else pace.due(now) - now
                may_wait = wait_s < order.deadline - self._clock.now()
                if wait_s and may_wait and self._is_in_time(wait_s):
                    self._nap(device, wait_s)
                    break
                del line[_key(order)]
                await self._send(order, pace, wait_s)
            else:
                del self._lines[device]
                if not self._lines:
                    self.idle.set()

    def _nap(self, device: str, seconds: float) -> None:
        """Look at a device's line again later; a newer order may take the place of the one that waits."""
        loop = asyncio.get_running_loop()
        self._naps[device] = loop.call_later(self._clock.delay(seconds), self._wake, device)

    def _wake(self, device: str) -> None:
        self._naps.pop(device).cancel()
        self._ready.put_nowait(device)
        self._have_worker()

    def _is_in_time(self, wait_s: float) -> bool:
        """Whether a turn comes before the engine ends."""
        return self._clock.monotonic() + wait_s <= self._ends_at

    def _pace_of(self, order: Order) -> Pace | None:
        """Return how often the order's point may be told; to give a request back is never too early."""
        if isinstance(order, CallOut) or (isinstance(order, Request) and order.action != "request"):
            return None
        pace = self._paces.get(order.point)
        if pace is None and (rate := self.rate_of(order.point)) is not None:
            pace = self._paces[order.point] = Pace(rate)
        return pace

    async def _send(self, order: Order, pace: Pace | None, wait_s: float) -> None:
        """Send an order, or answer why not: its point must not be told for so long yet."""
        left = order.deadline - self._clock.now()
        if left <= 0:
            self._say(order, Outcome.NOT_SENT, "its deadline has passed")
            return
        if wait_s:
            self._health.count(f"over_rate.{self.name}")
            self._say(order, Outcome.NOT_SENT, f"it may be told again in {wait_s:.1f} s")
            return
        if not await self._may_leave(order, left):
            return
        left = order.deadline - self._clock.now()
        outcome, detail = Outcome.UNKNOWN, ""
        try:
            async with asyncio.timeout(self._clock.delay(left)):
                outcome = await self._adapter.send(order)
        except TimeoutError:
            detail = "no answer before its deadline"
        except asyncio.CancelledError:
            self._say(order, Outcome.UNKNOWN, "the connection was closed while it was sent")
            raise
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"
            self._health.count(f"faults.{self.name}")
            self._health.remark(
                f"faults.{self.name}.send",
                f"connection {self.name}: sending {order.id} failed: {detail}"
                " (a mistake of its plugin: an adapter answers, it does not raise)",
            )
        finally:
            if (
                pace is not None
            ):  # by now the device has it; how long the way was before does not shorten its rest
                pace.note(self._clock.monotonic())
        self._say(order, outcome, detail)

    async def _may_leave(self, order: Order, left: float) -> bool:
        """Wait for the connection's turn; False, and answered, when that comes after the deadline."""
        if self.bucket is None:
            return True
        wait_s = self.bucket.wait_s(self._clock.monotonic())
        if wait_s and wait_s + SLICE_S >= left:
            self._health.count(f"over_rate.{self.name}")
            self._say(order, Outcome.NOT_SENT, f"the connection {self.name} carries no more now")
            return False
        self.bucket.take(self._clock.monotonic())
        try:
            has_come = not wait_s or await self._turn_comes(wait_s)
        except asyncio.CancelledError:
            self._say(order, Outcome.NOT_SENT, "the connection was closed")
            raise
        if not has_come:
            self._say(order, Outcome.NOT_SENT, "the engine ends before its turn")
        return has_come

    async def _turn_comes(self, wait_s: float) -> bool:
        """Wait for a turn, at the end of a slice; False, at once, when the engine ends before."""
        now = self._clock.monotonic()
        due = math.ceil((now + wait_s) / SLICE_S) * SLICE_S
        if due > self._ends_at:
            return False
        turn = self._turns.get(due)
        if turn is None:
            turn = self._turns[due] = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.call_later(self._clock.delay(due - now), self._call, due)
        await turn.wait()
        return due <= self._ends_at

    def _call(self, due: float) -> None:
        self._turns.pop(due).set()

    def _say(self, order: Order, outcome: Outcome, detail: str) -> None:
        self._health.count(f"sent.{self.name}.{outcome.value}")
        self._answer(CommandResult(order.id, outcome, detail))


def _key(order: Order) -> str:
    """Return what a newer order for the same replaces: a command's point; requests and calls stand alone."""
    return order.point if isinstance(order, Command) else order.id


def _device(order: Order) -> str:
    """Return whose line an order stands in: its entity's, or its service's."""
    return order.name if isinstance(order, CallOut) else order.point.partition(".")[0]


def _log_notice(notice: Notice) -> None:
    # Its text may name people, and a log is kept where the privacy of the history does not reach.
    log.info("notice %s to %s", notice.id, ", ".join(notice.to), extra={"event": "notice"})
