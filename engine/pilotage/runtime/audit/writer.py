"""What the engine asks of its audit, whether it is written in a thread of this process or in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from pilotage.model.messages import Decision
from pilotage.runtime.audit.entries import Entry


class AuditWriter(Protocol):
    """The one writer of an audit; every method may be called from any thread."""

    path: Path

    @property
    def reached(self) -> Mapping[str, int]:
        """The last decision of each partition that was taken up."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether it writes."""
        ...

    def prepare(self) -> None:
        """Begin with what takes long, before the journal is there; `open` follows."""
        ...

    def open(self, *partitions: str) -> None:
        """Open the file, see whether its chains stand where they say, and begin to write.

        Raises:
            LogUnusableError: The file is of a newer version, is no audit, cannot be opened, or another engine writes to it.
        """
        ...

    def close(self, last: tuple[Entry, Mapping[str, str]] | None = None) -> None:
        """Take up what was decided, write a last row and an anchor, if the disk takes them, and close the file."""
        ...

    def committed(self, decision: Decision) -> None:
        """Hear that a decision is in the journal; it is taken up soon."""
        ...

    def catch_up(self) -> None:
        """Take up every decision that the journal holds; blocks until it is on disk."""
        ...

    def how_it_ended(self) -> Future[str]:
        """Return how the life before ended: `stopped`, `cut off`, or nothing when there was none."""
        ...

    def note(self, entry: Entry, private: Mapping[str, str] | None = None) -> None:
        """Write a row as soon as the disk takes it; returns at once."""
        ...

    def record(self, entry: Entry, private: Mapping[str, str] | None = None) -> Future[int]:
        """Write a row; the result, its number, comes when it is on disk."""
        ...

    def rules(
        self,
        digest: str,
        identities: Mapping[str, str],
        entry: Entry,
        private: Mapping[str, str] | None = None,
    ) -> Future[int]:
        """Write that a rule set comes into force and what each rule in it means; before the first decision under it."""
        ...

    def erase(self, person: str, private: Mapping[str, str], origin: str) -> Future[int]:
        """Erase what is told of a person in every chain; the result is the number of rows that named it."""
        ...

    def forget(self, before: float) -> Future[int]:
        """Seal and delete the rows before a time, up to the last anchor in it; the result is how many went."""
        ...

    def scrub(self) -> Future[None]:
        """Take what was deleted out of the log beside the file; after `erase` or `forget`."""
        ...
