"""An engine as bytes: read back, it goes on as if nothing had happened."""

from __future__ import annotations

import pickle
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage.core.engine import Engine
from pilotage.core.image import ImageError, dump, load
from pilotage.model.entities import Function
from pilotage.model.values import BOOLEAN
from pilotage.runtime.envelope import encode_decision

SCRIPT = Path(__file__).with_name("city_day.py")
CODE = "as it is"
TICKS = 150
"""About an hour of the city."""


@pytest.fixture(scope="module")
def day() -> dict[str, Any]:
    """The script's names."""
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def program(day: dict[str, Any]) -> Any:
    """Every rule there is."""
    return day["city_program"]()


def again(engine: Engine, functions: dict[str, Function] | None = None) -> Engine:
    """Return the engine after a journey through bytes."""
    return load(dump(engine, CODE), functions or {}, CODE)


def interrupted(day: dict[str, Any], program: Any, seed: int, every: int) -> list[bytes]:
    """Return what a city decides whose engine is written down and read back every so many ticks."""
    city, functions = day["Day"](program, seed), day["city_functions"]()
    inputs, ticks = city._inputs, 0

    def after_a_journey(now: float) -> Any:
        nonlocal ticks
        ticks += 1
        if ticks % every == 0:
            city.go_on_with(again(city.engine, functions))
        return inputs(now)

    city._inputs = after_a_journey
    return [encode_decision(d) for d in city.decisions(TICKS)]


class TestCityDay:
    @pytest.mark.parametrize(("seed", "every"), [(1, 25), (2, 37), (3, 75)])
    def test_same_decisions(self, day: dict[str, Any], program: Any, seed: int, every: int) -> None:
        """Every rule pack under random inputs: not a byte of a decision differs."""
        straight = [encode_decision(d) for d in day["Day"](program, seed).decisions(TICKS)]
        assert interrupted(day, program, seed, every) == straight
        assert len(straight) > 300

    def test_same_image(self, day: dict[str, Any], program: Any) -> None:
        """An engine that was read back has the image that it was read from: nothing got lost on the way."""
        city = day["Day"](program, 4)
        list(city.decisions(40))
        first = again(city.engine, day["city_functions"]())
        assert dump(again(first, day["city_functions"]()), CODE) == dump(first, CODE)


class TestRefused:
    def test_other_code(self, town: Callable[..., Any]) -> None:
        """An image of other code is refused: its rooms may be others."""
        bytes_ = dump(town().engine, CODE)
        with pytest.raises(ImageError, match="another version"):
            load(bytes_, {}, "as it was")

    @pytest.mark.parametrize("cut", [0, 4, 60, 1_000, -1])
    def test_damaged(self, town: Callable[..., Any], cut: int) -> None:
        """Half an image is no image."""
        with pytest.raises(ImageError):
            load(dump(town().engine, CODE)[:cut], {}, CODE)

    @pytest.mark.parametrize(
        "evil", [sys.exit, subprocess.Popen, eval, Path.unlink, pickle.loads, Path]
    )
    def test_foreign_things(self, evil: Any) -> None:
        """Bytes that name anything at all are refused, and nothing of it is called."""
        with pytest.raises(ImageError, match="does not hold"):
            load(pickle.dumps([evil]), {}, CODE)

    @pytest.mark.parametrize(
        "evil",
        [
            ("subprocess", "Popen"),
            ("builtins", "eval"),
            ("pilotage.core.image", "io.open"),
            ("pilotage.core.image", "gc"),
            ("pilotage.core.image_columns", "import_module"),
            ("pilotage.core.image_columns", "Path"),
            ("pilotage.runtime.supervisor", "Supervisor"),
        ],
    )
    def test_way_around(self, town: Callable[..., Any], evil: tuple[str, str]) -> None:
        """No class of elsewhere is made, and no name leads out of the engine's rooms."""
        parts = list(pickle.loads(dump(town().engine, CODE)))
        parts[2][-1] = evil
        with pytest.raises(ImageError, match="does not hold"):
            load(pickle.dumps(tuple(parts)), {}, CODE)

    def test_missing_function(self, town: Callable[..., Any]) -> None:
        """A plugin's function that a rule calls must be there."""
        function = Function("is_fine", (), BOOLEAN, bool)
        town_ = town(functions=[function], derive={"fine": {"value": "is_fine()"}})
        image_ = dump(town_.engine, CODE)
        assert load(image_, {"is_fine": function}, CODE).program
        with pytest.raises(ImageError, match="is_fine"):
            load(image_, {}, CODE)
