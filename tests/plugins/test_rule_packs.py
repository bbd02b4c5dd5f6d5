"""The ready rule packs and the city's own rules: clean, complete, tested."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from pluggy import PluginManager

from pilotage.language.checker import check
from pilotage.language.program import Program
from pilotage.language.reader import read_rules
from pilotage.language.syntax import RuleFile
from pilotage.model.entities import Kind
from pilotage.testing.rules import run_tests

HOME = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def files(plugins: PluginManager) -> list[RuleFile]:
    """Every rule pack and the city's own rules."""
    packs = chain.from_iterable(plugins.hook.pilotage_rules())
    read = []
    for path in sorted([*packs, *HOME.glob("rules/*.yaml")]):
        file, findings = read_rules(path.read_text(encoding="utf-8"), str(path.relative_to(HOME)))
        assert [str(f.at) + " " + f.message for f in findings] == []
        assert file is not None
        read.append(file)
    return read


@pytest.fixture(scope="module")
def checked(
    files: list[RuleFile], plugins: PluginManager, kinds: dict[str, Kind]
) -> tuple[Program, list[str]]:
    """All of them together as one rule set, and what was found in it."""
    functions = {f.name: f for answer in plugins.hook.pilotage_functions() for f in answer}
    calls = {c.name: c for answer in plugins.hook.pilotage_calls() for c in answer}
    program, findings = check(files, kinds, functions, calls)
    return program, [f"{f.at} {f.message}" for f in findings]


def declarations(file: RuleFile) -> list[Any]:
    return [*file.rules, *file.plans, *file.alarms, *file.invariants]


class TestRulePacks:
    def test_clean(self, checked: tuple[Program, list[str]]) -> None:
        """Together they check without an error or a warning."""
        assert checked[1] == []

    def test_their_own_tests(self, checked: tuple[Program, list[str]]) -> None:
        """Every test in a rule file passes, on the engine that runs the city."""
        results = run_tests(checked[0])
        missed = [f"{f.at} {f.message}" for result in results for f in result.findings]
        assert missed == []
        assert len(results) > 100

    def test_two_languages(self, files: list[RuleFile]) -> None:
        """Everything that people see has a French and an English title, and an owner."""
        for file in files:
            for each in declarations(file):
                assert {"fr", "en"} <= set(each.title.texts), each.name.text
                assert each.owner is not None, each.name.text

    def test_everything_is_tested(self, files: list[RuleFile]) -> None:
        """Each rule, plan, alarm and invariant is under test."""
        declared = {each.name.text for file in files for each in declarations(file)}
        used = {word.text for file in files for test in file.tests for word in test.use}
        assert declared - used == set()

    def test_every_test_expects_something(self, files: list[RuleFile]) -> None:
        """A test that expects nothing cannot fail."""
        tests = [test for file in files for test in file.tests]
        assert [t.name.text for t in tests if not any(step.expect for step in t.steps)] == []

    def test_the_city_has_its_four(self) -> None:
        """Dimming, bus priority, cameras on alarm and the snow plan are the city's own."""
        names = {path.name for path in HOME.glob("rules/*.yaml")}
        assert {"bus_priority.yaml", "intrusion.yaml", "lighting.yaml", "winter.yaml"} <= names
