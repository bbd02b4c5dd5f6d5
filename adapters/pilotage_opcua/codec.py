"""Addresses, status codes and values of OPC UA; pure, without network, clock, points or protocol library.

Whatever a server may send ends in a value or in `Garbage`, never in another exception.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pilotage.model.quality import Quality
from pilotage.model.values import Base, ValueType, as_plain

Convert = Callable[[Any], Any]
"""Turns what a server said into a value of the point, or back; raises `Garbage`."""

Build = Callable[[Mapping[str, Any]], Any]
"""Makes an argument of a method from named values."""

_LARGEST: Final = 1.7976931348623157e308
SHOWN: Final = 60
"""Characters of a value that an error quotes."""

_SLOT: Final = re.compile(r"\{([^{}]*)\}")
_NODE: Final = re.compile(
    r"(?:(?:ns=(?P<index>\d{1,5})|nsu=(?P<uri>[^;]+));)?(?P<kind>[isgb])=(?P<name>.+)", re.S
)
_STEP: Final = re.compile(r"(?:(?P<index>\d{1,5}):)?(?P<name>.+)", re.S)


class Garbage(ValueError):
    """A value that cannot be understood or written; the text says what and why."""


class BadAddress(ValueError):
    """A node id, browse path or template is written wrongly; the text says where."""


# ── addresses ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Address:
    """A node, by its id or by the way to it.

    Attributes:
        text: As a person writes it.
        namespace: Index, or URI (its index may change when the server restarts).
        identifier: None for a browse path.
        steps: Namespace index and name of each step below the root.
    """

    text: str
    namespace: int | str = 0
    identifier: int | str | bytes | uuid.UUID | None = None
    steps: tuple[tuple[int, str], ...] = ()

    @property
    def is_path(self) -> bool:
        """True when the server must be asked for the id."""
        return bool(self.steps)


@dataclass(frozen=True, slots=True)
class AddressTemplate:
    """An address with placeholders: `ns=2;s=City.{id}.Level` or `/Objects/2:City/2:{id}`."""

    text: str
    slots: tuple[str, ...]

    def fill(self, values: Mapping[str, str]) -> Address:
        """Return the address with each placeholder replaced; a value is never read as a separator.

        Raises:
            BadAddress: The text that results is no address.
        """
        if self.text.startswith("/"):
            return _path(self.text, values)
        return _node(_put(self.text, values))


def parse_address(text: str) -> AddressTemplate:
    """Return the template that a text describes.

    Raises:
        BadAddress: It is neither a node id nor a browse path; the text says what is wrong.
    """
    names = slots_of(text)
    template = AddressTemplate(text, tuple(names))
    template.fill(dict.fromkeys(names, "1"))
    return template


def _put(text: str, values: Mapping[str, str]) -> str:
    return _SLOT.sub(lambda match: values[match[1]], text)


def _node(text: str) -> Address:
    match = _NODE.fullmatch(text)
    if match is None:
        raise BadAddress(
            f'"{text}" is neither a node id (ns=2;s=NAME, ns=2;i=NUMBER, nsu=URI;s=NAME) nor a path (/Objects/2:NAME)'
        )
    index = int(match["index"] or 0)
    if index > 0xFFFF:
        raise BadAddress(f'the namespace {index} in "{text}" is above 65535')
    namespace: int | str = match["uri"] or index
    return Address(text, namespace, _identifier(match["kind"], match["name"], text))


def _identifier(kind: str, name: str, text: str) -> int | str | bytes | uuid.UUID:
    try:
        match kind:
            case "i":
                if not name.isascii() or not name.isdigit() or int(name) > 0xFFFF_FFFF:
                    raise BadAddress(f'"i={name}" in "{text}" is no whole number below 4294967296')
                return int(name)
            case "g":
                return uuid.UUID(name)
            case "b":
                return base64.b64decode(name, validate=True)
    except binascii.Error:
        raise BadAddress(f'"b={name}" in "{text}" is no base64') from None
    except ValueError as error:
        if isinstance(error, BadAddress):
            raise
        raise BadAddress(f'"g={name}" in "{text}" is no GUID') from None
    return name


def _path(text: str, values: Mapping[str, str]) -> Address:
    steps: list[tuple[int, str]] = []
    for part in text[1:].split("/"):
        match = _STEP.fullmatch(part)
        if match is None or int(match["index"] or 0) > 0xFFFF:
            raise BadAddress(f'"{part}" in "{text}" is no step like 2:NAME')
        steps.append((int(match["index"] or 0), _put(match["name"], values)))
    return Address(_put(text, values), steps=tuple(steps))


# ── status codes ─────────────────────────────────────────────────────────────────────────────


def quality_of(status: int) -> Quality:
    """Return how far a value with this StatusCode can be trusted: by its severity, bits 30 and 31.

    Source: OPC 10000-4, StatusCode: 00 good, 01 uncertain, 10 bad, 11 reserved and to be treated as bad.
    """
    return (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)[(status >> 30) & 3]


REFUSALS: Final[Mapping[int, str]] = {
    0x800B_0000: "BadServiceUnsupported",
    0x801F_0000: "BadUserAccessDenied",
    0x8033_0000: "BadNodeIdInvalid",
    0x8034_0000: "BadNodeIdUnknown",
    0x8035_0000: "BadAttributeIdInvalid",
    0x8036_0000: "BadIndexRangeInvalid",
    0x803B_0000: "BadNotWritable",
    0x803C_0000: "BadOutOfRange",
    0x803D_0000: "BadNotSupported",
    0x8040_0000: "BadNotImplemented",
    0x8073_0000: "BadWriteNotSupported",
    0x8074_0000: "BadTypeMismatch",
    0x8075_0000: "BadMethodInvalid",
    0x8076_0000: "BadArgumentsMissing",
    0x80AB_0000: "BadInvalidArgument",
    0x80E5_0000: "BadTooManyArguments",
    0x80E6_0000: "BadSecurityModeInsufficient",
    0x8111_0000: "BadNotExecutable",
}
"""Codes that say for sure that nothing was done; any other bad code leaves it open."""

GONE: Final = frozenset({0x8033_0000, 0x8034_0000})
"""The node is not there (any more)."""


def is_refusal(status: int) -> bool:
    """Return whether a server with this answer has certainly not done what was asked."""
    return (status & 0xFFFF_0000) in REFUSALS


# ── values in ────────────────────────────────────────────────────────────────────────────────


def incoming(
    type_: ValueType,
    factor: float = 1.0,
    addend: float = 0.0,
    table: Mapping[str, Any] | None = None,
) -> Convert:
    """Return what turns a server's value into one of a point's type.

    Args:
        type_: Type of the point.
        factor: `value = raw * factor + addend`, for numbers.
        addend: As above.
        table: Values by `text_of` what the server says; what it does not have is garbage.
    """
    accept = _ACCEPT.get(type_.base, _as_it_is)
    if table is not None:
        words = dict(table)
        return lambda raw: accept(_looked_up(words, raw), type_)
    if type_.base is Base.NUMBER and (factor, addend) != (1.0, 0.0):
        return lambda raw: _scaled(_number(raw, type_), factor, addend)
    return lambda raw: accept(raw, type_)


def _looked_up(table: Mapping[str, Any], raw: Any) -> Any:
    try:
        return table[text_of(raw)]
    except KeyError:
        raise Garbage(f"{show(raw)} is none of {', '.join(table)}") from None


def _number(raw: Any, _type: ValueType) -> float:
    is_number = isinstance(raw, (int, float)) and not isinstance(raw, bool)
    # An integer can be longer than any float.
    if not is_number or not -_LARGEST <= raw <= _LARGEST:
        raise Garbage(f"{show(raw)} is no number")
    return float(raw) if isinstance(raw, float) else int(raw)


def _scaled(raw: float, factor: float, addend: float) -> float:
    value = raw * factor + addend
    if not math.isfinite(value):
        raise Garbage("a number beyond all range")
    return float(f"{value:.12g}")


def _truth(raw: Any, _type: ValueType) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, int) and raw in (0, 1):  # many controllers have no booleans
        return bool(raw)
    raise Garbage(f"{show(raw)} is neither true nor false")


def _text(raw: Any, _type: ValueType) -> str:
    text = raw if isinstance(raw, str) else getattr(raw, "Text", None)
    if not isinstance(text, str):
        raise Garbage(f"{show(raw)} is no text")
    return text


def _member(raw: Any, type_: ValueType) -> str:
    text = _text(raw, type_)
    if text not in type_.members:
        raise Garbage(f"{show(text)} is not {type_}")
    return text


def _position(raw: Any, type_: ValueType) -> tuple[float, float]:
    if not isinstance(raw, (list, tuple)) or len(raw) != 2:
        raise Garbage(f"{show(raw)} is no array of latitude and longitude")
    return _number(raw[0], type_), _number(raw[1], type_)


def _texts(raw: Any, type_: ValueType) -> list[str]:
    if not isinstance(raw, (list, tuple)):
        raise Garbage(f"{show(raw)} is no array of texts")
    return [_text(item, type_) for item in raw]


def _as_it_is(raw: Any, _type: ValueType) -> Any:
    return raw


_ACCEPT: Final[Mapping[Base, Callable[[Any, ValueType], Any]]] = {
    Base.NUMBER: _number,
    Base.TIME: _number,
    Base.BOOLEAN: _truth,
    Base.TEXT: _text,
    Base.ENTITY: _text,
    Base.ENUM: _member,
    Base.POSITION: _position,
    Base.SET: _texts,
}


# ── values out ───────────────────────────────────────────────────────────────────────────────


def outgoing(
    factor: float = 1.0, addend: float = 0.0, table: Mapping[str, Any] | None = None
) -> Convert:
    """Return what turns a value of a point into the server's: the inverse of `incoming`."""
    if table is not None:
        words = dict(table)
        return lambda value: _looked_up(words, value)
    if (factor, addend) == (1.0, 0.0):
        return lambda value: value
    return lambda value: float(f"{(value - addend) / factor:.12g}")


WHOLE: Final[Mapping[str, tuple[int, int]]] = {
    "SByte": (-(2**7), 2**7 - 1),
    "Byte": (0, 2**8 - 1),
    "Int16": (-(2**15), 2**15 - 1),
    "UInt16": (0, 2**16 - 1),
    "Int32": (-(2**31), 2**31 - 1),
    "UInt32": (0, 2**32 - 1),
    "Int64": (-(2**63), 2**63 - 1),
    "UInt64": (0, 2**64 - 1),
}
"""Least and greatest number of each integer type."""

GREATEST_FLOAT: Final = 3.4028234663852886e38


def fit(value: Any, type_name: str) -> Any:
    """Return a value as a node of this built-in type takes it; a number is rounded for an integer.

    Raises:
        Garbage: It does not fit; nothing may be written then.
    """
    if isinstance(value, (list, tuple)):
        return [fit(item, type_name) for item in value]
    if type_name in WHOLE:
        return _whole(value, type_name)
    match type_name:
        case "Boolean":
            return _truth(value, _NO_TYPE)
        case "Float" | "Double":
            number = float(_number(value, _NO_TYPE))
            if type_name == "Float" and abs(number) > GREATEST_FLOAT:
                raise Garbage(f"{show(value)} does not fit into Float")
            return number
        case "String" | "LocalizedText":
            return text_of(value)
    raise Garbage(f"a node of type {type_name} cannot be written")


_NO_TYPE: Final = ValueType(Base.ANY)


def _whole(value: Any, type_name: str) -> int:
    if isinstance(value, str):
        raise Garbage(f"{show(value)} is no number")
    number = round(_number(int(value) if isinstance(value, bool) else value, _NO_TYPE))
    low, high = WHOLE[type_name]
    if not low <= number <= high:
        raise Garbage(f"{show(value)} does not fit into {type_name} ({low} to {high})")
    return number


# ── texts and placeholders ───────────────────────────────────────────────────────────────────


def text_of(value: Any) -> str:
    """Return a value as plain text: `true`, `30`, `0.5`; the text of a LocalizedText."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(int(value))
        case float():
            return f"{value:.12g}"
    text = getattr(value, "Text", None)
    return text if isinstance(text, str) else str(as_plain(value))


def show(raw: Any) -> str:
    """Return a value on one line of printable characters, for an error."""
    if isinstance(raw, (list, tuple)):
        return "an array"
    if raw is None:
        return "nothing"
    quoted = f'"{raw}"' if isinstance(raw, str) else text_of(raw)
    plain = quoted if quoted.isprintable() else ascii(quoted)
    return plain[:SHOWN] + ("…" if len(plain) > SHOWN else "")


def slots_of(template: Any) -> list[str]:
    """Return the names between braces in a text, in order of writing; none in anything else.

    Raises:
        BadAddress: A brace is not closed or holds no name.
    """
    if not isinstance(template, str):
        return []
    names = _SLOT.findall(template)
    rest = _SLOT.sub("", template)
    if "{" in rest or "}" in rest or any(not name.strip() for name in names):
        raise BadAddress(f'a brace in "{template}" does not enclose a name')
    return names


def compile_argument(template: Any) -> Build:
    """Return what makes an argument; a text that is one placeholder alone keeps the value's type."""
    if not isinstance(template, str) or "{" not in template:
        return lambda _values: template
    whole = _SLOT.fullmatch(template)
    if whole is not None:
        name = whole[1]
        return lambda values: values.get(name)
    return lambda values: _SLOT.sub(lambda match: text_of(values.get(match[1])), template)
