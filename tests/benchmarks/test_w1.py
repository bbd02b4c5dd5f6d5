"""What the figures of W1 without actions are made of."""

from __future__ import annotations

from benchmarks import w1


class TestCalmOnes:
    def test_nobody_acts(self) -> None:
        """The floor acts on some of all updates, and on none of the calm ones, which are as many."""
        found = w1.updates(20_000, 100)
        quiet = w1.calm_ones(found, 100)
        floor, of_all = w1.Floor(100), w1.Floor(100)
        of_all.run(found)
        floor.run(quiet)

        assert floor.actions == 0 < of_all.actions
        assert len(quiet) == len(found)

    def test_the_engine_agrees(self) -> None:
        """A rule that acted would be refused, so the ratio speaks of calm updates."""
        quiet = w1.calm_ones(w1.updates(4_000, 100), 100)

        assert w1.calm_ratio(quiet, 100, 1.0) > 0.0
