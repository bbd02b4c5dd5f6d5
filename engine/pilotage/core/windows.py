"""Statistics over the last minutes or days of a value, kept up to date piece by piece.

Each value holds until the next, so ten quick readings weigh no more than one slow one. A window keeps at most a few
hundred pieces: 15 minutes or a day cost the same per update.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, Final

from pilotage.core.graph import Env, Graph, Node, leads_elsewhere
from pilotage.core.store import Cell
from pilotage.core.timers import Timer
from pilotage.language import typed

PIECES: Final = 240
"""Readings closer together than a 240th of the window share a piece."""
LOOKS: Final = 60
"""A window whose contents change by ageing alone is looked at this many times per length."""
_RESUM: Final = 512


class Piece:
    """A stretch of the past: how much of it is known, and what it held."""

    __slots__ = ("end", "first", "high", "integral", "known_s", "low", "rises", "start", "turns")

    def __init__(self, start: float, end: float, value: float | None) -> None:
        self.start = start
        self.end = end
        self.first = value
        self.low = self.high = value
        self.known_s = 0.0 if value is None else end - start
        self.integral = 0.0 if value is None else value * (end - start)
        self.rises = 0
        self.turns = 0

    def extend(self, end: float, value: float | None) -> None:
        """Add a stretch at the end, in which one value held."""
        if value is not None:
            span = end - self.end
            self.known_s += span
            self.integral += value * span
            self.low = value if self.low is None else min(self.low, value)
            self.high = value if self.high is None else max(self.high, value)
            self.first = value if self.first is None else self.first
        self.end = end

    def trim(self, start: float) -> tuple[float, float]:
        """Cut off everything before a time; return the known seconds and the integral that went."""
        share = (start - self.start) / (self.end - self.start)
        known, integral = self.known_s * share, self.integral * share
        self.known_s -= known
        self.integral -= integral
        self.start = start
        return known, integral


class Track:
    """The recent past of one number: the pieces and their running sums; pure, knows no graph."""

    __slots__ = (
        "_evictions",
        "current",
        "integral",
        "known_s",
        "pieces",
        "rises",
        "seconds",
        "since",
        "turns",
    )

    def __init__(self, seconds: float, now: float, value: float | None, since: float) -> None:
        self.seconds = seconds
        self.pieces: deque[Piece] = deque()
        self.known_s = self.integral = 0.0
        self.rises = self.turns = 0
        self.current = value
        self.since = max(since, now - seconds)
        self._evictions = 0

    def advance(self, now: float) -> None:
        """Let time pass: the current value has held until now, the oldest pieces leave."""
        span = now - self.since
        if span > 0:
            pieces = self.pieces
            if pieces and now - pieces[-1].start <= self.seconds / PIECES:
                pieces[-1].extend(now, self.current)
            else:
                pieces.append(Piece(self.since, now, self.current))
            if self.current is not None:
                self.known_s += span
                self.integral += self.current * span
            self.since = now
        self._evict(now - self.seconds)

    def _evict(self, horizon: float) -> None:
        pieces = self.pieces
        while pieces and pieces[0].end <= horizon:
            gone = pieces.popleft()
            self.known_s -= gone.known_s
            self.integral -= gone.integral
            self.rises -= gone.rises
            self.turns -= gone.turns
            self._evictions += 1
        if pieces and pieces[0].start < horizon:
            known, integral = pieces[0].trim(horizon)
            self.known_s -= known
            self.integral -= integral
            self._evictions += 1
        if self._evictions >= _RESUM:  # running sums drift by rounding; begin afresh now and then
            self._evictions = 0
            self.known_s = sum(p.known_s for p in pieces)
            self.integral = sum(p.integral for p in pieces)

    def turn(self, value: float | None, now: float) -> None:
        """Take a new value, which holds from now on; `advance` to now comes first."""
        before = self.current
        if value == before:
            return
        self.current = value
        if value is None or before is None:
            return
        if not self.pieces:
            self.pieces.append(Piece(now, now, before))
        piece = self.pieces[-1]
        piece.turns += 1
        self.turns += 1
        if value > before and before == 0.0:
            piece.rises += 1
            self.rises += 1

    @property
    def is_steady(self) -> bool:
        """True when ageing alone changes nothing: one value all along."""
        pieces = self.pieces
        full = bool(pieces) and pieces[-1].end - pieces[0].start >= self.seconds - 1e-6
        same = all(p.low == p.high == self.current for p in pieces)
        return same and not self.turns and (full or (self.current is None and self.known_s <= 0))

    def result(self, function: str, coverage: float) -> float | None:
        """Return the statistic, or None when less than `coverage` (a share) of the window is known."""
        if function in ("any", "all"):
            return self._truth(function, coverage)
        if self.known_s < coverage * self.seconds - 1e-6 or self.known_s <= 0:
            return None
        match function:
            case "avg":
                return self.integral / self.known_s
            case "sum":
                return self.integral
            case "count":
                return float(self.rises)
            case "changes":
                return float(self.turns)
            case "rate":
                return self._rate()
            case "p95":
                return self._percentile(0.95)
            case _:
                return self._extreme(function)

    def _truth(self, function: str, coverage: float) -> float | None:
        decisive = 1.0 if function == "any" else 0.0
        seen = [p.high if function == "any" else p.low for p in self.pieces if p.known_s > 0]
        if decisive in seen or self.current == decisive:
            return decisive
        return None if self.known_s < coverage * self.seconds - 1e-6 else 1.0 - decisive

    def _extreme(self, function: str) -> float | None:
        values = [
            v for p in self.pieces if (v := p.low if function == "min" else p.high) is not None
        ]
        if self.current is not None:
            values.append(self.current)
        return (min if function == "min" else max)(values) if values else None

    def _rate(self) -> float | None:
        first = next((p for p in self.pieces if p.first is not None), None)
        if (
            first is None
            or first.first is None
            or self.current is None
            or self.since <= first.start
        ):
            return None
        return (self.current - first.first) / (self.since - first.start) * 3600.0

    def _percentile(self, share: float) -> float | None:
        means = sorted((p.integral / p.known_s, p.known_s) for p in self.pieces if p.known_s > 0)
        passed = 0.0
        for mean, weight in means:
            passed += weight
            if passed >= share * self.known_s:
                return mean
        return means[-1][0] if means else self.current


class WindowNode(Node):
    """A window in the graph: follows its operand, and looks again while its contents age."""

    __slots__ = ("_codes", "_evaluate", "_timer", "_track", "env", "node", "structure")
    MADE: ClassVar = ("_evaluate",)

    def __init__(self, graph: Graph, node: typed.Window, env: Env, cell: Cell) -> None:
        super().__init__(graph, cell)
        self.node = node
        self.env = env
        self.remake()
        self._timer: Timer | None = None
        cells, self.structure = graph.sources(node.operand, env)
        now = graph.clock.now
        since = [c.since for c in cells if c.since is not None]
        self._codes: dict[str, float] = {}
        first = self._as_number(self._evaluate())
        self._track = Track(node.seconds, now, first, max(since, default=now))
        self.follow(cells)

    def remake(self) -> None:
        """Bind the function of the operand."""
        self._evaluate = self.graph.bind(self.node.operand, self.env)

    def update(self) -> bool:
        """Let time pass, take the operand's value, and return whether the statistic changed."""
        now = self.graph.clock.now
        track = self._track
        track.advance(now)
        track.turn(self._as_number(self._evaluate()), now)
        if leads_elsewhere(self.structure):
            cells, self.structure = self.graph.sources(self.node.operand, self.env)
            self.follow(cells)
        if self._timer is None and not track.is_steady:
            self._timer = self.graph.timers.at(
                now + max(self.node.seconds / LOOKS, 0.5), self._look
            )
        value: Any = track.result(self.node.function, self.node.coverage)
        if value is not None and self.node.function in ("any", "all"):
            value = bool(value)
        return self.store(value)

    def _as_number(self, value: Any) -> float | None:
        """Return what the track keeps: members and texts are numbered in the order in which they were seen."""
        if value is None or isinstance(value, (bool, float)):
            return None if value is None else float(value)
        return self._codes.setdefault(str(value), float(len(self._codes)))

    def _look(self) -> None:
        self._timer = None
        if self.alive:
            self.graph.mark(self)

    @property
    def coverage(self) -> float:
        """Share of the window that is known."""
        return max(0.0, min(1.0, self._track.known_s / self.node.seconds))

    def close(self) -> None:
        """Depend on nothing, look no more."""
        if self._timer is not None:
            self._timer.cancel()
        super().close()
