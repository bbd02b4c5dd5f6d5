"""A room full of operators as a process: each holds a stream and reads the lists again when an alarm comes.

`python -m tests.web_ui.figures.operators HOST PORT COOKIE COUNT SECONDS` prints one JSON line: how late frames and lists came, in ms.
Requests are written by hand, so that this process is not what limits the figures.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

TIMEOUT_S: Final = 10.0
SPREAD_S: Final = 0.25
ALARMS: Final = re.compile(rb'"alarms":(\d+)')
FRAME: Final = re.compile(rb"\nevent: s\ndata: [^|\n]*\|([0-9.]+)")


class Room:
    """What the operators saw."""

    def __init__(self, host: str, port: int, cookie: str) -> None:
        self.host, self.port = host, port
        self.head = f"Host: {host}:{port}\r\nCookie: {cookie}\r\nAccept-Encoding: identity\r\n"
        self.frames: list[float] = []
        self.lists: list[float] = []
        self.failed: list[str] = []
        self.resets = 0
        self.counts = False

    async def operator(self) -> None:
        """Follow the stream until cancelled."""
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port)
            writer.write(f"GET /live HTTP/1.1\r\n{self.head}\r\n".encode())
            start = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in start.split(b"\r\n")[0]:
                self.failed.append(start.split(b"\r\n")[0].decode())
                return
            await self._follow(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.failed.append(repr(error))

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        alarms, asking = b"", None
        page = await asyncio.open_connection(self.host, self.port)
        while True:
            size = int(await reader.readline(), 16)
            data = b"\n" + await reader.readexactly(size + 2)
            if not size:
                self.failed.append("the stream ended")
                return
            now = time.time() * 1000
            if self.counts:
                self.frames += [now - float(at) for at in FRAME.findall(data)]
                self.resets += data.count(b"event: reset")
            found = ALARMS.findall(data)
            if found and found[-1] != alarms:
                is_first, alarms = not alarms, found[-1]
                if not is_first and (asking is None or asking.done()):
                    asking = asyncio.ensure_future(self._read_lists(*page))

    async def _read_lists(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(random.random() * SPREAD_S)
        began = time.perf_counter()
        writer.write(f"GET /now/lists HTTP/1.1\r\n{self.head}HX-Request: true\r\n\r\n".encode())
        start = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", start)
        if b" 200 " not in start or length is None:
            self.failed.append(start.split(b"\r\n")[0].decode())
            return
        await reader.readexactly(int(length[1]))
        if self.counts:
            self.lists.append((time.perf_counter() - began) * 1000)


def at(share: float, values: Sequence[float]) -> float | None:
    """Return a percentile, rounded."""
    return round(sorted(values)[int(share * (len(values) - 1))], 1) if values else None


async def work() -> dict[str, Any]:
    """Have everybody come, wait a moment, and measure."""
    room = Room(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    count, seconds = int(sys.argv[4]), float(sys.argv[5])
    people = []
    for _ in range(count):
        people.append(asyncio.ensure_future(room.operator()))
        await asyncio.sleep(0.005)
    await asyncio.sleep(3)
    print(json.dumps({"ready": count - len(room.failed)}), flush=True)
    room.counts = True
    await asyncio.sleep(seconds)
    room.counts = False
    for each in people:
        each.cancel()
    return {
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
    print(json.dumps(asyncio.run(work())), flush=True)


if __name__ == "__main__":
    main()
