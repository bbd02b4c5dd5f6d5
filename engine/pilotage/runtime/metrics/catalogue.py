"""Every metric, in the order of the manual: name, type, labels, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: As Prometheus shows it; a counter's ends with `_total`.
        type: gauge, counter or histogram.
        help: One sentence.
        labels: Names of its labels.
    """

    name: str
    type: str
    help: str
    labels: tuple[str, ...] = ()


_BY_CONNECTION: Final = ("connection",)

METRICS: Final[tuple[Metric, ...]] = (
    Metric("pilotage_build_info", "gauge", "1; its labels say what runs.", ("version", "python")),
    Metric("pilotage_started_timestamp_seconds", "gauge", "When the engine was started, seconds since 1970."),
    Metric("pilotage_ready", "gauge", "1 while the engine is in service and its disk takes records; 0 while it starts, stops or cannot write."),
    Metric("pilotage_sound", "gauge", "1 while no error stands in its health report."),
    Metric("pilotage_findings", "gauge", "Findings that stand in the health report.", ("severity",)),
    Metric("pilotage_rules", "gauge", "Rules in force."),
    Metric("pilotage_entities", "gauge", "Entities of the inventory, plans and incidents."),
    Metric("pilotage_points", "gauge", "Points, derived ones among them."),
    # inputs and decisions
    Metric("pilotage_inputs_total", "counter", "Inputs that the core has taken: readings, orders, results."),
    Metric("pilotage_readings_total", "counter", "Readings that were admitted.", _BY_CONNECTION),
    Metric("pilotage_readings_refused_total", "counter", "Messages that no binding understands, or that are too old.", _BY_CONNECTION),
    Metric("pilotage_readings_bad_total", "counter", "Values that their point cannot have; it is unknown then.", _BY_CONNECTION),
    Metric("pilotage_readings_dropped_total", "counter", "Older readings that a connection dropped for newer ones of the same point.", _BY_CONNECTION),
    Metric("pilotage_readings_conflated_total", "counter", "Older readings that flood control dropped for newer ones of the same point.", _BY_CONNECTION),
    Metric("pilotage_inbox_conflated_total", "counter", "Older readings that the inbox dropped for newer ones of the same point."),
    Metric("pilotage_inbox_inputs", "gauge", "Inputs that wait for the next tick."),
    Metric("pilotage_ticks_total", "counter", "Ticks of the core."),
    Metric("pilotage_tick_seconds", "histogram", "How long the core worked on a tick: all the rules that read what came in."),
    Metric("pilotage_engine_faults_total", "counter", "Ticks that failed."),
    Metric("pilotage_decisions_total", "counter", "Decisions that are on disk and were sent."),
    Metric("pilotage_decision_number", "gauge", "Number of the last decision, over all starts."),
    Metric("pilotage_reading_to_command_seconds", "histogram", "From the arrival of the oldest input of a tick until its commands were given to their connections; the journal lies between."),
    Metric("pilotage_rule_changes_total", "counter", "Changes of state of a rule's instances; of 500 rules by name.", ("rule",)),
    Metric("pilotage_rule_processor_seconds_total", "counter", "Processor time that a rule took, by samples of 10 ms; of 500 rules.", ("rule",)),
    Metric("pilotage_rules_quarantined", "gauge", "Rules in quarantine: they decide nothing until they are released or mended."),
    Metric("pilotage_function_faults_total", "counter", "Reports that a plugin's function failed inside a rule."),
    Metric("pilotage_promises_missed_total", "counter", "Times that a rule was slower than it promises.", ("rule",)),
    # commands
    Metric("pilotage_orders_total", "counter", "Commands, requests and calls that a connection was given, by what it answered at once.", ("connection", "outcome")),
    Metric("pilotage_orders_waiting", "gauge", "Orders that wait or are under way.", _BY_CONNECTION),
    Metric("pilotage_orders_over_rate_total", "counter", "Orders that were not sent since their point or connection carries no more.", _BY_CONNECTION),
    Metric("pilotage_orders_unroutable_total", "counter", "Orders for points that no connection commands."),
    Metric("pilotage_command_ends_total", "counter", "Ends of commands, by how they ended: done, refused, expired, failed, unknown, superseded.", ("outcome",)),
    # alarms and plans
    Metric("pilotage_alarms", "gauge", "Alarms that are not normal, by state and severity.", ("state", "severity")),
    Metric("pilotage_alarms_raised_total", "counter", "Alarms that were raised.", ("severity",)),
    Metric("pilotage_plan_level", "gauge", "The level of each plan; 0 is off.", ("plan",)),
    # connections and plugins
    Metric("pilotage_connection_up", "gauge", "1 while a connection is up or degraded.", ("connection", "adapter")),
    Metric("pilotage_connection_disabled", "gauge", "1 when a connection was given up until the next reload.", _BY_CONNECTION),
    Metric("pilotage_connection_since_timestamp_seconds", "gauge", "When a connection came into the state that it is in.", _BY_CONNECTION),
    Metric("pilotage_connection_failures_total", "counter", "How often a connection was lost or did not come up.", _BY_CONNECTION),
    Metric("pilotage_connection_points", "gauge", "Points that a connection has reported.", _BY_CONNECTION),
    Metric("pilotage_connection_heard_timestamp_seconds", "gauge", "When a connection reported the last time; 0 for never.", _BY_CONNECTION),
    Metric("pilotage_plugin_faults_total", "counter", "Mistakes of a connection's plugin: it raised, or its process ended.", _BY_CONNECTION),
    Metric("pilotage_plugin_memory_bytes", "gauge", "Resident memory of an isolated plugin's process.", _BY_CONNECTION),
    Metric("pilotage_plugin_memory_limit_bytes", "gauge", "What that process may have.", _BY_CONNECTION),
    Metric("pilotage_plugin_restarts_total", "counter", "How often that process was started again.", _BY_CONNECTION),
    # the event loop
    Metric("pilotage_loop_lag_seconds", "histogram", "How late the event loop was for a call that was due, forty times a second."),
    Metric("pilotage_loop_holds_total", "counter", "How often the loop was held for longer than 50 ms, by the connection whose code it was; engine for all else.", ("component",)),
    Metric("pilotage_loop_held_seconds_total", "counter", "How long it was held by those in all.", ("component",)),
    Metric("pilotage_loop_tasks", "gauge", "Tasks of the event loop: connections, orders under way, callers."),
    # what is kept
    Metric("pilotage_journal_commit_seconds", "histogram", "How long a transaction of the journal took, its way to the disk included."),
    Metric("pilotage_journal_waiting_bytes", "gauge", "What waits to be written."),
    Metric("pilotage_journal_size_bytes", "gauge", "Size of the journal's file."),
    Metric("pilotage_journal_wal_bytes", "gauge", "Size of its write-ahead log."),
    Metric("pilotage_journal_refusing", "gauge", "1 while the disk refuses records."),
    Metric("pilotage_journal_refused_total", "counter", "Writes that the disk refused."),
    Metric("pilotage_journal_inputs_left_out_total", "counter", "Inputs that were not recorded for want of memory while the disk refused."),
    Metric("pilotage_journal_sent_unwritten_total", "counter", "Decisions that were sent while their record was in memory only."),
    Metric("pilotage_snapshots_total", "counter", "Snapshots that were written since the start."),
    Metric("pilotage_snapshot_timestamp_seconds", "gauge", "When the newest snapshot was written; 0 for never."),
    Metric("pilotage_snapshot_size_bytes", "gauge", "Size of the newest snapshot."),
    Metric("pilotage_history_waiting", "gauge", "Readings that wait to be recorded."),
    Metric("pilotage_history_readings_total", "counter", "Readings that the history has taken up."),
    Metric("pilotage_history_dropped_total", "counter", "Readings that the history dropped, since its disk or it could not follow."),
    Metric("pilotage_history_size_bytes", "gauge", "Size of the history's file."),
    Metric("pilotage_audit_lag_decisions", "gauge", "Decisions that the audit has not taken up yet."),
    Metric("pilotage_audit_dropped_total", "counter", "Rows that were not written into the audit."),
    Metric("pilotage_audit_restarts_total", "counter", "Starts of the process that writes the audit, after it had ended by itself."),
    Metric("pilotage_storage_free_bytes", "gauge", "What is free on the disk of the storage folder."),
    Metric("pilotage_clock_jumps_total", "counter", "Jumps of the system's clock."),
    # the process; made by the client library of Prometheus
    Metric("process_virtual_memory_bytes", "gauge", "Virtual memory."),
    Metric("process_resident_memory_bytes", "gauge", "Resident memory."),
    Metric("process_start_time_seconds", "gauge", "When the process was started, seconds since 1970."),
    Metric("process_cpu_seconds_total", "counter", "Processor time, user and system."),
    Metric("process_open_fds", "gauge", "Files, sockets and pipes that are open."),
    Metric("process_max_fds", "gauge", "How many may be open."),
)  # fmt: skip
"""Every metric that `/metrics` shows."""

BY_NAME: Final = {metric.name: metric for metric in METRICS}
