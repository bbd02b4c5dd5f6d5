"""One HTTP connection: webhooks come in, servers are asked in turn, and orders are requests with three outcomes."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pilotage.adapter import ConnectionSettings, Door, Site, has_room
from pilotage.adapter.payload_binding import payload_of, values_of
from pilotage.adapter.payload_intake import PayloadReader
from pilotage.adapter.payloads import Garbage, decode_json, text_of
from pilotage.model.diagnostics import RuleError
from pilotage.model.messages import CallOut, Command, Outcome, Request
from pilotage.model.quality import Quality
from pilotage_http.binding import Plan, Poll, Target, bind
from pilotage_http.client import Answer, HttpClient, NotKnown, NotSent
from pilotage_http.listener import WebhookServer

JITTER: Final = 0.05
LONGEST_PAUSE_S: Final = 60.0
RETRY_S: Final = 0.1
SET: Final = frozenset({"PUT", "GET", "DELETE"})
"""Methods that say the same when they are said twice (RFC 9110, 9.2.2); a POST or PATCH may do it twice."""

NOT_DONE: Final = frozenset(
    {*range(300, 400), 400, 401, 402, 403, 404, 405, 406, 409, 410, 411, 412, 413, 414, 415, 421, 422, 425, 426, 428, 429, 431, 451, 501, 505}
)  # fmt: skip
"""Statuses of a server that says that it has not done it (RFC 9110, 15); redirects are not followed."""

Clock = Callable[[], float]
"""Returns the city's time now, in seconds since 1970."""


class ConnectionLost(ConnectionError):
    """We cannot listen, or no server answers; the text says which."""


def open_connection(settings: ConnectionSettings, site: Site, door: Door) -> HttpConnection:
    """Return the connection that these settings describe; it does nothing yet.

    A site that has a method `now` gives the city's time (a demonstration runs faster than the clock on the wall).

    Raises:
        RuleError: The settings have errors.
    """
    plan, findings = bind(settings, site)
    if any(finding.is_error for finding in findings):
        raise RuleError(findings)
    clock: Clock = getattr(site, "now", time.time)
    return HttpConnection(plan, door, settings.name, clock)


@dataclass(slots=True)
class _Turn:
    """A poll, when it is due, and what was answered last."""

    poll: Poll
    now: asyncio.Event
    etag: str = ""
    body: bytes = b""
    failures: int = 0


class HttpConnection:
    """An adapter: `run` listens and asks until it is cancelled, `send` makes requests meanwhile."""

    def __init__(self, plan: Plan, door: Door, name: str, now: Clock = time.time) -> None:
        self.reader = PayloadReader(door, name, plan.known)
        self._plan = plan
        self._door = door
        self._name = name
        self._now = now
        self._clients: dict[str, HttpClient] = {}
        self._turns: dict[str, list[_Turn]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._newest: dict[str, str] = {}
        self._asked: list[_Turn] = []
        self._is_up = False
        self._down: Any = None

    def targets(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the points that can be ordered, and the calls that are served."""
        return sorted({*self._plan.writes, *self._plan.requests}), sorted(self._plan.calls)

    async def run(self) -> None:
        """Listen and ask until cancelled.

        Raises:
            ConnectionLost: It cannot listen, or nothing that is polled answers and nobody may call; its text says why.
        """
        plan = self._plan
        listening = None
        if plan.listener is not None:
            listening = WebhookServer(
                plan.listener, plan.hooks, self.reader, self._door, self._name, time.time
            )
        try:
            if listening is not None:
                await self._listen(listening)
            self._clients = {name: HttpClient(server) for name, server in plan.servers.items()}
            await self._work()
        finally:
            if listening is not None:
                await listening.stop()
            clients, self._clients = self._clients, {}
            for client in clients.values():
                await client.close()

    async def _listen(self, listening: WebhookServer) -> None:
        assert self._plan.listener is not None
        where = f"{self._plan.listener.host}:{self._plan.listener.port}"
        try:
            await listening.start()
        except (OSError, ssl.SSLError) as error:
            raise ConnectionLost(f"cannot listen on {where}: {error}") from error

    async def _work(self) -> None:
        turns = [_Turn(poll, asyncio.Event()) for poll in self._plan.polls.values()]
        self._down = asyncio.get_running_loop().create_future()
        self._is_up = False
        self._turns = {}
        for turn in turns:
            for point in turn.poll.points:
                self._turns.setdefault(point.id, []).append(turn)
        self._asked = turns
        if self._plan.listener is not None or not turns:
            self._announce()  # somebody else may speak first
        # Not all at the same moment; the first ones at once.
        tasks: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._ask_again_and_again(turn, number * 0.01))
            for number, turn in enumerate(turns)
        ]
        try:
            await asyncio.wait([*tasks, self._down], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            raise ConnectionLost(self._down.result())
        except ConnectionLost as error:
            if self._is_up:
                self._door.lost(self._plan.points, str(error))
            raise
        finally:
            self._down.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _announce(self) -> None:
        self._is_up = True
        self._door.connected(self._detail())

    def _detail(self) -> str:
        plan, parts = self._plan, []
        if plan.listener is not None:
            tls = " with TLS" if plan.listener.certificate else ""
            parts.append(f"{plan.listener.host}:{plan.listener.port}{tls}, {len(plan.hooks)} hooks")
        if plan.servers:
            parts.append(f"{len(plan.servers)} servers, {len(plan.polls)} polls")
        return "; ".join(parts)

    # ── asking ───────────────────────────────────────────────────────────────────────────────

    async def _ask_again_and_again(self, turn: _Turn, wait_s: float) -> None:
        wait_s = min(wait_s, turn.poll.every_s)
        while True:
            turn.now.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await turn.now.wait()
            except TimeoutError:
                pass
            if has_room(self._door):
                await self._ask(turn)
            pause = turn.poll.every_s * 2 ** min(turn.failures, 10)
            pause = min(pause, max(LONGEST_PAUSE_S, turn.poll.every_s))
            wait_s = pause * (1 + JITTER * (2 * random.random() - 1))

    async def _ask(self, turn: _Turn) -> None:
        poll = turn.poll
        headers = {"If-None-Match": turn.etag} if turn.etag else None
        try:
            answer = await self._clients[poll.server].ask("GET", poll.path, headers=headers)
        except (NotSent, NotKnown) as error:
            self._failed(turn, str(error))
            return
        if answer.status == 304 and turn.etag:
            self._answered(turn)
            self._hand_in(turn, turn.body)  # it is still so
        elif answer.status == 200:
            turn.etag, turn.body = (answer.etag, answer.body) if answer.etag else ("", b"")
            self._answered(turn)
            self._hand_in(turn, answer.body)
        else:
            self._failed(turn, f"status {answer.status}")

    def _hand_in(self, turn: _Turn, body: bytes) -> None:
        for source in turn.poll.sources:
            try:
                document = source.form.decode(body) if source.is_json else None
                self.reader.read(source, document, body)
            except Garbage as error:
                self._spoil(turn, str(error))
            except Exception as error:  # an answer must never end the connection
                self._spoil(turn, f"{type(error).__name__}: {error}")

    def _spoil(self, turn: _Turn, why: str) -> None:
        turn.etag = ""
        self._door.refused(f"{self._name}: {turn.poll.path}", why)
        for point in turn.poll.points:
            self._door.report(point, None, quality=Quality.BAD)

    def _failed(self, turn: _Turn, why: str) -> None:
        """Lose the points of a poll; when nothing answers and nobody can speak to us, the connection is lost."""
        turn.failures += 1
        turn.etag = ""
        if turn.failures == 1 and self._is_up:
            self._door.lost(turn.poll.points, f"{turn.poll.server} {turn.poll.path}: {why}")
        silent = all(other.failures for other in self._asked)
        if silent and self._plan.listener is None and not self._down.done():
            self._down.set_result(f"{turn.poll.server}: {why}")

    def _answered(self, turn: _Turn) -> None:
        failures, turn.failures = turn.failures, 0
        if not self._is_up:
            self._announce()
        elif failures:
            # The engine tells the wanted values again when a connection says that it is up.
            self._door.connected(f"{turn.poll.server} {turn.poll.path} answers again")
        else:
            return
        for other in self._asked:
            if other.failures:
                where = f"{other.poll.server} {other.poll.path}"
                self._door.lost(other.poll.points, f"{where} does not answer")

    # ── orders ───────────────────────────────────────────────────────────────────────────────

    async def send(self, order: Command | Request | CallOut) -> Outcome:
        """Send an order now or not at all, and return what is known of it.

        Orders for one point go one after the other; of those that wait, only the newest is sent.
        """
        target, name = self._target(order)
        if target is None or not self._clients or self._now() >= order.deadline:
            return Outcome.NOT_SENT
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._newest[name] = order.id
        async with lock:
            if isinstance(order, Command) and self._newest[name] != order.id:
                return Outcome.NOT_SENT
            try:
                path, body = self._written(order, target)
            except Garbage as error:
                self._door.refused(f"{self._name}: order for {name}", str(error))
                return Outcome.NOT_SENT
            outcome = await self._request(order, target, name, path, body)
        for turn in self._turns.get(name, ()):
            turn.now.set()  # read back
        return outcome

    def _target(self, order: Command | Request | CallOut) -> tuple[Target | None, str]:
        match order:
            case Command():
                return self._plan.writes.get(order.point), order.point
            case Request():
                return self._plan.requests.get(order.point), order.point
            case _:
                return self._plan.calls.get(order.name), order.name

    def _written(self, order: Command | Request | CallOut, target: Target) -> tuple[str, bytes]:
        values = values_of(order, target.outlet, target.attributes)
        return target.path(values).decode(), payload_of(order, target.outlet, values)

    async def _request(
        self, order: Command | Request | CallOut, target: Target, name: str, path: str, body: bytes
    ) -> Outcome:
        may_repeat = isinstance(order, Command) and target.method in SET
        tries = 1 + (self._plan.servers[target.server].retries if may_repeat else 0)
        outcome = Outcome.NOT_SENT
        for number in range(tries):
            left_s = order.deadline - self._now()
            client = self._clients.get(target.server)
            if client is None or left_s <= 0:
                return outcome
            if number:
                await asyncio.sleep(min(RETRY_S, left_s))
            headers = {"Content-Type": target.content_type, "Idempotency-Key": order.id}
            try:
                answer = await client.ask(target.method, path, body, headers, left_s)
            except NotSent as error:
                self._say(name, str(error))
                continue
            except NotKnown as error:
                self._say(name, str(error))
                outcome = Outcome.UNKNOWN
                continue
            return self._judged(order, target, name, answer)
        return outcome

    def _judged(
        self, order: Command | Request | CallOut, target: Target, name: str, answer: Answer
    ) -> Outcome:
        if 200 <= answer.status < 300:
            if isinstance(order, CallOut):
                self._tell_result(order, target, answer)
            return Outcome.ACKNOWLEDGED
        self._say(name, f"status {answer.status}")
        return Outcome.NOT_SENT if answer.status in NOT_DONE else Outcome.UNKNOWN

    def _tell_result(self, order: CallOut, target: Target, answer: Answer) -> None:
        """Hand in what a service says of a call; without a bound status, that it was taken."""
        status, detail = "accepted", ""
        if target.status is not None:
            try:
                document = decode_json(answer.body)
                status = text_of(target.status(document))
                if target.convert is not None:
                    status = str(target.convert(status))
            except Garbage as error:
                self._say(order.name, str(error))
                return
            if target.detail is not None:
                try:
                    detail = text_of(target.detail(document))
                except Garbage:
                    detail = ""  # most services say why only when they refuse
        self._door.call_result(order.id, status, detail)

    def _say(self, name: str, why: str) -> None:
        self._door.refused(f"{self._name}: order for {name}", why)
