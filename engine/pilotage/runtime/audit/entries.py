"""What a row of the audit is, and the chain: each row's hash covers the row before it.

Pure: no file, no clock. What names a person stands apart, under a salt of its own; the chain covers the salted digests
only, so that a person's data can be erased and the chain still holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

EMPTY: Final = bytes(32)
"""What the first row of a chain has before it."""
SALT_BYTES: Final = 16

FIELDS: Final = ("person", "account", "about", "reason", "address", "post")
"""What is told of people: who, by which account of the machine or the site, about whom, why in their words, from where, at which post."""

KINDS: Final = (
    *("command", "override", "plan", "alarm", "notice", "incident", "glass", "order"),
    *("log", "access", "rules", "engine", "audit"),
)
"""What a row is about: an order to equipment, an order of a person, a line that a person wrote, who comes in, the rules, the
engine, the audit itself."""

_encode: Final = msgspec.json.Encoder(order="sorted").encode
_decode: Final = msgspec.json.Decoder().decode


class Entry(NamedTuple):
    """One thing that was done, without what names a person.

    Attributes:
        kind: One of `KINDS`.
        action: What happened: `sent`, `done`, `set`, `refused`, `login`, …
        subject: The point, plan, alarm or rule set that it happened to.
        rule: The rule or `plan:NAME` that had it done; empty when a person or the engine itself did.
        identity: The hash of what that rule meant then.
        decision: Number of the decision that holds it, 0 when none does.
        origin: By which way it came: `engine`, `cli`, `web`, `socket`, `signal`.
        value: What was wanted, as JSON; empty when nothing was.
        detail: Everything else, as a JSON object: command id, outcome, the values that the condition had read, ….
        time: Seconds since 1970.
    """

    time: float
    kind: str
    action: str
    subject: str = ""
    rule: str = ""
    identity: str = ""
    decision: int = 0
    origin: str = "engine"
    value: str = ""
    detail: str = ""


class Row(NamedTuple):
    """An entry in its place in a chain; `private` holds a digest per field that is told of a person, as JSON."""

    partition: str
    number: int
    entry: Entry
    private: str
    hash: bytes


def as_json(value: Any) -> str:
    """Return a value as canonical JSON: keys in order, no blanks."""
    return _encode(value).decode()


def from_json(text: str) -> Any:
    """Return what a JSON text holds; None for an empty one.

    Raises:
        msgspec.DecodeError: It is no JSON.
    """
    return _decode(text) if text else None


def canonical(partition: str, number: int, entry: Sequence[Any], private: str) -> bytes:
    """Return the bytes of a row that the chain covers: a JSON array, so that no two rows have the same."""
    return _encode((partition, number, private, entry))


def chained(before: bytes, row: bytes) -> bytes:
    """Return the hash of a row after the row with the hash `before`."""
    return sha256(before + row).digest()


def salted(salt: bytes, field: str, value: str) -> str:
    """Return the digest of what is told of a person; without the salt it tells nothing."""
    return sha256(salt + field.encode() + b"\0" + value.encode()).hexdigest()


def told(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that are not empty.

    Raises:
        KeyError: There is no such field.
    """
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        raise KeyError(unknown[0])
    return {name: value for name, value in fields.items() if value}


def spans(numbers: Sequence[int]) -> list[list[int]]:
    """Return numbers in order as spans: 1, 2, 3, 7 is [[1, 3], [7, 7]]."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found
