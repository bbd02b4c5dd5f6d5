"""What is looked at of each kind: read off the kind alone, for those that come with the engine and for a vendor's."""

from __future__ import annotations

import pytest

from pilotage.core.store import Entity, PointTable
from pilotage.model.entities import Access, PointSpec
from pilotage.model.looks import Look
from pilotage.model.quality import Quality
from pilotage.model.values import BOOLEAN, POSITION, enum, number
from pilotage.runtime.faces import Face, face_of, look_of

LEVEL = PointSpec("level", number("%"), Access.BOTH, max_age_s=60.0, default=100.0)
LENGTH = PointSpec("length", number("m"), Access.FIXED)
PUMP_OK = PointSpec("pump_ok", BOOLEAN, max_age_s=60.0)
COMM_OK = PointSpec("comm_ok", BOOLEAN, max_age_s=60.0)
DOOR_FAULT = PointSpec("door_fault", BOOLEAN, max_age_s=60.0)
MODE = PointSpec("mode", enum("auto", "fault"), max_age_s=60.0)
GATE = PointSpec("gate", enum("shut", "open"), Access.BOTH, max_age_s=60.0, default="shut")
HOURS = PointSpec("hours", number("h"), max_age_s=86_400.0)
BAY = PointSpec("bay", BOOLEAN, Access.BOTH, max_age_s=60.0, statuses=("granted", "rejected"))
PLACE = PointSpec("place", POSITION, Access.FIXED)


def make(*specs: PointSpec, **values: object) -> Entity:
    entity = Entity("x-1", "thing", points=PointTable(specs))
    for name, value in values.items():
        entity.cells[name].put(value, Quality.GOOD, 0.0, 0.0)
    return entity


def seen(entity: Entity, alarm: int = 0) -> Look:
    face = face_of(entity)
    assert face is not None
    return look_of(entity, face, alarm, lambda cell: None)


class TestFace:
    def test_nothing_to_look_at(self) -> None:
        """What no device stands behind has no look."""
        assert face_of(make(LENGTH, PLACE)) is None

    def test_main_point(self) -> None:
        """What is commanded and read back is the main point; a request is none."""
        assert face_of(make(COMM_OK, BAY, GATE, LEVEL)) == Face(
            vital=("comm_ok", "bay", "gate", "level"),
            faults=(),
            commanded=("bay", "gate", "level"),
            hears=("comm_ok",),
            main="gate",
            rest="shut",
        )

    def test_sensor(self) -> None:
        """Without a main point any report will do."""
        face = face_of(make(PUMP_OK, MODE))
        assert face is not None
        assert face.vital == ("pump_ok", "mode")
        assert face.main == ""


class TestLook:
    @pytest.mark.parametrize(
        ("entity", "look"),
        [
            (make(LEVEL), Look.SILENT),
            (make(LEVEL, HOURS, hours=3.0), Look.SILENT),
            (make(LEVEL, PUMP_OK, pump_ok=True), Look.IDLE),
            (make(LEVEL, level=0.0), Look.IDLE),
            (make(LEVEL, level=1.0), Look.ACTIVE),
            (make(GATE, gate="shut"), Look.IDLE),
            (make(GATE, gate="open"), Look.ACTIVE),
            (make(LEVEL, COMM_OK, level=1.0, comm_ok=False), Look.SILENT),
            (make(LEVEL, PUMP_OK, level=1.0, pump_ok=False), Look.FAULT),
            (make(LEVEL, DOOR_FAULT, level=1.0, door_fault=True), Look.FAULT),
            (make(LEVEL, DOOR_FAULT, level=1.0, door_fault=False), Look.ACTIVE),
            (make(MODE, PUMP_OK, mode="fault"), Look.FAULT),
            (make(MODE, PUMP_OK, mode="auto"), Look.IDLE),
            (make(MODE, PUMP_OK), Look.SILENT),
        ],
    )
    def test_of_values(self, entity: Entity, look: Look) -> None:
        """What its points say."""
        assert seen(entity) is look

    def test_worse_first(self) -> None:
        """What asks more of an operator is shown: an unseen alarm, silence, a fault."""
        assert seen(make(LEVEL), alarm=2) is Look.ALARM
        assert seen(make(LEVEL), alarm=1) is Look.SILENT
        assert seen(make(LEVEL, level=1.0), alarm=1) is Look.FAULT

    def test_words(self) -> None:
        """Each look has a word, a shape and a meaning; only rest and work share a shape."""
        assert len({look.word for look in Look}) == len({look.meaning for look in Look}) == 7
        assert [look.shape for look in Look].count("dot") == 2
        assert len({look.shape for look in Look}) == 6
