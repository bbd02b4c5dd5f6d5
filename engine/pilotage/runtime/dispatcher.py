"""Brings what a decision sends to the adapter that owns the target, and what became of it back to the inbox.

It is called with decisions that are on disk. Each device has at most one order under way; of the commands for a point
that still wait, the newest wins; nothing is sent after its deadline, and nothing is kept for later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container
from typing import Final

from pilotage.adapter import Adapter
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

log = logging.getLogger("pilotage.dispatcher")

Order = Command | Request | CallOut
Answer = Callable[[CommandResult], None]
Sink = Callable[[Notice], None]


class Dispatcher:
    """Routes orders to connections and notices to sinks; used from the event loop only."""

    def __init__(self, answer: Answer, clock: Clock, health: HealthLog) -> None:
        """Start without any connection.

        Args:
            answer: Gets one result for each command, request and call.
            clock: Tells whether a deadline has passed.
            health: Where unroutable orders and failing plugins are told.
        """
        self._answer = answer
        self._clock = clock
        self._health = health
        self._links: dict[str, _Link] = {}
        self._points: dict[str, _Link] = {}
        self._calls: dict[str, _Link] = {}
        self._sinks: list[Sink] = [_log_notice]

    def connect(self, name: str, adapter: Adapter) -> None:
        """Route to an adapter whatever it says it can command."""
        self.disconnect(name)
        link = _Link(name, adapter, self._answer, self._clock, self._health)
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
        """Wait until nothing is under way; False when that takes longer."""
        try:
            async with asyncio.timeout(timeout_s):
                for link in list(self._links.values()):
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
                log.exception("notice %s could not be given to %r", notice.id, sink)


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
        self.idle = asyncio.Event()
        self.idle.set()

    def submit(self, order: Order) -> None:
        """Put an order into its device's line; a command replaces an older one for its point."""
        device = _device(order)
        line = self._lines.get(device)
        if line is None:
            line = self._lines[device] = {}
            self.idle.clear()
            self._ready.put_nowait(device)
            self._have_worker()
        key = order.point if isinstance(order, Command) else order.id
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
        for worker in self._workers:
            worker.cancel()

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
                await self._send(line.pop(next(iter(line))))
            del self._lines[device]
            if not self._lines:
                self.idle.set()

    async def _send(self, order: Order) -> None:
        left = order.deadline - self._clock.now()
        if left <= 0:
            self._say(order, Outcome.NOT_SENT, "its deadline has passed")
            return
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
        self._say(order, outcome, detail)

    def _say(self, order: Order, outcome: Outcome, detail: str) -> None:
        self._health.count(f"sent.{self.name}.{outcome.value}")
        self._answer(CommandResult(order.id, outcome, detail))


def _device(order: Order) -> str:
    """Return whose line an order stands in: its entity's, or its service's."""
    return order.name if isinstance(order, CallOut) else order.point.partition(".")[0]


def _log_notice(notice: Notice) -> None:
    log.info("notice %s to %s: %s", notice.id, ", ".join(notice.to), notice.text)
