"""The bounds of the engine as a whole: what a rule may cost, how much memory it may use, how many files it may open.

What goes beyond a bound is told, and a rule is put into quarantine; nothing ends in silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pilotage.model.diagnostics import Severity
from pilotage.model.messages import RuleOrder
from pilotage.ports import HealthLog
from pilotage.runtime import malloc
from pilotage.runtime.config import EngineSettings
from pilotage.runtime.inbox import InboxFullError, Receipt
from pilotage.runtime.isolation.limits import resident
from pilotage.runtime.rule_budget import LOOK_S, WINDOW_S, RuleBudget

ENGINE: Final = "engine"
"""Who puts a rule into quarantine."""
MOST_FILES: Final = 65_536
RESOURCES_S: Final = 5.0
TRIM_S: Final = 15.0
MUCH: Final = 0.8
"""Part of the open files from which on it is told."""
_OPEN: Final = Path("/proc/self/fd")

GiveOrder = Callable[[RuleOrder], "asyncio.Future[Receipt]"]


class Limits:
    """Looks from time to time whether the engine keeps within its bounds; lives in the event loop."""

    def __init__(
        self,
        settings: EngineSettings,
        health: HealthLog,
        order: GiveOrder,
        turn: Callable[[], object],
    ) -> None:
        """Prepare; nothing is looked at before `start`.

        Args:
            settings: The bounds.
            health: Where it is told.
            order: Gives the engine an order by its front door.
            turn: Whose turn it is in the core.
        """
        self.budget = RuleBudget(self._over_budget, settings.rule_share, turn=turn)
        self._settings = settings
        self._health = health
        self._order = order
        self._timers: list[asyncio.TimerHandle] = []
        self._trimming = ThreadPoolExecutor(1, "pilotage-trimming")

    def start(self) -> None:
        """Begin to look."""
        allow_files()
        self.budget.start()
        self._look_at_rules()
        self._look_at_resources()
        self._again(TRIM_S, self._give_back)

    def stop(self) -> None:
        """Look no more."""
        self.budget.stop()
        self._trimming.shutdown(wait=False)
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _again(self, seconds: float, look: Callable[[], None]) -> None:
        now = asyncio.get_running_loop().time()
        self._timers = [timer for timer in self._timers if timer.when() > now]
        self._timers.append(asyncio.get_running_loop().call_later(seconds, look))

    # ── rules ────────────────────────────────────────────────────────────────────────────────

    def _look_at_rules(self) -> None:
        self._again(LOOK_S, self._look_at_rules)
        self.budget.look()

    def _over_budget(self, rule: str, share: float) -> None:
        """Put a rule into quarantine, by an order that a replay will see too."""
        self.budget.forget(rule)
        allowed = self._settings.rule_share
        self._quarantine(
            rule, f"it took {share:.1%} of a core for {WINDOW_S:g} s, and {allowed:.1%} are allowed"
        )

    def not_again(self, rule: str) -> None:
        """Put a rule into quarantine that has stopped the engine before, and would do it at its next start too."""
        self._quarantine(
            rule, "the engine stood still in it, twice within an hour, and ended itself"
        )

    def _quarantine(self, rule: str, reason: str) -> None:
        self._health.count("rules.quarantined")
        with contextlib.suppress(InboxFullError):  # it is tried again when it goes on
            receipt = self._order(RuleOrder(rule, "quarantine", ENGINE, reason, ENGINE))
            receipt.add_done_callback(_heard)

    # ── the machine ──────────────────────────────────────────────────────────────────────────

    def _look_at_resources(self) -> None:
        self._again(RESOURCES_S, self._look_at_resources)
        self._look_at_memory(resident(os.getpid()))
        with contextlib.suppress(OSError):
            self._look_at_files(len(list(_OPEN.iterdir())), allowed_files())

    def _give_back(self) -> None:
        """Give the system back what threads have freed, in a thread: the loop does not wait."""
        self._again(TRIM_S, self._give_back)
        self._trimming.submit(malloc.give_back)

    def _look_at_memory(self, used: int) -> None:
        most = self._settings.memory
        if most and used > most:
            self._health.raised(
                "engine.memory",
                f"the engine uses more memory than engine.memory allows ({most / 1e6:,.0f} MB)",
                "see which of the waiting figures of the metrics grow; raise the bound when the city has grown, and"
                " bind the service itself by MemoryMax of its unit",
                Severity.WARNING,
            )
        elif used < most * 0.95:
            self._health.cleared("engine.memory")

    def _look_at_files(self, used: int, most: int) -> None:
        if used > MUCH * most:
            self._health.raised(
                "engine.files",
                f"the engine has opened more than {MUCH:.0%} of the {most:,} files and connections that it may",
                "raise LimitNOFILE of its unit, and look for a connection whose failures grow",
                Severity.WARNING,
            )
        elif used < (MUCH - 0.1) * most:
            self._health.cleared("engine.files")


def allowed_files() -> int:
    """Return how many files this process may open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def allow_files() -> None:
    """Let this process open as many files as the system allows it, within reason; the usual bound is much lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Where the system has no bound, whoever closes every file that could be open would take for ever.
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _heard(receipt: asyncio.Future[Receipt]) -> None:
    """Take note of what became of an order: the audit and the alarm tell the rest."""
    if not receipt.cancelled():
        receipt.exception()
