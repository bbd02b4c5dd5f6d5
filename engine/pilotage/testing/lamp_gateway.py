"""A fake gateway for street lamps, as a process: `python -m pilotage.testing.lamp_gateway PORT [LAMP …]`.

It speaks a small protocol of text lines over TCP, so that a tutorial has a device and a vendor an example:

    gateway → STATE lamp-1 30 ok        when a client comes, and at each change; `fault` when the lamp is broken
    gateway → ALIVE                     each half second
    client  → SET lamp-1 55
    gateway → DONE lamp-1               or REFUSED lamp-1 WHY
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from pilotage.testing.peers import LinePeer, free_port, obey_lines

ALIVE_S: Final = 0.5
GARBAGE: Final = (
    b"\xff\xfe\x00\n",
    b"STATE\n",
    b"STATE lamp-1 bright ok\n",
    b"STATE nobody 3 ok\n",
    b"\n",
)


class LampGateway:
    """The lamps behind one gateway, and the clients that listen."""

    def __init__(self, lamps: Sequence[str]) -> None:
        self.levels = dict.fromkeys(lamps, 0.0)
        self.broken: set[str] = set()
        self._clients: set[asyncio.StreamWriter] = set()

    async def serve(self, port: int) -> asyncio.Server:
        """Listen on a port of this machine."""
        return await asyncio.start_server(self._client, "127.0.0.1", port)

    async def alive(self) -> None:
        """Tell everybody from time to time that the gateway is there; never returns."""
        while True:
            await asyncio.sleep(ALIVE_S)
            self.say(b"ALIVE\n")

    def say(self, line: bytes) -> None:
        """Send a line to every client."""
        for client in self._clients:
            client.write(line)

    def set(self, lamp: str, level: float, *, broken: bool = False) -> None:
        """Give a lamp a level, and tell everybody."""
        self.levels[lamp] = level
        (self.broken.add if broken else self.broken.discard)(lamp)
        self.say(self._state(lamp))

    async def obey(self, what: str, point: str, value: Any) -> Any:
        """Do what a test says (`pilotage.testing.peers`)."""
        lamp = point.partition(".")[0]
        match what:
            case "held":
                return self.levels[lamp]
            case "tell":
                self.set(lamp, value)
            case "flood":
                for each in value:
                    self.set(lamp, each)
            case "distrust":
                self.set(lamp, self.levels[lamp], broken=True)
            case "garbage":
                for line in GARBAGE:
                    self.say(line)
        return None

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        for lamp in self.levels:
            writer.write(self._state(lamp))
        try:
            with suppress(ConnectionError, ValueError):
                while line := await reader.readline():
                    writer.write(self._answer(line))
        finally:
            self._clients.discard(writer)
            writer.close()

    def _answer(self, line: bytes) -> bytes:
        words = line.decode("utf-8", "replace").split()
        lamp = words[1] if len(words) > 1 else "-"
        if len(words) != 3 or words[0] != "SET" or lamp not in self.levels:
            return f"REFUSED {lamp} what is that\n".encode()
        try:
            level = float(words[2])
        except ValueError:
            return f"REFUSED {lamp} no number\n".encode()
        self.set(lamp, level)
        return f"DONE {lamp}\n".encode()

    def _state(self, lamp: str) -> bytes:
        health = "fault" if lamp in self.broken else "ok"
        return f"STATE {lamp} {self.levels[lamp]:g} {health}\n".encode()


class FakeLampGateway(LinePeer):
    """The gateway as a process that a test may kill (`pilotage.testing.peers.Peer`).

    Attributes:
        port: Where it listens, also after it was killed and started again.
    """

    def __init__(self, lamps: Sequence[str] = ("lamp-1",)) -> None:
        self.port = free_port()
        super().__init__([sys.executable, "-m", __name__, str(self.port), *lamps])


async def main(port: str, *lamps: str) -> None:
    """Serve until the input ends."""
    gateway = LampGateway(lamps or ("lamp-1",))
    await gateway.serve(int(port))
    alive = asyncio.create_task(gateway.alive())
    await obey_lines(gateway.obey)
    alive.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
