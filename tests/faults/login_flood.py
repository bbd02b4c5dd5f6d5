"""Guesses passwords at the pages as fast as it is told, from many addresses: `python -m tests.faults.login_flood PORT RATE SECONDS`.

Prints one line of JSON: how many tries were answered, by status.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Final
from urllib.parse import urlencode

SENDERS: Final = 50
NAMES: Final = ("known", "coded", "quiet", "admin", "root")


async def flood(port: int, rate: float, seconds: float) -> Counter[int]:
    """Return how many tries were answered, by status; 0 stands for a connection that broke."""
    answered: Counter[int] = Counter()
    end = time.monotonic() + seconds
    senders = (_sender(port, number, rate / SENDERS, end, answered) for number in range(SENDERS))
    await asyncio.gather(*senders)
    return answered


async def _sender(port: int, number: int, rate: float, end: float, answered: Counter[int]) -> None:
    place = (f"127.0.7.{number + 1}", 0)
    count, began = 0, time.monotonic()
    while time.monotonic() < end:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=place)
            while time.monotonic() < end:
                writer.write(_try(port, NAMES[count % len(NAMES)], f"guess {number} {count}"))
                answered[await _status(reader)] += 1
                count += 1
                await asyncio.sleep(max(0.0, began + count / rate - time.monotonic()))
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            answered[0] += 1
            await asyncio.sleep(0.05)


def _try(port: int, name: str, password: str) -> bytes:
    body = urlencode({"name": name, "password": password}).encode()
    head = (
        f"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _status(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length or 0))
    return int(head.split(b" ", 2)[1])


if __name__ == "__main__":
    found = asyncio.run(flood(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
    print(json.dumps(found))
