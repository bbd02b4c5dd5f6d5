"""Stories: rules of the form `when` … `do`, whose steps run once, wait, branch and fail one by one.

A run is plain data (frames and a wait), so that it can be written down and taken up again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Final

from pilotage.core.arbiter import Demand
from pilotage.core.city_cells import INCIDENT_POINTS
from pilotage.core.evaluator import MOST_READ, Desk
from pilotage.core.graph import Env, Watch
from pilotage.core.instances import Instances, label
from pilotage.core.open_calls import BAD_ANSWERS, OpenCalls
from pilotage.core.patterns import Listener
from pilotage.core.schedule import Schedule
from pilotage.core.store import Cell, Entity, EntitySet, can_be
from pilotage.core.timers import Timer
from pilotage.language import typed
from pilotage.language.program import RuleProgram, SetProgram, StepProgram, TextProgram
from pilotage.language.typed import Typed, walk
from pilotage.model import sentences
from pilotage.model.messages import CallOut, CallResult, IncidentChanged, Noted, Notice, RunChanged
from pilotage.model.values import Base, ValueType, as_plain, format_value

CALL_ANSWER_S: Final = 30.0
CALL_DEADLINE_S: Final = 10.0
MAX_LATE_S: Final = 3_600.0
"""A moment of the day, or a step that waited, is left out when the engine comes back later than this."""
MOST_RUNS: Final = 1_000
"""Runs of one rule at a time, whatever it asks for."""
MOST_INCIDENTS: Final = 500
"""Open incidents of one rule; one that opens more reacts to its own, and the last one is joined instead."""
MOST_DEPTH: Final = 10
"""Runs that start each other at once, one inside the other."""
MOST_BRANCHES: Final = 5_000
"""Runs and branches of one rule at a time."""
MOST_STEPS: Final = 10_000
"""Steps that one run may take without waiting."""


@dataclass(slots=True)
class Frame:
    """A place in a list of steps; with `items` the list is run once per item."""

    steps: tuple[StepProgram, ...]
    index: int = 0
    items: tuple[Mapping[str, Any], ...] = ()
    item: int = 0


@dataclass(slots=True, eq=False)
class Run:
    """One story under way.

    Attributes:
        owner: Rule and instance; demands of `set` steps are kept under it.
        env: Variables.
        is_whole: True for all steps of a rule, False for some that run on their own.
        holds_up: Branches, notices and calls that must end before the run does.
    """

    id: str
    owner: str
    by: str
    instance: str
    env: dict[str, Any]
    frames: list[Frame]
    key: tuple[str, ...] = ()
    waiting: str = ""
    timer: Timer | None = None
    watch: Watch | None = None
    parent: Run | None = None
    blocks_parent: bool = False
    is_whole: bool = False
    holds_up: int = 0
    blocked: int = 0
    ended: bool = False


class StoryInstance:
    """One instance of a story rule: listens, and starts runs."""

    def __init__(
        self,
        stories: Stories,
        desk: Desk,
        schedule: Schedule,
        rule: RuleProgram,
        env: Mapping[str, Entity],
    ) -> None:
        self._stories = stories
        self._desk = desk
        self.rule = rule
        self.env = env
        self.label = label(env)
        self.state = "idle"
        self.since = desk.now
        self._unknown: Timer | None = None
        assert rule.when is not None
        stories.warm(rule.steps, env)
        self._pair = _pair_event(rule.when)
        act = rule.if_unknown == "act"
        self._listener = Listener(
            desk.graph,
            schedule,
            rule.when,
            env,
            self._happened,
            self._doubt if act else None,
            _max_late(rule),
            self._missed,
        )
        if self._pair == "enters" and stories.is_running(rule.name):  # not who was there already
            self._happened()

    def _happened(self) -> None:
        condition = self.rule.condition
        if condition is not None:
            truth = self._desk.interpreter.evaluate(condition, self.env)
            if truth is False or (truth is None and self.rule.if_unknown != "act"):
                return
        self._stories.begin(self.rule, self.env, self.label)

    def _missed(self) -> None:
        self._desk.emit(RunChanged("", self.rule.name, self.label, "missed"))

    def _doubt(self, is_unknown: bool) -> None:
        if self._unknown is not None:
            self._unknown.cancel()
            self._unknown = None
        self.state = "unknown" if is_unknown else "idle"
        if is_unknown:
            after = self.rule.decl.unknown_after
            due = self._desk.now + (after.seconds if after is not None else 0.0)
            self._unknown = self._desk.graph.timers.at(due, self._happened)

    def close(self) -> None:
        """Listen no more; runs that are under way go on."""
        if self._unknown is not None:
            self._unknown.cancel()
        self._listener.close()
        if self._pair == "leaves" and self._stories.is_running(self.rule.name):
            self._happened()


class Stories:
    """All runs, incidents, notices and calls.

    Attributes:
        rests: Until when a rule begins no new run, by rule and key of its cooldown.
        set_plan: Carries out a `plan` step.
        raise_alarm: Carries out an `alarm` step.
        calls: Follows each call to its end.
    """

    def __init__(self, desk: Desk, schedule: Schedule, next_id: Callable[[], str]) -> None:
        self._desk = desk
        self._schedule = schedule
        self._next_id = next_id
        self._rules: dict[str, tuple[RuleProgram, Instances[StoryInstance]]] = {}
        self._runs: dict[str, dict[str, Run]] = {}
        self._queues: dict[str, deque[tuple[dict[str, Any], str]]] = {}
        self._number = 0
        self._notices: dict[str, tuple[Run, Timer]] = {}
        self._calls: dict[str, _PendingCall] = {}
        self.calls = OpenCalls(desk.graph, desk.emit)
        self._ends: dict[str, _StandingSet] = {}
        self.rests: dict[tuple[str, ...], float] = {}
        self._incident_keys: dict[tuple[str, str], Entity] = {}
        self._opened: dict[str, list[Entity]] = {}
        self._depth = 0
        self.set_plan: Callable[[str, int, str, str], None] = lambda plan, level, by, reason: None
        self.raise_alarm: Callable[[str, str, str, str], None] = (
            lambda name, owner, severity, text: None
        )

    # ── rules ────────────────────────────────────────────────────────────────────────────────

    def start(self, rule: RuleProgram) -> None:
        """Make the rule's instances; it counts as running once they are all there."""
        desk = self._desk
        self._rules[rule.name] = (
            rule,
            Instances(
                desk.graph,
                rule.for_each,
                desk.nearby,
                partial(StoryInstance, self, desk, self._schedule, rule),
            ),
        )

    def stop(self, name: str) -> None:
        """Listen no more to a rule's event; its runs end here, its demands with them."""
        _, instances = self._rules.pop(name)
        instances.close()
        for run in list(self._runs.get(name, {}).values()):
            self._end(run, "stopped")
        for standing in [s for s in self._ends.values() if s.by == name]:
            standing.end("the rule was taken out")

    @property
    def names(self) -> Iterable[str]:
        """The names of the rules that are at work here."""
        return self._rules

    def is_running(self, name: str) -> bool:
        """Return whether a rule of that name is at work here."""
        return name in self._rules

    def instances(self, name: str) -> list[StoryInstance]:
        """Return the live instances of a rule."""
        entry = self._rules.get(name)
        return (
            [i for i in entry[1].live.values() if isinstance(i, StoryInstance)]
            if entry is not None
            else []
        )

    def instances_of(self, name: str, entity: str) -> list[StoryInstance]:
        """Return the live instances of a rule that an entity is part of."""
        return self._rules[name][1].of(entity) if name in self._rules else []

    @property
    def running(self) -> dict[str, RuleProgram]:
        """The story rules, by name."""
        return {name: rule for name, (rule, _) in self._rules.items()}

    def runs(self, name: str) -> list[Run]:
        """Return the runs of a rule that are under way."""
        return [r for r in self._runs.get(name, {}).values() if r.parent is None]

    def warm(self, steps: tuple[StepProgram, ...], env: Env) -> None:
        """Begin the histories that the steps will ask for: a window cannot start when it is needed."""
        for step in steps:
            for value in step.parts.values():
                for node in _expressions(value):
                    for part in walk(node):
                        if isinstance(part, (typed.Window, typed.Pattern)):
                            self._desk.graph.hoist(part, env)
            for branch in step.branches.values():
                self.warm(branch, env)

    def resume(self) -> None:
        """Go on after the engine was gone: each run resumes, begins anew or is given up, as its rule says."""
        for run in self.all_runs():
            rule = self._rules[run.by][0] if run.by in self._rules else None
            if run.ended or rule is None:
                continue
            asked = rule.decl.if_interrupted
            word = asked.text if asked is not None else "resume"
            if word == "resume" and self._desk.now - _first_due(self._family(run)) > _max_late(
                rule
            ):
                word = "abandon"
            if word == "abandon":
                text = sentences.INTERRUPTED.say(run=run.owner)
                self.raise_alarm("interrupted", run.owner, "medium", text)
                self._end(run, "abandoned")
            elif word == "restart" and run.is_whole:
                self._end(run, "restarted")
                self.begin(rule, run.env, run.instance)

    def all_runs(self) -> list[Run]:
        """Return every run that is under way, branches left out."""
        runs = (run for runs in self._runs.values() for run in runs.values())
        return [run for run in runs if run.parent is None]

    def _family(self, run: Run) -> list[Run]:
        """Return a run and its branches."""
        children = [r for r in self._runs.get(run.by, {}).values() if r.parent is run]
        return [run, *(each for child in children for each in self._family(child))]

    # ── beginning and ending ─────────────────────────────────────────────────────────────────

    def begin(self, rule: RuleProgram, env: Mapping[str, Entity], instance: str) -> None:
        """Start a run, or do what `runs` says when one is under way."""
        runs = rule.decl.runs
        mode = runs.mode if runs is not None else "one"
        per = runs.per if runs is not None else ()
        if self.rests.get(_rest_key(rule, env), 0.0) > self._desk.now:
            return
        key = tuple(env[w.text].id for w in per) if per else tuple(e.id for e in env.values())
        mine = [r for r in self.runs(rule.name) if r.key == key]
        count = runs.count if runs is not None else 1
        if mode == "parallel":
            if len(mine) >= min(count, MOST_RUNS):
                return
        elif mine and mode == "restart":
            for run in mine:
                self._end(run, "restarted")
        elif mine and mode == "queue":
            queue = self._queues.setdefault(f"{rule.name}:{key}", deque())
            if len(queue) < count:
                queue.append((dict(env), instance))
            return
        elif mine:
            return
        owner = f"{rule.name}[{instance}]" if instance else rule.name
        self._start(
            Run(
                self._new_id(rule.name),
                owner,
                rule.name,
                instance,
                dict(env),
                [Frame(rule.steps)],
                key,
                is_whole=True,
            )
        )

    def run_steps(self, owner: str, by: str, steps: tuple[StepProgram, ...], env: Env) -> None:
        """Run some steps on their own: `on_failure`, `on_enter`, `else`."""
        instance = label(env)
        self._start(Run(self._new_id(by), owner, by, instance, dict(env), [Frame(steps)]))

    def _new_id(self, name: str) -> str:
        self._number += 1
        return f"{name}/{self._number}"

    def _start(self, run: Run) -> None:
        if self._depth >= MOST_DEPTH:
            text = sentences.OVER_AND_OVER.say(rule=run.by)
            self.raise_alarm("loop", run.by, "critical", text)
            return
        self._depth += 1
        try:
            self._begin_run(run)
        finally:
            self._depth -= 1

    def _begin_run(self, run: Run) -> None:
        self._runs.setdefault(run.by, {})[run.id] = run
        read = self._values_read(run)
        self._desk.emit(RunChanged(run.id, run.by, run.instance, "started", read=read))
        self._advance(run)

    def _values_read(self, run: Run) -> tuple[tuple[str, Any], ...]:
        """Return what the rule's event and condition read, with the values now."""
        rule = self._rules[run.by][0] if run.by in self._rules else None
        if rule is None or rule.when is None:
            return ()
        asked = [part.operand for part in walk(rule.when) if isinstance(part, typed.Event)]
        if rule.condition is not None:
            asked.append(rule.condition)
        cells = {c: None for node in asked for c in self._desk.graph.sources(node, run.env)[0]}
        return tuple((c.id, c.on_record) for c in islice(cells, MOST_READ))

    def _end(self, run: Run, state: str) -> None:
        if run.ended:
            return
        run.ended = True
        self._stop_waiting(run)
        for child in [r for r in self._runs.get(run.by, {}).values() if r.parent is run]:
            self._end(child, state)
        self._runs[run.by].pop(run.id, None)
        self._desk.emit(RunChanged(run.id, run.by, run.instance, state))
        parent = run.parent
        if parent is not None and not parent.ended:
            parent.holds_up -= 1
            if run.blocks_parent:
                parent.blocked -= 1
            if not parent.blocked and parent.waiting == "branches":
                parent.waiting = ""
                self._advance(parent)
            else:
                self._maybe_end(parent)
        elif parent is None:
            self._rest(run)
            self._next_in_queue(run)

    def _maybe_end(self, run: Run) -> None:
        if not run.frames and not run.waiting and not run.holds_up:
            self._end(run, "ended")

    def _rest(self, run: Run) -> None:
        """Begin the rule's cooldown: no new run of the same key until it is over."""
        entry = self._rules.get(run.by)
        cooldown = entry[0].decl.cooldown if entry is not None else None
        if entry is not None and cooldown is not None:
            self.rests[_rest_key(entry[0], run.env)] = self._desk.now + cooldown.after.seconds

    def _next_in_queue(self, run: Run) -> None:
        entry = self._rules.get(run.by)
        queue = self._queues.get(f"{run.by}:{run.key}")
        if entry is not None and queue:
            env, instance = queue.popleft()
            self.begin(entry[0], env, instance)

    # ── advancing ────────────────────────────────────────────────────────────────────────────

    def _advance(self, run: Run) -> None:
        taken = 0
        while run.frames and not run.waiting and not run.ended:
            frame = run.frames[-1]
            if frame.items and frame.index == 0:
                run.env.update(frame.items[frame.item])
            if frame.index < len(frame.steps):
                step = frame.steps[frame.index]
                frame.index += 1
                taken += 1
                if taken > MOST_STEPS:
                    self._end(run, "stopped: too many steps")
                    return
                getattr(self, f"_do_{step.how}")(run, step)
            elif frame.items and frame.item + 1 < len(frame.items):
                frame.item += 1
                frame.index = 0
            else:
                run.frames.remove(frame)
        self._maybe_end(run)

    def _value(self, run: Run, program: Any) -> Any:
        if isinstance(program, SetProgram):
            return EntitySet(self._desk.interpreter.members(program, run.env))
        return self._desk.interpreter.value_or_text(program, run.env)

    def _text(self, run: Run, program: TextProgram) -> str:
        return self._desk.interpreter.text(program, run.env)

    def _branch(
        self, run: Run, steps: tuple[StepProgram, ...], env: Mapping[str, Any], *, blocks: bool
    ) -> None:
        """Run steps beside the run; it cannot end before them, and waits for those that block."""
        if not steps:
            return
        if len(self._runs.get(run.by, ())) >= MOST_BRANCHES:
            text = sentences.BRANCHES.say(rule=run.by, count=MOST_BRANCHES)
            self.raise_alarm("loop", run.by, "critical", text)
            return
        run.holds_up += 1
        run.blocked += blocks
        child = Run(
            self._new_id(run.by), run.owner, run.by, run.instance, dict(env), [Frame(steps)], run.key,
            parent=run, blocks_parent=blocks,
        )  # fmt: skip
        self._runs.setdefault(run.by, {})[child.id] = child
        self._advance(child)

    def _wait(self, run: Run, what: str, until: float | None, then: Callable[[], None]) -> None:
        run.waiting = what
        if until is not None:
            run.timer = self._desk.graph.timers.at(until, then)

    def _stop_waiting(self, run: Run) -> None:
        run.waiting = ""
        if run.timer is not None:
            run.timer.cancel()
            run.timer = None
        if run.watch is not None:
            run.watch.close()
            run.watch = None

    def _resume(self, run: Run) -> None:
        if not run.ended:
            self._stop_waiting(run)
            self._advance(run)

    # ── steps ────────────────────────────────────────────────────────────────────────────────

    def _do_set(self, run: Run, step: StepProgram) -> None:
        parts = step.parts
        target: typed.Read = parts["target"]
        entity = self._desk.interpreter.evaluate(target.base, run.env)
        if isinstance(entity, EntitySet):
            entity = entity[0] if entity else None
        value = self._value(run, parts["value"])
        if not isinstance(entity, Entity) or value is None:
            self._failed(run, step, "its point or value is unknown")
            return
        cell = entity.cells[target.point]
        env = dict(run.env)
        owner = f"{run.owner}@{step.at.line}"
        until = self._desk.now + parts["at_most"] if parts["at_most"] is not None else None
        demand = Demand(
            owner, run.by, parts["level"], value, step_reason(run), self._desk.now, until,
            parts["ramp_up_s"], parts["ramp_down_s"], parts["expect"],
            on_failure=partial(self._set_failed, f"{owner}!", run.by, step.branches["on_failure"], env)
            if step.branches.get("on_failure")
            else None,
        )  # fmt: skip
        self._desk.arbiter.place(cell, demand)
        if parts["until"] is not None:
            key = f"{cell.id}:{owner}"
            if key in self._ends:
                self._ends.pop(key).close()
            standing = _StandingSet(self, self._desk, key, cell, owner, run.by)
            self._ends[key] = standing
            standing.watch(parts["until"], env)

    def _set_failed(
        self, owner: str, by: str, steps: tuple[StepProgram, ...], env: Env, why: str
    ) -> None:
        self.run_steps(owner, by, steps, env)

    def forget_set(self, key: str) -> None:
        """A `set` step's demand came to its end."""
        self._ends.pop(key, None)

    def _failed(self, run: Run, step: StepProgram, why: str) -> None:
        self._desk.emit(Noted(run.owner, f"{step.how} in line {step.at.line} failed: {why}"))
        self._branch(run, step.branches.get("on_failure", ()), run.env, blocks=False)

    def _do_call(self, run: Run, step: StepProgram) -> None:
        arguments: dict[str, Any] = {}
        required = {p.name for p in step.parts["spec"].parameters if p.required}
        types: dict[str, ValueType] = {p.name: p.type for p in step.parts["spec"].parameters}
        for name, program in step.parts["arguments"]:
            value = self._value(run, program)
            if isinstance(value, EntitySet) and types[name].base is Base.ENTITY:
                value = value[0] if value else None
            if value is None and name in required:
                self._failed(run, step, f"{name} is unknown")
                return
            if value is not None and not can_be(types[name], value, self._desk.graph.entities):
                shown = format_value(value, types[name])
                self._failed(run, step, f"{name} is {shown}, and must be {types[name]}")
                return
            arguments[name] = as_plain(value)
        self._send_call(run, step, arguments, attempt=1)

    def _send_call(
        self, run: Run, step: StepProgram, arguments: dict[str, Any], attempt: int
    ) -> None:
        now, spec = self._desk.now, step.parts["spec"]
        call = CallOut(
            self._next_id(),
            step.parts["name"],
            arguments,
            now + CALL_DEADLINE_S,
            run.owner,
            attempt,
            spec.pulse,
        )
        self._desk.emit(call)
        expect = step.parts["expect"]
        if not expect.status and expect.within_s is None:
            self.calls.begin(call)
            return
        within = expect.within_s if expect.within_s is not None else CALL_ANSWER_S
        self.calls.begin(call, expect.status or spec.statuses[:1], within)
        pending = _PendingCall(run, step, arguments, attempt)
        self._calls[call.id] = pending
        self._wait(run, "call", now + within, partial(self._call_unanswered, call.id))

    def not_sent(self, id_: str) -> None:
        """A call never left, or was refused: do not wait for its answer."""
        self._call_unanswered(id_)

    def _call_unanswered(self, id_: str) -> None:
        pending = self._calls.pop(id_, None)
        if pending is None or pending.run.ended:
            return
        run, step = pending.run, pending.step
        self._stop_waiting(run)
        retries = 0 if step.parts["spec"].pulse else step.parts["expect"].retry or 0
        if pending.attempt <= retries:
            self._send_call(run, step, pending.arguments, pending.attempt + 1)
            return
        self._failed(run, step, f"{step.parts['name']} was not answered as expected")
        self._advance(run)

    def call_result(self, result: CallResult) -> None:
        """Take a service's answer."""
        self.calls.answered(result)
        pending = self._calls.get(result.call)
        if pending is None:
            return
        wanted = pending.step.parts["expect"].status or pending.step.parts["spec"].statuses[:1]
        if result.status in wanted:
            del self._calls[result.call]
            self._resume(pending.run)
        elif result.status in BAD_ANSWERS:
            self._call_unanswered(result.call)

    def _do_notify(self, run: Run, step: StepProgram) -> None:
        parts = step.parts
        link = self._value(run, parts["link"]) if parts["link"] is not None else None
        by = self._desk.now + parts["within"] if parts["within"] is not None else None
        notice = Notice(
            self._next_id(),
            parts["to"],
            self._text(run, parts["text"]),
            str(as_plain(link) or ""),
            run.owner,
            by,
        )
        self._desk.emit(notice)
        if by is None:
            return
        run.holds_up += 1
        unseen = partial(self._not_seen, notice.id, run, step.branches["otherwise"], dict(run.env))
        self._notices[notice.id] = (run, self._desk.graph.timers.at(by, unseen))

    def _not_seen(self, notice: str, run: Run, steps: tuple[StepProgram, ...], env: Env) -> None:
        if self._notices.pop(notice, None) is not None and not run.ended:
            self._branch(run, steps, env, blocks=False)
            run.holds_up -= 1
            self._maybe_end(run)

    def acknowledge(self, notice: str) -> bool:
        """Take note that somebody has seen a notice; False when nobody waits for that."""
        entry = self._notices.pop(notice, None)
        if entry is None:
            return False
        run, timer = entry
        timer.cancel()
        run.holds_up -= 1
        self._maybe_end(run)
        return True

    @property
    def unacknowledged(self) -> list[str]:
        """Ids of the notices that somebody should acknowledge."""
        return list(self._notices)

    def _do_incident(self, run: Run, step: StepProgram) -> None:
        parts = step.parts
        key_value = self._value(run, parts["one_per"]) if parts["one_per"] is not None else None
        key = (parts["type"], str(as_plain(key_value)))
        title = self._text(run, parts["title"])
        incident = self._incident_keys.get(key) if key_value is not None else None
        if incident is not None and incident.cells["closed"].value is False:
            self._desk.emit(
                IncidentChanged(
                    incident.id, "joined", parts["type"], parts["severity"], title, run.by
                )
            )
        else:
            incident = self._flood_of(run) or self._open_incident(run, parts, title)
            if key_value is not None:
                self._incident_keys[key] = incident
        if parts["as"]:
            run.env[parts["as"]] = incident

    def _flood_of(self, run: Run) -> Entity | None:
        """Return the rule's last incident when it has opened far too many, and tell of it."""
        opened = self._opened.setdefault(run.by, [])
        if len(opened) >= MOST_INCIDENTS:
            opened[:] = [i for i in opened if i.cells["closed"].value is not True]
        if len(opened) < MOST_INCIDENTS:
            return None
        text = sentences.INCIDENTS.say(rule=run.by, count=len(opened))
        self.raise_alarm("loop", run.by, "critical", text)
        return opened[-1]

    def _open_incident(self, run: Run, parts: Mapping[str, Any], title: str) -> Entity:
        location = self._value(run, parts["location"]) if parts["location"] is not None else None
        incident = self.open_incident(parts["type"], parts["severity"], title, run.by, location)
        self._opened.setdefault(run.by, []).append(incident)
        return incident

    def open_incident(
        self, type_: str, severity: str, title: str, by: str, location: Any = None
    ) -> Entity:
        """Open an incident, for a rule or for a person."""
        graph = self._desk.graph
        incident = Entity(self._incident_id(), "incident", title, points=INCIDENT_POINTS)
        graph.add_entity(incident)
        values = {
            "closed": False, "type": type_, "severity": severity, "title": title,
            "opened_at": self._desk.now, "location": location,
        }  # fmt: skip
        for point, value in values.items():
            if value is not None:
                graph.put(incident.cells[point], value)
        self._desk.emit(IncidentChanged(incident.id, "opened", type_, severity, title, by))
        return incident

    def _incident_id(self) -> str:
        """Return the next number of the year, as the city's clock has it: `incident-2026-0042`; none is used twice.

        Closed incidents stay, so that the highest number is always known.
        """
        graph = self._desk.graph
        start = f"incident-{self._schedule.local(self._desk.now).year:04d}-"
        ids = (entity.id for entity in graph.entities_of("incident"))
        used = [int(id_.removeprefix(start)) for id_ in ids if id_.startswith(start)]
        return f"{start}{max(used, default=0) + 1:04d}"

    def _do_note(self, run: Run, step: StepProgram) -> None:
        text = self._text(run, step.parts["text"])
        on = self._value(run, step.parts["on"]) if step.parts["on"] is not None else None
        if isinstance(on, Entity):
            self._desk.emit(IncidentChanged(on.id, "note", text=text, by=run.by))
        else:
            self._desk.emit(Noted(run.owner, text))

    def _do_let(self, run: Run, step: StepProgram) -> None:
        for name, program in step.parts["names"]:
            run.env[name] = self._value(run, program)

    def _do_if(self, run: Run, step: StepProgram) -> None:
        truth = self._value(run, step.parts["condition"])
        steps = step.branches["then"] if truth is True else step.branches["otherwise"]
        if steps:
            run.frames.append(Frame(steps))

    def _do_for_each(self, run: Run, step: StepProgram) -> None:
        items = self._items(run, step.parts["each"], dict(run.env))
        if not items:
            return
        if not step.parts["together"]:
            run.frames.append(Frame(step.branches["do"], items=tuple(items)))
            return
        run.waiting = "starting"  # a branch that ends at once must not set the run going before all have begun
        for item in items:
            self._branch(run, step.branches["do"], {**run.env, **item}, blocks=True)
        run.waiting = "branches" if run.blocked else ""

    def _items(
        self, run: Run, each: tuple[SetProgram, ...], env: dict[str, Any]
    ) -> list[dict[str, Any]]:
        if not each:
            return [{}]
        found: list[dict[str, Any]] = []
        for entity in self._desk.interpreter.members(each[0], env):
            own = {each[0].variable: entity}
            found.extend({**own, **rest} for rest in self._items(run, each[1:], {**env, **own}))
        return found

    def _do_wait(self, run: Run, step: StepProgram) -> None:
        until = self._desk.now + step.parts["seconds"]
        self._wait(run, "wait", until, partial(self._resume, run))

    def _do_wait_for(self, run: Run, step: StepProgram) -> None:
        timeout = step.parts["timeout"]
        condition, env = step.parts["condition"], run.env
        watch = Watch(self._desk.graph, condition, env, partial(self._may_resume, run))
        if watch.evaluate() is True:
            watch.close()
            return
        run.watch = watch
        until = self._desk.now + timeout if timeout is not None else None
        self._wait(run, "wait_for", until, partial(self._give_up, run, step.branches["otherwise"]))

    def _may_resume(self, run: Run, truth: Any) -> None:
        if truth is True:
            self._resume(run)

    def _give_up(self, run: Run, otherwise: tuple[StepProgram, ...]) -> None:
        self._stop_waiting(run)
        if otherwise:
            run.frames.append(Frame(otherwise))
        self._advance(run)

    def _do_plan(self, run: Run, step: StepProgram) -> None:
        level = self._value(run, step.parts["level"])
        reason = (
            self._text(run, step.parts["reason"]) if step.parts["reason"] is not None else run.by
        )
        if level is not None:
            self.set_plan(step.parts["plan"], int(level), run.by, reason)

    def _do_alarm(self, run: Run, step: StepProgram) -> None:
        parts = step.parts
        self.raise_alarm(
            parts["name"], run.owner, parts["severity"], self._text(run, parts["text"])
        )


@dataclass(slots=True)
class _PendingCall:
    run: Run
    step: StepProgram
    arguments: dict[str, Any]
    attempt: int


@dataclass(slots=True, eq=False)
class _StandingSet:
    """A `set` step's demand that waits for its `until`."""

    stories: Stories
    desk: Desk
    key: str
    cell: Cell
    owner: str
    by: str
    watches: list[Watch] = field(default_factory=list)

    def watch(self, until: Typed, env: Env) -> None:
        """Follow the condition that ends the demand."""
        watch = Watch(self.desk.graph, until, env, self._judge)
        self.watches.append(watch)
        self.desk.graph.ask(watch)

    def _judge(self, truth: Any) -> None:
        if truth is True:
            self.end("its `until` is true")

    def end(self, why: str) -> None:
        """Give the demand up."""
        self.close()
        self.stories.forget_set(self.key)
        self.desk.arbiter.relinquish(self.cell, self.owner, why)

    def close(self) -> None:
        """Follow no longer."""
        for watch in self.watches:
            watch.close()


def _rest_key(rule: RuleProgram, env: Env) -> tuple[str, ...]:
    cooldown = rule.decl.cooldown
    return (
        (rule.name, *(env[w.text].id for w in cooldown.per))
        if cooldown is not None
        else (rule.name,)
    )


def _max_late(rule: RuleProgram) -> float:
    """Return how late, in seconds, a moment or a step of a rule may still count."""
    late = rule.decl.max_late
    return MAX_LATE_S if late is None else late.seconds


def _first_due(runs: list[Run]) -> float:
    """Return when the first of some runs wants to go on; never, when none waits for a time."""
    return min((r.timer.due for r in runs if r.timer is not None), default=math.inf)


def step_reason(run: Run) -> str:
    """Return why a story's demand stands."""
    return f"{run.by}, run {run.id.rpartition('/')[2]}"


def _pair_event(when: Typed) -> str:
    """Return `enters` or `leaves` when a story's event is that of its moving pair."""
    for node in walk(when):
        if isinstance(node, typed.PairEvent):
            return "leaves" if node.leaves else "enters"
    return ""


def _expressions(value: Any) -> list[Typed]:
    """Return the typed expressions in a part of a step."""
    if isinstance(value, Typed):
        return [value]
    if isinstance(value, TextProgram):
        return [p for p in value.parts if isinstance(p, Typed)] + [n for _, n in value.names]
    if isinstance(value, tuple):
        return [node for item in value for node in _expressions(item)]
    return []
