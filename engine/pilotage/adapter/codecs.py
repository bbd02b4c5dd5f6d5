"""Payload codecs by name: JSON, MessagePack, and those that installed packages supply for the binary messages of their devices.

A vendor's package names its codec in the entry-point group `pilotage.codecs`; it is imported when a connection asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

import msgspec

from pilotage.adapter.payloads import Garbage, decode_json, quote

GROUP: Final = "pilotage.codecs"


class PayloadCodec(Protocol):
    """Turns payloads into documents (maps, lists, texts, numbers, true, false, null) and back."""

    def decode(self, payload: bytes) -> Any:
        """Return the document of a payload; whatever it raises means that the payload is garbage."""
        ...

    def encode(self, document: Any) -> bytes:
        """Return the payload of an order; whatever it raises means that the order is not sent."""
        ...


class UnknownCodecError(LookupError):
    """There is no such codec, or its package is broken; the text says which."""


class _Json:
    def decode(self, payload: bytes) -> Any:
        return decode_json(payload)

    def encode(self, document: Any) -> bytes:
        return msgspec.json.encode(document)


class _MessagePack:
    def decode(self, payload: bytes) -> Any:
        return msgspec.msgpack.decode(payload)

    def encode(self, document: Any) -> bytes:
        return msgspec.msgpack.encode(document)


BUILT_IN: Final[Mapping[str, PayloadCodec]] = {"json": _Json(), "msgpack": _MessagePack()}


def codec_names() -> list[str]:
    """Return the names of all codecs that are there, without importing any."""
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))})


def find_codec(name: str) -> PayloadCodec:
    """Return a codec by name.

    Raises:
        UnknownCodecError: Nobody supplies it, two packages do, or the one that does cannot be used.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not found:
        raise UnknownCodecError(f'there is no codec "{name}"')
    if len({entry.value for entry in found}) > 1:
        raise UnknownCodecError(f'several packages supply a codec "{name}"')
    try:
        made = found[0].load()
        codec: PayloadCodec = made() if isinstance(made, type) else made
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise UnknownCodecError(f'codec "{name}" cannot be loaded: {why}') from error
    if not (callable(getattr(codec, "decode", None)) and callable(getattr(codec, "encode", None))):
        raise UnknownCodecError(f'codec "{name}" has no "decode" and "encode"')
    return codec


def guarded(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return a decoder whose every error is `Garbage`: a vendor's mistake costs one message."""

    def decode_guarded(payload: bytes) -> Any:
        try:
            return decode(payload)
        except Garbage:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise Garbage(f"the codec refuses it ({why[:80]}): {quote(payload)}") from None

    return decode_guarded
