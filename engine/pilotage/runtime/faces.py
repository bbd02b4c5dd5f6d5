"""How a piece of equipment looks (`pilotage.model.looks`): read off its points between two ticks; changes nothing.

What is read follows from the kind alone, so that a vendor's kind shows without a word about maps: a point that we command and
read back is its main point; a true-or-false point whose name ends in `fault`, `fail` or `tamper` tells a fault, as does one
that ends in `ok` and is false, and a choice that reads `fault` or `tamper`; `comm_ok` or `radio_ok` false is silence, and so is
when neither the main point is known nor any other that is reported at least as often.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pilotage.core.pursuits import Pursuit
from pilotage.core.store import Cell, Entity
from pilotage.model.entities import Access, PointSpec
from pilotage.model.looks import Look
from pilotage.model.priorities import BY_HAND
from pilotage.model.values import Base

FAULTS: Final = ("fault", "fail", "tamper")
HEARS: Final = ("comm_ok", "radio_ok")
_UNLIKE: Final = frozenset({"failed", "refused", "expired", "unknown", "local"})
"""Ends of an order after which the equipment is not as it is wanted."""


@dataclass(frozen=True, slots=True)
class Face:
    """What of an entity is looked at, by names of points.

    Attributes:
        vital: Points of which one must be known, or the equipment is silent: the main one and those that are kept no longer.
        faults: Points that tell a fault, and the values by which they do.
        commanded: Points that people and rules may want something of.
        hears: Points that are false while nobody hears the equipment.
        main: The point that shows whether it is at work, with the value at which it is at rest.
    """

    vital: tuple[str, ...]
    faults: tuple[tuple[str, frozenset[Any]], ...]
    commanded: tuple[str, ...]
    hears: tuple[str, ...]
    main: str = ""
    rest: Any = None


def face_of(entity: Entity) -> Face | None:
    """Return what is looked at of an entity's kind, or None when no device stands behind it."""
    specs = list(entity.points.specs.values())
    reported = [spec for spec in specs if spec.access.is_reported and spec.max_age_s is not None]
    commanded = tuple(spec.name for spec in specs if spec.access.is_commandable)
    if not reported and not commanded:
        return None
    values = (spec for spec in specs if not spec.is_request)
    main = next((spec for spec in values if spec.access is Access.BOTH), None)
    vital = tuple(spec.name for spec in reported if main is None or _is_as_young(spec, main))
    faults = tuple((spec.name, told) for spec in reported if (told := _faults_of(spec)))
    hears = tuple(spec.name for spec in reported if spec.name in HEARS)
    if main is None:
        return Face(vital, faults, commanded, hears)
    return Face(vital, faults, commanded, hears, main.name, _rest(main))


def _is_as_young(spec: PointSpec, main: PointSpec) -> bool:
    """True for a point whose value is not kept longer than that of the main point: an old counter is no sign of life."""
    return main.max_age_s is None or (spec.max_age_s or 0.0) <= main.max_age_s


def _faults_of(spec: PointSpec) -> frozenset[Any]:
    word = spec.name.rpartition(".")[2].rpartition("_")[2]
    if spec.name in HEARS:
        return frozenset()
    if spec.type.base is Base.BOOLEAN and word == "ok":
        return frozenset({False})
    if spec.type.base is Base.BOOLEAN:
        return frozenset({True}) if word in FAULTS else frozenset()
    return frozenset(FAULTS) & frozenset(spec.type.members)


def _rest(spec: PointSpec) -> Any:
    """Return the value of a main point at rest: nothing, no, or a choice's default."""
    if spec.type.base is Base.NUMBER:
        return 0.0
    return False if spec.type.base is Base.BOOLEAN else spec.default


def look_of(
    entity: Entity, face: Face, alarm: int, pursuit: Callable[[Cell], Pursuit | None]
) -> Look:
    """Return how an entity looks.

    Args:
        entity: The live entity.
        face: What is looked at of it.
        alarm: 2 while an alarm about it waits for a person, 1 while one lasts that somebody has seen, else 0.
        pursuit: How far a commanded point is.
    """
    read = entity.read
    if alarm == 2:
        return Look.ALARM
    if _is_silent(read, face):
        return Look.SILENT
    if alarm or any(read(name) in values for name, values in face.faults):
        return Look.FAULT
    is_held = False
    for name in face.commanded:
        cell = entity.cells.known(name)
        array = None if cell is None else cell.array
        if cell is None or array is None:
            continue
        under_way = pursuit(cell)
        if under_way is not None and under_way.state in _UNLIKE:
            return Look.UNLIKE
        is_held = is_held or array.level in BY_HAND
    if is_held:
        return Look.HELD
    value = read(face.main) if face.main else None
    return Look.IDLE if value is None or value == face.rest else Look.ACTIVE


def _is_silent(read: Callable[[str], Any], face: Face) -> bool:
    for name in face.hears:
        if read(name) is False:
            return True
    return bool(face.vital) and all(read(name) is None for name in face.vital)
