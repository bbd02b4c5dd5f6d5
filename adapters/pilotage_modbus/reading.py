"""Reading over Modbus TCP without a detour: twelve bytes ask, and the answer is cut from what the socket brought.

Nearly all that a connection does is to read the same blocks again and again. The library makes objects, a lock and two time-outs of
each question, which costs several times the question itself. Everything else (connecting, writing, RTU frames, serial lines) is
the library's. Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3; MODBUS Application Protocol V1.1b3, 6.1 to 6.4, 7.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from struct import Struct, unpack
from typing import Final

from pilotage_modbus.codec import Table
from pilotage_modbus.trouble import BadAnswer, Refusal, Silence

_FUNCTIONS: Final = {Table.COIL: 1, Table.DISCRETE: 2, Table.HOLDING: 3, Table.INPUT: 4}
_QUESTION: Final = Struct(">HHHBBHH")
_HEAD: Final = Struct(">HHH")
_HEAD_BYTES: Final = 6
_SHORTEST, _LONGEST = 3, 254
"""Bytes after the head of a frame: unit, function and one more; at most a PDU of 253 bytes and the unit."""
FIRST_NUMBER, LAST_NUMBER = 65_001, 65_535
"""The library numbers its own questions below these."""


class Reader:
    """Asks one question at a time over an open connection, and knows its answer by its number."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        """Ask nothing yet.

        Args:
            write: Sends bytes.
        """
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._number = FIRST_NUMBER
        self._asked = (0, 0, 0)
        self._answer: asyncio.Future[Sequence[int | bool]] | None = None
        self._timeout_s = self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """True while an answer is awaited: what comes is then for `take`."""
        return self._answer is not None and not self._answer.done()

    def ask(
        self, unit: int, table: Table, start: int, count: int, timeout_s: float
    ) -> asyncio.Future[Sequence[int | bool]]:
        """Ask for registers or bits; the future ends with exactly as many, or as `Client.read` says."""
        self._number = self._number + 1 if self._number < LAST_NUMBER else FIRST_NUMBER
        function = _FUNCTIONS[table]
        self._asked = (unit, function, count)
        self._answer = answer = self._loop.create_future()
        self._timeout_s, self._due = timeout_s, self._loop.time() + timeout_s
        self._watch()
        self._write(_QUESTION.pack(self._number, 0, 6, unit, function, start, count))
        return answer

    def take(self, data: bytes) -> int:
        """Take what came so far, and return how many bytes that were: half a frame waits for the rest.

        A late answer, that of another unit, and what is no frame are dropped: they are no answer, and silence is told in time.
        """
        at = 0
        while len(data) - at >= _HEAD_BYTES:
            number, protocol, size = _HEAD.unpack_from(data, at)
            if protocol or not _SHORTEST <= size <= _LONGEST:
                return len(data)  # no frame; where the next one begins nobody knows
            end = at + _HEAD_BYTES + size
            if end > len(data):
                break
            if (
                number in (self._number, 0) and data[at + _HEAD_BYTES] == self._asked[0]
            ):  # some gateways give no number back
                self._settle(data[at + _HEAD_BYTES : end])
            at = end
        return at

    def end(self, error: Exception) -> None:
        """Tell who waits that no answer will come, and ask nothing any more."""
        self._fail(error)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _settle(self, frame: bytes) -> None:
        _, function, count = self._asked
        if frame[1] == function | 0x80:
            self._fail(Refusal(frame[2]))
        elif frame[1] != function:
            self._fail(BadAnswer(f"an answer to function {frame[1]} instead of {function}"))
        else:
            is_bits = function <= 2
            size, body = frame[2], frame[3:]
            wanted = (count + 7) // 8 if is_bits else 2 * count
            if size != len(body) or size != wanted:
                self._fail(BadAnswer(f"{len(body)} bytes of values instead of {wanted}"))
            elif self._answer is not None and not self._answer.done():
                self._answer.set_result(_bits(body, count) if is_bits else _registers(body))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    # ── time-outs: one timer looks again and again, since one for each question costs more than the question ──────

    def _watch(self) -> None:
        if self._timer is not None and self._timer.when() > self._due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self.waits:
            return
        if self._loop.time() >= self._due:
            self._fail(Silence(f"no answer within {self._timeout_s:g} s"))
        else:
            self._watch()


def _registers(body: bytes) -> Sequence[int]:
    return unpack(f">{len(body) // 2}H", body)


def _bits(body: bytes, count: int) -> Sequence[bool]:
    return [bool(body[n >> 3] >> (n & 7) & 1) for n in range(count)]
