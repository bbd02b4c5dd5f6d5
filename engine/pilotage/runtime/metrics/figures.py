"""The figures of a running engine for `pilotage top`: plain counters, of which two make a rate."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections import Counter
from pathlib import Path

from pilotage import api
from pilotage.runtime.histogram import Histogram
from pilotage.runtime.isolation.limits import resident
from pilotage.runtime.metrics.parts import ENGINE, Parts

MOST_RULES = 50


def figures_of(parts: Parts) -> api.Figures:
    """Return the figures as they are now."""
    alarms = getattr(getattr(parts.engine, "alarms", None), "all", {})
    spent = Counter(parts.limits.budget.spent_s).most_common(MOST_RULES)
    reached = parts.audit.reached.get(parts.partition, parts.pump.number)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return api.Figures(
        at=time.monotonic(),
        inputs=parts.pump.inputs,
        ticks=parts.pump.ticks,
        decisions=parts.instruments.decisions,
        waiting=len(parts.inbox),
        latency=_of(parts.instruments.latency),
        tick=_of(parts.pump.spent),
        lag=_of(parts.watch.lag),
        commits=_of(parts.journal.commits),
        readings={name: door.readings for name, door in parts.doors().items()},
        orders=parts.dispatcher.waiting,
        held_s={name or ENGINE: seconds for name, seconds in parts.watch.held_s.items()},
        rules_s=dict(spent),
        rules_p99_s={rule: parts.limits.budget.p99_s(rule) for rule, _ in spent},
        ends=dict(parts.instruments.ends),
        alarms=dict(Counter(a.severity for a in alarms.values() if a.state == "raised")),
        processor_s=used.ru_utime + used.ru_stime,
        memory=resident(os.getpid()),
        files=_open_files(),
        journal_waiting=parts.journal.waiting_bytes,
        history_waiting=0 if parts.history is None else parts.history.waiting,
        audit_lag=max(0, parts.pump.number - reached),
    )


def _of(histogram: Histogram) -> list[api.Bucket]:
    return [
        api.Bucket(bound, count) for bound, count in histogram.buckets if bound != float("inf")
    ] + [api.Bucket(None, histogram.count)]


def _open_files() -> int:
    with contextlib.suppress(OSError):
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    return 0
