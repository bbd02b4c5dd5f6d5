"""Packets of our own beside paho's: byte for byte what paho writes, in order, in one send, and each told its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from pilotage.model.messages import Outcome
from pilotage_mqtt.write_together import Answer, WriteTogether

BOTH = [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5]


class Wire:
    """A client whose socket is one end of a pair; the test is the broker at the other."""

    def __init__(self, protocol: MQTTProtocolVersion, kind: type[paho.Client]) -> None:
        self.five = protocol == MQTTProtocolVersion.MQTTv5
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.theirs.setblocking(False)
        client: Any = kind(CallbackAPIVersion.VERSION2, "wire", protocol=protocol, manual_ack=True)
        self.client = client
        client._sock = self
        self.client.on_socket_register_write = lambda *_: None
        self.sends = 0

    def send(self, data: bytes) -> int:
        """Be the client's socket, and count."""
        self.sends += 1
        return self.ours.send(data)

    def recv(self, most: int) -> bytes:
        """Be the client's socket."""
        return self.ours.recv(most)

    def put(self, topic: str, payload: bytes, qos: int, seconds: int = 0) -> Answer:
        """Publish with our own hands."""
        answer: Answer = asyncio.get_running_loop().create_future()
        packed = (
            _expiry(seconds).pack() if self.five and seconds else b"\0" if self.five else b""  # type: ignore[no-untyped-call]
        )
        assert self.client.put(topic, payload, qos, packed, answer)
        return answer

    def arrived(self) -> bytes:
        """Return what has come to the other end."""
        data = b""
        try:
            while part := self.theirs.recv(1 << 20):
                data += part
        except BlockingIOError:
            return data
        return data

    def turn(self, data: bytes) -> None:
        """Let the client read what the broker says."""
        self.theirs.send(data)
        self.client.take_turn()

    def close(self) -> None:
        """Be the client's socket, which paho closes after its good-bye; what has left can still be read."""

    def finish(self) -> None:
        """Close both ends."""
        self.client._sock = None
        if isinstance(self.client, WriteTogether):
            self.client.let_go()
        self.ours.close()
        self.theirs.close()


def _expiry(seconds: int) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = seconds
    return properties


@pytest.fixture(params=BOTH, ids=["3.1.1", "5"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    """A client of our own."""
    found = Wire(request.param, WriteTogether)
    yield found
    found.finish()


@pytest.fixture
def five() -> Iterator[Wire]:
    """A client of our own that speaks MQTT 5."""
    found = Wire(MQTTProtocolVersion.MQTTv5, WriteTogether)
    yield found
    found.finish()


class TestBytes:
    @pytest.mark.parametrize("qos", [0, 1])
    @pytest.mark.parametrize("size", [0, 1, 100, 110, 118, 127, 128, 16_300, 16_384, 50_000])
    async def test_as_paho_writes_them(self, wire: Wire, qos: int, size: int) -> None:
        """A packet of ours is that of paho, whatever the bytes of its length are."""
        protocol = MQTTProtocolVersion.MQTTv5 if wire.five else MQTTProtocolVersion.MQTTv311
        other = Wire(protocol, paho.Client)
        other.client._last_mid = wire.client._last_mid = 0x01FF
        if not qos:
            other.client._last_mid = 0
        try:
            wire.put("straße/lampe-1", b"x" * size, qos, seconds=30)
            wire.client.loop_write()
            other.client.publish(
                "straße/lampe-1", b"x" * size, qos, properties=_expiry(30) if wire.five else None
            )
            other.client.loop_write()
            assert wire.arrived() == other.arrived() != b""
        finally:
            other.finish()

    async def test_acknowledgement(self, wire: Wire) -> None:
        """Source: MQTT 3.1.1 and 5 write it alike when there is nothing to say: 40, 02 and the identifier."""
        wire.client.ack(0x1234, 1)
        wire.client.loop_write()
        assert wire.arrived() == bytes.fromhex("40 02 12 34")

    @pytest.mark.parametrize("topic", ["a/+", "#", "", "a" * 65_536])
    async def test_no_such_topic(self, wire: Wire, topic: str) -> None:
        """What is no name of a topic is refused before anything leaves."""
        with pytest.raises(ValueError, match="cannot be published"):
            wire.put(topic, b"1", 1)
        assert not wire.client.want_write()


class TestTogether:
    async def test_one_send(self, wire: Wire) -> None:
        """What one turn asks for leaves in one call of the system, in order."""
        told: list[bool] = []
        wire.client.on_waiting = lambda: told.append(True)
        for n in range(50):
            wire.put(f"lamp/{n}", b"30", n % 2)
            wire.client.ack(n + 1, 1)
        wire.client.loop_write()
        names, tail = _names(wire.arrived())
        assert (wire.sends, told, tail) == (1, [True], b"")
        assert names == [f"lamp/{n}" for n in range(50)]
        assert not wire.client.want_write()

    async def test_never_into_a_packet(self, wire: Wire) -> None:
        """A full socket cuts packets, paho's and ours; each goes on where it was cut, before anything else leaves."""
        wire.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        answers, data = [], b""
        for n in range(60):
            name = f"lamp/{n}"
            if n % 3 == 2:
                wire.client.publish(name, b"p" * 3_000, n // 3 % 2)
            else:
                answers.append(wire.put(name, b"o" * 3_000, 0))
            wire.client.loop_write()
            if n % 7 == 0:
                data += wire.theirs.recv(1_000)
        assert wire.client.want_write()
        assert not answers[-1].done()
        while wire.client.want_write():
            data += wire.arrived()
            wire.client.loop_write()
        names, tail = _names(data + wire.arrived())
        assert names == [f"lamp/{n}" for n in range(60)]
        assert tail == b""
        assert {answer.result() for answer in answers} == {Outcome.ACKNOWLEDGED}

    async def test_good_bye_is_last(self, wire: Wire) -> None:
        """Nothing may follow DISCONNECT, and what paho publishes leaves in its turn."""
        wire.put("lamp/1", b"1", 0)
        wire.client.publish("presence", b"offline", 1)
        wire.put("lamp/2", b"1", 0)
        wire.client.disconnect()
        wire.client.loop_write()
        names, tail = _names(wire.arrived())
        assert names == ["lamp/1", "presence", "lamp/2"]
        assert tail[0] == 0xE0


class TestAnswers:
    async def test_gone(self, wire: Wire) -> None:
        """A message of QoS 0 is told when it went to the socket, and not before; one of QoS 1 is not."""
        nought, one = wire.put("lamp/1", b"1", 0), wire.put("lamp/1", b"1", 1)
        assert not nought.done()
        wire.client.loop_write()
        assert nought.result() is Outcome.ACKNOWLEDGED
        assert not one.done()

    async def test_acknowledged(self, wire: Wire) -> None:
        """The broker's answers belong to their messages, in any order and in any pieces."""
        wire.client._last_mid = 0x00FE
        answers = {mid: wire.put("lamp/1", b"1", 1) for mid in (0xFF, 0x100, 0x101, 0x102)}
        wire.turn(bytes.fromhex("40 02 01 00  40 02 00 FF  40"))
        assert [mid for mid, answer in answers.items() if answer.done()] == [0xFF, 0x100]
        for byte in bytes.fromhex("02 01 02"):
            wire.turn(bytes([byte]))
        wire.turn(bytes.fromhex("40 02 01 01  40 02 01 01"))
        assert {answer.result() for answer in answers.values()} == {Outcome.ACKNOWLEDGED}

    @pytest.mark.parametrize("cut", [0, 1, 2, 3, 4, 5])
    async def test_refused(self, five: Wire, cut: int) -> None:
        """A reason code below 128 is no refusal, one from 128 on is, with properties or without."""
        five.client._last_mid = 0
        taken, quota, barred, last = (five.put("lamp/1", b"1", 1) for _ in range(4))
        data = bytes.fromhex("40 03 00 01 10  40 03 00 02 97  40 08 00 03 87 04 1F 00 01 6E")
        first = 10 + cut
        five.turn(data[:first])
        five.turn(data[first:] + bytes.fromhex("40 02 00 04"))
        assert taken.result() is last.result() is Outcome.ACKNOWLEDGED
        assert quota.result() is barred.result() is Outcome.NOT_SENT

    async def test_pahos(self, wire: Wire) -> None:
        """What paho has published is acknowledged to paho."""
        wire.client._last_mid = 6
        info = wire.client.publish("presence", b"online", 1)
        wire.client.loop_write()
        wire.turn(bytes.fromhex("40 02 00 07"))
        assert info.is_published()

    async def test_no_identifier_twice(self, wire: Wire) -> None:
        """Neither paho nor we take an identifier of a message that is under way."""
        wire.client._last_mid = 65_533
        wire.put("lamp/1", b"1", 1)
        assert wire.client.publish("presence", b"1", 1).mid == 65_535
        wire.client._last_mid = 65_533
        assert wire.client.publish("presence", b"1", 1).mid == 1
        wire.client._last_mid = 65_533
        wire.put("lamp/1", b"1", 1)
        assert sorted(wire.client._unanswered) == [2, 65_534]

    async def test_too_many(self, wire: Wire) -> None:
        """No more than the broker allows are under way; one that is answered makes room."""
        wire.client.most = 2
        wire.client._last_mid = 0
        for _ in range(2):
            wire.put("lamp/1", b"1", 1)
        spare: Answer = asyncio.get_running_loop().create_future()
        assert not wire.client.put("lamp/1", b"1", 1, b"", spare)
        wire.turn(bytes.fromhex("40 02 00 02"))
        wire.put("lamp/1", b"1", 1)

    async def test_given_up(self, wire: Wire) -> None:
        """When the link is gone each is told so: not yet written, half written, not answered."""
        wire.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        answers = [wire.put("lamp/1", b"1", 1), wire.put("lamp/1", b"x" * 500_000, 0)]
        wire.client.loop_write()
        answers.append(wire.put("lamp/1", b"1", 0))
        wire.client.give_up(Outcome.UNKNOWN)
        assert [answer.result() for answer in answers] == [Outcome.UNKNOWN] * 3


def _names(data: bytes) -> tuple[list[str], bytes]:
    """Return the topics of the PUBLISH packets of a stream, and what follows the last of them; acknowledgements are left out."""
    names, at = [], 0
    while at < len(data) and data[at] & 0xF0 in (0x30, 0x40):
        size, shift, start = 0, 0, at + 1
        while True:
            size, shift = size | (data[start] & 127) << shift, shift + 7
            start += 1
            if data[start - 1] < 128:
                break
        if data[at] & 0xF0 == 0x30:
            length = data[start] << 8 | data[start + 1]
            names.append(data[start + 2 : start + 2 + length].decode())
        at = start + size
    return names, data[at:]
