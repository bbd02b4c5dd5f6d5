"""How much, how fast and how late: what `pilotage top` and a page of health show."""

from __future__ import annotations

import msgspec

from pilotage.api.question import Question

__all__ = ["Bucket", "Figures", "GetFigures"]


class Bucket(msgspec.Struct, frozen=True, array_like=True):
    """How many values were at most a bound, in seconds; without a bound all of them."""

    bound: float | None
    count: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Counters since the start, of which two make a rate, and what waits now.

    `at` is in a clock that never goes back. `latency` is from reading to command, `tick` the core's work, `lag` how late the event loop
    was, `commits` the journal's transactions, each in buckets. By connection: `readings` admitted and `orders` that wait. `held_s` is
    how long each component held the loop, `rules_s` the processor time of the rules that took most, by samples of 10 ms,
    `rules_p99_s` what each of them stayed within in 99 of 100 seconds, `ends` how commands ended, `alarms` those that stand unacknowledged by severity. `memory` and `journal_waiting` are in bytes.
    """

    at: float
    inputs: int = 0
    ticks: int = 0
    decisions: int = 0
    waiting: int = 0
    latency: list[Bucket] = []
    tick: list[Bucket] = []
    lag: list[Bucket] = []
    commits: list[Bucket] = []
    readings: dict[str, int] = {}
    orders: dict[str, int] = {}
    held_s: dict[str, float] = {}
    rules_s: dict[str, float] = {}
    rules_p99_s: dict[str, float] = {}
    ends: dict[str, int] = {}
    alarms: dict[str, int] = {}
    processor_s: float = 0.0
    memory: int = 0
    files: int = 0
    journal_waiting: int = 0
    history_waiting: int = 0
    audit_lag: int = 0


class GetFigures(Question[Figures], tag="figures", frozen=True, kw_only=True):
    """How busy is the engine?"""


Questions = GetFigures
