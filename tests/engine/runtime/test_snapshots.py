"""Snapshots: the newest whole one comes back byte for byte, and nothing else ever does."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotage.ports import Snapshot
from pilotage.runtime.health import Health
from pilotage.runtime.snapshots import FileSnapshots, SnapshotUnreadableError, encode, read


def snapshot(position: int, number: int = 0, state: bytes = b"{}\n\x00 state") -> Snapshot:
    return Snapshot(number, position, 1_800_000_000.25 + position, "abc", state)


@pytest.fixture
def store(tmp_path: Path, health: Health) -> FileSnapshots:
    return FileSnapshots(tmp_path, health)


class TestFiles:
    def test_last_three_are_kept(self, store: FileSnapshots) -> None:
        """Older ones are deleted when a new one is on disk."""
        for position in range(1, 8):
            store.write("city", snapshot(position))
        assert [read(path).position for path in store.files()] == [5, 6, 7]

    def test_oldest(self, store: FileSnapshots) -> None:
        """The journal is told which inputs the oldest snapshot needs."""
        assert store.oldest_position("city") is None
        for position in range(1, 8):
            store.write("city", snapshot(position))
        assert store.oldest_position("city") == 5

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
