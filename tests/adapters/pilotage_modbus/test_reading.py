"""Questions of our own over Modbus TCP; the bytes are the examples of V1.1b3, 6.1 and 6.3, in frames of the implementation guide."""

from __future__ import annotations

import pytest

from pilotage_modbus.codec import Table
from pilotage_modbus.reading import FIRST_NUMBER, LAST_NUMBER, Reader
from pilotage_modbus.trouble import ConnectionLost, Refusal, Silence

REGISTERS = bytes.fromhex("03 06 02 2B 00 00 00 64")
COILS = bytes.fromhex("01 03 CD 6B 05")


class Line:
    """What was sent, and a reader that sends."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.reader = Reader(self.sent.append)

    def frame(self, pdu: bytes, *, unit: int = 17, late: int = 0) -> bytes:
        """Return an answer to the last question, or to one before."""
        number = int.from_bytes(self.sent[-1][:2], "big") - late
        head = number.to_bytes(2, "big") + bytes(2) + (len(pdu) + 1).to_bytes(2, "big")
        return head + bytes([unit]) + pdu


class TestReader:
    async def test_registers(self) -> None:
        """Three registers are asked and answered as the norm has it."""
        line = Line()
        answer = line.reader.ask(17, Table.HOLDING, 0x6B, 3, 1.0)
        assert line.sent[0][2:] == bytes.fromhex("0000 0006 11 03 006B 0003")
        assert line.reader.take(frame := line.frame(REGISTERS)) == len(frame)
        assert list(await answer) == [555, 0, 100]
        assert not line.reader.waits

    async def test_bits(self) -> None:
        """Nineteen coils come in three bytes, the first in the lowest bit."""
        line = Line()
        answer = line.reader.ask(17, Table.COIL, 0x13, 19, 1.0)
        line.reader.take(line.frame(COILS))
        assert "".join(str(int(bit)) for bit in await answer) == "1011001111010110101"

    async def test_in_pieces(self) -> None:
        """Half a frame waits for its rest, and a late answer before it is left out."""
        line = Line()
        answer = line.reader.ask(17, Table.HOLDING, 0x6B, 3, 1.0)
        late, right = line.frame(REGISTERS, late=1), line.frame(REGISTERS)
        data = late + right
        used = line.reader.take(data[:-1])
        assert used == len(late)
        assert not answer.done()
        assert line.reader.take(data[used:]) == len(right)
        assert list(await answer) == [555, 0, 100]

    async def test_refusal(self) -> None:
        """An exception code is raised where the answer is awaited."""
        line = Line()
        answer = line.reader.ask(17, Table.HOLDING, 0x6B, 3, 1.0)
        line.reader.take(line.frame(bytes([0x83, 2])))
        with pytest.raises(Refusal, match="illegal data address"):
            await answer

    async def test_silence(self) -> None:
        """Each question has a time-out of its own, the shorter one after the longer."""
        line = Line()
        first = line.reader.ask(17, Table.HOLDING, 0, 1, 30.0)
        line.reader.take(line.frame(bytes.fromhex("03 02 0001")))
        assert list(await first) == [1]
        with pytest.raises(Silence, match=r"within 0\.02 s"):
            await line.reader.ask(17, Table.HOLDING, 0, 1, 0.02)

    async def test_lost(self) -> None:
        """Who waits when the line is lost is told, and no timer is left."""
        line = Line()
        answer = line.reader.ask(17, Table.HOLDING, 0, 1, 30.0)
        line.reader.end(ConnectionLost("closed"))
        with pytest.raises(ConnectionLost, match="closed"):
            await answer

    async def test_numbers(self) -> None:
        """Numbers stay above those of the library, and begin again."""
        line = Line()
        for _ in range(LAST_NUMBER - FIRST_NUMBER + 2):
            line.reader.ask(17, Table.INPUT, 0, 1, 30.0).cancel()
        numbers = {int.from_bytes(sent[:2], "big") for sent in line.sent}
        assert numbers == set(range(FIRST_NUMBER, LAST_NUMBER + 1))
        line.reader.end(ConnectionLost("closed"))
