"""How the engine is: findings that stand until they are cleared, counters, and warnings that do not flood the log."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pilotage.model.diagnostics import Severity
from pilotage.runtime.log_events import about

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
            mended = f" (mend: {mend})" if mend else ""
            fields = {"event": "finding.raised", "code": code, "mend": mend}
            log.log(level, "%s: %s%s", code, text, mended, extra=fields)

    def cleared(self, code: str) -> None:
        """Note that it is right again and log it once."""
        with self._lock:
            before = self._findings.pop(code, None)
        if before is not None:
            fields = {"event": "finding.cleared", "code": code}
            log.info("%s: right again, was: %s", code, before.text, extra=fields)

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
        more = f" ({held} more like this since the last line)" if held else ""
        log.warning("%s%s", text, more, extra={"event": "remark", "about": about(key)})
