"""Looks ahead at plans for those who ask, in small pieces between the ticks, once for all who ask the same.

A plan may hold every lamp of a city; a look ahead at 34,000 of them takes some hundred milliseconds of work, and no tick may
wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter
from typing import Any, Final

from pilotage import api
from pilotage.core.preview import Clash, Foreseen, Preview

SLICE_S: Final = 0.004
"""The loop is held so long at a time."""
LOOKS: Final = 32
"""The clock is read after so many steps: a step takes some microseconds."""
FRESH_S: Final = 2.0
"""Who asks within this time after an answer gets the same, if the plan still stands where it stood."""


class Previews:
    """Works previews out and keeps the last for a moment."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, int, str], asyncio.Task[api.PlanPreview]] = {}

    async def ask(self, engine: Any, plan: str, level: int, *, fresh: bool) -> api.PlanPreview:
        """Return what a level of a plan would change; a `fresh` one begins now.

        Raises:
            LookupError: There is no such plan or level.
        """
        preview = Preview(engine, plan, level)
        standing = engine.plans.all[plan].standing
        if fresh:
            return await _work_out(engine, preview, standing)
        key = (plan, level, standing)
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(
                _work_out(engine, preview, standing)
            )
            task.add_done_callback(lambda _: self._forget_later(key))
        return await asyncio.shield(task)

    def _forget_later(self, key: tuple[str, int, str]) -> None:
        asyncio.get_running_loop().call_later(FRESH_S, self._under_way.pop, key, None)


async def _work_out(engine: Any, preview: Preview, standing: str) -> api.PlanPreview:
    await in_slices(preview.steps())
    return _answer(preview.found, standing, engine.now)


async def in_slices(steps: Iterator[None]) -> None:
    """Go through small steps, and let the ticks come in between."""
    until = perf_counter() + SLICE_S
    for count, _ in enumerate(steps):
        if count % LOOKS == 0 and perf_counter() > until:
            await asyncio.sleep(0)
            until = perf_counter() + SLICE_S


def _answer(found: Foreseen, standing: str, now: float) -> api.PlanPreview:
    return api.PlanPreview(
        plan=found.plan,
        level=found.level,
        before=found.before,
        standing=standing,
        at=now,
        effects=[
            api.Effect(
                kind=e.kind, point=e.point, held=e.held, acts=e.acts, same=e.same, dominated=e.dominated, freed=e.freed
            )
            for _, e in sorted(found.effects.items())
        ],
        dominates=_clashes(found.dominates.values()),
        dominated_by=_clashes(found.dominated_by.values()),
        overrides=found.overrides,
        doubtful=found.doubtful,
        enables=list(found.enables),
        asks=list(found.asks),
        blocked_by=found.blocked_by,
    )  # fmt: skip


def _clashes(found: Any) -> list[api.Clash]:
    """Return clashes, the most points first."""
    worst: list[Clash] = sorted(found, key=lambda c: (-c.points, c.level, c.by))
    return [
        api.Clash(by=c.by, level=int(c.level), points=c.points, examples=c.examples) for c in worst
    ]
