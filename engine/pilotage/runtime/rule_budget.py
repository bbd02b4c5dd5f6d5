"""Watches what each rule costs, from outside: looks a hundred times in a second of processor time at what runs.

The core knows no clock. A rule that takes more than its share for long is named here, and an order that enters by the front
door puts it into quarantine; the order is in the journal, and a replay decides the same.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, Final

from pilotage.core.evaluator import HoldInstance
from pilotage.core.graph import Watch
from pilotage.core.stories import Run, StoryInstance
from pilotage.language.compiler import REACTION, watch_at

SAMPLE_S: Final = 0.01
WINDOW_S: Final = 30.0
LOOK_S: Final = 1.0
MOST_RULES: Final = 500
CHAIN: Final = 3
"""From a watch to its edge, its story."""
DEEPEST: Final = 60
"""Frames that are looked at; a rule is found among the first few."""


class RuleBudget:
    """Counts processor time by rule, in the thread that runs the event loop.

    Attributes:
        spent_s: Processor time by rule since the start, for the most expensive ones.
    """

    def __init__(
        self,
        over: Callable[[str, float], None],
        share: float,
        *,
        window_s: float = WINDOW_S,
        sample_s: float = SAMPLE_S,
        turn: Callable[[], object] = lambda: None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is counted before `start`.

        Args:
            over: Told of a rule that is over its budget, and of its share of a core; each time that `look` finds it.
            share: Of a core that one rule may take, from 0 to 1; 0 counts without a limit.
            window_s: Over so long.
            sample_s: Processor time between two samples.
            turn: Whose turn it is in the core.
            steady: A clock that never goes back.
        """
        self.spent_s: Counter[str] = Counter()
        self._looks = 0
        self._shares: dict[str, Counter[int]] = {}
        self._over = over
        self._share = share
        self._window_s = window_s
        self._sample_s = sample_s
        self._turn = turn
        self._steady = steady
        self._fresh: Counter[str] = Counter()
        self._past: deque[tuple[float, Counter[str]]] = deque()
        self._before: Any = None
        self._is_on = False

    def start(self) -> None:
        """Begin to count; only the main thread may, elsewhere nothing happens."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._before = signal.signal(signal.SIGPROF, self._sample)
        signal.siginterrupt(signal.SIGPROF, False)
        signal.setitimer(signal.ITIMER_PROF, self._sample_s, self._sample_s)
        self._is_on = True

    def stop(self) -> None:
        """Count no more."""
        if self._is_on:
            self._is_on = False
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            # A last signal may be on its way: the default would end the process.
            signal.signal(signal.SIGPROF, signal.SIG_IGN)

    def look(self) -> None:
        """Judge the last window; to be called every `LOOK_S`."""
        now = self._steady()
        fresh, self._fresh = self._fresh, Counter()
        self._past.append((now, fresh))
        self._looks += 1
        self._note(fresh)
        while self._past and self._past[0][0] < now - self._window_s:
            self._past.popleft()
        if not self._share:
            return
        for rule, samples in self._recent().items():
            share = samples * self._sample_s / self._window_s
            if share > self._share:
                self._over(rule, share)

    def forget(self, rule: str) -> None:
        """Begin anew with a rule: it is in quarantine now, or was released."""
        for _, samples in self._past:
            samples.pop(rule, None)

    def _recent(self) -> Counter[str]:
        recent: Counter[str] = Counter()
        for _, samples in self._past:
            recent.update(samples)
        return recent

    def _note(self, fresh: Counter[str]) -> None:
        for rule, samples in fresh.items():
            if rule in self.spent_s or len(self.spent_s) < MOST_RULES:
                self.spent_s[rule] += samples * self._sample_s  # type: ignore[assignment]
                self._shares.setdefault(rule, Counter())[samples] += 1

    def p99_s(self, rule: str) -> float:
        """Return the processor time that a rule stays within in 99 of 100 looks: seconds in a second, in steps of a sample."""
        beyond = self._looks // 100
        for samples, times in sorted(self._shares.get(rule, Counter()).items(), reverse=True):
            beyond -= times
            if beyond < 0:
                return samples * self._sample_s
        return 0.0

    def _sample(self, number: int, frame: FrameType | None) -> None:
        """Note whose turn it is.

        This comes between any two steps of the core, also while a thing is being made and has no attributes yet. What is
        raised here would be raised in the middle of a tick, so a sample that fails is lost.
        """
        with suppress(Exception):
            rule = rule_of(frame, self._turn())
            if rule:
                self._fresh[rule] += 1


def rule_of(frame: FrameType | None, turn: object) -> str:
    """Return the rule for which the code of a frame works; empty when it works for none.

    Args:
        frame: What runs. A compiled core has no frames, but for the generated functions.
        turn: Whose turn it is in the core: a watch, or what was due.
    """
    for here in _outwards(frame):
        # What a frame knows is read only where it may be a rule's: that costs a copy of its names.
        if here.f_code.co_filename == REACTION:
            rule = _owner(watch_at(here.f_locals, here.f_lineno))
            if rule:
                return rule
    return _owner(turn)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    for _ in range(DEEPEST):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def _owner(thing: Any) -> str:
    """Return the rule that something of the core works for: a watch, an instance, a demand or a run; empty for none."""
    for _ in range(CHAIN):
        if isinstance(thing, Watch):
            thing = thing.fire
        if isinstance(thing, partial):
            thing = thing.args[0] if thing.args else thing.func
        thing = getattr(thing, "__self__", thing)
        if isinstance(thing, (HoldInstance, StoryInstance)):
            return thing.rule.name
        if isinstance(thing, Run):
            return thing.by
        if type(thing).__module__ == HoldInstance.__module__:  # what a hold's items are made of
            return str(getattr(thing, "_by", ""))
        thing = getattr(thing, "_happened", None)  # what tells a story of its event
    return ""
