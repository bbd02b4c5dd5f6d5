"""From what is on disk to an engine that goes on: the newest snapshot, and a replay of all that came after it.

The core is a function of its inputs, so the replay decides what was decided; each decision is compared with its record.
What was decided and did not get into the journal was never sent; it is handed back, to be recorded and sent now.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pilotage.model.diagnostics import RuleError, Severity
from pilotage.model.messages import Decision
from pilotage.ports import (
    ConfigSwitch,
    DecisionRecord,
    Envelope,
    HealthLog,
    Snapshot,
    SnapshotStore,
)
from pilotage.runtime.envelope import decode_inputs, encode_decision, is_same
from pilotage.runtime.state import StateUnusableError
from pilotage.runtime.workshop import CityPlan, LiveEngine, Workshop

MOST_TOLD: Final = 3

log = logging.getLogger("pilotage.recovery")


class Journal(Protocol):
    """What a recovery reads."""

    def last_number(self, partition: str) -> int:
        """Return the number of the last decision on disk."""
        ...

    def last_position(self, partition: str) -> int:
        """Return the position of the last envelope on disk."""
        ...

    def decisions(self, partition: str, *, after: int = 0) -> Iterator[DecisionRecord]:
        """Return decisions in order of number."""
        ...

    def inputs(self, partition: str, after_position: int = 0) -> Iterator[Envelope]:
        """Return envelopes after a position."""
        ...

    def switches(self, partition: str) -> Iterator[ConfigSwitch]:
        """Return which rules came into force when, and each start."""
        ...

    def archived(self, digest: str) -> Mapping[str, bytes] | None:
        """Return the texts of rules that were in force, None when they are not kept."""
        ...


@dataclass(slots=True)
class Replay:
    """How a replay went.

    Attributes:
        ticks, compared: How many ticks were run, and how many decisions found their record.
        differing: Numbers of the decisions that were not what the record says.
        undelivered: What was decided without having been recorded, oldest first.
        digest: Of all decisions that were compared or made.
    """

    ticks: int = 0
    compared: int = 0
    faults: int = 0
    differing: list[int] = field(default_factory=list)
    undelivered: list[Decision] = field(default_factory=list)
    sha: Any = field(default_factory=hashlib.sha256)

    @property
    def digest(self) -> str:
        """The digest so far, in hexadecimal."""
        return str(self.sha.hexdigest())


@dataclass(slots=True)
class Recovered:
    """An engine that may go on.

    Attributes:
        how: `started` (there was nothing), `continued` (exactly as it was), `carried` (what lasts, in a new engine).
        rules: Digest of the rules that are in force in it.
        was_at: Time of its last tick.
        why: Why it is not `continued`, for people; empty when nothing was to be expected.
    """

    engine: LiveEngine
    how: str
    rules: str
    was_at: float
    replay: Replay = field(default_factory=Replay)
    why: str = ""


class Recovery:
    """Recovers one partition."""

    def __init__(
        self,
        partition: str,
        workshop: Workshop,
        journal: Journal,
        snapshots: SnapshotStore,
        health: HealthLog,
    ) -> None:
        self._partition = partition
        self._workshop = workshop
        self._journal = journal
        self._snapshots = snapshots
        self._health = health

    def recover(self, plan: CityPlan, now: float) -> Recovered:
        """Return the engine of the last run, brought to its last moment, or a new one.

        Args:
            plan: The city as it is configured now.
            now: Where a new engine begins.
        """
        began = time.monotonic()
        orphans = (
            self._has_orphans()
        )  # asked before: snapshots that no journal leads to are removed
        recovered = self._continue(plan) or self._begin(plan, now, orphans)
        self._tell(recovered, time.monotonic() - began)
        return recovered

    def _has_orphans(self) -> bool:
        """Return whether an engine left its state, and the journal knows nothing of it."""
        partition, journal = self._partition, self._journal
        knows = journal.last_number(partition) or journal.last_position(partition)
        return not knows and self._snapshots.newest(partition) is not None

    def _continue(self, plan: CityPlan) -> Recovered | None:
        partition, journal = self._partition, self._journal
        number, position = journal.last_number(partition), journal.last_position(partition)
        snapshot = self._snapshots.newest(partition, number, position)
        switches = list(journal.switches(partition))
        start = next((s for s in reversed(switches) if s.is_start), None)
        if snapshot is None or (start is not None and snapshot.position < start.position):
            return self._from_the_start(plan, start, switches)
        try:
            engine = self._workshop.load(snapshot.state, plan)
        except StateUnusableError as error:
            return self._carry(plan, snapshot, str(error))
        later = [s for s in switches if s.position >= snapshot.position and s.now >= snapshot.now]
        replay, rules = self.replay(engine, plan, snapshot, later)
        engine.skip_to(number)
        if not self._workshop.fits(engine, plan):
            kept = self._workshop.essentials(engine)
            engine = self._workshop.carry(kept, plan, engine.number)
            why = "the inventory or the plugins have changed"
            return Recovered(engine, "carried", plan.digest, engine.now, replay, why)
        return Recovered(engine, "continued", rules, engine.now, replay)

    def _from_the_start(
        self, plan: CityPlan, start: ConfigSwitch | None, switches: list[ConfigSwitch]
    ) -> Recovered | None:
        """Run everything since an engine began anew: it died before its first snapshot was whole."""
        if start is None:
            return None
        began = self.beginning(plan, start)
        if began is None:
            return self._carry_from_the_start(plan, start)
        engine, base = began
        later = [s for s in switches if s.position >= start.position and not s.is_start]
        replay, rules = self.replay(engine, plan, base, later)
        engine.skip_to(self._journal.last_number(self._partition))
        return Recovered(engine, "continued", rules, engine.now, replay)

    def beginning(
        self, plan: CityPlan, start: ConfigSwitch | None
    ) -> tuple[LiveEngine, Snapshot] | None:
        """Return a new engine as of a start; None when its rules, its city or its inputs are not at hand any more."""
        if start is None or not start.is_of_city(plan.city):
            return None
        then = self.plan_of(plan, start.digest)
        first = next(self._journal.inputs(self._partition, start.position), None)
        if then is None or first is None or first.position != start.position + 1:
            return None
        base = Snapshot(first.after, start.position, start.now, start.digest, b"")
        return self._workshop.make(then, first.after, start.now), base

    def _carry(self, plan: CityPlan, snapshot: Snapshot, why: str) -> Recovered:
        """Make a new engine of what a snapshot says in plain words, and of what people ordered since."""
        number = self._journal.last_number(self._partition)
        kept = self._workshop.kept(snapshot.state)
        engine = self._workshop.carry(kept, plan, number)
        replay = Replay()
        for envelope in self._journal.inputs(self._partition, snapshot.position):
            inputs = decode_inputs(envelope.inputs, engine.cells, engine.entities)
            orders = [item for item in inputs if hasattr(item, "person")]
            decision = engine.tick(envelope.now, orders) if orders else None
            if decision is not None:
                replay.undelivered.append(decision)
        return Recovered(engine, "carried", plan.digest, engine.now, replay, why)

    def _carry_from_the_start(self, plan: CityPlan, start: ConfigSwitch) -> Recovered | None:
        """Run what came since an engine began through one of today's city, and take up what lasts of that.

        The engine died before its first snapshot was whole, and then its inventory was changed: what people ordered in its
        first moments is in the journal alone.
        """
        number = self._journal.last_number(self._partition)
        first = next(self._journal.inputs(self._partition, start.position), None)
        if first is None or first.position != start.position + 1:
            return None
        engine = self._workshop.make(plan, first.after, start.now)
        for envelope in self._journal.inputs(self._partition, start.position):
            with suppress(Exception):  # as it may have been the first time
                inputs = decode_inputs(envelope.inputs, engine.cells, engine.entities)
                engine.tick(envelope.now, inputs)
        engine.skip_to(number)
        kept = self._workshop.essentials(engine)
        why = "the inventory or the plugins have changed"
        return Recovered(
            self._workshop.carry(kept, plan, number), "carried", plan.digest, engine.now, why=why
        )

    def _begin(self, plan: CityPlan, now: float, orphans: bool) -> Recovered:
        number = self._journal.last_number(self._partition)
        engine = self._workshop.make(plan, number, now)
        why = "there is no snapshot to go on from" if number else ""
        if orphans:
            why = "the journal is empty, though an engine ran here before"
        return Recovered(engine, "started", plan.digest, now, why=why)

    # ── replaying ────────────────────────────────────────────────────────────────────────────

    def replay(
        self,
        engine: LiveEngine,
        plan: CityPlan,
        snapshot: Snapshot,
        switches: list[ConfigSwitch],
    ) -> tuple[Replay, str]:
        """Run everything that came after a snapshot; return how it went, and which rules are in force at the end."""
        replay, rules = Replay(), snapshot.digest
        records = self._journal.decisions(self._partition, after=snapshot.number)
        for envelope in self._journal.inputs(self._partition, snapshot.position):
            while switches and switches[0].position < envelope.position:
                rules = self._switch(engine, plan, rules, switches.pop(0))
            self._tick(engine, envelope, records, replay)
        while switches:
            rules = self._switch(engine, plan, rules, switches.pop(0))
        replay.differing += [record.number for record in records]
        return replay, rules

    def _tick(
        self,
        engine: LiveEngine,
        envelope: Envelope,
        records: Iterator[DecisionRecord],
        replay: Replay,
    ) -> None:
        replay.ticks += 1
        inputs = decode_inputs(envelope.inputs, engine.cells, engine.entities)
        try:
            decision = engine.tick(envelope.now, inputs)
        except Exception:  # as it did the first time
            replay.faults += 1
            log.debug(
                "tick %d of the replay failed",
                envelope.position,
                exc_info=True,
                extra={"event": "replay.fault"},
            )
            return
        if decision is None:
            return
        encoded = encode_decision(decision)
        replay.sha.update(encoded)
        record = next(records, None)
        if record is None:
            replay.undelivered.append(decision)
            return
        replay.compared += 1
        if record.record != encoded and not is_same(record.record, encoded):
            replay.differing.append(decision.number)

    def _switch(self, engine: LiveEngine, plan: CityPlan, rules: str, switch: ConfigSwitch) -> str:
        if switch.is_return:
            self._workshop.resume(engine, switch.now)
        if switch.digest == rules:
            return rules
        now_in_force = self.plan_of(plan, switch.digest)
        if now_in_force is None:
            log.warning(
                "the rules %s of the journal are not at hand",
                switch.digest,
                extra={"event": "replay.rules_missing"},
            )
            return rules
        self._workshop.adopt(engine, now_in_force, switch.now)
        return switch.digest

    def plan_of(self, plan: CityPlan, digest: str) -> CityPlan | None:
        """Return the plan with the rules of a digest: those of now, or archived ones; None when they are not at hand."""
        if digest == plan.digest:
            return plan
        texts = self._journal.archived(digest)
        try:
            return None if texts is None else self._workshop.with_rules(plan, digest, texts)
        except RuleError as error:
            log.warning(
                "the archived rules %s do not fit the city any more: %s",
                digest,
                error,
                extra={"event": "replay.rules_misfit"},
            )
            return None

    # ── telling ──────────────────────────────────────────────────────────────────────────────

    def _tell(self, recovered: Recovered, took_s: float) -> None:
        replay = recovered.replay
        if recovered.how == "started":
            if recovered.why:
                log.warning(
                    "the engine begins anew: %s", recovered.why, extra={"event": "engine.anew"}
                )
                self._health.raised(
                    "recovery.anew",
                    f"the engine began anew: {recovered.why}; overrides, plans, alarms and stories of before are not known",
                    "give again what was ordered by hand; if the storage folder was moved or replaced, stop the engine and put"
                    " a backup back (`pilotage restore`)",
                    Severity.WARNING,
                )
            return
        log.info(
            "%s: %d ticks since the snapshot were run again, %d decisions as recorded, in %.2f s",
            "the engine goes on as it was" if recovered.how == "continued" else recovered.why,
            replay.ticks,
            replay.compared - len(replay.differing),
            took_s,
            extra={"event": "engine.continued"},
        )
        if recovered.how == "carried":
            self._health.raised(
                "recovery.carried",
                f"{recovered.why}: values, overrides, plans and alarms go on; windows begin anew, and stories that were"
                " under way have ended",
                "nothing is to be done; look at the record of this start for what ended",
                Severity.WARNING,
            )
        if replay.differing:
            shown = ", ".join(map(str, replay.differing[:MOST_TOLD]))
            self._health.raised(
                "recovery.differs",
                f"{len(replay.differing)} of {replay.compared} decisions since the last snapshot were decided otherwise when"
                f" they were run again (the first: {shown}); the engine goes on from what it decides now",
                "keep a copy of the storage folder (`pilotage backup`) and report it: a plugin's function that is not pure"
                " may be the cause",
                Severity.WARNING,
            )
