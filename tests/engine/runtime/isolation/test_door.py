"""What an isolated adapter tells waits in order, and little of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pilotage.model.quality import Quality
from pilotage.runtime.isolation import wire
from pilotage.runtime.isolation.city import RemotePoint
from pilotage.runtime.isolation.door import LIMIT, LONGEST_TEXT, MOST_MESSAGES, RemoteDoor


class Socket:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.decoder = wire.Decoder(wire.FromChild, wire.FROM_CHILD)
        self.messages: list[Any] = []

    def send(self, data: bytes) -> None:
        self.messages += self.decoder.feed(data)


@pytest.fixture
def socket() -> Socket:
    return Socket()


@pytest.fixture
def door(socket: Socket) -> RemoteDoor:
    return RemoteDoor(socket.send)


def point(id_: str) -> Any:
    return RemotePoint(id_, None)  # type: ignore[arg-type]


def readings(messages: Sequence[Any]) -> list[tuple[str, Any]]:
    return [(i[0], i[1]) for m in messages if isinstance(m, wire.Readings) for i in m.items]


class TestOrder:
    async def test_as_it_was_told(self, door: RemoteDoor, socket: Socket) -> None:
        """Readings go together, and nothing overtakes anything."""
        door.report(point("a.x"), 1.0)
        door.report(point("b.x"), 2.0, quality=Quality.UNCERTAIN, source_time=5.0)
        door.lost([point("a.x")], "silent")
        door.report(point("a.x"), 3.0)
        door.flush()
        first, lost, second = socket.messages
        assert first == wire.Readings([("a.x", 1.0, 0, None), ("b.x", 2.0, 1, 5.0)], 0)
        assert lost == wire.Lost(["a.x"], "silent")
        assert second.items == [("a.x", 3.0, 0, None)]

    async def test_waits_while_closed(self, door: RemoteDoor, socket: Socket) -> None:
        """While the engine does not take more, nothing is sent; then all of it."""
        door.close()
        door.report(point("a.x"), 1.0)
        door.flush()
        assert socket.messages == []
        door.open()
        assert readings(socket.messages) == [("a.x", 1.0)]

    async def test_losses_are_cut(self, door: RemoteDoor, socket: Socket) -> None:
        """The loss of a whole city fits into messages."""
        door.lost([point(f"L-{n}.level") for n in range(12_000)], "gone")
        door.flush()
        assert [len(m.points) for m in socket.messages] == [5_000, 5_000, 2_000]


class TestBounds:
    async def test_newest_of_each_point(self, door: RemoteDoor, socket: Socket) -> None:
        """Of a flood the newest reading of each point is kept, and it is told how many were not."""
        door.close()
        for number in range(LIMIT + 1):
            door.report(point(f"L-{number % 4}.level"), float(number))
        door.connected("still there")
        assert len(door) == 5
        door.open()
        kept = readings(socket.messages)
        assert sorted(value for _, value in kept) == [LIMIT - 3.0, LIMIT - 2.0, LIMIT - 1.0, LIMIT]
        assert socket.messages[0].dropped == LIMIT + 1 - 4
        assert socket.messages[-1] == wire.Connected("still there")

    async def test_too_many_messages(self, door: RemoteDoor) -> None:
        """What cannot be dropped is refused where it is told."""
        door.close()
        with pytest.raises(OverflowError, match="wait already"):
            for _ in range(MOST_MESSAGES + 1):
                door.connected("again")

    async def test_refusals_are_counted(self, door: RemoteDoor, socket: Socket) -> None:
        """The same refusal again and again is one message with a number; of many different ones some are named."""
        for number in range(500):
            door.refused("lamps: x", "no number")
            door.refused(f"lamps: {number}", "no number")
        door.flush()
        assert len(socket.messages) == 100
        assert sum(m.times for m in socket.messages) == 1_000

    async def test_long_texts_are_cut(self, door: RemoteDoor, socket: Socket) -> None:
        """Of a text as much crosses as a point can hold."""
        door.report(point("a.x"), "x" * 100_000)
        door.flush()
        assert readings(socket.messages) == [("a.x", "x" * LONGEST_TEXT)]

    async def test_one_lie_among_many(self, door: RemoteDoor, socket: Socket) -> None:
        """A value that cannot cross is refused by its point; those around it arrive."""
        door.report(point("a.x"), 1.0)
        door.report(point("b.x"), object())
        door.report(point("c.x"), 3.0)
        door.flush()
        door.flush()
        assert readings(socket.messages) == [("a.x", 1.0), ("c.x", 3.0)]
        (refused,) = [m for m in socket.messages if isinstance(m, wire.Refused)]
        assert (refused.source, refused.times) == ("b.x", 1)
