"""What pytest finds by itself when pilotage is installed: fixtures for the tests of plugins, and clear failures.

Light on purpose: it is imported in every run of pytest that happens in the same environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pilotage.testing.adapters import RecordingDoor

# Their `assert`s show what was compared, as those of the vendor's own tests do.
pytest.register_assert_rewrite("pilotage.testing.contract", "pilotage.testing.city")


@pytest.fixture
def adapter_door() -> RecordingDoor:
    """Return a door that keeps everything that an adapter hands in."""
    from pilotage.testing.adapters import RecordingDoor

    return RecordingDoor()


@pytest.fixture(scope="session")
def pilotage_plugins() -> Mapping[str, Mapping[str, Any]]:
    """Return the installed plugins by name, as `pilotage plugins --json` shows them."""
    from pilotage.runtime.plugins import load_plugins

    return {
        report.name: {
            "version": report.version,
            "interface": report.interface,
            "state": report.state.value,
            "why": report.why,
            "brings": dict(report.brings),
        }
        for report in load_plugins().plugins
    }


@pytest.fixture(scope="session")
def pilotage_rule_tests() -> Callable[[Path], list[str]]:
    """Return what checks a rule file or a folder of them and runs their tests; it returns all that is wrong."""

    def check(path: Path) -> list[str]:
        from pilotage.language.rules import load_rules
        from pilotage.runtime.plugins import load_plugins
        from pilotage.testing.rules import run_tests

        files = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
        texts = {str(file): file.read_text(encoding="utf-8") for file in files}
        known = load_plugins()
        program, findings = load_rules(texts, known.kinds, known.functions, known.calls)
        if not any(finding.is_error for finding in findings):
            findings += [found for result in run_tests(program) for found in result.findings]
        return [finding.render(texts) for finding in findings]

    return check
