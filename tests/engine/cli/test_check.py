"""`pilotage check`: what it reads, what it says in each format, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage.cli import main

PROGRAM = [sys.executable, "-c", "import sys; from pilotage.cli import main; sys.exit(main())"]
SITE = "site: {name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04]}\n"
INVENTORY = """\
inventory:
  - seg-1: {kind: lighting_segment, dimmable: true}
    J-1: {kind: signal_junction, bus_priority_allowed: false}
"""
DIM = """\
rules:
  dim:
    title: Dim
    owner: lighting
    for_each: {segment: {kind: lighting_segment, where: segment.dimmable}}
    while: is_night
    hold: [{set: segment.lights.level, to: 30 %, priority: saving}]
tests:
  at night it is dim:
    use: [dim]
    clock: 2026-01-15 23:00
    world: {seg-1: {kind: lighting_segment, dimmable: true}}
    steps:
      - at: 1 s
        expect: [{point: seg-1.lights.level, wanted: 30 %}]
"""
WRONG = DIM.replace("while: is_night", "while: segment.trafic.flow < 60 veh/h")
BUS = """\
rules:
  bus:
    title: Bus
    owner: mobility
    for_each:
      junction: {kind: signal_junction, where: junction.bus_priority_allowed}
      bus: {kind: bus, within: 150 m, of: junction}
    while: bus.delay > 60 s
    hold: [{request: junction.priority, for: bus, priority: service}]
"""

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a site, its inventory, and one rule file without mistakes."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "config.yaml").write_text(SITE + INVENTORY)
    (tmp_path / "rules" / "dim.yaml").write_text(DIM)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Run the command and return its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        code = main(["check", *arguments])
        return code, capsys.readouterr().out

    return run


class TestText:
    def test_no_mistakes(self, city: Path, check: Check) -> None:
        """What was checked is counted, the inventory too."""
        assert check() == (
            0,
            "no mistakes in 1 file: 1 rule, 1 test; inventory: 2 entities\n",
        )

    def test_a_mistake(self, city: Path, check: Check) -> None:
        """The place, the line, a caret under the word, the hint, and a summary; exit 1."""
        (city / "rules" / "dim.yaml").write_text(WRONG)

        code, out = check("rules")

        assert code == 1
        assert out.startswith(
            'rules/dim.yaml:6:20: E201 lighting_segment has no point "trafic"\n'
            "   6 |     while: segment.trafic.flow < 60 veh/h\n"
            '                          ^^^^^^ did you mean "traffic"?\n'
        )
        assert "\n1 error" in out

    @pytest.mark.parametrize("arguments", [(), ("rules",)])
    def test_a_file_that_cannot_be_read(
        self, city: Path, check: Check, arguments: tuple[str, ...]
    ) -> None:
        """A link among the rules that leads nowhere is a mistake, as it is for the engine; a folder called so is none."""
        (city / "rules" / "winter.yaml").symlink_to("gone.yaml")
        (city / "rules" / "old.yaml").mkdir()

        code, out = check(*arguments)

        assert code == 1
        assert 'C101 "rules/winter.yaml" is a link to gone.yaml, where there is nothing\n' in out
        assert "   mend: make the link anew, or delete it\n" in out
        assert "\n1 error" in out

    def test_without_a_site(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: Check
    ) -> None:
        """What needs the inventory is skipped, and one line says so."""
        (tmp_path / "bus.yaml").write_text(BUS)
        monkeypatch.chdir(tmp_path)

        code, out = check("bus.yaml")

        assert code == 0
        assert "W510" not in out
        assert "without a site: what needs its inventory was not checked" in out

    def test_color(self, city: Path) -> None:
        """Colours can be turned on, and are off in a pipe."""
        (city / "rules" / "dim.yaml").write_text(WRONG)

        with_color = subprocess.run(
            [*PROGRAM, "--color", "always", "check"], capture_output=True, text=True, check=False
        )
        without = subprocess.run([*PROGRAM, "check"], capture_output=True, text=True, check=False)

        assert "\x1b[" in with_color.stdout
        assert "\x1b[" not in without.stdout


class TestExitCodes:
    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            ([], 0),
            (["rules"], 0),
            (["--strict", "rules/dim.yaml"], 0),
            (["nowhere.yaml"], 2),
            (["--config", "nowhere.yaml"], 2),
            (["--format", "xml"], 2),
        ],
    )
    def test_as_a_process(self, city: Path, arguments: list[str], code: int) -> None:
        """0 without errors, 2 for wrong usage."""
        done = subprocess.run([*PROGRAM, "check", *arguments], capture_output=True, check=False)

        assert done.returncode == code

    def test_nothing_to_check(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: Check
    ) -> None:
        """Without a configuration and without a path there is nothing to do: 2."""
        monkeypatch.chdir(tmp_path)

        assert check()[0] == 2

    def test_strict_counts_warnings(self, city: Path, check: Check) -> None:
        """A warning is 0, and 1 with --strict."""
        (city / "rules" / "bus.yaml").write_text(BUS)

        assert check()[0] == 0
        assert check("--strict")[0] == 1

    def test_a_wrong_configuration(self, city: Path, check: Check) -> None:
        """Mistakes of the settings are findings as well."""
        (city / "config.yaml").write_text("site: {nme: x}\n")

        code, out = check()

        assert code == 1
        assert 'config.yaml:1:8: E110 "site" has no key "nme"' in out


class TestSite:
    def test_never_fires(self, city: Path, check: Check) -> None:
        """A rule for which the inventory has nothing is told."""
        (city / "rules" / "bus.yaml").write_text(BUS)

        _, out = check()

        assert (
            "rules/bus.yaml:2:3: W510 never fires: no signal_junction has bus_priority_allowed"
            in out
        )

    def test_files_of_a_site_are_read_together(self, city: Path, check: Check) -> None:
        """A file that is named alone knows the plan of the file beside it."""
        (city / "rules" / "plan.yaml").write_text(
            "plans:\n  storm: {title: Storm, owner: x, levels: [{level: 1, name: on}]}\n"
        )
        uses = DIM.replace("while: is_night", 'while: plan("storm").level >= 1')
        (city / "rules" / "dim.yaml").write_text(uses)

        assert check("rules/dim.yaml")[0] == 0

    def test_findings_of_other_files_are_not_shown(self, city: Path, check: Check) -> None:
        """Doubts about files that were not asked for stay away."""
        (city / "rules" / "bus.yaml").write_text(BUS)

        assert "bus.yaml" not in check("rules/dim.yaml")[1]

    def test_the_folder_of_a_city(
        self, city: Path, monkeypatch: pytest.MonkeyPatch, check: Check
    ) -> None:
        """A folder with a configuration stands for its site."""
        monkeypatch.chdir(city.parent)

        assert "inventory: 2 entities" in check(city.name)[1]

    def test_packs_are_included_and_not_judged(self, city: Path, check: Check) -> None:
        """Rules of a configured pack are read; that a city has nothing for them is no doubt."""
        (city / "config.yaml").write_text(SITE + INVENTORY + "packs: [parking]\n")

        assert check() == (0, "no mistakes in 1 file: 1 rule, 1 test; inventory: 2 entities\n")


class TestFormats:
    def test_json(self, city: Path, check: Check) -> None:
        """Every finding with its place, for programs."""
        (city / "rules" / "dim.yaml").write_text(WRONG)

        code, out = check("--format", "json")
        report = json.loads(out)

        assert code == 1
        assert (report["errors"], report["files"]) == (1, ["rules/dim.yaml"])
        assert report["findings"][0]["code"] == "E201"
        assert report["findings"][0]["line"] == 6
        assert report["findings"][0]["label"] == 'did you mean "traffic"?'

    def test_sarif(self, city: Path, check: Check) -> None:
        """A log of one run, as the standard's clauses 3.13 to 3.30 ask for it."""
        (city / "rules" / "dim.yaml").write_text(WRONG)

        code, out = check("--format", "sarif")
        log: dict[str, Any] = json.loads(out)

        assert code == 1
        assert log["version"] == "2.1.0"
        (run,) = log["runs"]
        (result,) = run["results"]
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] == "error"
        assert result["message"]["text"].startswith('lighting_segment has no point "trafic"')
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "rules/dim.yaml"
        assert place["region"] == {"startLine": 6, "startColumn": 20, "endColumn": 26}

    def test_sarif_without_findings(self, city: Path, check: Check) -> None:
        """An empty list of results says that all is well."""
        code, out = check("--format", "sarif")

        assert code == 0
        assert json.loads(out)["runs"][0]["results"] == []


class TestUntested:
    def test_named_where_asked(self, city: Path, check: Check) -> None:
        """Rules without a test are named for those who ask, and fail a strict check."""
        (city / "rules" / "bus.yaml").write_text(BUS)
        code, out = check("--untested")
        assert code == 0
        assert 'W520 no test uses "bus"' in out
        assert '"dim"' not in out
        assert "W520" not in check()[1]
        assert check("--untested", "--strict")[0] == 1

    def test_of_the_files_in_question(self, city: Path, check: Check) -> None:
        """Of the site's other files nothing is said."""
        (city / "rules" / "bus.yaml").write_text(BUS)
        assert "W520" not in check("--untested", "rules/dim.yaml")[1]


class TestBytes:
    def test_latin_1(self, city: Path, check: Check) -> None:
        """The byte that is no UTF-8 is shown as it stands in the file."""
        text = DIM.replace("title: Dim", "title: Été").encode("latin-1")
        (city / "rules" / "dim.yaml").write_bytes(text)
        code, out = check()
        assert code == 1
        assert "rules/dim.yaml:3:12: E102" in out
        assert "0xC9" in out

    def test_windows_line_ends(self, city: Path, check: Check) -> None:
        """A file from Windows is read, and its mistakes have the same places."""
        (city / "rules" / "dim.yaml").write_bytes(WRONG.replace("\n", "\r\n").encode())
        windows = check()
        (city / "rules" / "dim.yaml").write_bytes(WRONG.encode())
        assert windows == check()
        assert windows[0] == 1
