"""Takes up the decisions of a journal: each once, in order, with the meaning that the rules had at their time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from hashlib import sha256
from itertools import islice
from typing import Any, Final

import msgspec

from pilotage.ports import DecisionRecord
from pilotage.runtime.audit.derive import derive
from pilotage.runtime.audit.entries import Entry, as_json
from pilotage.runtime.audit.store import Book
from pilotage.runtime.journal import JournalReader

PAGE: Final = 500
SLICE: Final = 3
"""Decisions between two rests: each takes some tenths of a millisecond."""
KEPT_RULE_SETS: Final = 10
MOST_NAMED: Final = 100

Identities = Mapping[str, str]


class Follower:
    """Belongs to the thread that writes the audit, and works inside its transactions."""

    def __init__(self, book: Book, journal: JournalReader) -> None:
        self._book = book
        self._journal = journal
        self._identities: dict[tuple[str, str], Identities] = {}
        self._memories: dict[str, _Memory] = {}

    def last_number(self, partition: str) -> int:
        """Return the number of the last decision in the journal."""
        return self._journal.last_number(partition)

    def follow(self, partition: str, rest: Callable[[], None] = lambda: None) -> bool:
        """Take up the next decisions, at most a page; True when there may be more.

        Args:
            partition: Whose.
            rest: Called after some, for the loop to have the interpreter.
        """
        position = self._book.head(partition).decision
        found = list(islice(self._journal.decisions(partition, after=position), PAGE))
        if not found:
            return False
        memory = self._memories.setdefault(partition, _Memory(self, partition))
        memory.switches = [(s.now, s.digest) for s in self._journal.switches(partition)]
        for count, record in enumerate(found, 1):
            self._take(partition, record, memory)
            if count % SLICE == 0:
                rest()
        return len(found) == PAGE

    def learn(self, partition: str, digest: str, identities: Identities) -> dict[str, list[str]]:
        """Keep what each rule of a rule set means; returns how it differs from the one before, by `added` and so on."""
        kept: list[str] = self._book.recall(partition, "rule sets", "") or []
        before = self.identities(partition, kept[-1]) if kept else {}
        for old in kept[: max(0, len(kept) - KEPT_RULE_SETS)]:
            self._book.remember(partition, "rules", old, None)
        kept = [*[d for d in kept if d != digest][-KEPT_RULE_SETS:], digest]
        self._book.remember(partition, "rule sets", "", kept)
        self._book.remember(partition, "rules", digest, dict(identities))
        self._identities = {
            key: known
            for key, known in self._identities.items()
            if key[0] != partition or key[1] in kept[-2:]
        }
        self._identities[partition, digest] = dict(identities)
        return difference(before, identities)

    def identities(self, partition: str, digest: str) -> Identities:
        """Return what each rule of a rule set meant; empty when it was never told."""
        found = self._identities.get((partition, digest))
        if found is None:
            found = self._book.recall(partition, "rules", digest) or {}
            self._identities[partition, digest] = found
        return found

    def recall(self, partition: str, topic: str, name: str) -> Any:
        """Return what is remembered under a name, None when nothing is."""
        return self._book.recall(partition, topic, name)

    def remember(self, partition: str, topic: str, name: str, value: Any) -> None:
        """Keep something under a name; None forgets it."""
        self._book.remember(partition, topic, name, value)

    def _take(self, partition: str, record: DecisionRecord, memory: _Memory) -> None:
        position = self._book.head(partition).decision
        if record.number > position + 1:
            gap = {"from": position + 1, "to": record.number - 1}
            self._book.append(
                partition, Entry(record.now, "audit", "gap", partition, detail=as_json(gap))
            )
        try:
            rows = list(derive(msgspec.json.decode(record.record), memory))
        except (
            Exception
        ) as error:  # of a version that is not known, or damaged: the others must not wait for it
            detail = as_json({"why": f"{type(error).__name__}: {error}"})
            rows = [
                (
                    Entry(
                        record.now,
                        "audit",
                        "unread",
                        partition,
                        "",
                        "",
                        record.number,
                        detail=detail,
                    ),
                    {},
                )
            ]
        for entry, private in rows:
            self._book.append(partition, entry, private)
        self._book.move(self._book.head(partition)._replace(decision=record.number))


class _Memory:
    """What `derive` asks, out of the audit's own file."""

    def __init__(self, follower: Follower, partition: str) -> None:
        self._follower = follower
        self._partition = partition
        self.switches: list[tuple[float, str]] = []

    def identity(self, rule: str, now: float) -> str:
        index = bisect_right(self.switches, now, key=lambda switch: switch[0])
        if not index:
            return ""
        return self._follower.identities(self._partition, self.switches[index - 1][1]).get(rule, "")

    def reason(self, owner: str) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self._follower.recall(self._partition, "reason", owner)
        return found

    def remember(self, owner: str, reason: Mapping[str, Any]) -> None:
        self._follower.remember(self._partition, "reason", owner, reason)

    def sender(self, command: str) -> str:
        found = self._follower.recall(self._partition, "command", command)
        if found is not None:
            self._follower.remember(self._partition, "command", command, None)
        return str(found or "")

    def sent(self, command: str, rule: str) -> None:
        self._follower.remember(self._partition, "command", command, rule)


def difference(before: Identities, after: Identities) -> dict[str, list[str]]:
    """Return the rules that came, went and changed their meaning; of very many the first by name."""
    found = {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(n for n, i in after.items() if n in before and before[n] != i),
    }
    return {
        word: names if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], f"… {len(names)} in all"]
        for word, names in found.items()
        if names
    }


def digest_of(identities: Identities) -> str:
    """Return one hash over what all rules of a set mean."""
    return sha256(as_json(dict(identities)).encode()).hexdigest()
