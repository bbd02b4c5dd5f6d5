"""What those in the street see of each other, between processes: a junction's lights, for the buses in front of them.

No wire of the city: it stands for eyes. One datagram on the loopback says whom each junction serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Mapping

from pilotage.demo.child import HOST

See = Callable[[Mapping[str, str]], None]
"""Gets whom each junction serves, by the junction's id."""


class Shown:
    """Shows something to whoever looks at a port; again and again, since somebody may look later."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def show(self, held: Mapping[str, str]) -> None:
        """Show it once; nobody has to look."""
        with contextlib.suppress(OSError):
            self._socket.sendto(json.dumps(held).encode(), (HOST, self._port))

    def close(self) -> None:
        """End."""
        self._socket.close()


class _Eyes(asyncio.DatagramProtocol):
    def __init__(self, see: See) -> None:
        self._see = see

    def datagram_received(self, data: bytes, addr: object) -> None:
        with contextlib.suppress(ValueError):
            held = json.loads(data)
            if isinstance(held, dict):
                self._see({str(key): str(value) for key, value in held.items()})


async def look(port: int, see: See) -> asyncio.DatagramTransport:
    """Begin to look at a port; return what ends it."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Eyes(see), local_addr=(HOST, port))
    return transport
