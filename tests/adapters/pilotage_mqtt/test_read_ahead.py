"""Paho on one read a turn: nothing is lost or out of order, and a turn is bounded."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.publish import multiple

from pilotage_mqtt.read_ahead import AHEAD, ReadAhead

SMALLEST = 8
"""Bytes of a PUBLISH packet with a topic and a payload of some letters."""


class Listener:
    """A client that is driven by hand, turn by turn."""

    def __init__(self, port: int) -> None:
        self.payloads: list[bytes] = []
        self.turns: list[int] = []
        self.client = ReadAhead(CallbackAPIVersion.VERSION2, "listener")
        self.client.on_message = self._hear
        self.is_there = False
        self.client.on_subscribe = self._subscribed
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("t/#")
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
        self.client.begin_turn()
        self.client.loop_read()
        while self.client.ahead:
            self.client.loop_read()
        self.turns.append(len(self.payloads) - before)

    def _hear(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        self.payloads.append(bytes(message.payload))

    def _subscribed(self, *_: Any) -> None:
        self.is_there = True


@pytest.fixture
def listener(broker: Any) -> Iterator[Listener]:
    """A client that has subscribed."""
    found = Listener(broker.port)
    yield found
    found.client.disconnect()


def test_every_message_arrives_once_and_in_order(broker: Any, listener: Listener) -> None:
    """Whatever the pieces are in which the socket gave them."""
    sent = [b"%d" % n for n in range(2_000)]
    sent[1_000] = b"x" * 100_000
    multiple([("t/a", payload, 0, False) for payload in sent], port=broker.port)
    listener.turn_until(lambda: len(listener.payloads) >= len(sent))
    assert listener.payloads == sent


def test_a_turn_takes_no_more_than_one_read_holds(broker: Any, listener: Listener) -> None:
    """However many orders are under way: paho would read so many packets, times those that it was asked for."""
    for _ in range(20):
        listener.client.publish("t/order", b"1", qos=1)
    multiple([("t/a", b"1", 0, False)] * 3_000, port=broker.port)
    time.sleep(0.3)
    listener.turn_until(lambda: len(listener.payloads) >= 3_020)
    assert max(listener.turns) <= AHEAD / SMALLEST


def test_a_broker_that_goes_away_is_noticed(broker: Any, listener: Listener) -> None:
    """The end of the stream reaches paho."""
    gone: list[bool] = []
    listener.client.on_disconnect = lambda *_: gone.append(True)
    broker.stop()
    end = time.monotonic() + 5.0
    while not gone and time.monotonic() < end:
        listener.turn()
    assert gone
