"""The ports of the engine: what it needs of the world, so that one machine or a cluster may stand behind it.

Everything that a partition owns enters through `InputLog` and leaves through `DecisionLog`; the other ports say who owns
a partition, where it lives, how partitions talk, what was kept of its state, and what time it is. A second implementation
of a port runs the contract tests of the first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pilotage.model.diagnostics import Severity

# ── errors ───────────────────────────────────────────────────────────────────────────────────


class Fenced(Exception):
    """Somebody else has written to the partition since: this engine must send nothing any more."""


class OwnedElsewhereError(Exception):
    """The partition belongs to another engine that is alive."""


class LogClosedError(Exception):
    """The log was closed before the record could be written."""


class LogUnusableError(Exception):
    """The log cannot be opened: of a newer version, damaged, or in a place that cannot be written."""


# ── records ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Envelope:
    """The inputs of one tick as they were given to the engine, in order.

    Attributes:
        now: Time of the tick, seconds since 1970.
        inputs: The encoded inputs (`pilotage.runtime.envelope`); may be empty, for a tick that a timer caused.
        after: Number of the last decision before this tick.
        position: Its place in the log: 1, 2, … without a gap; 0 before it was put.
    """

    now: float
    inputs: bytes
    after: int
    position: int = 0


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A decision as it is kept: canonical JSON, the same bytes in any process."""

    number: int
    now: float
    record: bytes


@dataclass(frozen=True, slots=True)
class ConfigSwitch:
    """From this moment on another set of rules decided.

    `detail` begins with `started` when the engine was started then: nothing of before stands any more.
    `position` is that of the last envelope before; the log sets it.
    """

    now: float
    digest: str
    detail: str = ""
    position: int = 0

    def is_of_city(self, city: str) -> bool:
        """Return whether an engine was started with this inventory and these kinds."""
        return bool(city) and self.detail.endswith(f"city {city}")

    @property
    def is_return(self) -> bool:
        """True for the mark of an engine that came back, and goes on."""
        return self.detail.startswith("continued")

    @property
    def is_start(self) -> bool:
        """Whether the engine began anew, and did not only exchange its rules."""
        return self.detail.startswith("started")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a partition between two ticks.

    Attributes:
        number: Of the last decision that it contains.
        position: Of the last envelope that it contains.
        now: Time of the last tick, seconds since 1970.
        digest: Of the rules that were in force.
        state: The state itself, as the engine encodes it.
    """

    number: int
    position: int
    now: float
    digest: str
    state: bytes


# ── logs ─────────────────────────────────────────────────────────────────────────────────────


class InputLog(Protocol):
    """Everything that happened to a partition, in the order in which the engine got it.

    Contract: envelopes come back in the order in which they were put, each at the next position. An envelope may still
    be lost in a crash as long as no later decision of its partition is on disk; once a decision is, all envelopes before
    it are too. A position that was lost is given again, to another envelope.
    """

    def put(self, partition: str, envelope: Envelope) -> int:
        """Hand over the inputs of a tick; returns their position at once."""
        ...

    def switch(self, partition: str, switch: ConfigSwitch) -> None:
        """Hand over that the rules were exchanged; returns at once, same promise as `put`."""
        ...

    def position(self, partition: str) -> int:
        """Return the position of the envelope that was put last, on disk or not."""
        ...

    def flushed(self, partition: str) -> Awaitable[int]:
        """Have what was put so far written at once; the result is the last position, when it is on disk."""
        ...

    def inputs(self, partition: str, after_position: int = 0) -> Iterator[Envelope]:
        """Return the envelopes on disk after a position, oldest first."""
        ...


class DecisionLog(Protocol):
    """What a partition decided, numbered without a gap.

    Contract: the result of `append` comes only when the record would survive a power loss; results come in the order
    of the calls. A record whose `expect` is not the last number in the log is refused with `Fenced`, and so is every
    later one of this writer. While the log cannot write (disk full), results wait and nothing is lost or reordered.
    """

    def append(
        self, partition: str, expect: int, record: DecisionRecord, *, soon: bool = True
    ) -> Awaitable[int]:
        """Append a decision after decision number `expect`; the result is its number.

        Args:
            partition: Whose.
            expect: The decision that it follows.
            record: What to keep.
            soon: False when nothing waits for it: it may be written together with what comes in the next moment.

        Raises:
            Fenced: Through the result: the log has another last number, or another writer owns it.
            LogClosedError: Through the result: the log was closed first.
        """
        ...

    def last_number(self, partition: str) -> int:
        """Return the number of the last decision on disk, 0 when there is none."""
        ...

    def decisions(
        self,
        partition: str,
        since: float | None = None,
        until: float | None = None,
        after: int = 0,
    ) -> Iterator[DecisionRecord]:
        """Return decisions in order of number.

        Args:
            partition: Whose decisions.
            since: None before this time, seconds since 1970.
            until: None at or after this time.
            after: None up to this number.
        """
        ...


class SnapshotStore(Protocol):
    """Kept states of partitions, so that a start replays minutes and not months.

    Contract: `newest` returns a snapshot that was written whole, byte for byte as it was given, or None. A half-written
    or damaged one is never returned, nor one of a version that is not known; the one before is used then.
    """

    def write(self, partition: str, snapshot: Snapshot) -> None:
        """Write a snapshot; when this returns it would survive a power loss.

        Blocks. Needs no event loop and no thread, so that a forked child may call it.

        Raises:
            OSError: The disk refuses; the snapshots from before are as they were.
        """
        ...

    def newest(
        self, partition: str, number: int | None = None, position: int | None = None
    ) -> Snapshot | None:
        """Return the newest whole snapshot.

        Args:
            partition: Whose.
            number: The last decision that the log holds. A snapshot can contain what a power loss took away before it was
                on disk; such a one belongs to a time that never was, and is removed.
            position: The last envelope that the log holds, in the same way.
        """
        ...


# ── who, where, with whom ────────────────────────────────────────────────────────────────────


class Ownership(Protocol):
    """Who may command a partition.

    Contract: between `acquire` and `release`, nobody else can acquire the partition; each acquisition has a higher
    epoch than all before it, also across restarts. The owner's death releases it.
    """

    def acquire(self, partition: str) -> int:
        """Return the epoch of this ownership.

        Raises:
            OwnedElsewhereError: Another engine owns the partition; the text names it.
        """
        ...

    def release(self, partition: str) -> None:
        """Give the partition back; does nothing when it is not owned."""
        ...


class Placement(Protocol):
    """Which partition an entity belongs to.

    Contract: a pure function of the entity's zone: the same zone always gives the same partition, and every partition
    that is returned is among `partitions`.
    """

    @property
    def partitions(self) -> Sequence[str]:
        """All partitions, in order of name."""
        ...

    def partition_of(self, zone: str) -> str:
        """Return the partition of an entity's zone."""
        ...


class Exchange(Protocol):
    """How a partition tells others what they read of it: demands, values of points at its border.

    Contract: at least once and in order per pair of partitions; each message carries its source, epoch and sequence,
    so that the receiver can drop what it had.
    """

    def publish(self, source: str, epoch: int, sequence: int, message: bytes) -> None:
        """Hand a message to all partitions that read from `source`."""
        ...

    def subscribe(self, partition: str, receive: Callable[[str, int, int, bytes], None]) -> None:
        """Have `receive(source, epoch, sequence, message)` called for all that the partition reads."""
        ...


# ── time and trouble ─────────────────────────────────────────────────────────────────────────


class Clock(Protocol):
    """What time it is for the engine.

    Contract: neither of the two ever goes back. `delay` turns seconds of this clock into seconds of the event loop.
    """

    def now(self) -> float:
        """Return the wall time, seconds since 1970 UTC."""
        ...

    def monotonic(self) -> float:
        """Return elapsed seconds since some moment; jumps of the wall clock leave it alone."""
        ...

    def delay(self, seconds: float) -> float:
        """Return how long the event loop has to wait until this clock has moved by `seconds`, at least 0."""
        ...


class HealthLog(Protocol):
    """Where the rooms of the runtime say how they are."""

    def raised(
        self, code: str, text: str, mend: str = "", severity: Severity = Severity.ERROR
    ) -> None:
        """Say that something is wrong, under a code that stays; said again with the same text it is no news."""
        ...

    def cleared(self, code: str) -> None:
        """Say that it is right again; does nothing when it was."""
        ...

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        ...

    def remark(self, key: str, text: str) -> None:
        """Log a warning, at most once a minute for each key; what was held back is counted in the next."""
        ...
