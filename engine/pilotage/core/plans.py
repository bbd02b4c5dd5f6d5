"""Plans: levels that conditions, people, the calendar or a story raise and lower; what they hold stands with them.

A higher level includes the lower ones. A plan climbs at once (after its `for`), and steps down one level at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from pilotage.core.evaluator import Desk, Placement
from pilotage.core.graph import Watch
from pilotage.core.interpreter import shown
from pilotage.core.sets import SetNode
from pilotage.core.store import Cell, Entity, EntitySet, PointTable, to_value
from pilotage.core.timers import Timer
from pilotage.language import typed
from pilotage.language.program import LevelProgram, PlanProgram, SetProgram
from pilotage.language.typed import Typed
from pilotage.language.wording import wording
from pilotage.model import sentences
from pilotage.model.diagnostics import NOWHERE
from pilotage.model.messages import (
    CHANGED_SINCE,
    Noted,
    PlanAnswer,
    PlanAsks,
    PlanChanged,
    PlanOrder,
)
from pilotage.model.values import Base, set_of

MANUAL_EXPIRES_S: Final = 12 * 3600.0
MANUAL_AT_MOST_S: Final = 7 * 86_400.0
"""The farthest end that a person may give a level."""
CONFIRM_WITHIN_S: Final = 15 * 60.0
UNDO_WITHIN_S: Final = 30.0
"""An order may be taken back for so long."""
SECOND_WITHIN_S: Final = 60.0
"""Where a plan asks for two people, the second must come within this time."""
DONE: Final = "done"
NOT_BEGUN: Final = "-"
"""Where a step of a list stands that is not open."""
_STEP: Final = re.compile(r"checklist:(\d{1,6}):(\d{1,6})", re.ASCII)


class Plan:
    """One plan at work.

    Attributes:
        level: What stands now.
        automatic: What its conditions ask for.
        manual: Level that a person set, or None.
        manual_until: When that ends.
        by: Who set the level that stands: a person, the plan's own name for its conditions, or a story.
        proposed: Level that waits for a person's yes, or None.
        first: Order of one person that waits for a second one, or None.
        undo_until: Until when the last order may be taken back, or None.
        changed_parameters: Names of the parameters that a person has set.
    """

    def __init__(self, room: Plans, desk: Desk, program: PlanProgram) -> None:
        self._room = room
        self._desk = desk
        self.program = program
        self.entity = self._its_entity()
        self.level = 0
        self.automatic = 0
        self.manual: int | None = None
        self.manual_until: float | None = None
        self.proposed: int | None = None
        self.first: PlanOrder | None = None
        self.undo_until: float | None = None
        self._undone: tuple[int | None, float | None, dict[str, Any]] = (None, None, {})
        self.since: float | None = None
        self.by = ""
        self.checklist: dict[tuple[int, int], float] = {}
        self._declined = 0
        self._armed: dict[int, bool] = {}
        self._reasons: dict[int, str] = {}
        self._timers: dict[str, Timer] = {}
        self._placements: dict[int, list[Placement]] = {}
        self._watches: list[Watch] = []
        self._defaults: dict[str, SetNode] = {}
        self.changed_parameters: dict[str, None] = {}
        self._show("", duration=0.0)

    def _its_entity(self) -> Entity:
        """Return the entity that rules speak of; a plan that takes another's place takes over its points too."""
        program, graph = self.program, self._desk.graph
        entity = graph.entities.get(program.entity)
        if entity is None:
            points = PointTable(program.kind.points)
            entity = Entity(program.entity, program.kind.name, program.name, points=points)
            graph.add_entity(entity)
        for spec in program.kind.points:
            known = entity.cells.find(spec.name)
            if known is None or known.spec.type != spec.type:
                entity.cells[spec.name] = Cell(f"{entity.id}.{spec.name}", spec, entity)
        return entity

    @property
    def env(self) -> dict[str, Entity]:
        """The variable `plan` of its expressions."""
        return {"plan": self.entity}

    @property
    def standing(self) -> str:
        """Where the plan stands, as one word that differs when anything that people decide about it has changed."""
        parts = (self.level, self.manual, self.manual_until, self.proposed)
        numbers = ["-" if part is None else f"{part:.0f}" for part in parts]
        first = [] if self.first is None else [f"{self.first.level}", self.first.person]
        return ".".join((*numbers, *first))

    def start(self) -> None:
        """Set the parameters to their defaults and follow the conditions."""
        for parameter in self.program.parameters:
            self._set_default(parameter.name, parameter.default)
        for level in self.program.levels:
            if level.enter is not None:
                self._follow(level.level, level.enter)
        if self.program.calendar is not None:
            self._follow(1, self.program.calendar)

    def _follow(self, level: int, condition: Typed) -> None:
        watch = Watch(
            self._desk.graph,
            condition,
            self.env,
            partial(self._judge, level, condition),
        )
        self._watches.append(watch)
        self._desk.graph.ask(watch)

    def _set_default(self, name: str, default: Typed | SetProgram) -> None:
        graph = self._desk.graph
        cell = self.entity.cells[name]
        if isinstance(default, SetProgram) and default.source is None:
            everyone = typed.AllOf(
                NOWHERE, set_of(default.kind), default.kind, default.variable, default.where
            )
            live = self._defaults[name] = SetNode(graph, everyone, {}, cell)
            graph.mark(live)
            return
        node = default.source if isinstance(default, SetProgram) else default
        if node is not None:
            graph.put(cell, self._desk.interpreter.value_or_text(node, self.env))

    # ── conditions ───────────────────────────────────────────────────────────────────────────

    def _judge(self, level: int, condition: Typed, truth: bool | None) -> None:
        activation = self.program.decl.activation
        if truth is None:
            asked = (
                activation.if_unknown.text
                if activation is not None and activation.if_unknown
                else "release"
            )
            if asked == "hold":
                self._pause(level)
                return
            truth = asked == "act"
        self._forget(f"arm{level}")
        if not truth:
            self._armed[level] = False
            self._aim("")
            return
        wait = (
            activation.for_.seconds
            if activation is not None and activation.for_ is not None
            else 0.0
        )
        self._later(f"arm{level}", wait, partial(self._arm, level, condition))

    def _arm(self, level: int, condition: Typed) -> None:
        self._armed[level] = True
        self._reasons[level] = self._why(condition)
        self._aim(self._reasons[level])

    def _pause(self, level: int) -> None:
        """While a condition is unknown neither its `for` nor the way down goes on: lost is neither true nor false."""
        self._forget(f"arm{level}")
        if level >= self.automatic:
            self._forget("down")

    def _why(self, condition: Typed) -> str:
        """Return the clause that is true, with its value: what `plan.reason` shows."""
        show = self._desk.interpreter
        clauses = (
            condition.operands
            if isinstance(condition, typed.Logic) and condition.op == "or"
            else (condition,)
        )
        for clause in clauses:
            if show.evaluate(clause, self.env) is True:
                if isinstance(clause, typed.Comparison) and clause.left.type.base is Base.NUMBER:
                    value = shown(show.evaluate(clause.left, self.env), clause.left.type)
                    return f"{wording(clause)} ({value})"
                return wording(clause)
        return wording(condition)

    def _aim(self, reason: str) -> None:
        """Move the automatic level towards what the conditions ask for."""
        target = max((level for level, armed in self._armed.items() if armed), default=0)
        self._forget_proposal(target)
        if target > self.automatic:
            self._forget("down")
            self._climb(target, reason)
        elif target < self.automatic:
            activation = self.program.decl.activation
            wait = (
                activation.step_down_after.seconds
                if activation is not None and activation.step_down_after
                else 0.0
            )
            if "down" not in self._timers:
                self._later("down", wait, self._step_down)
        else:
            self._forget("down")
            self._room.alarm("plan-blocked", self.program.name, "", "")

    def try_again(self) -> None:
        """Whoever was in the way has ended."""
        target = max((level for level, armed in self._armed.items() if armed), default=0)
        if target > self.automatic:
            self._aim(self._reasons.get(target, ""))

    def _climb(self, target: int, reason: str) -> None:
        activation = self.program.decl.activation
        confirm = activation.confirm if activation is not None else None
        if confirm is not None and target >= confirm.from_level and self._declined < target:
            self._propose(target, reason)
            target = min(target, max(self.automatic, confirm.from_level - 1))
        elif confirm is not None and target >= confirm.from_level:
            target = min(target, max(self.automatic, confirm.from_level - 1))
        if target > self.automatic:
            self._set_automatic(target, reason)

    def _step_down(self) -> None:
        self._timers.pop("down", None)
        self._set_automatic(self.automatic - 1, "its conditions have ended")
        self._declined = 0
        self._aim("")

    def _set_automatic(self, level: int, reason: str) -> None:
        if self._is_blocked(level):
            return
        self.automatic = level
        if self.manual is None:
            self._set_level(level, reason, self.program.name)

    def _is_blocked(self, level: int) -> bool:
        """Return whether another plan of the group is in the way, and say so."""
        name = self.program.name
        blocker = self._room.blocker(self) if level > 0 else None
        text = sentences.BLOCKED.say(plan=name, other=blocker) if blocker is not None else ""
        self._room.alarm("plan-blocked", name, "high", text)
        return blocker is not None

    # ── proposals ────────────────────────────────────────────────────────────────────────────

    def _propose(self, level: int, reason: str) -> None:
        if self.proposed is not None and self.proposed >= level:
            return
        activation = self.program.decl.activation
        confirm = activation.confirm if activation is not None else None
        within = confirm.within.seconds if confirm is not None else CONFIRM_WITHIN_S
        self.proposed = level
        by = self._desk.now + within
        to = tuple(w.text for w in confirm.by) if confirm is not None else ()
        self._desk.emit(
            PlanAsks(self.program.name, "confirm", f"level {level} is proposed: {reason}", to, by)
        )
        self._later("confirm", within, self._unanswered)

    def _unanswered(self) -> None:
        activation = self.program.decl.activation
        confirm = activation.confirm if activation is not None else None
        otherwise = confirm.otherwise.text if confirm is not None else "escalate"
        level = self.proposed or 0
        if otherwise == "activate":
            self._accept("nobody answered in time")
        elif otherwise == "escalate":
            self._room.alarm(
                "plan-proposal",
                self.program.name,
                "high",
                sentences.PROPOSAL.say(level=level, plan=self.program.name),
            )
        else:
            self._declined, self.proposed = level, None

    def _accept(self, reason: str) -> None:
        level, self.proposed = self.proposed or 0, None
        self._forget("confirm")
        self._room.alarm("plan-proposal", self.program.name, "", "")
        self._set_automatic(level, reason)

    def _forget_proposal(self, target: int) -> None:
        if self.proposed is not None and self.proposed > target:
            self.proposed = None
            self._forget("confirm")
            self._room.alarm("plan-proposal", self.program.name, "", "")

    def answer(self, answer: PlanAnswer) -> str:
        """Take a person's answer; return why not, or nothing."""
        step = _step_of(answer.question)
        if answer.seen and answer.seen != (self.standing if step is None else self.step(*step)):
            return f"{self.program.name} {CHANGED_SINCE}"
        if answer.question == "confirm":
            if self.proposed is None:
                return "nothing is proposed"
            activation = self.program.decl.activation
            allowed = (
                activation.confirm.by
                if activation is not None and activation.confirm is not None
                else ()
            )
            if allowed and answer.role and answer.role not in [w.text for w in allowed]:
                return f"only {', '.join(w.text for w in allowed)} may answer"
            if answer.yes:
                self._accept(f"confirmed by {answer.person}")
            else:
                self._declined, self.proposed = self.proposed, None
                self._forget("confirm")
                self._room.alarm("plan-proposal", self.program.name, "", "")
            return ""
        if answer.question == "second":
            return self._second(answer)
        if answer.question == "review":
            self._room.alarm("plan-review", self.program.name, "", "")
            self._plan_review()
            return ""
        if step is None or self.step(*step) == NOT_BEGUN:
            return f'nobody asked "{answer.question}"'
        return self._ticked(step, yes=answer.yes)

    def _ticked(self, step: tuple[int, int], *, yes: bool) -> str:
        """Tick a step of a list off; return why not, or nothing."""
        if not yes:
            return "a step is ticked off or left open: there is no other answer"
        if step not in self.checklist:
            return "the step is ticked off already"
        self._tick_off(*step)
        return ""

    def step(self, level: int, index: int) -> str:
        """Return where a step of a list stands, as one word: until when it is due, or that it is done or not begun.

        A step of a level that is begun again is due at another time, so that a tick meant for the first is none for the second.
        """
        due = self.checklist.get((level, index))
        if due is not None:
            return f"{due:.3f}"
        known = next((each for each in self.program.levels if each.level == level), None)
        is_step = known is not None and index < len(known.checklist)
        return DONE if is_step and self.level >= level else NOT_BEGUN

    # ── orders ───────────────────────────────────────────────────────────────────────────────

    def order(self, order: PlanOrder) -> str:
        """Carry out a person's order; return why not, or nothing."""
        why = self._why_not(order)
        if why:
            return why
        if order.undo:
            return self._undo(order)
        values: dict[str, Any] = {}
        for name, raw in (order.parameters or {}).items():  # all of them, or none
            values[name], why = self._parameter(name, raw)
            if why:
                return why
        if self._needs_second(order):
            self._ask_second(order)
            return ""
        self._carry_out(order, values, order.person)
        return ""

    def _why_not(self, order: PlanOrder) -> str:
        activation = self.program.decl.activation
        operators = [w.text for w in activation.operators] if activation is not None else []
        if operators and order.role and order.role not in operators:
            return f"only {', '.join(operators)} may change {self.program.name}"
        if order.seen and order.seen != self.standing:
            return f"{self.program.name} {CHANGED_SINCE}"
        if order.undo:
            return ""
        highest = max((level.level for level in self.program.levels), default=0)
        if order.level is not None and not 0 <= order.level <= highest:
            return f"levels go from 0 to {highest}"
        if order.level is not None and not order.reason:
            return "a reason is needed"
        now = self._desk.now
        if order.until is not None and not now < order.until <= now + MANUAL_AT_MOST_S:
            return f"an end lies ahead, at most {MANUAL_AT_MOST_S / 86_400.0:g} d from now"
        blocker = self._room.blocker(self) if order.level else None
        if blocker is not None:
            return f"{blocker} is active, and at most one plan of the group may be: end it first"
        return ""

    def _carry_out(self, order: PlanOrder, values: Mapping[str, Any], by: str) -> None:
        self._keep_for_undo(values)
        for name, value in values.items():
            self._set_parameter(name, value)
        if order.level is None and not order.parameters:
            self._end_manual("given back to its conditions", by)
        elif order.level is not None:
            self._take_by_hand(order.level, order.reason, by, order.until)

    # ── taking back ──────────────────────────────────────────────────────────────────────────

    def _keep_for_undo(self, values: Mapping[str, Any]) -> None:
        """Remember where the plan stood before an order."""
        before = {name: self.entity.cells[name].value for name in values}
        self._undone = (self.manual, self.manual_until, before)
        self.undo_until = self._desk.now + UNDO_WITHIN_S
        self._later("undo", UNDO_WITHIN_S, self._forget_undo)

    def _forget_undo(self) -> None:
        self._forget("undo")
        self.undo_until, self._undone = None, (None, None, {})

    def _undo(self, order: PlanOrder) -> str:
        if self.undo_until is None:
            return f"an order may be taken back within {UNDO_WITHIN_S:g} s; set the level that you want"
        manual, until, values = self._undone
        blocker = self._room.blocker(self) if manual else None
        if blocker is not None:
            return f"{blocker} is active now, and at most one plan of the group may be"
        self._forget_undo()
        for name, value in values.items():
            self._set_parameter(name, value)
        if manual is not None and until is not None and until > self._desk.now:
            self._take_by_hand(manual, "taken back", order.person, until)
        else:
            self._end_manual("taken back", order.person)
        return ""

    # ── two people ───────────────────────────────────────────────────────────────────────────

    def _needs_second(self, order: PlanOrder) -> bool:
        """Return whether two people must want it: a level above the one that stands, where the plan says so."""
        activation = self.program.decl.activation
        asks = activation is not None and activation.two_people
        return asks and order.level is not None and order.level > self.level

    def _ask_second(self, order: PlanOrder) -> None:
        activation = self.program.decl.activation
        to = tuple(w.text for w in activation.operators) if activation is not None else ()
        self.first = order
        text = f"level {order.level} is wanted: {order.reason}"
        by = self._desk.now + SECOND_WITHIN_S
        self._desk.emit(PlanAsks(self.program.name, "second", text, to, by))
        self._later("second", SECOND_WITHIN_S, self._no_second)

    def _no_second(self) -> None:
        self.first = None
        self._forget("second")
        why = f"nobody joined within {SECOND_WITHIN_S:g} s: the order is forgotten"
        self._desk.emit(Noted(f"plan:{self.program.name}", why))

    def _second(self, answer: PlanAnswer) -> str:
        first = self.first
        if first is None:
            return "nobody waits for a second person"
        if answer.yes and answer.person.casefold() == first.person.casefold():
            return "the second person must be another one"
        activation = self.program.decl.activation
        operators = [w.text for w in activation.operators] if activation is not None else []
        if operators and answer.role and answer.role not in operators:
            return f"only {', '.join(operators)} may change {self.program.name}"
        why = self._why_not(replace(first, seen="")) if answer.yes else ""
        self.first = None
        self._forget("second")
        if not answer.yes or why:
            return why
        values = {n: self._parameter(n, raw)[0] for n, raw in (first.parameters or {}).items()}
        self._carry_out(first, values, first.person)
        return ""

    # ── levels by hand ───────────────────────────────────────────────────────────────────────

    def set_by_hand(self, level: int, reason: str, person: str) -> str:
        """Set a level until it expires; return why not, or nothing."""
        blocker = self._room.blocker(self) if level > 0 else None
        if blocker is not None:
            return f"{blocker} is active, and at most one plan of the group may be: end it first"
        self._take_by_hand(level, reason, person, None)
        return ""

    def _take_by_hand(self, level: int, reason: str, person: str, until: float | None) -> None:
        expires = self.manual_expires_s if until is None else until - self._desk.now
        self._keep_manual(level, expires)
        self._set_level(level, reason, person)

    @property
    def manual_expires_s(self) -> float:
        """How long a level stands that was set by hand, unless the order says otherwise."""
        activation = self.program.decl.activation
        if activation is not None and activation.manual_expires:
            return activation.manual_expires.seconds
        return MANUAL_EXPIRES_S

    def _keep_manual(self, level: int, expires_s: float) -> None:
        self.manual = level
        self.manual_until = self._desk.now + expires_s
        end = partial(self._end_manual, "the manual level has expired", "the engine")
        self._later("manual", expires_s, end)

    def _end_manual(self, reason: str, by: str) -> None:
        if self.manual is None:
            return
        self.manual = self.manual_until = None
        self._forget("manual")
        if self._is_blocked(self.automatic):
            self.automatic = 0
        self._set_level(self.automatic, reason, by)

    def _parameter(self, name: str, raw: Any) -> tuple[Any, str]:
        """Return a parameter's value, and why it cannot be that."""
        parameter = next((p for p in self.program.parameters if p.name == name), None)
        if parameter is None:
            return None, f'{self.program.name} has no parameter "{name}"'
        value = to_value(self.entity.cells[name].spec, raw, self._desk.graph.entities)
        if value is None:
            return None, f"{raw!r} is no {parameter.type}"
        low, high = parameter.low, parameter.high
        if isinstance(value, float) and not (
            (low is None or value >= low) and (high is None or value <= high)
        ):
            both = low is not None and high is not None
            return (
                None,
                f"{name} goes from {low:g} to {high:g}" if both else f"{name} is out of range",
            )
        if isinstance(value, EntitySet) and len(value) != len(raw):
            return None, "some of these entities do not exist"
        return value, ""

    def take_parameter(self, name: str, raw: Any) -> None:
        """Set a parameter to what it was before the engine was made anew; one that does not fit keeps its default."""
        value, why = self._parameter(name, raw)
        if not why:
            self._set_parameter(name, value)

    def take_up(
        self,
        automatic: int,
        manual: int | None,
        manual_until: float | None,
        since: float | None,
        reason: str,
        by: str = "",
    ) -> None:
        """Stand where the plan stood before the engine was made anew; its conditions take it down again."""
        self.automatic = max(self.automatic, automatic)
        if manual is not None and manual_until is not None and manual_until > self._desk.now:
            self._keep_manual(manual, manual_until - self._desk.now)
        level = self.automatic if self.manual is None else self.manual
        self._set_level(level, reason, "the engine")
        self.since = since if level else None
        self.by = by if level else ""
        self._aim(reason)

    def _set_parameter(self, name: str, value: Any) -> None:
        self.changed_parameters[name] = None
        node = self._defaults.pop(name, None)
        if node is not None:
            node.close()
        self._desk.graph.put(self.entity.cells[name], value)

    # ── levels ───────────────────────────────────────────────────────────────────────────────

    def _set_level(self, level: int, reason: str, by: str) -> None:
        before = self.level
        if level == before:
            self._show(reason)
            return
        if before == 0:
            self.since = self._desk.now
        self.level, self.by = level, by if level else ""
        self._show(reason)
        self._desk.emit(PlanChanged(self.program.name, before, level, reason, by))
        for program in self.program.levels:
            if before < program.level <= level:
                self._enter(program)
        for program in reversed(self.program.levels):
            if level < program.level <= before:
                self._leave(program)
        if level and not before:
            self._plan_review()
            self._minute()
        if not level:
            self._forget("review")
            self._forget("minute")
            self.since = None
            self._room.ended(self)

    def placed(self, level: int) -> Iterator[tuple[str, Cell]]:
        """Yield the owner and the point of each demand that stands at a level."""
        for placement in self._placements.get(level, ()):
            yield from placement.placed()

    def _enter(self, program: LevelProgram) -> None:
        reason = f"{self.program.name} level {program.level} ({program.name})"
        owner = f"plan:{self.program.name}"
        self._placements[program.level] = [
            Placement(
                self._desk,
                hold,
                self.env,
                f"{owner}/{program.level}.{i}",
                self.program.name,
                reason,
                program.level,
            )
            for i, hold in enumerate(program.holds)
        ]
        for placement in self._placements[program.level]:
            placement.stand()
        for name in program.enable:
            self._room.enable(name, True)
        for index, (text, by, within) in enumerate(program.checklist):
            due = self._desk.now + within
            self.checklist[(program.level, index)] = due
            question = f"checklist:{program.level}:{index}"
            shown_text = self._desk.interpreter.text(text, self.env)
            self._desk.emit(PlanAsks(self.program.name, question, shown_text, (by,), due))
            self._later(question, within, self._overdue(question, f"{shown_text} ({by})"))
        if program.on_enter:
            self._desk.run_steps(owner, self.program.name, program.on_enter, self.env)

    def _overdue(self, question: str, text: str) -> Callable[[], None]:
        instance = f"{self.program.name}:{question}"
        said = sentences.OVERDUE.say(step=text)
        return partial(self._room.alarm, "checklist", instance, "high", said)

    def _tick_off(self, level: int, index: int) -> None:
        del self.checklist[(level, index)]
        question = f"checklist:{level}:{index}"
        self._forget(question)
        self._room.alarm("checklist", f"{self.program.name}:{question}", "", "")

    def _leave(self, program: LevelProgram) -> None:
        for placement in self._placements.pop(program.level, []):
            placement.close()
        for name in program.enable:
            self._room.enable(name, False)
        for level, index in [k for k in self.checklist if k[0] == program.level]:
            self._tick_off(level, index)
        if program.on_leave:
            self._desk.run_steps(
                f"plan:{self.program.name}", self.program.name, program.on_leave, self.env
            )

    def _plan_review(self) -> None:
        activation = self.program.decl.activation
        if activation is None or activation.review_every is None:
            return
        every = activation.review_every.seconds
        to = tuple(w.text for w in activation.operators)
        self._later("review", every, partial(self._ask_for_review, to, every))

    def _ask_for_review(self, to: tuple[str, ...], every: float) -> None:
        name = self.program.name
        text = sentences.REVIEW.say(plan=name, level=self.level)
        self._desk.emit(PlanAsks(name, "review", text, to, self._desk.now + every))
        self._room.alarm("plan-review", name, "medium", text)
        self._plan_review()

    def _minute(self) -> None:
        self._show(None)
        self._later("minute", 60.0, self._minute)

    def _show(self, reason: str | None, duration: float | None = None) -> None:
        """Write the plan's points."""
        graph, cells = self._desk.graph, self.entity.cells
        name = next((p.name for p in self.program.levels if p.level == self.level), "off")
        values: dict[str, Any] = {
            "level": float(self.level), "level_name": name, "active": self.level > 0, "manual": self.manual is not None,
        }  # fmt: skip
        if reason is not None:
            values["reason"] = reason
        if self.since is not None:
            values["duration"] = self._desk.now - self.since
        elif duration is not None:
            values["duration"] = duration
        for point, value in values.items():
            graph.put(cells[point], value)

    def due(self, what: str) -> float | None:
        """Return when something is due (`confirm`, `second`, `review`), or None."""
        timer = self._timers.get(what)
        return None if timer is None else timer.due

    # ── timers ───────────────────────────────────────────────────────────────────────────────

    def _later(self, key: str, seconds: float, action: Callable[[], None]) -> None:
        self._forget(key)
        if seconds <= 0:
            action()
            return
        self._timers[key] = self._desk.graph.timers.at(self._desk.now + seconds, action)

    def _forget(self, key: str) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """End the plan without its farewell."""
        for watch in self._watches:
            watch.close()
        for placements in self._placements.values():
            for placement in placements:
                placement.close()
        for key in list(self._timers):
            self._forget(key)
        for node in self._defaults.values():
            node.close()
        for key_of_item in list(self.checklist):
            self._tick_off(*key_of_item)
        for name in ("plan-blocked", "plan-proposal", "plan-review"):
            self._room.alarm(name, self.program.name, "", "")
        self.level, self.since = 0, None
        self._show("", duration=0.0)


def _step_of(question: str) -> tuple[int, int] | None:
    """Return level and index of a step that somebody answers, None for every other question."""
    found = _STEP.fullmatch(question)
    return None if found is None else (int(found[1]), int(found[2]))


class Plans:
    """All plans.

    Attributes:
        enable: Turns a rule on or off.
        alarm: Raises one of the engine's alarms (name, instance, severity, text), or ends it (empty text).
    """

    def __init__(
        self,
        desk: Desk,
        enable: Callable[[str, bool], None],
        alarm: Callable[[str, str, str, str], None],
    ) -> None:
        self._desk = desk
        self.enable = enable
        self.alarm = alarm
        self.all: dict[str, Plan] = {}

    def create(self, program: PlanProgram) -> None:
        """Make a plan's entity, so that expressions can speak of it."""
        self.all[program.name] = Plan(self, self._desk, program)

    def start(self, name: str) -> None:
        """Follow a plan's conditions."""
        self.all[name].start()

    def stop(self, name: str) -> None:
        """End a plan."""
        self.all.pop(name).close()

    def ended(self, plan: Plan) -> None:
        """Let the plans that waited for this one try again."""
        for other in list(self.all.values()):
            if (
                other is not plan
                and plan.program.decl.exclusive_group is not None
                and not plan.level
            ):
                other.try_again()

    def blocker(self, plan: Plan) -> str | None:
        """Return the active plan of the same exclusive group, or None."""
        group = plan.program.decl.exclusive_group
        if group is None:
            return None
        for other in self.all.values():
            theirs = other.program.decl.exclusive_group
            if (
                other is not plan
                and other.level > 0
                and theirs is not None
                and theirs.text == group.text
            ):
                return other.program.name
        return None

    def order(self, order: PlanOrder) -> str:
        """Carry out a person's order; return why not, or nothing."""
        plan = self.all.get(order.plan)
        return f'there is no plan "{order.plan}"' if plan is None else plan.order(order)

    def answer(self, answer: PlanAnswer) -> str:
        """Take a person's answer; return why not, or nothing."""
        plan = self.all.get(answer.plan)
        return f'there is no plan "{answer.plan}"' if plan is None else plan.answer(answer)
