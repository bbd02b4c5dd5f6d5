"""An engine's state as one string of bytes: its image, and in plain words what lasts when the image cannot be read."""

from __future__ import annotations

import hashlib
import sys
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

import pilotage.core
from pilotage.core.carried import VERSION, essentials
from pilotage.core.compiled import is_compiled
from pilotage.core.engine import Engine
from pilotage.core.image import ImageError, dump, load_with
from pilotage.model.entities import Function

QUICKLY: Final = 1
"""zlib's level: a tenth of the bytes, at the speed of the disk."""
_ROOMS: Final = ("model", "language", "core")


class StateUnusableError(Exception):
    """A kept state cannot become an engine again; the text says why."""


class Summary(msgspec.Struct, frozen=True):
    """What was said of a city when it was read, and what it was read from (nothing, when the engine is not of that)."""

    origins: dict[str, str]
    plugins: str
    settings: str
    digest: str
    rules: int
    warnings: tuple[str, ...]
    promises: dict[str, float]
    identities: dict[str, str]
    inventory: str
    city: str


class _State(msgspec.Struct):
    image: bytes
    kept: bytes
    summary: Summary
    code: str


def dump_state(engine: Engine, summary: Summary, memory: Any = None) -> bytes:
    """Return the state of an engine between two ticks.

    Args:
        engine: The engine.
        summary: What was said of its city.
        memory: What is remembered of reading it, as plain records.
    """
    image = zlib.compress(dump(engine, code(), memory), QUICKLY)
    kept = zlib.compress(msgspec.json.encode(essentials(engine)), QUICKLY)
    return msgspec.msgpack.encode(_State(image, kept, summary, code()))


def summary_of(state: bytes) -> Summary | None:
    """Return what was said of the city; None when that cannot be read, or other code said it."""
    try:
        found = _read(state)
    except StateUnusableError:
        return None
    return found.summary if found.code == code() else None


def load_state(state: bytes, functions: Mapping[str, Function]) -> Engine:
    """Return the engine of a state.

    Raises:
        StateUnusableError: Its image is of other code, is damaged, or calls a function that no plugin brings.
    """
    return load_state_and_memory(state, functions)[0]


def load_state_and_memory(state: bytes, functions: Mapping[str, Function]) -> tuple[Engine, Any]:
    """Return the engine of a state, and what was remembered of reading its city.

    Raises:
        StateUnusableError: Its image is of other code, is damaged, or calls a function that no plugin brings.
    """
    try:
        return load_with(zlib.decompress(_read(state).image), functions, code())
    except (ImageError, zlib.error) as error:
        raise StateUnusableError(str(error)) from error


def kept_of(state: bytes) -> dict[str, Any]:
    """Return what lasts, from a state whose image cannot be read.

    Raises:
        StateUnusableError: It is damaged, or written in words that this engine does not know.
    """
    try:
        kept: dict[str, Any] = msgspec.json.decode(zlib.decompress(_read(state).kept))
    except (msgspec.DecodeError, zlib.error) as error:
        raise StateUnusableError(f"the state cannot be read: {error}") from error
    if kept.get("version") != VERSION:
        raise StateUnusableError(f"the state is of version {kept.get('version')}, not {VERSION}")
    return kept


def _read(state: bytes) -> _State:
    try:
        return msgspec.msgpack.decode(state, type=_State)
    except msgspec.DecodeError as error:
        raise StateUnusableError(f"the state cannot be read: {error}") from error


@cache
def code() -> str:
    """Return what names the code that an image belongs to: another has other rooms, and cannot take it up."""
    digest = hashlib.sha256(f"{sys.version} {is_compiled()}".encode())
    folder = Path(pilotage.core.__file__).parents[1]
    for room in _ROOMS:
        for file in sorted((folder / room).glob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
