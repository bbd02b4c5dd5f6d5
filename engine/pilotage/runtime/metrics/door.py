"""Opens the listener for metrics."""

from __future__ import annotations

import errno
import ssl

from pilotage.model.diagnostics import Severity
from pilotage.runtime.config import MetricsSettings
from pilotage.runtime.metrics.collector import Collector
from pilotage.runtime.metrics.listener import MetricsListener
from pilotage.runtime.metrics.parts import Parts, dead, unready


async def open_door(parts: Parts, settings: MetricsSettings) -> MetricsListener | None:
    """Return a listener that answers; None, with a finding, when it cannot: nothing else waits for it."""
    listener = MetricsListener(Collector(parts), lambda: dead(parts), lambda: unready(parts))
    try:
        await listener.open(settings.host, settings.port, _tls(settings))
    except (OSError, ssl.SSLError) as error:
        in_use = error.errno == errno.EADDRINUSE
        why = "another program listens there" if in_use else error
        parts.health.raised(
            "metrics.closed",
            f"nobody can read the metrics at {settings.host}:{settings.port}: {why}",
            "see metrics.listen and its certificate, `pilotage config check` tries them; then restart the engine",
            Severity.WARNING,
        )
        return None
    return listener


def _tls(settings: MetricsSettings) -> ssl.SSLContext | None:
    if settings.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate, settings.key)
    return context
