"""A room full of operators as a process: each holds a stream and reads the lists again when an alarm comes.

`python -m tests.web_ui.figures.operators HOST PORT COOKIE COUNT SECONDS` prints one JSON line: how late frames and lists came, in ms.
Requests are written and answers read by hand, so that this process is not what limits the figures; it says what of a core it took.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, Final, cast

import uvloop

SPREAD_S: Final = 0.25
THROTTLE_S: Final = 0.25
"""As the first page: a list that was read is read again after so long at the earliest (`throttle:250ms`)."""
ALARMS: Final = re.compile(rb'"alarms":(\d+)')
FRAME: Final = re.compile(rb"\nevent: s\ndata: [^|\n]*\|([0-9.]+)")
LENGTH: Final = re.compile(rb"content-length: (\d+)")
WHOLE: Final = b"\n\n\r\n"
"""How a chunk of events ends."""
MOST_KNOWN: Final = 200


class Told:
    """What some bytes of the stream say: when their frames were sent, and the last version of the alarms."""

    def __init__(self, data: bytes) -> None:
        self.frames = [float(at) for at in FRAME.findall(data)]
        found = ALARMS.findall(data)
        self.alarms = found[-1] if found else b""
        self.resets = data.count(b"event: reset")


class Room:
    """What the operators saw."""

    def __init__(self, host: str, port: int, cookie: str) -> None:
        self.host, self.port = host, port
        self.head = f"Host: {host}:{port}\r\nCookie: {cookie}\r\nAccept-Encoding: gzip, deflate\r\n"
        self.frames: list[float] = []
        self.lists: list[float] = []
        self.failed: list[str] = []
        self.chunks = 0
        self.resets = 0
        self.counts = False
        self._known: dict[bytes, Told] = {}

    def told(self, data: bytes) -> Told:
        """Return what some bytes say; everybody gets the same, and they are read once."""
        found = self._known.get(data)
        if found is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            found = self._known[data] = Told(data)
        return found

    async def come(self) -> None:
        """Have one more operator come."""
        loop = asyncio.get_running_loop()
        _, reader = await loop.create_connection(lambda: Reader(self), self.host, self.port)
        await loop.create_connection(lambda: Stream(self, reader), self.host, self.port)


class Stream(asyncio.Protocol):
    """The stream of one operator."""

    def __init__(self, room: Room, reader: Reader) -> None:
        self._room, self._reader = room, reader
        self._rest = b""
        self._alarms = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        head = f"GET /live HTTP/1.1\r\n{self._room.head}\r\n"
        cast(asyncio.Transport, transport).write(head.encode())

    def data_received(self, data: bytes) -> None:
        """Take what is whole."""
        data = self._rest + data if self._rest else data
        if not data.endswith(WHOLE):
            self._rest = data
            return
        self._rest = b""
        told, room = self._room.told(data), self._room
        if room.counts:
            now = time.time() * 1000
            room.chunks += 1
            room.frames += [now - at for at in told.frames]
            room.resets += told.resets
        if told.alarms and told.alarms != self._alarms:
            is_first, self._alarms = not self._alarms, told.alarms
            if not is_first:
                self._reader.soon()

    def connection_lost(self, _: Exception | None) -> None:
        """A stream does not end while it is watched."""
        self._room.failed.append(f"the stream ended: {self._rest[:60]!r}")


class Reader(asyncio.Protocol):
    """The connection on which one operator reads lists, one at a time; a change while one is waited for is in it already."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._request = f"GET /now/lists HTTP/1.1\r\n{room.head}HX-Request: true\r\n\r\n".encode()
        self._is_asking = False
        self._began = self._next = 0.0
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = cast(asyncio.Transport, transport)

    def soon(self) -> None:
        """Read the lists within the spread."""
        if not self._is_asking:
            self._is_asking = True
            loop = asyncio.get_running_loop()
            spread_until = loop.time() + random.random() * SPREAD_S
            self._next = max(spread_until, self._next + THROTTLE_S)
            loop.call_at(self._next, self._ask)

    def _ask(self) -> None:
        if self._transport.is_closing():
            return
        self._began, self._answer = time.perf_counter(), b""
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take an answer, and time it when it is whole."""
        self._answer += data
        start, is_there, body = self._answer.partition(b"\r\n\r\n")
        if not is_there:
            return
        length = LENGTH.search(start)
        if b" 200 " not in start[:20] or length is None:
            self._room.failed.append(start.split(b"\r\n")[0].decode())
            self._is_asking = False
        elif len(body) >= int(length[1]):
            self._is_asking = False
            if self._room.counts:
                self._room.lists.append((time.perf_counter() - self._began) * 1000)

    def connection_lost(self, _: Exception | None) -> None:
        """The server closes what was not used for long; nobody reads there before the count begins."""
        if self._is_asking:
            self._room.failed.append("the connection ended")


def at(share: float, values: Sequence[float]) -> float | None:
    """Return a percentile, rounded."""
    return round(sorted(values)[int(share * (len(values) - 1))], 1) if values else None


async def work() -> dict[str, Any]:
    """Have everybody come, wait a moment, and measure."""
    room = Room(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    count, seconds = int(sys.argv[4]), float(sys.argv[5])
    for _ in range(count):
        await room.come()
        await asyncio.sleep(0.005)
    await asyncio.sleep(3)
    print(json.dumps({"ready": count - len(room.failed)}), flush=True)
    before, began = time.process_time(), time.monotonic()
    room.counts = True
    await asyncio.sleep(seconds)
    room.counts = False
    return {
        "cpu": round((time.process_time() - before) / (time.monotonic() - began) * 100),
        "chunks": room.chunks,
        "frames": len(room.frames),
        "frame_p50": at(0.5, room.frames),
        "frame_p99": at(0.99, room.frames),
        "lists": len(room.lists),
        "list_p50": at(0.5, room.lists),
        "list_p99": at(0.99, room.lists),
        "resets": room.resets,
        "failed": len(room.failed),
        "why": room.failed[:3],
    }


def main() -> None:
    """Print what was seen."""
    print(json.dumps(uvloop.run(work())), flush=True)


if __name__ == "__main__":
    main()
