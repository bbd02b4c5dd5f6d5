"""Tells the service manager how the engine is: the protocol of sd_notify(3), and nothing where nobody listens."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Final

SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG: Final = "WATCHDOG_USEC"
WATCHDOG_PID: Final = "WATCHDOG_PID"
SIGNS_PER_PERIOD: Final = 3
"""So many signs of life within the time after which the service manager acts; sd_watchdog_enabled(3) asks for two."""
WAIT_S: Final = 0.1
MOST_TEXT: Final = 500


class Notifier:
    """The way to the service manager; every method may be called from any thread."""

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        """Make a way; without an address it leads nowhere.

        Args:
            address: Of a datagram socket: a path, or `@` and a name of the abstract namespace.
            watchdog_s: The service manager acts when it has heard no sign of life for so long; 0 when it does not.
        """
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._pause_s = watchdog_s / SIGNS_PER_PERIOD
        self._next_sign = 0.0
        self._status = ""

    @classmethod
    def of_environment(cls, environ: MutableMapping[str, str] | None = None) -> Notifier:
        """Return the way that the environment names, and take it out of there: it is not for the children."""
        variables = os.environ if environ is None else environ
        address = variables.pop(SOCKET, "")
        period, for_pid = variables.pop(WATCHDOG, ""), variables.pop(WATCHDOG_PID, "")
        is_ours = for_pid in ("", str(os.getpid()))
        return cls(address, int(period) / 1e6 if is_ours and period.isdigit() else 0.0)

    def ready(self) -> None:
        """Say that the engine is in service."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Say that the engine ends in order."""
        self._send("STOPPING=1", f"STATUS={self._says('stopping')}")

    @asynccontextmanager
    async def reloading(self) -> AsyncIterator[None]:
        """Say that a reload begins, and at the end that the engine is in service again, with new rules or old ones."""
        # MONOTONIC_USEC is asked for by Type=notify-reload, so that an answer is not taken for that of another reload.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self.ready()

    def status(self, text: str) -> None:
        """Say in a line how the engine is; nothing is sent when it has been said already."""
        if text != self._status:
            self._send(f"STATUS={self._says(text)}")

    def alive(self) -> None:
        """Give a sign of life when one is due; cheap enough to be called all the time."""
        if self._pause_s and time.monotonic() >= self._next_sign:
            self._next_sign = time.monotonic() + self._pause_s
            self._send("WATCHDOG=1")

    def _says(self, text: str) -> str:
        self._status = text
        return " ".join(text.split())[:MOST_TEXT]

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
                way.settimeout(WAIT_S)  # a service manager that does not listen must hold nobody
                way.connect(self._address)
                way.send("\n".join(lines).encode())
        except OSError:
            return
