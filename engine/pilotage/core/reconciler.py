"""From wanted to reported: send, verify by reading back, retry, and say so when equipment does not follow.

A change made at the device itself is shown as a local override and never fought. What comes back after silence with
another value is no such change: it is told again what is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from pilotage.core.arbiter import PriorityArray
from pilotage.core.graph import Graph, Watch
from pilotage.core.store import Cell, Entity
from pilotage.core.timers import Timer
from pilotage.language import typed
from pilotage.language.program import ExpectProgram
from pilotage.model.diagnostics import NOWHERE
from pilotage.model.messages import Command, CommandResult, Followed, Outcome, Request
from pilotage.model.values import Base, as_plain, format_value, reference

ANSWER_S: Final = 5.0
"""Time for a device to follow, besides its travel time and the ramp."""
RETRIES: Final = 2
PATIENCE_S: Final = 300.0
"""After giving up, the wanted value is sent again this often, silently."""
DEADLINE_S: Final = 5.0
"""A command is never sent later than this after its decision."""
REFUSALS: Final = frozenset({"rejected", "timeout", "cooldown", "stale", "refused", "failed"})


class Pursuit:
    """One commandable point on its way from wanted to reported.

    `is_open` while the last command has not come to its end, `is_loud` while its alarm stands. `state` is `idle`, `sent`, `done`, `failed`, `local` (changed at the device) or `unheard` (its report was lost).
    """

    __slots__ = (
        "array", "attempt", "cell", "command", "data", "echo", "is_loud", "is_open", "sent_at", "state", "status",
        "timer", "to",
    )  # fmt: skip

    def __init__(self, array: PriorityArray, status: Cell | None) -> None:
        self.array = array
        self.cell = array.cell
        self.status = status
        self.state = "idle"
        self.to: Any = None
        self.data: Mapping[str, Any] = {}
        self.command = ""
        self.is_open = self.is_loud = False
        self.attempt = 0
        self.sent_at = 0.0
        self.timer: Timer | None = None
        self.echo: Watch | None = None

    @property
    def expect(self) -> ExpectProgram:
        """How the winner wants it verified."""
        winner = self.array.winner
        return winner.expect if winner is not None else ExpectProgram()


class Reconciler:
    """Pursues every target.

    Attributes:
        on_failure: Told of a point that does not follow (with a text), and of the end of it (an empty text).
        passed_on: Says of a group point that its members are told instead of it.
    """

    def __init__(
        self, graph: Graph, emit: Callable[[Any], None], next_id: Callable[[], str]
    ) -> None:
        self._graph = graph
        self._emit = emit
        self._next_id = next_id
        self._pursuits: dict[Cell, Pursuit] = {}
        self._by_command: dict[str, Pursuit] = {}
        self._readings: dict[tuple[str, str], typed.Read] = {}
        self.on_failure: Callable[[Cell, str], None] = lambda cell, text: None
        self.passed_on: Callable[[Cell], bool] = lambda cell: False

    def pursuit(self, cell: Cell) -> Pursuit | None:
        """Return how far a point is, or None when it was never wanted."""
        return self._pursuits.get(cell)

    def pursue(self, array: PriorityArray) -> None:
        """Take a new target."""
        cell = array.cell
        pursuit = self._pursuits.get(cell)
        if pursuit is None:
            pursuit = self._pursuits[cell] = self._begin(array)
        if cell.spec.group is not None and self.passed_on(cell):
            return
        if cell.spec.is_request:
            self._pursue_request(pursuit)
            return
        if pursuit.attempt and array.wanted == pursuit.to and pursuit.state in ("sent", "done"):
            return
        pursuit.to = array.wanted
        if self._has_arrived(pursuit) and pursuit.state != "sent":
            self._arrived(pursuit)
            return
        pursuit.attempt = 0
        if array.winner is not None and array.winner.told:
            self._watch_only(pursuit)
        else:
            self._send(pursuit)

    def _watch_only(self, pursuit: Pursuit) -> None:
        """The group's gateway tells the device: read back, and tell it directly only when it does not follow."""
        self._end(pursuit, "superseded")
        pursuit.state, pursuit.command = "sent", ""
        self._wait(pursuit, self._patience(pursuit))

    def _begin(self, array: PriorityArray) -> Pursuit:
        cell = array.cell
        status = (
            cell.entity.cells.get(f"{cell.spec.name}.status")
            if cell.spec.is_request and cell.entity
            else None
        )
        pursuit = Pursuit(array, status)
        heard = status or (cell if cell.spec.access.is_reported else None)
        if heard is not None and heard.entity is not None:
            pursuit.echo = Watch(
                self._graph,
                self._reading_of(heard),
                {"x": heard.entity},
                partial(self._reported, pursuit),
            )
            pursuit.echo.value = heard.value
        return pursuit

    def _reading_of(self, cell: Cell) -> typed.Read:
        """Return the expression that reads this point of an entity called `x`; one per kind, compiled once."""
        kind = cell.entity.kind if cell.entity is not None else ""
        read = self._readings.get((kind, cell.spec.name))
        if read is None:
            entity = typed.Var(NOWHERE, reference(kind), "x")
            read = typed.Read(NOWHERE, cell.spec.type, entity, cell.spec.name, cell.spec)
            self._readings[(kind, cell.spec.name)] = read
        return read

    # ── values ───────────────────────────────────────────────────────────────────────────────

    def _send(self, pursuit: Pursuit) -> None:
        array, cell, now = pursuit.array, pursuit.cell, self._graph.clock.now
        ramp = self._ramp(array, cell.value)
        pursuit.attempt += 1
        pursuit.state = "sent"
        self._issue(
            pursuit,
            Command(
                self._next_id(),
                cell.id,
                as_plain(pursuit.to),
                now + DEADLINE_S,
                array.owner,
                ramp_s=ramp,
                attempt=pursuit.attempt,
            ),
        )
        if pursuit.to is None:
            self._give_back(pursuit)
            return
        self._wait(pursuit, self._patience(pursuit))

    def _patience(self, pursuit: Pursuit) -> float:
        """Return how long the device may take: to answer, to move, and to change little by little."""
        within, cell = pursuit.expect.within_s, pursuit.cell
        ramp = self._ramp(pursuit.array, cell.value)
        return (ANSWER_S if within is None else within) + cell.spec.travel_s + ramp

    def _give_back(self, pursuit: Pursuit) -> None:
        """The device does as it likes from now on: there is nothing to verify."""
        if pursuit.timer is not None:
            pursuit.timer.cancel()
        pursuit.state = "idle"
        self._be_silent(pursuit)
        self._end(pursuit, "done", "given back to the device")

    def _end(self, pursuit: Pursuit, outcome: str, detail: str = "") -> None:
        """Say what became of the last command, unless that has been said."""
        self._by_command.pop(pursuit.command, None)
        if pursuit.is_open:
            pursuit.is_open = False
            self._emit(Followed(pursuit.cell.id, pursuit.command, outcome, detail))

    def _issue(self, pursuit: Pursuit, order: Command | Request) -> None:
        self._end(pursuit, "superseded")
        pursuit.command = order.id
        pursuit.sent_at = self._graph.clock.now
        pursuit.is_open = True
        self._by_command[order.id] = pursuit
        self._emit(order)

    @staticmethod
    def _ramp(array: PriorityArray, reported: Any) -> float:
        if array.cell.spec.type.base is not Base.NUMBER or array.wanted is None:
            return 0.0
        rising = reported is None or array.wanted > reported
        return array.ramp_up_s if rising else array.ramp_down_s

    def _wait(self, pursuit: Pursuit, seconds: float) -> None:
        if pursuit.timer is not None:
            pursuit.timer.cancel()
        pursuit.timer = self._graph.timers.at(
            self._graph.clock.now + seconds, partial(self._time_is_over, pursuit)
        )

    def _has_arrived(self, pursuit: Pursuit) -> bool:
        cell, to = pursuit.cell, pursuit.to
        if cell.spec.is_request:
            return self._is_answered(pursuit)
        if cell.value is None or to is None:
            return False
        if isinstance(to, float) and not isinstance(to, bool):
            return bool(abs(cell.value - to) <= max(cell.spec.tolerance, 1e-9))
        return bool(cell.value == to)

    def _reported(self, pursuit: Pursuit, value: Any) -> None:
        self._heard(pursuit)

    def _heard(self, pursuit: Pursuit) -> None:
        """Compare what the device reports with what is wanted of it."""
        if pursuit.to is None:
            return
        if self._has_arrived(pursuit):
            self._arrived(pursuit)
        elif pursuit.cell.spec.is_request:
            if pursuit.state == "sent" and self._is_refused(pursuit):
                self._time_is_over(pursuit)
        elif pursuit.cell.value is None:
            if pursuit.state in ("done", "local"):
                pursuit.state = "unheard"
        elif pursuit.state == "unheard":
            pursuit.attempt = 0
            self._send(pursuit)
        elif pursuit.state == "done" and not self.passed_on(pursuit.cell):
            pursuit.state = "local"
            shown = format_value(pursuit.cell.value, pursuit.cell.spec.type)
            self._emit(Followed(pursuit.cell.id, "", "local", f"the device itself says {shown}"))

    @staticmethod
    def _is_refused(pursuit: Pursuit) -> bool:
        status = pursuit.status
        if status is None or status.time is None:
            return False
        return status.value in REFUSALS and status.time >= pursuit.sent_at

    def _arrived(self, pursuit: Pursuit) -> None:
        if pursuit.state == "done":
            return
        if pursuit.timer is not None:
            pursuit.timer.cancel()
        was, pursuit.state = pursuit.state, "done"
        self._be_silent(pursuit)
        if was == "local" and not pursuit.is_open:
            self._emit(Followed(pursuit.cell.id, "", "done", "the device itself is back"))
        self._end(pursuit, "done")

    def _be_silent(self, pursuit: Pursuit) -> None:
        if pursuit.is_loud:
            pursuit.is_loud = False
            self.on_failure(pursuit.cell, "")

    def _time_is_over(self, pursuit: Pursuit) -> None:
        if self._has_arrived(pursuit):
            self._arrived(pursuit)
            return
        if pursuit.state == "failed":  # patience: tell it once more, silently
            pursuit.attempt = 0
            self._again(pursuit)
            pursuit.state = "failed"
            self._wait(pursuit, PATIENCE_S)
            return
        retry = pursuit.expect.retry
        if pursuit.attempt <= (RETRIES if retry is None else retry):
            self._again(pursuit)
            return
        self._give_up(pursuit)

    def _again(self, pursuit: Pursuit) -> None:
        if pursuit.cell.spec.is_request:
            if pursuit.to is not None:
                self._send_request(pursuit, "request")
        else:
            self._send(pursuit)

    def _give_up(self, pursuit: Pursuit) -> None:
        cell = pursuit.cell
        pursuit.state = "failed"
        shown = format_value(pursuit.to, cell.spec.type)
        reported = pursuit.status.value if pursuit.status is not None else cell.value
        text = f"{cell.id} was told {shown} {pursuit.attempt} times and says {format_value(reported, cell.spec.type)}"
        self._end(pursuit, "failed", text)
        pursuit.is_loud = True
        self.on_failure(cell, text)
        winner = pursuit.array.winner
        if winner is not None and winner.on_failure is not None:
            winner.on_failure(text)
        self._wait(pursuit, PATIENCE_S)

    # ── held requests ────────────────────────────────────────────────────────────────────────

    def _pursue_request(self, pursuit: Pursuit) -> None:
        array = pursuit.array
        wanted = array.wanted
        data = dict(array.winner.data) if array.winner is not None and wanted is not None else {}
        if wanted is pursuit.to:
            if wanted is not None and _differs(pursuit.data, data, pursuit.cell.spec.deadband):
                pursuit.data = data
                self._emit_request(pursuit, "update")
            return
        if pursuit.to is not None:
            self._emit_request(pursuit, "cancel")
            if pursuit.timer is not None:
                pursuit.timer.cancel()
            self._be_silent(pursuit)
            self._end(pursuit, "superseded")
        pursuit.to, pursuit.data, pursuit.attempt, pursuit.state = wanted, data, 0, "idle"
        if wanted is not None:
            self._send_request(pursuit, "request")

    def _send_request(self, pursuit: Pursuit, action: str) -> None:
        pursuit.attempt += 1
        pursuit.state = "sent"
        self._emit_request(pursuit, action)
        within = pursuit.expect.within_s
        self._wait(pursuit, ANSWER_S if within is None else within)

    def _emit_request(self, pursuit: Pursuit, action: str) -> None:
        entity = pursuit.to.id if isinstance(pursuit.to, Entity) else str(pursuit.to)
        now = self._graph.clock.now
        order = Request(
            self._next_id(),
            pursuit.cell.id,
            action,
            entity,
            {k: as_plain(v) for k, v in pursuit.data.items()},
            now + DEADLINE_S,
            pursuit.array.owner,
            attempt=max(pursuit.attempt, 1),
        )
        if action == "request":
            self._issue(pursuit, order)
        else:
            self._emit(order)

    def _is_answered(self, pursuit: Pursuit) -> bool:
        status = pursuit.status
        if (
            status is None
            or status.value is None
            or status.time is None
            or status.time < pursuit.sent_at
        ):
            return False
        accepted = pursuit.expect.status
        return status.value in accepted if accepted else status.value not in REFUSALS

    # ── what adapters know ───────────────────────────────────────────────────────────────────

    def result(self, result: CommandResult) -> None:
        """Take what an adapter knows of a command."""
        pursuit = self._by_command.get(result.command)
        if pursuit is None or pursuit.state not in ("sent", "failed"):
            return
        if pursuit.echo is None and result.outcome is Outcome.ACKNOWLEDGED:
            self._arrived(pursuit)

    def reconnected(self, points: tuple[str, ...]) -> None:
        """Tell these points again what is wanted, unless they already do it."""
        cells = {p.cell.id: p for p in self._pursuits.values()}
        for point in points:
            pursuit = cells.get(point)
            if pursuit is None or pursuit.to is None or self.passed_on(pursuit.cell):
                continue
            if not self._has_arrived(pursuit) and pursuit.state != "local":
                pursuit.attempt = 0
                self._again(pursuit)


def _differs(
    before: Mapping[str, Any], after: Mapping[str, Any], deadband: Mapping[str, float]
) -> bool:
    if before.keys() != after.keys():
        return True
    for key, value in after.items():
        old = before[key]
        if (
            isinstance(value, float)
            and isinstance(old, float)
            and abs(value - old) <= deadband.get(key, 0.0)
        ):
            continue
        if value != old:
            return True
    return False
