"""`pilotage schema`: a valid schema that takes every rule file of ours and refuses wrong ones."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pilotage.cli import main
from pilotage.language import formatter
from pilotage.language.loader import load, plain

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[3]
FILES = sorted(
    path
    for pattern in ("rules/*.yaml", "plugins/*/rules/*.yaml", "engine/pilotage/*/*/rules/*.yaml")
    for path in ROOT.glob(pattern)
)
RULE = {
    "title": "Dim",
    "owner": "lighting",
    "for_each": {"segment": {"kind": "lighting_segment"}},
    "while": "is_night",
    "hold": [{"set": "segment.lights.level", "to": "30 %", "priority": "saving"}],
}


def schema_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["schema", *arguments]) == 0
    return dict(json.loads(capsys.readouterr().out))


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Draft202012Validator:
    """The schema of a folder without a site."""
    said = io.StringIO()
    with contextlib.chdir(tmp_path_factory.mktemp("nowhere")), contextlib.redirect_stdout(said):
        assert main(["schema"]) == 0
    schema = json.loads(said.getvalue())
    from jsonschema import Draft202012Validator  # builds forty grammars

    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


class TestSchema:
    @pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
    def test_our_files_are_valid(self, path: Path, validator: Draft202012Validator) -> None:
        """What the engine takes, an editor takes."""
        node, _ = load(path.read_bytes(), str(path))

        assert [error.message for error in validator.iter_errors(plain(node))] == []

    @pytest.mark.parametrize(
        ("change", "where"),
        [
            ({"whlie": "is_night"}, ["rules", "dim"]),
            ({"for_each": {"segment": {"kind": "lighting_segmnt"}}}, ["rules", "dim", "for_each"]),
            ({"when": "at 22:30", "do": [{"note": "x"}]}, ["rules", "dim"]),
            ({"keep": 90}, ["rules", "dim", "keep"]),
            ({"if_unknown": "off"}, ["rules", "dim", "if_unknown"]),
            ({"hold": [{"set": "a.b", "to": 1, "priority": "urgent"}]}, ["rules", "dim", "hold"]),
            ({"hold": []}, ["rules", "dim", "hold"]),
            ({"owner": None}, ["rules", "dim", "owner"]),
        ],
    )
    def test_wrong_rules_are_refused(
        self, change: dict[str, Any], where: list[str], validator: Draft202012Validator
    ) -> None:
        """A mistake is underlined where it is."""
        assert validator.is_valid({"rules": {"dim": RULE}})

        errors = list(validator.iter_errors({"rules": {"dim": {**RULE, **change}}}))

        assert errors
        assert list(errors[0].absolute_path)[: len(where)] == where

    def test_a_step_without_end_is_refused(self, validator: Draft202012Validator) -> None:
        """A `set` step needs `until` or `at_most`."""
        step = {"set": "a.b", "to": True, "priority": "security"}
        rule = {"title": "x", "owner": "x", "when": "at 22:30", "do": [step]}

        assert not validator.is_valid({"rules": {"x": rule}})
        step["at_most"] = "8 h"
        assert validator.is_valid({"rules": {"x": rule}})

    def test_plugins_and_inventory(
        self,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        """Kinds, calls and functions come from the plugins, the counts from the inventory."""
        config = tmp_path / "config.yaml"
        config.write_text("site: {name: x}\ninventory: [{L-1: {kind: lamp}, L-2: {kind: lamp}}]\n")

        words = schema_of(capsys, "--config", str(config))["$defs"]

        about = dict(zip(words["kind"]["enum"], words["kind"]["enumDescriptions"], strict=True))
        assert about["lamp"].endswith("(2 in this city)")
        assert about["bus"].endswith("(0 in this city)")
        assert "fleet.dispatch" in words["call"]["enum"]
        assert "preset_towards" in words["expression"]["description"]

    def test_same_keys_as_the_formatter(self, validator: Draft202012Validator) -> None:
        """Schema and formatter know the same keys of every declaration."""
        schema: Any = validator.schema
        definitions = schema["$defs"]
        names = (
            "derive",
            "rule",
            "demand",
            "plan",
            "level",
            "alarm",
            "invariant",
            "test",
            "moment",
        )

        for name in names:
            assert set(definitions[name]["properties"]) == set(formatter.ORDERS[name]), name
