"""Every mistake that an author can make has its file, and beside it the exact words of the answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pilotage.language import findings
from pilotage.language.reader import read_rules

REPOSITORY = Path(__file__).resolve().parents[3]
BAD = REPOSITORY / "tests" / "rules" / "bad"
FILES = sorted(BAD.glob("*.bad.yaml"))


def rendered(path: Path) -> str:
    """Return all findings of a file as people read them, without the folder's name."""
    raw = path.read_bytes()
    _, found = read_rules(raw, path.name)
    sources = {path.name: raw.decode("utf-8", "replace")}
    return "\n".join(finding.render(sources) for finding in found) + "\n"


def expected_of(path: Path) -> Path:
    """Return where the answer to a bad file stands."""
    return path.with_name(path.name.replace(".bad.yaml", ".expected.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".bad.yaml"))
def test_bad_file(path: Path) -> None:
    """A bad file is answered with exactly these findings."""
    assert rendered(path) == expected_of(path).read_text(encoding="utf-8")


class TestCorpus:
    def test_size(self) -> None:
        """At least forty-five kinds of mistakes are kept."""
        assert len(FILES) >= 45

    def test_no_orphans(self) -> None:
        """Each answer belongs to a file."""
        answers = {path.name for path in BAD.glob("*.expected.txt")}
        assert answers == {expected_of(path).name for path in FILES}

    def test_every_code_is_shown(self) -> None:
        """Each code that the front half can say appears in at least one answer."""
        source = Path(findings.__file__).read_text(encoding="utf-8")
        codes = set(re.findall(r'"(E1\d\d)"', source))
        answers = "".join(expected_of(path).read_text(encoding="utf-8") for path in FILES)
        # E140 ends a list of two hundred findings; test_reader.py shows it.
        assert codes - {"E140"} == set(re.findall(r": (E1\d\d) ", answers))

    def test_every_finding_has_a_mend(self) -> None:
        """No answer leaves the author alone with the mistake."""
        for path in FILES:
            _, found = read_rules(path.read_bytes(), path.name)
            assert found, path.name
            assert all(finding.mend for finding in found), path.name
