"""Reads the parts of a running engine when somebody asks, and gives what it read the names of the catalogue."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from pilotage.model.diagnostics import Severity
from pilotage.runtime.histogram import Histogram
from pilotage.runtime.journal import SqliteJournal
from pilotage.runtime.loop_watch import LoopWatch
from pilotage.runtime.metrics.catalogue import BY_NAME
from pilotage.runtime.metrics.parts import ENGINE, Parts, unready
from pilotage.runtime.promises import MISSED
from pilotage.runtime.supervisor import ConnectionStatus, State

Labels = Sequence[str]
Samples = Iterable[tuple[Labels, float]]


class Collector:
    """A collector of the Prometheus client library; `collect` belongs to the event loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        """Yield everything as it is now."""
        parts = self._parts
        counters, links = dict(parts.health.counters), parts.supervisor.statuses
        yield from _engine(parts)
        yield from _readings(parts, counters)
        yield from _decisions(parts, counters)
        yield from _orders(parts, counters)
        yield from _alarms_and_plans(parts)
        yield from _connections(links, counters)
        yield from _loop(parts.watch)
        yield from _journal(parts.journal, counters)
        yield from _kept(parts, counters)


# ── the parts ────────────────────────────────────────────────────────────────────────────────


def _engine(parts: Parts) -> Iterator[Metric]:
    severities = Counter(finding.severity.value for finding in parts.health.findings)
    yield _gauge("pilotage_build_info", [((parts.version, platform.python_version()), 1)])
    yield _one("pilotage_started_timestamp_seconds", parts.started)
    yield _one("pilotage_ready", not unready(parts))
    yield _one("pilotage_sound", parts.health.is_sound)
    yield _gauge("pilotage_findings", [((s.value,), severities[s.value]) for s in Severity])
    yield _one("pilotage_rules", parts.rules())
    yield _one("pilotage_entities", len(parts.engine.entities))
    yield _one("pilotage_points", len(parts.engine.cells))


def _readings(parts: Parts, counters: Mapping[str, int]) -> Iterator[Metric]:
    doors = parts.doors()
    admitted = [((name,), door.readings) for name, door in doors.items()]
    yield _total("pilotage_inputs_total", parts.pump.inputs)
    yield _counter("pilotage_readings_total", admitted)
    for word in ("refused", "bad", "dropped", "conflated"):
        samples = [((name,), counters.get(f"{word}.{name}", 0)) for name in doors]
        yield _counter(f"pilotage_readings_{word}_total", samples)
    yield _total("pilotage_inbox_conflated_total", counters.get("inbox.conflated", 0))
    yield _one("pilotage_inbox_inputs", len(parts.inbox))


def _decisions(parts: Parts, counters: Mapping[str, int]) -> Iterator[Metric]:
    pump, found = parts.pump, parts.instruments
    yield _total("pilotage_ticks_total", pump.ticks)
    yield _histogram("pilotage_tick_seconds", pump.spent)
    yield _total("pilotage_engine_faults_total", counters.get("engine.faults", 0))
    yield _total("pilotage_decisions_total", found.decisions)
    yield _one("pilotage_decision_number", pump.number)
    yield _histogram("pilotage_reading_to_command_seconds", found.latency)
    yield _counter("pilotage_rule_changes_total", _by_one(found.rules))
    spent = parts.limits.budget.spent_s
    yield _counter("pilotage_rule_processor_seconds_total", _by_one(spent))
    quarantined = getattr(parts.engine, "quarantined", ())
    yield _one("pilotage_rules_quarantined", len(quarantined))
    yield _total("pilotage_function_faults_total", found.function_faults)
    yield _counter("pilotage_promises_missed_total", _named(counters, MISSED))


def _orders(parts: Parts, counters: Mapping[str, int]) -> Iterator[Metric]:
    sent = [(tuple(key.split(".", 1)), n) for (key,), n in _named(counters, "sent.")]
    yield _counter("pilotage_orders_total", sent)
    yield _gauge("pilotage_orders_waiting", _by_one(parts.dispatcher.waiting))
    yield _counter("pilotage_orders_over_rate_total", _named(counters, "over_rate."))
    unroutable = counters.get("dispatcher.no_route", 0)
    yield _total("pilotage_orders_unroutable_total", unroutable)
    yield _counter("pilotage_command_ends_total", _by_one(parts.instruments.ends))


def _alarms_and_plans(parts: Parts) -> Iterator[Metric]:
    alarms = getattr(getattr(parts.engine, "alarms", None), "all", {})
    plans = getattr(getattr(parts.engine, "plans", None), "all", {})
    states = Counter((a.state, a.severity) for a in alarms.values() if a.state != "normal")
    yield _gauge("pilotage_alarms", states.items())
    yield _counter("pilotage_alarms_raised_total", _by_one(parts.instruments.alarms))
    yield _gauge("pilotage_plan_level", [((name,), plan.level) for name, plan in plans.items()])


def _connections(
    links: Sequence[ConnectionStatus], counters: Mapping[str, int]
) -> Iterator[Metric]:
    up = (State.UP, State.DEGRADED)
    yield _gauge("pilotage_connection_up", [((c.name, c.adapter), c.state in up) for c in links])
    disabled = [((c.name,), c.state is State.DISABLED) for c in links]
    yield _gauge("pilotage_connection_disabled", disabled)
    since = [((c.name,), c.since) for c in links]
    yield _gauge("pilotage_connection_since_timestamp_seconds", since)
    failures = [((c.name,), c.failures) for c in links]
    yield _counter("pilotage_connection_failures_total", failures)
    yield _gauge("pilotage_connection_points", [((c.name,), c.points) for c in links])
    heard = [((c.name,), c.heard_at) for c in links]
    yield _gauge("pilotage_connection_heard_timestamp_seconds", heard)
    faults = [((c.name,), counters.get(f"faults.{c.name}", 0)) for c in links]
    yield _counter("pilotage_plugin_faults_total", faults)
    isolated = [(c.name, c.process) for c in links if c.process is not None]
    yield _gauge("pilotage_plugin_memory_bytes", [((n,), p.memory) for n, p in isolated])
    yield _gauge("pilotage_plugin_memory_limit_bytes", [((n,), p.limit) for n, p in isolated])
    yield _counter("pilotage_plugin_restarts_total", [((n,), p.restarts) for n, p in isolated])


def _loop(watch: LoopWatch) -> Iterator[Metric]:
    holds = [((name or ENGINE,), n) for name, n in watch.holds.items()]
    held = [((name or ENGINE,), seconds) for name, seconds in watch.held_s.items()]
    yield _histogram("pilotage_loop_lag_seconds", watch.lag)
    yield _counter("pilotage_loop_holds_total", holds)
    yield _counter("pilotage_loop_held_seconds_total", held)
    with contextlib.suppress(RuntimeError):  # asked outside of the loop
        yield _one("pilotage_loop_tasks", len(asyncio.all_tasks()))


def _journal(journal: SqliteJournal, counters: Mapping[str, int]) -> Iterator[Metric]:
    yield _histogram("pilotage_journal_commit_seconds", journal.commits)
    yield _one("pilotage_journal_waiting_bytes", journal.waiting_bytes)
    yield _one("pilotage_journal_size_bytes", _size(journal.path))
    wal = journal.path.with_name(journal.path.name + "-wal")
    yield _one("pilotage_journal_wal_bytes", _size(wal))
    yield _one("pilotage_journal_refusing", journal.refusing_since is not None)
    yield _total("pilotage_journal_refused_total", counters.get("journal.refused", 0))
    left_out = counters.get("journal.inputs_left_out", 0)
    yield _total("pilotage_journal_inputs_left_out_total", left_out)
    unwritten = counters.get("pump.sent_unwritten", 0)
    yield _total("pilotage_journal_sent_unwritten_total", unwritten)


def _kept(parts: Parts, counters: Mapping[str, int]) -> Iterator[Metric]:
    newest = max(parts.snapshots.files(), key=_written_at, default=None)
    yield _total("pilotage_snapshots_total", counters.get("snapshots", 0))
    yield _one("pilotage_snapshot_timestamp_seconds", _written_at(newest))
    yield _one("pilotage_snapshot_size_bytes", _size(newest))
    history = parts.history
    yield _one("pilotage_history_waiting", 0 if history is None else history.waiting)
    taken = 0 if history is None else history.readings
    yield _total("pilotage_history_readings_total", taken)
    yield _total("pilotage_history_dropped_total", counters.get("history.dropped", 0))
    yield _one("pilotage_history_size_bytes", _size(None if history is None else history.path))
    reached = parts.audit.reached.get(parts.partition, parts.pump.number)
    yield _one("pilotage_audit_lag_decisions", max(0, parts.pump.number - reached))
    yield _total("pilotage_audit_dropped_total", counters.get("audit.dropped", 0))
    yield _total("pilotage_audit_restarts_total", counters.get("audit.restarts", 0))
    yield _one("pilotage_storage_free_bytes", _free(parts.journal.path.parent))
    yield _total("pilotage_clock_jumps_total", counters.get("clock.jumps", 0))


# ── families ─────────────────────────────────────────────────────────────────────────────────


def _one(name: str, value: float) -> Metric:
    return GaugeMetricFamily(name, BY_NAME[name].help, value=float(value))


def _gauge(name: str, samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, BY_NAME[name].help, labels=BY_NAME[name].labels)
    for labels, value in samples:
        family.add_metric(labels, float(value))
    return family


def _total(name: str, value: float) -> Metric:
    return CounterMetricFamily(name, BY_NAME[name].help, value=float(value))


def _counter(name: str, samples: Samples) -> Metric:
    family = CounterMetricFamily(name, BY_NAME[name].help, labels=BY_NAME[name].labels)
    for labels, value in samples:
        family.add_metric(labels, float(value))
    return family


def _histogram(name: str, histogram: Histogram) -> Metric:
    buckets = [
        ("+Inf" if bound == float("inf") else f"{bound:g}", float(count))
        for bound, count in histogram.buckets
    ]
    help_ = BY_NAME[name].help
    return HistogramMetricFamily(name, help_, buckets=buckets, sum_value=histogram.total)


def _by_one(values: Mapping[str, float]) -> list[tuple[Labels, float]]:
    return [((name,), value) for name, value in values.items()]


def _named(counters: Mapping[str, int], start: str) -> list[tuple[Labels, float]]:
    """Return the counters whose names begin so, by the rest of the name."""
    return [((k.removeprefix(start),), n) for k, n in counters.items() if k.startswith(start)]


def _size(file: Path | None) -> int:
    with contextlib.suppress(OSError):
        return file.stat().st_size if file is not None else 0
    return 0


def _written_at(file: Path | None) -> float:
    with contextlib.suppress(OSError):
        return file.stat().st_mtime if file is not None else 0.0
    return 0.0


def _free(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(folder).free
    return 0
