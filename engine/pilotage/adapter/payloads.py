"""Bytes to values and values to bytes; pure, without network, clock or points.

Whatever a device may send ends in a value or in `Garbage`, never in another exception.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from pilotage.model.quality import Quality
from pilotage.model.values import Base, ValueType, as_plain

Path = Callable[[Any], Any]
"""Finds one value in a decoded document; raises `Garbage` when it is not there."""

Convert = Callable[[Any], Any]
"""Turns what a device said into a value of the point, or back; raises `Garbage`."""

Decode = Callable[[bytes], Any]
"""Turns a payload into a document; raises `Garbage`."""

Render = Callable[[Mapping[str, Any]], bytes]
"""Writes a payload from named values."""

SHOWN = 60
"""Characters of a payload that an error quotes."""

_STEP: Final = re.compile(
    r"""\.(?P<name>[^\W\d][\w-]*)|\[(?P<index>\d{1,6})\]|\["(?P<double>[^"]+)"\]|\['(?P<single>[^']+)'\]"""
)
_SLOT: Final = re.compile(r"\{([^{}]*)\}")
_SEPARATORS: Final = re.compile(r"[\s,;]+")
_WORDS: Final = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
_MILLISECONDS_FROM: Final = 1e11  # as seconds this is the year 5138, as milliseconds 1973

QUALITY_WORDS: Final[Mapping[str, Quality]] = {
    "good": Quality.GOOD,
    "ok": Quality.GOOD,
    "valid": Quality.GOOD,
    "recent": Quality.GOOD,
    "true": Quality.GOOD,
    "uncertain": Quality.UNCERTAIN,
    "old": Quality.UNCERTAIN,
    "substituted": Quality.UNCERTAIN,
    "bad": Quality.BAD,
    "invalid": Quality.BAD,
    "undefined": Quality.BAD,
    "unknown": Quality.BAD,
    "false": Quality.BAD,
    "missing": Quality.MISSING,
}
"""What devices call their own trust in a value, when `quality_map` says nothing else."""


class Garbage(ValueError):
    """A payload, or a value in it, that cannot be understood; the text says what and why."""


class BadTemplate(ValueError):
    """A path or template is written wrongly; the text says where."""


# ── paths ────────────────────────────────────────────────────────────────────────────────────


def compile_path(text: str) -> Path:
    """Return what finds `$.a.b[0]["c d"]` in a decoded document; `$` alone is the document.

    Raises:
        BadTemplate: The text is no such path.
    """
    steps = _path_steps(text)
    if len(steps) == 1 and isinstance(steps[0], str):
        return _one_key(steps[0], text)
    return _many_steps(steps, text)


def _path_steps(text: str) -> tuple[str | int, ...]:
    if not text.startswith("$"):
        raise BadTemplate(f'"{text}" does not begin with "$"')
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise BadTemplate(f'"{text[at:]}" in "{text}" is no step like .name, [0] or ["a name"]')
        index = match["index"]
        name = match["name"] or match["double"] or match["single"]
        steps.append(name if index is None else int(index))
        at = match.end()
    return tuple(steps)


def _one_key(key: str, text: str) -> Path:
    def find(document: Any) -> Any:
        try:
            return document[key]
        except (KeyError, TypeError, IndexError):
            raise Garbage(f"nothing at {text}") from None

    return find


def _many_steps(steps: tuple[str | int, ...], text: str) -> Path:
    def find(document: Any) -> Any:
        step: Any
        for step in steps:
            # A text would answer to [0] with its first letter.
            if not isinstance(document, dict if isinstance(step, str) else list):
                raise Garbage(f"nothing at {text}")
            try:
                document = document[step]
            except (KeyError, IndexError):
                raise Garbage(f"nothing at {text}") from None
        return document

    return find


# ── payloads in ──────────────────────────────────────────────────────────────────────────────

_decode = msgspec.json.Decoder().decode


def decode_json(payload: bytes) -> Any:
    """Return the document of a JSON payload (RFC 8259: no NaN, no Infinity).

    Raises:
        Garbage: It is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return _decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Garbage(f"no JSON ({error}): {quote(payload)}") from None


def decode_plain(payload: bytes, type_: ValueType) -> Any:
    """Return the value of a payload that is nothing but the value: `21.5`, `on`, `47.32,5.04`.

    Raises:
        Garbage: It is no UTF-8 text, or no value of the type.
    """
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError:
        raise Garbage(f"no UTF-8 text: {quote(payload)}") from None
    match type_.base:
        case Base.NUMBER:
            return _number(text)
        case Base.BOOLEAN:
            if text.lower() not in _WORDS:
                raise Garbage(f'"{text[:SHOWN]}" is neither true nor false')
            return _WORDS[text.lower()]
        case Base.POSITION:
            parts = text.split(",")
            if len(parts) != 2:
                raise Garbage(f'"{text[:SHOWN]}" is no "latitude,longitude"')
            return _number(parts[0]), _number(parts[1])
        case Base.SET:
            return _SEPARATORS.split(text) if text else []
        case _:
            return text


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise Garbage(f'"{text[:SHOWN]}" is no number') from None
    if not math.isfinite(value) or "_" in text:
        raise Garbage(f'"{text[:SHOWN]}" is no number')
    return value


def quote(payload: bytes) -> str:
    """Return the beginning of a payload as one line of printable text, for an error."""
    text = ascii(payload[:SHOWN].decode("utf-8", "backslashreplace"))
    return text + ("…" if len(payload) > SHOWN else "")


def time_of(raw: Any) -> float:
    """Return seconds since 1970 from a device's time: seconds, milliseconds, or ISO 8601 with a zone.

    Raises:
        Garbage: It is none of these.
    """
    if isinstance(raw, (int, float)) and not isinstance(raw, bool):
        return raw / 1000.0 if raw >= _MILLISECONDS_FROM else float(raw)
    if isinstance(raw, str):
        try:
            moment = datetime.fromisoformat(raw)
        except ValueError:
            try:
                return time_of(_number(raw))
            except Garbage:
                raise Garbage(f'"{raw[:SHOWN]}" is no time') from None
        if moment.tzinfo is None:
            raise Garbage(f'the time "{raw[:SHOWN]}" has no zone')
        return moment.timestamp()
    raise Garbage(f"{_show(raw)} is no time")


def quality_of(raw: Any, words: Mapping[str, Quality] = QUALITY_WORDS) -> Quality:
    """Return how far a device trusts its own value; a word nobody knows is bad.

    A status number is read as in OPC UA when it is large, as a percentage of trust never: 0 and 192 are good.
    """
    quality = words.get(_key(raw))
    if quality is not None:
        return quality
    return Quality.GOOD if raw in (0, 192) and not isinstance(raw, bool) else Quality.BAD


# ── values ───────────────────────────────────────────────────────────────────────────────────


def scale_in(factor: float, addend: float) -> Convert:
    """Return what turns a device's number into the point's: `raw * factor + addend`, to twelve digits."""

    def convert(raw: Any) -> Any:
        if raw.__class__ is not float and raw.__class__ is not int:
            raise Garbage(f"{_show(raw)} is no number")
        try:
            value = raw * factor + addend
        except OverflowError:
            raise Garbage("a number beyond all range") from None
        if not math.isfinite(value):
            raise Garbage(f"{_show(raw)} is no number")
        return float(f"{value:.12g}")

    return convert


def scale_out(factor: float, addend: float, digits: int | None = None) -> Convert:
    """Return the inverse of `scale_in`; `digits` rounds, and 0 gives a whole number."""

    def convert(value: Any) -> Any:
        raw = float(f"{(value - addend) / factor:.12g}")
        if digits is None:
            return raw
        return round(raw, digits) if digits else round(raw)

    return convert


def translate(table: Mapping[str, Any], *, strict: bool = True) -> Convert:
    """Return what looks a value up by its text: `true`, `1` and `on` are keys as JSON and people write them.

    Args:
        table: By `text_of` the value.
        strict: Refuse what is not in the table; otherwise it passes unchanged.
    """

    def convert(raw: Any) -> Any:
        try:
            return table[_key(raw)]
        except KeyError:
            if not strict:
                return raw
            raise Garbage(f"{_show(raw)} is none of {', '.join(table)}") from None

    return convert


def _key(raw: Any) -> str:
    return raw if isinstance(raw, str) else text_of(raw)


def text_of(value: Any) -> str:
    """Return a value as plain text: `true`, `30`, `0.5`, `47.32,5.04`; JSON for anything larger."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return f"{value:.12g}"
        case (float() | int() as latitude, float() | int() as longitude):
            return f"{latitude:.12g},{longitude:.12g}"
        case _:
            return msgspec.json.encode(as_plain(value)).decode()


def _show(raw: Any) -> str:
    if isinstance(raw, (str, int, float, bool)) or raw is None:
        text = "null" if raw is None else f'"{raw}"' if isinstance(raw, str) else text_of(raw)
        return text[:SHOWN]
    return "a list" if isinstance(raw, list) else "an object"


# ── payloads out ─────────────────────────────────────────────────────────────────────────────


def slots_of(template: Any) -> list[str]:
    """Return the names between braces anywhere in a template, in order of writing.

    Raises:
        BadTemplate: A brace is not closed or holds no name.
    """
    if isinstance(template, str):
        names = _SLOT.findall(template)
        rest = _SLOT.sub("", template)
        if "{" in rest or "}" in rest or any(not name.strip() for name in names):
            raise BadTemplate(f'a brace in "{template}" does not enclose a name')
        return names
    if isinstance(template, Mapping):
        return [name for item in template.values() for name in slots_of(item)]
    if isinstance(template, (list, tuple)):
        return [name for item in template for name in slots_of(item)]
    return []


def compile_payload(template: Any, encode: Callable[[Any], bytes] | None = None) -> Render:
    """Return what writes a payload: a text as it is, anything else as JSON, or both by a codec's `encode`.

    A text that is one placeholder and nothing else keeps the value's type: `"{value}"` in JSON is a number.
    In a plain payload every value becomes text. What `encode` raises becomes `Garbage`.
    """
    if encode is None and isinstance(template, str):
        return lambda values: _fill(template, values).encode()
    build, write = _builder(template), encode or msgspec.json.encode

    def render(values: Mapping[str, Any]) -> bytes:
        document = build(values)
        try:
            return write(document)
        except Exception as error:
            raise Garbage(f"cannot be written ({type(error).__name__}: {error})") from None

    return render


def _fill(template: str, values: Mapping[str, Any]) -> str:
    return _SLOT.sub(lambda match: text_of(values.get(match[1])), template)


def _builder(template: Any) -> Callable[[Mapping[str, Any]], Any]:
    if isinstance(template, str):
        whole = _SLOT.fullmatch(template)
        if whole is not None:
            name = whole[1]
            return lambda values: as_plain(values.get(name))
        return (lambda values: _fill(template, values)) if "{" in template else lambda _: template
    if isinstance(template, Mapping):
        parts = [(str(key), _builder(item)) for key, item in template.items()]
        return lambda values: {key: build(values) for key, build in parts}
    if isinstance(template, (list, tuple)):
        items = [_builder(item) for item in template]
        return lambda values: [build(values) for build in items]
    return lambda _: template
