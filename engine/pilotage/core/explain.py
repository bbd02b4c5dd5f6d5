"""Why a point is as it is, and why a rule does what it does: read from the live state, changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pilotage.core.arbiter import DEFAULT_LEVEL, INVARIANT_LEVEL, Demand
from pilotage.core.evaluator import HoldInstance
from pilotage.core.interpreter import shown
from pilotage.core.store import Cell, Entity
from pilotage.core.windows import WindowNode
from pilotage.language import typed
from pilotage.language.program import RuleProgram
from pilotage.language.typed import Typed
from pilotage.language.wording import wording
from pilotage.model.priorities import Priority
from pilotage.model.values import as_plain, format_value

if TYPE_CHECKING:
    from pilotage.core.engine import Engine


def level_word(level: int) -> str:
    """Return the name of a level: `saving`, `default`, `invariant`."""
    if level == DEFAULT_LEVEL:
        return "default"
    return "invariant" if level == INVARIANT_LEVEL else Priority(level).word


@dataclass(frozen=True, slots=True)
class DemandShown:
    """One demand in a priority array, for people."""

    level: int
    level_word: str
    by: str
    owner: str
    value: str
    reason: str
    since: float
    until: float | None
    wins: bool


@dataclass(frozen=True, slots=True)
class PointExplained:
    """Everything that decides one point.

    Attributes:
        pursuit: idle, sent, done, failed, local, unheard; empty for a point that was never wanted.
        sentence: The whole in one plain sentence.
    """

    point: str
    wanted: str
    reported: str
    quality: str
    age_s: float | None
    by: str
    level: int
    level_word: str
    pursuit: str
    demands: tuple[DemandShown, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class ClauseShown:
    """One clause of a condition: its words, its truth, and the values it reads."""

    text: str
    truth: bool | None
    values: tuple[tuple[str, str], ...]
    flips: str = ""


@dataclass(frozen=True, slots=True)
class RuleExplained:
    """Why an instance of a rule is in its state."""

    rule: str
    title: str
    instance: str
    state: str
    since: float
    truth: bool | None
    clauses: tuple[ClauseShown, ...]
    sentence: str
    holds: tuple[str, ...] = field(default=())


class Explainer:
    """Reads the live state for people."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # ── points ───────────────────────────────────────────────────────────────────────────────

    def point(self, id_: str) -> PointExplained | None:
        """Return who decides a point now, who waits below, and how far the equipment is; None for no such point."""
        cell = self._engine.cells.get(id_)
        if cell is None:
            return None
        array = cell.array
        decided = array is not None and array.is_decided
        wanted = array.wanted if array is not None and decided else cell.spec.default
        by = array.owner if array is not None and decided else "default"
        level = array.level if array is not None and decided else DEFAULT_LEVEL
        winner = array.winner if array is not None else None
        demands = (
            tuple(self._demand(cell, d, d is winner) for d in array.in_order())
            if array is not None
            else ()
        )
        pursuit = self._engine.reconciler.pursuit(cell)
        commandable = cell.spec.access.is_commandable
        explained = PointExplained(
            id_,
            self._shown(cell, wanted) if commandable else "",
            self._shown(cell, cell.value),
            cell.quality.value,
            None if cell.time is None else max(0.0, self._engine.now - cell.time),
            (winner.by if winner is not None and level == winner.level else by)
            if commandable
            else "",
            level,
            level_word(level),
            pursuit.state if pursuit is not None else "",
            demands,
            "",
        )
        return _with_sentence(explained)

    def _demand(self, cell: Cell, demand: Demand, wins: bool) -> DemandShown:
        return DemandShown(
            demand.level,
            level_word(demand.level),
            demand.by,
            demand.owner,
            self._shown(cell, demand.value),
            demand.reason,
            demand.since,
            demand.until,
            wins,
        )

    @staticmethod
    def _shown(cell: Cell, value: Any) -> str:
        if cell.spec.is_request and value is None:
            return "nothing"
        return format_value(as_plain(value) if isinstance(value, Entity) else value, cell.spec.type)

    # ── rules ────────────────────────────────────────────────────────────────────────────────

    def rule(self, name: str, instance: str = "") -> RuleExplained | None:
        """Return why an instance is in its state, first the clause that decides; None when there is none."""
        room = (
            self._engine.evaluator
            if name in self._engine.evaluator.running
            else self._engine.shadow
        )
        wanted = ", ".join(p.strip() for p in instance.split(",")) if instance else ""
        for found in room.instances(name):
            if found.label == wanted:
                return self._instance(found)
        program = next((r for r in self._engine.program.rules if r.name == name), None)
        if program is not None and self._engine.modes.of(program) == "off":
            said = self._engine.modes.said(name) or "its file says so"
            why = f"{name} is off and decides nothing: {said}"
            now = self._engine.now
            return RuleExplained(name, program.title, wanted, "off", now, None, (), why)
        if program is not None and program.enter is not None:
            return self._outside(program, wanted)
        return None if program is None else self._story(program, wanted)

    def _instance(self, instance: HoldInstance) -> RuleExplained:
        rule = instance.rule
        node = rule.stay if instance.is_holding and rule.stay is not None else rule.enter
        assert node is not None
        truth = self._engine.interpreter.evaluate(node, instance.env)
        clauses = tuple(self._clause(c, instance.env) for c in _clauses(node))
        held = tuple(
            f"{c.id} {self._shown(c, d.value)}"
            for c in self._engine.cells.known()
            if c.array is not None
            for d in c.array.demands.values()
            if d.owner == instance.owner
        )
        sentence = _rule_sentence(rule, instance.state, truth, clauses)
        if said := self._engine.modes.said(rule.name):
            sentence = f"{sentence}; {said}"
        return RuleExplained(
            rule.name,
            rule.title,
            instance.label,
            instance.state,
            instance.since,
            truth,
            clauses,
            sentence,
            held,
        )

    def _outside(self, rule: RuleProgram, instance: str) -> RuleExplained | None:
        """Explain an instance that does not exist: which entity is not in which set."""
        ids = [i for i in instance.split(", ") if i]
        missing = [i for i in ids if i not in self._engine.entities]
        if missing:
            return None
        why = f"{instance or 'it'} is not in the rule's set now"
        for program, id_ in zip(rule.for_each, ids, strict=False):
            if program.where is not None:
                env = {program.variable: self._engine.entities[id_]}
                truth = self._engine.interpreter.evaluate(program.where, env)
                if truth is not True:
                    why = f"{wording(program.where)} is {_truth_word(truth)} for {id_}"
                    break
            if program.within_m is not None:
                why = f"{id_} is further than {program.within_m:g} m away"
        return RuleExplained(
            rule.name, rule.title, instance, "absent", self._engine.now, None, (), why
        )

    def _story(self, rule: RuleProgram, instance: str) -> RuleExplained:
        runs = self._engine.stories.runs(rule.name)
        mine = [r for r in runs if r.instance == instance]
        state = "running" if mine else "idle"
        event = wording(rule.when) if rule.when is not None else ""
        where = f", waits at {mine[0].waiting}" if mine and mine[0].waiting else ""
        sentence = (
            f"{rule.name} waits for: {event}"
            if not mine
            else f"{len(mine)} run(s) under way{where}"
        )
        return RuleExplained(
            rule.name, rule.title, instance, state, self._engine.now, None, (), sentence
        )

    def _clause(self, node: Typed, env: Any) -> ClauseShown:
        show = self._engine.interpreter
        values: dict[str, str] = {}
        for part in typed.walk(node):
            if isinstance(
                part,
                (
                    typed.Read,
                    typed.Global,
                    typed.Window,
                    typed.Aggregate,
                    typed.Wanted,
                    typed.Builtin,
                ),
            ):
                value = show.evaluate(part, env)
                text = value.name if isinstance(value, Entity) else shown(value, part.type)
                values[wording(part)] = text + self._coverage(part, env)
        truth = show.evaluate(node, env)
        return ClauseShown(wording(node), truth, tuple(values.items()), _flip(node, truth))

    def _coverage(self, node: Typed, env: Any) -> str:
        if not isinstance(node, typed.Window):
            return ""
        source = self._engine.graph.hoist(node, env).source
        return f" ({source.coverage:.0%} coverage)" if isinstance(source, WindowNode) else ""


def _clauses(node: Typed) -> list[Typed]:
    if isinstance(node, typed.Logic) and node.op == "and":
        return [c for operand in node.operands for c in _clauses(operand)]
    return [node]


def _truth_word(truth: bool | None) -> str:
    return "unknown" if truth is None else str(truth).lower()


_OPPOSITE = {"<": "at or above", "<=": "above", ">": "at or below", ">=": "below"}
_MEETS = {"<": "below", "<=": "at or below", ">": "above", ">=": "at or above"}


def _flip(node: Typed, truth: bool | None) -> str:
    """Return what would turn a clause around."""
    if isinstance(node, typed.Not):
        return _flip(node.operand, None if truth is None else not truth)
    if truth is None:
        return "a known value"
    if isinstance(node, typed.Comparison) and node.op in _MEETS:
        side = (_OPPOSITE if truth else _MEETS)[node.op]
        return f"{wording(node.left)} {side} {wording(node.right)}"
    if isinstance(node, typed.Comparison) and node.op in ("==", "!="):
        becomes = (node.op == "==") is not truth
        return (
            f"{wording(node.left)} {'becomes' if becomes else 'is no longer'} {wording(node.right)}"
        )
    return f"{wording(node)} becomes {'false' if truth else 'true'}"


def _rule_sentence(
    rule: RuleProgram, state: str, truth: bool | None, clauses: tuple[ClauseShown, ...]
) -> str:
    if state == "holding" and truth is not True:
        return f"{rule.name} is still kept: its condition is {_truth_word(truth)} now"
    if state == "holding":
        return f"{rule.name} holds because " + " and ".join(c.text for c in clauses)
    decisive = next((c for c in clauses if c.truth is False), None) or next(
        (c for c in clauses if c.truth is None), None
    )
    if decisive is None:
        return f"{rule.name} is {state}; its condition is {_truth_word(truth)}"
    values = ", ".join(f"{k} is {v}" for k, v in decisive.values[:2])
    return (
        f"{rule.name} is {state}: {decisive.text} is {_truth_word(decisive.truth)}"
        f"{f' ({values})' if values else ''}; it would turn with {decisive.flips}"
    )


def _with_sentence(explained: PointExplained) -> PointExplained:
    from dataclasses import replace

    e = explained
    if not e.wanted:
        return replace(e, sentence=f"{e.point} reports {e.reported} ({e.quality})")
    losers = [d for d in e.demands if not d.wins]
    sentence = (
        f"{e.point} is wanted at {e.wanted} by {e.by} ({e.level_word}); it reports {e.reported}"
    )
    if losers:
        sentence += f"; {losers[0].by} ({losers[0].level_word}) waits below with {losers[0].value}"
    return replace(e, sentence=sentence)
