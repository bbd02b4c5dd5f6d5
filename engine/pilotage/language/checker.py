"""The checker: every declaration of a rule set gets its meaning, and every mistake its finding, all at once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final, TypeVar

from pilotage.language import check_findings as say
from pilotage.language import syntax, templates, typed
from pilotage.language.program import (
    AlarmProgram,
    DeriveProgram,
    ExpectProgram,
    HoldProgram,
    InvariantProgram,
    LevelProgram,
    ParameterProgram,
    PlanProgram,
    Program,
    RuleProgram,
    SetProgram,
    StepProgram,
    TextProgram,
)
from pilotage.language.resolver import GLOBALS, Resolver, Vocabulary, position_point, pretty
from pilotage.language.typed import Const, Read, Typed, only_id
from pilotage.language.wording import wording
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.entities import Access, CallSpec, Function, Kind, PointSpec
from pilotage.model.priorities import NEEDS_IF_UNKNOWN, RESERVED, Priority, parse_priority
from pilotage.model.units import PERCENT, SECOND
from pilotage.model.values import (
    ANY,
    BOOLEAN,
    DURATION,
    POSITION,
    TEXT,
    Base,
    ValueType,
    format_value,
    number,
    reference,
    set_of,
)

MOST_STEPS: Final = 200
"""Cost bound of one evaluation of a rule, in nodes of its typed tree."""
MOST_OPEN: Final = 30
"""Derived values that wait for each other while they are typed."""
Scope = dict[str, ValueType]
_P = TypeVar("_P")


def check(
    files: Sequence[syntax.RuleFile],
    kinds: Mapping[str, Kind],
    functions: Mapping[str, Function] | None = None,
    calls: Mapping[str, CallSpec] | None = None,
) -> tuple[Program, list[Finding]]:
    """Return the rule set of some files with everything that is wrong or doubtful about it.

    The program holds what could be understood; use it only when no finding is an error.
    """
    checker = _Checker(files, kinds, functions or {}, calls or {})
    program = checker.run()
    order = {file.file: index for index, file in enumerate(files)}
    checker.findings.sort(
        key=lambda f: (order.get(f.at.file, len(order)), f.at.line, f.at.column, f.code)
    )
    return program, list(dict.fromkeys(checker.findings))


@dataclass(slots=True)
class _Derived:
    decl: syntax.Derive
    kind: str
    program: DeriveProgram | None = None
    state: str = "new"  # new, open, done


class _Checker:
    def __init__(
        self,
        files: Sequence[syntax.RuleFile],
        kinds: Mapping[str, Kind],
        functions: Mapping[str, Function],
        calls: Mapping[str, CallSpec],
    ) -> None:
        self.files = files
        self.findings: list[Finding] = []
        self.derived: dict[tuple[str, str], _Derived] = {}
        self.vocabulary = Vocabulary(
            dict(kinds),
            functions,
            calls,
            {},
            self._derived_point,
            lambda k: [n for kk, n in self.derived if kk == k],
        )
        self._open: list[tuple[str, str]] = []
        self.rule_names = {r.name.text for f in files for r in f.rules}

    def run(self) -> Program:
        self._names_once()
        for file in self.files:
            for derive in file.derive:
                self._declare_derived(derive)
        for file in self.files:
            for plan in file.plans:
                self.vocabulary.plans[f"plan:{plan.name.text}"] = _plan_kind(plan, self)
        derived = _understood(self._derive(key) for key in self._needed_first())
        rules = _understood(self._rule(d) for f in self.files for d in f.rules)
        plans = _understood(self._plan(d) for f in self.files for d in f.plans)
        alarms = _understood(self._alarm(d) for f in self.files for d in f.alarms)
        invariants = _understood(self._invariant(d) for f in self.files for d in f.invariants)
        self._tests()
        _report_ties(rules, plans, self.findings)
        _report_circles(rules, derived, self.findings)
        return Program(
            kinds=dict(self.vocabulary.kinds),
            functions=self.vocabulary.functions,
            calls=self.vocabulary.calls,
            derived=tuple(derived),
            rules=tuple(rules),
            plans=tuple(plans),
            alarms=tuple(alarms),
            invariants=tuple(invariants),
            tests=tuple(t for f in self.files for t in f.tests),
            sources={f.file: f.source for f in self.files},
        )

    # ── names ────────────────────────────────────────────────────────────────────────────────

    def _names_once(self) -> None:
        seen: dict[tuple[str, str], tuple[str, Span]] = {}
        for file in self.files:
            groups: tuple[tuple[str, Iterable[Any]], ...] = (
                ("rule", file.rules),
                ("plan", file.plans),
                ("alarm", file.alarms),
                ("invariant", file.invariants),
                ("test", file.tests),
            )
            for what, declarations in groups:
                for declaration in declarations:
                    self._once(seen, what, declaration.name)

    def _once(
        self, seen: dict[tuple[str, str], tuple[str, Span]], what: str, name: syntax.Word
    ) -> None:
        among = "test" if what == "test" else ""  # tests are called by no one
        first_what, first = seen.setdefault((among, name.text), (what, name.at))
        if first != name.at:
            self.findings.append(say.duplicate_name(name.at, what, name.text, first, first_what))

    def _tests(self) -> None:
        known = {
            d.name.text
            for f in self.files
            for group in (f.rules, f.plans, f.alarms, f.invariants, f.derive)
            for d in group
        }
        for file in self.files:
            for test in file.tests:
                for word in test.use:
                    if word.text not in known:
                        self.findings.append(say.unknown_rule(word.at, word.text, sorted(known)))

    # ── derived values ───────────────────────────────────────────────────────────────────────

    def _declare_derived(self, decl: syntax.Derive) -> None:
        kind = ""
        if decl.for_each:
            word = decl.for_each[0][1].kind
            kind = word.text if word else ""
        key = (kind, decl.name.text)
        if key in self.derived:
            self.findings.append(
                say.duplicate_name(
                    decl.name.at, "derived value", decl.name.text, self.derived[key].decl.name.at
                )
            )
            return
        taken = (
            self.vocabulary.kinds[kind].point(decl.name.text)
            if kind in self.vocabulary.kinds
            else None
        )
        if taken is not None or (not kind and decl.name.text in GLOBALS):
            meaning_ = f"{kind} has a point of that name" if taken is not None else ""
            self.findings.append(say.variable_taken(decl.name.at, decl.name.text, meaning_))
            return
        self.derived[key] = _Derived(decl, kind)

    def _needed_first(self) -> list[tuple[str, str]]:
        """Return the derived values with those first whose names others contain; never recurses."""
        by_name: dict[str, list[tuple[str, str]]] = {}
        for key in self.derived:
            by_name.setdefault(key[1], []).append(key)
        needs = {
            key: [k for w in _words(entry.decl) for k in by_name.get(w, ())]
            for key, entry in self.derived.items()
        }
        ordered: dict[tuple[str, str], None] = {}
        begun: set[tuple[str, str]] = set()
        waiting = list(reversed(self.derived))
        while waiting:
            key = waiting[-1]
            ahead = [] if key in begun else [k for k in needs[key] if k not in begun]
            begun.add(key)
            waiting.extend(ahead)
            if not ahead:
                ordered.setdefault(waiting.pop())
        return list(ordered)

    def _derived_point(self, kind: str, name: str) -> PointSpec | None:
        program = self._derive((kind, name))
        return None if program is None else PointSpec(name, program.type, Access.REPORTED)

    def _derive(self, key: tuple[str, str]) -> DeriveProgram | None:
        entry = self.derived.get(key)
        if entry is None:
            return None
        if entry.state == "open":
            names = [n for _, n in self._open[self._open.index(key) :]] + [key[1]]
            self.findings.append(say.cycle(entry.decl.name.at, names))
            entry.state = "done"
        if entry.state == "new" and len(self._open) >= MOST_OPEN:  # only a circle is so deep
            names = [n for _, n in self._open[:8]]
            self.findings.append(say.cycle(entry.decl.name.at, [*names, "…"]))
            entry.state = "done"
        if entry.state == "new":
            entry.state = "open"
            self._open.append(key)
            program = self._type_derived(entry)
            self._open.pop()
            if entry.state == "open":
                entry.program, entry.state = program, "done"
        return entry.program

    def _type_derived(self, entry: _Derived) -> DeriveProgram | None:
        decl = entry.decl
        scope: Scope = {}
        sets = self._sets(decl.for_each, scope, decl.name.at)
        if sets is None:
            return None
        resolver = Resolver(self.vocabulary, self.findings, scope, coverage=decl.coverage)
        value = resolver.value(decl.value)
        if value is None:
            return None
        if isinstance(value, typed.EVENTS):
            self.findings.append(say.event_in_condition(decl.value.at))
            return None
        if decl.unit is not None:
            value = resolver.fit(value, number(decl.unit.text))
            if value is None:
                return None
        variable = sets[0].variable if sets else ""
        where = sets[0].where if sets else None
        return DeriveProgram(
            decl.name.text, entry.kind, variable, where, value, value.type, decl.coverage, meaning(decl)
        )

    # ── sets ─────────────────────────────────────────────────────────────────────────────────

    def _sets(
        self, for_each: syntax.ForEach, scope: Scope, at: Span, *, steps: bool = False
    ) -> tuple[SetProgram, ...] | None:
        """Return the typed sets, with each variable added to the scope, or None after reporting."""
        programs: list[SetProgram] = []
        for index, (name, set_) in enumerate(for_each):
            if name.text in scope or name.text in GLOBALS:
                self.findings.append(say.variable_taken(name.at, name.text))
                return None
            program = self._set(name.text, set_, scope, steps=steps)
            if program is None:
                return None
            related = program.within_m is not None or program.source is not None
            if index and not related and not (program.where and _mentions(program.where, scope)):
                self.findings.append(say.product_too_large(set_.at))
                return None
            scope[name.text] = reference(program.kind)
            programs.append(program)
        return tuple(programs)

    def _set(
        self, variable: str, set_: syntax.SetOf, scope: Scope, *, steps: bool = False
    ) -> SetProgram | None:
        resolver = Resolver(self.vocabulary, self.findings, scope, reactive=not steps)
        if set_.expression is not None:
            source = resolver.value(set_.expression)
            if source is None:
                return None
            if source.type.base is not Base.SET:
                self.findings.append(say.wrong_type(set_.expression.at, "a set", source.type))
                return None
            return SetProgram(variable, source.type.kind, source=source)
        assert set_.kind is not None
        if self.vocabulary.kind(set_.kind.text) is None:
            self.findings.append(
                say.unknown_kind(set_.kind.at, set_.kind.text, self.vocabulary.kinds)
            )
            return None
        kind = set_.kind.text
        inner = Resolver(
            self.vocabulary,
            self.findings,
            {kind: reference(kind), **scope, variable: reference(kind)},
            reactive=not steps,
        )
        where = inner.condition(set_.where) if set_.where is not None else None
        of = self._of(set_, kind, resolver) if set_.within_m is not None else None
        if (set_.where is not None and where is None) or (set_.within_m is not None and of is None):
            return None
        if where is not None and variable != kind and kind not in scope:
            where = _renamed(where, kind, variable)
        return SetProgram(variable, kind, where, set_.within_m, of)

    def _of(self, set_: syntax.SetOf, kind: str, resolver: Resolver) -> Typed | None:
        """Return what the distance is from, or None after reporting."""
        if set_.of is None:
            return None  # the reader has said so
        own = self.vocabulary.kind(kind)
        if own is not None and position_point(own) is None:
            self.findings.append(say.no_place(set_.at, kind))
            return None
        node = resolver.value(set_.of)
        return None if node is None else resolver.place(node)

    # ── rules ────────────────────────────────────────────────────────────────────────────────

    def _rule(self, decl: syntax.Rule) -> RuleProgram | None:
        scope: Scope = {}
        sets = self._sets(decl.for_each, scope, decl.name.at)
        if sets is None:
            return None
        mistakes = len(self.findings)
        has_pair = any(s.within_m is not None for s in sets)
        resolver = Resolver(self.vocabulary, self.findings, scope, has_pair=has_pair)
        enter, stay = self._hold_conditions(decl, resolver)
        when = resolver.event(decl.when) if decl.when is not None else None
        condition = self._story_condition(decl, resolver) if decl.when is not None else None
        holds = tuple(h for hold in decl.hold if (h := self._hold(hold, scope, None)) is not None)
        steps = self._steps(decl.do, dict(scope), frozenset())
        self._rule_words(decl, scope, [*(h.level for h in holds), *_step_levels(steps)])
        cost = sum(
            1 for e in (enter, stay, when, condition) if e is not None for _ in typed.walk(e)
        )
        if cost > MOST_STEPS:
            self.findings.append(say.too_costly(decl.name.at, cost, MOST_STEPS))
        for condition_ in (enter, stay, condition):
            self._doubts(condition_)
        self._own_wish(enter, holds)
        if any(f.is_error for f in self.findings[mistakes:]):
            return None
        program = RuleProgram(
            decl.name.text,
            meaning(decl),
            decl,
            sets,
            enter,
            stay,
            when,
            condition,
            holds,
            steps,
            decl.if_unknown.text if decl.if_unknown else "release",
            cost,
        )
        self._promise(program)
        return program

    def _story_condition(self, decl: syntax.Rule, resolver: Resolver) -> Typed | None:
        """Return what is asked at the moment of the event: `if`, and none of `unless`."""
        wanted = [resolver.condition(decl.if_)] if decl.if_ is not None else []
        exceptions = [resolver.condition(e) for e in decl.unless]
        known = [p for p in wanted if p is not None]
        known += [typed.Not(e.at, BOOLEAN, e) for e in exceptions if e is not None]
        return _all_of(known) if known else None

    def _hold_conditions(
        self, decl: syntax.Rule, resolver: Resolver
    ) -> tuple[Typed | None, Typed | None]:
        """Return when a hold begins, and as long as what it stays (None: the same).

        It never begins while `until` is true or unknown: what leaves at once would come and go for ever.
        """
        if decl.while_ is None:
            return None, None
        enter = resolver.condition(decl.while_)
        exceptions = [n for e in decl.unless if (n := resolver.condition(e)) is not None]
        until = resolver.condition(decl.until) if decl.until is not None else None
        if enter is not None and until is not None:
            self._gap(enter, until)
        barriers: list[Typed] = [typed.Not(n.at, BOOLEAN, n) for n in exceptions]
        if enter is None:
            return None, None
        if until is None:
            return _all_of([enter, *barriers]), None
        barriers.insert(0, typed.Not(until.at, BOOLEAN, until))
        return _all_of([enter, *barriers]), _all_of(barriers)

    def _doubts(self, condition: Typed | None) -> None:
        """Warn of what is always true or never."""
        for node in typed.walk(condition) if condition is not None else ():
            if node is condition or isinstance(node, typed.Logic):
                parts = node.operands if isinstance(node, typed.Logic) else (node,)
                for part in parts:
                    if isinstance(part, Const):
                        self.findings.append(say.always(part.at, bool(part.value)))
            if isinstance(node, typed.Comparison) and isinstance(node.left, Read):
                self._beyond_range(node, node.left)

    def _beyond_range(self, node: typed.Comparison, read: Read) -> None:
        spec, right = read.spec, node.right
        if not isinstance(right, Const) or not isinstance(right.value, float):
            return
        truth = _over_range(node.op, right.value, spec.low, spec.high)
        if truth is not None:
            low, high = (
                format_value(bound, spec.type) if bound is not None else ""
                for bound in (spec.low, spec.high)
            )
            self.findings.append(say.never_in_range(node.at, truth, pretty(read), low, high))

    def _gap(self, enter: Typed, until: Typed) -> None:
        """Warn of an `until` that may be true as soon as `while` is."""
        for a in _operands(enter, "and"):
            for b in _operands(until, "or"):
                if _overlap(a, b):
                    self.findings.append(say.hysteresis_gap(b.at, wording(a), wording(b)))

    def _own_wish(self, enter: Typed | None, holds: Sequence[HoldProgram]) -> None:
        decided = {pretty(hold.target) for hold in holds if not hold.each}
        for node in typed.walk(enter) if enter is not None else ():
            if isinstance(node, typed.Wanted) and pretty(node.read) in decided:
                self.findings.append(say.steps_of_own_condition(node.at, pretty(node.read)))

    def _rule_words(self, decl: syntax.Rule, scope: Scope, levels: Sequence[int]) -> None:
        if decl.cooldown is not None:
            self._per(decl.cooldown.per, scope)
        if decl.runs is not None:
            self._per(decl.runs.per, scope)
        urgent = [level for level in levels if level <= NEEDS_IF_UNKNOWN]
        if urgent and decl.if_unknown is None:
            self.findings.append(
                say.if_unknown_missing(decl.name.at, "rule", Priority(min(urgent)).word)
            )

    def _per(self, words: Iterable[syntax.Word], scope: Scope) -> None:
        for word in words:
            if word.text not in scope:
                self.findings.append(say.per_no_variable(word.at, word.text, scope))

    def _promise(self, program: RuleProgram) -> None:
        promise = program.decl.respond_within
        if promise is None or program.enter is None:
            return
        sensors = [
            (n.spec.every_s, pretty(n))
            for n in typed.walk(program.enter)
            if isinstance(n, Read) and n.spec.every_s is not None
        ]
        slowest = max(sensors, default=(0.0, ""))
        hold = max(program.holds, key=lambda h: min(h.ramp_up_s, h.ramp_down_s), default=None)
        moving = min(hold.ramp_up_s, hold.ramp_down_s) + hold.target.spec.travel_s if hold else 0.0
        waiting = program.decl.for_.seconds if program.decl.for_ else 0.0
        needed = slowest[0] + moving + waiting
        if needed > promise.seconds:
            parts = [
                p
                for p, s in (
                    (f"{slowest[1]} (each {slowest[0]:g} s)", slowest[0]),
                    ("ramp and travel", moving),
                    ("for", waiting),
                )
                if s
            ]
            self.findings.append(
                say.slow_promise(promise.at, promise.seconds, needed, " and ".join(parts))
            )

    # ── holds ────────────────────────────────────────────────────────────────────────────────

    def _hold(
        self, hold: syntax.Hold, outer: Scope, plan_priority: syntax.Word | None
    ) -> HoldProgram | None:
        scope = dict(outer)
        each = self._sets(hold.each, scope, hold.at)
        if each is None:
            return None
        resolver = Resolver(self.vocabulary, self.findings, scope)
        level = self._level(hold.priority or plan_priority, hold.at)
        path = hold.request if hold.request is not None else hold.set
        assert path is not None
        target = resolver.path(path)
        if (
            target is None
            or level is None
            or not self._may_set(target, path.at, request=hold.request is not None)
        ):
            return None
        value = self._hold_value(hold, target, resolver)
        data = tuple(
            (w.text, v) for w, raw in hold.with_ if (v := self._raw(raw, ANY, resolver)) is not None
        )
        expect = self._expect(hold.expect, target.spec.statuses)
        if hold.ramp is not None and target.type.base is not Base.NUMBER:
            self.findings.append(say.ramp_on_state(hold.ramp.at, pretty(target)))
        on_failure = self._steps(hold.on_failure, dict(scope), frozenset())
        if value is None:
            return None
        ramp = hold.ramp
        return HoldProgram(
            each,
            target,
            value,
            hold.request is not None,
            data,
            level,
            (ramp.up_s or 0.0) if ramp else 0.0,
            (ramp.down_s or 0.0) if ramp else 0.0,
            expect,
            on_failure,
            hold.at,
        )

    def _hold_value(
        self, hold: syntax.Hold, target: Read, resolver: Resolver
    ) -> Typed | TextProgram | None:
        if hold.request is not None:
            assert hold.for_ is not None
            return resolver.value_for(hold.for_, target.type)
        assert hold.to is not None
        return self._raw(hold.to, target.type, resolver, target.spec)

    def _may_set(self, target: Read, at: Span, *, request: bool) -> bool:
        if not target.spec.access.is_commandable:
            derived = (target.base.type.kind, target.point) in self.derived
            access = "derived" if derived else target.spec.access.value
            self.findings.append(say.not_commandable(at, pretty(target), access))
            return False
        if request != target.spec.is_request:
            finding = say.not_a_request if request else say.is_a_request
            self.findings.append(finding(at, pretty(target)))
            return False
        return True

    def _level(self, word: syntax.Word | None, at: Span) -> int | None:
        if word is None:
            self.findings.append(say.priority_missing(at))
            return None
        level = parse_priority(word.text)
        if level is None:
            self.findings.append(
                say.unknown_priority(word.at, word.text, [p.word for p in Priority])
            )
        elif level in RESERVED:
            whose = "the control room" if level is Priority.OPERATOR else "the engine"
            self.findings.append(say.reserved_priority(word.at, word.text, whose))
            return None
        return level

    def _expect(self, expect: syntax.Expect | None, statuses: Sequence[str]) -> ExpectProgram:
        if expect is None:
            return ExpectProgram()
        for word in expect.status:
            if word.text not in statuses:
                self.findings.append(say.status_unknown(word.at, word.text, statuses))
        return ExpectProgram(tuple(w.text for w in expect.status), expect.within_s, expect.retry)

    # ── values and texts ─────────────────────────────────────────────────────────────────────

    def _raw(
        self, raw: syntax.Raw, wanted: ValueType, resolver: Resolver, spec: PointSpec | None = None
    ) -> Typed | TextProgram | None:
        """Return what stands after `to:` or under `with:`: a text for texts, else an expression of the type."""
        if wanted.base is Base.TEXT:
            if isinstance(raw.expression, syntax.String):
                return Const(raw.at, TEXT, raw.expression.value)
            if raw.expression is not None and _speaks_of(raw.expression, resolver):
                return resolver.value_for(raw.expression, TEXT)
            return self._text(raw.as_text, resolver)
        if wanted.base is Base.ENUM and raw.text in wanted.members:
            return Const(raw.at, wanted, raw.text)
        if raw.expression is None:
            if wanted.base is Base.ENUM:
                self.findings.append(say.not_a_member(raw.at, raw.text, wanted.members))
                return None
            if wanted.base is Base.ANY:
                return self._text(raw.as_text, resolver)
            if raw.problem is not None:
                self.findings.append(raw.problem)
            return None
        if (
            wanted.base is Base.ANY
            and isinstance(raw.expression, syntax.Name)
            and raw.text not in resolver.scope
            and not resolver.has_meaning(raw.text)
        ):
            return Const(raw.at, TEXT, raw.text)
        node = resolver.value_for(raw.expression, wanted)
        if node is not None and spec is not None:
            self._in_range(node, spec)
        return node

    def _in_range(self, node: Typed, spec: PointSpec) -> None:
        if not isinstance(node, Const) or not isinstance(node.value, float):
            return
        low, high = spec.low, spec.high
        if (low is not None and node.value < low) or (high is not None and node.value > high):
            self.findings.append(
                say.out_of_range(
                    node.at,
                    format_value(node.value, spec.type),
                    format_value(low, spec.type) if low is not None else "",
                    format_value(high, spec.type) if high is not None else "",
                )
            )

    def _text(self, text: syntax.Text, resolver: Resolver) -> TextProgram | None:
        if text.template is not None:
            return self._template(text, resolver)
        calm = Resolver(
            self.vocabulary,
            self.findings,
            resolver.scope,
            reactive=False,
            step_variables=resolver.step_variables,
        )
        parts: list[str | Typed] = []
        for part in text.parts:
            if isinstance(part, str):
                parts.append(part)
                continue
            node = calm.value(part)
            if node is None:
                return None
            parts.append(node)
        return TextProgram(tuple(parts))

    def _template(self, text: syntax.Text, resolver: Resolver) -> TextProgram | None:
        assert text.template is not None
        problem, paths = templates.inspect(text.template)
        if problem:
            self.findings.append(say.template_refused(text.at, problem))
            return None
        calm = Resolver(self.vocabulary, self.findings, resolver.scope, reactive=False)
        names: list[tuple[str, Typed]] = []
        for path in paths:
            words = path.split(".")
            places = self._places_in_template(text, path)
            expr: syntax.Expr = syntax.Name(places[0], words[0])
            for word, at in zip(words[1:], places[1:], strict=True):
                expr = syntax.Attribute(places[0], expr, word, at)
            node = calm.value(expr)
            if node is None:
                return None
            names.append((path, node))
        return TextProgram((), text.template, tuple(names))

    def _places_in_template(self, text: syntax.Text, path: str) -> list[Span]:
        """Return where the words of a dotted name stand in the file, or the template as a whole."""
        words, at = path.split("."), text.at
        source = next((f.source for f in self.files if f.file == at.file), "")
        pattern = re.compile(
            r"(?<![\w.])" + r"\s*\.\s*".join(rf"({re.escape(w)})" for w in words) + r"(?!\w)"
        )
        for number_, row in enumerate(source.splitlines()[at.line - 1 :], at.line):
            found = pattern.search(row, at.column - 1 if number_ == at.line else 0)
            if found is not None:
                starts = [found.start(i) + 1 for i in range(1, len(words) + 1)]
                return [
                    Span(at.file, number_, c, len(w)) for c, w in zip(starts, words, strict=True)
                ]
        return [at] * len(words)

    # ── steps ────────────────────────────────────────────────────────────────────────────────

    def _steps(
        self, steps: Sequence[syntax.Step], scope: Scope, local: frozenset[str]
    ) -> tuple[StepProgram, ...]:
        """Return typed steps; `let` and `as` add variables to the scope for the steps that follow."""
        programs: list[StepProgram] = []
        for step in steps:
            method = getattr(self, f"_step_{type(step).__name__.lower()}")
            program, local = method(step, scope, local)
            if program is not None:
                programs.append(program)
        return tuple(programs)

    def _calm(self, scope: Scope, local: frozenset[str]) -> Resolver:
        return Resolver(self.vocabulary, self.findings, scope, reactive=False, step_variables=local)

    def _step_setstep(
        self, step: syntax.SetStep, scope: Scope, local: frozenset[str]
    ) -> tuple[StepProgram | None, frozenset[str]]:
        resolver = self._calm(scope, local)
        target = resolver.path(step.point)
        level = self._level(step.priority, step.at)
        until = self._watched(step.until, scope, local)
        if (
            target is None
            or level is None
            or not self._may_set(target, step.point.at, request=False)
        ):
            return None, local
        value = self._raw(step.to, target.type, resolver, target.spec)
        if value is None or (step.until is not None and until is None):
            return None, local
        parts = {
            "target": target,
            "value": value,
            "level": level,
            "until": until,
            "at_most": step.at_most.seconds if step.at_most else None,
            "ramp_up_s": (step.ramp.up_s or 0.0) if step.ramp else 0.0,
            "ramp_down_s": (step.ramp.down_s or 0.0) if step.ramp else 0.0,
            "expect": self._expect(step.expect, target.spec.statuses),
        }
        if step.ramp is not None and target.type.base is not Base.NUMBER:
            self.findings.append(say.ramp_on_state(step.ramp.at, pretty(target)))
        failure = self._steps(step.on_failure, dict(scope), local)
        return StepProgram("set", step.at, parts, {"on_failure": failure}), local

    def _watched(
        self, expr: syntax.Expr | None, scope: Scope, local: frozenset[str]
    ) -> Typed | None:
        """A condition that a step waits for: followed, so nothing that is worked out once."""
        if expr is None:
            return None
        return Resolver(self.vocabulary, self.findings, scope, step_variables=local).condition(expr)

    def _step_callstep(
        self, step: syntax.CallStep, scope: Scope, local: frozenset[str]
    ) -> tuple[StepProgram | None, frozenset[str]]:
        spec = self.vocabulary.calls.get(step.name.text)
        if spec is None:
            self.findings.append(
                say.unknown_call(step.name.at, step.name.text, self.vocabulary.calls)
            )
            return None, local
        resolver = self._calm(scope, local)
        types = {p.name: p.type for p in spec.parameters}
        arguments: list[tuple[str, Any]] = []
        for word, given in step.with_:
            if word.text not in types:
                self.findings.append(say.unknown_keyword(word.at, spec.name, word.text, types))
                continue
            value = self._given(given, types[word.text], resolver, scope)
            if value is not None:
                arguments.append((word.text, value))
        missing = [
            p.name
            for p in spec.parameters
            if p.required and p.name not in {w.text for w, _ in step.with_}
        ]
        if missing:
            self.findings.append(say.call_incomplete(step.name.at, spec.name, missing))
        parts = {
            "name": spec.name,
            "arguments": tuple(arguments),
            "expect": self._expect(step.expect, spec.statuses),
            "spec": spec,
        }
        return StepProgram(
            "call", step.at, parts, {"on_failure": self._steps(step.on_failure, dict(scope), local)}
        ), local

    def _given(
        self, given: syntax.Raw | syntax.SetOf, wanted: ValueType, resolver: Resolver, scope: Scope
    ) -> Any:
        if isinstance(given, syntax.SetOf):
            kind = given.kind.text if given.kind else ""
            return self._set(kind or "_", given, scope, steps=True)
        return self._raw(given, wanted, resolver)

    def _step_notifystep(
        self, step: syntax.NotifyStep, scope: Scope, local: frozenset[str]
    ) -> tuple[StepProgram | None, frozenset[str]]:
        resolver = self._calm(scope, local)
        text = self._text(step.text, resolver)
        link = resolver.value(step.link) if step.link is not None else None
        if text is None:
            return None, local
        parts = {
            "to": tuple(w.text for w in step.to),
            "text": text,
            "link": link,
            "within": step.acknowledge_within.seconds if step.acknowledge_within else None,
        }
        return StepProgram(
            "notify", step.at, parts, {"otherwise": self._steps(step.otherwise, dict(scope), local)}
        ), local

    def _step_incidentstep(
        self, step: syntax.IncidentStep, scope: Scope, local: frozenset[str]
    ) -> tuple[StepProgram | None, frozenset[str]]:
        resolver = self._calm(scope, local)
        title = self._text(step.title, resolver)
        location = (
            resolver.value_for(step.location, POSITION) if step.location is not None else None
        )
        key = resolver.value(step.one_per) if step.one_per is not None else None
        if step.as_ is not None:
            scope[step.as_.text] = reference("incident")
            local = local | {step.as_.text}
        if (
            title is None
            or (step.location is not None and location is None)
            or (step.one_per is not None and key is None)
        ):
            return None, local
        parts = {
            "as": step.as_.text if step.as_ else None,
            "type": step.type.text,
            "severity": step.severity.text,
            "title": title,
            "location": location,
            "one_per": key,
        }
        return StepProgram("incident", step.at, parts), local

    def _step_notestep(
        self, step: syntax.NoteStep, scope: Scope, local: frozenset[str]
    ) -> tuple[StepProgram | None, frozenset[str]]:
        resolver = self._calm(scope, local)
        text = self._text(step.text, resolver)
        on = resolver.value_for(step.on, reference("incident")) if step.on is not None else None
        if text is None or (step.on is not None and on is None):
            return None, local
        return StepProgram("note", step.at, {"text": text, "on": on}), local

    def _step_letstep(
        self, step: syntax.LetStep, scope: Scope, local: frozenset[str]
    ) -> tuple[StepProgram | None, frozenset[str]]:
        names: list[tuple[str, Any]] = []
        for word, given in step.names:
            if word.text in scope or word.text in GLOBALS:
                self.findings.append(say.variable_taken(word.at, word.text))
                continue
            value = self._given(given, ANY, self._calm(scope, local), scope)
            if value is None:
                continue
            if isinstance(value, SetProgram):
                scope[word.text] = set_of(value.kind)
            else:
                scope[word.text] = TEXT if isinstance(value, TextProgram) else value.type
            local = local | {word.text}
            names.append((word.text, value))
        return StepProgram("let", step.at, {"names": tuple(names)}), local

    def _step_ifstep(
        self, step: syntax.IfStep, scope: Scope, local: frozenset[str]
    ) -> tuple[StepProgram | None, frozenset[str]]:
        condition = self._calm(scope, local).condition(step.condition)
        branches = {
            "then": self._steps(step.then, dict(scope), local),
            "otherwise": self._steps(step.otherwise, dict(scope), local),
        }
        if condition is None:
            return None, local
        return StepProgram("if", step.at, {"condition": condition}, branches), local

    def _step_foreachstep(
        self, step: syntax.ForEachStep, scope: Scope, local: frozenset[str]
    ) -> tuple[StepProgram | None, frozenset[str]]:
        inner = dict(scope)
        each = self._sets(step.each, inner, step.at, steps=True)
        if each is None:
            return None, local
        do = self._steps(step.do, inner, local | {s.variable for s in each})
        return StepProgram(
            "for_each", step.at, {"each": each, "together": step.together}, {"do": do}
        ), local

    def _step_waitstep(
        self, step: syntax.WaitStep, scope: Scope, local: frozenset[str]
    ) -> tuple[StepProgram | None, frozenset[str]]:
        return StepProgram("wait", step.at, {"seconds": step.duration.seconds}), local

    def _step_waitforstep(
        self, step: syntax.WaitForStep, scope: Scope, local: frozenset[str]
    ) -> tuple[StepProgram | None, frozenset[str]]:
        condition = self._watched(step.condition, scope, local)
        otherwise = self._steps(step.otherwise, dict(scope), local)
        if condition is None:
            return None, local
        parts = {"condition": condition, "timeout": step.timeout.seconds if step.timeout else None}
        return StepProgram("wait_for", step.at, parts, {"otherwise": otherwise}), local

    def _step_planstep(
        self, step: syntax.PlanStep, scope: Scope, local: frozenset[str]
    ) -> tuple[StepProgram | None, frozenset[str]]:
        if f"plan:{step.plan.text}" not in self.vocabulary.plans:
            known = [p.removeprefix("plan:") for p in self.vocabulary.plans]
            self.findings.append(say.unknown_plan(step.plan.at, step.plan.text, known))
            return None, local
        resolver = self._calm(scope, local)
        level = resolver.value_for(step.level, number(""))
        reason = self._text(step.reason, resolver) if step.reason is not None else None
        if level is None:
            return None, local
        highest = self._highest_level(step.plan.text)
        if isinstance(level, Const) and not 0 <= level.value <= highest:
            self.findings.append(say.confirm_level(level.at, level.value, highest))
        return StepProgram(
            "plan", step.at, {"plan": step.plan.text, "level": level, "reason": reason}
        ), local

    def _step_alarmstep(
        self, step: syntax.AlarmStep, scope: Scope, local: frozenset[str]
    ) -> tuple[StepProgram | None, frozenset[str]]:
        text = self._text(step.text, self._calm(scope, local))
        if text is None:
            return None, local
        return StepProgram(
            "alarm", step.at, {"name": step.name.text, "severity": step.severity.text, "text": text}
        ), local

    # ── plans ────────────────────────────────────────────────────────────────────────────────

    def _plan(self, decl: syntax.Plan) -> PlanProgram | None:
        mistakes = len(self.findings)
        kind = self.vocabulary.plans[f"plan:{decl.name.text}"]
        scope: Scope = {"plan": reference(kind.name)}
        if decl.priority is not None:
            self._level(decl.priority, decl.priority.at)
        priority = decl.priority or syntax.Word("plan", decl.name.at)
        levels = tuple(self._plan_level(level, scope, priority) for level in decl.levels)
        parameters = tuple(
            p for param in decl.parameters if (p := self._parameter(param, kind)) is not None
        )
        calendar = None
        if decl.activation is not None:
            self._activation(decl.activation, decl)
            if decl.activation.calendar is not None:
                calendar = Resolver(self.vocabulary, self.findings).condition(
                    decl.activation.calendar
                )
        urgent = [h.level for x in levels for h in x.holds if h.level <= NEEDS_IF_UNKNOWN]
        said = decl.activation is not None and decl.activation.if_unknown is not None
        if urgent and not said and any(x.enter is not None for x in levels):
            self.findings.append(
                say.if_unknown_missing(decl.name.at, "plan", Priority(min(urgent)).word)
            )
        if any(f.is_error for f in self.findings[mistakes:]):
            return None
        return PlanProgram(decl.name.text, meaning(decl), decl, kind, parameters, levels, calendar)

    def _activation(self, activation: syntax.Activation, decl: syntax.Plan) -> None:
        confirm = activation.confirm
        if confirm is not None:
            highest = max((level.level for level in decl.levels), default=0)
            if confirm.from_level > highest:
                self.findings.append(say.confirm_level(confirm.at, confirm.from_level, highest))

    def _highest_level(self, plan: str) -> int:
        levels = [
            x.level for f in self.files for p in f.plans if p.name.text == plan for x in p.levels
        ]
        return max(levels, default=0)

    def _plan_level(
        self, level: syntax.PlanLevel, scope: Scope, priority: syntax.Word
    ) -> LevelProgram:
        resolver = Resolver(self.vocabulary, self.findings, scope)
        enter = resolver.condition(level.enter) if level.enter is not None else None
        holds = tuple(
            h for hold in level.hold if (h := self._hold(hold, scope, priority)) is not None
        )
        checklist = tuple(
            (text, item.by.text, item.within.seconds)
            for item in level.checklist
            if (text := self._text(item.text, resolver)) is not None
        )
        for word in level.enable:
            if word.text not in self.rule_names:
                self.findings.append(
                    say.group_of_nothing(word.at, word.text, sorted(self.rule_names))
                )
        return LevelProgram(
            level.level,
            level.name.text,
            enter,
            holds,
            self._steps(level.on_enter, dict(scope), frozenset()),
            self._steps(level.on_leave, dict(scope), frozenset()),
            checklist,
            tuple(w.text for w in level.enable),
        )

    def _parameter(self, parameter: syntax.PlanParameter, kind: Kind) -> ParameterProgram | None:
        spec = kind.point(parameter.name.text)
        if spec is None:
            return None
        if isinstance(parameter.default, syntax.SetOf):
            if spec.type.base is not Base.SET:
                self.findings.append(say.wrong_set(parameter.default.at, spec.type))
                return None
            default: Any = self._set(spec.type.kind, parameter.default, {})
        else:
            default = self._raw(
                parameter.default, spec.type, Resolver(self.vocabulary, self.findings)
            )
        low, high = (self._bound(b, spec.type) for b in (parameter.min, parameter.max))
        if default is None:
            return None
        if isinstance(default, Const):
            self._in_range(default, replace(spec, low=low, high=high))
        return ParameterProgram(spec.name, spec.type, default, low, high)

    def _bound(self, raw: syntax.Raw | None, type_: ValueType) -> float | None:
        if raw is None:
            return None
        node = self._raw(raw, type_, Resolver(self.vocabulary, self.findings))
        return float(node.value) if isinstance(node, Const) else None

    def parameter_type(self, word: syntax.Word) -> ValueType:
        """Return the type that a plan's parameter declares; reports an unknown one."""
        text = word.text
        simple = {
            "count": number(""),
            "number": number(""),
            "percent": ValueType(Base.NUMBER, PERCENT),
            "duration": DURATION,
            "boolean": BOOLEAN,
            "text": TEXT,
        }
        if text in simple:
            return simple[text]
        kind = text.removeprefix("set of ")  # the reader lets no other word through
        if self.vocabulary.kind(kind) is None:
            at = replace(word.at, column=word.at.column + len("set of "), length=len(kind))
            self.findings.append(say.unknown_kind(at, kind, self.vocabulary.kinds))
        return set_of(kind)

    # ── alarms and invariants ────────────────────────────────────────────────────────────────

    def _alarm(self, decl: syntax.Alarm) -> AlarmProgram | None:
        scope: Scope = {}
        mistakes = len(self.findings)
        sets = self._sets(decl.for_each, scope, decl.name.at)
        if sets is None:
            return None
        resolver = Resolver(self.vocabulary, self.findings, scope)
        raise_while = resolver.condition(decl.raise_while)
        suppress = (
            resolver.condition(decl.suppress_while) if decl.suppress_while is not None else None
        )
        title = decl.title.in_language("en") if decl.title else decl.name.text
        text = self._text(decl.text, resolver) if decl.text is not None else TextProgram((title,))
        if raise_while is None or text is None or any(f.is_error for f in self.findings[mistakes:]):
            return None
        severity = decl.severity.text if decl.severity else "medium"
        return AlarmProgram(
            decl.name.text, meaning(decl), decl, sets, raise_while, suppress, severity, text
        )

    def _invariant(self, decl: syntax.Invariant) -> InvariantProgram | None:
        scope: Scope = {}
        sets = self._sets(decl.for_each, scope, decl.name.at)
        if sets is None:
            return None
        resolver = Resolver(self.vocabulary, self.findings, scope)
        never = resolver.condition(decl.never)
        target = resolver.path(decl.set)
        for assumed in decl.assume:
            self._assumption(assumed, scope)
        if never is None or target is None or not self._may_set(target, decl.set.at, request=False):
            return None
        if not _judges(never, target):
            for read in _own_reports(never, target):
                self.findings.append(say.invariant_of_the_reported(read.at, pretty(read)))
        value = self._raw(decl.to, target.type, resolver, target.spec)
        if not isinstance(value, Typed):
            return None
        if isinstance(value, Const) and _forbids(never, target, value):
            self.findings.append(
                say.otherwise_is_forbidden(value.at, format_value(value.value, target.type))
            )
        return InvariantProgram(decl.name.text, decl, sets, never, target, value)

    def _assumption(self, expr: syntax.Expr, scope: Scope) -> None:
        """Check what a proof may use; `travel_time(point)` is known there, and only there."""
        if isinstance(expr, syntax.Compare) and isinstance(expr.first, syntax.Call):
            call = expr.first
            if isinstance(call.function, syntax.Name) and call.function.name == "travel_time":
                resolver = Resolver(self.vocabulary, self.findings, scope)
                for argument in call.arguments:
                    resolver.path(argument)
                for _, limit in expr.rest:
                    resolver.value_for(limit, DURATION)
                return
        Resolver(self.vocabulary, self.findings, scope).condition(expr)


# ── pieces ───────────────────────────────────────────────────────────────────────────────────


def _plan_kind(plan: syntax.Plan, checker: _Checker) -> Kind:
    points = [
        PointSpec("level", number(""), doc="0 while the plan is off"),
        PointSpec("level_name", TEXT),
        PointSpec("active", BOOLEAN),
        PointSpec("manual", BOOLEAN, doc="a person set the level"),
        PointSpec("reason", TEXT),
        PointSpec("duration", ValueType(Base.NUMBER, SECOND), doc="since the plan left level 0"),
    ]
    points.extend(PointSpec(p.name.text, checker.parameter_type(p.type)) for p in plan.parameters)
    return Kind(f"plan:{plan.name.text}", plan.name.text, tuple(points))


def _speaks_of(expr: syntax.Expr, resolver: Resolver) -> bool:
    """True for a call or a path that begins with something known: then it is no text, though a text is wanted."""
    node = expr
    while isinstance(node, (syntax.Attribute, syntax.Call)):
        node = node.base if isinstance(node, syntax.Attribute) else node.function
    if node is expr or not isinstance(node, syntax.Name):
        return False
    known = node.name in resolver.scope or resolver.has_meaning(node.name)
    return known or any(f.split(".")[0] == node.name for f in resolver.vocabulary.functions)


def _understood(programs: Iterable[_P | None]) -> list[_P]:
    """Return what could be understood; the rest has its findings."""
    return [p for p in programs if p is not None]


def _all_of(operands: list[Typed]) -> Typed:
    return (
        operands[0]
        if len(operands) == 1
        else typed.Logic(operands[0].at, BOOLEAN, "and", tuple(operands))
    )


def _mentions(node: Typed, scope: Scope) -> bool:
    return any(isinstance(n, typed.Var) and n.name in scope for n in typed.walk(node))


def _renamed(node: Typed, before: str, after: str) -> Typed:
    """Return the expression with a variable renamed: in `where`, the kind's name stands for the variable too."""
    if isinstance(node, typed.Var) and node.name == before:
        return replace(node, name=after)
    if isinstance(node, (typed.Aggregate, typed.AllOf)) and node.variable == before:
        return node
    changes: dict[str, Any] = {}
    for field in fields(node):
        value = getattr(node, field.name)
        if isinstance(value, Typed):
            changes[field.name] = _renamed(value, before, after)
        elif isinstance(value, tuple) and value and all(isinstance(v, Typed) for v in value):
            changes[field.name] = tuple(_renamed(v, before, after) for v in value)
    return replace(node, **changes) if changes else node


def _forbids(never: Typed, target: Read, value: Const) -> bool:
    """True when a clause `wanted(target) OP constant` of `never` also forbids the safe value."""
    from pilotage.language.resolver import compare

    clauses = never.operands if isinstance(never, typed.Logic) and never.op == "and" else (never,)
    own = [
        c
        for c in clauses
        if isinstance(c, typed.Comparison)
        and isinstance(c.left, typed.Wanted)
        and pretty(c.left.read) == pretty(target)
        and isinstance(c.right, Const)
    ]
    return bool(own) and all(
        compare(c.op, value.value, c.right.value) for c in own if isinstance(c.right, Const)
    )


def meaning(declaration: Any) -> str:
    """Return a hash of what a declaration means: places, titles and descriptions do not count."""
    return hashlib.sha256(repr(_bare(declaration)).encode()).hexdigest()[:16]


def _bare(value: Any) -> Any:
    if isinstance(value, (Span, syntax.Title)):
        return None
    if is_dataclass(value):
        skipped = ("at", "name_at", "description", "coverage_at", "as_text", "problem")
        return (
            type(value).__name__,
            *(_bare(getattr(value, f.name)) for f in fields(value) if f.name not in skipped),
        )
    if isinstance(value, tuple):
        return tuple(_bare(v) for v in value)
    if isinstance(value, Mapping):
        return tuple(sorted((k, _bare(v)) for k, v in value.items()))
    return value


def _words(decl: syntax.Derive) -> list[str]:
    """Return every name in a derived value, without asking what it means."""
    found: list[str] = []
    waiting: list[Any] = [decl.value, *(set_.where for _, set_ in decl.for_each)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (syntax.Name, syntax.Attribute)):
            found.append(node.name)
        if isinstance(node, syntax.Expr):
            waiting.extend(getattr(node, field.name) for field in fields(node))
        elif isinstance(node, tuple):
            waiting.extend(node)
    return found


# ── ties ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Wish:
    """A demand that a rule or a plan may make, and what is true then."""

    name: str
    hold: HoldProgram
    clauses: tuple[Typed, ...]
    group: str = ""
    only: str = ""  # id of the one entity that the rule is for


def _report_ties(
    rules: Sequence[RuleProgram], plans: Sequence[PlanProgram], findings: list[Finding]
) -> None:
    """Warn of rules and plans that can want one point differently at one level at the same time."""
    wanting: dict[tuple[str, str, int], list[_Wish]] = {}
    for wish in (*_rule_wishes(rules), *_plan_wishes(plans)):
        target = wish.hold.target
        if target.spec.combine.value == "refuse" and not wish.hold.is_request:
            key = (target.base.type.kind, target.point, wish.hold.level)
            wanting.setdefault(key, []).append(wish)
    for (_, _, level), group in wanting.items():
        for peers in _that_may_meet(group):
            for index, wish in enumerate(peers):
                for other in peers[:index]:
                    point, word = pretty(wish.hold.target), Priority(level).word
                    if not _agree(wish, other):
                        findings.append(say.tie(wish.hold.at, point, word, other.name))


def _that_may_meet(group: Sequence[_Wish]) -> Iterable[list[_Wish]]:
    """Part wishes by the one entity they are for, so that 10,000 rules are not compared pair by pair."""
    everyone = [w for w in group if not w.only]
    by_id: dict[str, list[_Wish]] = {}
    for wish in group:
        if wish.only:
            by_id.setdefault(wish.only, []).append(wish)
    yield everyone
    for peers in by_id.values():
        for wish in peers:
            yield from ([other, wish] for other in everyone)
        yield peers


def _rule_wishes(rules: Sequence[RuleProgram]) -> Iterable[_Wish]:
    for rule in rules:
        if rule.decl.enabled and not rule.decl.shadow:
            conditions = [rule.enter, *(s.where for s in rule.for_each)]
            for hold in rule.holds:
                own = [*conditions, *(s.where for s in hold.each)]
                ids = [only_id(s.where, s.variable) for s in rule.for_each]
                yield _Wish(rule.name, hold, _clauses(own), only=next((i for i in ids if i), ""))


def _plan_wishes(plans: Sequence[PlanProgram]) -> Iterable[_Wish]:
    for plan in plans:
        group = plan.decl.exclusive_group
        for level in plan.levels:
            for hold in level.holds:
                clauses = _clauses([s.where for s in hold.each])
                yield _Wish(plan.name, hold, clauses, group.text if group else "")


def _agree(a: _Wish, b: _Wish) -> bool:
    """True when two wishes cannot clash, as far as a simple look can tell."""
    if a.name == b.name or (a.group and a.group == b.group):
        return True
    x, y = a.hold.value, b.hold.value
    if isinstance(x, Const) and isinstance(y, Const) and x.value == y.value:
        return True
    return any(_contradict(x, y) for x in a.clauses for y in b.clauses)


def _clauses(conditions: Iterable[Typed | None]) -> tuple[Typed, ...]:
    return tuple(part for node in conditions if node is not None for part in _operands(node, "and"))


def _operands(node: Typed, op: str) -> list[Typed]:
    """Return the parts of `a and b and c`, brackets opened; of anything else itself."""
    if isinstance(node, typed.Logic) and node.op == op:
        return [part for operand in node.operands for part in _operands(operand, op)]
    return [node]


def _contradict(x: Typed, y: Typed) -> bool:
    if isinstance(x, typed.Not) and _same(x.operand, y):
        return True
    if isinstance(y, typed.Not) and _same(y.operand, x):
        return True
    if not isinstance(x, typed.Comparison) or not isinstance(y, typed.Comparison):
        return False
    if (
        not _same(x.left, y.left)
        or not isinstance(x.right, Const)
        or not isinstance(y.right, Const)
    ):
        return False
    a, b = x.right.value, y.right.value
    if x.op == "==" and y.op == "==":
        return bool(a != b)
    if x.op in ("<", "<=") and y.op in (">", ">="):
        return bool(a <= b)
    if x.op in (">", ">=") and y.op in ("<", "<="):
        return bool(b <= a)
    return False


def _overlap(x: Typed, y: Typed) -> bool:
    """True for two comparisons of the same value with numbers that can both be true."""
    if not isinstance(x, typed.Comparison) or not isinstance(y, typed.Comparison):
        return False
    if not {x.op, y.op} <= {"<", "<=", ">", ">="} or not _same(x.left, y.left):
        return False
    if x.left.type.base is not Base.NUMBER:
        return False
    if not isinstance(x.right, Const) or not isinstance(y.right, Const):
        return False
    return x.op[0] == y.op[0] or not _contradict(x, y)


def _over_range(op: str, value: float, low: float | None, high: float | None) -> bool | None:
    """Return what a comparison with a value always says over a range, or None when it can change."""
    if op in ("<", "<="):
        op, value, low, high = (
            ">" if op == "<" else ">=",
            -value,
            -high if high is not None else None,
            -low if low is not None else None,
        )
    if op == ">":
        if high is not None and high <= value:
            return False
        return True if low is not None and low > value else None
    if op == ">=":
        if high is not None and high < value:
            return False
        return True if low is not None and low >= value else None
    outside = (low is not None and value < low) or (high is not None and value > high)
    return (op == "!=") if outside and op in ("==", "!=") else None


def _judges(never: Typed, target: Read) -> bool:
    """True when an invariant reads what is wanted of the point that it decides."""
    return any(
        isinstance(n, typed.Wanted) and pretty(n.read) == pretty(target) for n in typed.walk(never)
    )


def _own_reports(never: Typed, target: Read) -> Iterable[Read]:
    """Yield where an invariant reads the report of the very point that it decides."""
    if isinstance(never, (typed.Wanted, typed.Age)):
        return
    if isinstance(never, Read) and pretty(never) == pretty(target):
        yield never
    for child in typed.children(never):
        yield from _own_reports(child, target)


def _step_levels(steps: Iterable[StepProgram]) -> list[int]:
    """Return the levels of all `set` steps of a story."""
    found: list[int] = []
    for step in steps:
        if step.how == "set":
            found.append(step.parts["level"])
        for branch in step.branches.values():
            found.extend(_step_levels(branch))
    return found


# ── circles ──────────────────────────────────────────────────────────────────────────────────

_Point = tuple[str, str]


def _report_circles(
    rules: Sequence[RuleProgram], derived: Sequence[DeriveProgram], findings: list[Finding]
) -> None:
    """Warn of rules whose conditions read what the others want: they may never come to rest."""
    values = {(d.kind, d.name): d.value for d in derived}
    writers: dict[_Point, list[str]] = {}
    for rule in rules:
        for hold in rule.holds:
            writers.setdefault((hold.target.base.type.kind, hold.target.point), []).append(
                rule.name
            )
    leads: dict[str, dict[str, None]] = {rule.name: {} for rule in rules}
    for rule in rules:
        if rule.enter is None or not rule.decl.enabled:
            continue
        for point in _wanted_points(rule.enter, values):
            for name in writers.get(point, ()):
                leads[name][rule.name] = None
    told: set[frozenset[str]] = set()
    for rule in rules:
        circle = _circle(rule.name, leads)
        if len(circle) > 2 and frozenset(circle) not in told:
            told.add(frozenset(circle))
            findings.append(say.cyclic_rules(rule.decl.name.at, circle))


def _wanted_points(node: Typed, values: Mapping[_Point, Typed]) -> list[_Point]:
    """Return the points whose wanted value an expression reads, through derived values too."""
    found: list[_Point] = []
    seen: set[_Point] = set()
    waiting = [node]
    while waiting:
        for part in typed.walk(waiting.pop()):
            key = ("", "")
            if isinstance(part, typed.Wanted):
                found.append((part.read.base.type.kind, part.read.point))
            elif isinstance(part, Read):
                key = (part.base.type.kind, part.point)
            elif isinstance(part, typed.Global):
                key = ("", part.key)
            if key in values and key not in seen:
                seen.add(key)
                waiting.append(values[key])
    return found


def _circle(start: str, leads: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the shortest way from a rule back to itself, or nothing."""
    before: dict[str, str] = {}
    waiting = [start]
    for name in waiting:
        for following in leads[name]:
            if following == start:
                way = [name]
                while way[-1] != start:
                    way.append(before[way[-1]])
                return [*reversed(way), start]
            if following not in before:
                before[following] = name
                waiting.append(following)
    return []


def _same(x: Typed, y: Typed) -> bool:
    """True when two expressions mean the same, variables compared by their kind."""
    return bool(_shape(x) == _shape(y))


def _shape(node: Typed) -> Any:
    if isinstance(node, typed.Var):
        return ("Var", node.type.kind or node.name)
    parts: list[Any] = [type(node).__name__]
    for field in fields(node):
        if field.name in ("at", "type", "spec", "variable"):
            continue
        value = getattr(node, field.name)
        if isinstance(value, Typed):
            parts.append(_shape(value))
        elif isinstance(value, tuple) and value and isinstance(value[0], Typed):
            parts.append(tuple(_shape(v) for v in value))
        else:
            parts.append(value)
    return tuple(map(str, parts))
