"""One pymodbus client, used once: connects, asks one question at a time, and says why it ended.

Never reconnects and never repeats anything by itself: a write that was not answered may have been carried out.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerType
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.transport import CommParams, CommType

from pilotage_modbus.binding import Line, Tls
from pilotage_modbus.codec import Table
from pilotage_modbus.reading import Reader
from pilotage_modbus.trouble import BadAnswer, ConnectionLost, Refusal, Silence

# What it has to say is said by us, once and with the connection's name.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

_LONG_S: Final = 3600.0  # the library's own time-outs would count silences and hang up


class Client:
    """One connection, from `open` until `down`; used once, by one task.

    Attributes:
        down: Its result says why the connection was lost.
        requests: How many were sent.
    """

    def __init__(self, line: Line) -> None:
        self.down: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.requests = 0
        self._asks_library = False
        self._line = line
        self._why = ""
        self._is_closed = False
        self._library = _make(line, self._on_link)
        is_tcp = line.serial is None and not line.is_rtu
        self._reader = Reader(self._send) if is_tcp else None
        self._guard()

    @property
    def is_up(self) -> bool:
        """True while questions can be asked."""
        return not self.down.done() and not self._is_closed and self._library.connected

    async def open(self) -> None:
        """Connect.

        Raises:
            ConnectionLost: That did not succeed in time; the text says why.
        """
        try:
            async with asyncio.timeout(self._line.connect_s):
                is_open = await self._library.connect()
        except TimeoutError:
            is_open, self._why = False, f"no connection within {self._line.connect_s:g} s"
        except Exception as error:
            # A serial port that does not exist, a name that cannot be looked up.
            is_open, self._why = False, f"{type(error).__name__}: {error}"
        if not is_open or self.down.done():
            self.close()
            raise ConnectionLost(f"cannot connect to {self._line.address}: {self._why or 'closed'}")

    def close(self) -> None:
        """Hang up; whatever was asked is not answered any more."""
        if not self._is_closed:
            self._is_closed = True
            transport: Any = self._library.ctx.transport
            self._library.close()
            # TLS would wait for the other side's good-bye, which a dead one never says.
            if self._line.tls is not None and transport is not None:
                transport.abort()
            self._end("closed")

    # ── questions ────────────────────────────────────────────────────────────────────────────

    async def read(
        self, unit: int, table: Table, start: int, count: int, timeout_s: float
    ) -> Sequence[int | bool]:
        """Return registers or bits, exactly as many as asked for.

        Raises:
            Silence: There was no answer in time.
            Refusal: The unit answered with an exception code.
            BadAnswer: It answered something else.
            ConnectionLost: The connection is gone.
        """
        if self._reader is not None:
            self._see_that_it_is_up()
            self.requests += 1
            return await self._reader.ask(unit, table, start, count, timeout_s)
        ask = {
            Table.HOLDING: self._library.read_holding_registers,
            Table.INPUT: self._library.read_input_registers,
            Table.COIL: self._library.read_coils,
            Table.DISCRETE: self._library.read_discrete_inputs,
        }[table]
        answer = await self._ask(partial(ask, start, count=count, device_id=unit), timeout_s)
        values: Sequence[int | bool] = answer.bits if table.has_bits else answer.registers
        # Bits come in whole bytes; registers come as they are counted.
        wanted = (count + 7) // 8 * 8 if table.has_bits else count
        if len(values) != wanted:
            raise BadAnswer(f"{len(values)} values instead of {wanted}")
        return values[:count]

    async def write(
        self,
        unit: int,
        table: Table,
        address: int,
        words: list[int],
        timeout_s: float,
        *,
        multiple: bool,
    ) -> None:
        """Write a coil or registers; raises as `read` does."""
        library = self._library
        request: Callable[[], Awaitable[ModbusPDU]]
        if table is Table.COIL:
            request = partial(library.write_coil, address, bool(words[0]), device_id=unit)
        elif len(words) == 1 and not multiple:
            request = partial(library.write_register, address, words[0], device_id=unit)
        else:
            request = partial(library.write_registers, address, words, device_id=unit)
        await self._ask(request, timeout_s)

    async def set_bits(
        self, unit: int, address: int, mask: int, word: int, timeout_s: float
    ) -> None:
        """Set the bits under a mask of one register, in the unit itself; raises as `read` does."""
        request = partial(
            self._library.mask_write_register,
            address=address,
            and_mask=~mask & 0xFFFF,
            or_mask=word & mask,
            device_id=unit,
        )
        await self._ask(request, timeout_s)

    async def _ask(self, request: Callable[[], Awaitable[Any]], timeout_s: float) -> Any:
        self._see_that_it_is_up()
        self.requests += 1
        self._asks_library = True
        try:
            async with asyncio.timeout(timeout_s):
                answer = await request()
        except TimeoutError:
            raise Silence(f"no answer within {timeout_s:g} s") from None
        except ModbusException as error:
            if self.down.done():
                raise ConnectionLost(self.down.result()) from error
            raise BadAnswer(str(error)) from error
        finally:
            self._asks_library = False
        if isinstance(answer, ExceptionResponse):
            raise Refusal(answer.exception_code)
        return answer

    def _see_that_it_is_up(self) -> None:
        if not self.is_up:
            raise ConnectionLost(self.down.result() if self.down.done() else "not connected")

    def _send(self, data: bytes) -> None:
        """Send a question of our own; what is left of an older answer is forgotten, as the library does."""
        context: Any = self._library.ctx
        context.recv_buffer = b""
        context.transport.write(data)

    # ── what the library says ────────────────────────────────────────────────────────────────

    def _guard(self) -> None:
        """Learn why it cannot connect, and keep an answer that cannot be decoded from ending the transport."""
        context: Any = self._library.ctx
        create, take, reader = context.call_create, context.callback_data, self._reader
        if self._line.tls is not None and self._line.tls.server_name:
            create = partial(create, server_hostname=self._line.tls.server_name)

        async def create_and_tell() -> Any:
            try:
                return await create()
            except OSError as error:
                self._why = str(error) or type(error).__name__
                raise

        def take_or_drop(data: bytes, addr: Any = None) -> int:
            if reader is not None and reader.waits:
                return reader.take(data)
            try:
                used: int = take(data, addr)
            except Exception as error:
                waiting = context.response_future
                if not waiting.done():
                    waiting.set_exception(ModbusException(f"unreadable: {error}"))
                return len(data)
            return used

        def lost(down: asyncio.Future[str]) -> None:
            # Who waits for an answer hears it here: a task and a wait of its own for each question cost a tenth of it.
            waiting = context.response_future
            if self._asks_library and not waiting.done():
                waiting.set_exception(ModbusException(down.result()))
            if reader is not None:
                reader.end(ConnectionLost(down.result()))

        context.call_create, context.callback_data = create_and_tell, take_or_drop
        self.down.add_done_callback(lost)

    def _on_link(self, is_up: bool) -> None:
        if not is_up:
            self._end("the other side closed the connection")

    def _end(self, why: str) -> None:
        if not self.down.done():
            self.down.set_result(why)


def _make(line: Line, on_link: Callable[[bool], None]) -> ModbusBaseClient:
    options: dict[str, Any] = {
        "retries": 0,
        "reconnect_delay": 0,
        "timeout": _LONG_S,
        "trace_connect": on_link,
    }
    if line.serial is not None:
        port = line.serial
        return AsyncModbusSerialClient(
            port.port,
            framer=FramerType.RTU,
            baudrate=port.baudrate,
            bytesize=port.bytesize,
            parity=port.parity,
            stopbits=port.stopbits,
            **options,
        )
    framer = FramerType.RTU if line.is_rtu else FramerType.SOCKET
    if line.tls is None:
        return AsyncModbusTcpClient(line.host, port=line.port, framer=framer, **options)
    return _TlsClient(line, line.tls, framer, on_link)


class _TlsClient(AsyncModbusTcpClient):
    """TLS with the framer of TCP: the library's own for TLS takes half a frame for a whole one."""

    def __init__(
        self, line: Line, tls: Tls, framer: FramerType, on_link: Callable[[bool], None]
    ) -> None:
        self.comm_params = CommParams(
            comm_type=CommType.TLS,
            comm_name="comm",
            host=line.host,
            port=line.port,
            sslctx=tls_context(tls),
            reconnect_delay=0.0,
            timeout_connect=_LONG_S,
        )
        super().__init__("", framer=framer, retries=0, trace_connect=on_link)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return a context that verifies the other side, TLS 1.2 or later; it never falls back."""
    context = ssl.create_default_context(cafile=tls.ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key or None)
    return context
