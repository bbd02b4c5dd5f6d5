"""An erasure with a real engine: history, journal and snapshots hold nothing of before, and the engine lives on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pilotage import api
from pilotage.runtime.journal import JournalReader
from pilotage.runtime.ownership import THE_CITY

# No other number in the engine's files begins like this.
TOLD = 7_654.321


def inputs(city: Any) -> list[str]:
    """Return every input of the journal, as text."""
    reader = JournalReader(city.folder / "var" / "journal.db")
    return [repr(envelope.inputs) for envelope in reader.inputs(THE_CITY)]


def tells(city: Any, point: str) -> bool:
    """Return whether the journal's inputs speak of a point."""
    return any(point in envelope for envelope in inputs(city))


def lit(city: Any) -> float:
    """Return the level of the second street."""
    return float(city.ask_point("s-2.level").point.value or 0.0)


def snapshots(city: Any) -> list[Path]:
    return sorted((city.folder / "var" / "snapshots").glob("*.snapshot"))


class TestErase:
    def test_beside_a_running_engine(self, city: Any) -> None:
        """What was read before is gone from the journal and from all snapshots but a new one; a restart goes on."""
        city.start()
        city.report("s-1.flow", 500.0)
        city.report("s-2.flow", 20.0)
        city.until(lambda: lit(city) == 30.0)
        city.report("s-1.flow", TOLD)  # no rule changes by it: it is an input and in no decision
        city.until(lambda: city.ask_point("s-1.flow").point.value == TOLD)
        city.until(lambda: tells(city, "7654.321"), "the reading was not recorded")
        before = snapshots(city)

        done = city.run("privacy", "erase", "s-1", "--reason", "request of today")

        assert done.returncode == 0, done.stderr
        assert "every reading and order of the journal" in done.stdout
        assert not tells(city, "s-1.flow")
        assert len(snapshots(city)) == 1
        assert snapshots(city)[0] not in before
        files = [city.folder / "var" / name for name in ("journal.db", "journal.db-wal")]
        assert [file.name for file in files if b"7654.321" in file.read_bytes()] == []

        city.kill()  # and not stopped in order: the replay starts from that snapshot
        (city.folder / "readings").write_text("")
        city.start()
        assert lit(city) == 30.0
        assert city.ask(api.GetHealth()).sound
        city.stop()

    def test_without_an_engine(self, city: Any) -> None:
        """A stopped engine has kept its state; its journal needs nothing of before."""
        city.start()
        city.report("s-2.flow", 20.0)
        city.until(lambda: lit(city) == 30.0)
        city.stop()
        assert tells(city, "s-2.flow")

        done = city.run("privacy", "erase", "s-1", "--reason", "request of today")

        assert done.returncode == 0, done.stderr
        assert inputs(city) == []
        assert len(snapshots(city)) == 1
        (city.folder / "readings").write_text("")
        city.start()
        assert lit(city) == 30.0
        city.stop()


class TestReport:
    def test_says_what_is_too_old(self, city: Any) -> None:
        """Each store tells how many rows are past their limit: none, beside a running engine."""
        city.start()
        city.report("s-1.flow", TOLD)
        done = city.run("privacy", "report", "--json")
        city.stop()

        rows = json.loads(done.stdout)
        assert done.returncode == 0
        assert {row["where"] for row in rows} >= {"journal.db", "audit.db"}
        assert [row["what"] for row in rows if row["older"]] == []
        assert all(row["older"] == 0 for row in rows if row["where"] == "audit.db")
