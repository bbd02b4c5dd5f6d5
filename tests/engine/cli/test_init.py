"""`pilotage init`: the new city is a good one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotage.cli import main
from pilotage.language.loader import load, plain
from pilotage.runtime.config import load_settings


class TestInit:
    def test_the_new_city_is_clean(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Its settings load, and its inventory has lamps in segments and no finding."""
        folder = tmp_path / "my-city"

        assert main(["init", str(folder)]) == 0
        assert "pilotage check" in capsys.readouterr().out

        settings = load_settings(folder / "config.yaml", {})
        assert settings.site.name == "My city"
        assert settings.rules == (folder / "rules",)
        assert main(["inventory", "-c", str(folder / "config.yaml")]) == 0
        out = capsys.readouterr().out
        assert "lighting_segment" in out
        assert "C2" not in out
        assert "warning" not in out

    def test_its_rules_have_tests(self, tmp_path: Path) -> None:
        """Who begins from it begins with a test."""
        main(["init", str(tmp_path / "x")])

        (file,) = (tmp_path / "x" / "rules").glob("*.yaml")
        node, findings = load(file.read_text(encoding="utf-8"), file.name)
        assert not findings
        assert set(plain(node)) >= {"rules", "tests"}

    def test_an_empty_folder_will_do(self, tmp_path: Path) -> None:
        """The folder may be there already."""
        assert main(["init", str(tmp_path)]) == 0

    def test_a_folder_with_something_in_it_is_left_alone(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Nothing of a city that exists is overwritten."""
        (tmp_path / "config.yaml").write_text("mine")

        assert main(["init", str(tmp_path)]) == 1

        assert (tmp_path / "config.yaml").read_text() == "mine"
        assert list(tmp_path.iterdir()) == [tmp_path / "config.yaml"]
        assert "is not empty; nothing was written" in capsys.readouterr().err
