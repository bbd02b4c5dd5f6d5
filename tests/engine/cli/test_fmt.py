"""`pilotage fmt`: files on disk, exit codes, and what it leaves alone."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.cli import main

PROGRAM = [sys.executable, "-c", "import sys; from pilotage.cli import main; sys.exit(main())"]
UGLY = """\
rules:
   dim:
      owner:   lighting
      title: Dim   # short
      while: is_night
      hold:
      - {set: a.b, to: 30 %, priority: saving}
"""
TIDY = """\
rules:
  dim:
    title: Dim   # short
    owner: lighting
    while: is_night
    hold:
      - {set: a.b, to: 30 %, priority: saving}
"""

Fmt = Callable[..., tuple[int, str, str]]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rule file that is not in shape, in the folder where we stand."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "dim.yaml"
    path.write_text(UGLY)
    return path


@pytest.fixture
def fmt(capsys: pytest.CaptureFixture[str]) -> Fmt:
    """Run the command and return its exit code, its output, and what it said beside it."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["fmt", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


class TestFmt:
    def test_writes(self, file: Path, fmt: Fmt) -> None:
        """The file gets its shape and keeps its rights; the second time nothing changes."""
        file.chmod(0o640)

        assert fmt("dim.yaml") == (0, "changed dim.yaml\n", "1 file: 1 changed\n")
        assert file.read_text() == TIDY
        assert file.stat().st_mode & 0o777 == 0o640
        assert fmt("dim.yaml") == (0, "", "1 file: all in shape\n")
        assert [path.name for path in file.parent.iterdir()] == ["dim.yaml"]

    def test_check_changes_nothing(self, file: Path, fmt: Fmt) -> None:
        """--check names the file, exits 1, and leaves it alone."""
        assert fmt("--check", "dim.yaml")[:2] == (1, "would change dim.yaml\n")
        assert file.read_text() == UGLY

    def test_diff_changes_nothing(self, file: Path, fmt: Fmt) -> None:
        """--diff shows the lines that would change."""
        code, out, _ = fmt("--diff", "dim.yaml")

        assert code == 0
        assert "-   dim:\n" in out
        assert "+  dim:\n" in out
        assert file.read_text() == UGLY

    def test_mistakes_are_left_alone(self, file: Path, fmt: Fmt) -> None:
        """A file with a mistake is not touched; the mistake is shown, exit 1."""
        wrong = UGLY.replace("while", "whlie")
        file.write_text(wrong)

        code, _, err = fmt("dim.yaml")

        assert code == 1
        assert 'rule "dim" has no key "whlie"' in err
        assert file.read_text() == wrong

    def test_from_standard_input(self, fmt: Fmt, monkeypatch: pytest.MonkeyPatch) -> None:
        """`-` reads standard input and writes standard output, for editors."""
        monkeypatch.setattr("sys.stdin", io.StringIO(UGLY))

        assert fmt("-") == (0, TIDY, "")

    def test_the_rules_of_the_site(self, file: Path, fmt: Fmt) -> None:
        """Without a path all rule files of the site are formatted."""
        (file.parent / "config.yaml").write_text("site: {name: x}\nrules: [dim.yaml]\n")

        assert fmt()[:2] == (0, "changed dim.yaml\n")

    @pytest.mark.parametrize(
        ("arguments", "code"), [(["--check", "dim.yaml"], 1), (["nowhere"], 2), (["dim.yaml"], 0)]
    )
    def test_exit_codes(self, file: Path, arguments: list[str], code: int) -> None:
        """As a process."""
        done = subprocess.run([*PROGRAM, "fmt", *arguments], capture_output=True, check=False)

        assert done.returncode == code
