"""What every `SnapshotStore` promises, with one partition and with four."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.ports import Snapshot, SnapshotStore
from pilotage.runtime.health import Health
from pilotage.runtime.snapshots import FileSnapshots

STORES: dict[str, Callable[[Path], SnapshotStore]] = {
    "files": lambda folder: FileSnapshots(folder / "snapshots", Health())
}
"""Every implementation of `SnapshotStore`: a second one is one line."""


def snapshot(position: int, number: int = 0, state: bytes = b"{}\n\x00 state") -> Snapshot:
    return Snapshot(number, position, 1_800_000_000.25 + position, "abc", state)


@pytest.mark.parametrize("make", STORES.values(), ids=STORES)
class TestSnapshotStoreContract:
    def test_nothing_yet(self, make: Callable[[Path], SnapshotStore], tmp_path: Path) -> None:
        """Before the first write there is none."""
        assert make(tmp_path).newest("city") is None

    def test_same_bytes(self, make: Callable[[Path], SnapshotStore], tmp_path: Path) -> None:
        """A snapshot comes back as it was given, also in another process's store."""
        given = snapshot(7, 3, os.urandom(100_000) + b"\n\n")
        make(tmp_path).write("city", given)
        assert make(tmp_path).newest("city") == given

    def test_newest(self, make: Callable[[Path], SnapshotStore], tmp_path: Path) -> None:
        """The one that contains most comes back, in whatever order they were written."""
        store = make(tmp_path)
        for position in (3, 1_000_000, 20):
            store.write("city", snapshot(position))
        found = store.newest("city")
        assert found is not None
        assert found.position == 1_000_000

    def test_written_again(self, make: Callable[[Path], SnapshotStore], tmp_path: Path) -> None:
        """A second snapshot of the same moment replaces the first."""
        store = make(tmp_path)
        for state in (b"first", b"second"):
            store.write("city", snapshot(5, 5, state))
        found = store.newest("city")
        assert found is not None
        assert found.state == b"second"

    @pytest.mark.parametrize("partitions", [("city",), ("city", "city-2", "north", "south")])
    def test_partitions_are_apart(
        self, make: Callable[[Path], SnapshotStore], tmp_path: Path, partitions: tuple[str, ...]
    ) -> None:
        """Each partition has its own snapshots, with one in a process and with four."""
        store = make(tmp_path)
        for index, partition in enumerate(partitions, 1):
            for position in range(10):
                store.write(partition, snapshot(100 * index + position))
        found = [store.newest(partition) for partition in partitions]
        assert [f.position for f in found if f] == [
            100 * index + 9 for index, _ in enumerate(partitions, 1)
        ]

    def test_ahead_of_the_log(self, make: Callable[[Path], SnapshotStore], tmp_path: Path) -> None:
        """What a power loss took out of the log is not brought back by a snapshot, now or later."""
        store = make(tmp_path)
        store.write("city", snapshot(10, 4))
        store.write("city", snapshot(20, 8))
        store.write("city", snapshot(30, 9))
        found = store.newest("city", number=8, position=29)
        assert found == snapshot(20, 8)
        assert store.newest("city", number=7, position=29) == snapshot(10, 4)
        assert store.newest("city", number=99, position=99) == snapshot(10, 4)
