"""`pilotage plugins`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pilotage.cli import main


class TestPlugins:
    def test_all_loaded(self, capsys: pytest.CaptureFixture[str]) -> None:
        """One line a plugin, and exit 0 when none is broken."""
        assert main(["plugins"]) == 0

        out = capsys.readouterr().out
        assert "loaded" in next(line for line in out.splitlines() if line.startswith("lighting"))
        assert "broken" not in out

    def test_a_broken_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is named with its reason, the others stand, and the exit code is 1."""
        (tmp_path / "acme.py").write_text("raise ValueError('[no] licence')")
        info = tmp_path / "acme-2.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 2.1\n")
        (info / "entry_points.txt").write_text("[pilotage]\nacme = acme\n")
        monkeypatch.syspath_prepend(tmp_path)

        assert main(["plugins"]) == 1
        out = capsys.readouterr().out
        assert "acme: cannot be imported: ValueError: [no] licence" in out
        assert "lighting" in out

        assert main(["plugins", "--json"]) == 1
        records = {record["name"]: record for record in json.loads(capsys.readouterr().out)}
        assert (records["acme"]["state"], records["acme"]["version"]) == ("broken", "2.1")
        assert records["lighting"]["brings"]["kinds"] >= 3
        assert "acme" not in sys.modules


class TestOfASite:
    def test_isolated(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With a configuration the list shows which plugins that site runs in processes of their own."""
        monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "faults" / "rogue"))
        config = tmp_path / "config.yaml"
        config.write_text(
            "site: {name: Testville, position: [47.32, 5.04]}\nrules: []\n"
            "connections: {v: {adapter: rogue, isolate: true}}\n"
        )
        assert main(["plugins", "-c", str(config)]) == 0
        (line,) = (n for n in capsys.readouterr().out.splitlines() if n.startswith("rogue"))
        assert "isolated" in line
        assert "1 adapter" in line
