"""Broken glass: people who act for every post for a while, because nobody else is there.

It is no right over anything: who gives orders is checked at the door through which they come. This room keeps who broke the glass,
until when and why, so that everybody sees it, an alarm stands as long as it lasts, and it ends by itself, also after a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from pilotage.core.timers import Timer
from pilotage.model.messages import GlassChanged, GlassOrder
from pilotage.model.sentences import GLASS

AT_MOST_S: Final = 3600.0
ALARM: Final = "break-glass"


class Desk(Protocol):
    """What the room asks of the engine."""

    timers: Any
    schedule: Any

    @property
    def now(self) -> float:
        """The time of the tick."""
        ...

    def emit(self, event: Any) -> None:
        """Add an event to the decision."""
        ...


@dataclass(slots=True)
class Broken:
    """Somebody acts for every post.

    Attributes:
        post: Where they are.
        since, until: Seconds since 1970.
        timer: Ends it.
    """

    person: str
    post: str
    reason: str
    since: float
    until: float
    timer: Timer | None = None

    @property
    def place(self) -> str:
        """Where they are, as the alarm says it."""
        return self.post or "no post"


class Glass:
    """Who has broken the glass, by person."""

    def __init__(self, desk: Desk, alarm: Callable[[str, str, str, str], None]) -> None:
        """Begin with whole glass; `alarm` raises an alarm, or ends it with an empty text."""
        self._desk = desk
        self._alarm = alarm
        self.broken: dict[str, Broken] = {}

    def order(self, order: GlassOrder) -> str:
        """Carry out a person's order; return why not, or nothing."""
        match order.action:
            case "break":
                return self._break(order)
            case "mend":
                whose = order.whose or order.person
                if whose not in self.broken:
                    return "the glass is whole"
                self._end(whose, "mended")
                return ""
            case _:
                return f'there is no action "{order.action}"'

    def _break(self, order: GlassOrder) -> str:
        if not order.reason.strip():
            return "a reason is needed"
        if order.person in self.broken:
            return "it is broken already: mend it first"
        if not self._desk.now < order.until <= self._desk.now + AT_MOST_S:
            return f"an end is needed, at most {AT_MOST_S / 60:g} min from now"
        self.take_up(Broken(order.person, order.post, order.reason, self._desk.now, order.until))
        self._desk.emit(GlassChanged(order.post, "broken", order.person, order.until))
        return ""

    def take_up(self, broken: Broken) -> None:
        """Have somebody act for every post until a time."""
        self.broken[broken.person] = broken
        broken.timer = self._desk.timers.at(
            broken.until, partial(self._end, broken.person, "its time was over")
        )
        until = self._desk.schedule.local(broken.until)
        text = GLASS.say(post=broken.place, until=f"{until:%H:%M}")
        self._alarm(ALARM, broken.place, "high", text)

    def _end(self, person: str, why: str) -> None:
        broken = self.broken.pop(person)
        if broken.timer is not None:
            broken.timer.cancel()
        self._desk.emit(GlassChanged(broken.post, "whole", person, self._desk.now, why))
        if all(other.post != broken.post for other in self.broken.values()):
            self._alarm(ALARM, broken.place, "high", "")
