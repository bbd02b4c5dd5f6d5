"""What the journal keeps of a tick, as JSON: its inputs, compact and versioned, and back again; and its decision."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import Any, Final, get_args, get_type_hints

import msgspec

from pilotage.core.store import to_value
from pilotage.model import messages
from pilotage.model.messages import Decision, Input, PointHandle, Reading
from pilotage.model.quality import Quality
from pilotage.model.values import Position, as_plain

VERSION: Final = 1

_ENCODER: Final = msgspec.json.Encoder(enc_hook=as_plain)
_CANONICAL: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final = msgspec.json.Decoder()
_PLAIN: Final = frozenset({str, float, int, bool, type(None)})

_TYPES: Final[dict[str, type[Any]]] = {
    kind.__name__: kind
    for kind in vars(messages).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind)
}


def encode_inputs(inputs: Sequence[Input]) -> bytes:
    """Return the inputs of a tick as JSON: `[1, input, …]`, the version first.

    A reading is `[point, value, quality, source time]`; everything else is an object with its type under `event`.
    """
    rows: list[Any] = [VERSION]
    for item in inputs:
        if type(item) is Reading:
            point, value, quality, source_time = item
            rows.append((point.id, value, quality, source_time))
        else:
            rows.append(to_record(item))
    return _ENCODER.encode(rows)


def check_envelope(data: bytes) -> None:
    """See that an envelope can be read; what it says is not judged.

    Raises:
        ValueError: It is no envelope, or of a version that this engine does not know.
    """
    rows = _DECODER.decode(data)
    if not isinstance(rows, list) or not rows:
        raise ValueError("it is no list of inputs")
    if rows[0] != VERSION:
        raise ValueError(f"inputs of version {rows[0]}; this engine reads version {VERSION}")
    for row in rows[1:]:
        is_reading = isinstance(row, list) and len(row) == 4
        if not is_reading and not (isinstance(row, dict) and row.get("event") in _TYPES):
            raise ValueError(f"{str(row)[:60]} is no input")


def decode_inputs(
    data: bytes, points: Mapping[str, PointHandle], entities: Mapping[str, Any]
) -> list[Input]:
    """Return the inputs of an envelope, bound to the points and entities of a city.

    Readings of points that the city does not have any more are left out.

    Raises:
        ValueError: The envelope is of a version that this engine does not know.
    """
    version, *rows = _DECODER.decode(data)
    if version != VERSION:
        raise ValueError(f"inputs of version {version}; this engine reads version {VERSION}")
    inputs: list[Input] = []
    for row in rows:
        if isinstance(row, dict):
            inputs.append(_from_record(row))
            continue
        id_, value, quality, source_time = row
        point = points.get(id_)
        if point is not None:
            inputs.append(
                Reading(point, to_value(point.spec, value, entities), Quality(quality), source_time)
            )
    return inputs


def _from_record(row: dict[str, Any]) -> Any:
    """Return the input that a record describes."""
    kind = _TYPES[row.pop("event")]
    if kind is messages.CommandResult:
        row["outcome"] = messages.Outcome(row["outcome"])
    if kind in (messages.Reconnected, messages.GatewaysChanged, messages.ConnectionPaced):
        row["points"] = tuple(row["points"])
    if kind is messages.Override and isinstance(row["value"], list):
        row["value"] = Position(*row["value"])
    return kind(**row)


def encode_decision(decision: Decision) -> bytes:
    """Return a decision as canonical JSON: the same decision gives the same bytes in any process."""
    record = {
        "number": decision.number,
        "now": round(decision.now, 6),
        "events": [to_record(e) for e in decision.events],
    }
    return _CANONICAL.encode(record)


def is_same(record: bytes, other: bytes) -> bool:
    """Return whether two records of decisions say the same: an earlier version wrote 1e-05 where this one writes 0.00001.

    Raises:
        ValueError: One of them is no JSON.
    """
    return bool(_DECODER.decode(record) == _DECODER.decode(other))


def to_record(event: Any) -> dict[str, Any]:
    """Return an event as plain JSON types, with its type under `event`."""
    kind: Any = type(event)
    names, values_of, mixed = _reader(kind)
    record: dict[str, Any] = dict(zip(names, values_of(event), strict=True))
    for name in mixed:
        value = record[name]
        if type(value) not in _PLAIN:
            record[name] = value.value if isinstance(value, Enum) else as_plain(value)
    record["event"] = kind.__name__
    return record


@cache
def _reader(
    kind: Any,
) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]], tuple[str, ...]]:
    """Return the names of an event's fields, what reads their values at once, and which may hold more than JSON has.

    Dusk has a hundred thousand events, so what their types say already is not asked of each.
    """
    types = get_type_hints(kind)
    names = tuple(types)
    mixed = tuple(n for n, type_ in types.items() if not _PLAIN.issuperset(_parts(type_)))
    if len(names) > 1:
        return names, attrgetter(*names), mixed
    return names, lambda event: tuple(getattr(event, name) for name in names), mixed


def _parts(type_: Any) -> tuple[Any, ...]:
    """Return what a union is made of; anything else is its own only part."""
    return get_args(type_) if isinstance(type_, UnionType) else (type_,)
