"""What the language promises, feature by feature: rule files that check clean and whose own tests pass."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from pilotage.language.rules import load_rules
from pilotage.runtime.plugins import Catalogue, load_plugins
from pilotage.testing.rules import run_tests

REPOSITORY = Path(__file__).resolve().parents[3]
FILES = sorted((REPOSITORY / "tests" / "rules" / "good").glob("*.yaml"))


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """What the domain plugins bring."""
    folders = sorted((REPOSITORY / "plugins").glob("pilotage_*"))
    modules = [import_module(f"{folder.name}.plugin") for folder in folders]
    return load_plugins(extra=modules, entry_points=False)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file(path: Path, catalogue: Catalogue) -> None:
    """Each test in the file passes."""
    texts = {path.name: path.read_text(encoding="utf-8")}
    program, found = load_rules(texts, catalogue.kinds, catalogue.functions, catalogue.calls)
    assert [f.render(texts) for f in found if f.is_error] == []
    results = run_tests(program)
    assert results
    missed = [f"{r.name}\n{f.render(texts)}" for r in results for f in r.findings]
    assert "\n".join(missed) == ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_is_doubtful(path: Path, catalogue: Catalogue) -> None:
    """The checker has doubts only where the file says that it should: `# doubt: CODE` at the end of a line."""
    text = path.read_text(encoding="utf-8")
    _, found = load_rules({path.name: text}, catalogue.kinds, catalogue.functions, catalogue.calls)
    told = {
        (number, line.rpartition("# doubt: ")[2].strip())
        for number, line in enumerate(text.splitlines(), 1)
        if "# doubt: " in line
    }
    assert {(f.at.line, f.code) for f in found} == told
