"""Health: is it well, what is not, since when, and what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pilotage import api
from pilotage.api import ApiError
from pilotage_web.health_words import finding_in_words
from pilotage_web.request import Visit, page
from pilotage_web.saying import word
from pilotage_web.texts import Words, mark

CONNECTION_STATES: Final[Mapping[str, str]] = {
    "stopped": mark("stopped"),
    "connecting": mark("connecting"),
    "up": mark("up"),
    "degraded": mark("degraded"),
    "down": mark("down"),
    "disabled": mark("disabled"),
}
PLUGIN_STATES: Final[Mapping[str, str]] = {
    "loaded": mark("loaded"),
    "disabled": mark("disabled"),
    "broken": mark("left out: broken"),
    "refused": mark("left out: refused"),
    "isolated": mark("in a process of its own"),
}
USUAL_LAG: Final = 50
"""So many decisions the audit may be behind at any moment: it is told of them a moment after the journal."""
SOON_S: Final = 30 * 86_400.0
"""A certificate that ends within this time is marked."""
_STEPS: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_FRENCH: Final = {"TB": "To", "GB": "Go", "MB": "Mo", "kB": "ko", "B": "o"}


@page("/health", "health.html")
async def health(visit: Visit) -> dict[str, Any]:
    """Show how everything is."""
    status = await visit.ask(api.GetStatus())
    report = await visit.ask(api.GetHealth())
    vitals = await visit.ask(api.GetVitals())
    figures = await visit.ask(api.GetFigures())
    try:
        history = await visit.ask(api.GetHistoryStatus())
    except ApiError:
        history = None
    return {
        **health_view(status, report, vitals, history, visit.words),
        **figures_view(figures, visit.words),
        "certificates": certificates_view(vitals, visit.words),
        "screens": visit.frame.hub.streams,
    }


def health_view(
    status: api.EngineStatus,
    report: api.HealthReport,
    vitals: api.Vitals,
    history: api.HistoryStatus | None,
    words: Words,
) -> dict[str, Any]:
    """Return what the page shows."""
    return {
        "status": status,
        "sound": report.sound,
        "findings": [
            {
                "is_error": f.severity == "error",
                "said": finding_in_words(words, f.code, f.text, f.mend),
                "code": f.code,
                "since": words.moment(f.since, status.now) if f.since else "",
            }
            for f in report.findings
        ],
        "uptime": words.words(max(0.0, status.now - status.started)),
        "clock_s": vitals.wall - status.now if status.speed == 1.0 else None,
        "connections": [_connection(c, report, status.now, words) for c in status.connections],
        "plugins": [
            {
                "name": p.name,
                "version": p.version,
                "state": word(words, PLUGIN_STATES, p.state),
                "why": p.why,
                "is_bad": p.state in ("broken", "refused"),
            }
            for p in vitals.plugins
        ],
        "disk_free": size(words, vitals.disk_free),
        "disk_share": round(100 * vitals.disk_free / vitals.disk_total) if vitals.disk_total else 0,
        "journal": size(words, vitals.journal_bytes),
        "audit": size(words, vitals.audit_bytes),
        "oldest": words.moment(vitals.oldest_decision, status.now)
        if vitals.oldest_decision
        else "",
        "snapshot": _age(vitals.snapshot_age_s, words),
        "backup": _age(vitals.backup_age_s, words),
        "history": None if history is None else size(words, history.bytes),
        "history_samples": None if history is None else history.samples,
        "memory": size(words, vitals.memory_bytes),
    }


def figures_view(figures: api.Figures, words: Words) -> dict[str, Any]:
    """Return how fast and how late the engine is since its start, and what waits."""
    measured = {
        "latency": figures.latency,
        "tick": figures.tick,
        "lag": figures.lag,
        "commit": figures.commits,
    }
    return {
        "p99": {name: milliseconds(words, p99(buckets)) for name, buckets in measured.items()},
        "queues": [(name, count) for name, count in sorted(figures.orders.items()) if count],
        "orders_waiting": sum(figures.orders.values()),
        "journal_waiting": size(words, figures.journal_waiting),
        "history_waiting": figures.history_waiting,
        "audit_lag": figures.audit_lag if figures.audit_lag > USUAL_LAG else 0,
    }


def p99(buckets: Sequence[api.Bucket]) -> float | None:
    """Return the bound, in seconds, below which 99 % of what was measured lies; infinite beyond the last, None before anything was."""
    whole = max((bucket.count for bucket in buckets), default=0)
    if not whole:
        return None
    within = (b.bound for b in buckets if b.bound is not None and b.count >= 0.99 * whole)
    return next(within, math.inf)


def milliseconds(words: Words, seconds: float | None) -> str:
    """Return a bound in milliseconds as people read it: `≤ 5 ms`."""
    if seconds is None:
        return "–"
    if math.isinf(seconds):
        return words.say("beyond what is measured")
    return f"≤ {words.number(1_000 * seconds, 1)} ms"


def certificates_view(vitals: api.Vitals, words: Words) -> list[dict[str, Any]]:
    """Return the certificates, the one that ends first at the top."""
    return [
        {
            "file": c.file,
            "ends": words.day(c.ends),
            "left": words.words(c.ends - vitals.wall) if c.ends > vitals.wall else "",
            "is_soon": c.ends - vitals.wall < SOON_S,
        }
        for c in sorted(vitals.certificates, key=lambda c: c.ends)
    ]


def _age(seconds: float | None, words: Words) -> str:
    return "" if seconds is None else words.words(seconds)


def _connection(
    c: api.Connection, report: api.HealthReport, now: float, words: Words
) -> dict[str, Any]:
    return {
        "name": c.name,
        "adapter": c.adapter,
        "state": word(words, CONNECTION_STATES, c.state),
        "is_up": c.state == "up",
        "is_bad": c.state in ("down", "degraded"),
        "detail": c.detail,
        "since": words.moment(c.since, now) if c.since else "",
        "heard": words.words(max(0.0, now - c.heard_at)) if c.heard_at else "",
        "points": c.points,
        "failures": c.failures,
        "process": c.process.pid if c.process is not None else 0,
        "restarts": c.process.restarts if c.process is not None else 0,
    }


def size(words: Words, count: float | None) -> str:
    """Return a number of bytes as people read it: `3.4 GB`."""
    if count is None:
        return "–"
    factor, unit = next(((f, u) for f, u in _STEPS if count >= f), (1.0, "B"))
    unit = _FRENCH[unit] if words.language == "fr" else unit
    return f"{words.number(count / factor, 1)} {unit}"


ROUTES: Sequence[Any] = (health,)
