"""Events and patterns of events: edges, moments, sequences, silence, repetition."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from pilotage.core.graph import Env, Graph, Node, Watch, leads_elsewhere
from pilotage.core.schedule import Schedule
from pilotage.core.store import Cell
from pilotage.core.timers import Timer
from pilotage.language import typed
from pilotage.language.typed import Typed

Happened = Callable[[], None]


class Listener:
    """Somebody who wants to know when an event happens.

    An edge counts from one known value to another: what becomes unknown and comes back as it was is no event. A value
    that is already there when the listener starts is none either, one that arrives for the first time is.

    Attributes:
        unknown: Called with True when the event's own condition becomes unknown, with False when it is known again.
        max_late: A moment that the engine missed by more than this, in seconds, is left out.
        missed: Called when one was.
    """

    def __init__(
        self,
        graph: Graph,
        schedule: Schedule,
        event: Typed,
        env: Env,
        happened: Happened,
        unknown: Callable[[bool], None] | None = None,
        max_late: float = math.inf,
        missed: Happened | None = None,
    ) -> None:
        self._max_late = max_late
        self._missed = missed
        self._graph = graph
        self._schedule = schedule
        self._env = env
        self._happened = happened
        self._unknown = unknown
        self._closers: list[Callable[[], None]] = []
        self._listen(event)

    def _listen(self, event: Typed) -> None:
        match event:
            case typed.AnyEvent(events=events):
                for part in events:
                    self._listen(part)
            case typed.Event(how=how, operand=operand):
                self._listen_to_edge(how, operand)
            case typed.Periodic(seconds=seconds):
                period = _Period(self._graph, seconds, self._at_moment)
                self._closers.append(period.close)
            case typed.Daily(time=time):
                self._listen_to_clock(time)
            case _:
                pass  # a pair's event: the rule tells it itself

    def _listen_to_edge(self, how: str, operand: Typed) -> None:
        edge = _Edge(how, self._happened, self._unknown)
        watch = Watch(self._graph, operand, self._env, edge.judge)
        edge.known = watch.value = watch.evaluate()
        self._closers.append(watch.close)
        if watch.value is None and self._unknown is not None:
            self._unknown(True)

    def _listen_to_clock(self, time: Typed) -> None:
        """Happen when the clock shows a time; `at sunset` follows the sunset from day to day."""
        day = _Day(self._graph, self._schedule, self._at_moment)
        watch = Watch(self._graph, time, self._env, day.plan)
        watch.value = watch.evaluate()
        self._closers += [watch.close, day.close]
        day.plan(watch.value)

    def _at_moment(self, late_s: float) -> None:
        if late_s <= self._max_late:
            self._happened()
        elif self._missed is not None:
            self._missed()

    def close(self) -> None:
        """Listen no more."""
        for close in self._closers:
            close()


class _Day:
    """A moment of each day; tells how late it is told, in seconds."""

    def __init__(self, graph: Graph, schedule: Schedule, happened: Callable[[float], None]) -> None:
        self._graph = graph
        self._schedule = schedule
        self._happened = happened
        self._minutes: float | None = None
        self._moment = math.inf
        self._timer: Timer | None = None

    def plan(self, minutes: float | None) -> None:
        """Happen when the clock shows a time next; never, while that is unknown."""
        self.close()
        self._minutes = minutes
        if minutes is not None:
            self._moment = self._schedule.next_daily(minutes, self._graph.clock.now)
            self._timer = self._graph.timers.at(self._moment, self._due)

    def _due(self) -> None:
        late_s = self._graph.clock.now - self._moment
        self.plan(self._minutes)
        self._happened(late_s)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Period:
    """A moment that comes again after the same time, counted from midnight of 1970; of those that were missed, the last."""

    def __init__(self, graph: Graph, seconds: float, happened: Callable[[float], None]) -> None:
        self._graph = graph
        self._seconds = seconds
        self._happened = happened
        self._timer = self._next()

    def _next(self) -> Timer:
        moment = _next_multiple(self._graph.clock.now, self._seconds)
        return self._graph.timers.at(moment, self._due)

    def _due(self) -> None:
        self._timer = self._next()
        self._happened(self._graph.clock.now % self._seconds)

    def close(self) -> None:
        self._timer.cancel()


class _Edge:
    """What a value was when it was last known, and whether what comes is the edge that somebody waits for."""

    def __init__(
        self, how: str, happened: Happened, unknown: Callable[[bool], None] | None
    ) -> None:
        self._how = how
        self._happened = happened
        self._unknown = unknown
        self.known: Any = None

    def judge(self, value: Any) -> None:
        if self._unknown is not None:
            self._unknown(value is None)
        if value is None:
            return
        before, self.known = self.known, value
        if (self._how == "becomes" and value is True and before is not True) or (
            self._how == "changes" and before is not None and before != value
        ):
            self._happened()


def _next_multiple(now: float, seconds: float) -> float:
    """Return the next whole multiple of a period, strictly later even where a float cannot tell."""
    moment = (now // seconds + 1.0) * seconds
    return moment if moment > now else moment + seconds


class PatternNode(Node):
    """A pattern as a value: true from the moment it is complete until its time is over."""

    __slots__ = ("_listeners", "_node", "_schedule", "_seen", "_timer", "_watch")

    def __init__(
        self, graph: Graph, schedule: Schedule, node: typed.Pattern, env: Env, cell: Cell
    ) -> None:
        super().__init__(graph, cell)
        self._node = node
        self._schedule = schedule
        self._seen: deque[float] = deque(maxlen=max(node.count, 1))
        self._timer: Timer | None = None
        self._watch: Watch | None = None
        self._listeners: list[Listener] = []
        graph.put(cell, False)
        if node.how == "silence":
            self._begin_silence(node, env)
            return
        self._listeners.append(Listener(graph, schedule, node.first, env, self._first))
        if node.second is not None:
            self._listeners.append(Listener(graph, schedule, node.second, env, self._second))

    def update(self) -> bool:
        """Patterns move by events, not by being asked."""
        return False

    @property
    def _now(self) -> float:
        return self.graph.clock.now

    def _say(self, truth: bool) -> None:
        self.graph.put(self.cell, truth)

    def _after(self, seconds: float, action: Happened) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.graph.timers.at(self._now + seconds, action)

    def _first(self) -> None:
        match self._node.how:
            case "then":
                self._seen.clear()
                self._seen.append(self._now)
            case "without":
                if self._timer is not None:  # the first one that waits for its answer counts
                    return
                self._say(False)
                self._after(self._node.seconds, self._unanswered)
            case _:
                self._repeated()

    def _second(self) -> None:
        if self._node.how == "without":
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._say(False)
            return
        if self._seen and self._now - self._seen[0] <= self._node.seconds:
            self._seen.clear()
            self._say(False)  # complete once more is an edge once more
            self.graph.flush()
            self._say(True)
            self._after(self._node.seconds, partial(self._say, False))

    def _unanswered(self) -> None:
        self._timer = None
        self._say(True)

    def _repeated(self) -> None:
        self._seen.append(self._now)
        self._forget_old()

    def _forget_old(self) -> None:
        seen, horizon = self._seen, self._now - self._node.seconds
        while seen and seen[0] <= horizon:
            seen.popleft()
        self._say(len(seen) >= self._node.count)
        if seen:
            self._after(seen[0] + self._node.seconds - self._now, self._forget_old)

    # ── silence ──────────────────────────────────────────────────────────────────────────────

    def _begin_silence(self, node: typed.Pattern, env: Env) -> None:
        event = node.first
        since = self._now
        if isinstance(event, typed.Event) and event.how == "becomes":
            self._watch = Watch(self.graph, event.operand, env, self._state)
            cells, _ = self.graph.sources(event.operand, env)
            since = max((c.since for c in cells if c.since is not None), default=self._now)
            self._watch.value = self._watch.evaluate()
            if self._watch.value is not False:
                return
        else:
            self._listeners.append(Listener(self.graph, self._schedule, event, env, self._broken))
            if isinstance(event, typed.Event):
                cells, _ = self.graph.sources(event.operand, env)
                since = max((c.since for c in cells if c.since is not None), default=self._now)
        self._after(max(0.0, since + node.seconds - self._now), partial(self._say, True))

    def _state(self, value: bool | None) -> None:
        if value is False:
            self._after(self._node.seconds, partial(self._say, True))
            return
        if self._timer is not None:
            self._timer.cancel()
        self._say(False)

    def _broken(self) -> None:
        self._say(False)
        self._after(self._node.seconds, partial(self._say, True))

    def close(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None:
            self._watch.close()
        for listener in self._listeners:
            listener.close()
        super().close()


class OlderNode(Node):
    """`age(point) > seconds` as a value: false at each reading, true when the time is over.

    A point that was never heard of is older than anything; behind an unknown reference the answer is unknown.
    """

    __slots__ = ("_age", "_env", "_read", "_seconds", "_structure", "_timer")

    def __init__(self, graph: Graph, node: typed.Older, env: Env, cell: Cell) -> None:
        super().__init__(graph, cell)
        self._age = typed.Age(node.at, node.type, node.read)
        self._env = env
        self._seconds = node.seconds
        self._timer: Timer | None = None
        self._follow_point()

    def _follow_point(self) -> None:
        entity = self.graph.base(self._age.read.base, self._env)
        self._read = None if entity is None else entity.cells[self._age.read.point]
        cells, self._structure = self.graph.sources(self._age, self._env)
        self.follow(cells)

    def update(self) -> bool:
        """Compare the age now, and look again when it would be too old."""
        if leads_elsewhere(self._structure):
            self._follow_point()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if self._read is None:
            return self.store(None)
        now, time = self.graph.clock.now, self._read.time
        is_older = time is None or now - time > self._seconds
        if not is_older and self._timer is None and time is not None:
            self._timer = self.graph.timers.at(time + self._seconds + 0.001, self._look)
        return self.store(is_older)

    def _look(self) -> None:
        self._timer = None
        if self.alive:
            self.graph.mark(self)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        super().close()
