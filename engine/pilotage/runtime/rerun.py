"""Runs a recorded stretch of a city's life again, from its start or from a snapshot, and compares every decision."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pilotage.model.messages import Decision
from pilotage.ports import Envelope, HealthLog, Snapshot
from pilotage.runtime.envelope import encode_decision
from pilotage.runtime.journal import JournalReader
from pilotage.runtime.recovery import Recovery
from pilotage.runtime.snapshots import FileSnapshots, SnapshotUnreadableError, read
from pilotage.runtime.state import StateUnusableError
from pilotage.runtime.workshop import CityPlan, LiveEngine, Workshop


class NothingToReplayError(Exception):
    """There is no place to begin from; the text says why, and what would help."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """How a replay went.

    Attributes:
        since, until: Times of the first and the last tick, seconds since 1970.
        begins: `the start of the engine` or `a snapshot`.
        compared: Decisions that were compared with their record.
        differing: Numbers of those that were decided otherwise.
        recorded, decided: Digests of the decisions as the journal holds them, and as they were decided now.
    """

    since: float
    until: float
    begins: str
    ticks: int
    compared: int
    differing: tuple[int, ...]
    recorded: str
    decided: str


def rerun(
    partition: str,
    plan: CityPlan,
    workshop: Workshop,
    storage: tuple[Path, Path],
    health: HealthLog,
    told: Callable[[int], None] = lambda ticks: None,
) -> Rerun:
    """Run the longest recorded stretch again that this inventory had, each part with the rules of its time.

    Args:
        partition: Whose.
        plan: The city as it is configured now.
        workshop: Makes engines.
        storage: The journal's file, and the folder of the snapshots.
        health: Where damaged snapshots are told.
        told: Called with each tick's position, for a progress bar.

    Raises:
        NothingToReplayError: Neither a start nor a snapshot fits.
        LogUnusableError: The journal cannot be read.
    """
    journal = JournalReader(storage[0])
    snapshots = FileSnapshots(storage[1], health)
    recovery = Recovery(partition, workshop, _Told(journal, told), snapshots, health)
    switches = list(journal.switches(partition))
    start = next((s for s in reversed(switches) if s.is_start), None)
    began = recovery.beginning(plan, start)
    begins = "the start of the engine" if began is not None else "a snapshot"
    engine, base = began or _from_snapshot(partition, plan, workshop, snapshots)
    later = [s for s in switches if s.position >= base.position and not s.is_start]
    replay, _ = recovery.replay(engine, plan, base, later)
    recorded = hashlib.sha256()
    for record in journal.decisions(partition, after=base.number):
        recorded.update(record.record)
    decided = (
        replay.digest if not replay.undelivered else _without(replay.undelivered, replay.digest)
    )
    return Rerun(
        base.now, engine.now, begins, replay.ticks, replay.compared,
        tuple(replay.differing), recorded.hexdigest(), decided,
    )  # fmt: skip


def _without(undelivered: list[Decision], digest: str) -> str:
    """Return a digest that differs from any record's: more was decided than is recorded."""
    return hashlib.sha256(digest.encode() + encode_decision(undelivered[0])).hexdigest()


class _Told:
    """A journal that tells how far it was read."""

    def __init__(self, journal: JournalReader, told: Callable[[int], None]) -> None:
        self._journal = journal
        self._told = told
        self.last_number = journal.last_number
        self.last_position = journal.last_position
        self.decisions = journal.decisions
        self.switches = journal.switches
        self.archived = journal.archived

    def inputs(self, partition: str, after_position: int = 0) -> Iterator[Envelope]:
        """Return envelopes after a position, telling of each."""
        for envelope in self._journal.inputs(partition, after_position):
            self._told(envelope.position)
            yield envelope


def _from_snapshot(
    partition: str, plan: CityPlan, workshop: Workshop, snapshots: FileSnapshots
) -> tuple[LiveEngine, Snapshot]:
    """Return the engine of the oldest snapshot that can be read."""
    why = "there is no snapshot"
    for path in snapshots.files():
        try:
            snapshot = read(path, partition)
            return workshop.load(snapshot.state, plan), snapshot
        except (SnapshotUnreadableError, StateUnusableError) as error:
            why = str(error)
    raise NothingToReplayError(
        f"no recorded stretch can be run again: the last start had another inventory, or its rules or inputs are no longer"
        f" kept; and {why}"
    )
