"""One commandable point on its way from wanted to reported, and how that is written down and taken up again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pilotage.core.arbiter import AS_THE_KIND_SAYS, PriorityArray
from pilotage.core.graph import Watch
from pilotage.core.paces import Fight, Gate, Pace
from pilotage.core.store import Cell
from pilotage.core.timers import Timer
from pilotage.language.program import ExpectProgram
from pilotage.model.messages import Outcome
from pilotage.model.values import Base, as_plain

REFUSALS: Final = frozenset({"rejected", "timeout", "cooldown", "stale", "refused", "failed"})
"""Statuses of a request by which a device says no."""
PATIENCE_S: Final = 300.0
"""After giving up, the wanted value is sent again this often, silently."""
NOTHING: Final[Mapping[str, Any]] = {}
"""The data of what is no request: one for all."""

_PLAIN: Final[Mapping[str, Any]] = {
    "state": "idle", "command": "", "is_open": False, "is_loud": False, "given_up": False, "rests": False,
    "attempt": 0, "sent_at": 0.0, "confirmed_at": 0.0, "deadline": 0.0, "settles": 0.0, "detail": "", "patience_s": PATIENCE_S,
}  # fmt: skip
"""What is remembered as it is, and what it is at first."""


class Heard:
    """What a point's report calls: small, since every point that was ever told something has one."""

    __slots__ = ("pursuit", "tell")

    def __init__(self, tell: Callable[[Pursuit], None], pursuit: Pursuit) -> None:
        self.tell = tell
        self.pursuit = pursuit

    def __call__(self, _value: Any) -> None:
        """Have the report looked at."""
        self.tell(self.pursuit)


class Pursuit:
    """One commandable point on its way from wanted to reported.

    Attributes:
        state: `idle`, `waiting` (held back by a rate), `sent`, `done`, `failed` (or another bad end), `local` (changed at the
            device) or `unheard` (its report was lost).
        is_open: The last command has not come to its end.
        is_loud: Its alarm stands.
        given_up: The tries are used up; a set is told again in patience, a pulse never.
        rests: Of a pulse: its want has gone while it was under way.
        told: The value of the last command.
        confirmed_at: When the device was seen to show what is wanted; 0 while it does not.
        settles: When the device should show what it was told last.
        answer: What is known of the last command's way, and `detail` why.
        gate: Where it waits for its connection, with its place (`ticket`) and its level then (`rank`).
    """

    __slots__ = (
        "answer", "array", "attempt", "cell", "command", "confirmed_at", "data", "deadline", "detail", "echo", "fight", "gate", "given_up",
        "is_loud", "is_open", "pace", "patience_s", "rank", "rests", "sent_at", "settles", "state", "status", "ticket", "timer",
        "to", "told", "turned_at",
    )  # fmt: skip

    def __init__(self, array: PriorityArray, status: Cell | None) -> None:
        self.array = array
        self.cell = array.cell
        self.status = status
        self.state = "idle"
        self.to: Any = None
        self.told: Any = None
        self.data: Mapping[str, Any] = NOTHING
        self.command = self.detail = ""
        self.is_open = self.is_loud = self.given_up = self.rests = False
        self.attempt = 0
        self.sent_at = self.confirmed_at = self.deadline = self.settles = 0.0
        self.patience_s = PATIENCE_S
        self.answer: Outcome | None = None
        self.timer: Timer | None = None
        self.echo: Watch | None = None
        rate = self.cell.spec.max_rate
        self.pace = Pace(rate) if rate is not None else None
        self.gate: Gate | None = None
        self.rank = self.ticket = 0
        self.turned_at = float("-inf")
        self.fight: Fight | None = None

    @property
    def expect(self) -> ExpectProgram:
        """How the winner wants it verified."""
        winner = self.array.winner
        return winner.expect if winner is not None else AS_THE_KIND_SAYS

    @property
    def ramp_s(self) -> float:
        """How long the change may take because it is gentle."""
        array, reported = self.array, self.cell.value
        if array.cell.spec.type.base is not Base.NUMBER or array.wanted is None:
            return 0.0
        rising = reported is None or array.wanted > reported
        return array.ramp_up_s if rising else array.ramp_down_s

    @property
    def by(self) -> str:
        """Who decides, as people know them."""
        winner = self.array.winner
        return (
            winner.by
            if winner is not None and winner.owner == self.array.owner
            else self.array.owner
        )

    @property
    def reported(self) -> Cell:
        """Where the device answers."""
        return self.status if self.status is not None else self.cell

    def has_arrived(self) -> bool:
        """Return whether the device shows what is wanted."""
        cell, to = self.cell, self.to
        if cell.spec.is_request:
            return self._is_answered()
        if cell.value is None or to is None or (cell.spec.pulse and not self._spoke_since(cell)):
            return False
        if isinstance(to, float):
            return bool(abs(cell.value - to) <= max(cell.spec.tolerance, 1e-9))
        return bool(cell.value == to)

    def _is_answered(self) -> bool:
        status = self.status
        if status is None or status.value is None or not self._spoke_since(status):
            return False
        accepted = self.expect.status
        return status.value in accepted if accepted else status.value not in REFUSALS

    def is_refused(self) -> bool:
        """Return whether the device said no to the request."""
        status = self.status
        return status is not None and status.value in REFUSALS and self._spoke_since(status)

    def _spoke_since(self, cell: Cell) -> bool:
        return cell.time is not None and cell.time >= self.sent_at

    def is_heard(self) -> bool:
        """Return whether what the device shows counts as its answer: it is known, and it got the order or spoke since."""
        cell = self.reported
        if cell.value is None or self.echo is None:
            return False
        return self.answer is Outcome.ACKNOWLEDGED or self._spoke_since(cell)

    def stop_waiting(self) -> None:
        """Nothing is due for it any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.gate, self.ticket = None, 0

    def remember(self) -> dict[str, Any]:
        """Return it as plain data, without what is as it was at first."""
        plain = {k: v for k, first in _PLAIN.items() if (v := getattr(self, k)) != first}
        for key in ("to", "told"):
            if (value := getattr(self, key)) is not None:
                plain[key] = as_plain(value)
        if self.data:
            plain["data"] = {key: as_plain(value) for key, value in self.data.items()}
        if self.answer is not None:
            plain["answer"] = self.answer.value
        if self.timer is not None and self.timer.action is not None:
            plain["due"] = self.timer.due
        if self.pace is not None and self.pace.times:
            plain["times"] = list(self.pace.times)
        return plain

    def recall(self, plain: Mapping[str, Any], value: Any, told: Any, now: float) -> None:
        """Take up what was written down; timers are the reconciler's.

        Args:
            plain: From `remember`.
            value: Its `to`, as the point's type.
            told: Its `told`, likewise.
            now: Time of the tick: nothing was sent later, whatever the clock said then.
        """
        for key, first in _PLAIN.items():
            setattr(self, key, plain.get(key, first))
        self.to, self.told = value, told
        self.data = plain.get("data", NOTHING)
        self.answer = Outcome(plain["answer"]) if "answer" in plain else None
        if self.pace is not None:
            self.pace.times.extend(min(time, now) for time in plain.get("times", ()))
