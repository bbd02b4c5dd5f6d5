"""The process that writes the audit: reads the journal's file by itself, and does what the engine asks, in order.

`python -m pilotage.runtime.audit.child FD`: the number of a socket to the engine. It ends when the engine asks for it or is gone,
never by a signal that a terminal or a service manager sends to everybody: the engine's own last rows come after that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, assert_never

from pilotage.model.diagnostics import Severity
from pilotage.model.messages import Decision
from pilotage.ports import LogClosedError, LogUnusableError
from pilotage.runtime.audit import wire
from pilotage.runtime.audit.log import AuditLog, Ticket
from pilotage.runtime.clock import FollowedClock

LESS_URGENT: Final = 5
"""By how much it yields to the engine (`nice`): the journal has what it is to write already."""
_NOTHING: Final = Decision(0, 0.0, ())


class Told:
    """The engine's health log, at the other end; may be called from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        """Tell it through a socket."""
        self._sock = sock
        self._lock = threading.Lock()
        self._wrong: set[str] = set()

    def say(self, message: wire.Message) -> None:
        """Send something; when the engine is gone there is nobody to tell."""
        with self._lock, contextlib.suppress(OSError):
            wire.send(self._sock, message)

    def raised(
        self, code: str, text: str, mend: str = "", severity: Severity = Severity.ERROR
    ) -> None:
        """Say that something is wrong."""
        self._wrong.add(code)
        self.say(wire.Raised(code, text, mend, severity.value))

    def cleared(self, code: str) -> None:
        """Say that it is right again; what was never wrong is no news."""
        if code in self._wrong:
            self._wrong.discard(code)
            self.say(wire.Cleared(code))

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        self.say(wire.Counted(name, by))

    def remark(self, key: str, text: str) -> None:
        """Log a line."""
        self.say(wire.Remarked(key, text))


class Child:
    """One life of this process."""

    def __init__(self, sock: socket.socket) -> None:
        """Serve the engine at the other end of a socket."""
        self._sock = sock
        self._told = Told(sock)
        self._clock = FollowedClock()
        self._log: AuditLog | None = None
        self._life = ""

    def serve(self) -> None:
        """Do what is asked until the engine has enough of it, or is gone."""
        while (message := wire.receive(self._sock, wire.TO_CHILD)) is not None:
            if isinstance(message, wire.Time):
                self._clock.follow(message.now, message.monotonic, message.speed)
                self._told.say(wire.Heard())
            elif isinstance(message, wire.Committed):
                if self._log is not None:
                    self._log.committed(_NOTHING)
            else:
                self._ask(message)
                if isinstance(message, wire.Close) or self._log is None:
                    return

    def _ask(self, ask: wire.Ask) -> None:
        try:
            found = self._do(ask)
        except Exception as error:
            self._told.say(_failed(ask.number, error))
            return
        if isinstance(found, Future):
            found.add_done_callback(lambda done: self._told.say(_outcome(ask.number, done)))
        else:
            self._told.say(wire.Answer(ask.number))

    def _do(self, ask: wire.Ask) -> Future[Any] | None:
        if isinstance(ask, wire.Begin):
            self._begin(ask)
            return None
        log = self._log
        if log is None:
            raise LogClosedError("the audit is not open")
        ticket = Ticket(self._life, ask.number)
        match ask:
            case wire.CatchUp():
                return log.caught_up()
            case wire.HowItEnded():
                return log.how_it_ended()
            case wire.Record():
                return log.record(ask.entry, ask.private, ticket)
            case wire.Rules():
                return log.rules(ask.digest, ask.identities, ask.entry, ask.private, ticket)
            case wire.Erase():
                return log.erase(ask.person, ask.private, ask.origin, ticket)
            case wire.Forget():
                return log.forget(ask.before, ticket)
            case wire.Scrub():
                return log.scrub()
            case wire.Close():
                log.close(None if ask.entry is None else (ask.entry, ask.private))
                return None
        assert_never(ask)

    def _begin(self, ask: wire.Begin) -> None:
        self._life = ask.life
        log = AuditLog(
            Path(ask.path),
            Path(ask.journal),
            self._clock,
            self._told,
            anchor_folder=Path(ask.anchor_folder) if ask.anchor_folder else None,
            lazy_s=ask.lazy_s,
            rest_s=0.0,
        )
        log.on_reached = lambda numbers: self._told.say(wire.Reached(dict(numbers)))
        log.open(*ask.partitions)
        self._log = log


def _outcome(number: int, done: Future[Any]) -> wire.Answer:
    error = done.exception()
    return wire.Answer(number, done.result()) if error is None else _failed(number, error)


def _failed(number: int, error: BaseException) -> wire.Answer:
    known = isinstance(error, (LogClosedError, LogUnusableError))
    why = str(error) if known else f"{type(error).__name__}: {error}"
    return wire.Answer(number, why=why, is_closed=isinstance(error, LogClosedError))


def main() -> None:
    """Serve the engine whose socket is named on the command line; does not return."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(LESS_URGENT)
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        Child(sock).serve()
    # An engine that is gone has a successor, which waits for the file: what is on its way is rolled back.
    os._exit(0)


if __name__ == "__main__":
    main()
