"""`pilotage plugin new`: what it writes, and what it refuses to write over."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotage.cli import main

ROOT = Path(__file__).parents[3]


class TestNew:
    @pytest.mark.parametrize(
        ("option", "file"), [("--adapter", "codec.py"), ("--domain", "kinds.py")]
    )
    def test_writes_a_project(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, file: str
    ) -> None:
        """Package, tests and pages are there, with the name in place of every mark, and the next steps are said."""
        folder = tmp_path / "acme-things"

        assert main(["plugin", "new", "acme-things", option, "--folder", str(folder)]) == 0

        written = [path for path in folder.rglob("*") if path.is_file()]
        assert folder / "src" / "acme_things" / file in written
        assert folder / ".gitignore" in written
        assert [path for path in written if "{{" in path.read_text()] == []
        assert "pip install -e" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "name", ["Acme", "1st", "acme.lamps", "class", "json", "pilotage-x", "../x", "a--b"]
    )
    def test_a_name_that_cannot_be_one(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        name: str,
    ) -> None:
        """Nothing is written, and the mend is shown."""
        monkeypatch.chdir(tmp_path)

        assert main(["plugin", "new", name]) == 1
        assert "acme-lamps" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []

    def test_writes_over_nothing(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A folder with anything in it stays as it is."""
        (tmp_path / "mine").touch()

        assert main(["plugin", "new", "acme", "--folder", str(tmp_path)]) == 1
        assert "is not empty; nothing was written" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]
