"""Runs the tests in rule files: a small world, a virtual clock, devices that obey, ignore, dawdle or lie.

The engine that is tested is the one that runs the city; only its inbox and its dispatcher are others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final

from pilotage.core.engine import Engine
from pilotage.core.evaluator import HoldInstance
from pilotage.core.schedule import DIJON, SiteTime
from pilotage.core.store import Cell, Entity
from pilotage.embedding import City
from pilotage.language import syntax
from pilotage.language.expressions import parse_expression
from pilotage.language.functions import moved
from pilotage.language.program import Program
from pilotage.language.resolver import Resolver, Vocabulary, position_point, status_point
from pilotage.language.rules import only
from pilotage.language.typed import Const
from pilotage.model.diagnostics import Finding, Severity, Span
from pilotage.model.entities import EntitySpec, Kind, PointSpec
from pilotage.model.messages import (
    AlarmChanged,
    AlarmOrder,
    CallOut,
    CallResult,
    Command,
    CommandResult,
    Decision,
    IncidentOrder,
    Notice,
    NoticeAcknowledged,
    Outcome,
    Override,
    PlanAnswer,
    PlanChanged,
    PlanOrder,
    Reading,
    ReleaseOverride,
    Request,
    RunChanged,
    TargetChanged,
)
from pilotage.model.quality import Quality
from pilotage.model.values import DURATION, Base, Position, ValueType, as_plain, format_value

RAMP_REPORTS: Final = 10
"""A device that follows a ramp reports this many times on its way."""
APART_M: Final = 10_000.0
STATES: Final = (
    "idle", "pending", "holding", "unknown", "cooldown", "spent", "running", "off", "absent",
)  # fmt: skip
"""What a test may expect of a rule's instance."""
_PLACE = re.compile(
    r"(?P<distance>[\d.]+)\s*(?P<unit>m|km)\s+(?P<side>before|after)\s+(?P<anchor>\S+)$"
)
_NUMBERS = re.compile(r"\[?\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*\]?$")


class ScenarioError(Exception):
    """A test asks for something that does not exist; the finding says what."""

    def __init__(self, at: Span, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.finding = Finding("E601", Severity.ERROR, at, message, "", mend)


@dataclass(slots=True)
class TestResult:
    """What became of one test.

    Attributes:
        findings: One per expectation that was not met, at its place in the file.
        won, lost: Names of rules and plans whose demands decided a point, or waited below.
        truths: (name, `true`, `false` or `unknown`) of the conditions under test; a story was true when it ran, an
            alarm when it was raised, a plan when it had a level, an invariant when it replaced a value.
        sent: How many commands, requests, calls and notices left.
    """

    name: str
    file: str
    findings: list[Finding] = field(default_factory=list)
    won: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    truths: set[tuple[str, str]] = field(default_factory=set)
    sent: int = 0

    __test__ = False

    @property
    def passed(self) -> bool:
        """True when every expectation was met."""
        return not self.findings


def run_tests(
    program: Program, site: SiteTime | None = None, keyword: str = ""
) -> list[TestResult]:
    """Run the tests of a rule set whose name contains a keyword, in order."""
    return [
        run_test(program, t, site) for t in program.tests if keyword.lower() in t.name.text.lower()
    ]


def run_test(program: Program, test: syntax.RuleTest, site: SiteTime | None = None) -> TestResult:
    """Run one test from its first moment to its last expectation."""
    result = TestResult(test.name.text, test.name.at.file)
    try:
        Scenario(program, test, site or SiteTime(), result).run()
    except ScenarioError as error:
        result.findings.append(error.finding)
    return result


class Scenario:
    """One test at work."""

    def __init__(
        self, program: Program, test: syntax.RuleTest, site: SiteTime, result: TestResult
    ) -> None:
        self._program = only(program, [w.text for w in test.use])
        self._test = test
        self._site = site
        self._result = result
        self._vocabulary = Vocabulary(
            dict(program.kinds),
            program.functions,
            program.calls,
            {p.kind.name: p.kind for p in program.plans},
        )
        self._start = _clock(test.clock, site)
        self._kinds = {e.id.text: self._kind(e) for e in test.world}
        self._anchors: dict[str, Position] = {}
        self._devices = {w.text: how.text for w, how in test.devices}
        self._sent: list[str] = []
        past = {f"{p.assignment.entity}.{p.assignment.point}": self._past(p) for p in test.past}
        inventory = [self._entity(e) for e in test.world]
        self.city = City.of(
            self._program, inventory, self._start, site, past=past, keeps_fresh=True
        )
        self.city.on_decision = self._decided
        self.engine = self.city.engine

    # ── the world ────────────────────────────────────────────────────────────────────────────

    def _kind(self, entity: syntax.WorldEntity) -> Kind:
        kind = self._program.kinds.get(entity.kind.text)
        if kind is None:
            raise ScenarioError(
                entity.kind.at,
                f'no plugin declares the kind "{entity.kind.text}"',
                "see `pilotage kinds`",
            )
        return kind

    def _entity(self, entity: syntax.WorldEntity) -> EntitySpec:
        kind = self._kinds[entity.id.text]
        values: dict[str, Any] = {}
        relations = {w.text: tuple(m.text for m in members) for w, members in entity.relations}
        name = ""
        for assignment in entity.values:
            if assignment.point == "name":
                name = assignment.text
            elif assignment.point in kind.relations:
                relations[assignment.point] = (assignment.text,)
            else:
                value = self._value(assignment, self._spec(kind, assignment))
                if value is not None:
                    values[assignment.point] = value
        place = position_point(kind)
        if place is not None and place.name not in values and self._is_anchor(entity.id.text):
            values[place.name] = self._anchor(entity.id.text, entity.id.at)
        return EntitySpec(
            entity.id.text, kind.name, name, {k: as_plain(v) for k, v in values.items()}, relations
        )

    def _is_anchor(self, id_: str) -> bool:
        texts = [a.text for s in self._test.steps for a in s.set]
        texts += [a.text for e in self._test.world for a in e.values]
        texts += [p.assignment.text for p in self._test.past]
        return any((m := _PLACE.match(t)) is not None and m["anchor"] == id_ for t in texts)

    def _anchor(self, id_: str, at: Span) -> Position:
        """Return where an entity is that others are before or after; anchors lie far apart, on one line."""
        if id_ not in self._kinds:
            raise ScenarioError(
                at, f'there is no "{id_}" in this test\'s world', "add it under `world:`"
            )
        if id_ not in self._anchors:
            place = position_point(self._kinds[id_])
            for entity in self._test.world:
                for assignment in entity.values:
                    own = (
                        entity.id.text == id_
                        and place is not None
                        and assignment.point == place.name
                    )
                    if (
                        own
                        and (found := _coordinates(assignment.value, assignment.text)) is not None
                    ):
                        self._anchors[id_] = found
                        return found
            middle = self._site.position or DIJON
            self._anchors[id_] = moved(middle, 0.0, APART_M * len(self._anchors))
        return self._anchors[id_]

    def _spec(self, kind: Kind, assignment: syntax.Assignment) -> PointSpec:
        spec = kind.point(assignment.point)
        if spec is None and assignment.point.endswith(".status"):
            spec = status_point(kind.point(assignment.point.removesuffix(".status")))
        if spec is None:
            raise ScenarioError(
                assignment.at,
                f'{kind.name} has no point "{assignment.point}"',
                self._meant(assignment.entity, assignment.point),
            )
        return spec

    def _past(self, past: syntax.Past) -> tuple[Any, float]:
        kind = self._kinds.get(past.assignment.entity)
        if kind is None:
            raise ScenarioError(
                past.assignment.at,
                f'there is no "{past.assignment.entity}" in this test\'s world',
                "add it under `world:`",
            )
        value = self._value(past.assignment, self._spec(kind, past.assignment))
        return as_plain(value), self._start - past.for_s

    # ── values ───────────────────────────────────────────────────────────────────────────────

    def _value(self, assignment: syntax.Assignment, spec: PointSpec) -> Any:
        """Return a value as a device would report it, or None for `unavailable`."""
        if assignment.text == "unavailable":
            return None
        return self._parse(assignment.value, assignment.text, spec.type, assignment.at)

    def _parse(self, value: Any, text: str, type_: ValueType, at: Span) -> Any:
        match type_.base:
            case Base.POSITION:
                return self._position(value, text, at)
            case Base.BOOLEAN:
                if isinstance(value, bool):
                    return value
            case Base.ENUM:
                if text in type_.members:
                    return text
            case Base.TEXT | Base.ENTITY:
                return text
            case Base.SET:
                return [part.strip() for part in text.strip("[]").split(",")]
            case _:
                return self._number(text, type_, at)
        raise ScenarioError(at, f'"{text}" is no {type_}', "write a value of the point's type")

    def _number(self, text: str, type_: ValueType, at: Span) -> float:
        expr, problem = parse_expression(text, lambda offset, length: at)
        findings: list[Finding] = [problem] if problem is not None else []
        node = (
            Resolver(self._vocabulary, findings).value_for(expr, type_)
            if expr is not None
            else None
        )
        if not isinstance(node, Const):
            why = findings[0].message if findings else f'"{text}" is no {type_}'
            raise ScenarioError(at, why, findings[0].mend if findings else "")
        return float(node.value)

    def _position(self, value: Any, text: str, at: Span) -> Position:
        match = _PLACE.match(text)
        if match is not None:
            metres = float(match["distance"]) * (1000.0 if match["unit"] == "km" else 1.0)
            anchor = self._anchor(match["anchor"], at)
            return moved(anchor, -metres if match["side"] == "before" else metres, 0.0)
        found = _coordinates(value, text)
        if found is None:
            raise ScenarioError(
                at, f'"{text}" is no place', "write `140 m before J-12`, or [latitude, longitude]"
            )
        return found

    # ── running ──────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        """Go through the steps."""
        self.city.order(self._start)
        self._note_coverage()
        self._note_rest()
        for step in self._test.steps:
            moment = self._start + step.at_s
            self.city.advance(moment)
            inputs = [self._reading(a) for a in step.set] + [self._order(o) for o in step.orders]
            self.city.order(moment, *inputs)
            self.city.advance(moment)
            self._note_coverage()
            for expectation in step.expect:
                self._check(expectation)
            if step.expect:
                self._sent.clear()

    def _decided(self, decision: Decision) -> None:
        self._obey(decision)
        self._note_events(decision)
        self._note_coverage()

    def _reading(self, assignment: syntax.Assignment) -> Reading:
        kind = self._kinds.get(assignment.entity)
        if kind is None:
            raise ScenarioError(
                assignment.at,
                f'there is no "{assignment.entity}" in this test\'s world',
                "add it under `world:`",
            )
        spec = self._spec(kind, assignment)
        value = self._value(assignment, spec)
        cell = self.engine.cells[f"{assignment.entity}.{spec.name}"]
        return self._report(cell, value)

    def _report(self, cell: Cell, value: Any) -> Reading:
        if cell.spec.type.base is Base.ENTITY and isinstance(value, str):
            value = self.engine.entities.get(value)
        quality = Quality.GOOD if value is not None else Quality.MISSING
        return Reading(cell, value, quality, self.engine.now)

    def _order(self, order: tuple[str, Mapping[str, Any], Span]) -> Any:
        name, given, at = order
        arguments = dict(given)
        person = str(arguments.get("person", "tester"))
        reason = str(arguments.get("reason", "test"))
        until = self.engine.now + self._seconds(arguments.get("for", "1 h"), at)
        match name:
            case "plan":
                plan_name = str(arguments.get("plan", arguments.get("name", "")))
                level = arguments.get("level")
                return PlanOrder(
                    plan_name,
                    level,
                    person,
                    reason,
                    str(arguments.get("role", "")),
                    arguments.get("parameters"),
                )
            case "override":
                point = str(arguments["point"])
                cell = self.engine.cells.get(point)
                raw = arguments.get("value")
                value = raw if cell is None else self._parse(raw, str(raw), cell.spec.type, at)
                return Override(point, as_plain(value), person, reason, until)
            case "release":
                return ReleaseOverride(str(arguments["point"]), person)
            case "alarm":
                alarm = str(arguments.get("alarm", arguments.get("name", "")))
                action = str(arguments.get("action", "acknowledge"))
                return AlarmOrder(
                    alarm, action, person, until, reason, str(arguments.get("role", ""))
                )
            case "answer":
                yes = bool(arguments.get("yes", True))
                return PlanAnswer(
                    str(arguments["plan"]), str(arguments.get("question", "confirm")), yes, person
                )
            case "acknowledge":
                waiting = self.engine.stories.unacknowledged
                return NoticeAcknowledged(
                    str(arguments.get("notice", waiting[-1] if waiting else "")), person
                )
            case "close_incident":
                incident = str(arguments.get("incident", arguments.get("name", "incident-1")))
                return IncidentOrder(self._incident(incident), "close", person)
            case _:
                raise ScenarioError(
                    at,
                    f'there is no order "{name}"',
                    "write plan, override, release, alarm, answer, acknowledge or close_incident",
                )

    def _incident(self, name: str) -> str:
        """Return the id of an incident; `incident-2` is the second that was opened in this test."""
        opened = self.engine.graph.entities_of("incident")
        number = name.removeprefix("incident-")
        is_place = number.isdecimal() and 0 < int(number) <= len(opened)
        return opened[int(number) - 1].id if is_place else name

    def _seconds(self, value: Any, at: Span) -> float:
        return self._number(str(value), _DURATION, at)

    # ── devices ──────────────────────────────────────────────────────────────────────────────

    def _obey(self, decision: Decision) -> None:
        for order in decision.outgoing:
            self._result.sent += 1
            self._sent.extend(_sent_lines(order, self.engine))
            manner = self._manner(order)
            if manner == "ignore":
                continue
            delay = (
                self._seconds(manner.removeprefix("slow:").strip(), self._test.name.at)
                if manner.startswith("slow")
                else 0.0
            )
            self._answer(order, decision.now + delay, lies=manner == "lie")

    def _manner(self, order: Any) -> str:
        point = getattr(order, "point", getattr(order, "name", ""))
        return self._devices.get(point) or self._devices.get(point.split(".")[0], "obey")

    def _answer(self, order: Any, when: float, *, lies: bool) -> None:
        if isinstance(order, Command):
            self._answer_command(order, when, lies=lies)
        elif isinstance(order, Request):
            cell = self.engine.cells.get(f"{order.point}.status")
            if cell is not None and not lies:
                wishes = (
                    ("completed",)
                    if order.action == "cancel"
                    else ("activated", "queued", "received")
                )
                answer = next(
                    (w for w in wishes if w in cell.spec.type.members), cell.spec.type.members[0]
                )
                self.city.later(when, self._report(cell, answer))
        elif isinstance(order, CallOut):
            spec = self._program.calls[order.name]
            self.city.later(
                when, CallResult(order.id, spec.statuses[-1] if lies else spec.statuses[0])
            )

    def _answer_command(self, order: Command, when: float, *, lies: bool) -> None:
        cell = self.engine.cells[order.point]
        self.city.later(when, CommandResult(order.id, Outcome.ACKNOWLEDGED))
        if not cell.spec.access.is_reported:
            return
        before, target = cell.value, cell.array.wanted if cell.array is not None else order.value
        if lies:
            self.city.later(when, self._report(cell, before))
            return
        self.city.forget(cell.id)
        if order.ramp_s and isinstance(target, float) and isinstance(before, float):
            for part in range(1, RAMP_REPORTS):
                share = part / RAMP_REPORTS
                self.city.later(
                    when + order.ramp_s * share,
                    self._report(cell, before + (target - before) * share),
                )
        self.city.later(when + order.ramp_s, self._report(cell, target))

    # ── expectations ─────────────────────────────────────────────────────────────────────────

    def _check(self, expectation: Any) -> None:
        if isinstance(expectation, syntax.ExpectPoint):
            self._check_point(expectation)
        elif isinstance(expectation, syntax.ExpectRule):
            self._check_rule(expectation)
        elif isinstance(expectation, syntax.ExpectSent):
            self._check_sent(expectation)
        else:
            self._check_other(expectation)

    def _missed(self, at: Span, what: str, wanted: str, got: str, mend: str = "") -> None:
        moment = self.engine.now - self._start
        self._result.findings.append(
            Finding(
                "T701",
                Severity.ERROR,
                at,
                f"{what} is {got} at {moment:g} s, not {wanted}",
                "",
                mend,
            )
        )

    def _check_point(self, e: syntax.ExpectPoint) -> None:
        id_ = f"{e.entity}.{e.point}"
        cell = self.engine.cells.get(id_)
        if cell is None:
            raise ScenarioError(
                e.at,
                f'there is no point "{id_}" in this test\'s world',
                self._meant(e.entity, e.point),
            )
        explained = self.engine.explainer.point(id_)
        assert explained is not None
        array = cell.array
        decided = array is not None and array.is_decided
        if e.wanted is not None:
            got = array.wanted if array is not None and decided else cell.spec.default
            self._compare(e.wanted, f"wanted {id_}", got, cell, explained.sentence)
        if e.reported is not None:
            self._compare(e.reported, f"reported {id_}", cell.value, cell)
        if (
            e.by is not None
            and e.by.text != explained.by
            and not explained.by.startswith(f"{e.by.text} ")
        ):
            self._missed(e.by.at, f"{id_} by", e.by.text, explained.by, explained.sentence)
        if e.priority is not None and e.priority.text not in (
            explained.level_word,
            str(explained.level),
        ):
            self._missed(e.priority.at, f"priority of {id_}", e.priority.text, explained.level_word)

    def _compare(self, word: syntax.Word, what: str, got: Any, cell: Cell, mend: str = "") -> None:
        type_ = cell.spec.type
        if word.text in ("nothing", "unknown", "unavailable"):
            same = got is None
        elif type_.base is Base.ENTITY:
            same = isinstance(got, Entity) and got.id == word.text
        else:
            wanted = self._parse(_scalar(word.text), word.text, type_, word.at)
            tolerance = max(cell.spec.tolerance, 1e-6)
            same = (
                abs(got - wanted) <= tolerance
                if isinstance(wanted, float) and isinstance(got, float)
                else got == wanted
            )
        if not same:
            shown = "nothing" if got is None else format_value(as_plain(got), type_)
            self._missed(word.at, what, word.text, shown, mend)

    def _check_rule(self, e: syntax.ExpectRule) -> None:
        label = ", ".join(w.text for w in e.instance)
        states = self._states(e.rule.text, label)
        if states is None:
            raise ScenarioError(
                e.rule.at, f'"{e.rule.text}" is no rule under test', "add it under `use:`"
            )
        if e.state.text not in STATES:
            raise ScenarioError(
                e.state.at, f'"{e.state.text}" is no state of a rule', f"write {', '.join(STATES)}"
            )
        states = states or ["absent"]
        if any(s != e.state.text for s in states):
            explained = self.engine.explainer.rule(e.rule.text, label)
            mend = explained.sentence if explained is not None else ""
            self._missed(
                e.state.at,
                f"{e.rule.text}[{label}]" if label else e.rule.text,
                e.state.text,
                " and ".join(states),
                mend,
            )

    def _meant(self, entity: str, point: str) -> str:
        """Return what a test may have meant by a point that is not there."""
        kind = self._kinds.get(entity)
        if kind is None:
            return "add the entity under `world:`"
        names = [p.name for p in kind.points]
        meant = get_close_matches(point, names, n=1)
        return f'write "{entity}.{meant[0]}"' if meant else f"{kind.name} has {', '.join(names)}"

    def _states(self, rule: str, label: str) -> list[str] | None:
        engine = self.engine
        if rule in engine.evaluator.running:
            return [i.state for i in engine.evaluator.instances(rule) if label in ("", i.label)]
        if rule in engine.shadow.running:
            return [i.state for i in engine.shadow.instances(rule) if label in ("", i.label)]
        if rule in engine.stories.running:
            running = {r.instance for r in engine.stories.runs(rule)}
            found = [i for i in engine.stories.instances(rule) if label in ("", i.label)]
            return ["running" if i.label in running else i.state for i in found]
        known = any(r.name == rule for r in self._program.rules)
        return ["off"] if known else None

    def _check_sent(self, e: syntax.ExpectSent) -> None:
        wanted, got = sorted(w.text for w in e.lines), sorted(self._sent)
        if wanted != got:
            self._missed(
                e.at, "what was sent", ", ".join(wanted) or "nothing", ", ".join(got) or "nothing"
            )

    def _check_other(self, e: syntax.ExpectOther) -> None:
        label = ", ".join(w.text for w in e.instance)
        engine = self.engine
        name = e.name.text
        if e.subject == "alarm":
            alarm = engine.alarms.all.get(f"{name}[{label}]" if label else name)
            matching = (
                [alarm]
                if alarm is not None
                else [a for a in engine.alarms.all.values() if a.name == name and not label]
            )
            got = " and ".join(a.state for a in matching) or "normal"
            same = (
                all(a.state == e.state.text for a in matching)
                if matching
                else e.state.text == "normal"
            )
        elif e.subject == "plan":
            plan = engine.plans.all.get(name)
            if plan is None:
                raise ScenarioError(
                    e.name.at, f'"{name}" is no plan under test', "add it under `use:`"
                )
            got = str(plan.level)
            same = e.state.text in (got, plan.entity.read("level_name"))
        elif e.subject == "incident":
            states = [
                "closed" if i.read("closed") else "open"
                for i in engine.graph.entities_of("incident")
                if i.read("type") == name
            ]
            got = " and ".join(states) or "none"
            same = e.state.text in states or (e.state.text == "none" and not states)
        else:
            cell = engine.graph.globals.get(name)
            if label and label in engine.entities:
                cell = engine.entities[label].cells.find(name)
            if cell is None:
                raise ScenarioError(e.name.at, f'there is no derived value "{name}"')
            self._compare(e.state, f"{label + '.' if label else ''}{name}", cell.value, cell)
            return
        if not same:
            self._missed(e.state.at, f"{e.subject} {name}", e.state.text, got)

    # ── coverage ─────────────────────────────────────────────────────────────────────────────

    def _note_coverage(self) -> None:
        for room in (self.engine.evaluator, self.engine.shadow):
            for name in room.running:
                for instance in room.instances(name):
                    self._note_instance(instance)
        for cell in self.engine.cells.known():
            array = cell.array
            for demand in array.demands.values() if array is not None else ():
                (
                    self._result.won
                    if array is not None and demand is array.winner
                    else self._result.lost
                ).add(demand.by)

    def _note_events(self, decision: Decision) -> None:
        """Note what ran, was raised, or came into force."""
        for event in decision.events:
            match event:
                case RunChanged(rule=name):
                    self._result.truths.add((name, "true"))
                case AlarmChanged(alarm=id_, after=after) if after != "normal":
                    self._result.truths.add((id_.partition("[")[0], "true"))
                case PlanChanged(plan=name, after=level) if level:
                    self._result.truths.add((name, "true"))
                case TargetChanged(owner=name, level=0):
                    self._result.truths.add((name, "true"))
                case _:
                    pass

    def _note_rest(self) -> None:
        """Note what is under test and did nothing at the first moment; holds are noted by their conditions."""
        holds = {rule.name for rule in self._program.rules if rule.enter is not None}
        for word in self._test.use:
            if word.text not in holds and (word.text, "true") not in self._result.truths:
                self._result.truths.add((word.text, "false"))

    def _note_instance(self, instance: HoldInstance) -> None:
        word = {True: "true", False: "false", None: "unknown"}.get(instance.watch.value, "")
        self._result.truths.add((instance.rule.name, word))


_DURATION = DURATION


def _scalar(text: str) -> Any:
    return {"true": True, "false": False}.get(text, text)


def _clock(word: syntax.Word | None, site: SiteTime) -> float:
    text = word.text if word is not None else "2026-01-05 12:00"
    try:
        return datetime.fromisoformat(text).replace(tzinfo=site.zone).timestamp()
    except ValueError as error:
        assert word is not None
        raise ScenarioError(word.at, f'"{text}" is no time', "write 2026-01-15 23:00") from error


def _coordinates(value: Any, text: str) -> Position | None:
    match = _NUMBERS.match(text)
    if match is not None:
        return Position(float(match[1]), float(match[2]))
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return Position(float(value[0]), float(value[1]))
    return None


def _sent_lines(order: Any, engine: Engine) -> list[str]:
    if isinstance(order, Command):
        return [
            f"set {order.point} to {format_value(order.value, engine.cells[order.point].spec.type)}"
        ]
    if isinstance(order, Request):
        action = "cancel" if order.action == "cancel" else "request"  # an update is asked again
        return [f"{action} {order.point} for {order.entity}"]
    if isinstance(order, CallOut):
        return [f"call {order.name}"]
    assert isinstance(order, Notice)
    return [f"notify {to}" for to in order.to]
