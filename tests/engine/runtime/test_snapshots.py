"""Snapshots: the newest whole one comes back byte for byte, and nothing else ever does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.ports import Snapshot, SnapshotStore
from pilotage.runtime.health import Health
from pilotage.runtime.snapshots import FileSnapshots, SnapshotUnreadableError, encode, read

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


@pytest.fixture
def store(tmp_path: Path, health: Health) -> FileSnapshots:
    return FileSnapshots(tmp_path, health)


class TestFiles:
    def test_last_three_are_kept(self, store: FileSnapshots) -> None:
        """Older ones are deleted when a new one is on disk."""
        for position in range(1, 8):
            store.write("city", snapshot(position))
        assert [read(path).position for path in store.files()] == [5, 6, 7]

    def test_private(self, store: FileSnapshots) -> None:
        """Only the engine's user can read the state of a city."""
        store.write("city", snapshot(1))
        assert [path.stat().st_mode & 0o077 for path in store.files()] == [0]

    def test_every_byte_counts(self, store: FileSnapshots, tmp_path: Path) -> None:
        """With any byte changed, and cut off anywhere, it is no snapshot any more."""
        whole = encode("city", snapshot(3, 2))
        path = tmp_path / "one.snapshot"
        for index in range(len(whole)):
            for spoiled in (
                whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :],
                whole[:index],
            ):
                path.write_bytes(spoiled)
                with pytest.raises(SnapshotUnreadableError, match=r"one\.snapshot"):
                    read(path)
        path.write_bytes(whole)
        assert read(path) == snapshot(3, 2)

    def test_the_one_before_is_used(self, store: FileSnapshots, health: Health) -> None:
        """When the newest is damaged, that is told and the one before comes back, until a whole one is written."""
        for position in (1, 2):
            store.write("city", snapshot(position))
        damaged = store.files()[-1]
        damaged.write_bytes(damaged.read_bytes()[:-1])
        assert store.newest("city") == snapshot(1)
        finding = health.finding("snapshot.damaged.city")
        assert finding is not None
        assert damaged.name in finding.text
        assert "the one before is used" in finding.text
        store.write("city", snapshot(3))
        assert store.newest("city") == snapshot(3)
        assert health.findings == ()

    def test_newer_format(self, store: FileSnapshots, health: Health) -> None:
        """A snapshot of a later pilotage is not guessed at."""
        from hashlib import sha256

        store.write("city", snapshot(1))
        (path,) = store.files()
        body = path.read_bytes().partition(b"\n")[2].replace(b'"version":1', b'"version":2')
        path.write_bytes(f"pilotage-snapshot {sha256(body).hexdigest()}\n".encode() + body)
        assert store.newest("city") is None
        finding = health.finding("snapshot.damaged.city")
        assert finding is not None
        assert "version 2" in finding.text

    def test_half_written(self, store: FileSnapshots, tmp_path: Path) -> None:
        """What a killed writer left behind is never read, and goes with the next write."""
        left = tmp_path / ".city@000000000000009-000000000000009.snapshot.partial"
        left.write_bytes(encode("city", snapshot(9, 9))[:50])
        assert store.newest("city") is None
        store.write("city", snapshot(1))
        assert [path.name for path in tmp_path.iterdir()] == [store.files()[0].name]

    def test_disk_refuses(self, store: FileSnapshots, tmp_path: Path) -> None:
        """A write that fails leaves the snapshots from before, and nothing half."""
        import resource

        store.write("city", snapshot(1))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
        try:
            with pytest.raises(OSError, match="too large"):
                store.write("city", snapshot(2, state=b"x" * 100_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert store.newest("city") == snapshot(1)
        assert len(list(tmp_path.iterdir())) == 1


class TestForked:
    def test_child_writes(self, store: FileSnapshots) -> None:
        """A forked child writes what the process was when it forked."""
        import multiprocessing

        given = snapshot(12, 4, b"as it was")
        child = multiprocessing.get_context("fork").Process(
            target=store.write, args=("city", given)
        )
        child.start()
        child.join()
        assert child.exitcode == 0
        assert store.newest("city") == given
