"""Alarms: raised, acknowledged, returned, latched, shelved, suppressed, out of service.

The states and their names follow ANSI/ISA-18.2; the engine's own alarms (a command that failed, a conflict) live the same life.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from pilotage.core.evaluator import Desk
from pilotage.core.graph import Watch
from pilotage.core.instances import Instances, label
from pilotage.core.store import Entity
from pilotage.core.timers import Timer
from pilotage.language.program import AlarmProgram
from pilotage.model.messages import CHANGED_SINCE, AlarmChanged, AlarmOrder

SHELVE_AT_MOST_S: Final = 8 * 3600.0
OUT_OF_SERVICE_AT_MOST_S: Final = 30 * 86_400.0


class Alarm:
    """One alarm of one thing, and its life.

    `state` is normal, raised, acknowledged, cleared (gone, not yet acknowledged), latched (gone, to be
    reset by a person), shelved, suppressed or out_of_service.

    Attributes:
        waits_since: When it began to wait for somebody, also when its cause came and went meanwhile.
        taken_by: Who sees to it, until it is normal again; `taken_at` since when.
        acknowledged_by: Who acknowledged it last.
        suspended_by: Who shelved it or took it out of service, and `suspended_why`.
    """

    __slots__ = (
        "_acknowledged", "_active", "_desk", "_held", "_open", "_suppressed", "_suspended", "_timer", "acknowledged_by", "id", "instance",
        "latched", "name", "out_at_most_s", "out_by", "passing", "raised_at", "severity", "shelve_at_most_s", "since", "state",
        "suspended_by", "suspended_why", "taken_at", "taken_by", "text", "until", "waits_since", "wording",
    )  # fmt: skip

    def __init__(
        self,
        desk: Desk,
        name: str,
        instance: str,
        severity: str,
        wording: str | Callable[[], str],
        among: dict[str, Alarm],
        *,
        latched: bool = False,
    ) -> None:
        self._desk = desk
        self._open = among
        self.name = name
        self.instance = instance
        self.id = f"{name}[{instance}]" if instance else name
        self.severity = severity
        self.latched = latched
        self.passing = False
        self.text = ""
        self.raised_at: float | None = None
        self.waits_since: float | None = None
        self.since = desk.now
        self.shelve_at_most_s = SHELVE_AT_MOST_S
        self.out_at_most_s = OUT_OF_SERVICE_AT_MOST_S
        self.out_by: tuple[str, ...] = ()
        self.until: float | None = None
        self.state = "normal"
        self.wording = wording
        self.taken_by = self.acknowledged_by = self.suspended_by = self.suspended_why = ""
        self.taken_at: float | None = None
        self._active = False
        self._acknowledged = True
        self._held = False
        self._suspended = ""
        self._suppressed = False
        self._timer: Timer | None = None

    @property
    def is_active(self) -> bool:
        """True while the cause lasts."""
        return self._active

    def activate(self) -> None:
        """The cause has come."""
        if self._active:
            return
        if self._acknowledged:
            self.waits_since = self._desk.now
        self._active, self._acknowledged, self._held = True, False, self.latched
        self.acknowledged_by = ""
        self.text = self.wording if isinstance(self.wording, str) else self.wording()
        self.raised_at = self._desk.now
        self._settle("")

    def deactivate(self) -> None:
        """The cause has gone."""
        if self._active:
            self._active = False
            self._settle("")

    def suppress(self, suppressed: bool) -> None:
        """Hide it because of its cause, or show it again."""
        self._suppressed = suppressed
        self._settle("")

    def order(self, order: AlarmOrder) -> str:
        """Carry out a person's order; return why not, or nothing."""
        if order.seen and order.seen != self.standing and order.action != "comment":
            return f"{self.id} {CHANGED_SINCE}"
        match order.action:
            case "acknowledge":
                if self._acknowledged:
                    return "there is nothing to acknowledge"
                self._acknowledged, self.acknowledged_by = True, order.person
                self._active = self._active and not self.passing
            case "take" | "give_back" | "comment":
                return self._by_person(order)
            case "reset":
                if self._active and not self.passing:
                    return "its cause still lasts"
                self._active = False
                self._held, self._acknowledged = False, True
            case "shelve" | "out_of_service":
                why = self._suspend(order)
                if why:
                    return why
            case "unshelve" | "return_to_service":
                state = "shelved" if order.action == "unshelve" else "out_of_service"
                if self._suspended != state:
                    return f"it is not {state.replace('_', ' ')}"
                self._resume()
            case _:
                return f'there is no action "{order.action}"'
        self._settle(order.person)
        return ""

    def _by_person(self, order: AlarmOrder) -> str:
        """Carry out an order that changes nothing about the alarm itself."""
        if order.action == "comment":
            return "" if order.reason.strip() else "a comment needs its text"
        if order.action == "give_back":
            if not self.taken_by:
                return "nobody has taken it"
            self.taken_by, self.taken_at = "", None
            return ""
        if self.state == "normal":
            return "there is nothing to see to: it is normal"
        if self.taken_by == order.person:
            return "you have it already"
        self.taken_by, self.taken_at = order.person, self._desk.now
        return ""

    @property
    def standing(self) -> str:
        """Where the alarm stands, as one word that differs when people have done something about it.

        A cause that comes and goes while it waits changes nothing: who acknowledges it has seen what there is to see.
        """
        stage = self._suspended or ("acknowledged" if self._acknowledged else "waiting")
        times = (self.waits_since, self.until, self.taken_at)
        return ".".join((stage, *("-" if time is None else f"{time:.2f}" for time in times)))

    def remember(self) -> dict[str, Any]:
        """Return what lasts of the alarm, as plain data."""
        return {
            "active": self._active,
            "acknowledged": self._acknowledged,
            "held": self._held,
            "suspended": self._suspended,
            "until": self.until,
            "waits_since": self.waits_since,
            "people": [
                self.taken_by,
                self.taken_at,
                self.acknowledged_by,
                self.suspended_by,
                self.suspended_why,
            ],
        }

    def stand_again(self, row: Mapping[str, Any]) -> None:
        """Stand where the alarm stood before the engine was made anew; its cause decides whether it is active."""
        self.text, self.raised_at = row["text"], row["raised_at"]
        self.waits_since = row.get("waits_since", self.raised_at)
        self._acknowledged, self._held = row["acknowledged"], row["held"] and self.latched
        self._active = self._active or (self.passing and row["active"])
        people = row.get("people", ["", None, "", "", ""])
        (
            self.taken_by,
            self.taken_at,
            self.acknowledged_by,
            self.suspended_by,
            self.suspended_why,
        ) = people
        if row["suspended"] and row["until"] > self._desk.now:
            self._suspended, self.until = row["suspended"], row["until"]
            self._timer = self._desk.graph.timers.at(row["until"], self._suspension_ends)
        self._settle("")

    def _suspend(self, order: AlarmOrder) -> str:
        shelve = order.action == "shelve"
        most = self.shelve_at_most_s if shelve else self.out_at_most_s
        if order.until is None or order.until <= self._desk.now:
            return "an end is needed"
        if order.until > self._desk.now + most:
            return f"at most {most / 3600:g} h are allowed"
        if not shelve and self.out_by and order.role not in self.out_by:
            return f"only {', '.join(self.out_by)} may do that"
        if not order.reason:
            return "a reason is needed"
        if shelve and self._suspended == "out_of_service":
            return "it is out of service: return it to service first"
        self._resume()
        self._suspended = "shelved" if shelve else "out_of_service"
        self.until = order.until
        self.suspended_by, self.suspended_why = order.person, order.reason
        self._timer = self._desk.graph.timers.at(order.until, self._suspension_ends)
        return ""

    def _suspension_ends(self) -> None:
        self._resume()
        self._settle("")

    def _resume(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._suspended, self.until = None, "", None
        self.suspended_by = self.suspended_why = ""

    def _settle(self, person: str) -> None:
        before, self.state = self.state, self._state()
        if self.state == "normal":
            self.taken_by, self.taken_at = "", None
        if before != self.state:
            if self.state == "normal":
                self._open.pop(self.id, None)
            else:
                self._open[self.id] = self
            self.since = self._desk.now
            self._desk.emit(
                AlarmChanged(self.id, self.severity, before, self.state, self.text, person)
            )

    def _state(self) -> str:
        if self._suspended:
            return self._suspended
        if self._suppressed:
            return "suppressed"
        if self._active:
            return "acknowledged" if self._acknowledged else "raised"
        if self._held:
            return "latched"
        return "normal" if self._acknowledged else "cleared"


class _Wording:
    """What an alarm says, worked out when it is raised; small, since every lamp of a city has one that never is."""

    __slots__ = ("desk", "env", "program")

    def __init__(self, desk: Desk, program: AlarmProgram, env: Mapping[str, Entity]) -> None:
        self.desk = desk
        self.program = program
        self.env = env

    def __call__(self) -> str:
        """Return the text with its expressions filled in."""
        return self.desk.interpreter.text(self.program.text, self.env)


class _AlarmInstance:
    """A declared alarm of one entity: follows its condition, with delays on and off."""

    __slots__ = ("_decl", "_desk", "_timer", "_watches", "alarm")

    def __init__(
        self, desk: Desk, program: AlarmProgram, env: Mapping[str, Entity], alarm: Alarm
    ) -> None:
        self._desk = desk
        self._decl = program.decl
        self.alarm = alarm
        self._timer: Timer | None = None
        self._watches = [Watch(desk.graph, program.raise_while, env, self._judge)]
        if program.suppress_while is not None:
            self._watches.append(
                Watch(
                    desk.graph,
                    program.suppress_while,
                    env,
                    self._hide,
                )
            )
        for watch in self._watches:
            desk.graph.ask(watch)

    def _hide(self, truth: bool | None) -> None:
        self.alarm.suppress(truth is True)

    def _judge(self, truth: bool | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if truth is None:  # neither raised nor cleared by a doubt, unless the alarm asks for it
            asked = self._decl.if_unknown.text if self._decl.if_unknown is not None else "hold"
            if asked == "hold":
                return
            truth = asked == "act"
        delay = self._decl.on_delay if truth else self._decl.off_delay
        action = self.alarm.activate if truth else self.alarm.deactivate
        if delay is None or truth is self.alarm.is_active:
            action()
        else:
            self._timer = self._desk.graph.timers.at(self._desk.now + delay.seconds, action)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for watch in self._watches:
            watch.close()
        self.alarm.suppress(False)
        self.alarm.deactivate()


class Alarms:
    """All alarms."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._programs: dict[str, Instances[Any]] = {}
        self.all: dict[str, Alarm] = {}
        self.open: dict[str, Alarm] = {}
        """Those that are not normal, by id: a city has ten thousands that are."""

    def start(self, program: AlarmProgram) -> None:
        """Make the alarm's instances."""
        desk = self._desk
        self._programs[program.name] = Instances(
            desk.graph,
            program.for_each,
            desk.nearby,
            partial(self._instance, program),
        )

    def _instance(self, program: AlarmProgram, env: Mapping[str, Entity]) -> _AlarmInstance:
        return _AlarmInstance(self._desk, program, env, self._declared(program, env))

    def stop(self, name: str) -> None:
        """Follow an alarm's condition no longer."""
        self._programs.pop(name).close()

    def _declared(self, program: AlarmProgram, env: Mapping[str, Entity]) -> Alarm:
        decl = program.decl
        alarm = self._get(
            program.name,
            label(env),
            program.severity,
            _Wording(self._desk, program, env),
            latched=decl.latched,
        )
        if decl.shelve_at_most is not None:
            alarm.shelve_at_most_s = decl.shelve_at_most.seconds
        if decl.out_of_service_at_most is not None:
            alarm.out_at_most_s = decl.out_of_service_at_most.seconds
        alarm.out_by = tuple(w.text for w in decl.out_of_service_by)
        return alarm

    def _get(
        self,
        name: str,
        instance: str,
        severity: str,
        wording: str | Callable[[], str],
        *,
        latched: bool = False,
    ) -> Alarm:
        id_ = f"{name}[{instance}]" if instance else name
        alarm = self.all.get(id_)
        if alarm is None:
            alarm = self.all[id_] = Alarm(
                self._desk, name, instance, severity, wording, self.open, latched=latched
            )
        return alarm

    def raise_own(
        self, name: str, instance: str, severity: str, text: str, *, passing: bool = False
    ) -> None:
        """Raise an alarm that no file declares: the engine's own, or a story's.

        A `passing` one has no cause that could end: it is over when somebody acknowledges it.
        """
        alarm = self._get(name, instance, severity, text)
        alarm.passing = passing
        alarm.wording = text
        alarm.activate()

    def clear_own(self, name: str, instance: str) -> None:
        """The cause of one of the engine's own alarms has gone."""
        alarm = self.all.get(f"{name}[{instance}]")
        if alarm is not None:
            alarm.deactivate()

    def take_up(self, row: Mapping[str, Any]) -> None:
        """Have an alarm stand where it stood before the engine was made anew."""
        alarm = self._get(
            row["name"], row["instance"], row["severity"], row["text"], latched=row["latched"]
        )
        alarm.passing = row["passing"]
        alarm.stand_again(row)

    def order(self, order: AlarmOrder) -> str:
        """Carry out a person's order; return why not, or nothing."""
        alarm = self.all.get(order.alarm)
        if alarm is None:
            return f'there is no alarm "{order.alarm}"'
        return alarm.order(order)


Emit = Callable[[Any], None]
