"""From wanted to reported: send, verify by reading back, retry, and say so when equipment does not follow.

A change made at the device itself is shown as a local override and never fought. What comes back after silence with
another value is no such change: it is told again what is wanted. A pulse is told once, whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from pilotage.core.arbiter import PriorityArray
from pilotage.core.graph import Graph, Watch
from pilotage.core.open_calls import OpenCalls
from pilotage.core.open_cancels import OpenCancels
from pilotage.core.paces import LOOP_S, LOOP_TURNS, QUIET_S, Fight, Gate
from pilotage.core.pursuits import NOTHING, PATIENCE_S, Heard, Pursuit
from pilotage.core.store import Cell, Entity, One, to_value
from pilotage.language import typed
from pilotage.model import sentences
from pilotage.model.diagnostics import NOWHERE
from pilotage.model.entities import Rate
from pilotage.model.messages import (
    Command,
    CommandResult,
    ConnectionPaced,
    Followed,
    Outcome,
    Request,
)
from pilotage.model.sentences import RESTARTED
from pilotage.model.values import as_plain, format_value, reference

ANSWER_S: Final = 5.0
"""Time for a device to follow, besides its travel time and the ramp."""
RETRIES: Final = 2
LONGEST_PATIENCE_S: Final = 3_600.0
"""While orders cannot even leave, patience doubles up to this."""
HERD: Final = Rate(1_000, 1.0)
"""What is told again when a connection is back leaves at this pace, where its own `max_rate` does not say less."""


class Reconciler:
    """Pursues every target.

    Attributes:
        calls: The calls of stories that are under way.
        on_failure: Told of a point that does not follow (with a text), and of the end of it (an empty text).
        on_fight: Told of a point that is wanted differently far too often, and of the end of it.
        passed_on: Says of a group point that its members are told instead of it.
        connections: Which connection carries a point's orders, for those that may not carry everything.
        connection_rates: What these connections may carry, by name.
    """

    def __init__(
        self, graph: Graph, emit: Callable[[Any], None], next_id: Callable[[], str]
    ) -> None:
        self._graph = graph
        self._clock = graph.clock
        self._emit = emit
        self._next_id = next_id
        self._pursuits: dict[Cell, Pursuit] = {}
        self._by_command: dict[str, Pursuit] = {}
        self._on_heard = self._heard  # one for all points: each `self.…` makes another
        self._readings: dict[tuple[str, str], typed.Read] = {}
        self._gates: dict[str, Gate] = {}
        self.calls = OpenCalls(graph, emit)
        self._cancels = OpenCancels(graph, emit, next_id)
        self.on_failure: Callable[[Cell, str], None] = lambda cell, text: None
        self.on_fight: Callable[[Cell, str], None] = lambda cell, text: None
        self.passed_on: Callable[[Cell], bool] = lambda cell: False
        self.connections: dict[str, str] = {}
        self.connection_rates: dict[str, Rate] = {}

    def pursuit(self, cell: Cell) -> Pursuit | None:
        """Return how far a point is, or None when it was never wanted."""
        return self._pursuits.get(cell)

    @property
    def pursuits(self) -> tuple[Pursuit, ...]:
        """How far every point is that was ever wanted."""
        return tuple(self._pursuits.values())

    def pursue(self, array: PriorityArray) -> None:
        """Take a new target."""
        cell = array.cell
        pursuit = self._pursuits.get(cell)
        if pursuit is None:
            pursuit = self._pursuits[cell] = self._begin(array)
        if cell.spec.group is not None and self.passed_on(cell):
            return
        if array.wanted != pursuit.to:
            self._count_turn(pursuit)
        if cell.spec.is_request:
            self._pursue_request(pursuit)
        elif cell.spec.pulse:
            self._pursue_pulse(pursuit)
        else:
            self._pursue_value(pursuit)

    def _pursue_value(self, pursuit: Pursuit) -> None:
        array = pursuit.array
        is_told = pursuit.attempt or pursuit.state == "waiting"
        if is_told and array.wanted == pursuit.to and pursuit.state in ("sent", "done", "waiting"):
            return
        pursuit.to = array.wanted
        if pursuit.state == "waiting":
            self._move_up(pursuit)
            return
        if pursuit.has_arrived() and pursuit.state != "sent":
            self._arrived(pursuit)
            return
        self._begin_anew(pursuit)
        if array.winner is not None and array.winner.told:
            self._watch_only(pursuit)
        else:
            self._tell(pursuit)

    @staticmethod
    def _begin_anew(pursuit: Pursuit) -> None:
        pursuit.attempt = 0
        pursuit.given_up = pursuit.rests = False
        pursuit.patience_s = PATIENCE_S

    def _pursue_pulse(self, pursuit: Pursuit) -> None:
        """Send each new want once; its end, the rest, sends nothing and forgets what still waits."""
        wanted = pursuit.array.wanted
        if pursuit.cell.spec.is_rest(wanted):
            pursuit.rests = True
            if pursuit.state == "waiting":
                pursuit.stop_waiting()
                pursuit.state = "idle"
            return
        if wanted == pursuit.to and (not pursuit.rests or pursuit.is_open):
            return
        pursuit.to = wanted
        self._begin_anew(pursuit)
        if pursuit.state != "waiting":
            self._tell(pursuit)

    def _watch_only(self, pursuit: Pursuit) -> None:
        """The group's gateway tells the device: read back, and tell it directly only when it does not follow."""
        self._end(pursuit, "superseded")
        pursuit.state, pursuit.command = "sent", ""
        pursuit.answer, pursuit.sent_at = None, self._clock.now
        self._wait(pursuit, self._patience(pursuit))

    def _begin(self, array: PriorityArray) -> Pursuit:
        cell = array.cell
        status = (
            cell.entity.cells.find(f"{cell.spec.name}.status")
            if cell.spec.is_request and cell.entity
            else None
        )
        pursuit = Pursuit(array, status)
        heard = status or (cell if cell.spec.access.is_reported else None)
        if heard is not None and heard.entity is not None:
            pursuit.echo = Watch(
                self._graph,
                self._reading_of(heard),
                One("x", heard.entity),
                Heard(self._on_heard, pursuit),
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

    # ── when it may be told ──────────────────────────────────────────────────────────────────

    def _tell(self, pursuit: Pursuit, gate: Gate | None = None) -> None:
        """Send what is wanted as soon as the device and its connection may be told."""
        wrong = self._misfit(pursuit)
        if wrong:
            self._give_up(pursuit, "refused", wrong)
            return
        due = pursuit.pace.due(self._clock.now) if pursuit.pace is not None else self._clock.now
        if due > self._clock.now:
            self._hold_back(pursuit, due)
            return
        own = self._gate_of(pursuit.cell.id)
        gate = gate if own is None else own
        if gate is None or gate.passes():
            self._send(pursuit)
            return
        self._end(pursuit, "superseded", "the next order waits for the connection")
        pursuit.stop_waiting()
        pursuit.state = "waiting"
        gate.line_up(pursuit, pursuit.array.level)

    @staticmethod
    def _move_up(pursuit: Pursuit) -> None:
        """Who waits at a gate and became more urgent does not wait behind the others any longer."""
        if pursuit.gate is not None and pursuit.array.level < pursuit.rank:
            pursuit.gate.line_up(pursuit, pursuit.array.level)

    def _misfit(self, pursuit: Pursuit) -> str:
        """Return why a value cannot be sent: the last look before a command is made of it."""
        to, cell = pursuit.to, pursuit.cell
        if to is None or to_value(cell.spec, as_plain(to), self._graph.entities) is not None:
            return ""
        shown = format_value(to, cell.spec.type)
        return sentences.NO_VALUE.say(point=cell.id, value=shown, type=cell.spec.type)

    def _hold_back(self, pursuit: Pursuit, due: float) -> None:
        """The device has been told often enough: the newest want waits, a pulse not beyond its deadline."""
        if pursuit.cell.spec.pulse and due > self._clock.now + pursuit.cell.spec.deadline_s:
            rate = pursuit.cell.spec.max_rate
            text = sentences.TOO_OFTEN.say(point=pursuit.cell.id, rate=rate)
            self._give_up(pursuit, "expired", text)
            return
        self._end(pursuit, "superseded", "the next order waits for the device's rate")
        pursuit.stop_waiting()
        pursuit.state = "waiting"
        pursuit.timer = self._graph.timers.at(due, partial(self._pace_allows, pursuit))

    def _pace_allows(self, pursuit: Pursuit) -> None:
        """The device may be told again; its connection is asked next."""
        if pursuit.state == "waiting" and not self._is_needless(pursuit):
            pursuit.timer = None
            self._tell(pursuit)

    def _release(self, pursuit: Pursuit) -> bool:
        """Tell who waited at a gate, unless that is no longer needed; return whether it was told."""
        if pursuit.state != "waiting" or self._is_needless(pursuit):
            return False
        due = pursuit.pace.due(self._clock.now) if pursuit.pace is not None else self._clock.now
        if due > self._clock.now:
            self._hold_back(pursuit, due)
            return False
        self._send(pursuit)
        return True

    def _is_needless(self, pursuit: Pursuit) -> bool:
        """Return whether the device has come to what is wanted by itself, and what it was told last does not change that."""
        spec = pursuit.cell.spec
        settled = pursuit.told == pursuit.to or self._clock.now >= pursuit.settles
        if spec.is_request or spec.pulse:
            settled = pursuit.attempt > 0
        if settled and pursuit.has_arrived():
            self._arrived(pursuit)
            return True
        return False

    def _gate_of(self, point: str) -> Gate | None:
        connection = self.connections.get(point) if self.connections else None
        return self._gate(connection, self.connection_rates[connection]) if connection else None

    def _gate(self, name: str, rate: Rate) -> Gate:
        gate = self._gates.get(name)
        if gate is None:
            gate = self._gates[name] = Gate(
                rate, self._graph.timers, self._graph.clock, self._release
            )
        return gate

    # ── who fights ───────────────────────────────────────────────────────────────────────────

    def _count_turn(self, pursuit: Pursuit) -> None:
        """Notice owners who want the point differently in turn, in quick succession."""
        now, before = self._clock.now, pursuit.turned_at
        pursuit.turned_at = now
        if now - before > LOOP_S and pursuit.fight is None:
            return
        fight = pursuit.fight
        if fight is None:
            fight = pursuit.fight = Fight()
            self._graph.timers.at(now + QUIET_S, partial(self._look_at_fight, pursuit, fight))
        many = fight.turn(now, pursuit.by)
        if many and not fight.is_loud:
            fight.is_loud = True
            self.on_fight(
                pursuit.cell,
                sentences.FIGHT.say(
                    who=" and ".join(fight.owners),
                    point=pursuit.cell.id,
                    count=LOOP_TURNS,
                    seconds=f"{LOOP_S:g}",
                ),
            )

    def _look_at_fight(self, pursuit: Pursuit, fight: Fight) -> None:
        """End a fight in which nothing has turned for some time."""
        if self._clock.now - fight.last < QUIET_S:
            self._graph.timers.at(
                fight.last + QUIET_S, partial(self._look_at_fight, pursuit, fight)
            )
            return
        pursuit.fight = None
        if fight.is_loud:
            self.on_fight(pursuit.cell, "")

    # ── values ───────────────────────────────────────────────────────────────────────────────

    def _send(self, pursuit: Pursuit) -> None:
        pursuit.attempt += 1
        if pursuit.pace is not None:
            pursuit.pace.note(self._clock.now)
        if pursuit.cell.spec.is_request:
            request = self._request(pursuit, "request")
            self._cancels.forget(request.point, request.entity)
            self._issue(pursuit, request)
        else:
            self._issue(pursuit, self._command(pursuit))
            if pursuit.to is None:
                self._give_back(pursuit)
                return
        patience_s = self._patience(pursuit)
        pursuit.settles = self._clock.now + patience_s
        self._wait(pursuit, patience_s)

    def _command(self, pursuit: Pursuit) -> Command:
        return Command(
            self._next_id(),
            pursuit.cell.id,
            as_plain(pursuit.to),
            self._clock.now + pursuit.cell.spec.deadline_s,
            pursuit.array.owner,
            pursuit.ramp_s,
            pursuit.attempt,
            pursuit.cell.spec.pulse,
        )

    def _patience(self, pursuit: Pursuit) -> float:
        """Return how long the device may take: to answer, to move, and to change little by little."""
        within, spec = pursuit.expect.within_s, pursuit.cell.spec
        answer_s = ANSWER_S if within is None else within
        return answer_s if spec.is_request else answer_s + spec.travel_s + pursuit.ramp_s

    def _give_back(self, pursuit: Pursuit) -> None:
        """The device does as it likes from now on: there is nothing to verify."""
        pursuit.stop_waiting()
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
        pursuit.state = "failed" if pursuit.given_up else "sent"
        pursuit.command, pursuit.deadline = order.id, order.deadline
        pursuit.sent_at, pursuit.told = self._clock.now, pursuit.to
        pursuit.confirmed_at = 0.0
        pursuit.answer, pursuit.detail = None, ""
        pursuit.is_open = True
        self._by_command[order.id] = pursuit
        self._emit(order)

    def _wait(self, pursuit: Pursuit, seconds: float) -> None:
        self._wait_until(pursuit, self._clock.now + seconds)

    def _wait_until(self, pursuit: Pursuit, due: float) -> None:
        if pursuit.timer is not None:
            pursuit.timer.cancel()
        pursuit.timer = self._graph.timers.at(due, partial(self._time_is_over, pursuit))

    def _heard(self, pursuit: Pursuit) -> None:
        """Compare what the device reports with what is wanted of it."""
        if pursuit.to is None or pursuit.state == "waiting":
            return
        if pursuit.has_arrived():
            self._arrived(pursuit)
        elif pursuit.cell.spec.is_request:
            if pursuit.state == "sent" and pursuit.is_refused():
                self._time_is_over(pursuit)
        elif pursuit.cell.value is None:
            if pursuit.state in ("done", "local"):
                pursuit.state = "unheard"
        elif pursuit.cell.spec.pulse:
            return
        elif pursuit.state == "unheard":
            self._begin_anew(pursuit)
            self._tell(pursuit)
        elif pursuit.state == "done" and not self.passed_on(pursuit.cell):
            pursuit.state = "local"
            shown = format_value(pursuit.cell.value, pursuit.cell.spec.type)
            self._emit(Followed(pursuit.cell.id, "", "local", f"the device itself says {shown}"))

    def _arrived(self, pursuit: Pursuit) -> None:
        if pursuit.state == "done":
            return
        pursuit.stop_waiting()
        was, pursuit.state = pursuit.state, "done"
        pursuit.confirmed_at = self._clock.now
        pursuit.given_up = False
        self._be_silent(pursuit)
        if not pursuit.is_open and was in ("local", "failed"):
            said = "the device itself is back" if was == "local" else "it follows after all"
            self._emit(Followed(pursuit.cell.id, "", "done", said))
        self._end(pursuit, "done")

    def _be_silent(self, pursuit: Pursuit) -> None:
        if pursuit.is_loud:
            pursuit.is_loud = False
            self.on_failure(pursuit.cell, "")

    # ── when it does not follow ──────────────────────────────────────────────────────────────

    def _time_is_over(self, pursuit: Pursuit) -> None:
        """The device had its time, the order could not leave, or patience is over."""
        pursuit.stop_waiting()
        if pursuit.has_arrived():
            self._arrived(pursuit)
        elif pursuit.state == "failed" and not pursuit.is_open:
            self._tell(pursuit)
        elif self._may_repeat(pursuit):
            if pursuit.answer is Outcome.NOT_SENT or pursuit.is_refused():
                self._end(pursuit, *self._verdict(pursuit))
            self._tell(pursuit)
        else:
            self._give_up(pursuit, *self._verdict(pursuit))

    @staticmethod
    def _may_repeat(pursuit: Pursuit) -> bool:
        if pursuit.cell.spec.pulse or pursuit.given_up or pursuit.to is None:
            return False
        retry = pursuit.expect.retry
        return pursuit.attempt <= (RETRIES if retry is None else retry)

    @staticmethod
    def _verdict(pursuit: Pursuit) -> tuple[str, str]:
        """Return how the last command ended, when it is over and the device does not show what is wanted."""
        spec, id_ = pursuit.cell.spec, pursuit.cell.id
        shown, says = (format_value(v, spec.type) for v in (pursuit.to, pursuit.reported.value))
        told = {"point": id_, "value": shown}
        if pursuit.answer is Outcome.NOT_SENT:
            why = pursuit.detail
            cannot = sentences.NOT_TOLD_WHY.say(**told, why=why) if why else ""
            return "expired", cannot or sentences.NOT_TOLD.say(**told)
        if pursuit.answer is Outcome.REFUSED or pursuit.is_refused():
            if pursuit.detail:
                return "refused", sentences.REFUSED.say(**told, why=pursuit.detail)
            return "refused", sentences.REFUSED_SAYS.say(**told, says=says)
        if pursuit.is_heard():
            return "failed", sentences.DIFFERS.say(**told, times=_times(pursuit), says=says)
        return Reconciler._nobody_knows(pursuit)

    @staticmethod
    def _nobody_knows(pursuit: Pursuit) -> tuple[str, str]:
        type_, id_ = pursuit.cell.spec.type, pursuit.cell.id
        told = {"point": id_, "value": format_value(pursuit.to, type_), "times": _times(pursuit)}
        if pursuit.detail:
            return "unknown", sentences.UNKNOWN.say(**told, why=pursuit.detail)
        says = format_value(pursuit.reported.value, type_)
        return "unknown", sentences.UNKNOWN_SAYS.say(**told, says=says)

    def _give_up(self, pursuit: Pursuit, outcome: str, text: str) -> None:
        """The tries are used up: say so once; a set is told again in patience, a pulse never."""
        cell = pursuit.cell
        is_first = not pursuit.given_up
        pursuit.stop_waiting()
        pursuit.state, pursuit.given_up = "failed", True
        self._end(pursuit, outcome, text)
        if not cell.spec.pulse:
            if pursuit.answer is Outcome.NOT_SENT and not is_first:
                pursuit.patience_s = min(2 * pursuit.patience_s, LONGEST_PATIENCE_S)
            since = self._clock.now if is_first else pursuit.sent_at
            self._wait_until(pursuit, max(self._clock.now, since + pursuit.patience_s))
        if is_first:
            pursuit.is_loud = True
            self.on_failure(cell, text)
        winner = pursuit.array.winner
        if is_first and winner is not None and winner.on_failure is not None:
            winner.on_failure(text)

    # ── held requests ────────────────────────────────────────────────────────────────────────

    def _pursue_request(self, pursuit: Pursuit) -> None:
        array = pursuit.array
        wanted = array.wanted
        data: Mapping[str, Any] = NOTHING
        if array.winner is not None and wanted is not None and array.winner.data:
            data = dict(array.winner.data)
        if wanted is pursuit.to:
            if wanted is not None and _differs(pursuit.data, data, pursuit.cell.spec.deadband):
                pursuit.data = data
                if pursuit.attempt:
                    self._emit(self._request(pursuit, "update"))
            return
        if pursuit.to is not None:
            if pursuit.attempt:
                cancel = self._request(pursuit, "cancel")
                self._cancels.begin(cancel)
                self._emit(cancel)
            pursuit.stop_waiting()
            self._be_silent(pursuit)
            self._end(pursuit, "superseded")
        pursuit.to, pursuit.data, pursuit.state = wanted, data, "idle"
        self._begin_anew(pursuit)
        if wanted is not None:
            self._tell(pursuit)

    def _request(self, pursuit: Pursuit, action: str) -> Request:
        entity = pursuit.to.id if isinstance(pursuit.to, Entity) else str(pursuit.to)
        return Request(
            self._next_id(),
            pursuit.cell.id,
            action,
            entity,
            {k: as_plain(v) for k, v in pursuit.data.items()},
            self._clock.now + pursuit.cell.spec.deadline_s,
            pursuit.array.owner,
            attempt=max(pursuit.attempt, 1),
        )

    # ── what adapters know ───────────────────────────────────────────────────────────────────

    def result(self, result: CommandResult) -> None:
        """Take what an adapter knows of a command."""
        pursuit = self._by_command.get(result.command)
        if pursuit is None:
            if not self._cancels.result(result):
                self.calls.result(result)
            return
        pursuit.answer, pursuit.detail = result.outcome, result.detail
        if result.outcome is Outcome.ACKNOWLEDGED:
            if pursuit.echo is None:
                self._arrived(pursuit)
        elif result.outcome is Outcome.NOT_SENT:
            if pursuit.cell.spec.pulse:
                self._time_is_over(pursuit)
            else:
                self._wait_until(pursuit, max(self._clock.now, pursuit.deadline))
        elif result.outcome is Outcome.REFUSED:
            if self._may_repeat(
                pursuit
            ):  # it may be busy: tell it again when its time is over, not at once
                self._end(pursuit, *self._verdict(pursuit))
            else:
                self._time_is_over(pursuit)

    def reconnected(self, points: tuple[str, ...]) -> None:
        """Tell these points again what is wanted, unless they already do it; not all at one instant, and no pulse."""
        cells = {p.cell.id: p for p in self._pursuits.values()}
        herd = self._gate("", HERD)
        for point in points:
            pursuit = cells.get(point)
            if pursuit is None or pursuit.to is None or self.passed_on(pursuit.cell):
                continue
            if pursuit.cell.spec.pulse or pursuit.state in ("local", "waiting"):
                continue
            if not pursuit.has_arrived():
                self._tell_again(pursuit, herd)
        self._cancels.reconnected(points)

    def paced(self, pace: ConnectionPaced) -> None:
        """Take note of what a connection may carry; who waits for it lines up anew."""
        name = pace.connection
        self.connections = {p: c for p, c in self.connections.items() if c != name}
        self.connection_rates.pop(name, None)
        if pace.count:
            self.connections.update(dict.fromkeys(pace.points, name))
            self.connection_rates[name] = Rate(pace.count, pace.per_s)
        gate = self._gates.get(name)
        if gate is not None and gate.rate != self.connection_rates.get(name):
            del self._gates[name]
            for pursuit in gate.close():
                self._tell(pursuit)

    def _tell_again(self, pursuit: Pursuit, herd: Gate) -> None:
        self._begin_anew(pursuit)
        if (
            not pursuit.command and pursuit.deadline > self._clock.now
        ):  # sent before a restart, and perhaps still on its way
            self._wait_until(pursuit, pursuit.deadline)
        else:
            self._tell(pursuit, herd)

    # ── memory ───────────────────────────────────────────────────────────────────────────────

    def remember(self) -> dict[str, Any]:
        """Return everything under way as plain data: points by id, what connections may carry now, calls."""
        points = {p.cell.id: p.remember() for p in self._pursuits.values()}
        gates = {n: {"tokens": gate.tokens, "at": gate.at} for n, gate in self._gates.items()}
        return {
            "points": points,
            "gates": gates,
            "calls": self.calls.remember(),
            "cancels": self._cancels.remember(),
        }

    def recall(self, data: Mapping[str, Any]) -> None:
        """Take up what was written down. Nothing is emitted; `reconcile_after_restart` is called next.

        The priority arrays and the values of the points have been recalled before.
        """
        for point, plain in data.get("points", {}).items():
            array = self._array(point)
            if array is not None:
                self._recall_point(array, plain)
        for name, plain in data.get("gates", {}).items():
            rate = self.connection_rates.get(name, None if name else HERD)
            if rate is not None:
                gate = self._gate(name, rate)
                gate.tokens = min(plain["tokens"], rate.count)
                gate.at = min(plain["at"], self._clock.now)
        self.calls.recall(data.get("calls", {}))
        self._cancels.recall(data.get("cancels", ()))

    def _array(self, point: str) -> PriorityArray | None:
        entity, _, name = point.partition(".")
        found = self._graph.entities.get(entity)
        cell = found.cells.find(name) if found is not None else None
        if cell is None or not cell.spec.access.is_commandable:
            return None
        if cell.array is None:
            cell.array = PriorityArray(cell)
        return cell.array

    def _recall_point(self, array: PriorityArray, plain: Mapping[str, Any]) -> None:
        cell = array.cell
        old = self._pursuits.pop(cell, None)
        if old is not None and old.echo is not None:
            old.echo.close()
        pursuit = self._pursuits[cell] = self._begin(array)
        to, told = (
            to_value(cell.spec, plain.get(key), self._graph.entities) for key in ("to", "told")
        )
        pursuit.recall(plain, to, told, self._clock.now)
        if pursuit.is_open:
            self._by_command[pursuit.command] = pursuit
        if "due" in plain:
            then = self._pace_allows if pursuit.state == "waiting" else self._time_is_over
            pursuit.timer = self._graph.timers.at(plain["due"], partial(then, pursuit))

    def reconcile_after_restart(self) -> None:
        """Say what became of every command that was open when the engine ended, and see what must be told again.

        A set is read back, and told again by a new command when it does not follow, not before the old one's deadline
        has passed. A pulse is never told again.
        """
        for pursuit in list(self._pursuits.values()):
            if pursuit.is_open:
                self._classify(pursuit)
            elif pursuit.state == "waiting":
                self._wait_again(pursuit)
            elif pursuit.state in ("done", "local") and pursuit.reported.value is None:
                pursuit.state = "unheard"
        self.calls.reconcile_after_restart()
        self._cancels.reconcile_after_restart()

    def _classify(self, pursuit: Pursuit) -> None:
        if pursuit.has_arrived():
            self._arrived(pursuit)
        elif pursuit.cell.spec.pulse:
            known = pursuit.answer is not None
            outcome, text = self._verdict(pursuit) if known else self._nobody_knows(pursuit)
            self._give_up(pursuit, outcome, RESTARTED + text)
        else:
            never_left = pursuit.answer is Outcome.NOT_SENT
            outcome = "expired" if never_left else "superseded"
            self._end(pursuit, outcome, RESTARTED + "it is read back, and told again if it must be")
            pursuit.command, pursuit.attempt = "", 0
            pursuit.state = "failed" if pursuit.given_up else "sent"
            self._wait_until(pursuit, max(self._clock.now, pursuit.deadline) + ANSWER_S)

    def _wait_again(self, pursuit: Pursuit) -> None:
        """Who waited for a rate is told now as soon as it may be; a pulse that waited is not."""
        if pursuit.cell.spec.pulse:
            text = RESTARTED + sentences.NOT_TOLD_NOW.say(point=pursuit.cell.id)
            self._give_up(pursuit, "expired", text)
        elif pursuit.timer is None:
            self._tell(pursuit, self._gate("", HERD))


def _times(pursuit: Pursuit) -> str:
    return "once" if pursuit.attempt <= 1 else f"{pursuit.attempt} times"


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
