"""What comes from a city is shown as it is."""

from __future__ import annotations

import pytest

from pilotage.cli.console import print_table, table


class TestTable:
    def test_brackets_are_no_markup(self, capsys: pytest.CaptureFixture[str]) -> None:
        """An alarm's instance in brackets is part of its name, and no instruction to the terminal."""
        made = table("ALARM", "TEXT")
        made.row("not-following[lamp-monge-3.level]", "[red]hostile[/red]")
        print_table(made)
        out = capsys.readouterr().out
        assert "not-following[lamp-monge-3.level]" in out
        assert "[red]hostile[/red]" in out
