"""A paho client that takes what its socket holds in one call a turn, and the plainest messages without a detour.

Paho asks the socket at least three times for each packet: its kind, its length, the rest. Each of these calls gives up the
interpreter's lock, and has to wait for it again whenever another thread works: under load that wait, not the call, is what a
message costs. Here paho's small pieces are cut from what one call brought. It also bounds a turn: paho's `loop_read` handles
as many packets as orders are under way, whatever it is told.

Nearly all that a city's devices send are small PUBLISH packets of QoS 0 or 1 without properties, and nearly all that the broker
itself says are acknowledgements of orders. Paho makes a dozen objects of each, which costs more than everything that the engine
does with it; so these are read here. Every other packet, and each of which a part is missing or wrong, is paho's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

AHEAD: Final = 16_384
"""Bytes taken in one turn: some hundred packets at most, five milliseconds."""

Plain = Callable[[str, bytes, int, bool], None]
"""Gets topic, payload, the packet identifier (0 for QoS 0), and whether the broker has sent it before."""


Answered = Callable[[int, int], bool]
"""Gets the packet identifier of an acknowledgement and its reason code (0 when it has none); False when it is for paho."""


def _nobody(_topic: str, _payload: bytes, _mid: int, _dup: bool) -> None:
    """Hear a message and do nothing."""


def _pahos(_mid: int, _code: int) -> bool:
    """Leave an acknowledgement to paho."""
    return False


class ReadAhead(paho.Client):
    """Behaves as paho's own client does, but is read turn by turn.

    Attributes:
        on_plain: Gets the messages that paho never sees; one with an identifier is to be acknowledged with `ack`.
        on_answer: Gets the broker's acknowledgements of QoS 1 first.
    """

    def __init__(self, *arguments: object, **named: object) -> None:
        """Take paho's own arguments."""
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self.on_plain: Plain = _nobody
        self.on_answer: Answered = _pahos
        self._taken = b""
        self._at = 0
        self._may_take = False
        self._may_begin = True
        self._has_properties = self._protocol == MQTTProtocolVersion.MQTTv5

    def let_go(self) -> None:
        """Forget whom to call: for a client that is used no more."""
        self.on_connect = self.on_disconnect = self.on_subscribe = self.on_publish = None
        self.on_message = self.on_socket_close = self.on_socket_register_write = None
        self.on_plain = _nobody
        self.on_answer = _pahos

    def take_turn(self) -> None:
        """Read from the socket once, and handle everything that it gave; what `loop_read` raises is raised."""
        self._may_take = True
        if self._is_between_packets:
            with suppress(OSError):  # paho meets it again, and knows what to do
                self._fill(AHEAD)
            self._take_plain()
        rc = self._read_one()
        while self._at < len(self._taken) and rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            if self._is_between_packets:
                self._take_plain()
            rc = self._read_one()

    def _read_one(self) -> MQTTErrorCode:
        """Have paho handle one packet, or go on with the one that it holds."""
        self._may_begin = True
        return self.loop_read()

    @property
    def _is_between_packets(self) -> bool:
        """False while paho holds the beginning of a packet."""
        return not self._in_packet["command"]

    def _fill(self, size: int) -> None:
        self._taken, self._at = b"", 0
        self._taken = super()._sock_recv(max(AHEAD, size))
        self._may_take = not self._taken  # paho meets the end of the stream itself

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._is_between_packets:
            if not self._may_begin:
                raise BlockingIOError
            self._may_begin = False
        if self._at == len(self._taken):
            if not self._may_take:
                raise BlockingIOError
            self._fill(bufsize)
        part = self._taken[self._at : self._at + bufsize]
        self._at += len(part)
        return part

    def _take_plain(self) -> None:
        """Hand on what stands next, up to the first packet that is paho's. Source: MQTT 5.0 (OASIS), 2.1, 3.3."""
        data, at, end = self._taken, self._at, len(self._taken)
        try:
            while at < end:
                kind, size, start = data[at], data[at + 1], at + 2
                if kind == 0x40 and 2 <= size <= 127:  # PUBACK
                    last = start + size
                    mid, code = data[start] << 8 | data[start + 1], 0
                    if size > 2:
                        code = data[start + 2]
                    if last > end or not self.on_answer(mid, code):
                        return
                    self._at = at = last
                    continue
                if kind & 0xF4 != 0x30:  # PUBLISH, QoS 0 or 1
                    return
                if size > 127:
                    size, start = size & 127 | data[start] << 7, start + 1
                    if data[start - 1] > 127:
                        return  # larger than all that is ahead
                name_end = start + 2 + (data[start] << 8 | data[start + 1])
                body, mid = name_end, 0
                if kind & 0x02:
                    body, mid = name_end + 2, data[name_end] << 8 | data[name_end + 1]
                if self._has_properties:
                    if data[body]:
                        return
                    body += 1
                last = start + size
                if last > end or body > last or name_end == start + 2:
                    return
                topic = data[start + 2 : name_end].decode()
                self._at = at = last
                self.on_plain(topic, data[body:last], mid, kind & 0x08 != 0)
        except (IndexError, UnicodeDecodeError):
            return
