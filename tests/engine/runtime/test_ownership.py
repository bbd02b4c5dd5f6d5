"""One engine owns a partition, and its death sets it free."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.ports import OwnedElsewhereError, Ownership, Placement
from pilotage.runtime.ownership import FileOwnership, OnePartition

OWNERSHIPS: dict[str, Callable[[Path], Ownership]] = {"file": FileOwnership}
PLACEMENTS: dict[str, Callable[[], Placement]] = {"one": OnePartition}


@pytest.mark.parametrize("make", OWNERSHIPS.values(), ids=OWNERSHIPS)
class TestOwnershipContract:
    def test_only_one(self, make: Callable[[Path], Ownership], tmp_path: Path) -> None:
        """What is owned cannot be acquired, and the error says by whom."""
        first, second = make(tmp_path), make(tmp_path)
        first.acquire("city")
        with pytest.raises(OwnedElsewhereError, match=str(os.getpid())):
            second.acquire("city")
        first.release("city")
        second.acquire("city")
        second.release("city")

    def test_epoch_grows(self, make: Callable[[Path], Ownership], tmp_path: Path) -> None:
        """Each acquisition has a higher epoch than all before it."""
        epochs = []
        for _ in range(5):
            owner = make(tmp_path)
            epochs.append(owner.acquire("city"))
            owner.release("city")
        assert epochs == sorted(set(epochs))

    def test_partitions_are_apart(self, make: Callable[[Path], Ownership], tmp_path: Path) -> None:
        """Two engines can own two partitions."""
        first, second = make(tmp_path), make(tmp_path)
        first.acquire("north")
        second.acquire("south")
        first.release("north")
        second.release("south")

    def test_release_twice(self, make: Callable[[Path], Ownership], tmp_path: Path) -> None:
        """Releasing what is not owned does nothing."""
        make(tmp_path).release("city")


HOLDS = """
import sys
from pathlib import Path
from pilotage.runtime.ownership import FileOwnership
FileOwnership(Path(sys.argv[1])).acquire("city")
print("held", flush=True)
sys.stdin.read()
"""


class TestFileOwnership:
    def test_death_releases(self, tmp_path: Path) -> None:
        """A killed engine leaves no lock behind."""
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            with pytest.raises(OwnedElsewhereError, match=f"process {process.pid}"):
                FileOwnership(tmp_path).acquire("city")
            process.kill()
        owner = FileOwnership(tmp_path)
        assert owner.acquire("city") == 2
        owner.release("city")

    def test_damaged_file(self, tmp_path: Path) -> None:
        """A file with nonsense in it is taken over."""
        (tmp_path / "city.owner").write_bytes(b"\xff\x00 nonsense")
        owner = FileOwnership(tmp_path)
        assert owner.acquire("city") == 1
        owner.release("city")


@pytest.mark.parametrize("make", PLACEMENTS.values(), ids=PLACEMENTS)
class TestPlacementContract:
    def test_pure_and_known(self, make: Callable[[], Placement]) -> None:
        """The same zone is always in the same partition, and that is one of the partitions."""
        first, second = make(), make()
        for zone in ("", "centre", "Fontaine-d'Ouche"):
            assert first.partition_of(zone) == second.partition_of(zone)
            assert first.partition_of(zone) in first.partitions
