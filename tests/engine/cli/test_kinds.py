"""`pilotage kinds`."""

from __future__ import annotations

import json

import pytest

from pilotage.cli import main
from pilotage.language.wording import duration


class TestKinds:
    def test_all(self, capsys: pytest.CaptureFixture[str]) -> None:
        """One line a kind, by name, with what rules may command."""
        assert main(["kinds"]) == 0

        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == ["KIND", "TITLE", "PLUGIN", "POINTS", "COMMANDABLE"]
        names = [line.split()[0] for line in lines[1:]]
        assert names == sorted(names)
        assert "lamp" in names

    def test_one(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Points with type, range, access, default, and relations."""
        assert main(["kinds", "lighting_segment"]) == 0

        out = capsys.readouterr().out
        level = next(line for line in out.splitlines() if line.startswith("lights.level"))
        assert "0 to 100" in level
        assert "both" in level
        assert "of its lamps" in level
        assert "\nlamps     lamp\n" in out

    def test_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        """For programs, with units and ages in seconds."""
        assert main(["kinds", "lamp", "--json"]) == 0

        kind = json.loads(capsys.readouterr().out)
        level = next(point for point in kind["points"] if point["name"] == "level")
        assert (kind["plugin"], level["unit"], level["low"], level["high"]) == (
            "lighting",
            "%",
            0,
            100,
        )
        assert main(["kinds", "--json"]) == 0
        assert kind in json.loads(capsys.readouterr().out)

    def test_unknown(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The nearest kind is proposed."""
        assert main(["kinds", "lmp"]) == 1

        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == (
            'error: no plugin declares a kind "lmp"\n'
            '  mend: did you mean "lamp"? `pilotage kinds` lists them\n'
        )

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(90.0, "90 s"), (1_800.0, "30 min"), (172_800.0, "2 d"), (0.5, "0.5 s")],
    )
    def test_durations(self, seconds: float, text: str) -> None:
        """As a rule would write them."""
        assert duration(seconds) == text
