"""`pilotage test`: what it runs, what it shows of a failure, its reports and exit codes."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.cli import main

ROOT = Path(__file__).parents[3]
PROGRAM = [sys.executable, "-c", "import sys; from pilotage.cli import main; sys.exit(main())"]
RULES = """\
rules:
  dim:
    title: Dim
    owner: lighting
    for_each: {segment: {kind: lighting_segment, where: segment.dimmable}}
    while: is_night and not segment.pedestrian_detected
    hold: [{set: segment.lights.level, to: 30 %, priority: saving}]

alarms:
  broken:
    title: Broken
    owner: lighting
    for_each: {segment: {kind: lighting_segment}}
    raise_while: segment.pedestrian_detected
    severity: low

tests:
  at night it is dim:
    use: [dim]
    clock: 2026-01-15 23:00
    world: {seg-1: {kind: lighting_segment, dimmable: true, pedestrian_detected: false}}
    steps:
      - at: 1 s
        expect: [{point: seg-1.lights.level, wanted: 30 %}]

  by day it is not:
    use: [dim]
    clock: 2026-01-15 12:00
    world: {seg-1: {kind: lighting_segment, dimmable: true, pedestrian_detected: false}}
    steps:
      - at: 1 s
        expect: [{point: seg-1.lights.level, wanted: 100 %}]
"""
FAILING = RULES.replace("wanted: 100 %", "wanted: 70 %")

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rule file alone in a folder, in which we stand."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "dim.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command and return its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        code = main(["test", *arguments])
        return code, capsys.readouterr().out

    return run


class TestRunning:
    def test_all_pass(self, rules: Path, run: Run) -> None:
        """Each file is counted, and all of them."""
        code, out = run("dim.yaml")

        assert code == 0
        assert out.startswith("dim.yaml: 2 passed\n2 tests passed in ")

    def test_a_failure(self, rules: Path, run: Run) -> None:
        """The place, the line, what was wanted, what was got, and why; exit 1."""
        rules.write_text(FAILING)

        code, out = run("dim.yaml")

        assert code == 1
        assert "  failed  by day it is not\n" in out
        assert "  dim.yaml:32:54: T701 wanted seg-1.lights.level is 100 % at 1 s, not 70 %\n" in out
        assert "  32 |         expect: [{point: seg-1.lights.level, wanted: 70 %}]\n" in out
        assert "   why: seg-1.lights.level is wanted at 100 % by default" in out
        assert "1 of 2 tests failed in " in out

    def test_keyword(self, rules: Path, run: Run) -> None:
        """Only tests whose name contains the text are run."""
        assert run("-k", "BY DAY", "dim.yaml", "-v")[1].splitlines()[:2] == [
            "dim.yaml: 1 passed",
            "  passed  by day it is not",
        ]

    def test_no_test_found(self, rules: Path, run: Run) -> None:
        """Nothing to run is no failure, and is said."""
        assert run("-k", "zebra", "dim.yaml") == (
            0,
            'no test found in 1 file with "zebra" in its name; write one under `tests:`\n',
        )

    def test_mistakes_come_first(self, rules: Path, run: Run) -> None:
        """Rules with a mistake are not tested: the mistake is shown, exit 1."""
        rules.write_text(RULES.replace("30 %, priority", "30 km, priority"))

        code, out = run("dim.yaml")

        assert code == 1
        assert "dim.yaml:7:" in out
        assert "no test was run: the rules have mistakes" in out
        assert "passed" not in out

    @pytest.mark.parametrize(
        ("arguments", "code"), [(["dim.yaml"], 0), (["nowhere.yaml"], 2), ([], 2)]
    )
    def test_exit_codes(self, rules: Path, arguments: list[str], code: int) -> None:
        """As a process: 0 when all passed, 2 for wrong usage."""
        done = subprocess.run([*PROGRAM, "test", *arguments], capture_output=True, check=False)

        assert done.returncode == code

    def test_the_site_says_what_time_it_is(self, rules: Path, run: Run) -> None:
        """With a configuration the sun is the site's: at noon in Paris it is night in Auckland."""
        (rules.parent / "config.yaml").write_text(
            "site: {name: A, time_zone: Europe/Paris, position: [-36.85, 174.76]}\n"
        )

        code, out = run("dim.yaml")

        assert code == 1
        assert "wanted seg-1.lights.level is 30 % at 1 s, not 100 %" in out


class TestCoverage:
    def test_table(self, rules: Path, run: Run) -> None:
        """One line a rule: its condition seen true, false and unknown, its demands winning and losing."""
        _, out = run("--coverage", "dim.yaml")

        rows = [line.split() for line in out.splitlines()]
        assert ["dim", "rule", "2", "yes", "yes", "no", "yes", "no"] in rows
        assert ["broken", "alarm", "0", "no", "no", "-", "-", "-"] in rows
        assert "outcomes of conditions: 2 of 5 (40%); demands won and lost: 1 of 2 (50%)" in out

    def test_stories_plans_and_alarms(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """The city's own rules: what ran, was raised or came into force was seen true."""
        monkeypatch.chdir(ROOT)

        _, out = run("--coverage")

        rows = {line.split()[0]: line.split()[1:5] for line in out.splitlines() if line.split()}
        assert rows["intrusion-response"][0] == "story"
        assert rows["intrusion-response"][2:] == ["yes", "yes"]
        assert rows["snow"][2:] == ["yes", "yes"]
        assert rows["treated-routes-are-lit"][2:] == ["yes", "yes"]


class TestJunit:
    def test_report(self, rules: Path, run: Run, tmp_path: Path) -> None:
        """One suite a file, one case a test, one failure with its text."""
        rules.write_text(FAILING)

        run("--junit", "report.xml", "dim.yaml")

        root = ET.parse(tmp_path / "report.xml").getroot()
        assert root.attrib["tests"] == "2"
        (suite,) = root
        assert (suite.attrib["name"], suite.attrib["failures"]) == ("dim.yaml", "1")
        good, bad = suite
        assert (good.attrib["name"], list(good)) == ("at night it is dim", [])
        assert bad.attrib["line"] == "26"
        assert "is 100 % at 1 s, not 70 %" in bad[0].attrib["message"]
        assert "why: seg-1.lights.level" in (bad[0].text or "")
