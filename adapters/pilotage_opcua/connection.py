"""One OPC UA connection: from connecting to loss, and never a queue of old orders.

A fresh client is made for every connection, because one that reconnects by itself can stay connected and deaf, and sends
what waited for it up to a minute late. Each subscription watches the server's clock too: silence means loss.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from asyncua import ua

from pilotage.adapter import ConnectionSettings, Door, Site
from pilotage.model.diagnostics import RuleError
from pilotage.model.messages import CallOut, Command, Outcome, Request
from pilotage_opcua.binding import Method, Plan, Write, bind
from pilotage_opcua.codec import Garbage, fit, is_refusal, text_of
from pilotage_opcua.intake import Clock, Intake
from pilotage_opcua.link import ConnectionLost, Link

log: Final = logging.getLogger("pilotage.opcua")

__all__ = ["ConnectionLost", "OpcUaConnection", "open_connection"]


def open_connection(settings: ConnectionSettings, site: Site, door: Door) -> OpcUaConnection:
    """Return the connection that these settings describe, not connected yet.

    A site that has a method `now` gives the city's time (a demonstration runs faster than the clock on the wall).

    Raises:
        RuleError: The settings have errors.
    """
    plan, findings = bind(settings, site)
    if any(finding.is_error for finding in findings):
        raise RuleError(findings)
    library = logging.getLogger("asyncua")
    if library.level == logging.NOTSET:
        # It writes every lost link down, several times a second; the engine says it once.
        library.setLevel(logging.CRITICAL + 1)
    clock: Clock = getattr(site, "now", time.time)
    return OpcUaConnection(plan, door, settings.name, clock)


class OpcUaConnection:
    """An adapter: `run` holds one connection until it is lost, `send` uses it while it is up."""

    def __init__(self, plan: Plan, door: Door, name: str, now: Clock = time.time) -> None:
        self.intake = Intake(door, name, now, time.monotonic)
        self._plan = plan
        self._door = door
        self._name = name
        self._now = now
        self._link: Link | None = None
        self._slots = asyncio.Semaphore(plan.server.in_flight)
        self._turns: dict[str, asyncio.Lock] = {}
        self._newest: dict[str, str] = {}

    def targets(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the points that can be ordered, and the calls that are served."""
        return sorted({*self._plan.writes, *self._plan.requests}), sorted(self._plan.calls)

    async def run(self) -> None:
        """Connect, subscribe, read everything once and hand in readings until cancelled.

        Raises:
            ConnectionLost: Always, unless cancelled; its text says why.
        """
        link = Link(self._plan, self.intake, self._door, self._name, self._now)
        try:
            detail = await link.open()
            self._link = link
            self._door.connected(detail)
            log.info(
                "connection %s: %s",
                self._name,
                detail,
                extra={"event": "opcua.connected", "about": self._name},
            )
            raise ConnectionLost(await link.down)
        except ConnectionLost as error:
            if link.has_reported:
                self._door.lost(self._plan.points, str(error))
            await self._end(link)
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # The library takes a cancellation that comes while it ends its own tasks for one of theirs.
                raise asyncio.CancelledError from error
            raise
        except BaseException:
            await self._end(link)
            raise

    async def _end(self, link: Link) -> None:
        self._link = None
        await link.close()

    # ── orders ───────────────────────────────────────────────────────────────────────────────

    async def send(self, order: Command | Request | CallOut) -> Outcome:
        """Send an order now or not at all, and return what is known of it.

        Orders for one point go one after the other; of those that wait, only the newest is sent.
        """
        target = order.name if isinstance(order, CallOut) else order.point
        if self._link is None or self._now() >= order.deadline:
            return Outcome.NOT_SENT
        turn = self._turns.setdefault(target, asyncio.Lock())
        self._newest[target] = order.id
        async with turn, self._slots:
            link = self._link
            if link is None or self._now() >= order.deadline:
                return Outcome.NOT_SENT
            if isinstance(order, Command) and self._newest[target] != order.id:
                return Outcome.NOT_SENT
            try:
                return await self._send(link, order)
            except Garbage as error:
                return self._not_sent(target, str(error))

    async def _send(self, link: Link, order: Command | Request | CallOut) -> Outcome:
        match order:
            case Command():
                write = self._plan.writes.get(order.point)
                return Outcome.NOT_SENT if write is None else await self._write(link, order, write)
            case Request():
                method = self._plan.requests.get(order.point)
            case _:
                method = self._plan.calls.get(order.name)
        return Outcome.NOT_SENT if method is None else await self._call(link, order, method)

    async def _write(self, link: Link, order: Command, write: Write) -> Outcome:
        if order.value is None and write.release is None:
            return self._not_sent(order.point, 'nothing to give it back with: add "release"')
        node_id = link.node_id(write.address)
        type_ = await link.type_of(write.address)
        if node_id is None or type_ is None:
            return self._not_sent(order.point, f"{write.address.text}: the server has no such node")
        value = write.release if order.value is None else write.convert(order.value)
        variant = variant_of(value, type_)
        try:
            status = await link.write(node_id, variant)
        except ConnectionLost as error:
            return self._unknown(order.point, str(error))
        if status.is_good():
            await link.read_back(order.point)
            return Outcome.ACKNOWLEDGED
        await link.read_back(order.point)
        return self._judged(order.point, f"{write.address.text}: {status.name}", status)

    async def _call(self, link: Link, order: Request | CallOut, method: Method) -> Outcome:
        name = order.name if isinstance(order, CallOut) else order.point
        owner, node_id = link.node_id(method.object), link.node_id(method.method)
        if owner is None or node_id is None:
            missing = method.object if owner is None else method.method
            return self._not_sent(name, f"{missing.text}: the server has no such node")
        values = {**method.attributes, **_named(order)}
        try:
            inputs = await link.inputs_of(node_id)
        except ConnectionLost as error:
            return self._not_sent(name, str(error))
        made = _arguments([build(values) for build in method.arguments], inputs)
        try:
            result = await link.call(owner, node_id, made)
        except ConnectionLost as error:
            return self._unknown(name, str(error))
        if isinstance(order, CallOut):
            return self._answered(order, method, result)
        if result.StatusCode.is_good():
            return Outcome.ACKNOWLEDGED
        return self._judged(
            name, f"{method.method.text}: {result.StatusCode.name}", result.StatusCode
        )

    def _answered(self, order: CallOut, method: Method, result: Any) -> Outcome:
        """Hand a service's answer in: its status, and why."""
        code = result.StatusCode
        if not code.is_good():
            if is_refusal(code.value):
                self._door.call_result(order.id, method.bad, code.name)
                return Outcome.ACKNOWLEDGED
            return self._judged(order.name, f"{method.method.text}: {code.name}", code)
        outputs = [variant.Value for variant in result.OutputArguments or ()]
        detail = _output(outputs, method.detail)
        status = method.good if method.output is None else _output(outputs, method.output)
        if method.words is not None and status not in method.words:
            known = ", ".join(method.words)
            self._door.refused(f"{self._name}: {order.name}", f'"{status}" is none of {known}')
            return Outcome.ACKNOWLEDGED
        self._door.call_result(
            order.id, status if method.words is None else method.words[status], detail
        )
        return Outcome.ACKNOWLEDGED

    def _judged(self, target: str, why: str, status: Any) -> Outcome:
        """Return what a status that is not good says of an order, and tell it."""
        self._door.refused(f"{self._name}: order for {target}", why)
        return Outcome.REFUSED if is_refusal(status.value) else Outcome.UNKNOWN

    def _not_sent(self, target: str, why: str) -> Outcome:
        self._door.refused(f"{self._name}: order for {target}", why)
        return Outcome.NOT_SENT

    def _unknown(self, target: str, why: str) -> Outcome:
        log.info(
            "connection %s: order for %s: %s",
            self._name,
            target,
            why,
            extra={"event": "opcua.order", "about": self._name},
        )
        return Outcome.UNKNOWN


def variant_of(value: Any, type_: ua.VariantType) -> ua.Variant:
    """Return a value as a node of this type takes it.

    Raises:
        Garbage: It does not fit.
    """
    fitted = fit(value, type_.name)
    if type_ is ua.VariantType.LocalizedText:
        fitted = ua.LocalizedText(fitted)
    return ua.Variant(fitted, type_)


_GUESSED: Final[Mapping[type, ua.VariantType]] = {
    bool: ua.VariantType.Boolean,
    int: ua.VariantType.Int64,
    float: ua.VariantType.Double,
    str: ua.VariantType.String,
}


def _arguments(values: Sequence[Any], inputs: Sequence[ua.VariantType] | None) -> list[ua.Variant]:
    """Return input arguments with the types that the method declares; guessed when it declares none."""
    if inputs is None:
        return [
            variant_of(text_of(value) if type(value) not in _GUESSED else value, guessed)
            for value in values
            for guessed in (_GUESSED.get(type(value), ua.VariantType.String),)
        ]
    if len(inputs) != len(values):
        raise Garbage(f"the method takes {len(inputs)} arguments, {len(values)} are bound")
    return [variant_of(value, type_) for value, type_ in zip(values, inputs, strict=True)]


def _named(order: Request | CallOut) -> dict[str, Any]:
    """Return what placeholders stand for: `with.eta` and `arguments.vehicle` by their full names."""
    values: dict[str, Any] = {
        "command": order.id,
        "deadline": round(order.deadline, 3),
        "because": order.because,
        "attempt": order.attempt,
    }
    if isinstance(order, Request):
        values |= {"point": order.point, "action": order.action, "entity": order.entity}
        data, prefix = order.data, "with"
    else:
        values["call"] = order.name
        data, prefix = order.arguments, "arguments"
    return values | {f"{prefix}.{key}": value for key, value in data.items()} | {prefix: dict(data)}


def _output(outputs: Sequence[Any], index: int | None) -> str:
    if index is None or index >= len(outputs):
        return ""
    with suppress(Exception):
        return text_of(outputs[index])
    return ""
