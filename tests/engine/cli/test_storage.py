"""`pilotage backup`, `restore` and `verify`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from pilotage.cli import main
from pilotage.ports import DecisionRecord
from pilotage.runtime.health import Health
from pilotage.runtime.journal import SqliteJournal, sqlite
from pilotage.runtime.ownership import FileOwnership


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A site with a journal."""
    (tmp_path / "rules").mkdir()
    file = tmp_path / "config.yaml"
    file.write_text("site: {name: Dijon, position: [47.322, 5.041]}\n")

    async def fill() -> None:
        journal = SqliteJournal(tmp_path / "var" / "journal.db", Health())
        journal.open("city")
        await journal.append("city", 0, DecisionRecord(1, 1.0, b'{"number":1}'))
        journal.close()

    asyncio.run(fill())
    return str(file)


class TestCommands:
    def test_there_and_back(
        self, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A backup is made, found whole, and brought back; each command says what it did."""
        copy = str(tmp_path / "copy.tar")
        assert main(["backup", copy, "-c", config]) == 0
        assert capsys.readouterr().out.startswith(f"{copy}: 1 files, 0.1 MB")
        assert main(["verify", copy, "-c", config]) == 0
        assert capsys.readouterr().out.splitlines()[1].split() == [
            *("journal.db", "whole", "city:", "1", "decisions,", "0", "inputs"),
        ]
        assert main(["restore", copy, "-c", config]) == 1
        assert "--force" in capsys.readouterr().err
        assert main(["restore", "--force", copy, "-c", config]) == 0
        out = capsys.readouterr().out
        assert "as of 20" in out
        assert "var.before-" in out

    def test_damage(self, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Damage is shown with its file, and the exit code is 1."""
        connection = sqlite.connect(tmp_path / "var" / "journal.db")
        connection.execute("DELETE FROM decisions")
        connection.execute("UPDATE partitions SET number = 5")
        connection.execute("INSERT INTO decisions VALUES ('city', 3, 1.0, x'7b7d')")
        connection.commit()
        connection.close()
        assert main(["verify", "-c", config]) == 1
        out = capsys.readouterr().out
        assert "DAMAGED" in out
        assert "decisions end at 3, the last one was 5" in out
        assert main(["verify", "--json", "-c", config]) == 1
        (found,) = json.loads(capsys.readouterr().out)
        assert found["name"] == "journal.db"

    def test_running_engine(
        self, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A backup may be made beside an engine, and never restored over one."""
        owner = FileOwnership(tmp_path / "var")
        owner.acquire("city")
        copy = str(tmp_path / "copy")
        assert main(["backup", copy, "-c", config]) == 0
        assert main(["restore", "--force", copy, "-c", config]) == 1
        assert "an engine runs already" in capsys.readouterr().err
        owner.release("city")

    def test_nothing_there(
        self, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What is no backup is named with the mend."""
        assert main(["restore", "--force", str(tmp_path / "rules"), "-c", config]) == 1
        assert "this is no backup" in capsys.readouterr().err
