"""What every `Ownership` promises, with one partition and with four; and what it says of another process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from pilotage.ports import OwnedElsewhereError, Ownership
from pilotage.runtime.ownership import FileOwnership, Owner, read_owner

OWNERSHIPS: dict[str, Callable[[Path], Ownership]] = {"file": FileOwnership}
"""Every implementation of `Ownership`: a second one is one line."""

PARTITIONS = (("city",), ("city", "east", "south", "west"))


@pytest.mark.parametrize("partitions", PARTITIONS, ids=lambda p: f"{len(p)}p")
@pytest.mark.parametrize("make", OWNERSHIPS.values(), ids=OWNERSHIPS)
class TestOwnershipContract:
    def test_only_one(
        self, make: Callable[[Path], Ownership], partitions: tuple[str, ...], tmp_path: Path
    ) -> None:
        """What is owned cannot be acquired, and the error says by whom; what was given back can."""
        first, second = make(tmp_path), make(tmp_path)
        for partition in partitions:
            first.acquire(partition)
            with pytest.raises(OwnedElsewhereError, match=str(os.getpid())):
                second.acquire(partition)
        for partition in partitions:
            first.release(partition)
            second.acquire(partition)
            second.release(partition)

    def test_epoch_grows(
        self, make: Callable[[Path], Ownership], partitions: tuple[str, ...], tmp_path: Path
    ) -> None:
        """Each acquisition of a partition has a higher epoch than all before it."""
        for partition in partitions:
            epochs = []
            for _ in range(5):
                owner = make(tmp_path)
                epochs.append(owner.acquire(partition))
                owner.release(partition)
            assert epochs == sorted(set(epochs))

    def test_partitions_are_apart(
        self, make: Callable[[Path], Ownership], partitions: tuple[str, ...], tmp_path: Path
    ) -> None:
        """Two engines can own two partitions, and one that loses its own leaves the others alone."""
        owners = [make(tmp_path) for _ in partitions]
        for owner, partition in zip(owners, partitions, strict=True):
            owner.acquire(partition)
        owners[0].release(partitions[0])
        for partition in partitions[1:]:
            with pytest.raises(OwnedElsewhereError):
                owners[0].acquire(partition)
        for owner, partition in zip(owners, partitions, strict=True):
            owner.release(partition)

    def test_release_twice(
        self, make: Callable[[Path], Ownership], partitions: tuple[str, ...], tmp_path: Path
    ) -> None:
        """Releasing what is not owned does nothing."""
        for partition in partitions:
            make(tmp_path).release(partition)


HOLDS: Final = """
import sys
from pathlib import Path
from pilotage.runtime.ownership import FileOwnership
FileOwnership(Path(sys.argv[1])).acquire("city")
print("held", flush=True)
sys.stdin.read()
"""


class TestTwoProcesses:
    @pytest.fixture
    def other(self, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Another process that owns the city."""
        with subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd="/",
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield process
            process.kill()

    def test_refusal_says_who(self, other: subprocess.Popen[bytes], tmp_path: Path) -> None:
        """Who is refused reads which process it is, where, since when, how it was called, and the mend."""
        with pytest.raises(OwnedElsewhereError) as refused:
            FileOwnership(tmp_path).acquire("city")
        text = str(refused.value)
        assert f"process {other.pid} on {os.uname().nodename} since 20" in text
        assert f"called as `{sys.executable} -c" in text
        assert " in /\n" in text
        assert f"mend: stop it first (`kill {other.pid}`)" in text

    def test_death_releases(self, other: subprocess.Popen[bytes], tmp_path: Path) -> None:
        """A killed engine leaves no lock behind, and its epoch is not given again."""
        other.kill()
        other.wait()
        owner = FileOwnership(tmp_path)
        assert owner.acquire("city") == 2
        owner.release("city")


class TestFile:
    @pytest.mark.parametrize("text", [b"\xff\x00 nonsense", b"", b"{}", b'{"epoch": "x"', b"[1]"])
    def test_damaged_file(self, tmp_path: Path, text: bytes) -> None:
        """A file with nonsense in it is taken over."""
        (tmp_path / "city.owner").write_bytes(text)
        owner = FileOwnership(tmp_path)
        assert owner.acquire("city") == 1
        owner.release("city")

    def test_file_of_before(self, tmp_path: Path) -> None:
        """The epoch of a file that an earlier pilotage wrote goes on."""
        (tmp_path / "city.owner").write_text("57 1234\n")
        assert read_owner(tmp_path / "city.owner") == Owner(57, 1234)
        owner = FileOwnership(tmp_path)
        assert owner.acquire("city") == 58
        owner.release("city")

    def test_one_sector(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """However long its texts are, the record is one sector: the epoch survives a power loss in between."""
        monkeypatch.setattr(sys, "orig_argv", ["é" * 1_000])
        owner = FileOwnership(tmp_path)
        assert owner.acquire("city") == 1
        owner.release("city")
        assert (tmp_path / "city.owner").stat().st_size == 512
        assert read_owner(tmp_path / "city.owner").epoch == 1
