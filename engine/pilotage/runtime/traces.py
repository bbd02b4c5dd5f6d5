"""Traces of single readings on their way to a command, for a collector that speaks OTLP over HTTP; a sample of them.

A trace begins when the oldest input of a tick arrived. `reading` lasts until its commands were given to their connections, `decision`
from the tick until then (the journal lies between), and each `command` until its end is known. No value and no person is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import Any, Final

from pilotage.model.messages import Command, Decision, Followed, TargetChanged

MOST_OPEN: Final = 5_000
"""Commands whose end is waited for; an older one is told without."""
TIMEOUT_S: Final = 2
STOP_S: Final = 1.0
PERSON: Final = "operator "

log = logging.getLogger("pilotage.traces")


class Traces:
    """Makes spans of decisions; lives in the event loop, sends in a thread of the SDK."""

    def __init__(
        self,
        endpoint: str,
        share: float,
        site: str,
        version: str,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Begin to trace.

        Args:
            endpoint: Where the collector takes traces: `http://127.0.0.1:4318/v1/traces`.
            share: Part of the decisions with commands that is traced, from 0 to 1.
            site: The site's name.
            version: Of pilotage.
            chance: A number from 0 to 1 for each decision.

        Raises:
            ImportError: The extra `otel` is not installed.
        """
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        about = {"service.name": "pilotage", "service.version": version, "pilotage.site": site}
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("pilotage", version)
        self._share = share
        self._chance = chance
        self._open: dict[str, Any] = {}

    def sent(self, decision: Decision, arrived: float) -> None:
        """Trace a decision that was sent just now; its oldest input arrived at that time of `time.monotonic`."""
        if self._chance() >= self._share:
            return
        commands = [event for event in decision.events if type(event) is Command]
        if not commands:
            return
        now = time.time_ns()
        began = now - int((time.monotonic() - arrived) * 1e9)
        decided = min(max(int(decision.now * 1e9), began), now)
        root = self._span("reading", began, None, {"pilotage.decision": decision.number})
        middle = self._span("decision", decided, root, {"pilotage.rules": _rules(decision)})
        for command in commands:
            self._follow(command, now, middle)
        middle.end(now)
        root.end(now)

    def committed(self, decision: Decision) -> None:
        """End the commands whose end a decision tells."""
        if not self._open:
            return
        for event in decision.events:
            span = self._open.pop(event.command, None) if type(event) is Followed else None
            if span is not None:
                span.set_attribute("pilotage.outcome", event.outcome)
                span.end()

    async def close(self) -> None:
        """Send what is there, for a moment, and end."""
        for span in self._open.values():
            span.end()
        self._open.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(self._provider.shutdown), STOP_S)

    def _follow(self, command: Command, now: int, parent: Any) -> None:
        if len(self._open) >= MOST_OPEN:
            self._open.pop(next(iter(self._open))).end(now)
        about = {"pilotage.point": command.point, "pilotage.attempt": command.attempt}
        if not command.because.startswith(PERSON):
            about["pilotage.because"] = command.because
        self._open[command.id] = self._span("command", now, parent, about)

    def _span(self, name: str, start: int, parent: Any, about: dict[str, Any]) -> Any:
        from opentelemetry.context import Context
        from opentelemetry.trace import set_span_in_context

        within = Context() if parent is None else set_span_in_context(parent, Context())
        return self._tracer.start_span(name, within, attributes=about, start_time=start)


def _rules(decision: Decision) -> list[str]:
    """Return who decided, without the people."""
    owners = dict.fromkeys(e.owner for e in decision.events if type(e) is TargetChanged)
    return [owner for owner in owners if not owner.startswith(PERSON)][:20]
