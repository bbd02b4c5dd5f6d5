"""Watches the event loop from a thread: names what holds it too long, and ends a process whose loop is stuck.

The loop beats; the thread looks whether the beat is late, and then where the loop's thread stands and for which connection it
works. It finds what a callback of any library does, not only what our own tasks do.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from pilotage.runtime.histogram import SHORT_S, Histogram
from pilotage.runtime.rule_budget import rule_of

CONNECTION: Final[ContextVar[str]] = ContextVar("pilotage_connection", default="")
"""The connection that a task, and every callback that it registers, works for."""

TASK_PREFIX: Final = "connection-"
"""What the name of a connection's own task begins with."""

LIMIT_S: Final = 0.05
EVERY_S: Final = 0.025
PATIENCE_S: Final = 60.0
EXIT_STUCK: Final = 70  # EX_SOFTWARE of sysexits.h
STUCK_FILE: Final = "stuck.txt"
BEFORE_FILE: Final = "stuck-before.txt"
AGAIN_S: Final = 3600.0
"""A rule that stopped the loop twice within so long is not let do it again."""
_RULE: Final = re.compile(r"(\S+) .* \(rule ([^()]+)\)")


@dataclass(frozen=True, slots=True)
class Hold:
    """Something holds the event loop.

    Attributes:
        place: `folder/file:line in function`.
        seconds: So far.
        connection: Whose task or callback it is; empty when it is nobody's, or cannot be known.
        rule: For which the core works; empty for none.
    """

    place: str
    seconds: float
    connection: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Stuck:
    """How the engine before this one ended itself.

    Attributes:
        line: When, and where it stood.
        culprit: The rule for which it worked, when it was the same one twice within an hour; else empty.
    """

    line: str
    culprit: str


class LoopWatch:
    """Names the code that holds the event loop for too long.

    Attributes:
        lag: How late each beat was, in seconds.
        holds: How often each connection held the loop for too long; the empty one stands for all else.
        held_s: For how long they did in all.
    """

    def __init__(
        self,
        slow: Callable[[Hold], None],
        stuck: Callable[[Hold], None] | None = None,
        *,
        limit_s: float = LIMIT_S,
        stuck_s: float = 2.0,
        every_s: float = EVERY_S,
        alive: Callable[[], None] = lambda: None,
        turn: Callable[[], object] = lambda: None,
    ) -> None:
        """Prepare a watch; the callables are called from the watching thread.

        Args:
            slow: Called once for each hold that is longer than `limit_s`.
            stuck: Called when a hold has become longer than `stuck_s`; None leaves it at the naming.
            limit_s: Longer is slow.
            stuck_s: Longer is stuck.
            every_s: Between two beats, and between two looks.
            alive: Called at each look that finds the loop in order: held for no longer than it may be now.
            turn: Whose turn it is in the core.
        """
        self._slow = slow
        self._stuck = stuck
        self._limit_s = limit_s
        self._stuck_s = stuck_s
        self._every_s = every_s
        self._alive = alive
        self._turn = turn
        self.lag = Histogram(SHORT_S)
        self.holds: dict[str, int] = {}
        self.held_s: dict[str, float] = {}
        self._beat_at = time.monotonic()
        self._patience: list[float] = []
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop_thread = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def beat(self) -> None:
        """Say that the loop is alive; the loop calls it every `every_s`."""
        now = time.monotonic()
        self.lag.add(max(0.0, now - self._beat_at - self._every_s))
        self._beat_at = now

    @property
    def every_s(self) -> float:
        """How often `beat` is expected."""
        return self._every_s

    @contextmanager
    def patient(self, seconds: float = PATIENCE_S) -> Iterator[None]:
        """Inside, only a hold of so many seconds is stuck: a reload of a large city may take its time."""
        self._patience.append(seconds)
        try:
            yield
        finally:
            self.beat()
            self._patience.remove(seconds)

    def start(self) -> None:
        """Watch the thread that calls this, and its event loop when one runs."""
        self._loop_thread = threading.get_ident()
        with suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
        self.beat()
        self._thread = threading.Thread(target=self._look, name="pilotage-loop-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        beat_at, looks, told = self._beat_at, 0, False
        late_before = 0.0
        while not self._end.wait(self._every_s):
            if self._beat_at != beat_at:
                beat_at, looks, told = self._beat_at, 0, False
                late_before = 0.0
            looks += 1
            late = time.monotonic() - beat_at - self._every_s
            if late >= self._limit_s:
                hold = self._hold(late)
                self._count(hold.connection, late - late_before, is_new=not told)
                late_before = late
                if not told:
                    told = True  # one line per hold, however long it lasts
                    self._slow(hold)
            if late < self._limit_of_now:
                self._alive()
            elif self._stuck is not None and self._has_looked(looks):
                self._stuck(self._hold(late))
                return

    def _count(self, connection: str, seconds: float, *, is_new: bool) -> None:
        self.holds[connection] = self.holds.get(connection, 0) + is_new
        self.held_s[connection] = self.held_s.get(connection, 0.0) + seconds

    @property
    def _limit_of_now(self) -> float:
        return max(self._patience, default=self._stuck_s)

    def _has_looked(self, looks: int) -> bool:
        # A machine that slept, or a process that was stopped for a while, is late without being stuck: then this
        # thread has not looked either.
        return looks * self._every_s >= self._limit_of_now / 4

    def _hold(self, late: float) -> Hold:
        """Return what holds the loop, as far as that can be seen.

        The loop goes on meanwhile: a frame may be gone, and a thing that is just being made has no attributes yet. What is
        raised by that must not end this thread, or nobody watches any more, and a service manager misses its sign of life.
        """
        frame = sys._current_frames().get(self._loop_thread)
        place = connection = rule = ""
        with suppress(Exception):
            place = _place(frame)
            connection = _connection(frame, self._loop)
            rule = rule_of(frame, self._turn())
        return Hold(place, late, connection, rule)


def end_process(hold: Hold, folder: Path) -> NoReturn:
    """End a process whose loop is stuck; see `end_with_stacks`."""
    whose = f" (connection {hold.connection})" if hold.connection else ""
    whose += f" (rule {hold.rule})" if hold.rule else ""
    why = f"the event loop was stuck for {hold.seconds:.1f} s in {hold.place}{whose}"
    end_with_stacks(why, folder)


def end_with_stacks(why: str, folder: Path) -> NoReturn:
    """Write where every thread stands to standard error and into a file of a folder, and end the process with 70.

    Takes no lock that the stuck thread may hold: nothing is logged, nothing is flushed.
    """
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    line = f"{now} {why}; process {os.getpid()} ended itself with {EXIT_STUCK}\n"
    with suppress(Exception):
        os.write(2, line.encode())
        faulthandler.dump_traceback(2, all_threads=True)
    with suppress(Exception), (folder / STUCK_FILE).open("wb", buffering=0) as file:
        file.write(line.encode())
        faulthandler.dump_traceback(file, all_threads=True)
    os._exit(EXIT_STUCK)


def last_stuck(folder: Path) -> Stuck | None:
    """Return how the last process was stuck, once; None when it was not."""
    file, before = folder / STUCK_FILE, folder / BEFORE_FILE
    try:
        line, past = _first_line(file), _first_line(before)
        file.replace(before)
    except OSError:
        return None
    (at, rule), (past_at, past_rule) = _rule_in(line), _rule_in(past)
    is_again = rule == past_rule and at - past_at < AGAIN_S
    return Stuck(line, rule if is_again else "") if line else None


def _first_line(file: Path) -> str:
    return file.read_text("utf-8", "replace").partition("\n")[0] if file.exists() else ""


def _rule_in(line: str) -> tuple[float, str]:
    """Return when a process was stuck, in seconds since 1970, and in which rule; empty for none."""
    found = _RULE.match(line)
    try:
        return (datetime.fromisoformat(found[1]).timestamp(), found[2]) if found else (0.0, "")
    except ValueError:
        return 0.0, ""


# ── where, and for whom ──────────────────────────────────────────────────────────────────────


def _place(frame: FrameType | None) -> str:
    """Return the innermost place that is neither the standard library's nor the loop's own."""
    here = frame
    while here is not None and _is_library(here.f_code.co_filename):
        here = here.f_back
    chosen = here or frame
    if chosen is None:
        return "unknown place"
    place = "/".join(chosen.f_code.co_filename.rsplit("/", 2)[-2:])
    return f"{place}:{chosen.f_lineno} in {chosen.f_code.co_name}"


def _connection(frame: FrameType | None, loop: asyncio.AbstractEventLoop | None) -> str:
    """Return the connection that the loop works for now; empty for none, and for a callback of uvloop."""
    context = _context_of_callback(frame)
    if context is not None:
        return context.get(CONNECTION, "")
    # Under uvloop no frame leads to the callback, and a task shows its context from Python 3.12 on.
    task = asyncio.current_task(loop) if loop is not None else None
    name = task.get_name() if task is not None else ""
    return name.removeprefix(TASK_PREFIX) if name.startswith(TASK_PREFIX) else ""


def _context_of_callback(frame: FrameType | None) -> Context | None:
    """Return the context of the callback that the standard loop runs, task or not."""
    while frame is not None:
        if frame.f_code.co_name == "_run" and frame.f_code.co_filename == _HANDLES:
            return getattr(frame.f_locals.get("self"), "_context", None)
        frame = frame.f_back
    return None


_HANDLES: Final = asyncio.Handle._run.__code__.co_filename
_STDLIB: Final = str(Path(logging.__file__).parent.parent)


def _is_library(filename: str) -> bool:
    return filename.startswith(("<", _STDLIB)) and "site-packages" not in filename
