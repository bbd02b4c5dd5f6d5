"""A paho client that takes what its socket holds in one call a turn.

Paho asks the socket at least three times for each packet: its kind, its length, the rest. Each of these calls gives up the
interpreter's lock, and has to wait for it again whenever another thread works: under load that wait, not the call, is what a
message costs. Here paho's small pieces are cut from what one call brought.

It also bounds a turn: paho's `loop_read` handles as many packets as orders are under way, whatever it is told.
"""

from __future__ import annotations

from typing import Final

import paho.mqtt.client as paho

AHEAD: Final = 4_096
"""Bytes taken in one turn: some hundred small packets, three to four milliseconds."""


class ReadAhead(paho.Client):
    """Behaves as paho's own client does, but reads from its socket once in each turn."""

    def __init__(self, *arguments: object, **named: object) -> None:
        """Take paho's own arguments."""
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self._taken = b""
        self._at = 0
        self._may_take = False

    def begin_turn(self) -> None:
        """Let `loop_read` take from the socket once more; call it again while `ahead` is not 0."""
        self._may_take = True

    @property
    def ahead(self) -> int:
        """Bytes that were taken from the socket and not handled yet."""
        return len(self._taken) - self._at

    def _sock_recv(self, bufsize: int) -> bytes:
        at = self._at
        if at == len(self._taken):
            if not self._may_take:
                raise BlockingIOError
            self._may_take, self._taken, self._at, at = False, b"", 0, 0
            self._taken = super()._sock_recv(max(AHEAD, bufsize))
        part = self._taken[at : at + bufsize]
        self._at = at + len(part)
        return part
