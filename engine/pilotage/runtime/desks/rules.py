"""Answers what rules do and why: from the running engine between two ticks, and from the journal in another thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Any, Final, Protocol

import msgspec

from pilotage import api
from pilotage.api import ApiError
from pilotage.core.evaluator import HoldInstance
from pilotage.core.store import Cell
from pilotage.core.why import shown
from pilotage.core.why_rule import (
    ClauseWhy,
    begin_survey,
    clauses_of,
    instances_of,
    look_at,
    why_rule,
)
from pilotage.language.program import RuleProgram
from pilotage.model.values import format_value
from pilotage.ports import Clock
from pilotage.runtime.desks.rule_check import Checker
from pilotage.runtime.desks.rule_figures import RuleFigures
from pilotage.runtime.desks.why import in_thread, mention
from pilotage.runtime.journal import JournalReader
from pilotage.runtime.ownership import THE_CITY
from pilotage.runtime.views import hand_of_rule

SLICE_S: Final = 0.002
"""So long a survey looks at instances before it lets a tick go first."""
MOST_LOOKED: Final = 50_000
MOST_ROWS: Final = 500
MOST_DEMANDS: Final = 20
_SHADOW: Final = "shadow:"


class RuledService(Protocol):
    """The service as this desk sees it."""

    @property
    def engine(self) -> Any:
        """The core (`pilotage.core.engine.Engine`)."""
        ...

    @property
    def clock(self) -> Clock:
        """The engine's time."""
        ...

    @property
    def settings(self) -> Any:
        """What `config.yaml` says (`pilotage.runtime.config.Settings`)."""
        ...

    @property
    def rule_figures(self) -> RuleFigures:
        """What each rule has done."""
        ...

    def journal_reader(self) -> JournalReader:
        """Return a reader of the journal; called in another thread."""
        ...


class RuleDesk:
    """The questions of `pilotage.api.why_rules`."""

    def __init__(self, service: RuledService) -> None:
        self._service = service
        self._checker = Checker()
        self.answers: dict[type[Any], Callable[[Any], Awaitable[Any]]] = {
            api.WhyRule: self._why_rule,
            api.ReadRule: self._read_rule,
            api.SurveyRule: self._survey,
            api.ListInstances: self._instances,
            api.ListTraces: self._traces,
            api.ListRuleFigures: self._figures,
            api.CheckRules: self._check,
        }

    def _rule(self, name: str) -> RuleProgram:
        found = next((r for r in self._service.engine.program.rules if r.name == name), None)
        if found is None:
            raise ApiError(
                "unknown-rule",
                f'there is no rule "{name}"',
                "`pilotage status` and the rules' page list them",
            )
        assert isinstance(found, RuleProgram)
        return found

    # ── why ──────────────────────────────────────────────────────────────────────────────────

    async def _why_rule(self, ask: api.WhyRule) -> api.RuleWhy:
        self._rule(ask.rule)
        found = why_rule(self._service.engine, ask.rule, ask.instance, ask.target)
        assert found is not None
        fields = {n: getattr(found, n) for n in _WHY_FIELDS}
        return api.RuleWhy(
            **fields,
            at=self._service.clock.now(),
            clauses=[_clause(c) for c in found.clauses],
            effects=[
                msgspec.convert(e, api.RuleEffect, from_attributes=True) for e in found.effects
            ],
            others=list(found.others),
        )

    async def _read_rule(self, ask: api.ReadRule) -> api.RuleText:
        engine, rule = self._service.engine, self._rule(ask.rule)
        at, decl = rule.decl.name.at, rule.decl
        text = block_at(engine.program.sources.get(at.file, ""), at.line, at.column)
        found = instances_of(engine, rule.name)
        states: dict[str, int] = {}
        for instance in found:
            states[instance.state] = states.get(instance.state, 0) + 1
        return api.RuleText(
            rule=rule.name,
            sort="hold" if rule.when is None else "story",
            titles=dict(decl.title.texts) if decl.title is not None else {},
            description=decl.description,
            owner=decl.owner.text if decl.owner is not None else "",
            mode="quarantine"
            if rule.name in engine.quarantined
            else "shadow"
            if engine.modes.of(rule) == "shadow"
            else "live",
            enabled=engine.modes.of(rule) != "off" and rule.name not in engine.switched_off,
            hand=hand_of_rule(engine, rule.name),
            declared=engine.modes.declared(rule),
            standing=engine.modes.standing(rule),
            file=at.file,
            first_line=at.line,
            text=text,
            digest=sha256(text.encode()).hexdigest()[:12],
            clauses=[_clause(c) for c in clauses_of(rule)],
            instances=len(found),
            states=states,
            cost=rule.cost,
            tests=self._tests_of(rule.name),
        )

    def _tests_of(self, rule: str) -> list[str]:
        tests = self._service.engine.program.tests
        return [t.name.text for t in tests if any(w.text == rule for w in t.use)]

    async def _survey(self, ask: api.SurveyRule) -> api.RuleSurvey:
        """Look at all instances, a slice at a time, so that no tick waits."""
        engine, rule = self._service.engine, self._rule(ask.rule)
        survey, found = begin_survey(rule), list(instances_of(engine, rule.name))
        end = time.perf_counter() + SLICE_S
        for instance in found[:MOST_LOOKED]:
            if isinstance(instance, HoldInstance) and instance.watch.alive:
                look_at(survey, engine, instance)
            if time.perf_counter() > end:
                await asyncio.sleep(0)
                end = time.perf_counter() + SLICE_S
        return api.RuleSurvey(
            rule=rule.name,
            at=self._service.clock.now(),
            instances=len(found),
            looked=survey.looked,
            counts=[api.ClauseCount(met=m, unmet=n, unknown=u) for m, n, u in survey.counts],
            near=[api.NearMiss(instance, clause) for instance, clause in survey.near],
            near_total=survey.near_total,
            states=survey.states,
        )

    async def _instances(self, ask: api.ListInstances) -> api.InstanceList:
        self._rule(ask.rule)
        limit = max(1, min(ask.limit, MOST_ROWS))
        text = ask.text.lower()
        found = sorted(
            (i.label, i.state, i.since)
            for i in instances_of(self._service.engine, ask.rule)
            if i.label > ask.after
            and (not ask.state or i.state == ask.state)
            and (not text or text in i.label.lower())
        )
        rows = [api.InstanceRow(id=i, state=s, since=t) for i, s, t in found[:limit]]
        return api.InstanceList(rows, rows[-1].id if len(found) > limit else "")

    # ── what it did ──────────────────────────────────────────────────────────────────────────

    async def _figures(self, _: api.ListRuleFigures) -> list[api.RuleFigures]:
        engine, now = self._service.engine, self._service.clock.now()
        counted = self._service.rule_figures
        found: list[api.RuleFigures] = []
        for rule in engine.program.rules:
            figures = counted.of(rule.name)
            states = [i.state for i in instances_of(engine, rule.name)]
            found.append(
                api.RuleFigures(
                    rule=rule.name,
                    since=counted.since,
                    last=figures.last,
                    last_instance=figures.last_instance,
                    actions=figures.actions,
                    demands=figures.demands,
                    errors=figures.errors,
                    actions_24h=figures.in_24h(now),
                    holding=states.count("holding") + len(engine.stories.runs(rule.name)),
                    cost=rule.cost,
                    tests=len(self._tests_of(rule.name)),
                )
            )
            await asyncio.sleep(0)
        return found

    async def _traces(self, ask: api.ListTraces) -> api.TraceList:
        self._rule(ask.rule)
        rows, following = await in_thread(lambda: self._traced(ask))
        return api.TraceList([self._trace(ask.rule, *row) for row in rows], following)

    def _traced(self, ask: api.ListTraces) -> tuple[list[tuple[Any, Any]], int]:
        """Return the changes of a rule's instances with their decisions, newest first, and where there is more."""
        limit = max(1, min(ask.limit, MOST_ROWS))
        records = self._service.journal_reader().last_mentioning(
            THE_CITY, mention("rule", ask.rule), ask.since, ask.until, ask.before
        )
        found: list[tuple[Any, Any]] = []
        for row in records:
            record = msgspec.json.decode(row.record)
            found.extend(
                (record, event)
                for event in reversed(record["events"])
                if event.get("rule") == ask.rule and ask.instance in ("", event["instance"])
            )
            if len(found) >= limit:
                return found, row.number
        return found, 0

    def _trace(self, rule: str, record: Mapping[str, Any], event: Mapping[str, Any]) -> api.Trace:
        instance = event["instance"]
        owner = f"{rule}[{instance}]" if instance else rule
        demands = [d for e in record["events"] if (d := self._demand(e, owner)) is not None]
        return api.Trace(
            decision=record["number"],
            time=record["now"],
            instance=instance,
            before=event.get("before", ""),
            after=event.get("after") or event["state"],
            why=event.get("why") or event.get("step", ""),
            reads=[self._value_read(*pair) for pair in event.get("read", ())],
            demands=demands[:MOST_DEMANDS],
            demands_total=len(demands),
        )

    def _demand(self, event: Mapping[str, Any], owner: str) -> api.TraceDemand | None:
        if event["event"] not in ("Demanded", "Relinquished"):
            return None
        mine = event["owner"].removeprefix(_SHADOW)
        if mine != owner and not mine.startswith((f"{owner}#", f"{owner}@")):
            return None
        if event["event"] == "Relinquished":
            return api.TraceDemand(point=event["point"], given_up=True)
        return api.TraceDemand(
            point=event["point"],
            value=event["value"],
            text=self._shown(event["point"], event["value"]),
            level=event["level"],
        )

    def _value_read(self, what: str, value: Any) -> api.TraceRead:
        return api.TraceRead(what.lstrip("="), value, self._shown(what, value))

    def _shown(self, point: str, value: Any) -> str:
        cell: Cell | None = self._service.engine.cells.get(point)
        return format_value(value) if cell is None else shown(cell.spec, value)

    # ── a draft ──────────────────────────────────────────────────────────────────────────────

    async def _check(self, ask: api.CheckRules) -> api.CheckedRules:
        return await self._checker.check(self._service.settings.file, ask.text, ask.file)

    async def close(self) -> None:
        """End what was started for drafts."""
        await self._checker.end()


_WHY_FIELDS: Final = (
    "rule", "instance", "state", "verdict", "mode", "since", "due", "why", "truth", "effects_total", "waiting",
)  # fmt: skip


def _clause(clause: ClauseWhy) -> api.ClauseWhy:
    return api.ClauseWhy(
        text=clause.text,
        part=clause.part,
        file=clause.at.file,
        line=clause.at.line,
        column=clause.at.column,
        length=clause.at.length,
        needed=clause.needed,
        truth=clause.truth,
        reads=[msgspec.convert(r, api.ClauseRead, from_attributes=True) for r in clause.reads],
        flip=None
        if clause.flip is None
        else msgspec.convert(clause.flip, api.Flip, from_attributes=True),
    )


def block_at(source: str, line: int, column: int) -> str:
    """Return a declaration from its name to its end: all lines below that are further in, or empty, or a comment.

    Args:
        source: Text of the file.
        line: Of its name, from 1.
        column: Of its name, from 1.
    """
    rows = source.splitlines()[line - 1 :]
    kept = rows[:1]
    for row in rows[1:]:
        stripped = row.strip()
        if stripped and not stripped.startswith("#") and len(row) - len(row.lstrip()) < column:
            break
        kept.append(row)
    while len(kept) > 1 and (not kept[-1].strip() or kept[-1].strip().startswith("#")):
        kept.pop()
    return "\n".join(kept) + "\n" if kept else ""
