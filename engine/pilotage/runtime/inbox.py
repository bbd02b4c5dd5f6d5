"""The front door of a partition: readings are admitted and collected, orders wait for their receipt.

Nothing is awaited and nothing is queued one by one: what came in since the last tick is a list, and the tick takes it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pilotage.core.store import admit
from pilotage.model.entities import Privacy
from pilotage.model.messages import (
    AlarmOrder,
    CallResult,
    GlassOrder,
    IncidentOrder,
    Input,
    NoticeAcknowledged,
    Override,
    PlanAnswer,
    PlanOrder,
    PointHandle,
    Reading,
    ReleaseOverride,
    RuleOrder,
)
from pilotage.model.quality import Quality
from pilotage.ports import Clock, HealthLog
from pilotage.runtime.flood import FloodGate

Order = (
    Override
    | ReleaseOverride
    | PlanOrder
    | PlanAnswer
    | AlarmOrder
    | RuleOrder
    | GlassOrder
    | NoticeAcknowledged
    | IncidentOrder
)
"""What people may ask of the engine; each is answered with a receipt."""

LIMIT: Final = 20_000
ORDER_LIMIT: Final = 1_000


class InboxFullError(Exception):
    """More orders wait than people can give: something floods the engine."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an order.

    Attributes:
        taken: Whether it was carried out.
        text: What was done, or why it was refused.
        decision: Number of the decision that says so; it is on disk.
    """

    taken: bool
    text: str
    decision: int


@dataclass(slots=True)
class Batch:
    """The inputs of one tick: orders first, then the rest in order of arrival.

    `arrived` is when the first of them came (of `time.monotonic`), None without any.
    """

    orders: list[tuple[Order, asyncio.Future[Receipt]]]
    others: list[Input]
    arrived: float | None = None

    @property
    def inputs(self) -> list[Input]:
        """All inputs, in the order in which the engine gets them."""
        if not self.orders:
            return self.others
        return [*(order for order, _ in self.orders), *self.others]


class Inbox:
    """What waits for the next tick; used from the event loop only."""

    def __init__(self, health: HealthLog, limit: int = LIMIT) -> None:
        """Start empty.

        Args:
            health: Where conflated readings are counted.
            limit: Above so many waiting inputs, of each point only the newest reading is kept. Should be at least
                twice the number of points, so that a burst of every point at once passes whole.
        """
        self._health = health
        self._limit = limit
        self._limit_now = limit
        self._others: list[Input] = []
        self._orders: list[tuple[Order, asyncio.Future[Receipt]]] = []
        self._awake = False
        self._arrived: float | None = None
        self._wake: Callable[[], None] = _nobody

    def __len__(self) -> int:
        """Return how many inputs wait."""
        return len(self._others) + len(self._orders)

    @property
    def is_full(self) -> bool:
        """True while so much waits that adapters should read no further: half of what conflates readings."""
        return len(self._others) > self._limit // 2

    def call_when_filled(self, wake: Callable[[], None]) -> None:
        """Have `wake` called once for each time that something arrives in an empty inbox."""
        self._wake = wake

    def put(self, item: Input) -> None:
        """Take an input for the next tick."""
        self._others.append(item)
        if not self._awake:
            self._awake = True
            self._arrived = time.monotonic()
            self._wake()
        if len(self._others) > self._limit_now:
            self._conflate()

    def order(self, order: Order) -> asyncio.Future[Receipt]:
        """Take an order; its receipt comes when the decision about it is on disk.

        Raises:
            InboxFullError: Too many orders wait already.
        """
        if len(self._orders) >= ORDER_LIMIT:
            raise InboxFullError(f"{ORDER_LIMIT} orders are waiting")
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._orders.append((order, receipt))
        if not self._awake:
            self._awake = True
            self._arrived = time.monotonic()
            self._wake()
        return receipt

    def take(self, most: int) -> Batch:
        """Return up to `most` inputs and all orders; `wake` is called again when something remains or arrives."""
        orders, self._orders = self._orders, []
        if len(self._others) <= most:
            others, self._others = self._others, []
            self._limit_now = self._limit
        else:
            others, self._others = self._others[:most], self._others[most:]
        self._awake, arrived = bool(self._others), self._arrived
        if self._awake:  # those that remain have waited at most as long
            self._wake()
        else:
            self._arrived = None
        return Batch(orders, others, arrived)

    def _conflate(self) -> None:
        """Keep of each point the newest reading, in its place; everything that is no reading stays."""
        newest: set[str] = set()
        kept: list[Input] = []
        for item in reversed(self._others):
            if type(item) is Reading:
                if item.point.id in newest:
                    continue
                newest.add(item.point.id)
            kept.append(item)
        dropped = len(self._others) - len(kept)
        kept.reverse()
        self._others = kept
        # With more different points than the limit, looking again at each arrival would cost more than it frees.
        self._limit_now = max(self._limit, 2 * len(kept))
        if dropped:
            self._health.count("inbox.conflated", dropped)
            self._health.remark(
                "inbox.conflated",
                f"readings arrive faster than they are evaluated: {dropped} older readings were dropped,"
                " the newest of each point is kept",
            )


class ConnectionDoor:
    """The door of one connection, by its name; see `pilotage.adapter.Door`."""

    def __init__(
        self,
        name: str,
        inbox: Inbox,
        clock: Clock,
        health: HealthLog,
        entities: Mapping[str, Any],
        gate: FloodGate | None = None,
    ) -> None:
        """Open a door.

        Args:
            name: The connection's name in config.yaml.
            inbox: Where admitted readings go.
            clock: Gives the time of receipt.
            health: Where refusals are counted.
            entities: All entities by id, for references.
            gate: What readings pass when there are very many; none lets all pass.
        """
        self.name = name
        self.heard_at = 0.0
        self.readings = 0
        self._inbox = inbox
        self._clock = clock
        self._health = health
        self._entities = entities
        self._gate = gate
        self._take: Callable[[Reading], None] = inbox.put if gate is None else gate.take
        self._heard: dict[PointHandle, float] = {}
        self._on_connected: Callable[[str], None] = _nobody_hears
        self._on_lost: Callable[[str], None] = _nobody_hears

    def call_on_change(self, connected: Callable[[str], None], lost: Callable[[str], None]) -> None:
        """Have the supervisor told when the adapter says that it is connected, or has lost points."""
        self._on_connected = connected
        self._on_lost = lost

    @property
    def is_full(self) -> bool:
        """True while the adapter should read no further; see `pilotage.adapter.has_room`."""
        return self._inbox.is_full

    @property
    def heard(self) -> Sequence[PointHandle]:
        """The points that this connection has reported since it was opened."""
        return list(self._heard)

    @property
    def heard_points(self) -> int:
        """How many points this connection has reported since it was opened."""
        return len(self._heard)

    def report(
        self,
        point: PointHandle,
        raw: Any,
        *,
        quality: Quality = Quality.GOOD,
        source_time: float | None = None,
    ) -> bool:
        """Admit what a device reported; False when it was refused."""
        now = self._clock.now()
        # The handles that a site gives out are cells.
        reading = admit(point, raw, quality, source_time, now, self._entities)  # type: ignore[arg-type]
        if isinstance(reading, str):
            self._refuse(point.id, reading)
            return False
        if reading.quality is Quality.BAD and quality.is_usable and raw is not None:
            self._spoiled(point, raw)
        self.heard_at = now
        self.readings += 1
        self._heard[point] = reading.source_time
        self._take(reading)
        return True

    def call_result(self, call: str, status: str, detail: str = "") -> None:
        """Take a service's answer."""
        self._inbox.put(CallResult(call, status, detail))

    def connected(self, detail: str = "") -> None:
        """Tell the supervisor that the link is up."""
        self._on_connected(detail)

    def lost(self, points: Iterable[PointHandle], detail: str) -> None:
        """Make points unknown at once."""
        # Under the time of what was heard last: a device that tells its retained state when it is back, which is
        # older than the loss but still true, must not be refused as too old.
        now = self._clock.now()
        if self._gate is not None:
            self._gate.hand_on()
        for point in points:
            last = self._heard.get(point, now)
            self._inbox.put(Reading(point, None, Quality.MISSING, last))
        self._on_lost(detail)

    def lost_all(self, detail: str) -> None:
        """Make every point unknown that this connection has reported."""
        self.lost(self.heard, detail)

    def refused(self, source: str, why: str, times: int = 1) -> None:
        """Count a message that no binding understands, so many times."""
        self._refuse(source, why, times)

    def dropped(self, times: int) -> None:
        """Count readings that a plugin told faster than its connection may speak."""
        self._health.count(f"dropped.{self.name}", times)
        self._health.remark(
            f"dropped.{self.name}",
            f"connection {self.name}: its plugin tells more than is taken: {times} older readings were"
            " dropped, the newest of each point is kept",
        )

    def _spoiled(self, point: PointHandle, raw: Any) -> None:
        """Count a value that the point cannot have; the point is unknown until a better one comes."""
        spec = point.spec
        limits = [f"from {spec.low:g}"] if spec.low is not None else []
        limits += [f"to {spec.high:g}"] if spec.high is not None else []
        said = ascii(raw[:60] if isinstance(raw, str) else raw)[:60]
        if spec.privacy in (Privacy.PERSONAL, Privacy.SENSITIVE):
            said = "something (not shown: it may tell of a person)"
        self._health.count(f"bad.{self.name}")
        self._health.remark(
            f"bad.{self.name}.{point.id}",
            f"connection {self.name}: {point.id} says {said}, which is no"
            f" {' '.join([str(spec.type), *limits])}; its value is unknown until the next reading",
        )

    def _refuse(self, source: str, why: str, times: int = 1) -> None:
        self._health.count(f"refused.{self.name}", times)
        self._health.remark(
            f"refused.{self.name}.{source}",
            f"connection {self.name}: a message for {source} was refused: {why}",
        )


def _nobody() -> None:
    """Wake nobody."""


def _nobody_hears(_detail: str) -> None:
    """Tell nobody."""
