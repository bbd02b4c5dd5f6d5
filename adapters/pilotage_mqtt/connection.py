"""One MQTT connection: from connecting to loss, and never a queue of old orders.

A fresh client object is made for every connection, because paho delivers what was published while it was away: a bollard
must not obey an order of ten minutes ago.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from pilotage.adapter import ConnectionSettings, Door, Site
from pilotage.adapter.payload_binding import payload_of, values_of
from pilotage.adapter.payloads import Garbage
from pilotage.model.diagnostics import RuleError
from pilotage.model.messages import CallOut, Command, Outcome, Request
from pilotage_mqtt.attendance import Attendance
from pilotage_mqtt.binding import Plan, Target, bind
from pilotage_mqtt.discovery import Described
from pilotage_mqtt.intake import Intake
from pilotage_mqtt.link import NOTHING, Beside, ConnectionLost, Link

__all__ = ["ConnectionLost", "MqttConnection", "open_connection"]

SUBSCRIBE_S = 0.05
"""Descriptions that come within so long are subscribed to together."""

Clock = Callable[[], float]
"""Returns the city's time now, in seconds since 1970."""


def open_connection(settings: ConnectionSettings, site: Site, door: Door) -> MqttConnection:
    """Return the connection that these settings describe, not connected yet.

    A site that has a method `now` gives the city's time (a demonstration runs faster than the clock on the wall).

    Raises:
        RuleError: The settings have errors.
    """
    plan, findings = bind(settings, site)
    if any(finding.is_error for finding in findings):
        raise RuleError(findings)
    clock: Clock = getattr(site, "now", time.time)
    return MqttConnection(plan, door, settings.name, clock)


class MqttConnection:
    """An adapter: `run` holds one connection until it is lost, `send` uses it while it is up."""

    def __init__(self, plan: Plan, door: Door, name: str, now: Clock = time.time) -> None:
        self._attendance = Attendance(door, self._later) if plan.attended else None
        self.intake = Intake(plan, door, name, self._attendance)
        self._plan = plan
        self._door = door
        self._name = name
        self._now = now
        self._link: Link | None = None
        self._found: dict[str, Target] = {}
        self._wanted: dict[str, int] = {}
        if self.intake.discoverer is not None:
            self.intake.discoverer.bind = self._bind
            self.intake.discoverer.unbind = self._unbind

    def targets(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the points that can be ordered, and the calls that are served."""
        found = self._plan.discovery.orders if self._plan.discovery is not None else ()
        return sorted({*self._plan.writes, *self._plan.requests, *found}), sorted(self._plan.calls)

    async def run(self) -> None:
        """Connect, subscribe and hand in readings until cancelled.

        Raises:
            ConnectionLost: Always, unless cancelled; its text says why.
        """
        broker = self._plan.broker
        link = Link(broker, self.intake, self._door)
        if self._attendance is not None:
            self._attendance.reset()
        if self.intake.discoverer is not None:
            self.intake.discoverer.forget()
            self._found.clear()
        try:
            await link.open(self._plan.subscriptions)
            self._link = link
            self._subscribe_found()
            self._door.connected(f"{broker.host}:{broker.port}, MQTT {broker.version}")
            raise ConnectionLost(await link.down)
        except ConnectionLost as error:
            if self._link is link:
                self._door.lost(self._plan.points, str(error))
            raise
        finally:
            self._link = None
            link.close()

    async def send(self, order: Command | Request | CallOut) -> Outcome:
        """Send an order now or not at all, and return what is known of it.

        With QoS 1 and 2 the broker has it when this returns ACKNOWLEDGED, with QoS 0 it went to the socket.
        """
        link, target = self._link, self._target(order)
        if link is None or target is None or self._now() >= order.deadline:
            return Outcome.NOT_SENT
        if self._is_away(order):
            return Outcome.NOT_SENT  # told again when it is back
        try:
            payload, beside = self._payload(order, target)
        except Garbage as error:
            self._door.refused(f"{self._name}: order for {target.topic}", str(error))
            return Outcome.NOT_SENT
        async with link.slots:
            left = order.deadline - self._now()
            if left <= 0 or not link.is_up:
                return Outcome.NOT_SENT
            return await link.publish(target.topic, payload, target.outlet.qos, left, beside)

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        link = self._link

        def unless_lost() -> None:
            if self._link is link and link is not None:
                then()

        asyncio.get_running_loop().call_later(seconds, unless_lost)

    # ── devices that describe themselves ─────────────────────────────────────────────────────

    def _bind(self, found: Described) -> None:
        self.intake.add(found.state_topic, found.source)
        if found.command is not None:
            self._found[found.point.id] = Target(*found.command)
        self._wanted[found.state_topic] = 1
        if self._link is not None and len(self._wanted) == 1:
            self._later(SUBSCRIBE_S, self._subscribe_found)  # most come in a flock

    def _unbind(self, found: Described) -> None:
        self.intake.remove(found.state_topic, found.source)
        self._found.pop(found.point.id, None)
        self._door.lost([found.point], "its device has taken back its description")

    def _subscribe_found(self) -> None:
        wanted, self._wanted = self._wanted, {}
        if self._link is not None and wanted:
            self._link.subscribe_more(wanted)
            # Wanted values are told to those that can hear them now.
            self._door.connected(f"{len(self._found)} devices that describe themselves take orders")

    # ── who is away ──────────────────────────────────────────────────────────────────────────

    def _is_away(self, order: Command | Request | CallOut) -> bool:
        if self._attendance is None or isinstance(order, CallOut):
            return False
        return order.point.partition(".")[0] in self._attendance.away

    def _target(self, order: Command | Request | CallOut) -> Target | None:
        match order:
            case Command():
                return self._plan.writes.get(order.point) or self._found.get(order.point)
            case Request():
                return self._plan.requests.get(order.point)
            case _:
                return self._plan.calls.get(order.name)

    def _payload(self, order: Command | Request | CallOut, target: Target) -> tuple[bytes, Beside]:
        named = values_of(order, target.outlet, target.attributes)
        payload = payload_of(order, target.outlet, named)
        if self._plan.broker.version != "5":
            return payload, NOTHING
        properties = tuple((name, text(named).decode()) for name, text in target.properties)
        correlation = order.id if target.reply_to else ""
        return payload, Beside(target.content_type, properties, target.reply_to, correlation)
