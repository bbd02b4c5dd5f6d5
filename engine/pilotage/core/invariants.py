"""What must never be wanted: stands above every level, operators included.

A candidate that an invariant forbids is replaced by the safe value, loudly. The engine is no safety controller: interlocks
live in the local controllers, and hold without us.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from pilotage.core.evaluator import Desk
from pilotage.core.graph import Watch
from pilotage.core.instances import Instances, label
from pilotage.core.store import Cell, Entity
from pilotage.language.program import InvariantProgram
from pilotage.model.quality import Quality


class _Guard:
    """One invariant over some entities, guarding one point."""

    MADE: ClassVar = ("_never", "_value")

    def __init__(
        self, room: Invariants, desk: Desk, program: InvariantProgram, env: Mapping[str, Entity]
    ) -> None:
        self._room = room
        self._desk = desk
        self._program = program
        self._env = env
        self.name = program.name
        self.label = label(env)
        base = desk.graph.base(program.target.base, env)
        self.cell: Cell | None = base.cells[program.target.point] if base is not None else None
        self.remake()
        self._watch = Watch(desk.graph, program.never, env, self._judged)
        self._watch.ask_instead(self._judge)
        if self.cell is not None:
            room.guards.setdefault(self.cell, {})[self] = None
            room.touch(self)

    def remake(self) -> None:
        """Bind the condition to the candidate, and the safe value."""
        graph = self._desk.graph
        self._never = graph.bind(self._program.never, self._env, self._candidate_of)
        self._value = graph.bind(self._program.value, self._env)

    def _judge(self) -> Any:
        return self._never()

    def _judged(self, truth: Any) -> None:
        self._room.touch(self)

    def _candidate_of(self, cell: Cell) -> Cell:
        return self._room.candidate(cell) if cell is self.cell else cell.wanted_cell()

    def forbids(self) -> bool:
        """Judge the candidate that the room has put up."""
        truth = self._watch.value = self._never()
        return self._is_refused(truth)

    def would_forbid(self) -> bool:
        """Judge it without taking note of the answer."""
        return self._is_refused(self._never())

    def _is_refused(self, truth: bool | None) -> bool:
        if truth is None:
            word = self._program.decl.if_unknown
            return word is not None and word.text == "act"
        return bool(truth)

    def safe_value(self) -> Any:
        """Return what replaces a forbidden candidate; while that is unknown, what is safe without us, or the default."""
        value = self._value()
        if value is None and self.cell is not None:
            spec = self.cell.spec
            value = spec.default if spec.on_loss is None else spec.on_loss.value
        return value

    def close(self) -> None:
        self._watch.close()
        if self.cell is not None:
            self._room.guards[self.cell].pop(self, None)
            self._room.touch(self)
            self._room.silent(self)


class Invariants:
    """All invariants.

    Attributes:
        guards: The guards of each point, in order of declaration.
    """

    def __init__(
        self,
        desk: Desk,
        alarm: Callable[[str, str, str], None],
    ) -> None:
        self._desk = desk
        self._alarm = alarm
        self._programs: dict[str, Instances[Any]] = {}
        self._candidates: dict[Cell, Cell] = {}
        self._loud: dict[_Guard, None] = {}
        self.guards: dict[Cell, dict[_Guard, None]] = {}

    def start(self, program: InvariantProgram) -> None:
        """Make the invariant's guards."""
        desk = self._desk
        self._programs[program.name] = Instances(
            desk.graph, program.for_each, desk.nearby, partial(_Guard, self, desk, program)
        )

    def stop(self, name: str) -> None:
        """Guard no longer."""
        self._programs.pop(name).close()

    def candidate(self, cell: Cell) -> Cell:
        """Return the cell in which a candidate stands while it is judged."""
        found = self._candidates.get(cell)
        if found is None:
            found = self._candidates[cell] = Cell(f"candidate({cell.id})", cell.spec, cell.entity)
            found.value = cell.array.candidate if cell.array is not None else cell.spec.default
            found.quality = Quality.GOOD
        return found

    def touch(self, guard: _Guard) -> None:
        """Have the guarded point settled again."""
        if guard.cell is not None:
            self._desk.arbiter.touch(guard.cell)

    def limit(self, cell: Cell, candidate: Any) -> tuple[Any, str]:
        """Return the candidate, or the safe value and the name of the invariant that demands it."""
        guards = self.guards.get(cell)
        if not guards:
            return candidate, ""
        self.candidate(cell).value = candidate
        value, by = candidate, ""
        for guard in guards:
            if guard.forbids():
                self._be_loud(guard)
                if not by:
                    value, by = guard.safe_value(), guard.name
            else:
                self.silent(guard)
        return value, by

    def would_limit(self, cell: Cell, candidate: Any) -> tuple[Any, str]:
        """Return what `limit` would for a candidate that nobody puts up; tells nobody and changes nothing."""
        stands = self.candidate(cell)
        before, stands.value = stands.value, candidate
        try:
            for guard in self.guards.get(cell, ()):
                if guard.would_forbid():
                    return guard.safe_value(), guard.name
        finally:
            stands.value = before
        return candidate, ""

    def _be_loud(self, guard: _Guard) -> None:
        if guard not in self._loud:
            self._loud[guard] = None
            title = guard._program.decl.title
            text = title.in_language("en") if title is not None else guard.name
            self._alarm(f"invariant:{guard.name}", guard.label, text)

    def silent(self, guard: _Guard) -> None:
        """End the alarm of a guard that forbids nothing any more."""
        if guard in self._loud:
            del self._loud[guard]
            self._alarm(f"invariant:{guard.name}", guard.label, "")
