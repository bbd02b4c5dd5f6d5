"""The priority arrays: demands come and go, the best level wins, what waited below returns.

Source of the sixteen levels: the priority array of ANSI/ASHRAE 135 (BACnet), with a set of demands per slot.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from functools import partial
from typing import Any, Final

from pilotage.core.graph import Clock
from pilotage.core.store import Cell
from pilotage.core.timers import Timer, Timers
from pilotage.language.program import ExpectProgram
from pilotage.model.entities import Combine, PointSpec
from pilotage.model.messages import Demanded, Relinquished
from pilotage.model.priorities import BY_HAND, Priority
from pilotage.model.values import as_plain

DEFAULT_LEVEL: Final = 17
"""The relinquish default stands below the sixteenth level."""
INVARIANT_LEVEL: Final = 0
"""An invariant stands above the first."""
DEFAULT: Final = "default"
MINIMUM_TIME: Final = "minimum-time"


NO_DATA: Final[Mapping[str, Any]] = {}
AS_THE_KIND_SAYS: Final = ExpectProgram()


class Demand:
    """What somebody wants of a point.

    Attributes:
        owner: Unique within the point: rule and instance, plan, or person.
        by: The name that people know: the rule, the plan, `operator NAME`.
        value: In the point's unit; the entity of a request.
        data: The `with` of a request.
        on_failure: Called with a reason when the device does not follow.
        told: Its device is being told by the gateway of its group: it is only watched, and told again if it must be.
        rank: Level of the plan: of one plan's demands on one point, that of the highest level counts.
    """

    __slots__ = (
        "by", "data", "expect", "level", "on_failure", "order", "owner", "ramp_down_s", "ramp_up_s", "rank",
        "reason", "since", "timer", "told", "until", "value",
    )  # fmt: skip

    def __init__(
        self,
        owner: str,
        by: str,
        level: int,
        value: Any,
        reason: str,
        since: float,
        until: float | None = None,
        ramp_up_s: float = 0.0,
        ramp_down_s: float = 0.0,
        expect: ExpectProgram = AS_THE_KIND_SAYS,
        data: Mapping[str, Any] = NO_DATA,
        on_failure: Callable[[str], None] | None = None,
        rank: int = 0,
        told: bool = False,
    ) -> None:
        self.owner = owner
        self.by = by
        self.level = level
        self.value = value
        self.reason = reason
        self.since = since
        self.until = until
        self.ramp_up_s = ramp_up_s
        self.ramp_down_s = ramp_down_s
        self.expect = expect
        self.data = data
        self.on_failure = on_failure
        self.rank = rank
        self.told = told
        self.timer: Timer | None = None
        self.order = 0


class PriorityArray:
    """Who wants what of one point, and what was decided.

    Attributes:
        candidate: What the array alone decides.
        wanted: What stands after invariants and minimum times.
        is_decided: False until the first demand: a point nobody ever demanded is left alone.
    """

    __slots__ = (
        "candidate", "cell", "changed_at", "demands", "has_minimum", "is_decided", "level", "owner", "ramp_down_s", "ramp_up_s",
        "timer", "wanted", "winner",
    )  # fmt: skip

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.demands: dict[str, Demand] = {}
        self.candidate: Any = cell.spec.default
        self.wanted: Any = cell.spec.default
        self.winner: Demand | None = None
        self.owner = DEFAULT
        self.level = DEFAULT_LEVEL
        self.changed_at: float | None = None
        self.is_decided = False
        self.ramp_up_s = self.ramp_down_s = 0.0
        self.timer: Timer | None = None
        self.has_minimum = bool(cell.spec.min_on_s or cell.spec.min_off_s)

    def best(self) -> tuple[Demand | None, list[Demand]]:
        """Return the winner and all demands at its level, oldest first; of overrides the newest alone counts."""
        demands = self.demands
        if not demands:
            return None, []
        if len(demands) == 1:
            (only,) = demands.values()
            return only, [only]
        level = min(d.level for d in self.demands.values())
        if level == Priority.OPERATOR:
            newest = max((d for d in demands.values() if d.level == level), key=lambda d: d.order)
            return newest, [newest]
        peers = sorted(
            (d for d in self.demands.values() if d.level == level), key=lambda d: (d.since, d.order)
        )
        highest: dict[str, int] = {}
        for demand in peers:
            highest[demand.by] = max(demand.rank, highest.get(demand.by, 0))
        peers = [d for d in peers if d.rank == highest[d.by]]
        combine = self.cell.spec.combine
        if len(peers) == 1 or combine in (Combine.FIRST, Combine.REFUSE):
            return peers[0], peers
        pick = max if combine is Combine.MAX else min
        return pick(peers, key=lambda d: d.value), peers

    def in_order(self) -> Iterator[Demand]:
        """Return all demands, the most urgent first."""
        yield from sorted(self.demands.values(), key=lambda d: (d.level, d.since, d.order))


class Arbiter:
    """Takes demands, and settles the points they touched at the end of the tick.

    Attributes:
        touched: Points to settle.
        on_conflict: Told of a point whose demands tie without a combiner, and of the end of it (an empty list).
        by_hand: Points with a demand of an operator: a page asks for them often, and a city has a hundred thousand others.
        limited: Points that an invariant guards.
        limit: Puts a candidate through the invariants; returns the value and the name of the invariant that replaced it.
        on_target: Told of each point whose wanted value or owner changed.
    """

    def __init__(self, timers: Timers, clock: Clock, emit: Callable[[Any], None]) -> None:
        self._timers = timers
        self._clock = clock
        self._emit = emit
        self._order = 0
        self.touched: dict[Cell, None] = {}
        self.by_hand: dict[Cell, None] = {}
        self.limited: Container[Cell] = ()
        self.limit: Callable[[Cell, Any], tuple[Any, str]] = lambda cell, value: (value, "")
        self.on_conflict: Callable[[Cell, list[Demand]], None] = lambda cell, demands: None
        self.on_target: Callable[[PriorityArray], None] = lambda array: None
        self._conflicts: dict[Cell, None] = {}

    def array(self, cell: Cell) -> PriorityArray:
        """Return the point's priority array, made when it is first needed."""
        if cell.array is None:
            cell.array = PriorityArray(cell)
        return cell.array

    def place(self, cell: Cell, demand: Demand) -> None:
        """Put a demand into a point's array, or change the one of the same owner."""
        array = self.array(cell)
        demand.value = _in_range(cell.spec, demand.value)
        before = array.demands.get(demand.owner)
        if before is not None:
            if (before.value, before.level, before.until, before.data) == (
                demand.value, demand.level, demand.until, demand.data,
            ):  # fmt: skip
                return
            self._forget_end(before)
            demand.since, demand.order = before.since, before.order
        if before is None or demand.level == Priority.OPERATOR:
            self._order += 1
            demand.order = self._order
        array.demands[demand.owner] = demand
        if demand.level in BY_HAND:
            self.by_hand[cell] = None
        if demand.until is not None:
            demand.timer = self._timers.at(
                demand.until, partial(self.relinquish, cell, demand.owner, "its time is over")
            )
        self.touched[cell] = None
        self._emit(
            Demanded(
                cell.id,
                demand.owner,
                demand.level,
                as_plain(demand.value),
                demand.reason,
                demand.until,
            )
        )

    def relinquish(self, cell: Cell, owner: str, why: str = "") -> None:
        """Give up a demand; the next one down decides at this same tick."""
        array = cell.array
        demand = array.demands.pop(owner, None) if array is not None else None
        if demand is None or array is None:
            return
        self._forget_end(demand)
        if cell in self.by_hand and not any(d.level in BY_HAND for d in array.demands.values()):
            del self.by_hand[cell]
        array.ramp_up_s, array.ramp_down_s = demand.ramp_up_s, demand.ramp_down_s
        self.touched[cell] = None
        self._emit(Relinquished(cell.id, owner, why))

    @staticmethod
    def _forget_end(demand: Demand) -> None:
        if demand.timer is not None:
            demand.timer.cancel()
            demand.timer = None

    def settle(self) -> bool:
        """Decide every touched point; return whether there was one."""
        touched = self.touched
        if not touched:
            return False
        self.touched = {}
        for cell in touched:
            self._settle(self.array(cell))
        return True

    def _settle(self, array: PriorityArray) -> None:
        cell = array.cell
        winner, peers = array.best()
        if len(peers) > 1 or self._conflicts:
            self._report_conflict(cell, peers)
        array.candidate = value = cell.spec.default if winner is None else winner.value
        invariant = ""
        if cell in self.limited:
            value, invariant = self.limit(cell, value)
        owner = winner.owner if winner is not None else DEFAULT
        level = winner.level if winner is not None else DEFAULT_LEVEL
        if invariant:
            owner, level = invariant, INVARIANT_LEVEL
        elif array.has_minimum and self._must_wait(array, value, level):
            value, owner, level = array.wanted, MINIMUM_TIME, int(Priority.MINIMUM_TIME)
        if winner is not None:
            array.ramp_up_s, array.ramp_down_s = winner.ramp_up_s, winner.ramp_down_s
        changed_data = (
            winner is not None and array.winner is not None and winner.data != array.winner.data
        )
        renewed = (
            winner is not None and array.winner is not None and winner.until != array.winner.until
        )
        same = (
            array.is_decided
            and value == array.wanted
            and owner == array.owner
            and level == array.level
            and not changed_data
            and not renewed
        )
        if not array.is_decided and winner is None and not invariant:
            return
        if not array.is_decided or value != array.wanted:
            array.changed_at = self._clock.now
        array.is_decided = True
        array.wanted, array.owner, array.level, array.winner = value, owner, level, winner
        if not same:
            self.on_target(array)

    def _must_wait(self, array: PriorityArray, value: Any, level: int) -> bool:
        """True while a minimum time holds the point where it is; only levels 1 to 5 are above it."""
        spec = array.cell.spec
        if array.timer is not None:
            array.timer.cancel()
            array.timer = None
        if array.changed_at is None or value == array.wanted or level < Priority.MINIMUM_TIME:
            return False
        least = spec.min_off_s if array.wanted == spec.default else spec.min_on_s
        end = array.changed_at + least
        if self._clock.now >= end:
            return False
        cell = array.cell
        array.timer = self._timers.at(end, partial(self.touch, cell))
        return True

    def touch(self, cell: Cell) -> None:
        """Settle a point again at the end of the tick."""
        self.touched[cell] = None

    def _report_conflict(self, cell: Cell, peers: list[Demand]) -> None:
        clash = (
            cell.spec.combine is Combine.REFUSE
            and len(peers) > 1
            and any(p.value != peers[0].value for p in peers)
        )
        if clash:
            self._conflicts[cell] = None
            self.on_conflict(cell, peers)
        elif cell in self._conflicts:
            del self._conflicts[cell]
            self.on_conflict(cell, [])


def _in_range(spec: PointSpec, value: Any) -> Any:
    """Return the value, or the nearer end of the point's range: what is worked out may lie outside it."""
    if isinstance(value, float):
        if spec.low is not None and value < spec.low:
            return spec.low
        if spec.high is not None and value > spec.high:
            return spec.high
    return value
