"""The process that runs one isolated adapter: what the engine asks goes to it, what it tells goes to the engine."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import random
import socket
import sys
from typing import Any, Final, cast

from pilotage.adapter import Adapter, AdapterFactory, ConnectionSettings
from pilotage.model.messages import CallOut, Command, Outcome, Request
from pilotage.model.values import Base, Position
from pilotage.runtime.isolation import wire
from pilotage.runtime.isolation.city import RemoteSite
from pilotage.runtime.isolation.door import RemoteDoor
from pilotage.runtime.isolation.limits import die_with_parent

BEAT_S: Final = 0.5
WAITING_BYTES: Final = 16_384
"""What may wait between here and the engine: enough to fill it, and little, so that an answer is not behind a flood."""
STOP_S: Final = 1.5
_USED_UP: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

log = logging.getLogger("pilotage.isolation.child")


def live(
    sock: socket.socket, factory: AdapterFactory, settings: ConnectionSettings, site: RemoteSite
) -> None:
    """Run an adapter for the engine at the other end of a socket; does not return."""
    die_with_parent()
    with contextlib.suppress(OSError):  # a keeper that is the child itself has its own already
        os.setpgid(0, 0)
    random.seed()
    status = 1
    try:
        asyncio.run(_serve(sock, factory, settings, site))
        status = 0
    except BaseException as error:
        if not isinstance(error, SystemExit):
            log.exception(
                "the process of connection %s fails",
                settings.name,
                extra={"event": "plugin.failed"},
            )
        code = error.code if isinstance(error, SystemExit) else 1
        status = code if isinstance(code, int) else 1
    finally:
        # Threads that a plugin left behind must not keep the process; nothing here is worth an orderly end.
        os._exit(status & 0xFF)


async def _serve(
    sock: socket.socket, factory: AdapterFactory, settings: ConnectionSettings, site: RemoteSite
) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WAITING_BYTES)
    loop = asyncio.get_running_loop()
    link = Link(site)
    await loop.create_connection(lambda: link, sock=sock)
    link.bind(factory, settings)
    await link.ended.wait()


class Link(asyncio.Protocol):
    """The child's end of the socket."""

    def __init__(self, site: RemoteSite) -> None:
        self.ended = asyncio.Event()
        self._site = site
        self._door = RemoteDoor(self._write)
        self._decoder = wire.Decoder(wire.ToChild, wire.FROM_ENGINE)
        self._transport: asyncio.Transport | None = None
        self._adapter: Adapter | None = None
        self._run: asyncio.Task[None] | None = None
        self._sends: set[asyncio.Task[None]] = set()
        self._unsent = bytearray()

    # ── the socket ───────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to beat."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WAITING_BYTES)
        self._beat()

    def connection_lost(self, error: Exception | None) -> None:
        """End: without the engine there is nothing to do."""
        os._exit(0)

    def pause_writing(self) -> None:
        """Keep what is told until the engine has taken what was sent."""
        self._door.close()

    def resume_writing(self) -> None:
        """Send on."""
        self._door.open()

    def data_received(self, data: bytes) -> None:
        """Do what the engine asks."""
        for message in self._decoder.feed(data):
            self._take(message)

    def _write(self, data: bytes | bytearray) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _say(self, message: wire.Message) -> None:
        """Send with whatever else is said in this turn of the loop."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += wire.encode(message)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, bytearray()
        self._write(unsent)

    def _beat(self) -> None:
        self._say(wire.Beat(len(self._door)))
        asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    # ── the adapter ──────────────────────────────────────────────────────────────────────────

    def bind(self, factory: AdapterFactory, settings: ConnectionSettings) -> None:
        """Open the adapter, and tell the engine what it can be sent, or that it cannot be opened."""
        before = set(sys.modules)
        try:
            self._adapter = factory.open(settings, self._site, self._door)
            points, calls = map(list, self._adapter.targets())
            bound = _bound(points, calls, sorted(set(sys.modules) - before))
        except Exception as error:
            log.error(
                "connection %s: its adapter cannot be opened",
                settings.name,
                exc_info=error,
                extra={"event": "plugin.failed"},
            )
            self._say(wire.Failed(f"could not open its adapter: {_words(error)}"))
            return
        for message in bound:
            self._say(message)

    def _take(self, message: Any) -> None:
        match message:
            case wire.SendCommand() | wire.SendRequest() | wire.SendCall():
                sending = asyncio.get_running_loop().create_task(
                    self._send(message.number, message.order)
                )
                self._sends.add(sending)
                sending.add_done_callback(self._sends.discard)
            case wire.Time():
                self._site.set_time(message)
            case wire.Run():
                self._run = asyncio.get_running_loop().create_task(self._run_once(), name="run")
            case wire.Stop():
                self._run = asyncio.get_running_loop().create_task(self._stop(self._run))

    async def _run_once(self) -> None:
        assert self._adapter is not None
        try:
            await self._adapter.run()
            ended: wire.Ended | wire.Failed = wire.Ended("the adapter ended by itself", False)
        except Exception as error:
            ended = self._how(error)
        self._door.flush()
        self._say(ended)

    def _how(self, error: Exception) -> wire.Ended | wire.Failed:
        """Return what the end of an adapter means: a lost link, a mistake, or that this process is used up."""
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in _USED_UP:
            return wire.Failed(f"ran out of memory or files: {_words(error)}")
        if isinstance(error, (OSError, TimeoutError)):
            return wire.Ended(str(error)[:1000] or type(error).__name__, False)
        log.error("the adapter failed", exc_info=error, extra={"event": "plugin.failed"})
        return wire.Ended(_words(error), True)

    async def _send(self, number: int, order: Command | Request | CallOut) -> None:
        assert self._adapter is not None
        left = order.deadline - self._site.now()
        if left <= 0:
            self._say(wire.Sent(number, Outcome.NOT_SENT.value, ""))
            return
        outcome, error_text = Outcome.UNKNOWN, ""
        try:
            async with asyncio.timeout(left):
                outcome = Outcome(await self._adapter.send(self._as_model(order)))
        except TimeoutError:
            pass
        except Exception as error:
            error_text = _words(error)
        self._say(wire.Sent(number, outcome.value, error_text))

    def _as_model(self, order: Command | Request | CallOut) -> Command | Request | CallOut:
        """Return an order with a position as a position: in bytes it is two numbers."""
        if isinstance(order, Command) and isinstance(order.value, list):
            point = self._site.point(order.point)
            if point is not None and point.spec.type.base is Base.POSITION:
                return order._replace(value=Position(*order.value))
        return order

    async def _stop(self, run: asyncio.Task[None] | None) -> None:
        if run is not None:
            run.cancel()
            await asyncio.wait([run], timeout=STOP_S)
        self.ended.set()


def _bound(points: list[str], calls: list[str], modules: list[str]) -> list[wire.Bound]:
    """Return what can be ordered, in messages of a bounded size."""
    starts = range(0, max(1, len(points)), wire.IDS)
    return [
        wire.Bound(
            points[start : start + wire.IDS],
            calls if start == 0 else [],
            start + wire.IDS < len(points),
            modules if start == 0 else [],
        )
        for start in starts
    ]


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:1000] if str(error) else type(error).__name__
