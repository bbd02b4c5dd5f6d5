"""One client of one connection to a broker, driven by the event loop, from `open` until `down`; used once.

Paho is called from the loop's thread only, but for `connect`, which blocks.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from pilotage.adapter import Door, has_room
from pilotage.model.messages import Outcome
from pilotage_mqtt.binding import Broker, Presence, Tls
from pilotage_mqtt.intake import Intake
from pilotage_mqtt.write_together import WriteTogether

FILTERS_PER_SUBSCRIBE: Final = 100
HOLD_S: Final = 0.01
"""How long nothing is read when the engine has no room."""

MOST_HELD: Final = 100
"""Then some packets are read all the same: the broker's sign of life may be behind them."""
_ACCEPTED: Final = frozenset({0, 1, 2})


@dataclass(frozen=True, slots=True)
class Beside:
    """What MQTT 5 carries beside the payload of an order."""

    content_type: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    reply_to: str = ""
    correlation: str = ""


NOTHING: Final = Beside()


class ConnectionLost(ConnectionError):
    """The broker cannot be reached, refused us, or is gone; the text says which."""


class Link:
    """One paho client, from `open` until `down`; used once.

    Attributes:
        down: Its result says why the link was lost.
        slots: One per order that may be on its way; everything else waits here, not in paho.
    """

    def __init__(self, broker: Broker, intake: Intake, door: Door) -> None:
        self._loop = asyncio.get_running_loop()
        self._broker = broker
        self._intake = intake
        self._door = door
        self.down: asyncio.Future[str] = self._loop.create_future()
        self.slots = asyncio.Semaphore(broker.in_flight)
        self.is_up = False
        self._connack: asyncio.Future[None] = self._loop.create_future()
        self._subacks: dict[int | None, asyncio.Future[list[int]]] = {}
        self._pending: dict[int, asyncio.Future[Outcome]] = {}
        self._patience: deque[tuple[float, asyncio.Future[Outcome]]] = deque()
        self._looks: asyncio.TimerHandle | None = None
        self._expiries: dict[tuple[int, str], Properties] = {}
        self._socket: Any = None
        self._fd = -1
        self._is_writing = False
        self._is_flushing = False
        self._is_closed = False
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None
        self._beats: asyncio.TimerHandle | None = None
        self._client = self._make_client()

    # ── opening ──────────────────────────────────────────────────────────────────────────────

    async def open(self, filters: Mapping[str, int]) -> None:
        """Connect and subscribe.

        Raises:
            ConnectionLost: That did not succeed in time; the text says why.
        """
        broker = self._broker
        try:
            await self._loop.run_in_executor(None, self._connect)
        except (OSError, ValueError) as error:
            raise ConnectionLost(
                f"cannot connect to {broker.host}:{broker.port}: {error}"
            ) from error
        self._watch()
        await self._answer(self._connack, "did not answer to CONNECT")
        await self._subscribe(filters)
        self.is_up = True
        self._say_present()

    async def _answer(self, answer: asyncio.Future[Any], silent: str) -> Any:
        """Return the broker's answer, as long as the link lives and the time for it is not over."""
        waiting = {answer, self.down}
        await asyncio.wait(
            waiting, timeout=self._broker.connect_s, return_when=asyncio.FIRST_COMPLETED
        )
        if answer.done():
            return answer.result()
        raise ConnectionLost(self.down.result() if self.down.done() else f"the broker {silent}")

    def _make_client(self) -> WriteTogether:
        broker, five = self._broker, self._broker.version == "5"
        client = WriteTogether(
            CallbackAPIVersion.VERSION2,
            broker.client_id,
            clean_session=None if five else broker.session_expiry_s == 0,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        # Paho handles a packet again, for ever, when a callback raised; each callback is guarded as well.
        client.suppress_exceptions = True
        client.connect_timeout = broker.connect_s
        client.max_inflight_messages_set(broker.in_flight)
        client.most = broker.in_flight
        client.on_waiting = self._flush_soon
        if broker.presence is not None:
            client.will_set(broker.presence.topic, broker.presence.offline, qos=1, retain=True)
        if broker.username:
            client.username_pw_set(broker.username, broker.password or None)
        if broker.tls is not None:
            client.tls_set_context(_tls_context(broker.tls))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_plain = self._on_plain
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        return client

    def _connect(self) -> None:
        """Connect and write CONNECT; runs in a thread, since DNS, TCP and TLS block."""
        broker = self._broker
        try:
            if broker.version == "5":
                self._client.connect(
                    broker.host,
                    broker.port,
                    broker.keepalive_s,
                    clean_start=broker.session_expiry_s == 0,
                    properties=_connect_properties(broker),
                )
            else:
                self._client.connect(broker.host, broker.port, broker.keepalive_s)
        finally:
            if self._is_closed:
                self._close_socket()

    def _watch(self) -> None:
        """Let the event loop drive the socket; the client's socket, if it still has one."""
        sock: Any = self._client.socket()
        if sock is None or sock.fileno() < 0:
            raise ConnectionLost("the broker closed the connection")
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket, self._fd = sock, sock.fileno()
        self._loop.add_reader(self._fd, self._read)
        self._flush()
        self._tick()

    async def _subscribe(self, filters: Mapping[str, int]) -> None:
        wanted = list(filters.items())
        for start in range(0, len(wanted), FILTERS_PER_SUBSCRIBE):
            part = wanted[start : start + FILTERS_PER_SUBSCRIBE]
            answer: asyncio.Future[list[int]] = self._loop.create_future()
            rc, mid = self._client.subscribe(_subscriptions(part, self._broker.version))
            if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise ConnectionLost(f"cannot subscribe: {paho.error_string(rc)}")
            self._subacks[mid] = answer
            codes = await self._answer(answer, "did not answer to SUBSCRIBE")
            for (name, _), code in zip(part, codes, strict=False):
                if code not in _ACCEPTED:
                    self._door.refused(
                        f"subscription {name}", f"the broker refuses it (reason code {code})"
                    )

    def subscribe_more(self, filters: Mapping[str, int]) -> None:
        """Subscribe to what a device has told meanwhile; nobody waits for the answer."""
        wanted = list(filters.items())
        for start in range(0, len(wanted), FILTERS_PER_SUBSCRIBE):
            part = wanted[start : start + FILTERS_PER_SUBSCRIBE]
            self._client.subscribe(_subscriptions(part, self._broker.version))

    # ── that we are there ────────────────────────────────────────────────────────────────────

    def _say_present(self) -> None:
        presence = self._broker.presence
        if presence is not None:
            self._client.publish(presence.topic, presence.online, qos=1, retain=True)
            self._beat(presence)

    def _beat(self, presence: Presence) -> None:
        """Say again and again that we live: the retained word alone outlives an engine that hangs."""
        if not presence.heartbeat_s or not self.is_up or self.down.done():
            return
        # Nothing is piled up for a broker that does not read.
        if not self._client.want_write():
            beat = f'{{"time": {time.time():.3f}}}'
            self._client.publish(f"{presence.topic}/heartbeat", beat, qos=0)
        self._beats = self._loop.call_later(presence.heartbeat_s, self._beat, presence)

    # ── the socket ───────────────────────────────────────────────────────────────────────────

    def _owns_socket(self) -> bool:
        """True while the descriptor that is watched is the client's; a closed one may be somebody else's soon."""
        return self._fd >= 0 and self._client.socket() is self._socket

    def _read(self) -> None:
        if not self._owns_socket():
            self._unwatch()
            return
        if not has_room(self._door) and self._held < MOST_HELD:
            self._hold()
            return
        self._held = 0
        try:
            self._client.take_turn()
        except Exception as error:
            # A packet that paho chokes on stays where it is and would be read again for ever.
            self._end(f"unreadable packet: {type(error).__name__}: {error}")
            return
        if self._owns_socket() and self._has_decrypted():
            self._loop.call_soon(self._read)

    def _hold(self) -> None:
        """Read nothing for a moment: the broker keeps, and then drops, what the engine cannot take."""
        self._held += 1
        self._loop.remove_reader(self._fd)
        self._loop.call_later(HOLD_S, self._go_on, self._fd)

    def _go_on(self, fd: int) -> None:
        if self._fd == fd and self._owns_socket():
            self._loop.add_reader(fd, self._read)
            if self._has_decrypted():
                self._read()

    def _has_decrypted(self) -> bool:
        """True when TLS holds bytes that the descriptor will not announce again."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def _on_register_write(self, _client: Any, _userdata: Any, _sock: Any) -> None:
        self._flush_soon()

    def _flush_soon(self) -> None:
        """Write at the end of this turn of the loop, all that it asked for together; or when a full socket has room."""
        # `connect` comes here from its thread, before `_watch`, and writes CONNECT by itself.
        if self._fd >= 0 and not self._is_flushing and not self._is_writing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what waits; watch for writability only when the socket is full."""
        self._is_flushing = False
        if not self._owns_socket():
            return
        try:
            if self._client.want_write():
                self._client.loop_write()
        except Exception as error:
            self._end(f"cannot write: {type(error).__name__}: {error}")
            return
        if not self._owns_socket():
            return
        is_full = self._client.want_write()
        if is_full and not self._is_writing:
            self._loop.add_writer(self._fd, self._flush)
        elif self._is_writing and not is_full:
            self._loop.remove_writer(self._fd)
        self._is_writing = is_full

    def _tick(self) -> None:
        """Keep the connection alive, and find out when the broker no longer answers."""
        if self._is_closed or self.down.done():
            return
        try:
            self._client.loop_misc()
        except Exception as error:
            self._end(f"{type(error).__name__}: {error}")
            return
        self._timer = self._loop.call_later(min(1.0, self._broker.keepalive_s / 2), self._tick)

    def _on_socket_close(self, _client: Any, _userdata: Any, _sock: Any) -> None:
        self._unwatch()

    def _unwatch(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        self._fd = -1
        self._is_writing = False

    # ── what the broker says ─────────────────────────────────────────────────────────────────

    def _on_connect(
        self, _client: Any, _userdata: Any, _flags: Any, code: Any, properties: Any
    ) -> None:
        if self._connack.done():
            return
        if code.is_failure:
            self._connack.set_exception(
                ConnectionLost(f"the broker refuses the connection: {code}")
            )
            return
        allowed = getattr(properties, "ReceiveMaximum", None)
        if isinstance(allowed, int) and 0 < allowed < self._broker.in_flight:
            self.slots = asyncio.Semaphore(allowed)
            self._client.most = allowed
        self._connack.set_result(None)

    def _on_disconnect(
        self, _client: Any, _userdata: Any, flags: Any, code: Any, _properties: Any
    ) -> None:
        by_broker = getattr(flags, "is_disconnect_packet_from_server", False)
        self._end(f"the broker ended the connection: {code}" if by_broker else f"link lost: {code}")

    def _on_subscribe(
        self, _client: Any, _userdata: Any, mid: int, codes: Any, _properties: Any
    ) -> None:
        answer = self._subacks.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result([code.value for code in codes])

    def _on_publish(
        self, _client: Any, _userdata: Any, mid: int, code: Any, _properties: Any
    ) -> None:
        answer = self._pending.get(mid)
        if answer is not None and not answer.done():
            refused = code is not None and code.is_failure
            answer.set_result(Outcome.NOT_SENT if refused else Outcome.ACKNOWLEDGED)

    def _on_message(self, client: Any, _userdata: Any, message: Any) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._intake.refuse("a topic that is no UTF-8", "its bytes are not UTF-8")
        else:
            self._take(topic, message)
        if message.qos:
            client.ack(message.mid, message.qos)

    def _on_plain(self, topic: str, payload: bytes, mid: int, dup: bool) -> None:
        if not mid or not self._intake.is_repeated(topic, payload, is_marked=dup):
            self._intake.take(topic, payload)
        if mid:
            self._client.ack(mid, 1)

    def _take(self, topic: str, message: Any) -> None:
        payload = message.payload
        if message.qos and self._intake.is_repeated(topic, payload, is_marked=message.dup):
            return
        self._intake.take(topic, payload, getattr(message, "properties", None))

    # ── orders ───────────────────────────────────────────────────────────────────────────────

    async def publish(
        self, topic: str, payload: bytes, qos: int, left_s: float, beside: Beside = NOTHING
    ) -> Outcome:
        """Publish an order and wait for what becomes of it; the link is up, and a slot is taken."""
        properties = self._properties(left_s, beside) if self._broker.version == "5" else None
        answer: asyncio.Future[Outcome] = self._loop.create_future()
        if qos == 2:
            return await self._publish_once(topic, payload, properties, answer)
        if not self._owns_socket():
            return Outcome.UNKNOWN if self.down.done() else Outcome.NOT_SENT
        packed: bytes = b"" if properties is None else properties.pack()  # type: ignore[no-untyped-call]
        if not self._client.put(topic, payload, qos, packed, answer):
            return (
                Outcome.NOT_SENT
            )  # the broker has left so many unanswered: what waited for it would be old
        self._be_patient(answer)
        return await answer

    async def _publish_once(
        self,
        topic: str,
        payload: bytes,
        properties: Properties | None,
        answer: asyncio.Future[Outcome],
    ) -> Outcome:
        """Publish with QoS 2, which is paho's."""
        info = self._client.publish(topic, payload, 2, retain=False, properties=properties)
        if info.rc in (MQTTErrorCode.MQTT_ERR_NO_CONN, MQTTErrorCode.MQTT_ERR_QUEUE_SIZE):
            return Outcome.NOT_SENT
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS or self.down.done():
            return Outcome.UNKNOWN
        self._pending[info.mid] = answer
        self._be_patient(answer)
        try:
            return await answer
        finally:
            self._pending.pop(info.mid, None)

    def _be_patient(self, answer: asyncio.Future[Outcome]) -> None:
        """End an answer as unknown when it does not come in time; one timer looks for all, since all have the same time."""
        while self._patience and self._patience[0][1].done():
            self._patience.popleft()
        self._patience.append((self._loop.time() + self._broker.ack_s, answer))
        if self._looks is None:
            self._looks = self._loop.call_at(self._patience[0][0], self._look)

    def _look(self) -> None:
        self._looks = None
        now = self._loop.time()
        while self._patience and (self._patience[0][0] <= now or self._patience[0][1].done()):
            _settle(self._patience.popleft()[1], Outcome.UNKNOWN)
        if self._patience:
            self._looks = self._loop.call_at(self._patience[0][0], self._look)

    def _properties(self, left_s: float, beside: Beside) -> Properties:
        """Return what stands beside an order: how long it counts, what it is, and where its answer goes."""
        if not (beside.properties or beside.reply_to):
            return self._expiry(left_s, beside.content_type)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = min(max(1, math.ceil(left_s)), 0xFFFF_FFFF)
        if beside.content_type:
            properties.ContentType = beside.content_type
        if beside.properties:
            properties.UserProperty = list(beside.properties)
        if beside.reply_to:
            properties.ResponseTopic = beside.reply_to
            properties.CorrelationData = beside.correlation.encode()
        return properties

    def _expiry(self, left_s: float, content_type: str) -> Properties:
        """Return the properties that let the broker drop the order in time; few different ones are ever made."""
        seconds = min(max(1, math.ceil(left_s)), 0xFFFF_FFFF)
        properties = self._expiries.get((seconds, content_type))
        if properties is None:
            properties = _Packed(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = seconds
            if content_type:
                properties.ContentType = content_type
            if len(self._expiries) < 1000:
                self._expiries[seconds, content_type] = properties
        return properties

    # ── the end ──────────────────────────────────────────────────────────────────────────────

    def _end(self, why: str) -> None:
        """Say once that the link is gone; whatever was on its way may have arrived or not."""
        self.is_up = False
        self._unwatch()
        _settle(self.down, why)
        for answer in self._pending.values():
            _settle(answer, Outcome.UNKNOWN)
        self._client.give_up(Outcome.UNKNOWN)

    def close(self) -> None:
        """End the link: say good-bye when there is somebody to say it to, and free the socket."""
        self._is_closed = True
        was_up = self.is_up
        self.is_up = False
        for timer in (self._timer, self._beats, self._looks):
            if timer is not None:
                timer.cancel()
        if was_up and not self.down.done():
            with suppress(Exception):
                self._say_good_bye()
        self._end("closed")
        self._close_socket()
        self._connack.cancel()
        for answer in self._subacks.values():
            answer.cancel()
        # A collector that looks rarely would keep the circle of link and client, with its buffers.
        self._timer = self._beats = self._looks = None
        self._patience.clear()
        self._client.let_go()

    def _say_good_bye(self) -> None:
        """Say that we go; what does not fit into the socket now is left to the last will."""
        presence = self._broker.presence
        if presence is not None:
            self._client.publish(presence.topic, presence.offline, qos=1, retain=True)
        self._client.disconnect()
        self._client.loop_write()

    def _close_socket(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            with suppress(OSError):
                sock.close()


class _Packed(Properties):
    """Properties that go with many orders: written out once."""

    def pack(self) -> bytes:
        """Return their bytes."""
        packed: bytes | None = self.__dict__.get("packed")
        if packed is None:
            packed = self.__dict__["packed"] = super().pack()  # type: ignore[no-untyped-call]
        return packed


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _connect_properties(broker: Broker) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = broker.session_expiry_s
    properties.ReceiveMaximum = broker.receive_maximum
    # Larger payloads than max_payload are refused and counted here; the broker keeps what would fill the memory.
    properties.MaximumPacketSize = max(1_048_576, min(4 * broker.max_payload, 268_435_455))
    return properties


def _subscriptions(part: Sequence[tuple[str, int]], version: str) -> list[tuple[str, Any]]:
    if version == "5":
        return [(name, SubscribeOptions(qos=qos)) for name, qos in part]
    return list(part)


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        """Agree on keys, or close."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _tls_context(tls: Tls) -> ssl.SSLContext:
    """Return a context that verifies the broker, TLS 1.2 or later; it never falls back."""
    context = ssl.create_default_context(cafile=tls.ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _TlsSocket
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key or None)
    return context
