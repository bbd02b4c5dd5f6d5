"""Makes the engine forget what it was told: a new snapshot, and nothing of what lies before it.

For erasures. What was *decided* stays until `storage.journal.keep` is over: it is the record of what was done and why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from pilotage.runtime.snapshots import FileSnapshots

SNAPSHOT_S: Final = 120.0
LOOK_S: Final = 0.05
AGAIN_S: Final = 1.0


class Journal(Protocol):
    """The journal, as far as it forgets."""

    def position(self, partition: str) -> int:
        """Return the position of the last envelope."""
        ...

    def needed_after(self, partition: str, position: int) -> None:
        """Never forget an envelope after this position."""
        ...

    def forget(
        self, inputs_before: float, decisions_before: float, gone: Callable[[], None] | None = None
    ) -> bool:
        """Delete what is older; False when a sweep goes on already."""
        ...


async def forget_inputs(
    partition: str,
    journal: Journal,
    snapshots: FileSnapshots,
    take_soon: Callable[[], None],
    inputs_before: float,
    decisions_before: float,
) -> int:
    """Delete all readings and orders that the journal holds, and every snapshot of before; returns how many snapshots.

    Args:
        partition: Whose.
        journal: What holds them.
        snapshots: Where the state is kept.
        take_soon: Has a snapshot taken now.
        inputs_before: This moment, seconds since 1970.
        decisions_before: As retention says.

    Raises:
        TimeoutError: No snapshot could be written; the journal is as it was, for a restart needs it.
    """
    wanted = journal.position(partition)
    async with asyncio.timeout(SNAPSHOT_S):
        while (snapshots.newest_position(partition) or -1) < wanted:
            take_soon()  # one that is being written is of before: another after it
            await asyncio.sleep(AGAIN_S / 4)
    dropped = snapshots.keep_newest(partition)
    kept = snapshots.oldest_position(partition)
    assert kept is not None, "one was just written"
    journal.needed_after(partition, kept)
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def gone() -> None:
        loop.call_soon_threadsafe(_end, done)

    while not journal.forget(inputs_before, decisions_before, gone):  # noqa: ASYNC110 - nobody tells when a sweep ends
        await asyncio.sleep(LOOK_S)
    await done
    return dropped


def _end(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
