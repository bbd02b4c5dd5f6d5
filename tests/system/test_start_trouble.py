"""A start on a bad day: files of another version, a clock that is wrong, a disk that is full; each says what to do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pilotage import api
from pilotage.runtime.clock import UNKEPT, clock_state
from pilotage.runtime.journal import sqlite


def of_version(file: Path, version: int) -> None:
    """Make a database one of another version."""
    connection = sqlite.connect(str(file))
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()


def findings(city: Any) -> dict[str, str]:
    """Return what the engine says of itself, by code, with its mend."""
    report = city.ask(api.GetHealth())
    return {each.code: f"{each.text} / {each.mend}" for each in report.findings}


class TestVersions:
    @pytest.mark.parametrize("name", ["journal.db", "audit.db"])
    def test_of_a_newer_engine(self, city: Any, name: str) -> None:
        """What a newer engine wrote is not touched: refused, with the way out, and no traceback."""
        city.start()
        city.stop()
        file = city.folder / "var" / name
        of_version(file, 99)
        before = file.read_bytes()

        done = city.run("run")

        assert done.returncode == 1
        assert "has version 99, this engine knows versions up to" in done.stderr
        assert "mend: run the version of pilotage that wrote it, or a newer one" in done.stderr
        assert "Traceback" not in done.stderr
        assert file.read_bytes() == before

    def test_a_newer_history(self, city: Any) -> None:
        """The city is piloted without its history, and a finding says so."""
        city.start()
        city.stop()
        of_version(city.folder / "var" / "history.db", 99)

        city.start()

        assert "is a history of version 99" in findings(city)["history.unusable"]
        city.stop()


class TestClock:
    def test_an_hour_behind(self, city: Any) -> None:
        """An engine whose last record is an hour ahead of the clock counts on from there, and says so."""
        city.start("--start", str(time.time() + 3_600.0), "--speed", "1")
        city.report("s-1.flow", 20.0)
        city.until(lambda: city.ask_point("s-1.level").wanted == 30.0)
        last = city.ask(api.GetStatus()).now
        city.stop()

        city.start()

        assert city.ask(api.GetStatus()).now >= last
        said = findings(city)["clock.behind"]
        assert "min before the last record of this engine" in said
        assert "timedatectl" in said
        city.stop()

    def test_nobody_keeps_it(self, city: Any) -> None:
        """An engine on a machine without a time server says so, and only then: an hour wrong looks right from inside."""
        city.start()
        assert ("clock.unkept" in findings(city)) is (clock_state() == UNKEPT)
        city.stop()


class TestJournal:
    def test_there_and_gone(self, city: Any) -> None:
        """A start after a stop has nothing to say; one whose journal was taken away says what is lost, not in silence."""
        city.start()
        city.stop()
        city.start()
        assert not {"clock.behind", "recovery.anew"} & findings(city).keys()
        city.stop()
        for file in (city.folder / "var").glob("journal.db*"):
            file.unlink()

        city.start()

        said = findings(city)["recovery.anew"]
        assert "the journal is empty, though an engine ran here before" in said
        assert "pilotage restore" in said
        city.stop()
