"""Inputs as the journal keeps them: a compact, versioned JSON of one tick's inputs, and back again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from pilotage.core.store import to_value
from pilotage.model import messages
from pilotage.model.messages import Input, PointHandle, Reading, to_record
from pilotage.model.quality import Quality
from pilotage.model.values import Position, as_plain

VERSION: Final = 1

_ENCODER: Final = msgspec.json.Encoder(enc_hook=as_plain)
_DECODER: Final = msgspec.json.Decoder()

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
