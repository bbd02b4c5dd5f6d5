"""How the engine is: findings that stand until they are cleared, counters, and warnings that do not flood the log."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from pilotage.model.diagnostics import Severity

REMARK_S: Final = 60.0
MAX_KEYS: Final = 10_000

log = logging.getLogger("pilotage.health")


@dataclass(frozen=True, slots=True)
class HealthFinding:
    """Something that is wrong now, since when (seconds since 1970), and what to do."""

    code: str
    severity: Severity
    text: str
    mend: str
    since: float


class Health:
    """The findings that stand and the counters; every method may be called from any thread."""

    def __init__(
        self, now: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._findings: dict[str, HealthFinding] = {}
        self._held_back: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()
        self._now = now
        self._steady = steady

    @property
    def findings(self) -> tuple[HealthFinding, ...]:
        """What is wrong now, oldest first."""
        with self._lock:
            return tuple(self._findings.values())

    @property
    def is_sound(self) -> bool:
        """True when no error stands."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)

    def finding(self, code: str) -> HealthFinding | None:
        """Return the finding of a code when it stands."""
        return self._findings.get(code)

    def raised(
        self, code: str, text: str, mend: str = "", severity: Severity = Severity.ERROR
    ) -> None:
        """Note that something is wrong and log it once; the time of the first saying stays."""
        with self._lock:
            before = self._findings.get(code)
            since = before.since if before else self._now()
            self._findings[code] = HealthFinding(code, severity, text, mend, since)
        if before is None:
            level = logging.ERROR if severity is Severity.ERROR else logging.WARNING
            log.log(level, "%s: %s%s", code, text, f" (mend: {mend})" if mend else "")

    def cleared(self, code: str) -> None:
        """Note that it is right again and log it once."""
        with self._lock:
            before = self._findings.pop(code, None)
        if before is not None:
            log.info("%s: right again, was: %s", code, before.text)

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        self.counters[name] += by

    def remark(self, key: str, text: str) -> None:
        """Log a warning, at most once a minute for each key, with the number of those that were held back."""
        now = self._steady()
        last, held = self._held_back.get(key, (-REMARK_S, 0))
        if now - last < REMARK_S:
            self._held_back[key] = (last, held + 1)
            return
        if (
            len(self._held_back) >= MAX_KEYS
        ):  # a flood of names that nobody knows must not fill the memory
            self._held_back.clear()
        self._held_back[key] = (now, 0)
        log.warning("%s%s", text, f" ({held} more like this since the last line)" if held else "")


class LoopWatch:
    """Names the code that holds the event loop for too long.

    The loop beats; a thread looks whether the beat is late, and then where the loop's thread stands. It finds what a
    callback of any library does, not only what our own tasks do.
    """

    def __init__(
        self, slow: Callable[[str, float], None], limit_s: float = 0.05, every_s: float = 0.025
    ) -> None:
        """Prepare a watch.

        Args:
            slow: Called from the watching thread with the place (`file:line in function`) and the seconds so far.
            limit_s: Longer is slow.
            every_s: Between two beats, and between two looks.
        """
        self._slow = slow
        self._limit_s = limit_s
        self._every_s = every_s
        self._beat_at = time.monotonic()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop_thread = 0

    def beat(self) -> None:
        """Say that the loop is alive; the loop calls it every `every_s`."""
        self._beat_at = time.monotonic()

    @property
    def every_s(self) -> float:
        """How often `beat` is expected."""
        return self._every_s

    def start(self) -> None:
        """Watch the thread that calls this."""
        self._loop_thread = threading.get_ident()
        self.beat()
        self._thread = threading.Thread(target=self._look, name="pilotage-loop-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        told_of = 0.0
        while not self._end.wait(self._every_s):
            beat_at = self._beat_at
            late = time.monotonic() - beat_at - self._every_s
            if late < self._limit_s or told_of == beat_at:
                continue
            told_of = beat_at  # one line per hold, however long it lasts
            frame = sys._current_frames().get(self._loop_thread)
            self._slow(_place(frame), late)


def _place(frame: FrameType | None) -> str:
    """Return the innermost place that is neither the standard library's nor the loop's own."""
    here = frame
    while here is not None and _is_library(here.f_code.co_filename):
        here = here.f_back
    chosen = here or frame
    if chosen is None:
        return "unknown place"
    path = Path(chosen.f_code.co_filename)
    return f"{path.parent.name}/{path.name}:{chosen.f_lineno} in {chosen.f_code.co_name}"


_STDLIB: Final = str(Path(logging.__file__).parent.parent)


def _is_library(filename: str) -> bool:
    return filename.startswith(("<", _STDLIB)) and "site-packages" not in filename
