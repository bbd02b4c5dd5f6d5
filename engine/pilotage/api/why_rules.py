"""Why a rule acts or not, what it has done, and whether a rule that somebody writes is right."""

from __future__ import annotations

from typing import Any

import msgspec

from pilotage.api.question import Question
from pilotage.api.rules import RuleHand
from pilotage.api.why import Wanter

__all__ = [
    "CheckRules",
    "CheckedRules",
    "ClauseCount",
    "ClauseRead",
    "ClauseWhy",
    "Flip",
    "InstanceList",
    "InstanceRow",
    "ListInstances",
    "ListRuleFigures",
    "ListTraces",
    "NearMiss",
    "ReadRule",
    "RuleEffect",
    "RuleFigures",
    "RuleFinding",
    "RuleSurvey",
    "RuleText",
    "RuleWhy",
    "SurveyRule",
    "Trace",
    "TraceDemand",
    "TraceList",
    "TraceRead",
    "WhyRule",
]


class ClauseRead(msgspec.Struct, frozen=True, kw_only=True):
    """One value that a clause reads: its words in the rule, its point (empty when it is no single one), its value.

    `coverage` is the share (0 to 1) of a window for which values are known.
    """

    what: str
    point: str = ""
    text: str = ""
    is_known: bool = True
    quality: str = ""
    time: float | None = None
    since: float | None = None
    coverage: float | None = None


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """What would turn a clause around.

    `how` is below, at_most, above, at_least (of `left` and `right`), becomes, no_longer, true, false (of `left` alone) or
    known.
    """

    how: str
    left: str
    right: str = ""


class ClauseWhy(msgspec.Struct, frozen=True, kw_only=True):
    """One clause of a rule, at its place in the file (lines and columns count from 1).

    `part` is the key it stands under (while, unless, until, if, where), `needed` what it must be, `truth` what it is (null is
    unknown); it is met when the two are the same.
    """

    text: str
    part: str
    file: str
    line: int
    column: int
    length: int
    needed: bool = True
    truth: bool | None = None
    reads: list[ClauseRead] = []
    flip: Flip | None = None


class RuleEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one demand of a rule.

    `result` is wins, limited, next, dominated, or shadow when it is only recorded; `decider` decides the point, at
    `decided_text`, until `until` as far as that has an end. `way` is how far the equipment is (see `Way.state`).
    """

    point: str
    text: str = ""
    level: int = 0
    level_word: str = ""
    result: str
    decider: Wanter
    decided_text: str = ""
    decided_level: int = 17
    until: float | None = None
    way: str = ""


class RuleWhy(msgspec.Struct, frozen=True, kw_only=True):
    """Why one instance of a rule is in its state.

    `verdict` is acts, partly, dominated (a higher demand stands above it), kept (its condition has ended), held (it is
    unknown), pending (`for`), not_met, unknown, resting (`cooldown`), spent (`at_most`), absent (not in its sets), foreign (no
    such thing in the rule), off, quarantine (it cost too much), waits or running (a story). `due` is when that changes by itself; `others` are instances
    that the same question could mean.
    """

    rule: str
    at: float
    instance: str = ""
    state: str = ""
    verdict: str
    mode: str = "live"
    since: float | None = None
    due: float | None = None
    why: str = ""
    truth: bool | None = None
    clauses: list[ClauseWhy] = []
    effects: list[RuleEffect] = []
    effects_total: int = 0
    others: list[str] = []
    waiting: str = ""


class RuleText(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as it is written, with its clauses at their places; `sort` is hold or story, `tests` names the tests that use it.

    `text` begins at line `first_line` of the file; `hand`, `declared` and `standing` as in `Rule`.
    """

    rule: str
    sort: str
    titles: dict[str, str] = {}
    description: str = ""
    owner: str = ""
    mode: str = "live"
    enabled: bool = True
    file: str = ""
    first_line: int = 0
    text: str = ""
    digest: str = ""
    clauses: list[ClauseWhy] = []
    instances: int = 0
    states: dict[str, int] = {}
    cost: int = 0
    tests: list[str] = []
    hand: RuleHand | None = None
    declared: str = "live"
    standing: str = ""


class ClauseCount(msgspec.Struct, frozen=True, kw_only=True):
    """For how many instances a clause is as the rule needs it, for how many not, and how many do not know."""

    met: int
    unmet: int
    unknown: int


class NearMiss(msgspec.Struct, frozen=True, array_like=True):
    """An instance that one clause alone keeps from acting, and the index of the clause."""

    instance: str
    clause: int


class RuleSurvey(msgspec.Struct, frozen=True, kw_only=True):
    """How the clauses of a rule stand over its instances; `looked` of `instances` were looked at."""

    rule: str
    at: float
    instances: int
    looked: int
    counts: list[ClauseCount] = []
    near: list[NearMiss] = []
    near_total: int = 0
    states: dict[str, int] = {}


class InstanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of a rule and its state."""

    id: str
    state: str
    since: float | None = None


class InstanceList(msgspec.Struct, frozen=True):
    """A page of instances in order of id; `next` goes into the following question's `after`, empty at the end."""

    instances: list[InstanceRow]
    next: str = ""


class TraceRead(msgspec.Struct, frozen=True, array_like=True):
    """A value that a condition read at that moment."""

    what: str
    value: Any = None
    text: str = ""


class TraceDemand(msgspec.Struct, frozen=True, kw_only=True):
    """A demand that was placed at that moment, or given up (`value` null, `given_up` true)."""

    point: str
    value: Any = None
    text: str = ""
    level: int = 0
    given_up: bool = False


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """A moment at which an instance of a rule changed its state, from the journal: what it read, and what came of it."""

    decision: int
    time: float
    instance: str
    before: str = ""
    after: str
    why: str = ""
    reads: list[TraceRead] = []
    demands: list[TraceDemand] = []
    demands_total: int = 0


class TraceList(msgspec.Struct, frozen=True):
    """Traces, the newest first; `next` goes into the following question's `before`, 0 at the end."""

    traces: list[Trace]
    next: int = 0


class RuleFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule has done since `since`, and in the last 24 hours of that; times are seconds since 1970.

    `actions` counts how often an instance began to hold or to run, `errors` what went wrong in its steps and functions.
    """

    rule: str
    since: float
    last: float | None = None
    last_instance: str = ""
    actions: int = 0
    demands: int = 0
    errors: int = 0
    actions_24h: int = 0
    holding: int = 0
    cost: int = 0
    tests: int = 0


class RuleFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A mistake (`error`) or a doubt (`warning`) in a rule, with its place and its mend; lines and columns count from 1."""

    code: str
    severity: str
    message: str
    line: int
    column: int
    length: int = 1
    label: str = ""
    mend: str = ""


class CheckedRules(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with rules that somebody writes; they fit this city when there is no error among it."""

    ok: bool
    findings: list[RuleFinding] = []
    rules: int = 0
    took_s: float = 0.0


class WhyRule(Question[RuleWhy], tag="why_rule", frozen=True, kw_only=True):
    """Why is an instance of a rule in its state; or why does the rule do nothing to a target (an entity or a point)?"""

    rule: str
    instance: str = ""
    target: str = ""


class ReadRule(Question[RuleText], tag="rule_text", frozen=True, kw_only=True):
    """How is a rule written?"""

    rule: str


class SurveyRule(Question[RuleSurvey], tag="rule_survey", frozen=True, kw_only=True):
    """How do the clauses of a hold stand over all its instances, and which of them nearly act?"""

    rule: str


class ListInstances(Question[InstanceList], tag="rule_instances", frozen=True, kw_only=True):
    """The instances of a rule whose id holds a text, in a state or in all."""

    rule: str
    text: str = ""
    state: str = ""
    after: str = ""
    limit: int = 50


class ListTraces(Question[TraceList], tag="rule_traces", frozen=True, kw_only=True):
    """When did a rule change its state, and what came of it?"""

    rule: str
    instance: str = ""
    since: float | None = None
    until: float | None = None
    before: int = 0
    limit: int = 20


class ListRuleFigures(Question[list[RuleFigures]], tag="rule_figures", frozen=True):
    """What has each rule done?"""


class CheckRules(Question[CheckedRules], tag="check_rules", frozen=True, kw_only=True):
    """Are these rules right, beside the city's others? With the name of one of its files they stand in its place."""

    text: str
    file: str = "draft.yaml"


Questions = (
    WhyRule | ReadRule | SurveyRule | ListInstances | ListTraces | ListRuleFigures | CheckRules
)
