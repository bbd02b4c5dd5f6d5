"""A TCP proxy that does harm between an adapter and its device: slow, deaf, cut, reset, refused, or wrong in a bit.

Stands in the test's own event loop, in front of any TCP server. What it does to the bytes depends on its seed, on the
number of the connection and on the bytes alone, so that a test that failed fails again.

    async with FaultProxy("127.0.0.1", broker_port, seed=7) as proxy:
        connect_the_adapter_to("127.0.0.1", proxy.port)
        proxy.hold()           # a black hole: nothing arrives, nothing is closed
        ...
        await proxy.heal()
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from dataclasses import dataclass
from typing import Final, Literal

READ: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST

Way = Literal["both", "to_server", "to_client"]


@dataclass(frozen=True, slots=True)
class Harm:
    """What is done to the bytes that pass; the default does nothing.

    Attributes:
        latency_s: Each piece is kept so long.
        jitter_s: And up to so much longer.
        bytes_per_s: No more pass in a second.
        piece: So many bytes are passed on at a time (a slow loris has one), 0 for all that came.
        pause_s: Between two pieces.
        flips: Share of bytes with one wrong bit, 0 to 1.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = float("inf")
    piece: int = 0
    pause_s: float = 0.0
    flips: float = 0.0


NO_HARM: Final = Harm()


class FaultProxy:
    """A proxy in front of one server.

    Attributes:
        accepted: Connections so far.
        passed: Bytes that were passed on, both ways.
    """

    def __init__(self, host: str, port: int, *, seed: int = 0, listen_port: int = 0) -> None:
        """Name the server; `start` opens the proxy's own port.

        Args:
            host: Of the server.
            port: Of the server; it need not run.
            seed: Of everything that is random.
            listen_port: The proxy's own port on 127.0.0.1; 0 takes a free one.
        """
        self.accepted = 0
        self.passed = 0
        self._server_at = (host, port)
        self._seed = seed
        self._port = listen_port
        self._listener: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._harm: dict[str, Harm] = {"to_server": NO_HARM, "to_client": NO_HARM}
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._swallows = False
        self._is_silent = False

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    @property
    def port(self) -> int:
        """The port where clients come, on 127.0.0.1."""
        return self._port

    @property
    def open_connections(self) -> int:
        """How many connections are there now."""
        return len(self._pairs)

    async def start(self) -> None:
        """Accept connections."""
        self._listener = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, limit=READ
        )
        self._port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End all connections and accept none any more."""
        await self.refuse()
        self._flowing.set()
        pairs = list(self._pairs)
        for pair in pairs:
            pair.end(reset=False)
        await asyncio.gather(*(pair.ended() for pair in pairs))

    async def __aenter__(self) -> FaultProxy:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # ── harm ─────────────────────────────────────────────────────────────────────────────────

    def harm(self, harm: Harm, way: Way = "both") -> None:
        """Do this to all bytes from now on."""
        for each in ("to_server", "to_client") if way == "both" else (way,):
            self._harm[each] = harm

    def hold(self) -> None:
        """Pass nothing on and close nothing: a black hole. What was sent arrives late, after `heal`.

        Unless its sender has reset the connection meanwhile: then it is gone, as it is from a real sender's buffer.
        """
        self._flowing.clear()

    def swallow(self) -> None:
        """Take everything and pass nothing on: a peer that is half open. What was sent is gone, also after `heal`."""
        self._swallows = True

    def silent(self) -> None:
        """Accept new connections, and never answer them; those that are open go on."""
        self._is_silent = True

    async def refuse(self) -> None:
        """Refuse new connections; those that are open go on."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
            await asyncio.sleep(0)

    def cut(self, after_bytes: int = 0, *, reset: bool = False) -> None:
        """End each open connection when so many more bytes have passed through it, in the middle of a packet if need be.

        Args:
            after_bytes: 0 ends them now.
            reset: With RST instead of FIN.
        """
        for pair in list(self._pairs):
            if after_bytes:
                pair.cut_after(after_bytes, reset=reset)
            else:
                pair.end(reset=reset)

    async def heal(self) -> None:
        """Do no harm any more. Connections that were accepted and never answered are closed."""
        self.harm(NO_HARM)
        self._swallows = self._is_silent = False
        for pair in list(self._pairs):
            if pair.is_silent:
                pair.end(reset=False)
            else:
                pair.cut_after(None, reset=False)
        self._flowing.set()
        if self._listener is None:
            await self.start()

    # ── connections ──────────────────────────────────────────────────────────────────────────

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        pair = _Pair(writer, self.accepted, is_silent=self._is_silent)
        self._pairs.add(pair)
        try:
            if pair.is_silent:
                await pair.over.wait()
                return
            try:
                server = await asyncio.open_connection(*self._server_at, limit=READ)
            except OSError:
                pair.end(reset=True)
                return
            pair.server = server[1]
            await self._pass_both(pair, reader, server[0])
        finally:
            pair.end(reset=False)
            self._pairs.discard(pair)
            await pair.closed()

    async def _pass_both(
        self, pair: _Pair, client: asyncio.StreamReader, server: asyncio.StreamReader
    ) -> None:
        assert pair.server is not None
        tasks = [
            asyncio.create_task(self._pass(pair, client, pair.server, "to_server")),
            asyncio.create_task(self._pass(pair, server, pair.client, "to_client")),
            asyncio.create_task(pair.over.wait()),
        ]
        _, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass(
        self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str
    ) -> None:
        """Pass one direction on until an end closes."""
        bits, times = (random.Random(f"{self._seed} {pair.number} {way} {x}") for x in "bt")
        with contextlib.suppress(OSError):
            while True:
                await self._flowing.wait()
                data = await reader.read(self._harm[way].piece or READ)
                await self._flowing.wait()
                if reader.exception() is not None:  # the sender reset it: what waited is gone
                    pair.end(reset=True)
                    return
                if not data:
                    return
                if not self._swallows:
                    await self._harmed(pair, data, writer, self._harm[way], bits, times)

    async def _harmed(
        self,
        pair: _Pair,
        data: bytes,
        writer: asyncio.StreamWriter,
        harm: Harm,
        bits: random.Random,
        times: random.Random,
    ) -> None:
        wait = harm.latency_s + times.random() * harm.jitter_s + harm.pause_s
        wait += len(data) / harm.bytes_per_s
        if wait > 0:
            await asyncio.sleep(wait)
        if harm.flips:
            data = _flipped(data, harm.flips, bits)
        data, is_last = pair.until_cut(data)
        writer.write(data)
        self.passed += len(data)
        await writer.drain()
        if is_last:
            pair.end(reset=pair.cut_resets)


class _Pair:
    """One connection of a client, and ours to the server for it."""

    def __init__(self, client: asyncio.StreamWriter, number: int, *, is_silent: bool) -> None:
        self.client = client
        self.server: asyncio.StreamWriter | None = None
        self.number = number
        self.is_silent = is_silent
        self.over = asyncio.Event()
        self.cut_resets = False
        self._left: int | None = None
        self._gone = asyncio.Event()

    def cut_after(self, left: int | None, *, reset: bool) -> None:
        self._left, self.cut_resets = left, reset

    def until_cut(self, data: bytes) -> tuple[bytes, bool]:
        """Return what of the data still passes, and whether the connection ends after it."""
        if self._left is None:
            return data, False
        passes = data[: self._left]
        self._left -= len(passes)
        return passes, self._left == 0

    def end(self, *, reset: bool) -> None:
        for writer in (self.client, self.server):
            if writer is None or self.over.is_set():
                continue
            if reset:
                sock = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            else:
                writer.close()
        self.over.set()

    async def closed(self) -> None:
        for writer in (self.client, self.server):
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        self._gone.set()

    async def ended(self) -> None:
        await self._gone.wait()


def _flipped(data: bytes, share: float, rng: random.Random) -> bytes:
    """Return the bytes with one bit wrong in a share of them."""
    spoiled = bytearray(data)
    for at in range(len(spoiled)):
        if rng.random() < share:
            spoiled[at] ^= 1 << rng.randrange(8)
    return bytes(spoiled)
