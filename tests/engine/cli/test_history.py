"""`pilotage history` and `pilotage privacy`: against a running engine, and from the file of one that was stopped."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pilotage.cli import history as module
from pilotage.cli import main
from pilotage.cli.chart import chart, resampled
from pilotage.core.store import Cell, Entity
from pilotage.model.entities import PointSpec, Privacy
from pilotage.model.messages import Reading
from pilotage.model.quality import Quality
from pilotage.model.values import POSITION, Position, enum, number, reference
from pilotage.runtime.config import load_settings
from pilotage.runtime.health import Health
from pilotage.runtime.history.recorder import Recorder

PARIS = ZoneInfo("Europe/Paris")
CONFIG = """\
site: {name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04]}
history:
  points:
    - {match: "van-*.position", purpose: proof of gritting, basis: public task}
    - {match: "*", record: readings}
"""
SPECS = {
    "D-1.flow": PointSpec("flow", number("veh/h")),
    "D-1.mode": PointSpec("mode", enum("auto", "off")),
    "van-1.position": PointSpec("position", POSITION, privacy=Privacy.PERSONAL),
    "J-1.next": PointSpec("next", reference("van")),
}  # fmt: skip

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def city(tmp_path: Path) -> Path:
    """A site whose history holds the last hour, recorded by a recorder that was stopped."""
    (tmp_path / "rules").mkdir()
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    settings = load_settings(config, {})
    now = time.time()
    recorder = Recorder(
        settings.storage.path / "history.db", settings.history, PARIS, Health(), speed=0.0
    )
    van = Entity("van-1", "van")
    cells = {
        id_: Cell(
            id_, spec, van if id_.startswith("van") else Entity(id_.split(".")[0], "detector")
        )
        for id_, spec in SPECS.items()
    }
    recorder.open(cells.values, now - 3600)

    def read(point: str, ago: float, value: object) -> None:
        recorder.take(now - ago, [Reading(cells[point], value, Quality.GOOD, now - ago)])

    for minute in range(60, 0, -1):
        read("D-1.flow", minute * 60.0, float(100 + minute))
    read("D-1.mode", 3000.0, "auto")
    read("D-1.mode", 1200.0, "off")
    for step in range(5):
        read("van-1.position", 900.0 - step * 60, Position(47.3 + step / 100, 5.0))
    read("J-1.next", 800.0, van)
    recorder.ask(lambda connection: None)
    recorder._anchor = (now, 0.0)
    recorder.close()
    return config


@pytest.fixture
def run(city: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    def call(*words: str) -> tuple[int, str, str]:
        code = main([*words, "-c", str(city)])
        out = capsys.readouterr()
        return code, out.out, out.err

    yield call


def rows_of(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with file.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


class TestShow:
    def test_a_number(self, run: Run) -> None:
        """A number is shown with its chart, its policy and a table of the last values."""
        code, out, _ = run("history", "show", "D-1.flow", "--since", "-2h", "--most", "3")
        assert code == 0
        assert "recorded: readings; internal" in out
        assert "160 veh/h │" in out
        assert "101 veh/h ┴" in out
        assert out.count("good") == 3
        assert "earlier rows are left out" in out

    def test_rollups(self, run: Run) -> None:
        """`--every` shows means, extremes, the share that was known and how many readings there were."""
        code, out, _ = run("history", "show", "D-1.flow", "--since", "-2h", "--every", "15min")
        assert code == 0
        assert "MEAN" in out
        assert "100%" in out

    def test_words(self, run: Run) -> None:
        """Of what is no number the shares of the time are shown, and no chart."""
        code, out, _ = run("history", "show", "D-1.mode", "--since", "-2h", "--every", "1h")
        assert code == 0
        assert "auto" in out
        assert "│" not in out

    def test_for_programs(self, run: Run) -> None:
        """`--json` gives everything."""
        _, out, _ = run("history", "show", "D-1.mode", "--since", "-2h", "--json")
        values = [v["value"] for v in json.loads(out)["values"] if not v["still"]]
        assert values == ["auto", "off"]

    def test_never_recorded(self, run: Run) -> None:
        """A point that is not recorded is said to be so, with the mend."""
        code, _, err = run("history", "show", "D-9.flow")
        assert code == 1
        assert "nothing was ever recorded" in err
        assert "history.points" in err

    def test_no_time(self, run: Run) -> None:
        """What is no time is refused."""
        code, _, err = run("history", "show", "D-1.flow", "--since", "yesterday")
        assert code == 2
        assert "no time" in err

    def test_no_history(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A site that never ran has none."""
        (tmp_path / "rules").mkdir()
        (tmp_path / "config.yaml").write_text(CONFIG)
        assert main(["history", "status", "-c", str(tmp_path / "config.yaml")]) == 1
        assert "no history yet" in capsys.readouterr().err


class TestNoAction:
    @pytest.mark.parametrize("command", ["history", "privacy"])
    def test_help(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Without an action the help is shown, and the exit code is that of wrong usage."""
        assert main([command]) == 2
        assert "ACTION" in capsys.readouterr().err


class TestStatus:
    def test_what_is_recorded(self, run: Run) -> None:
        """Which points, by which policy, for how long and what for."""
        code, out, _ = run("history", "status")
        assert code == 0
        assert "changes, at most" not in out
        line = next(line for line in out.splitlines() if line.startswith("van"))
        assert line.split() == [
            *("van", "position", "personal", "changes", "60", "d"),
            *("proof", "of", "gritting", "(public", "task)", "1"),
        ]


class TestExport:
    def test_csv(self, run: Run, tmp_path: Path) -> None:
        """Every sample is a row, with its time in UTC."""
        file = tmp_path / "out.csv"
        code, out, _ = run("history", "export", "--to", str(file), "--points", "D-1.*")
        assert code == 0
        rows = rows_of(file)
        flows = [row for row in rows if row["point"] == "D-1.flow" and row["still"] == "false"]
        assert [float(row["value"]) for row in flows] == [float(100 + m) for m in range(60, 0, -1)]
        assert flows[0]["time"].endswith("+00:00")
        assert {row["text"] for row in rows if row["point"] == "D-1.mode"} == {"auto", "off"}
        assert f"{len(rows)} rows of 2 points" in out

    def test_parquet(self, run: Run, tmp_path: Path) -> None:
        """A Parquet file has typed columns: times, floats, dictionaries."""
        parquet = pytest.importorskip("pyarrow.parquet")
        file = tmp_path / "out.parquet"
        assert run("history", "export", "--to", str(file), "--kind", "detector")[0] == 0
        table = parquet.read_table(file)
        assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]"
        flows = [
            row["value"] for row in table.to_pylist() if row["point"] == "D-1.flow" and not row["still"]
        ]  # fmt: skip
        assert flows[:2] == [160.0, 159.0]

    def test_rollups(self, run: Run, tmp_path: Path) -> None:
        """Roll-ups can be exported, into both."""
        pytest.importorskip("pyarrow")
        for name in ("out.csv", "out.parquet"):
            command = ("history", "export", "--to", str(tmp_path / name), "--every", "1h")
            assert run(*command)[0] == 0
        rows = rows_of(tmp_path / "out.csv")
        assert sum(int(row["readings"]) for row in rows if row["point"] == "D-1.flow") == 60

    def test_without_pyarrow(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without the package the mend is named, and nothing is written."""
        monkeypatch.setattr(module, "_has_pyarrow", lambda: False)
        code, _, err = run("history", "export", "--to", str(tmp_path / "x.parquet"))
        assert code == 1
        assert "pip install 'pilotage[parquet]'" in err
        assert not (tmp_path / "x.parquet").exists()

    def test_other_endings(self, run: Run, tmp_path: Path) -> None:
        """A name that says nothing is refused."""
        assert run("history", "export", "--to", str(tmp_path / "x.xls"))[0] == 2

    def test_nothing_fits(self, run: Run, tmp_path: Path) -> None:
        """When no point fits, no file is written."""
        code, _, _ = run("history", "export", "--to", str(tmp_path / "x.csv"), "--points", "zz*")
        assert code == 1
        assert not (tmp_path / "x.csv").exists()


class TestPrivacy:
    def test_report(self, run: Run) -> None:
        """The report names class, purpose, basis and limit of all that is kept."""
        code, out, _ = run("privacy", "report")
        assert code == 0
        line = next(line for line in out.splitlines() if "van.position" in line)
        for word in ("history.db", "personal", "proof of gritting", "public task", "60 d"):
            assert word in line

    def test_report_of_nothing(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Before the first start there is nothing, and a sentence says so."""
        config = tmp_path / "config.yaml"
        config.write_text("site: {name: Testville}\n")
        assert main(["privacy", "report", "-c", str(config)]) == 0
        assert f"nothing is kept in {tmp_path / 'var'} yet" in capsys.readouterr().out.replace(
            "\n", " "
        )

    def test_report_for_programs(self, run: Run) -> None:
        """And it can be read by programs."""
        _, out, _ = run("privacy", "report", "--json")
        found = {row["what"]: row for row in json.loads(out)}
        assert found["van.position (1)"]["keep_s"] == 60 * 86_400

    def test_export(self, run: Run, tmp_path: Path) -> None:
        """Everything of an entity is given out, and where it is another point's value."""
        file = tmp_path / "van-1.json"
        assert run("privacy", "export", "van-1", "--to", str(file))[0] == 0
        found = {each["point"]: each for each in json.loads(file.read_text())["points"]}
        assert set(found) == {"van-1.position", "J-1.next"}
        assert [v["value"] for v in found["van-1.position"]["values"]][:2] == [[47.3, 5.0], [47.31, 5.0]]  # fmt: skip
        assert found["van-1.position"]["purpose"] == "proof of gritting"

    def test_erase(self, run: Run, city: Path, tmp_path: Path) -> None:
        """Without a running engine the file itself is changed; what is left elsewhere is said."""
        code, out, _ = run("privacy", "erase", "van-1", "--reason", "asked")
        assert code == 0
        assert "rows of the history were erased" in out
        assert "decisions that name it stay until" in out
        file = tmp_path / "van-1.json"
        assert run("privacy", "export", "van-1", "--to", str(file))[0] == 0
        assert json.loads(file.read_text())["points"] == []
        assert run("history", "show", "D-1.flow", "--since", "-2h")[0] == 0


class TestChart:
    def test_lines(self) -> None:
        """The highest line is the top; the lowest number can still be seen, what is unknown is empty."""
        assert chart([0.0, 4.0, None, 8.0], height=2) == [" ▁ █", "▁█ █"]

    def test_constant(self) -> None:
        """Numbers that are all the same stand in the middle."""
        assert chart([5.0, 5.0], height=2) == ["", "██"]
        assert chart([None, None]) == []

    def test_what_held(self) -> None:
        """Each column shows what held in its middle."""
        values = [(0.0, 1.0), (55.0, 2.0), (80.0, None)]
        assert resampled(values, 0.0, 100.0, 5) == [1.0, 1.0, 1.0, 2.0, None]
