"""`pilotage audit` on a real engine: killed, started again, shown, exported, verified, tampered with, a person erased."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pilotage import api
from pilotage.runtime.journal import JournalReader

ORDER = ("override", "s-2.level", "80 %", "--for", "2h", "--reason", "road works")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A city whose engine was killed once in the middle of its work, reloaded, and stopped in order."""
    from tests.system.conftest import City

    city = City(tmp_path_factory.mktemp("audit"))
    try:
        _live(city)
        yield city
    finally:
        city.kill()


def _live(city: Any) -> None:
    city.start()
    city.report("s-1.flow", 41)
    city.until(lambda: city.sent() == ["s-1.level 30"])
    assert city.run(*ORDER, "--person", "m.garcia").returncode == 0
    city.until(lambda: len(city.sent()) == 2)
    city.kill()
    city.start()
    city.report("s-2.flow", 41)
    assert city.run("release", "s-2.level", "--person", "a.martin").returncode == 0
    city.until(lambda: "s-2.level 30" in city.sent())
    rules = city.folder / "rules" / "lighting.yaml"
    rules.write_text(rules.read_text().replace("60 veh/h", "50 veh/h"))
    assert city.run("reload").returncode == 0
    assert city.run("override", "s-9.level", "1", "--for", "1h", "--reason", "x").returncode == 1


def shown(city: Any, *options: str) -> list[dict[str, Any]]:
    done = city.run("audit", "show", "--json", *options)
    assert (done.returncode, done.stderr) == (0, "")
    return list(json.loads(done.stdout))


class TestShow:
    def test_command(self, lived: Any) -> None:
        """A command shows its rule, the meaning of the rule, and what its condition had read."""
        row = shown(lived, "--entity", "s-1", "--kind", "command")[0]
        assert (row["action"], row["subject"], row["value"]) == ("sent", "s-1.level", 30.0)
        assert (row["rule"], len(row["identity"])) == ("dim-quiet-streets", 16)
        assert row["detail"]["because"]["read"] == {"s-1.flow": 41.0}

    def test_every_decision_once(self, lived: Any) -> None:
        """After kill -9 every command of the journal is in the audit exactly once."""
        records = JournalReader(lived.folder / "var" / "journal.db").decisions("city")
        sent = [
            event["id"]
            for record in records
            for event in json.loads(record.record)["events"]
            if event["event"] == "Command"
        ]
        rows = [
            r for r in shown(lived, "--kind", "command", "--last", "1000") if r["action"] == "sent"
        ]
        assert [row["detail"]["command"] for row in rows] == sent
        assert set(lived.sent_ids()) <= set(sent)

    def test_person(self, lived: Any) -> None:
        """What a person did is found by the name, with the reason and the way."""
        rows = shown(lived, "--person", "m.garcia")
        assert {"override", "command"} <= {row["kind"] for row in rows}
        (set_,) = [row for row in rows if row["kind"] == "override" and row["action"] == "set"]
        assert (set_["origin"], set_["people"]["reason"]) == ("cli", "road works")

    def test_life(self, lived: Any) -> None:
        """The second start says that the first life was cut off; the reload says which rule means something else."""
        first, second = [r for r in shown(lived, "--kind", "engine") if r["action"] == "started"]
        assert "before" not in first["detail"]
        assert second["detail"]["before"] == "cut off"
        (reload,) = shown(lived, "--kind", "rules")
        assert reload["detail"]["rules changed"] == {"changed": ["dim-quiet-streets"]}
        assert reload["people"]["account"]

    def test_table(self, lived: Any) -> None:
        """People get a table; what was refused at the door is in it."""
        done = lived.run("audit", "show", "--since", "-1h", "--last", "100")
        assert done.stdout.splitlines()[0].split() == [
            "ROW",
            "TIME",
            "WHAT",
            "ON",
            "VALUE",
            "WHO",
            "WHY",
        ]
        assert re.search(r"override refused +s-9\.level .*there is no point", done.stdout)
        assert "s-1.flow 41" in done.stdout

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (("--kind", "commands"), 'there is no kind "commands"'),
            (("--since", "yesterday"), '"yesterday" is no time'),
        ],
    )
    def test_wrong(self, lived: Any, words: tuple[str, ...], text: str) -> None:
        """What is written wrong is told with its mend."""
        done = lived.run("audit", "show", *words)
        assert done.returncode == 2
        assert text in done.stderr
        assert "mend:" in done.stderr


class TestExport:
    def test_csv(self, lived: Any) -> None:
        """A table for spreadsheets, with one line for each row."""
        path = lived.folder / "out.csv"
        done = lived.run("audit", "export", str(path), "--kind", "command")
        assert done.returncode == 0
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        assert rows[0]["subject"] == "s-1.level"
        assert json.loads(rows[0]["detail"])["because"]["read"] == {"s-1.flow": 41.0}

    def test_lines(self, lived: Any) -> None:
        """JSON, one object a line, to the terminal."""
        done = lived.run("audit", "export", "-", "--person", "m.garcia")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert all("m.garcia" in row["people"].values() for row in rows)
        assert rows


class TestVerify:
    def test_sound_while_it_runs(self, lived: Any) -> None:
        """An engine at work has a sound audit."""
        done = lived.run("audit", "verify", "--journal")
        assert done.returncode == 0, done.stdout
        assert "sound: every row is as it was written" in done.stdout


class TestErase:
    def test_with_and_without_engine(self, city: Any) -> None:
        """A person is erased by the running engine, another without one, and the audit stays sound."""
        city.start()
        for point, person in (("s-1.level", "m.garcia"), ("s-2.level", "a.martin")):
            done = city.run(
                "override", point, "80 %", "--for", "2h", "--reason", "works", "--person", person
            )
            assert done.returncode == 0, done.stderr
        city.until(lambda: len(shown(city, "--kind", "override")) == 2)
        done = city.run("audit", "erase", "m.garcia", "--reason", "request", "--person", "dpo")
        assert done.returncode == 0, done.stderr
        assert "told of m.garcia" in done.stdout
        city.stop()
        done = city.run("audit", "erase", "a.martin", "--reason", "request", "--person", "dpo")
        assert done.returncode == 0, done.stderr
        raw = b"".join(path.read_bytes() for path in (city.folder / "var").glob("audit.db*"))
        assert b"m.garcia" not in raw
        assert b"a.martin" not in raw
        assert [row["erased"] for row in shown(city, "--kind", "override")] == [
            ["person", "account", "reason"]
        ] * 2
        assert city.run("audit", "verify", "--journal").returncode == 0
        done = city.run("audit", "erase", "nobody", "--reason", "request")
        assert done.stdout.startswith("no row of the audit tells of nobody")


class TestTampered:
    def test_named(self, city: Any) -> None:
        """A row that was changed while no engine runs is named with what that means, and the exit code says so."""
        city.start()
        city.report("s-1.flow", 41)
        city.until(lambda: city.sent())
        city.stop()
        assert city.run("audit", "verify").returncode == 0
        _change(city.folder / "var" / "audit.db")
        done = city.run("audit", "verify")
        assert done.returncode == 1
        assert "does not match its hash" in done.stdout
        assert "not sound" in done.stdout
        found = json.loads(city.run("audit", "verify", "--json").stdout)
        assert not found["sound"]
        assert found["flaws"][0]["number"] == 3
        city.start()
        assert city.ask(
            api.GetHealth()
        ).sound  # the end of the chain is whole; verify knows the rest
        city.stop()

    def test_no_audit(self, city: Any) -> None:
        """Where no engine ever ran the answer says so."""
        done = city.run("audit", "verify")
        assert done.returncode == 1
        assert "there is no audit yet" in done.stderr


def _change(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entries SET value = '100.0' WHERE number = 3")
