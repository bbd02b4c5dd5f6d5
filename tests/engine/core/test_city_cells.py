"""Points that nobody has asked for take no memory, and are there as soon as somebody does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilotage.core import image
from pilotage.core.carried import essentials
from pilotage.core.store import Cell, Entity, PointTable
from pilotage.model.entities import Kind, PointSpec
from pilotage.model.messages import Reading
from pilotage.model.quality import Quality
from pilotage.model.values import POSITION, Position, number

LAMP = Kind("lamp", "Lamp", (PointSpec("level", number("%")), PointSpec("site.place", POSITION)))
POINTS = PointTable(LAMP.points)

THINGS = {"s1": {"kind": "street"}, "s2": {"kind": "street"}, "l1": {"kind": "lamp"}}


def lamp() -> Entity:
    return Entity("lamp-1", "lamp", points=POINTS)


class TestCells:
    def test_asked_for(self) -> None:
        """A cell is made when it is first asked for, and is the same from then on."""
        cells = lamp().cells
        assert len(cells) == 0
        cell = cells["level"]
        assert (cell.id, cell.spec.name) == ("lamp-1.level", "level")
        assert cells["level"] is cells.find("level") is cells.known("level") is cell
        assert list(cells) == ["level"]

    def test_there_or_not(self) -> None:
        """Whether there is a point does not hang on whether somebody has asked for it."""
        cells = lamp().cells
        assert cells.has("level")
        assert not cells.has("colour")
        assert cells.find("colour") is None
        with pytest.raises(KeyError, match="colour"):
            cells["colour"]
        assert len(cells) == 0

    def test_read_only(self) -> None:
        """Who only looks makes nothing that stays."""
        thing = lamp()
        assert [cell.id for cell in thing.cells.every()] == ["lamp-1.level", "lamp-1.site.place"]
        assert thing.cells.peek("level").quality is Quality.MISSING
        assert (thing.read("level"), thing.place, thing.motion) == (None, None, None)
        assert len(thing.cells) == 0

    def test_position(self) -> None:
        """An entity is where the first point says that is a position, whoever asks for that one first."""
        heard, asked = lamp(), lamp()
        heard.cells["site.place"].put(Position(47.3, 5.0), Quality.GOOD, 1.0, 1.0)
        assert heard.place == Position(47.3, 5.0)
        assert asked.position is asked.cells["site.place"]


class TestCityCells:
    def test_only_what_is_read(self, town: Callable[..., Any]) -> None:
        """A city has the cells that its rules read and its devices report; how many points there are is counted all the same."""
        city = town(THINGS)
        cells = city.engine.cells
        known, points = {cell.id for cell in cells.known()}, set(cells)
        assert known < points
        assert len(points) == len(cells)
        assert {"s1.x", "l1.level"} <= points - known
        assert cells["s1.x"] in set(cells.known())
        assert cells.peek("l1.level") not in set(cells.known())

    def test_unknown(self, town: Callable[..., Any]) -> None:
        """What is no point has no cell, whatever stands before or after the dot."""
        cells = town(THINGS).engine.cells
        for id_ in ("", ".", "s1", "s1.", "s1.nothing", "nobody.x", "s1.x.x"):
            assert id_ not in cells
            assert cells.get(id_) is None

    def test_image(self, town: Callable[..., Any]) -> None:
        """An image holds the cells that there are, and the others are made after it as before."""
        city = town(THINGS)
        city.at(1, {"s1.x": 9.0})
        back = image.load(image.dump(city.engine, "code"), {}, "code")
        assert {c.id: c.value for c in back.cells.known()} == {
            c.id: c.value for c in city.engine.cells.known()
        }
        assert set(back.cells) == set(city.engine.cells)
        twin = back.cells["s2.x"]
        assert twin is back.entities["s2"].cells["s2.x".partition(".")[2]]
        assert isinstance(twin, Cell)
        decided = back.tick(back.now + 1.0, [Reading(twin, 3.0, Quality.GOOD, back.now + 1.0)])
        assert (decided, twin.value) == (None, 3.0)

    def test_carried(self, town: Callable[..., Any]) -> None:
        """To write down what lasts makes no cell."""
        city = town(THINGS)
        before = sum(1 for _ in city.engine.cells.known())
        essentials(city.engine)
        assert sum(1 for _ in city.engine.cells.known()) == before
