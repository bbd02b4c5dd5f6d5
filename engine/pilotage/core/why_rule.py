"""Why a rule acts or not: each clause at its place in the file, its truth now, what it reads, and what became of its demands.

Plain data, read from the live state; changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pilotage.core.evaluator import HoldInstance
from pilotage.core.interpreter import shown
from pilotage.core.store import Cell, Entity, EntitySet
from pilotage.core.stories import StoryInstance
from pilotage.core.why import DemandWhy, PointWhy, Wanter, why_point
from pilotage.core.windows import WindowNode
from pilotage.language import typed
from pilotage.language.program import RuleProgram, SetProgram
from pilotage.language.typed import Typed
from pilotage.language.wording import wording
from pilotage.model.diagnostics import Span

if TYPE_CHECKING:
    from pilotage.core.engine import Engine

MOST_EFFECTS: Final = 50
MOST_OTHERS: Final = 10
MOST_NEAR: Final = 20
_VALUES: Final = (
    typed.Read, typed.Global, typed.Window, typed.Aggregate, typed.Wanted, typed.Builtin, typed.Age, typed.Older, typed.Pattern,
)  # fmt: skip
_CLOSED: Final = (typed.Window, typed.Aggregate, typed.AllOf, typed.Nearest, typed.Pattern)
"""What is inside reads other variables, or is of other times: it is shown as one value."""
_MEETS: Final = {"<": "below", "<=": "at_most", ">": "above", ">=": "at_least"}
_LEAVES: Final = {"<": "at_least", "<=": "above", ">": "at_most", ">=": "below"}


@dataclass(frozen=True, slots=True)
class ReadShown:
    """One value that a clause reads.

    Attributes:
        what: Its words in the rule: `segment.quiet_flow`.
        point: `ENTITY.POINT`; empty for what is no single point.
        note: What else is known of it: the share of a window that is covered.
    """

    what: str
    point: str
    text: str
    is_known: bool
    quality: str = ""
    time: float | None = None
    since: float | None = None
    coverage: float | None = None


@dataclass(frozen=True, slots=True)
class Flip:
    """What would turn a clause around.

    `how` is `below`, `at_most`, `above`, `at_least` (of `left` and `right`), `becomes`, `no_longer`, `true`, `false` (of
    `left` alone) or `known`.
    """

    how: str
    left: str
    right: str = ""


@dataclass(frozen=True, slots=True)
class ClauseWhy:
    """One clause of a condition.

    Attributes:
        part: The key it stands under: `while`, `unless`, `until`, `if`, `where`.
        needed: What it must be for the rule to hold: False under `unless` and `until`.
        truth: What it is now; None is unknown.
        flip: What would turn it around.
    """

    text: str
    part: str
    at: Span
    needed: bool
    truth: bool | None
    reads: tuple[ReadShown, ...]
    flip: Flip | None

    @property
    def is_met(self) -> bool:
        """True when it is as the rule needs it."""
        return self.truth is self.needed


@dataclass(frozen=True, slots=True)
class EffectWhy:
    """What became of one demand of a rule.

    Attributes:
        result: `wins`, `limited`, `next`, `dominated`; `shadow` when it is only recorded.
        decider: Who decides the point, with what, and until when.
    """

    point: str
    text: str
    level: int
    level_word: str
    result: str
    decider: Wanter
    decided_text: str
    decided_level: int
    until: float | None
    way: str


@dataclass(frozen=True, slots=True)
class InstanceWhy:
    """Why one instance of a rule is in its state.

    Attributes:
        verdict: `acts`, `partly`, `dominated` (a higher demand stands above it), `kept` (its condition has ended), `held`
            (it is unknown), `pending` (`for`), `not_met`, `unknown`, `resting` (`cooldown`), `spent` (`at_most`),
            `absent` (not in its sets), `foreign` (no such thing in the rule), `off`, `quarantine` (it cost too much), `waits` and `running` (a story).
        due: When that changes by itself.
        others: Other instances that the same question could mean.
    """

    rule: str
    instance: str
    state: str
    verdict: str
    mode: str
    since: float | None = None
    due: float | None = None
    why: str = ""
    truth: bool | None = None
    clauses: tuple[ClauseWhy, ...] = ()
    effects: tuple[EffectWhy, ...] = ()
    effects_total: int = 0
    others: tuple[str, ...] = ()
    waiting: str = ""


# ── which instance ───────────────────────────────────────────────────────────────────────────


def why_rule(engine: Engine, name: str, instance: str = "", target: str = "") -> InstanceWhy | None:
    """Return why an instance is in its state, or None when there is no such rule.

    Args:
        engine: Between two ticks.
        name: The rule.
        instance: Ids of its entities, with commas; empty for its only one, or for the one that `target` means.
        target: An entity, or a point, of which is asked why the rule does nothing to it.
    """
    rule = next((r for r in engine.program.rules if r.name == name), None)
    if rule is None:
        return None
    mode = _mode(engine, rule)
    if name in engine.quarantined:
        return InstanceWhy(name, instance, "off", "quarantine", "quarantine")
    if not _is_running(engine, name):
        return InstanceWhy(name, instance, "off", "off", mode, why=engine.modes.said(name))
    if target and not instance:
        return _about(engine, rule, target, mode)
    found = instances_of(engine, name)
    wanted = ", ".join(part.strip() for part in instance.split(",") if part.strip())
    mine = [each for each in found if each.label == wanted]
    if mine:
        return _instance(engine, mine[0])
    if not wanted:
        some = tuple(each.label for each in found[:MOST_OTHERS])
        return InstanceWhy(name, "", "absent", "absent", mode, others=some)
    return _outside(engine, rule, wanted.split(", "), mode)


def instances_of(engine: Engine, name: str) -> Sequence[HoldInstance | StoryInstance]:
    """Return the live instances of a rule of either form."""
    for room in (engine.evaluator, engine.shadow):
        if room.is_running(name):
            return room.instances(name)
    return engine.stories.instances(name)


def _is_running(engine: Engine, name: str) -> bool:
    rooms = (engine.evaluator, engine.shadow, engine.stories)
    return any(room.is_running(name) for room in rooms)


def _about(engine: Engine, rule: RuleProgram, target: str, mode: str) -> InstanceWhy:
    """Answer for the instances that have to do with a thing, the nearest to acting first."""
    cell = engine.cells.get(target)
    id_ = cell.entity.id if cell is not None and cell.entity is not None else target
    rooms = (engine.evaluator, engine.shadow, engine.stories)
    mine: list[HoldInstance | StoryInstance] = [
        i for room in rooms for i in room.instances_of(rule.name, id_)
    ]
    labels = _labels_on(engine, rule.name, id_) - {i.label for i in mine}
    if labels:
        mine += [i for i in instances_of(engine, rule.name) if i.label in labels]
    if not mine:
        return _outside(engine, rule, [id_], mode)
    mine.sort(key=lambda i: _distance(engine, i))
    first, others = mine[0], tuple(i.label for i in mine[1 : MOST_OTHERS + 1])
    return _instance(engine, first, others)


def _labels_on(engine: Engine, rule: str, entity: str) -> set[str]:
    """Return the instances of a rule that want something of an entity now."""
    found = engine.entities.get(entity)
    owners = (
        owner
        for cell in (found.cells.values() if found is not None else ())
        if cell.array is not None
        for owner in cell.array.demands
    )
    return {o.partition("[")[2].rpartition("]")[0] for o in owners if o.startswith(f"{rule}[")}


def _distance(engine: Engine, instance: HoldInstance | StoryInstance) -> int:
    """Return how far an instance is from acting: 0 when it does, else how many clauses are in its way."""
    if isinstance(instance, StoryInstance):
        return 1
    if instance.is_holding:
        return 0
    return 1 + sum(1 for missing in missing_clauses(engine, instance) if missing)


def _outside(engine: Engine, rule: RuleProgram, ids: list[str], mode: str) -> InstanceWhy:
    """Say why an entity has no instance: which part of `where` keeps it out."""
    label = ", ".join(ids)
    clauses: list[ClauseWhy] = []
    is_known = False
    for id_ in ids:
        entity = engine.entities.get(id_)
        for program in rule.for_each:
            if entity is not None and program.kind == entity.kind:
                is_known = True
                clauses.extend(_of_set(engine, program, entity))
    verdict = "absent" if is_known else "foreign"
    return InstanceWhy(rule.name, label, "absent", verdict, mode, clauses=tuple(clauses))


def _of_set(engine: Engine, program: SetProgram, entity: Entity) -> Iterator[ClauseWhy]:
    if program.where is None:
        return
    env = {program.variable: entity}
    for leaf in leaves(program.where):
        try:
            yield _clause(engine, leaf, env, "where")
        except KeyError:  # it reads another variable of the rule, which is nobody here
            continue


# ── an instance ──────────────────────────────────────────────────────────────────────────────


def _instance(
    engine: Engine, instance: HoldInstance | StoryInstance, others: tuple[str, ...] = ()
) -> InstanceWhy:
    if isinstance(instance, StoryInstance):
        return _story(engine, instance, others)
    rule = instance.rule
    node = condition_of(instance)
    clauses = tuple(
        _clause(engine, leaf, instance.env, _part(rule, leaf.node.at)) for leaf in leaves(node)
    )
    demands = instance.placed()
    mode = _mode(engine, rule)
    effects = tuple(_effects(engine, instance, demands[:MOST_EFFECTS], mode))
    truth = engine.interpreter.evaluate(node, instance.env)
    return InstanceWhy(
        rule.name,
        instance.label,
        instance.state,
        _verdict(instance, truth, effects),
        mode,
        instance.since,
        instance.due,
        instance.why,
        truth,
        clauses,
        effects,
        len(demands),
        others,
    )


def _mode(engine: Engine, rule: RuleProgram) -> str:
    """Return whether what a rule wants counts (`live`) or is only recorded (`shadow`)."""
    return "shadow" if engine.modes.of(rule) == "shadow" else "live"


def _verdict(instance: HoldInstance, truth: bool | None, effects: Sequence[EffectWhy]) -> str:
    if not instance.is_holding:
        words = {"idle": "not_met", "cooldown": "resting"}
        return words.get(instance.state, instance.state)
    winning = sum(1 for effect in effects if effect.result in ("wins", "shadow"))
    if effects and not winning:
        return "dominated"
    if truth is not True:
        return "held" if truth is None else "kept"
    return "acts" if winning == len(effects) else "partly"


def _story(engine: Engine, instance: StoryInstance, others: tuple[str, ...]) -> InstanceWhy:
    rule = instance.rule
    runs = [r for r in engine.stories.runs(rule.name) if r.instance == instance.label]
    clauses: tuple[ClauseWhy, ...] = ()
    if rule.condition is not None:
        clauses = tuple(
            _clause(engine, leaf, instance.env, _part(rule, leaf.node.at))
            for leaf in leaves(rule.condition)
        )
    return InstanceWhy(
        rule.name,
        instance.label,
        "running" if runs else instance.state,
        "running" if runs else "waits",
        _mode(engine, rule),
        None if runs else instance.since,
        clauses=clauses,
        why=wording(rule.when) if rule.when is not None else "",
        others=others,
        waiting=runs[0].waiting if runs else "",
    )


def _effects(
    engine: Engine, instance: HoldInstance, demands: Sequence[tuple[str, Cell]], mode: str
) -> Iterator[EffectWhy]:
    for owner, cell in demands:
        found = why_point(engine, cell.id)
        array = cell.array
        assert found is not None
        index = None
        if array is not None and owner in array.demands and mode == "live":
            demand = array.demands[owner]
            index = next(
                (d for d in found.demands if (d.since, d.level) == (demand.since, demand.level)
                 and (d.who.name, d.who.instance) == (instance.rule.name, instance.label)),
                None,
            )  # fmt: skip
        yield _effect(found, index)


def _effect(found: PointWhy, demand: DemandWhy | None) -> EffectWhy:
    return EffectWhy(
        found.point,
        "" if demand is None else demand.text,
        0 if demand is None else demand.level,
        "" if demand is None else demand.level_word,
        "shadow" if demand is None else demand.result,
        found.who,
        found.text,
        found.level,
        None if found.winner is None else found.winner.until,
        "" if found.way is None else found.way.state,
    )


# ── clauses ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Leaf:
    """A clause by itself, and what it must be."""

    node: Typed
    needed: bool = True


def condition_of(instance: HoldInstance) -> Typed:
    """Return the condition that counts for an instance now: the one that begins a hold, or the one that keeps it."""
    rule = instance.rule
    node = rule.stay if instance.is_holding and rule.stay is not None else rule.enter
    assert node is not None
    return node


def leaves(node: Typed, needed: bool = True) -> list[Leaf]:
    """Return the clauses that must all be as needed, in the order of the rule.

    `not (a or b)` is `a` and `b`, neither of them needed: as it was written under `unless`.
    """
    if isinstance(node, typed.Not):
        return leaves(node.operand, not needed)
    if isinstance(node, typed.Logic) and (node.op == "and") is needed:
        return [leaf for operand in node.operands for leaf in leaves(operand, needed)]
    return [Leaf(node, needed)]


def missing_clauses(engine: Engine, instance: HoldInstance) -> list[bool]:
    """Return for each clause of an instance whether it is in the way."""
    evaluate, env = engine.interpreter.evaluate, instance.env
    return [evaluate(leaf.node, env) is not leaf.needed for leaf in leaves(condition_of(instance))]


def _part(rule: RuleProgram, at: Span) -> str:
    """Return under which key of the rule a place lies."""
    decl = rule.decl
    begins: list[tuple[tuple[int, int], str]] = [
        ((e.at.line, e.at.column), "unless") for e in decl.unless
    ]
    for expression, word in ((decl.while_, "while"), (decl.until, "until"), (decl.if_, "if")):
        if expression is not None:
            begins.append(((expression.at.line, expression.at.column), word))
    before = [b for b in begins if b[0] <= (at.line, at.column)]
    return max(before)[1] if before else "while"


def _clause(engine: Engine, leaf: Leaf, env: Mapping[str, Any], part: str) -> ClauseWhy:
    truth = engine.interpreter.evaluate(leaf.node, env)
    return ClauseWhy(
        wording(leaf.node),
        part,
        leaf.node.at,
        leaf.needed,
        None if truth is None else bool(truth),
        tuple(_reads(engine, leaf.node, env)),
        _flip(leaf.node, truth),
    )


def _reads(engine: Engine, node: Typed, env: Mapping[str, Any]) -> Iterator[ReadShown]:
    seen: set[str] = set()
    for part in _values(node):
        words = wording(part)
        if words not in seen:
            seen.add(words)
            yield _read(engine, part, words, env)


def _values(node: Typed) -> Iterator[Typed]:
    if isinstance(node, _VALUES):
        yield node
    if not isinstance(node, _CLOSED):
        for child in typed.children(node):
            yield from _values(child)


def _read(engine: Engine, part: Typed, words: str, env: Mapping[str, Any]) -> ReadShown:
    value = engine.interpreter.evaluate(part, env)
    cell = _cell(engine, part, env)
    text = shown(value, part.type)
    if isinstance(value, Entity):
        text = value.name
    elif isinstance(value, EntitySet):
        text = ", ".join(e.name for e in value)
    if cell is None:
        return ReadShown(words, "", text, value is not None, coverage=_coverage(engine, part, env))
    return ReadShown(
        words, cell.id, text, value is not None, cell.quality.value, cell.time, cell.since
    )


def _cell(engine: Engine, part: Typed, env: Mapping[str, Any]) -> Cell | None:
    if isinstance(part, typed.Read):
        base = engine.graph.base(part.base, env)
        return None if base is None else base.cells.find(part.point)
    return None


def _coverage(engine: Engine, part: Typed, env: Mapping[str, Any]) -> float | None:
    if not isinstance(part, typed.Window):
        return None
    source = engine.graph.hoist(part, env).source
    return source.coverage if isinstance(source, WindowNode) else None


def _flip(node: Typed, truth: bool | None) -> Flip:
    words = wording(node)
    if truth is None:
        return Flip("known", words)
    if isinstance(node, typed.Comparison):
        left, right = wording(node.left), wording(node.right)
        if node.op in _MEETS:
            return Flip((_LEAVES if truth else _MEETS)[node.op], left, right)
        if node.op in ("==", "!="):
            becomes = (node.op == "==") is not truth
            return Flip("becomes" if becomes else "no_longer", left, right)
    return Flip("false" if truth else "true", words)


# ── all instances ────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Survey:
    """How the clauses of a rule stand over its instances, filled slice by slice.

    Attributes:
        counts: For each clause: how many have it as needed, how many not, how many do not know.
        near: Instances that one clause alone keeps from acting, with its index.
        states: How many are in which state.
    """

    clauses: list[Leaf]
    counts: list[list[int]]
    near: list[tuple[str, int]] = field(default_factory=list)
    near_total: int = 0
    states: dict[str, int] = field(default_factory=dict)
    looked: int = 0


def begin_survey(rule: RuleProgram) -> Survey:
    """Return a survey of a hold that has looked at nobody yet."""
    found = leaves(rule.enter) if rule.enter is not None else []
    return Survey(found, [[0, 0, 0] for _ in found])


def look_at(survey: Survey, engine: Engine, instance: HoldInstance) -> None:
    """Add one instance to a survey."""
    evaluate, env = engine.interpreter.evaluate, instance.env
    missing: list[int] = []
    for index, leaf in enumerate(survey.clauses):
        truth = evaluate(leaf.node, env)
        met = truth is leaf.needed
        survey.counts[index][0 if met else 2 if truth is None else 1] += 1
        if not met:
            missing.append(index)
    if len(missing) == 1 and not instance.is_holding:
        survey.near_total += 1
        if len(survey.near) < MOST_NEAR:
            survey.near.append((instance.label, missing[0]))
    survey.states[instance.state] = survey.states.get(instance.state, 0) + 1
    survey.looked += 1


def clauses_of(rule: RuleProgram) -> list[ClauseWhy]:
    """Return the clauses of a rule as they stand in its file, without any truth."""
    node = rule.enter if rule.enter is not None else rule.condition
    if node is None:
        return []
    return [
        ClauseWhy(
            wording(leaf.node), _part(rule, leaf.node.at), leaf.node.at, leaf.needed, None, (), None
        )
        for leaf in leaves(node)
    ]
