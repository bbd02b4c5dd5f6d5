"""The audit written by a process of its own: deriving, hashing and storing its rows takes nothing from the city's rules.

That process reads the journal by itself; from here it gets what no decision holds, and the hint that there is something new. It is
started again when it has ended or says nothing any more. What it had not answered is asked again then, under the same
number: it knows what it has done already.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

from pilotage.model.diagnostics import Severity
from pilotage.model.messages import Decision
from pilotage.ports import Clock, HealthLog, LogClosedError, LogUnusableError
from pilotage.runtime.audit import wire
from pilotage.runtime.audit.entries import Entry
from pilotage.runtime.audit.log import LAZY_S, MOST_WAITING
from pilotage.runtime.clock import reading_of

T = TypeVar("T")

COMMAND: Final = (sys.executable, "-m", "pilotage.runtime.audit.child")
BEAT_S: Final = 1.0
SILENT_S: Final = 30.0
"""A process that hears the time and says nothing for so long is ended and started again."""
PAUSE_S: Final = (0.2, 30.0)
OPEN_S: Final = 60.0
CLOSE_S: Final = 30.0

_CODE: Final = "audit.process"
_MEND: Final = "see the engine's log for what it said last; when it happens again and again, restart the engine and report it"


class AuditProcess:
    """The engine's end; see `AuditWriter`.

    Attributes:
        path: The file.
        reached: The last decision of each partition that was taken up.
    """

    def __init__(
        self,
        path: Path,
        journal: Path,
        clock: Clock,
        health: HealthLog,
        *,
        anchor_folder: Path | None = None,
        lazy_s: float = LAZY_S,
        silent_s: float = SILENT_S,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """Name an audit; `open` starts the process.

        Args:
            path: The file; the folder `anchors` stands beside it.
            journal: The journal that the process follows.
            clock: The engine's time.
            health: Where trouble is told.
            anchor_folder: A second folder for anchors, on another machine if possible.
            lazy_s: How long decisions may wait to be taken up together.
            silent_s: How long the process may say nothing.
            command: Starts it; the number of its socket is added.
        """
        self.path = path
        self.reached: Mapping[str, int] = {}
        self._clock = clock
        self._health = health
        self._silent_s = silent_s
        self._command = tuple(command)
        self._begin = wire.Begin(
            *(0, str(path), str(journal), "" if anchor_folder is None else str(anchor_folder)),
            *([], lazy_s, secrets.token_hex(8)),
        )
        self._changed = threading.Condition()
        self._number = 0
        self._asked: dict[int, tuple[wire.Ask, Future[Any]]] = {}
        self._outbox: deque[wire.ToChild] = deque()
        self._hinted = self._is_more = False
        self._raised: set[str] = set()
        self._closing = self._over = False
        self._heard_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._threads: list[threading.Thread] = []

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    def prepare(self) -> None:
        """Start the process: it takes some tenths of a second, in which the engine may read its rules."""
        if self._process is None:
            self._sock = self._spawn()

    def open(self, *partitions: str) -> None:
        """Have the process open the file.

        Raises:
            LogUnusableError: The file is of a newer version, is no audit, cannot be opened, or another engine writes to it.
        """
        self.prepare()
        self._begin.partitions = list(partitions)
        for work in (self._send, self._hear):
            thread = threading.Thread(target=work, name="pilotage-audit", daemon=True)
            self._threads.append(thread)
            thread.start()
        try:
            self._ask(lambda number: self._numbered_begin(number)).result(OPEN_S)
        except TimeoutError:
            self.close()
            raise LogUnusableError(
                f"{self.path}: the process that writes the audit does not answer"
            ) from None
        except BaseException:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether its threads live; a process that has ended is started again by them."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    @property
    def pid(self) -> int:
        """Number of the process, 0 when there is none."""
        return 0 if self._process is None else self._process.pid

    def close(self, last: tuple[Entry, Mapping[str, str]] | None = None) -> None:
        """Have the process take up what was decided, write a last row and end; without patience for one that does not."""
        entry, private = last if last is not None else (None, {})
        if self._threads and not self._closing:
            done = self._ask(lambda number: wire.Close(number, entry, dict(private)), is_last=True)
            with contextlib.suppress(TimeoutError, LogClosedError, LogUnusableError):
                done.result(CLOSE_S)
        with self._changed:
            self._closing = self._over = True
            self._changed.notify_all()
        self._end_process()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._fail_all(LogClosedError(f"{self.path} is closed"))

    # ── what comes in ────────────────────────────────────────────────────────────────────────

    def committed(self, decision: Decision) -> None:
        """Hear that a decision is in the journal; it is taken up soon."""
        with self._changed:
            if self._hinted:
                self._is_more = True
                return
            self._hinted = True
            self._outbox.append(wire.Committed())
            self._changed.notify_all()

    def catch_up(self) -> None:
        """Take up every decision that the journal holds; blocks until it is on disk."""
        self._ask(wire.CatchUp).result()

    def how_it_ended(self) -> Future[str]:
        """Return how the life before ended: `stopped`, `cut off`, or nothing when there was none."""
        return self._ask(wire.HowItEnded)

    def note(self, entry: Entry, private: Mapping[str, str] | None = None) -> None:
        """Write a row as soon as the disk takes it; returns at once."""
        self.record(entry, private)

    def record(self, entry: Entry, private: Mapping[str, str] | None = None) -> Future[int]:
        """Write a row; the result, its number, comes when it is on disk."""
        return self._ask(lambda number: wire.Record(number, entry, dict(private or {})))

    def rules(
        self,
        digest: str,
        identities: Mapping[str, str],
        entry: Entry,
        private: Mapping[str, str] | None = None,
    ) -> Future[int]:
        """Write that a rule set comes into force and what each rule in it means; before the first decision under it."""
        known, told = dict(identities), dict(private or {})
        return self._ask(lambda number: wire.Rules(number, digest, known, entry, told))

    def erase(self, person: str, private: Mapping[str, str], origin: str) -> Future[int]:
        """Erase what is told of a person in every chain; the result is the number of rows that named it."""
        return self._ask(lambda number: wire.Erase(number, person, dict(private), origin))

    def forget(self, before: float) -> Future[int]:
        """Seal and delete the rows before a time, up to the last anchor in it; the result is how many went."""
        return self._ask(lambda number: wire.Forget(number, before))

    def scrub(self) -> Future[None]:
        """Take what was deleted out of the log beside the file; after `erase` or `forget`."""
        return self._ask(wire.Scrub)

    def _ask(self, make: Callable[[int], wire.Ask], *, is_last: bool = False) -> Future[Any]:
        result: Future[Any] = Future()
        with self._changed:
            if self._closing:
                result.set_exception(LogClosedError(f"{self.path} is closed"))
                return result
            if len(self._asked) >= MOST_WAITING:
                self._health.count("audit.dropped")
                result.set_exception(LogClosedError(f"{self.path}: too much waits for the disk"))
                return result
            self._closing = is_last
            self._number += 1
            ask = make(self._number)
            self._asked[ask.number] = ask, result
            self._outbox.append(ask)
            self._changed.notify_all()
        return result

    def _numbered_begin(self, number: int) -> wire.Begin:
        self._begin.number = number
        return self._begin

    # ── the thread that sends ────────────────────────────────────────────────────────────────

    def _send(self) -> None:
        beat_s = min(BEAT_S, self._silent_s / 4)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._outbox or self._over, beat_s)
                if self._over:
                    return
                sock, messages = self._sock, list(self._outbox)
                self._outbox.clear()
            if sock is not None:
                self._send_all(sock, messages)
            if self._is_silent():
                self._health.count("audit.silent")
                self._kill()

    def _send_all(self, sock: socket.socket, messages: Sequence[wire.ToChild]) -> None:
        """Send the time, then messages; what does not arrive is asked again when the process was started again."""
        now = wire.Time(*reading_of(self._clock))
        with contextlib.suppress(OSError):
            for message in (now, *messages):
                wire.send(sock, message)

    def _is_silent(self) -> bool:
        return self._heard_at > 0.0 and time.monotonic() - self._heard_at > self._silent_s

    # ── the thread that hears ────────────────────────────────────────────────────────────────

    def _hear(self) -> None:
        pause, longest = PAUSE_S
        while True:
            began = time.monotonic()
            self._hear_until_it_ends()
            if self._closing:  # asked to close, it may go
                self._fail_all(LogClosedError(f"{self.path} is closed"))
                return
            if time.monotonic() - began > longest:
                pause = PAUSE_S[0]
            self._tell_of_end()
            with self._changed:
                self._changed.wait_for(lambda: self._closing, pause)
            if not self._closing:
                pause = min(pause * 2, longest)
                self._start_again()

    def _hear_until_it_ends(self) -> None:
        sock = self._sock
        while sock is not None and (message := wire.receive(sock, wire.FROM_CHILD)) is not None:
            self._heard_at = time.monotonic()
            match message:
                case wire.Answer():
                    self._answered(message)
                case wire.Reached():
                    self._taken_up(message)
                case wire.Raised() | wire.Cleared() | wire.Counted() | wire.Remarked():
                    self._tell(message, self._health)
                case wire.Heard():
                    pass

    def _tell(self, told: wire.Told, whom: HealthLog) -> None:
        """Tell what the process says of itself as our own."""
        match told:
            case wire.Raised():
                self._raised.add(told.code)
                whom.raised(told.code, told.text, told.mend, Severity(told.severity))
            case wire.Cleared():
                self._raised.discard(told.code)
                whom.cleared(told.code)
            case wire.Counted():
                whom.count(told.name, told.by)
            case wire.Remarked():
                whom.remark(told.key, told.text)

    def _answered(self, answer: wire.Answer) -> None:
        with self._changed:
            _, result = self._asked.pop(answer.number, (None, None))
            self._changed.notify_all()
        if answer.number == self._begin.number:
            self._begun(answer.why, is_again=result is None)
        if result is None or result.cancelled():
            return
        if answer.why:
            kind = LogClosedError if answer.is_closed else LogUnusableError
            result.set_exception(kind(answer.why))
        else:
            result.set_result(answer.value)

    def _begun(self, trouble: str, *, is_again: bool) -> None:
        if not trouble:
            self._health.cleared(_CODE)
        elif is_again:
            self._health.raised(_CODE, f"the audit does not go on: {trouble}", _MEND)

    def _taken_up(self, reached: wire.Reached) -> None:
        self.reached = reached.numbers
        with self._changed:
            self._hinted = self._is_more
            if self._is_more:  # something came since: it may have been too late for that page
                self._is_more = False
                self._outbox.append(wire.Committed())
                self._changed.notify_all()

    # ── the process ──────────────────────────────────────────────────────────────────────────

    def _spawn(self) -> socket.socket:
        """Start the process; returns our end of the socket to it."""
        ours, theirs = socket.socketpair()
        patience = struct.pack("@ll", int(self._silent_s), int(self._silent_s % 1 * 1e6))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*self._command, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
            except OSError:
                ours.close()
                raise
        self._heard_at = time.monotonic()
        return ours

    def _tell_of_end(self) -> None:
        """Say that the process has ended; what it had said of itself holds no more."""
        self._kill()
        assert self._process is not None
        status = self._process.wait()
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        self._health.count("audit.restarts")
        for code in self._raised:
            self._health.cleared(code)
        self._raised.clear()
        text = f"the process that writes the audit has ended {how}; it is started again, and nothing is missing"
        self._health.raised(_CODE, text, _MEND, Severity.WARNING)

    def _start_again(self) -> None:
        """Start the process, and ask anew what it had not answered, in order."""
        if self._sock is not None:
            self._sock.close()
        try:
            sock: socket.socket | None = self._spawn()
        except OSError as error:
            text = f"the process that writes the audit cannot start: {error}; it is tried again"
            self._health.raised(_CODE, text, _MEND)
            sock = None
        with self._changed:
            self._sock = sock
            if self._over:  # closed meanwhile, without patience: nobody ends this one else
                self._kill()
            again = [ask for ask, _ in self._asked.values() if ask is not self._begin]
            self._outbox = deque([self._begin, *again, wire.Committed()])
            self._hinted, self._is_more = True, False
            self._changed.notify_all()

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def _end_process(self) -> None:
        """End what has not ended by itself."""
        if self._process is None:
            return
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()
        if self._sock is not None:
            self._sock.close()

    def _fail_all(self, error: Exception) -> None:
        with self._changed:
            waiting = [result for _, result in self._asked.values()]
            self._asked.clear()
        for result in waiting:
            if not result.done():
                result.set_exception(error)
