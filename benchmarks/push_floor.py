"""The floor of the web push: a bare server that sends the same frame to everybody who listens. `python -m benchmarks.push_floor PORT`."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

FRAME_S: Final = 0.1
FRAME: Final = "0" * 600
"""About what a hundred changes in a tenth of a second take."""
HEAD: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def serve(port: int) -> None:
    """Send for ever."""
    listening: set[asyncio.StreamWriter] = set()

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if asked.startswith(b"GET /live"):
            writer.write(HEAD)
            listening.add(writer)

    async with await asyncio.start_server(come, "127.0.0.1", port, backlog=1_000):
        print("ready", flush=True)
        while True:
            await asyncio.sleep(FRAME_S)
            event = f"event: s\ndata: {FRAME}|{time.time() * 1000:.1f}\n\n".encode()
            chunk = b"%x\r\n%s\r\n" % (len(event), event)
            for writer in listening:
                writer.write(chunk)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
