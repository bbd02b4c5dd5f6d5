"""The engine's end of one child: asks it, hears it, watches over it, and ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from pilotage.model.messages import CallOut, Command, Outcome, Request
from pilotage.runtime.isolation import wire
from pilotage.runtime.isolation.intake import Intake
from pilotage.runtime.isolation.keeper_link import START_S, Died, KeeperLink
from pilotage.runtime.isolation.limits import resident

LOOK_S: Final = 0.25
HANG_S: Final = 1.5
"""A child that was not heard for so long hangs; it beats every half second."""
HANG_LOOKS: Final = 4  # so often the engine itself must have looked meanwhile
STOP_S: Final = 2.0
LAST_WORDS_S: Final = 0.1
"""How long a process that is ended may write where its threads stand."""
MOST_UNSENT: Final = 1 << 20

Order = Command | Request | CallOut


class ChildLink(asyncio.Protocol):
    """The engine's end of a child's socket, and the watch over it."""

    def __init__(self, intake: Intake, now: Callable[[], wire.Time], memory: int) -> None:
        self.pid = 0
        self.modules: list[str] = []
        self._intake = intake
        self._now = now
        self._memory = memory
        self._keeper: KeeperLink | None = None
        self._pidfd = -1
        self._decoder = wire.Decoder(wire.FromChild, wire.FROM_CHILD)
        self._transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        self._gone: asyncio.Future[str] = loop.create_future()
        self._bound: asyncio.Future[tuple[Sequence[str], Sequence[str]]] = loop.create_future()
        self._ended: asyncio.Future[wire.Ended] = loop.create_future()
        self._under_way: dict[int, asyncio.Future[wire.Sent]] = {}
        self._points: list[str] = []
        self._calls: list[str] = []
        self._number = 0
        self._heard_at = time.monotonic()
        self._looks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_running = False
        self._why = ""
        self._unsent = bytearray()

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    async def start(self, keeper: KeeperLink) -> None:
        """Have the keeper fork a child, and connect to it."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        self._keeper = keeper
        try:
            with theirs:
                self.pid = await keeper.fork(theirs)
        except BaseException:
            ours.close()
            raise
        with contextlib.suppress(OSError):  # it may be gone already
            self._pidfd = os.pidfd_open(self.pid)
        ours.setblocking(False)
        await loop.create_connection(lambda: self, sock=ours)
        self._timer = loop.call_later(LOOK_S, self._look)

    async def bound(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return what the adapter can command, once it is opened."""
        await self._first(self._bound, START_S, "did not open its adapter")
        return self._bound.result()

    async def run(self) -> wire.Ended:
        """Have the adapter run, and return what ended it."""
        self._ended = asyncio.get_running_loop().create_future()
        self._is_running = True
        self._say(wire.Run())
        await self._first(self._ended, None, "")
        return self._ended.result()

    async def send(self, order: Order) -> Outcome:
        """Have an order sent, and return what is known of it."""
        transport = self._transport
        if not self._is_running or transport is None or self._gone.done():
            return Outcome.NOT_SENT
        if transport.get_write_buffer_size() > MOST_UNSENT:
            return Outcome.NOT_SENT
        self._number += 1
        number = self._number
        self._write(wire.encode(_sending(number, order)))
        answer = self._under_way[number] = asyncio.get_running_loop().create_future()
        try:
            sent = await answer
        finally:
            self._under_way.pop(number, None)
        if sent.error:
            raise RuntimeError(sent.error)
        return Outcome(sent.outcome)

    async def stop(self) -> None:
        """Have the adapter cancelled, and end the process."""
        self._say(wire.Stop())
        try:
            await asyncio.wait([self._gone], timeout=STOP_S)
        finally:
            await self.end()

    async def end(self) -> None:
        """Kill the process, with all in its group, and wait until it is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._lose("was stopped")
        self._signal(signal.SIGKILL)
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if self._transport is not None:
            self._transport.abort()
        self._intake.close()
        if self._keeper is not None and self.pid > 0:  # 0 would be our own group
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
            try:
                await self._keeper.exit_of(self.pid)
            finally:
                self._keeper.forget(self.pid)

    async def _first(
        self, wanted: asyncio.Future[Any], within_s: float | None, silent: str
    ) -> None:
        """Wait for what is wanted, unless the process goes first.

        Raises:
            Died: It did, or took too long.
        """
        await asyncio.wait(
            [wanted, self._gone], timeout=within_s, return_when=asyncio.FIRST_COMPLETED
        )
        if wanted.done():
            return
        if not self._gone.done():
            raise Died(f"{silent} within {within_s:g} s")
        why = self._gone.result()
        if not why and self._keeper is not None:
            why = await self._keeper.exit_of(self.pid)
        raise Died(why or "closed its socket to the engine")

    # ── the socket ───────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        self._transport = cast(asyncio.Transport, transport)
        self._intake.start(self._transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Note that it is gone."""
        self._lose(self._why)

    def data_received(self, data: bytes) -> None:
        """Hear what it says, and end it when that makes no sense."""
        self._heard_at, self._looks = time.monotonic(), 0
        if self._gone.done():
            return
        self._intake.charge(len(data))
        try:
            for message in self._decoder.feed(data):
                self._take(message)
        except wire.GarbledError as error:
            self._end_for(f"sent {error}")

    def _take(self, message: Any) -> None:
        match message:
            case wire.Sent():
                self._answer(message)
            case wire.Beat():
                pass
            case wire.Bound():
                self._bind(message)
            case wire.Failed():
                self._lose(message.why)
            case wire.Ended():
                self._intake.take(lambda: self._end_run(message))
            case _:
                self._intake.take(message)

    def _answer(self, sent: wire.Sent) -> None:
        if sent.outcome not in _OUTCOMES:
            raise wire.GarbledError(f'the outcome "{sent.outcome[:40]}", which is none')
        waiting = self._under_way.get(sent.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(sent)

    def _bind(self, bound: wire.Bound) -> None:
        self._points += bound.points
        self._calls += bound.calls
        self.modules += bound.modules
        if not bound.more and not self._bound.done():
            self._intake.expect(len(self._points))
            self._bound.set_result((self._points, self._calls))

    def _end_run(self, ended: wire.Ended) -> None:
        self._is_running = False
        if not self._ended.done():
            self._ended.set_result(ended)

    def _say(self, message: wire.Message) -> None:
        if self._transport is not None and not self._gone.done():
            self._write(wire.encode(message))

    def _write(self, data: bytes) -> None:
        """Send with whatever else is sent in this turn of the loop."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += data

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, bytearray()
        if self._transport is not None and not self._gone.done():
            self._transport.write(unsent)

    # ── the watch ────────────────────────────────────────────────────────────────────────────

    def _look(self) -> None:
        if self._gone.done():
            return
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        self._say(self._now())
        if self._intake.is_paused:  # it is us who do not listen
            self._heard_at, self._looks = time.monotonic(), 0
        self._looks += 1
        silent_s = time.monotonic() - self._heard_at
        if self._bound.done() and silent_s > HANG_S and self._looks >= HANG_LOOKS:
            self._end_for(f"hung: it was not heard for {silent_s:.1f} s", last_words=True)
            return
        memory = resident(self.pid)
        if memory > self._memory:
            self._end_for(
                f"used {memory / 1e6:.0f} MB of memory, more than its {self._memory / 1e6:.0f} MB"
            )

    def _end_for(self, why: str, *, last_words: bool = False) -> None:
        """Kill the process for a reason, after a moment in which it writes where its threads stand."""
        self._why = f"{why}; it was ended"
        if last_words:
            self._signal(signal.SIGABRT)
            asyncio.get_running_loop().call_later(LAST_WORDS_S, self._lose, self._why)
            return
        self._signal(signal.SIGKILL)
        self._lose(self._why)

    def _signal(self, number: signal.Signals) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _lose(self, why: str) -> None:
        """Note once that it is gone; of what was under way nobody knows whether it was carried out."""
        self._is_running = False
        if not self._gone.done():
            self._gone.set_result(why)
        for number, waiting in self._under_way.items():
            if not waiting.done():
                waiting.set_result(wire.Sent(number, Outcome.UNKNOWN.value, ""))


_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)


def _sending(number: int, order: Order) -> wire.Message:
    match order:
        case Command():
            return wire.SendCommand(number, order)
        case Request():
            return wire.SendRequest(number, order)
        case _:
            return wire.SendCall(number, order)
