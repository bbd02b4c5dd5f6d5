"""Every mistake that only the checker can see has its file, and beside it the exact words of the answer."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from pilotage.language import check_findings
from pilotage.language.rules import load_rules
from pilotage.model.diagnostics import Finding
from pilotage.runtime.plugins import Catalogue, load_plugins
from pilotage.testing.rules import run_tests

REPOSITORY = Path(__file__).resolve().parents[3]
BAD = REPOSITORY / "tests" / "rules" / "bad_checked"
FILES = sorted(BAD.glob("*.bad.yaml"))
ELSEWHERE = {"W510", "W530", "W531", "W532", "W520"}
"""Doubts that need more than the rules: an inventory, or the wish to hear of what is untested."""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """What the domain plugins bring."""
    folders = sorted((REPOSITORY / "plugins").glob("pilotage_*"))
    modules = [import_module(f"{folder.name}.plugin") for folder in folders]
    return load_plugins(extra=modules, entry_points=False)


def texts_of(path: Path) -> dict[str, str]:
    """Return a bad file, and the second file where the mistake needs two."""
    more = path.with_name(path.name.replace(".bad.yaml", ".more.yaml"))
    return {p.name: p.read_text(encoding="utf-8") for p in (path, more) if p.exists()}


def findings_of(path: Path, catalogue: Catalogue) -> list[Finding]:
    """Return what the checker says, and when it lets the file in, what its tests say."""
    program, found = load_rules(
        texts_of(path), catalogue.kinds, catalogue.functions, catalogue.calls
    )
    if any(finding.is_error for finding in found):
        return found
    return [*found, *(finding for result in run_tests(program) for finding in result.findings)]


def expected_of(path: Path) -> Path:
    """Return where the answer to a bad file stands."""
    return path.with_name(path.name.replace(".bad.yaml", ".expected.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".bad.yaml"))
def test_bad_file(path: Path, catalogue: Catalogue) -> None:
    """A bad file is answered with exactly these findings."""
    found = findings_of(path, catalogue)
    rendered = "\n".join(finding.render(texts_of(path)) for finding in found) + "\n"
    assert rendered == expected_of(path).read_text(encoding="utf-8")


class TestCorpus:
    def test_no_orphans(self) -> None:
        """Each answer belongs to a file."""
        answers = {path.name for path in BAD.glob("*.expected.txt")}
        assert answers == {expected_of(path).name for path in FILES}

    def test_every_code_is_shown(self) -> None:
        """Each code that the checker can say appears in at least one answer."""
        source = Path(check_findings.__file__).read_text(encoding="utf-8")
        codes = set(re.findall(r'"([EW]\d{3})"', source))
        answers = "".join(expected_of(path).read_text(encoding="utf-8") for path in FILES)
        assert codes - ELSEWHERE - set(re.findall(r": ([EW]\d{3}) ", answers)) == set()

    def test_no_one_is_left_alone(self, catalogue: Catalogue) -> None:
        """Each mistake of a rule comes with a label at the caret, or with a mend."""
        for path in FILES:
            found = findings_of(path, catalogue)
            assert found, path.name
            alone = [f for f in found if f.code != "T701" and not f.label and not f.mend]
            assert alone == [], path.name

    def test_every_message_is_used(self) -> None:
        """No message is kept that nothing says."""
        source = Path(check_findings.__file__).read_text(encoding="utf-8")
        names = re.findall(r"^def ([a-z]\w+)\(", source, re.MULTILINE)
        folder = Path(check_findings.__file__).parent
        callers = "".join(
            p.read_text(encoding="utf-8")
            for p in [*folder.glob("*.py"), *folder.parent.glob("cli/*.py")]
            if p.name != "check_findings.py"
        )
        assert [n for n in names if f"say.{n}" not in callers] == []
