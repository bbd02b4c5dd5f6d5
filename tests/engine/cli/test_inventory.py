"""`pilotage inventory`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pilotage.cli import main

ROOT = Path(__file__).parents[3]
SITE = "site: {name: Dijon, position: [47.322, 5.041]}\n"


def config(folder: Path, text: str) -> str:
    file = folder / "config.yaml"
    file.write_text(SITE + text, encoding="utf-8")
    return str(file)


class TestInventory:
    def test_counts(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """One line a kind, and all of them."""
        file = config(tmp_path, "inventory: [{L-1: {kind: lamp}, L-2: {kind: lamp}}]\n")

        assert main(["inventory", "-c", file]) == 0

        rows = [line.split() for line in capsys.readouterr().out.splitlines() if line]
        assert rows == [
            ["KIND", "TITLE", "ENTITIES"],
            ["lamp", "Light", "point", "2"],
            ["all", "2"],
        ]

    def test_findings(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Mistakes are shown after the counts, with their lines, and the exit code is 1."""
        file = config(tmp_path, "inventory: [{L-1: {kind: lmp}}]\npacks: [lightning]\n")

        assert main(["inventory", "-c", file]) == 1

        out = capsys.readouterr().out
        assert 'C213 no plugin declares a kind "lmp"\n   2 | inventory' in out
        assert 'did you mean "lighting"?' in out
        assert out.endswith("2 errors\n")

    def test_json(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """For programs."""
        file = config(tmp_path, "inventory: [{L-1: {kind: lamp, level: 200 %}}]\n")

        assert main(["inventory", "-c", file, "--json"]) == 1

        record = json.loads(capsys.readouterr().out)
        assert record["kinds"] == {"lamp": 1}
        (finding,) = record["findings"]
        assert (finding["code"], finding["line"], finding["severity"]) == ("C215", 2, "error")

    def test_bad_settings(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A configuration that cannot be used is told, and nothing else."""
        assert main(["inventory", "-c", str(tmp_path / "none.yaml")]) == 1

        assert "C101 there is no file" in capsys.readouterr().out

    def test_the_product_itself(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The site at the root of the project is clean."""
        assert main(["inventory", "-c", str(ROOT / "config.yaml")]) == 0

        out = capsys.readouterr().out
        assert "signal_junction" in out
        assert "warning" not in out
