"""What was asked of a device and is given back: a cancel that did not leave, or was not answered, is told again until it is taken.

A request that nobody takes back stands at the device until the device itself is tired of it: a junction keeps the green of a bus that
has long gone by. The cancel has no end of its own in the record; each try is a `Request` of its own there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from pilotage.core.graph import Graph
from pilotage.core.timers import Timer
from pilotage.model.messages import CommandResult, Outcome, Request

TRIES: Final = 3
"""So often it is told at its deadlines; then in patience."""
PATIENCE_S: Final = 300.0
LONGEST_PATIENCE_S: Final = 3_600.0


class _Open:
    """A cancel that its device has not taken: told `tries` times, for `lasts_s` each, and after those with a rest of `patience_s`."""

    __slots__ = ("lasts_s", "order", "patience_s", "timer", "tries")

    def __init__(self, order: Request, lasts_s: float, tries: int = 1) -> None:
        self.order = order
        self.lasts_s = lasts_s
        self.tries = tries
        self.patience_s = PATIENCE_S
        self.timer: Timer | None = None

    def stop_waiting(self) -> None:
        """Nothing is due for it any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class OpenCancels:
    """Follows every cancel until its device has taken it, or is asked for the same again."""

    def __init__(
        self, graph: Graph, emit: Callable[[Any], None], next_id: Callable[[], str]
    ) -> None:
        self._graph = graph
        self._emit = emit
        self._next_id = next_id
        self._open: dict[str, _Open] = {}
        self._ids: dict[tuple[str, str], str] = {}  # of the open one, by point and entity

    def begin(self, order: Request) -> None:
        """Follow a cancel that is being sent."""
        self.forget(order.point, order.entity)
        self._add(_Open(order, order.deadline - self._graph.clock.now))

    def forget(self, point: str, entity: str) -> None:
        """The same is asked for again, or taken back anew: the older cancel must not be told any more."""
        id_ = self._ids.get((point, entity))
        if id_ is not None:
            self._end(id_)

    def result(self, result: CommandResult) -> bool:
        """Take what an adapter knows; False when it is about no cancel."""
        open_ = self._open.get(result.command)
        if open_ is None:
            return False
        if result.outcome in (Outcome.ACKNOWLEDGED, Outcome.REFUSED):
            self._end(result.command)
        else:
            self._tell_later(open_)
        return True

    def reconnected(self, points: tuple[str, ...]) -> None:
        """Tell at once what these points did not take while they were away."""
        for open_ in list(self._open.values()):
            if open_.timer is not None and open_.order.point in points:
                self._tell(open_)

    def _tell_later(self, open_: _Open) -> None:
        now, order = self._graph.clock.now, open_.order
        due = max(now, order.deadline)
        if open_.tries >= TRIES:
            due = now + open_.patience_s
            open_.patience_s = min(2 * open_.patience_s, LONGEST_PATIENCE_S)
        open_.stop_waiting()
        open_.timer = self._graph.timers.at(due, partial(self._tell, open_))

    def _tell(self, open_: _Open) -> None:
        open_.stop_waiting()
        open_.tries += 1
        deadline = self._graph.clock.now + open_.lasts_s
        del self._open[open_.order.id]
        open_.order = open_.order._replace(
            id=self._next_id(), deadline=deadline, attempt=open_.tries
        )
        self._add(open_)
        self._emit(open_.order)

    def _add(self, open_: _Open) -> None:
        order = open_.order
        self._open[order.id] = open_
        self._ids[order.point, order.entity] = order.id

    def _end(self, id_: str) -> None:
        open_ = self._open.pop(id_)
        self._ids.pop((open_.order.point, open_.order.entity), None)
        open_.stop_waiting()

    # ── memory ───────────────────────────────────────────────────────────────────────────────

    def remember(self) -> list[dict[str, Any]]:
        """Return what is not taken yet, as plain data."""
        return [
            {
                **o.order._asdict(),
                "data": dict(o.order.data),
                "lasts_s": o.lasts_s,
                "tries": o.tries,
            }
            for o in self._open.values()
        ]

    def recall(self, data: Sequence[Mapping[str, Any]]) -> None:
        """Take up what was written down, of entities that are still there; nothing is emitted."""
        for plain in data:
            order = Request(**{name: plain[name] for name in Request._fields})
            if order.point.partition(".")[0] in self._graph.entities:
                self._add(_Open(order, plain["lasts_s"], plain["tries"]))

    def reconcile_after_restart(self) -> None:
        """Tell again, after its deadline, whatever nobody has answered: to be taken back twice does no harm."""
        for open_ in self._open.values():
            if open_.timer is None:
                self._tell_later(open_)
