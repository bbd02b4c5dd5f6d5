"""Paho on one read a turn: nothing is lost or out of order, and a turn is bounded."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.publish import multiple

from pilotage_mqtt.read_ahead import AHEAD, ReadAhead

SMALLEST = 8
"""Bytes of a PUBLISH packet with a topic and a payload of some letters."""


class Listener:
    """A client that is driven by hand, turn by turn."""

    def __init__(self, port: int, protocol: MQTTProtocolVersion) -> None:
        self.payloads: list[bytes] = []
        self.turns: list[int] = []
        self.by_paho: list[bytes] = []
        self.client = ReadAhead(
            CallbackAPIVersion.VERSION2, "listener", protocol=protocol, manual_ack=True
        )
        self.client.on_message = self._hear
        self.client.on_plain = self._hear_plain
        self.is_there = False
        self.client.on_subscribe = self._subscribed
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("t/#", qos=1)
        self.turn_until(lambda: self.is_there)

    def turn_until(self, true: Any) -> None:
        """Take turn after turn."""
        end = time.monotonic() + 20.0
        while not true():
            assert time.monotonic() < end, f"{len(self.payloads)} messages in {self.turns}"
            self.client.loop_write()
            sock: Any = self.client.socket()
            select.select([sock], [], [], 0.05)
            self.turn()

    def turn(self) -> None:
        """Take one, as the link does."""
        before = len(self.payloads)
        self.client.take_turn()
        self.turns.append(len(self.payloads) - before)

    def _hear(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        self.payloads.append(bytes(message.payload))
        self.by_paho.append(bytes(message.payload))
        self.client.ack(message.mid, message.qos)

    def _hear_plain(self, topic: str, payload: bytes, mid: int, _dup: bool) -> None:
        assert topic == "t/a"
        self.payloads.append(payload)
        if mid:
            self.client.ack(mid, 1)

    def _subscribed(self, *_: Any) -> None:
        self.is_there = True


@pytest.fixture(params=[MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def listener(broker: Any, request: pytest.FixtureRequest) -> Iterator[Listener]:
    """A client that has subscribed."""
    found = Listener(broker.port, request.param)
    yield found
    found.client.disconnect()


@pytest.mark.parametrize("qos", [0, 1])
def test_every_message_arrives_once_and_in_order(broker: Any, listener: Listener, qos: int) -> None:
    """Whatever the pieces are in which the socket gave them; what is small is not paho's work."""
    sent = [b"%d" % n + b"y" * (n % 300) for n in range(2_000)]
    sent[1_000] = b"x" * 100_000
    sent[1_100] = b""
    multiple([("t/a", payload, qos, False) for payload in sent], port=broker.port)
    listener.turn_until(lambda: len(listener.payloads) >= len(sent))
    assert listener.payloads == sent
    assert b"x" * 100_000 in listener.by_paho
    assert len(listener.by_paho) < len(sent) / 2


def test_properties_are_not_lost(broker: Any, listener: Listener) -> None:
    """A message that brings more than a payload is paho's."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = [("source", "north")]
    sender = paho.Client(CallbackAPIVersion.VERSION2, "sender", protocol=MQTTProtocolVersion.MQTTv5)
    sender.connect("127.0.0.1", broker.port)
    sender.loop_start()
    for payload, more in ((b"before", None), (b"with", properties), (b"after", None)):
        sender.publish("t/a", payload, qos=1, properties=more).wait_for_publish(5.0)
    sender.disconnect()
    sender.loop_stop()
    listener.turn_until(lambda: len(listener.payloads) >= 3)
    assert listener.payloads == [b"before", b"with", b"after"]
    if listener.client.protocol == MQTTProtocolVersion.MQTTv5:
        assert b"with" in listener.by_paho


def test_a_packet_in_pieces_is_one_message(listener: Listener) -> None:
    """A packet may end anywhere in what one read gave."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    five = listener.client.protocol == MQTTProtocolVersion.MQTTv5
    packet = (
        b"\x30"
        + (b"\x09" if five else b"\x08")
        + b"\x00\x03t/a"
        + (b"\0" if five else b"")
        + b"abc"
    )
    before, listener.client._sock = listener.client.socket(), ours
    try:
        for byte in packet * 3:
            theirs.send(bytes([byte]))
            listener.turn()
        for cut in range(1, 2 * len(packet)):
            theirs.send((packet * 2)[:cut])
            listener.turn()
            theirs.send((packet * 2)[cut:])
            listener.turn()
    finally:
        listener.client._sock = before
        ours.close()
        theirs.close()
    assert listener.payloads == [b"abc"] * (3 + 2 * (2 * len(packet) - 1))


def test_a_turn_takes_no_more_than_one_read_holds(broker: Any, listener: Listener) -> None:
    """However many orders are under way: paho would read so many packets, times those that it was asked for."""
    for _ in range(20):
        listener.client.publish("t/a", b"1", qos=1)
    multiple([("t/a", b"1", 0, False)] * 3_000, port=broker.port)
    time.sleep(0.3)
    listener.turn_until(lambda: len(listener.payloads) >= 3_020)
    assert max(listener.turns) <= AHEAD / SMALLEST


def test_a_broker_that_goes_away_is_noticed(broker: Any, listener: Listener) -> None:
    """The end of the stream reaches paho."""
    gone: list[bool] = []
    listener.client.on_disconnect = lambda *_: gone.append(True)
    broker.stop()
    broker.start()
    end = time.monotonic() + 5.0
    while not gone and time.monotonic() < end:
        listener.turn()
    assert gone
