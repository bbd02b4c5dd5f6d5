"""What travels between the engine and the process that writes its audit: msgpack messages, each behind its length."""

from __future__ import annotations

import socket
from typing import Any, Final, TypeVar

import msgspec

from pilotage.runtime.audit.entries import Entry

M = TypeVar("M")

HEAD: Final = 4


class Message(msgspec.Struct, array_like=True, tag=True):
    """The base of all messages."""


# ── from the engine ──────────────────────────────────────────────────────────────────────────


class Time(Message):
    """The engine's time `now` at the machine's monotonic time, and how many times as fast it runs; it is answered at once."""

    now: float
    monotonic: float
    speed: float


class Begin(Message):
    """The files, and the name of this life of the engine: what is asked twice in it is done once."""

    number: int
    path: str
    journal: str
    anchor_folder: str
    partitions: list[str]
    lazy_s: float
    life: str


class Committed(Message):
    """There are new decisions in the journal."""


class CatchUp(Message):
    """Take up all that the journal holds."""

    number: int


class HowItEnded(Message):
    """Say how the life before ended."""

    number: int


class Record(Message):
    """Write a row."""

    number: int
    entry: Entry
    private: dict[str, str]


class Rules(Message):
    """Write that a rule set comes into force."""

    number: int
    digest: str
    identities: dict[str, str]
    entry: Entry
    private: dict[str, str]


class Erase(Message):
    """Erase what is told of a person."""

    number: int
    person: str
    private: dict[str, str]
    origin: str


class Forget(Message):
    """Seal and delete the rows before a time."""

    number: int
    before: float


class Scrub(Message):
    """Take deleted rows out of the log beside the file."""

    number: int


class Close(Message):
    """Write a last row, and end."""

    number: int
    entry: Entry | None
    private: dict[str, str]


Ask = Begin | CatchUp | HowItEnded | Record | Rules | Erase | Forget | Scrub | Close
ToChild = Ask | Time | Committed


# ── from the process ─────────────────────────────────────────────────────────────────────────


class Answer(Message):
    """What became of an ask; `why` says why it failed, `is_closed` that the audit took no more."""

    number: int
    value: int | str | None = None
    why: str = ""
    is_closed: bool = False


class Heard(Message):
    """The time was heard: this process lives."""


class Reached(Message):
    """The decisions were taken up, up to this one of each partition."""

    numbers: dict[str, int]


class Raised(Message):
    """Something is wrong; as `HealthLog.raised`."""

    code: str
    text: str
    mend: str
    severity: str


class Cleared(Message):
    """It is right again."""

    code: str


class Counted(Message):
    """A counter goes up."""

    name: str
    by: int


class Remarked(Message):
    """A line for the log, at most one a minute under its key."""

    key: str
    text: str


Told = Raised | Cleared | Counted | Remarked
FromChild = Answer | Heard | Reached | Told

_encode: Final = msgspec.msgpack.Encoder().encode
TO_CHILD: Final = msgspec.msgpack.Decoder(ToChild)
FROM_CHILD: Final = msgspec.msgpack.Decoder(FromChild)


def send(sock: socket.socket, message: Message) -> None:
    """Send a message whole; blocks while the other end does not read.

    Raises:
        OSError: Nobody is at the other end.
    """
    body = _encode(message)
    sock.sendall(len(body).to_bytes(HEAD, "big") + body)


def receive(sock: socket.socket, decoder: msgspec.msgpack.Decoder[M]) -> M | None:
    """Return the next message, None when the other end is gone."""
    head = _exactly(sock, HEAD)
    body = None if head is None else _exactly(sock, int.from_bytes(head, "big"))
    return None if body is None else decoder.decode(body)


def _exactly(sock: socket.socket, size: int) -> Any:
    found = bytearray()
    while len(found) < size:
        try:
            some = sock.recv(min(size - len(found), 1 << 20))
        except OSError:
            return None
        if not some:
            return None
        found += some
    return found
