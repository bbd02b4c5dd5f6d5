"""Space that is held back: real blocks, given up at once, made again when there is room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilotage.runtime.ballast import Ballast

SIZE = 1_000_000


@pytest.fixture
def ballast(tmp_path: Path) -> Ballast:
    return Ballast(tmp_path / "ballast", SIZE)


class TestBallast:
    def test_real_blocks(self, ballast: Ballast) -> None:
        """The disk has the blocks, and only the engine's user the file."""
        assert ballast.make()
        found = ballast.path.stat()
        assert (found.st_size, found.st_mode & 0o077) == (SIZE, 0)
        assert found.st_blocks * 512 >= SIZE

    def test_spend_once(self, ballast: Ballast) -> None:
        """It is given up once, until it was made again."""
        assert not ballast.spend()
        ballast.make()
        assert ballast.spend()
        assert not ballast.spend()
        assert not ballast.is_there
        assert ballast.make()
        assert ballast.is_there

    def test_made_once(self, ballast: Ballast) -> None:
        """A ballast that is there is left alone."""
        ballast.make()
        before = ballast.path.stat().st_ino
        assert ballast.make()
        assert ballast.path.stat().st_ino == before

    @pytest.mark.parametrize("size", [SIZE // 2, 2 * SIZE])
    def test_another_size(self, ballast: Ballast, size: int) -> None:
        """When the setting has changed, it is made anew."""
        ballast.make()
        other = Ballast(ballast.path, size)
        assert other.make()
        assert other.path.stat().st_size == size

    def test_none(self, ballast: Ballast) -> None:
        """A site that wants none has none, and what was held back before is given back."""
        ballast.make()
        assert not Ballast(ballast.path, 0).make()
        assert not ballast.path.exists()

    def test_sparse_file_does_not_count(self, ballast: Ballast) -> None:
        """A file that only claims its size (a copy of another disk) is no ballast."""
        ballast.path.touch()
        os.truncate(ballast.path, SIZE)
        assert ballast.make()
        assert ballast.path.stat().st_blocks * 512 >= SIZE

    def test_no_room(self, tmp_path: Path) -> None:
        """On a disk without twice the space nothing is held back, and nothing is left behind."""
        ballast = Ballast(tmp_path / "ballast", 2**62)
        assert not ballast.make()
        assert not ballast.path.exists()
