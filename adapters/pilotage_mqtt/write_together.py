"""A paho client that lets all packets of one turn of the event loop leave together, and writes the plain ones itself.

Paho asks the socket once for each packet, and makes a dozen objects, three locks and a log line of each order that it publishes:
four times what its bytes cost. Here orders of QoS 0 and 1, and acknowledgements, are written as bytes and lie in a list until the
turn ends; then they are one packet in paho's own queue. So what a full socket, TLS, the sign of life and a packet that is half
written ask for stays paho's business, and nothing is ever written into another packet.

Everything else (QoS 2, subscriptions, what is retained) is paho's; each packet leaves after those that were asked for before it.
"""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from paho.mqtt.enums import MQTTErrorCode

from pilotage.model.messages import Outcome
from pilotage_mqtt.read_ahead import ReadAhead

_PUBLISH: Final = 0x30
_PACKET_ID: Final = Struct(">H").pack
_SMALL: Final = Struct(">BBH").pack
_ACKNOWLEDGEMENT: Final = Struct(">BBH").pack
_LARGEST: Final = 268_435_455

Answer = Future[Outcome]


class WriteTogether(ReadAhead):
    """Behaves as paho's own client does, but is told what to publish by `put`, and of its end by a future.

    Attributes:
        most: So many orders may wait for the broker's acknowledgement; further ones are not taken.
        on_waiting: Called when something begins to wait for `loop_write`.
    """

    def __init__(self, *arguments: object, **named: object) -> None:
        """Take paho's own arguments."""
        super().__init__(*arguments, **named)
        self.most = 65_535
        self.on_waiting: Callable[[], None] = _nobody
        self.on_answer = self._settle
        self._waiting: list[bytes] = []
        self._to_tell: list[Answer] = []
        self._leaving: deque[tuple[dict[str, Any], list[Answer]]] = deque()
        self._unanswered: dict[int, Answer] = {}

    def let_go(self) -> None:
        """Forget whom to call: for a client that is used no more."""
        super().let_go()
        self.on_waiting = _nobody

    # ── what is asked for ────────────────────────────────────────────────────────────────────

    def put(self, topic: str, payload: bytes, qos: int, properties: bytes, answer: Answer) -> bool:
        """Take a message of QoS 0 or 1 for the end of this turn; False when too many are unanswered.

        Source: MQTT 5.0 (OASIS), 2.2.1, 3.3.2; 3.1.1 is the same without properties.

        Args:
            topic: Name, not a filter.
            payload: As it is.
            qos: 0 or 1.
            properties: With their length, as MQTT 5 has them; nothing for MQTT 3.1.1.
            answer: Ends with ACKNOWLEDGED when the message went to the socket (QoS 0), or when the broker has it, and with
                NOT_SENT when the broker refuses it.

        Raises:
            ValueError: The topic has a wildcard, or is too long, or the payload is.
        """
        name = topic.encode()
        size = 2 + len(name) + 2 * qos + len(properties) + len(payload)
        if b"+" in name or b"#" in name or not 0 < len(name) <= 0xFFFF or size > _LARGEST:
            raise ValueError(f"cannot be published to: {topic[:80]!r}, {len(payload)} bytes")
        if not qos:
            self._to_tell.append(answer)
            packet = _head(_PUBLISH, size, len(name)) + name + properties + payload
        elif len(self._unanswered) >= self.most:
            return False
        else:
            mid = self._mid_generate()
            self._unanswered[mid] = answer
            packet = b"".join(
                (_head(_PUBLISH | 2, size, len(name)), name, _PACKET_ID(mid), properties, payload)
            )
        self._wait(packet)
        return True

    def ack(self, mid: int, qos: int) -> MQTTErrorCode:
        """Acknowledge a message, at the end of this turn."""
        if qos != 1:
            return super().ack(mid, qos)
        self._wait(_ACKNOWLEDGEMENT(0x40, 2, mid))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def publish(self, *arguments: Any, **named: Any) -> Any:
        """Publish as paho does, after all that was put."""
        self._hand_over()
        return super().publish(*arguments, **named)

    def disconnect(self, *arguments: Any, **named: Any) -> MQTTErrorCode:
        """Say good-bye as paho does, after all that was put."""
        self._hand_over()
        return super().disconnect(*arguments, **named)

    def give_up(self, outcome: Outcome) -> None:
        """End all that waits: nothing will be heard of it."""
        waiting = [*self._to_tell, *self._unanswered.values()]
        for answer in waiting + [answer for _, left in self._leaving for answer in left]:
            _end(answer, outcome)
        self._to_tell.clear()
        self._leaving.clear()
        self._unanswered.clear()
        self._waiting.clear()

    # ── what leaves ──────────────────────────────────────────────────────────────────────────

    def want_write(self) -> bool:
        """Return whether something waits."""
        return bool(self._waiting) or super().want_write()

    def loop_write(self) -> MQTTErrorCode:
        """Write what waits, as far as the socket takes it; tell whose message has gone."""
        self._hand_over()
        rc = super().loop_write()
        while self._leaving and not self._leaving[0][0]["to_process"]:
            for answer in self._leaving.popleft()[1]:
                _end(answer, Outcome.ACKNOWLEDGED)
        return rc

    def _wait(self, packet: bytes) -> None:
        self._waiting.append(packet)
        if len(self._waiting) == 1:
            self.on_waiting()

    def _hand_over(self) -> None:
        """Put what waits into paho's queue, as one packet of which paho wants to tell nobody."""
        if not self._waiting:
            return
        data = b"".join(self._waiting)
        self._waiting.clear()
        packet: Any = {
            "command": _PUBLISH,
            "mid": 0,
            "qos": 1,  # of QoS 0 paho would tell that it has gone
            "pos": 0,
            "to_process": len(data),
            "packet": data,
            "info": None,
        }
        self._out_packet.append(packet)
        if self._to_tell:
            self._leaving.append((packet, self._to_tell))
            self._to_tell = []

    # ── what is acknowledged ─────────────────────────────────────────────────────────────────

    def _settle(self, mid: int, code: int) -> bool:
        """Tell whose message the broker has, or refuses (a reason code from 128 on); False when it is none of ours."""
        answer = self._unanswered.pop(mid, None)
        if answer is None:
            return False
        _end(answer, Outcome.NOT_SENT if code & 0x80 else Outcome.ACKNOWLEDGED)
        return True

    def _handle_pubackcomp(self, cmd: Any) -> MQTTErrorCode:
        # An acknowledgement that came in pieces, or with properties, is read by paho.
        body = self._in_packet["packet"]
        if cmd == "PUBACK" and len(body) >= 2:
            code = body[2] if len(body) > 2 else 0
            if self._settle(body[0] << 8 | body[1], code):
                return MQTTErrorCode.MQTT_ERR_SUCCESS
        return super()._handle_pubackcomp(cmd)

    def _mid_generate(self) -> int:
        """Return an identifier that nothing under way has, neither of paho's nor of ours."""
        mid = super()._mid_generate()
        while mid in self._unanswered or mid in self._out_messages:
            mid = super()._mid_generate()
        return mid


def _head(kind: int, size: int, name_size: int) -> bytes:
    """Return what stands before the name. Source: MQTT 5.0 (OASIS), 2.1; the length has seven bits a byte, lowest first."""
    if size < 128:
        return _SMALL(kind, size, name_size)
    head = bytearray((kind,))
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    head.append(size)
    return bytes(head) + _PACKET_ID(name_size)


def _end(answer: Answer, outcome: Outcome) -> None:
    if not answer.done():
        answer.set_result(outcome)


def _nobody() -> None:
    """Tell nobody."""
