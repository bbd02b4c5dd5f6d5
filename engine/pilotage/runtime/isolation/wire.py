"""What travels between the engine and a process with an adapter: msgpack messages, each behind its length.

Points cross by their ids. The engine decodes every message against its type, so that what a plugin sends is well-formed or
refused as a whole; nothing is ever unpickled.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

import msgspec

from pilotage.adapter import ConnectionSettings
from pilotage.adapter.secret import Secret
from pilotage.model.entities import EntitySpec, Kind
from pilotage.model.messages import CallOut, Command, Request
from pilotage.model.quality import Quality
from pilotage.model.values import as_plain

FROM_CHILD: Final = 1 << 20
"""Bytes of the longest message that the engine takes from a plugin's process."""
FROM_ENGINE: Final = 1 << 30

READINGS: Final = 250
"""Readings in one message."""
IDS: Final = 5_000
"""Ids of points in one message."""

QUALITIES: Final = tuple(Quality)
QUALITY_NUMBERS: Final = {quality: number for number, quality in enumerate(QUALITIES)}

_HEAD: Final = 4
_SECRET: Final = 1  # the extension type of a secret


class GarbledError(Exception):
    """What came is no message."""


class Message(msgspec.Struct, array_like=True, tag=True):
    """The base of all messages."""


# ── from the engine to the keeper ────────────────────────────────────────────────────────────


class Time(Message, tag=1):
    """The city's time `now` at the machine's monotonic time, and how many times as fast it runs."""

    now: float
    monotonic: float
    speed: float


class Site(msgspec.Struct, array_like=True, frozen=True):
    """The city as an adapter may see it while it binds: kinds and entities, no values."""

    name: str
    kinds: list[Kind]
    entities: list[EntitySpec]


class Settings(msgspec.Struct, array_like=True, frozen=True):
    """One connection, with the secrets that it names and no others."""

    name: str
    adapter: str
    options: dict[str, Any]
    place: str

    def thaw(self) -> ConnectionSettings:
        """Return them as an adapter gets them."""
        return ConnectionSettings(self.name, self.adapter, self.options, self.place)


class Keep(Message, tag=2):
    """The first message: what to load, for which connection, within which limits."""

    entry: str
    path: list[str]
    memory: int
    settings: Settings
    site: Site
    time: Time
    lock: str = ""
    log_level: str = "info"
    log_format: str = "text"


class Fork(Message, tag=3):
    """Start a child with the socket that comes along."""


class Warm(Message, tag=4):
    """Import what the child has imported, so that the next one has it already."""

    modules: list[str]


# ── from the keeper to the engine ────────────────────────────────────────────────────────────


class Loaded(Message, tag=10):
    """The plugin is imported."""


class Failed(Message, tag=11):
    """The process is of no use: the plugin cannot be loaded, its adapter not be opened, or its memory is used up."""

    why: str


class Forked(Message, tag=12):
    """The child runs."""

    pid: int


class Exited(Message, tag=13):
    """The child is gone; `status` as of `waitpid`."""

    pid: int
    status: int


# ── from the engine to the child ─────────────────────────────────────────────────────────────


class Run(Message, tag=20):
    """Run the adapter; answered with `Ended` when that ends."""


class Stop(Message, tag=21):
    """Cancel the adapter and exit."""


class SendCommand(Message, tag=22):
    """Send this; answered with `Sent`."""

    number: int
    order: Command


class SendRequest(Message, tag=23):
    """Send this; answered with `Sent`."""

    number: int
    order: Request


class SendCall(Message, tag=24):
    """Send this; answered with `Sent`."""

    number: int
    order: CallOut


# ── from the child to the engine ─────────────────────────────────────────────────────────────


class Bound(Message, tag=30):
    """Some of the points and calls that the adapter can be sent orders for; the last message has `more` false."""

    points: list[str]
    calls: list[str]
    more: bool
    modules: list[str]


class Readings(Message, tag=31):
    """(point, raw value, number of the quality, source time) of each, in order; `dropped` older ones were left out."""

    items: list[tuple[str, Any, int, float | None]]
    dropped: int


class Answer(Message, tag=32):
    """`Door.call_result`."""

    call: str
    status: str
    detail: str


class Connected(Message, tag=33):
    """`Door.connected`."""

    detail: str


class Lost(Message, tag=34):
    """`Door.lost`."""

    points: list[str]
    detail: str


class Refused(Message, tag=35):
    """`Door.refused`, so many times."""

    source: str
    why: str
    times: int


class Sent(Message, tag=36):
    """What became of an order, in the words of `Outcome`; `error` when the adapter raised."""

    number: int
    outcome: str
    error: str


class Ended(Message, tag=37):
    """The adapter's `run` ended; `mistake` for anything but a lost link."""

    why: str
    mistake: bool


class Beat(Message, tag=38):
    """The child's event loop turns; so many things wait to be sent."""

    waiting: int


ToKeeper = Keep | Fork | Warm
FromKeeper = Loaded | Failed | Forked | Exited
ToChild = Time | Run | Stop | SendCommand | SendRequest | SendCall
FromChild = (
    Failed | Bound | Readings | Answer | Connected | Lost | Refused | Sent | Ended | Beat
)  # fmt: skip


# ── bytes ────────────────────────────────────────────────────────────────────────────────────


def _enc_hook(value: Any) -> Any:
    """Return what may stand for an object that msgpack does not know: an entity's id, a list for a set."""
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if hasattr(value, "id"):
        return as_plain(value)
    raise NotImplementedError(
        f"a value of the type {type(value).__name__} cannot leave its process"
    )


def ext_hook(code: int, data: memoryview) -> Any:
    """Return a secret again."""
    if code == _SECRET:
        return Secret(bytes(data).decode())
    raise GarbledError(f"unknown extension {code}")


ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_enc_hook)


class Decoder:
    """Turns bytes into messages of a direction; keeps what is still incomplete."""

    def __init__(self, types: Any, limit: int) -> None:
        self._decoder = msgspec.msgpack.Decoder(types, ext_hook=ext_hook)
        self._limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Return the messages that are complete now, in order.

        Raises:
            GarbledError: This is no message, or it is too long.
        """
        rest, at, found = self._rest, 0, []
        rest += data
        while len(rest) - at >= _HEAD:
            length = int.from_bytes(rest[at : at + _HEAD], "big")
            if length > self._limit:
                raise GarbledError(f"a message of {length:,} bytes, longer than {self._limit:,}")
            end = at + _HEAD + length
            if len(rest) < end:
                break
            found.append(self._decode(bytes(rest[at + _HEAD : end])))
            at = end
        del rest[:at]
        return found

    def _decode(self, body: bytes) -> Any:
        try:
            return self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, GarbledError) as error:
            raise GarbledError(f"a message that is none: {error}") from error


def encode(message: Message) -> bytes:
    """Return a message with its length before it.

    Raises:
        TypeError, ValueError, OverflowError: It holds something that cannot cross.
    """
    try:
        body = ENCODER.encode(message)
    except (NotImplementedError, RecursionError) as error:
        raise TypeError(str(error)) from error
    return len(body).to_bytes(_HEAD, "big") + body


def search_path() -> list[str]:
    """Return where this process looks for modules, with absolute paths."""
    return [os.path.abspath(path) for path in sys.path]  # noqa: PTH100 # "" is the working folder


def freeze(settings: ConnectionSettings) -> Settings:
    """Return the settings of a connection as they cross."""
    options = {str(key): _packed(value) for key, value in settings.options.items()}
    return Settings(settings.name, settings.adapter, options, settings.place)


def _packed(value: Any) -> Any:
    if isinstance(value, Secret):
        return msgspec.msgpack.Ext(_SECRET, value.reveal().encode())
    if isinstance(value, dict):
        return {str(key): _packed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_packed(item) for item in value]
    return value
