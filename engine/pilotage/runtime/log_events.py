"""Every event of the log by its name, with its level and what it says; the manual has a row for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class LogEvent:
    """What a line of the log is about.

    Attributes:
        name: Stands in the field `event` of a JSON line, and never changes its meaning.
        level: debug, info, warning or error; several where it depends.
        says: In a sentence.
    """

    name: str
    level: str
    says: str


EVENTS: Final[tuple[LogEvent, ...]] = (
    # life
    LogEvent("engine.in_service", "info", "The rules are at work and every connection has been opened."),
    LogEvent("engine.stopping", "info", "A signal asked for a stop."),
    LogEvent("engine.unchanged", "info", "Nothing has changed since the last snapshot: rules and inventory are taken from it."),
    LogEvent("engine.continued", "info", "The engine goes on where it was, with what was run again for that."),
    LogEvent("engine.anew", "warning", "The engine begins anew, and why."),
    LogEvent("engine.no_uvloop", "warning", "uvloop was asked for and is not installed."),
    LogEvent("engine.fault", "error", "A tick of the core failed; the points and orders among its inputs, without their values."),
    LogEvent("clock.jumped", "warning", "The system's clock jumped forward."),
    LogEvent("orders.left", "warning", "Orders were still on their way to devices at a stop."),
    # rules
    LogEvent("rules.reloaded", "info", "New rules are in force."),
    LogEvent("rules.reload_failed", "error", "A reload failed on something that is no mistake in a file."),
    LogEvent("rules.warning", "warning", "A warning of the rules or the settings, at a start."),
    LogEvent("replay.rules_missing", "warning", "Rules that the journal names are not kept: the replay goes on with others."),
    LogEvent("replay.rules_misfit", "warning", "Rules that the journal has do not fit the city any more."),
    LogEvent("replay.fault", "debug", "A tick failed again while it was run again."),
    # findings of the health report, and remarks
    LogEvent("finding.raised", "error, warning", "Something is wrong from now on; `code` names it, `mend` says what to do. Once."),
    LogEvent("finding.cleared", "info", "It is right again. Once."),
    LogEvent("remark", "warning", "Something small that may come often; `about` names it. Once a minute, with the number of those held back."),
    # connections and plugins
    LogEvent("connection.left_behind", "error", "A connection does not end when it is cancelled."),
    LogEvent("plugin.failed", "error, debug", "An adapter made a mistake; with its traceback."),
    LogEvent("plugin.died", "error", "The process of an isolated plugin ended."),
    LogEvent("opcua.connected", "info", "An OPC UA session is up, with what it agreed on."),
    LogEvent("opcua.intervals", "warning", "A server gives longer intervals than points need."),
    LogEvent("opcua.clock", "warning", "A server's clock is far from ours."),
    LogEvent("opcua.order", "info", "Nobody knows what became of an order to a server."),
    LogEvent("opcua.closing", "debug", "A session did not close in order."),
    # decisions and people
    LogEvent("notice", "info", "A rule tells people something; its text is in the journal, not here."),
    LogEvent("notice.failed", "error", "A notice could not be handed on."),
    LogEvent("decision.unrecorded", "error", "A decision was carried out, and its record was lost with the disk."),
    LogEvent("decision.not_passed_on", "error", "Somebody who follows decisions failed on one."),
    LogEvent("exchange.failed", "error", "A partition could not take a message; it comes again."),
    LogEvent("history.erased", "info", "Rows of the history were erased at a person's order; the audit has who and why."),
    LogEvent("web.ready", "info", "The pages can be opened, and where."),
    LogEvent("web.ended", "warning", "The process of the pages ended by itself; it is started again."),
    LogEvent("web.engine_gone", "warning", "The engine's process has gone; the pages say so."),
    LogEvent("web.away", "warning", "The pages have not heard the engine for three seconds; each page says so at once."),
    LogEvent("web.leaving", "info", "The pages heard that the engine is being stopped on purpose."),
    LogEvent("web.back", "info", "The pages hear the engine again."),
    LogEvent("web.audit_waits", "error", "Rows for the audit stay with the pages, which try again."),
    LogEvent("web.provider", "warning", "The identity provider did not say who somebody is, and why."),
    LogEvent("web.failed", "error", "A request of a page failed; the page shows its number."),
    LogEvent("control.open_folder", "warning", "Others can write into the folder of the control socket."),
    LogEvent("control.refused", "warning", "A user who may not asked at the control socket."),
    LogEvent("control.failed", "error", "A question at the control socket could not be answered."),
)  # fmt: skip
"""Every event that the engine and its adapters log."""

REMARKS: Final[dict[str, str]] = {
    "audit.failed": "A row of the audit could not be made.",
    "bad": "A device says a value that its point cannot have.",
    "dispatcher.no_route": "An order is for a point that no connection commands.",
    "dropped": "A plugin tells more than is taken.",
    "faults": "An adapter raised while it sent an order.",
    "inbox.conflated": "Readings arrive faster than they are evaluated.",
    "loop.slow": "Something holds the event loop.",
    "refused": "A message that no binding understands.",
}
"""What a remark may be about: what its key begins with."""


def about(key: str) -> str:
    """Return what a remark of this key is about."""
    return next((word for word in REMARKS if key == word or key.startswith(f"{word}.")), key)
