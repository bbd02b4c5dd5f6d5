"""Holds: rules of the form `while` … `hold`, one small state machine per instance.

The condition is asked only when something it reads has changed; only a transition does anything. A demand stands as long
as the machine holds, and leaves by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, Final, Protocol

from pilotage.core.arbiter import NO_DATA, Demand
from pilotage.core.graph import Env, Graph, Watch
from pilotage.core.instances import Instances, label
from pilotage.core.interpreter import Interpreter
from pilotage.core.sets import Nearby
from pilotage.core.store import Cell, Entity
from pilotage.core.timers import Timer
from pilotage.language.compiler import HOISTED, is_static
from pilotage.language.program import HoldProgram, RuleProgram, StepProgram, TextProgram
from pilotage.language.typed import Const, Global, Typed, children
from pilotage.model.messages import RuleChanged

MOST_READ: Final = 8
"""So many values that a condition read are recorded when it changes its mind."""
HOLD_AT_MOST_S: Final = 3600.0
"""`if_unknown: hold` lasts this long unless the rule says otherwise."""


class Demands(Protocol):
    """Where demands are placed: the arbiter, or for rules in shadow a record of them."""

    def place(self, cell: Cell, demand: Demand) -> None:
        """Put a demand on a point, or change the one of the same owner."""
        ...

    def relinquish(self, cell: Cell, owner: str, why: str = "") -> None:
        """Give up a demand."""
        ...

    def touch(self, cell: Cell) -> None:
        """Settle a point again at the end of the tick."""
        ...


class Desk(Protocol):
    """What a room of the core may ask of the others; the engine provides it."""

    graph: Graph
    interpreter: Interpreter

    @property
    def arbiter(self) -> Demands:
        """Where demands are placed."""
        ...

    @property
    def nearby(self) -> Nearby:
        """Follow who is within a distance of an entity."""
        ...

    def emit(self, event: Any) -> None:
        """Add an event to the decision."""
        ...

    def run_steps(self, owner: str, by: str, steps: tuple[StepProgram, ...], env: Env) -> None:
        """Start a story of these steps."""
        ...

    @property
    def now(self) -> float:
        """The time of the tick."""
        ...


class Placement:
    """One `hold` item at work: its demands stand, follow their values, and leave."""

    def __init__(
        self,
        desk: Desk,
        program: HoldProgram,
        env: Mapping[str, Entity],
        owner: str,
        by: str,
        reason: str,
        rank: int = 0,
    ) -> None:
        self._desk = desk
        self._program = program
        self._env = env
        self._owner = owner
        self._by = by
        self._reason = reason
        self._rank = rank
        self._followed = _what_may_change(program)
        self._one = None if program.each else self._standing(env)
        self._several: Instances[_Standing] | None = None
        self._is_up = False

    def stand(self) -> None:
        """Place the demands, for everybody who is in the sets of `each` now or later."""
        self._is_up = True
        if self._one is not None:
            self._one.stand()
        elif self._several is None:
            desk = self._desk
            self._several = Instances(
                desk.graph, self._program.each, desk.nearby, self._for_one, self._env
            )
        else:  # the sets have been followed since the first time: only the demands are new
            for standing in self._several.live.values():
                standing.stand()

    def _for_one(self, env: Mapping[str, Entity]) -> _Standing:
        standing = self._standing(env)
        if self._is_up:
            standing.stand()
        return standing

    def leave(self) -> None:
        """Relinquish everything; it may stand again."""
        self._is_up = False
        if self._one is not None:
            self._one.close()
        elif self._several is not None:
            for standing in self._several.live.values():
                standing.close()

    def close(self) -> None:
        """Relinquish everything, and follow nobody any more."""
        self.leave()
        if self._several is not None:
            self._several.close()
            self._several = None

    def placed(self) -> Iterator[tuple[str, Cell]]:
        """Yield the owner and the point of each demand that stands."""
        standings = [self._one] if self._one is not None else []
        if self._several is not None:
            standings = list(self._several.live.values())
        for standing in standings:
            if standing.cell is not None:
                yield self._owner, standing.cell

    def _standing(self, env: Mapping[str, Entity]) -> _Standing:
        return _Standing(
            self._desk,
            self._program,
            self._followed,
            env,
            self._owner,
            self._by,
            self._reason,
            self._rank,
        )


class _Standing:
    """One demand of one item for one combination of entities."""

    __slots__ = (
        "_by", "_cell", "_desk", "_env", "_fixed", "_followed", "_home", "_owner", "_program", "_rank",
        "_reason", "_since", "_watches",
    )  # fmt: skip

    def __init__(
        self,
        desk: Desk,
        program: HoldProgram,
        followed: tuple[Typed, ...],
        env: Env,
        owner: str,
        by: str,
        reason: str,
        rank: int,
    ) -> None:
        self._rank = rank
        self._desk = desk
        self._program = program
        self._env = env
        self._owner = owner
        self._by = by
        self._reason = reason
        self._since = 0.0
        self._cell: Cell | None = None
        self._watches: list[Watch] = []
        self._followed = followed
        self._home = (
            desk.graph.cell(program.target, env) if is_static(program.target.base) else None
        )
        self._fixed = (
            desk.interpreter.value_or_text(program.value, env) if not self._followed else None
        )

    @property
    def cell(self) -> Cell | None:
        """The point that the demand is on, or None while there is none."""
        return self._cell

    def stand(self) -> None:
        """Place the demand, and follow what it depends on."""
        self._since = self._desk.now
        for node in self._followed:
            watch = Watch(self._desk.graph, node, self._env, self._value_changed)
            watch.value = watch.evaluate()
            self._watches.append(watch)
        self._place()

    def _value_changed(self, value: Any) -> None:
        self._place()

    def _target(self) -> Cell | None:
        if self._home is not None:
            return self._home
        entity = self._desk.graph.base(self._program.target.base, self._env)
        return None if entity is None else entity.cells[self._program.target.point]

    def _place(self) -> None:
        desk, program = self._desk, self._program
        cell = self._target()
        if self._cell is not None and cell is not self._cell:
            desk.arbiter.relinquish(self._cell, self._owner, "it is about another point now")
            self._cell = None
        value = self._fixed
        if value is None:
            value = desk.interpreter.value_or_text(program.value, self._env)
        if cell is None or value is None:  # unknown: what stood before stays
            return
        self._cell = cell
        desk.arbiter.place(
            cell,
            Demand(
                self._owner,
                self._by,
                program.level,
                value,
                self._reason,
                self._since,
                None,
                program.ramp_up_s,
                program.ramp_down_s,
                program.expect,
                {k: desk.interpreter.value_or_text(v, self._env) for k, v in program.data}
                if program.data
                else NO_DATA,
                self._failed if program.on_failure else None,
                self._rank,
            ),
        )

    def _failed(self, why: str) -> None:
        self._desk.run_steps(f"{self._owner}!", self._by, self._program.on_failure, self._env)

    def close(self) -> None:
        """Relinquish the demand; it may stand again later."""
        for watch in self._watches:
            watch.close()
        self._watches.clear()
        if self._cell is not None:
            self._desk.arbiter.relinquish(self._cell, self._owner, "")
            self._cell = None


def _what_may_change(program: HoldProgram) -> tuple[Typed, ...]:
    """Return the expressions that a standing demand depends on, constants left out."""
    nodes: list[Typed] = [] if is_static(program.target.base) else [program.target.base]
    for value in (program.value, *(v for _, v in program.data)):
        if isinstance(value, TextProgram):
            parts = (*value.parts, *(n for _, n in value.names))
            nodes.extend(p for p in parts if isinstance(p, Typed))
        elif not is_static(value):
            nodes.append(value)
    return tuple(n for n in nodes if not isinstance(n, Const))


class HoldInstance:
    """One instance of a hold rule.

    `state` is idle, pending (`for`), holding, unknown, cooldown or spent (`at_most`).
    """

    def __init__(
        self,
        desk: Desk,
        rule: RuleProgram,
        env: Mapping[str, Entity],
        rests: dict[tuple[str, ...], float],
    ) -> None:
        self._desk = desk
        self._clock = desk.graph.clock
        self.rule = rule
        self.env = env
        self.label = label(env)
        self.owner = f"{rule.name}[{self.label}]" if self.label else rule.name
        self.state = "idle"
        self.since = desk.now
        self.why = ""
        self.is_holding = False
        self._rests = rests
        self._placements: list[Placement] = []
        self._timer: Timer | None = None  # for, keep, the end of an unknown hold, the end of a rest
        self._limit: Timer | None = None  # at_most
        assert rule.enter is not None
        self.watch = Watch(desk.graph, rule.enter, env, self._judge)
        self._first = True
        self._true_from: float | None = None
        self._histories = [
            Watch(desk.graph, part, env, only_kept)
            for part in _with_histories(rule.enter, rule.stay)
        ]
        desk.graph.ask(self.watch)
        if self.watch.evaluate() is None:  # a watch begins with None, and would not tell
            self.state = "unknown"
            self._first = False
            if rule.if_unknown == "act":
                self._judge_unknown()

    @property
    def due(self) -> float | None:
        """When its state changes by itself, unless something it reads does so before; seconds since 1970."""
        now = self._clock.now
        timers = (t for t in (self._timer, self._limit) if t is not None and t.action is not None)
        return min((t.due for t in timers if t.due > now), default=None)

    def placed(self) -> list[tuple[str, Cell]]:
        """Return the owner and the point of each demand that stands."""
        return [found for placement in self._placements for found in placement.placed()]

    # ── judging ──────────────────────────────────────────────────────────────────────────────

    def _judge(self, truth: bool | None) -> None:
        since = self._true_since() if self._first else self._clock.now
        self._first = False
        if self.is_holding:
            self._judge_holding(truth)
        elif truth is True:
            self._counts_as_true(since)
        elif truth is False:
            self._forget_timer()
            self._true_from = None
            self._become("idle")
        else:
            self._judge_unknown()

    def _true_since(self) -> float:
        """When the condition's inputs took the values that make it true, from recorded history."""
        return max(
            (c.since for c in self.watch.cells if c.since is not None), default=self._clock.now
        )

    def _counts_as_true(self, since: float) -> None:
        if self._true_from is None:
            self._true_from = since
        self._may_hold()

    def _may_hold(self) -> None:
        """Hold, unless it is spent, or has to rest or to wait first; asked again when that is over."""
        if self.state == "spent" or self._true_from is None:
            return
        self._forget_timer()
        now = self._clock.now
        rest = self._rests.get(self._rest_key(), 0.0) if self._rests else 0.0
        if rest > now:
            self._become("cooldown")
            self._timer = self._desk.graph.timers.at(rest, self._may_hold)
            return
        waiting = self.rule.decl.for_
        if waiting is not None and self._true_from + waiting.seconds > now:
            self._become("pending")
            due = self._true_from + waiting.seconds
            self._timer = self._desk.graph.timers.at(due, self._may_hold)
            return
        self._hold(self._reason())

    def _judge_unknown(self) -> None:
        self._forget_timer()
        delay = self.rule.decl.unknown_after
        if self.state == "spent":
            return
        self._become("unknown")
        if self.rule.if_unknown != "act":
            self._true_from = None
        elif delay is None:
            self._counts_as_true(self._clock.now)
        else:
            self._true_from = None
            self._after(delay.seconds, self._counts_as_true_now)

    def _counts_as_true_now(self) -> None:
        self._counts_as_true(self._clock.now)

    def _judge_holding(self, truth: bool | None) -> None:
        was_unknown = self.state == "unknown"
        self._forget_timer()
        if truth is True:
            self._become("holding")
        elif truth is False:
            keep = self.rule.decl.keep
            if keep is not None and not was_unknown:
                end = partial(self._release, "idle", f"kept {keep.seconds:g} s")
                self._after(keep.seconds, end)
            else:
                self._release("idle", "its condition is false")
        else:
            delay = self.rule.decl.unknown_after
            if delay is not None and not was_unknown:
                self._after(delay.seconds, self._unknown_while_holding)
            else:
                self._unknown_while_holding()

    def _unknown_while_holding(self) -> None:
        if self.rule.if_unknown == "release":
            self._release("unknown", "its condition is unknown")
            return
        self._become("unknown")
        if self.rule.if_unknown == "hold":
            most = self.rule.decl.hold_at_most
            seconds = HOLD_AT_MOST_S if most is None else most.seconds
            self._after(seconds, partial(self._release, "unknown", f"unknown for {seconds:g} s"))

    @property
    def watch_enter(self) -> Typed:
        """The condition that begins a hold."""
        assert self.rule.enter is not None
        return self.rule.enter

    # ── holding and releasing ────────────────────────────────────────────────────────────────

    def _hold(self, reason: str) -> None:
        self._timer = None
        self.is_holding = True
        truth = self.watch.value
        self._become("holding" if truth is not None else "unknown")
        if self.rule.stay is not None:
            self.watch.turn_to(self.rule.stay)
            self._desk.graph.ask(self.watch)
        most = self.rule.decl.at_most
        if most is not None:
            self._limit = self._desk.graph.timers.at(
                self._clock.now + most.seconds, self._time_is_over
            )
        if not self._placements:
            self._placements = [
                Placement(
                    self._desk,
                    hold,
                    self.env,
                    f"{self.owner}#{i}" if i else self.owner,
                    self.rule.name,
                    reason,
                )
                for i, hold in enumerate(self.rule.holds)
            ]
        for placement in self._placements:
            placement.stand()

    def _time_is_over(self) -> None:
        self._limit = None
        is_over = self.rule.stay is None and self.watch.value is False  # kept only
        self._release("idle" if is_over else "spent", "held at most")

    def _release(self, state: str, why: str) -> None:
        self._forget_timer()
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        self.is_holding = False
        self._true_from = None
        for placement in self._placements:
            placement.leave()
        cooldown = self.rule.decl.cooldown
        if cooldown is not None:
            self._rests[self._rest_key()] = self._clock.now + cooldown.after.seconds
        self._become(state, why)
        if self.rule.stay is not None and self.watch.alive:
            self.watch.turn_to(self.watch_enter)
            self.watch.value = not_a_truth
            self._desk.graph.ask(self.watch)

    def _rest_key(self) -> tuple[str, ...]:
        cooldown = self.rule.decl.cooldown
        return tuple(self.env[w.text].id for w in cooldown.per) if cooldown is not None else ()

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._timer = self._desk.graph.timers.at(self._clock.now + seconds, action)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _reason(self) -> str:
        return self.rule.title if self.watch.value is not None else "its condition is unknown"

    def _become(self, state: str, why: str = "") -> None:
        before, self.state = self.state, state
        if before != state:
            self.since, self.why = self._clock.now, why
            read = tuple([(c.id, c.on_record) for c in islice(self.watch.cells, MOST_READ)])
            self._desk.emit(RuleChanged(self.rule.name, self.label, before, state, why, read))

    def close(self) -> None:
        """Leaving the set is a release."""
        self._forget_timer()
        if self.is_holding:
            self._release("idle", "it left the rule's set")
        for placement in self._placements:
            placement.close()
        self.watch.close()
        for watch in self._histories:
            watch.close()


def _with_histories(enter: Typed, stay: Typed | None) -> list[Typed]:
    """Return the parts with a past of their own: a window must not begin when its turn comes."""
    parts: list[Typed] = []
    queue = [enter, stay] if stay is not None else []
    while queue:
        node = queue.pop()
        if isinstance(node, HOISTED):
            if not isinstance(node, Global):
                parts.append(node)
        else:
            queue.extend(children(node))
    return parts


def only_kept(value: Any) -> None:
    """Be told a value that is followed for its past alone."""


not_a_truth: Final = object()
"""Stands in a watch that must tell its next value whatever it is."""


class Evaluator:
    """All hold rules.

    Attributes:
        rests: Until when who rests after a release, by rule and key of its cooldown.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._rules: dict[str, tuple[RuleProgram, Instances[HoldInstance]]] = {}
        self.rests: dict[str, dict[tuple[str, ...], float]] = {}

    def start(self, rule: RuleProgram) -> None:
        """Make the rule's instances."""
        self.rests.setdefault(rule.name, {})
        desk = self._desk
        self._rules[rule.name] = (
            rule,
            Instances(
                desk.graph,
                rule.for_each,
                desk.nearby,
                partial(self._instance, rule),
            ),
        )

    def _instance(self, rule: RuleProgram, env: Mapping[str, Entity]) -> HoldInstance:
        return HoldInstance(self._desk, rule, env, self.rests[rule.name])

    def stop(self, name: str) -> None:
        """Release everything that the rule holds."""
        _, instances = self._rules.pop(name)
        instances.close()

    @property
    def names(self) -> Iterable[str]:
        """The names of the rules that are at work here."""
        return self._rules

    def is_running(self, name: str) -> bool:
        """Return whether a rule of that name is at work here."""
        return name in self._rules

    def instances(self, name: str) -> list[HoldInstance]:
        """Return the live instances of a rule."""
        entry = self._rules.get(name)
        found = entry[1].live.values() if entry is not None else ()
        return [i for i in found if isinstance(i, HoldInstance)]

    def instances_of(self, name: str, entity: str) -> list[HoldInstance]:
        """Return the live instances of a rule that an entity is part of."""
        return self._rules[name][1].of(entity) if name in self._rules else []

    @property
    def running(self) -> dict[str, RuleProgram]:
        """The rules that are evaluated, by name."""
        return {name: rule for name, (rule, _) in self._rules.items()}
