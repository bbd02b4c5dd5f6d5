"""Same inputs, same order, same clock: the same decisions, byte for byte, in any process."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("city_day.py")
SEEDS = (1, 2, 3)
TICKS = 250
"""About two hours of the city."""


@pytest.fixture(scope="module")
def day() -> dict[str, Any]:
    """The script's names."""
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def program(day: dict[str, Any]) -> Any:
    """Every rule there is."""
    return day["city_program"]()


@pytest.fixture(scope="module")
def decided(day: dict[str, Any], program: Any) -> dict[int, tuple[str, int]]:
    """What a first engine decides, by seed: the digest, and how many events."""
    return {seed: day["digest"](program, seed, TICKS) for seed in SEEDS}


class TestReplay:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_twice(
        self, day: dict[str, Any], program: Any, decided: dict[int, tuple[str, int]], seed: int
    ) -> None:
        """A second engine decides the same, and a lot."""
        assert day["digest"](program, seed, TICKS) == decided[seed]
        assert decided[seed][1] > 1_000

    def test_other_seeds(self, decided: dict[int, tuple[str, int]]) -> None:
        """Another seed decides otherwise."""
        assert len({digest for digest, _ in decided.values()}) == len(SEEDS)

    def test_program_read_again(
        self, day: dict[str, Any], decided: dict[int, tuple[str, int]]
    ) -> None:
        """Reading the same rules again gives the same city."""
        assert day["digest"](day["city_program"](), 1, TICKS) == decided[1]

    @pytest.mark.parametrize("hash_seed", ["0", "4242"])
    def test_another_process(self, decided: dict[int, tuple[str, int]], hash_seed: str) -> None:
        """Another process, whose sets and hashes are in another order, decides the same."""
        environment = {
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        }
        run = subprocess.run(
            [sys.executable, str(SCRIPT), "1", str(TICKS)],
            env=environment, capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        digest, events = decided[1]
        assert run.stdout == f"{digest} {events}"


class TestSplit:
    @pytest.mark.parametrize("seed", [5, 6])
    def test_same_wishes(self, day: dict[str, Any], program: Any, seed: int) -> None:
        """Told in two ticks of the same time, readings lead to the same wishes: a tick hides nothing.

        Points with minimum times are left out: between two ticks they may move, and then have to stay.
        """
        whole, halves = day["Day"](program, seed), day["Day"](program, seed)
        now = day["START"]
        for _ in range(120):
            now += 20.0
            whole.answers, halves.answers = [], []
            for each in (whole, halves):
                inputs = each._inputs(now)
                each.split = each is halves
                while (due := each.engine.next_due()) is not None and due < now:
                    each.engine.tick(due, [])
                list(each._tick(now, inputs))
            assert wanted(whole.engine) == wanted(halves.engine)


def wanted(engine: Any) -> dict[str, Any]:
    """Return what is wanted of every point that may move at any time."""
    return {
        id_: getattr(cell.array.wanted, "id", cell.array.wanted)
        for id_, cell in engine.cells.items()
        if cell.array is not None
        and cell.array.is_decided
        and not cell.spec.min_on_s
        and not cell.spec.min_off_s
    }
